/* args - the command line against a command's row: --key value, --key=value, -k value, --no-key,
 * --. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/text.h"

const app_flag app_common_flags[] = {
    {"threads", 't', FLAG_INT, "N", NULL, "CPU threads [one per core]", .least = 1, .most = 1024},
    {"seed", 's', FLAG_INT, "N", "0", "seed of everything random", .least = 0, .most = 9e15},
    {"json", 0, FLAG_BOOL, .help = "print the result as JSON"},
    {"quiet", 'q', FLAG_BOOL, .help = "no progress and no notes"},
    {"verbose", 'v', FLAG_BOOL, .help = "say more"},
    {"help", 'h', FLAG_BOOL, .help = "explain this command"},
    {0},
};

enum { MAX_FLAGS = 128 };

typedef struct {
    const app_flag *flag;
    bool given;
    int n_text;  // values in the order given; only a list keeps more than one
    const char **text;
    bool truth;
    int64_t integer;
    double real;
} value;

struct app_args {
    const app_command *command;
    value values[MAX_FLAGS];
    int n_values, n_args;
    const char **args;  // one block for the positionals and the lists
    fl_arena found;     // where models were found
};

/* ---- values ---- */

static bool in_limits(const app_flag *f, double v) {
    return f->least == f->most || (v >= f->least && v <= f->most);
}

static const char *expectation(const app_flag *f) {
    static const char *const text[] = {
        [FLAG_BOOL] = "no value, or true or false",
        [FLAG_INT] = "an integer",
        [FLAG_REAL] = "a number",
        [FLAG_COUNT] = "a count such as 5M or 4096",
        [FLAG_SECONDS] = "a time such as 10m or 90s",
        [FLAG_BYTES] = "a size such as 2G or 512MiB",
        [FLAG_CHOICE] = "one of",
    };
    return text[f->type];
}

static fl_status refuse(const app_flag *f, const char *text, fl_err *err) {
    char limits[64] = "";
    if (f->type == FLAG_CHOICE) snprintf(limits, sizeof limits, " %s", f->metavar);
    else if (f->least != f->most)
        snprintf(limits, sizeof limits, ", %.10g to %.10g", f->least, f->most);
    return fl_fail(err, FL_ERR_ARG, "--%s %.60s: expected %s%s", f->name, text, expectation(f),
                   limits);
}

static bool read_value(value *v, const char *text) {
    const app_flag *f = v->flag;
    switch (f->type) {
    case FLAG_BOOL: return fl_parse_bool(&v->truth, text);
    case FLAG_INT: return fl_parse_int(&v->integer, text) && in_limits(f, (double)v->integer);
    case FLAG_REAL: return fl_parse_real(&v->real, text) && in_limits(f, v->real);
    case FLAG_COUNT: return fl_parse_count(&v->real, text) && in_limits(f, v->real);
    case FLAG_SECONDS: return fl_parse_seconds(&v->real, text) && in_limits(f, v->real);
    case FLAG_BYTES: return fl_parse_bytes(&v->real, text) && in_limits(f, v->real);
    case FLAG_CHOICE: return fl_is_choice(f->metavar, text);
    case FLAG_STR:
    case FLAG_LIST: break;
    }
    return true;
}

static fl_status set_value(value *v, const char *text, fl_err *err) {
    if (!read_value(v, text)) return refuse(v->flag, text, err);
    if (v->flag->type != FLAG_LIST) v->n_text = 0;
    v->text[v->n_text++] = text;
    v->given = true;
    return FL_OK;
}

/* ---- flags ---- */

static void add_flags(app_args *a, const app_flag *f) {
    for (; f && f->name; f++) {
        FL_ASSERT(a->n_values < MAX_FLAGS);
        a->values[a->n_values++] = (value){.flag = f};
    }
}

static value *find_flag(app_args *a, const char *name, size_t n) {
    for (int i = 0; i < a->n_values; i++) {
        const char *have = a->values[i].flag->name;
        if (strncmp(have, name, n) == 0 && !have[n]) return &a->values[i];
    }
    return NULL;
}

