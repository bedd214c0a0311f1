/* recipe - reading settings as text, whoever wrote them. */
#include "train/recipe.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

const fl_setting fl_settings[FL_SETTING_N] = {
#define SETTING(name, type, field, fallback, metavar, aliases, help) \
    {name, FL_SETTING_##type, offsetof(fl_recipe, field), fallback, metavar, aliases, help},
#include "train/settings.def"
#undef SETTING
};

static void *field(fl_recipe *r, const fl_setting *s) {
    return (char *)r + s->offset;
}

static const void *field_const(const fl_recipe *r, const fl_setting *s) {
    return (const char *)r + s->offset;
}

/* ---- names ---- */

/* Whether a[0..n) and b are the same name; '-' and '_' are the same letter. */
static bool same_name(const char *a, size_t n, const char *b) {
    if (strlen(b) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    return true;
}

static bool in_aliases(const char *aliases, const char *name) {
    for (const char *a = aliases; *a;) {
        const size_t n = strcspn(a, " ");
        if (same_name(a, n, name)) return true;
        a += n + (a[n] == ' ');
    }
    return false;
}

const fl_setting *fl_setting_find(const char *name) {
    for (int i = 0; i < FL_SETTING_N; i++)
        if (same_name(fl_settings[i].name, strlen(fl_settings[i].name), name))
            return &fl_settings[i];
    for (int i = 0; i < FL_SETTING_N; i++)
        if (in_aliases(fl_settings[i].aliases, name)) return &fl_settings[i];
    return NULL;
}

static const char *nearest(const char *typed) {
    const char *names[FL_SETTING_N + 1] = {NULL};
    for (int i = 0; i < FL_SETTING_N; i++) names[i] = fl_settings[i].name;
    return fl_nearest(typed, names);
}

/* ---- values ---- */

static const char *const expectation[] = {
    [FL_SETTING_INT] = "an integer",
    [FL_SETTING_REAL] = "a number",
    [FL_SETTING_COUNT] = "a count such as 5M or 4096",
    [FL_SETTING_SECONDS] = "a time such as 10m or 90s",
    [FL_SETTING_BYTES] = "a size such as 2G or 512MiB",
    [FL_SETTING_BOOL] = "true or false",
    [FL_SETTING_STR] = "a string",
    [FL_SETTING_CHOICE] = "one of ",
    [FL_SETTING_LIST] = "a list of strings",
};

static const char *copy(fl_recipe *r, const char *s) {
    const size_t n = strlen(s) + 1;
    char *p = FL_NEW(&r->arena, char, n);
    if (p) memcpy(p, s, n);
    return p;
}

/* A plain integer, or a count such as 4k. */
static bool parse_whole(const char *s, int64_t *out) {
    double v;
    if (fl_parse_int(out, s)) return true;
    if (!fl_parse_count(&v, s) || v != floor(v) || fabs(v) > 9e15) return false;
    *out = (int64_t)v;
    return true;
}

static bool append(fl_recipe *r, fl_strings *list, const char *s) {
    const char **bigger = FL_NEW(&r->arena, const char *, (size_t)list->n + 1);
    if (!bigger) return false;
    for (int i = 0; i < list->n; i++) bigger[i] = list->item[i];
    bigger[list->n] = copy(r, s);
    *list = (fl_strings){.item = bigger, .n = list->n + 1};
    return bigger[list->n - 1] != NULL;
}

static bool read_value(fl_recipe *r, const fl_setting *s, const char *text) {
    void *to = field(r, s);
    switch (s->type) {
    case FL_SETTING_INT: return parse_whole(text, to);
    case FL_SETTING_REAL: return fl_parse_real(to, text);
    case FL_SETTING_COUNT: return fl_parse_count(to, text);
    case FL_SETTING_SECONDS: return fl_parse_seconds(to, text);
    case FL_SETTING_BYTES: return fl_parse_bytes(to, text);
    case FL_SETTING_BOOL: return fl_parse_bool(to, text);
    case FL_SETTING_CHOICE:
        if (!fl_is_choice(s->metavar, text)) return false;
        /* fall through */
    case FL_SETTING_STR: return (*(const char **)to = copy(r, text)) != NULL;
    case FL_SETTING_LIST: return append(r, to, text);
    }
    return false;
}

/* A list given anew replaces the one before; within one source its items add up. */
fl_status fl_recipe_set(fl_recipe *r, const char *name, const char *text, const char *where,
                        fl_err *err) {
    const fl_setting *s = fl_setting_find(name);
    if (!s) {
        const char *near = nearest(name);
        return fl_fail(err, FL_ERR_ARG, "%s: there is no such setting%s%s%s", where,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (!read_value(r, s, text))
        return fl_fail(err, FL_ERR_ARG, "%s: %.60s: expected %s%s", where, text,
                       expectation[s->type], s->type == FL_SETTING_CHOICE ? s->metavar : "");
    r->given[s - fl_settings] = true;
    return FL_OK;
}

/* ---- files ---- */

/* A YAML scalar as the user would type it on the command line. */
static const char *scalar_text(const json_t *v, char *out, size_t room) {
    if (json_is_string(v)) return json_string_value(v);
    if (json_is_integer(v)) snprintf(out, room, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v)) snprintf(out, room, "%.17g", json_real_value(v));
    else if (json_is_boolean(v)) snprintf(out, room, "%s", json_is_true(v) ? "true" : "false");
    else return NULL;
    return out;
}

static fl_status load_field(fl_recipe *r, const char *name, const json_t *v, const char *where,
                            fl_err *err) {
    char number[48];
    const char *text = scalar_text(v, number, sizeof number);
    const fl_setting *s = fl_setting_find(name);
    if (json_is_null(v) && s) return FL_OK;
    if (s && s->type == FL_SETTING_LIST) *(fl_strings *)field(r, s) = (fl_strings){0};
    if (!s || (text && !json_is_array(v)))
        return fl_recipe_set(r, name, text ? text : "", where, err);
    if (!json_is_array(v) || s->type != FL_SETTING_LIST)
        return fl_fail(err, FL_ERR_ARG, "%s: expected %s%s", where, expectation[s->type],
                       s->type == FL_SETTING_CHOICE ? s->metavar : "");
    for (size_t i = 0; i < json_array_size(v); i++) {
        text = scalar_text(json_array_get(v, i), number, sizeof number);
        if (!text) return fl_fail(err, FL_ERR_ARG, "%s[%zu]: expected a string", where, i);
        FL_TRY(fl_recipe_set(r, name, text, where, err));
    }
    return FL_OK;
}

fl_status fl_recipe_load(fl_recipe *r, const char *path, fl_err *err) {
    json_t *root, *lines, *v;
    const char *name;
    FL_TRY(fl_yaml_load_lines(&root, &lines, path, err));
    fl_status s = FL_OK;
    if (!json_is_object(root))
        s = fl_fail(err, FL_ERR_FORMAT, "%s: expected fields, 'name: value'", path);
    json_object_foreach(root, name, v) {
        char where[512];
        const json_int_t line = json_integer_value(json_object_get(lines, name));
        snprintf(where, sizeof where, "%.400s:%" JSON_INTEGER_FORMAT ": %.80s", path, line, name);
        if (s == FL_OK) s = load_field(r, name, v, where, err);
    }
    json_decref(root);
    json_decref(lines);
    return s;
}

static json_t *strings_json(const fl_strings *list) {
    json_t *a = json_array();
    for (int i = 0; i < list->n; i++) json_array_append_new(a, json_string(list->item[i]));
    return a;
}

/* NULL when the setting has no value. */
static json_t *value_json(const fl_recipe *r, const fl_setting *s) {
    const void *at = field_const(r, s);
    const double real = s->type == FL_SETTING_INT || s->type >= FL_SETTING_BOOL
                            ? 0
                            : *(const double *)at;
    switch (s->type) {
    case FL_SETTING_INT:
        return *(const int64_t *)at == FL_UNSET ? NULL : json_integer(*(const int64_t *)at);
    case FL_SETTING_BOOL: return json_boolean(*(const bool *)at);
    case FL_SETTING_STR:
    case FL_SETTING_CHOICE:
        return *(const char *const *)at ? json_string(*(const char *const *)at) : NULL;
    case FL_SETTING_LIST: return strings_json(at);
    case FL_SETTING_COUNT:
    case FL_SETTING_SECONDS:
    case FL_SETTING_BYTES:
        if (real == floor(real) && fabs(real) < 9e15) return json_integer((json_int_t)real);
        /* fall through */
    case FL_SETTING_REAL: return isfinite(real) ? json_real(real) : NULL;
    }
    return NULL;
}

fl_status fl_recipe_save(const fl_recipe *r, const char *path, fl_err *err) {
    json_t *root = json_object();
    for (int i = 0; i < FL_SETTING_N; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s", fl_settings[i].name);
        for (char *c = name; *c; c++) *c = *c == '-' ? '_' : *c;
        json_t *v = value_json(r, &fl_settings[i]);
        if (v && json_object_set_new(root, name, v) != 0) {
            json_decref(root);
            return fl_fail(err, FL_ERR_NOMEM, "%s", path);
        }
    }
    const fl_status s = fl_yaml_save(root, path, err);
    json_decref(root);
    return s;
}

/* ---- beginning and end ---- */

static void unset(fl_recipe *r, const fl_setting *s) {
    void *at = field(r, s);
    if (s->type == FL_SETTING_INT) *(int64_t *)at = FL_UNSET;
    else if (s->type < FL_SETTING_BOOL) *(double *)at = NAN;
}

fl_status fl_recipe_new(fl_recipe **out, fl_err *err) {
    fl_recipe *r = fl_alloc(sizeof *r);
    if (!r) return fl_fail(err, FL_ERR_NOMEM, "a recipe");
    memset(r, 0, sizeof *r);
    fl_arena_init(&r->arena, 4096);
    for (int i = 0; i < FL_SETTING_N; i++) {
        const fl_setting *s = &fl_settings[i];
        unset(r, s);
        if (s->fallback && !read_value(r, s, s->fallback)) {
            fl_recipe_free(r);
            return fl_fail(err, FL_ERR_NOMEM, "a recipe's default of %s", s->name);
        }
    }
    *out = r;
    return FL_OK;
}

void fl_recipe_free(fl_recipe *r) {
    if (!r) return;
    fl_arena_free(&r->arena);
    fl_dealloc(r);
}

/* ---- sense ---- */

static const struct {
    fl_setting_id id;
    double least, most;
} limits[] = {
    {FL_SET_val_fraction, 0, 0.9},
    {FL_SET_vocab_size, 257, 1 << 24},
    {FL_SET_depth, 1, 1000},
    {FL_SET_params, 1e4, 1e12},
    {FL_SET_budget, 5, 1e8},
    {FL_SET_width, 8, 1 << 20},
    {FL_SET_heads, 1, 4096},
    {FL_SET_kv_heads, 1, 4096},
    {FL_SET_head_dim, 2, 4096},
    {FL_SET_ff, 1, 1 << 24},
    {FL_SET_sliding_window, 0, 1 << 24},
    {FL_SET_seq_len, 2, 1 << 22},
    {FL_SET_batch_size, 1, 1 << 20},
    {FL_SET_accumulation, 1, 1 << 20},
    {FL_SET_steps, 1, 1e12},
    {FL_SET_epochs, 1e-6, 1e6},
    {FL_SET_tokens, 1, 1e15},
    {FL_SET_lr, 0, 100},
    {FL_SET_embedding_lr, 0, 100},
    {FL_SET_head_lr, 0, 100},
    {FL_SET_muon_lr, 0, 100},
    {FL_SET_beta1, 0, 0.999999},
    {FL_SET_beta2, 0, 0.999999},
    {FL_SET_eps, 0, 1},
    {FL_SET_momentum, 0, 0.999999},
    {FL_SET_weight_decay, 0, 100},
    {FL_SET_muon_weight_decay, 0, 100},
    {FL_SET_clip, 0, 1e9},
    {FL_SET_warmup, 0, 0.999},
    {FL_SET_warmup_steps, 0, 1e12},
    {FL_SET_final_lr, 0, 1},
    {FL_SET_decay, 0, 1},
    {FL_SET_spike_sigma, 0, 1e9},
    {FL_SET_spike_most, 1, 1e9},
    {FL_SET_eval_every, 0, 1e12},
    {FL_SET_save_every, 0, 1e12},
    {FL_SET_keep, 0, 1e9},
    {FL_SET_sample_every, 0, 1e12},
    {FL_SET_sample_tokens, 1, 1e6},
    {FL_SET_seed, 0, 9e15},
    {FL_SET_logit_softcap, 0, 1e6},
    {FL_SET_rope_theta, 1, 1e12},
};

fl_status fl_recipe_check(const fl_recipe *r, fl_err *err) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const fl_setting *s = &fl_settings[limits[i].id];
        const void *at = field_const(r, s);
        const int64_t whole = s->type == FL_SETTING_INT ? *(const int64_t *)at : 0;
        const double v = s->type == FL_SETTING_INT ? (double)whole : *(const double *)at;
        if (isnan(v) || whole == FL_UNSET) continue;
        if (v < limits[i].least || v > limits[i].most)
            return fl_fail(err, FL_ERR_ARG, "%s: %.10g: expected %.10g to %.10g", s->name, v,
                           limits[i].least, limits[i].most);
    }
    const int dials = (r->depth != FL_UNSET) + !isnan(r->params);
    if (dials > 1) return fl_fail(err, FL_ERR_ARG, "depth and params: give one of them");
    const int lengths = (r->steps != FL_UNSET) + !isnan(r->epochs) + !isnan(r->tokens);
    if (lengths > 1) return fl_fail(err, FL_ERR_ARG, "steps, epochs and tokens: give one of them");
    if (!isnan(r->budget) && lengths > (r->steps != FL_UNSET))
        return fl_fail(err, FL_ERR_ARG, "budget: it decides how long; leave out epochs and tokens");
    return FL_OK;
}
