/* recipe_flags - settings.def as rows of a command, and the command line as a recipe. */
#include "app/recipe_flags.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "train/run.h"

const app_flag app_recipe_flags[] = {
    {"recipe", 'r', FLAG_STR, "FILE", .help = "settings in YAML; flags override them"},
#define SETTING_ELSEWHERE(name, type, field, fallback, metavar, aliases, help)
#define SETTING(name, type, field, fallback, metavar, aliases, help) \
    {name, 0, FLAG_##type, metavar, fallback, help, .least = 0, .most = 0},
#include "train/settings.def"
#undef SETTING
    {0},
};

static fl_status take_flags(fl_recipe *r, const app_args *a, fl_err *err) {
    for (const app_flag *f = app_recipe_flags + 1; f->name; f++) {
        char where[64];
        snprintf(where, sizeof where, "--%s", f->name);
        if (app_given(a, f->name))
            FL_TRY(fl_recipe_set(r, f->name, app_str(a, f->name), where, err));
    }
    if (app_given(a, "seed")) FL_TRY(fl_recipe_set(r, "seed", app_str(a, "seed"), "--seed", err));
    if (app_n_args(a)) r->text = (fl_strings){0};
    for (int i = 0; i < app_n_args(a); i++)
        FL_TRY(fl_recipe_set(r, "text", app_arg(a, i), "TEXT", err));
    return FL_OK;
}

/* The settings of the run that is to be continued, if it had got far enough to write them. */
static fl_status take_resumed(fl_recipe *r, const app_args *a, fl_err *err) {
    char path[FL_PATH_MAX];
    const char *out = app_str(a, "out");
    if (!app_bool(a, "resume")) return FL_OK;
    if (!out) return fl_fail(err, FL_ERR_ARG, "--resume: name the run's folder with --out");
    FL_TRY(fl_path_join(path, out, "recipe.yaml", err));
    return fl_path_exists(path) ? fl_recipe_load(r, path, err) : FL_OK;
}

fl_status app_recipe(fl_recipe **out, const app_args *a, fl_err *err) {
    fl_recipe *r;
    FL_TRY(fl_recipe_new(&r, err));
    const char *file = app_str(a, "recipe");
    fl_status s = take_resumed(r, a, err);
    if (s == FL_OK && file) s = fl_recipe_load(r, file, err);
    if (s == FL_OK) s = take_flags(r, a, err);
    if (s != FL_OK) {
        fl_recipe_free(r);
        return s;
    }
    *out = r;
    return FL_OK;
}