static fl_status unknown_flag(const app_args *a, const char *typed, size_t n, fl_err *err) {
    const char *words[MAX_FLAGS + 1];
    char name[48];
    for (int i = 0; i < a->n_values; i++) words[i] = a->values[i].flag->name;
    words[a->n_values] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)(n < 40 ? n : 40), typed);
    const char *near = fl_nearest(name, words);
    if (near) return fl_fail(err, FL_ERR_ARG, "unknown flag --%s; did you mean --%s?", name, near);
    return fl_fail(err, FL_ERR_ARG, "unknown flag --%s; see 'fledge %s --help'", name,
                   a->command->name);
}

typedef struct {
    int argc, at;
    char **argv;
} cursor;

/* The value a flag needs: what follows '=' or the next word. */
static fl_status take_value(value *v, const char *attached, cursor *c, fl_err *err) {
    if (!attached && c->at == c->argc)
        return fl_fail(err, FL_ERR_ARG, "--%s: expected %s after it", v->flag->name,
                       v->flag->metavar);
    return set_value(v, attached ? attached : c->argv[c->at++], err);
}

static fl_status parse_long(app_args *a, const char *name, cursor *c, fl_err *err) {
    size_t n = strcspn(name, "=");
    const char *attached = name[n] ? name + n + 1 : NULL;
    value *v = find_flag(a, name, n);
    if (v && v->flag->type == FLAG_BOOL) return set_value(v, attached ? attached : "true", err);
    if (v) return take_value(v, attached, c, err);
    if (n > 3 && strncmp(name, "no-", 3) == 0 && !attached) {
        v = find_flag(a, name + 3, n - 3);
        if (v && v->flag->type == FLAG_BOOL) return set_value(v, "false", err);
    }
    return unknown_flag(a, name, n, err);
}

/* -qv, -o DIR, -oDIR */
static fl_status parse_short(app_args *a, const char *letters, cursor *c, fl_err *err) {
    for (; *letters; letters++) {
        value *v = NULL;
        for (int i = 0; i < a->n_values && !v; i++)
            if (a->values[i].flag->short_name == *letters) v = &a->values[i];
        if (!v)
            return fl_fail(err, FL_ERR_ARG, "unknown flag -%c; see 'fledge %s --help'", *letters,
                           a->command->name);
        if (v->flag->type != FLAG_BOOL)
            return take_value(v, letters[1] ? letters + 1 : NULL, c, err);
        FL_TRY(set_value(v, "true", err));
    }
    return FL_OK;
}

/* ---- positionals ---- */

/* How many the row's "A [B] C..." wants. */
static void count_wanted(const char *args, int *least, int *most) {
    *least = *most = 0;
    for (const char *w = args ? args : ""; *w;) {
        size_t n = strcspn(w, " ");
        *least += w[0] != '[';
        *most = memchr(w, '.', n) || *most == 1 << 20 ? 1 << 20 : *most + 1;
        w += n;
        w += strspn(w, " ");
    }
}

static fl_status check_positionals(const app_args *a, fl_err *err) {
    int least, most;
    const char *args = a->command->args;
    count_wanted(args, &least, &most);
    if (a->n_args > most)
        return fl_fail(err, FL_ERR_ARG, "'%.60s' was not expected; usage: fledge %s%s%s [options]",
                       a->args[most], a->command->name, args ? " " : "", args ? args : "");
    if (a->n_args < least)
        return fl_fail(err, FL_ERR_ARG, "something is missing; usage: fledge %s %s [options]",
                       a->command->name, args);
    return FL_OK;
}

static fl_status parse_words(app_args *a, cursor *c, fl_err *err) {
    bool flags_ended = false;
    while (c->at < c->argc) {
        const char *word = c->argv[c->at++];
        if (flags_ended || word[0] != '-' || !word[1])  // "-" alone is a name: standard input
            a->args[a->n_args++] = word;
        else if (strcmp(word, "--") == 0) flags_ended = true;
        else if (word[1] == '-') FL_TRY(parse_long(a, word + 2, c, err));
        else FL_TRY(parse_short(a, word + 1, c, err));
    }
    return FL_OK;
}

