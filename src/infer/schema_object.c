/* schema_object - objects of a schema: their members in order, and the names of additional ones.
 *
 * Each property has two rules, for what follows when no member is written yet and when one is, so
 * that commas stand between members whichever are left out. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "infer/schema_write.h"

enum { MAX_NAME = 256 };

typedef struct {
    const char *name;
    int rule;  // of its value
    bool required;
} property;

/* Strings without escapes that are none of the names from `at` on, `from` characters of which are
 * written already. A rule per character that some of them share. */
typedef struct {
    const char **name;  // in order
    size_t n;
} names;

static fl_status other_names(fli_schema_writer *w, names s, size_t from, int *rule, fl_err *err) {
    fl_text body = {0}, listed = {0};
    fl_status st = FL_OK;
    bool ends = false;
    *rule = w->n_rules++;
    for (size_t i = 0; i < s.n && st == FL_OK;) {
        const uint8_t *at = (const uint8_t *)s.name[i] + from;
        int n = 1, inner;
        size_t last = i + 1;
        int32_t c = *at ? fl_utf8_decode(at, strlen((const char *)at), &n) : 0;
        while (last < s.n && strncmp(s.name[last], s.name[i], from + (size_t)n) == 0) last++;
        ends = ends || !*at;
        if (*at && c > 0) {
            st = other_names(w, (names){s.name + i, last - i}, from + (size_t)n, &inner, err);
            fl_text_printf(&listed, "\\U%08X", (unsigned)c);
            if (st == FL_OK) {
                fli_schema_literal(&body, (const char *)at, (size_t)n);
                fl_text_printf(&body, " r%d | ", inner);
            }
        }
        i = last;
    }
    fl_text_printf(&body, "%s[^%s\"\\\\\\x00-\\x1F\\x7F] raw* \"\\\"\"", ends ? "" : "\"\\\"\" | ",
                   fl_text_str(&listed));
    fl_text_clear(&listed);
    fl_status written = fli_schema_rule(w, *rule, &body, err);
    return st == FL_OK ? written : st;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rules for an additional member: its name, then its value. */
static fl_status other_member(fli_schema_writer *w, const property *p, size_t n,
                              const json_t *schema, int *rule, fl_err *err) {
    int name, value;
    fl_text body = {0};
    const char **list = fl_alloc((n + 1) * sizeof *list);
    if (!list) return fl_fail(err, FL_ERR_NOMEM, "%zu names", n);
    fl_status st = FL_OK;
    for (size_t i = 0; i < n; i++) {
        list[i] = p[i].name;
        if (strlen(list[i]) > MAX_NAME)
            st = fl_fail(err, FL_ERR_UNSUPPORTED,
                         "a name longer than %d bytes beside additionalProperties", MAX_NAME);
    }
    qsort(list, n, sizeof *list, by_name);
    if (st == FL_OK) st = other_names(w, (names){list, n}, 0, &name, err);
    fl_dealloc(list);
    if (st == FL_OK) st = fli_schema_visit(w, schema, &value, err);
    if (st != FL_OK) return st;
    *rule = w->n_rules++;
    fl_text_printf(&body, "\"\\\"\" r%d ws \":\" ws r%d ws", name, value);
    return fli_schema_rule(w, *rule, &body, err);
}

/* Members from i on, when some are written (`comma`) or none is: this one and the rest, or, unless
 * it is required, the rest. `tail` is the rule of the rest, of both kinds. */
static fl_status member_write(fli_schema_writer *w, const property *p, bool comma,
                              const int tail[2], int *rule, fl_err *err) {
    fl_text body = {0};
    *rule = w->n_rules++;
    if (comma) fl_text_puts(&body, "\",\" ws ");
    json_t *key = json_string(p->name);
    fli_schema_literal_json(&body, key);
    json_decref(key);
    fl_text_printf(&body, " ws \":\" ws r%d ws r%d", p->rule, tail[1]);
    if (!p->required) fl_text_printf(&body, " | r%d", tail[comma]);
    return fli_schema_rule(w, *rule, &body, err);
}

/* What ends an object: additional members, or nothing. */
static fl_status tails_write(fli_schema_writer *w, int other, int tail[2], fl_err *err) {
    for (int comma = 0; comma < 2; comma++) {
        fl_text body = {0};
        tail[comma] = w->n_rules++;
        if (other < 0) fl_text_puts(&body, "\"\"");
        else if (comma) fl_text_printf(&body, "(\",\" ws r%d)*", other);
        else fl_text_printf(&body, "(r%d (\",\" ws r%d)*)?", other, other);
        FL_TRY(fli_schema_rule(w, tail[comma], &body, err));
    }
    return FL_OK;
}

static fl_status members_write(fli_schema_writer *w, const property *p, size_t n,
                               const json_t *rest, fl_text *body, fl_err *err) {
    int other = -1, tail[2], now[2];
    if (rest && !json_is_false(rest)) FL_TRY(other_member(w, p, n, rest, &other, err));
    FL_TRY(tails_write(w, other, tail, err));
    while (n-- > 0) {
        if (p[n].rule < 0) continue;  // may not be there
        for (int comma = 0; comma < 2; comma++)
            FL_TRY(member_write(w, &p[n], comma, tail, &now[comma], err));
        memcpy(tail, now, sizeof tail);
    }
    fl_text_printf(body, "\"{\" ws r%d \"}\"", tail[0]);
    return FL_OK;
}

static bool lists(const json_t *list, const char *name) {
    size_t i;
    const json_t *one;
    json_array_foreach(list, i, one) {
        const char *s = json_string_value(one);
        if (s && strcmp(s, name) == 0) return true;
    }
    return false;
}

/* The properties that are named, then those that are only required. */
static fl_status properties_list(fli_schema_writer *w, const json_t *schema, property *p, size_t *n,
                                 fl_err *err) {
    const json_t *named = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required");
    const json_t *rest = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *v;
    size_t i;
    *n = 0;
    json_object_foreach((json_t *)named, name, v) {
        p[*n] = (property){.name = name, .rule = -1, .required = lists(required, name)};
        if (json_is_false(v) && p[*n].required)
            return fl_fail(err, FL_ERR_ARG, "%.60s is required and may not be", name);
        if (!json_is_false(v)) FL_TRY(fli_schema_visit(w, v, &p[*n].rule, err));
        ++*n;
    }
    json_array_foreach(required, i, v) {
        name = json_string_value(v);
        if (!name) return fl_fail(err, FL_ERR_ARG, "required: expected a list of names");
        if (json_object_get(named, name)) continue;
        if (json_is_false(rest))
            return fl_fail(err, FL_ERR_ARG, "%.60s is required and may not be", name);
        p[*n] = (property){.name = name, .required = true};
        json_t *any = json_true();
        FL_TRY(fli_schema_visit(w, rest ? rest : any, &p[(*n)++].rule, err));
    }
    return FL_OK;
}

fl_status fli_schema_object(fli_schema_writer *w, const json_t *schema, fl_text *body,
                            fl_err *err) {
    const json_t *named = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required");
    if ((named && !json_is_object(named)) || (required && !json_is_array(required))) {
        return fl_fail(err, FL_ERR_ARG,
                       "properties is an object of schemas, required a list of names");
    }
    const json_t *rest = json_object_get(schema, "additionalProperties"), *any = json_true();
    if (!named && !rest) rest = any;
    size_t n = 0, most = json_object_size(named) + json_array_size(required);
    property *p = fl_alloc((most + 1) * sizeof *p);
    if (!p) return fl_fail(err, FL_ERR_NOMEM, "%zu properties", most);
    fl_status st = properties_list(w, schema, p, &n, err);
    if (st == FL_OK) st = members_write(w, p, n, rest, body, err);
    fl_dealloc(p);
    return st;
}
