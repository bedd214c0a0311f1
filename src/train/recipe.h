/* recipe.h - the settings of a run: from a YAML file and from flags, checked, completed, written
 * back.
 *
 *     fl_recipe *r;
 *     fl_recipe_new(&r, &err);
 *     fl_recipe_load(r, "recipe.yaml", &err);
 *     fl_recipe_set(r, "batch-size", "16", "--batch-size", &err);
 *     ... dial.h fills what nobody set ...
 *     fl_recipe_save(r, "runs/tales/recipe.yaml", &err);
 *
 * settings.def is the table. An unknown field is an error that names its line and the nearest known
 * one. A later set replaces an earlier one. */
#ifndef FL_TRAIN_RECIPE_H
#define FL_TRAIN_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FL_SETTING_INT,
    FL_SETTING_REAL,
    FL_SETTING_COUNT,    // 5M
    FL_SETTING_SECONDS,  // 10m
    FL_SETTING_BYTES,    // 2G
    FL_SETTING_BOOL,
    FL_SETTING_STR,
    FL_SETTING_CHOICE,
    FL_SETTING_LIST
} fl_setting_type;

typedef struct {
    const char **item;
    int n;
} fl_strings;

/* Numbers nobody set are FL_UNSET (INT) or NaN (the others); strings are NULL; lists are empty. */
#define FL_UNSET         INT64_MIN
#define FL_FIELD_INT     int64_t
#define FL_FIELD_REAL    double
#define FL_FIELD_COUNT   double
#define FL_FIELD_SECONDS double
#define FL_FIELD_BYTES   double
#define FL_FIELD_BOOL    bool
#define FL_FIELD_STR     const char *
#define FL_FIELD_CHOICE  const char *
#define FL_FIELD_LIST    fl_strings

typedef enum {
#define SETTING(name, type, field, fallback, metavar, aliases, help) FL_SET_##field,
#include "train/settings.def"
#undef SETTING
    FL_SETTING_N
} fl_setting_id;

typedef struct {
#define SETTING(name, type, field, fallback, metavar, aliases, help) FL_FIELD_##type field;
#include "train/settings.def"
#undef SETTING
    bool given[FL_SETTING_N];  // by a file or a flag
    fl_arena arena;            // of the strings
} fl_recipe;

typedef struct {
    const char *name;
    fl_setting_type type;
    size_t offset;
    const char *fallback, *metavar, *aliases, *help;
} fl_setting;
extern const fl_setting fl_settings[FL_SETTING_N];

FL_MUST_USE fl_status fl_recipe_new(fl_recipe **out, fl_err *err);  // all defaults
void fl_recipe_free(fl_recipe *r);                                  // NULL is allowed

/* By name or alias, '-' and '_' being the same. `where` begins messages: "--lr", "recipe.yaml:12:
 * lr". */
const fl_setting *fl_setting_find(const char *name);
FL_MUST_USE fl_status fl_recipe_set(fl_recipe *r, const char *name, const char *text,
                                    const char *where, fl_err *err);
FL_MUST_USE fl_status fl_recipe_load(fl_recipe *r, const char *path, fl_err *err);
FL_MUST_USE fl_status fl_recipe_save(const fl_recipe *r, const char *path, fl_err *err);

/* Values that mean something together: one dial, batch and step counts above zero, known names. */
FL_MUST_USE fl_status fl_recipe_check(const fl_recipe *r, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