/* Defaults are read as if typed, so a row whose default is malformed fails in every test. */
static fl_status fill_defaults(app_args *a, fl_err *err) {
    for (int i = 0; i < a->n_values; i++) {
        value *v = &a->values[i];
        if (v->given || !v->flag->fallback) continue;
        FL_TRY(set_value(v, v->flag->fallback, err));
        v->given = false;
    }
    return FL_OK;
}

fl_status app_args_parse(app_args **out, const app_command *c, int argc, char **argv, fl_err *err) {
    app_args *a = fl_alloc(sizeof *a);
    if (!a) return fl_fail(err, FL_ERR_NOMEM, "reading the command line");
    memset(a, 0, sizeof *a);
    a->command = c;
    fl_arena_init(&a->found, 1 << 12);
    add_flags(a, c->flags);
    add_flags(a, app_common_flags);
    // Each flag might take every word, and needs a place for its default.
    size_t each = (size_t)argc + 1;
    a->args = fl_alloc((size_t)(a->n_values + 1) * each * sizeof *a->args);
    fl_status s = a->args ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "reading the command line");
    for (int i = 0; i < a->n_values && s == FL_OK; i++)
        a->values[i].text = a->args + (size_t)(i + 1) * each;
    if (s == FL_OK) s = parse_words(a, &(cursor){.argc = argc, .argv = argv}, err);
    if (s == FL_OK) s = fill_defaults(a, err);
    if (s == FL_OK && !app_bool(a, "help")) s = check_positionals(a, err);
    if (s != FL_OK) {
        app_args_free(a);
        return s;
    }
    *out = a;
    return FL_OK;
}

void app_args_free(app_args *a) {
    if (!a) return;
    fl_arena_free(&a->found);
    fl_dealloc(a->args);
    fl_dealloc(a);
}

/* ---- models ---- */

static fl_status find_model(app_args *a, const char **word, app_finder find, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(find(path, *word, err));
    char *copy = FL_NEW(&a->found, char, strlen(path) + 1);
    if (!copy) return fl_fail(err, FL_ERR_NOMEM, "%s", *word);
    *word = memcpy(copy, path, strlen(path) + 1);
    return FL_OK;
}

fl_status app_args_find_models(app_args *a, app_finder find, fl_err *err) {
    const char *w = a->command->args ? a->command->args : "";
    for (int i = 0; *w && i < a->n_args; i++) {
        size_t n = strcspn(w, " ");
        bool model = n == 5 && memcmp(w, "MODEL", n) == 0;
        if (model) FL_TRY(find_model(a, &a->args[i], find, err));
        w += n + strspn(w + n, " ");
    }
    for (int i = 0; i < a->n_values; i++) {
        value *v = &a->values[i];
        bool model = v->flag->metavar && strcmp(v->flag->metavar, "MODEL") == 0;
        for (int k = 0; model && k < v->n_text; k++) FL_TRY(find_model(a, &v->text[k], find, err));
    }
    return FL_OK;
}

/* ---- getters ---- */

static const value *get(const app_args *a, const char *flag) {
    for (int i = 0; i < a->n_values; i++)
        if (strcmp(a->values[i].flag->name, flag) == 0) return &a->values[i];
    fprintf(stderr, "fledge: %s asked for its flag --%s, which its row lacks\n", a->command->name,
            flag);
    abort();
}

int app_n_args(const app_args *a) {
    return a->n_args;
}
const char *app_arg(const app_args *a, int i) {
    return i < a->n_args ? a->args[i] : NULL;
}
bool app_given(const app_args *a, const char *flag) {
    return get(a, flag)->given;
}
bool app_bool(const app_args *a, const char *flag) {
    return get(a, flag)->truth;
}
int64_t app_int(const app_args *a, const char *flag) {
    return get(a, flag)->integer;
}
double app_real(const app_args *a, const char *flag) {
    return get(a, flag)->real;
}

const char *app_str(const app_args *a, const char *flag) {
    const value *v = get(a, flag);
    return v->n_text ? v->text[0] : NULL;
}

int app_list(const app_args *a, const char *flag, const char *const **values) {
    const value *v = get(a, flag);
    *values = (const char *const *)v->text;
    return v->n_text;
}
