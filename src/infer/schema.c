/* schema - JSON schema to grammar: a rule for each schema, and one for each $ref, which may lead
 * back to itself. What a schema without references and alternatives says is in schema_types.c.
 *
 * A rule's text is written to a text of its own while those of the schemas inside go to the
 * grammar. A value is followed by `ws` where it stands in an object or array; a name of an
 * additional property is written without escapes, so that it cannot be one of the others in
 * disguise. */
#include "infer/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "infer/schema_write.h"

enum { MAX_DEPTH = 64, MAX_BYTES = 1 << 20 };

static const char common_rules[] =
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
    "hex ::= [0-9a-fA-F]\n"
    "raw ::= [^\"\\\\\\x00-\\x1F\\x7F]\n"
    "char ::= raw | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] "
    "hex{2}))\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "natural ::= \"0\" | [1-9] [0-9]{0,15}\n"
    "integer ::= \"-\"? natural\n"
    "number ::= \"-\"? natural (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n"
    "member ::= string ws \":\" ws value ws\n"
    "object ::= \"{\" ws (member (\",\" ws member)*)? \"}\"\n"
    "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"
    "value ::= object | array | string | number | boolean | null\n"
    "day ::= (\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01])"
    " | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\")"
    " | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])\n"
    "day-of-year ::= [1-9] [0-9]{3} \"-\" day\n"
    "minute ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9]\n"
    "time-of-day ::= minute \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? (\"Z\" | [-+] minute)\n"
    "date ::= \"\\\"\" day-of-year \"\\\"\"\n"
    "time ::= \"\\\"\" time-of-day \"\\\"\"\n"
    "date-time ::= \"\\\"\" day-of-year \"T\" time-of-day \"\\\"\"\n"
    "uuid ::= \"\\\"\" hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12} \"\\\"\"\n";

/* A rule of this body, which is cleared. */
fl_status fli_schema_rule(fli_schema_writer *w, int rule, fl_text *body, fl_err *err) {
    fl_status st = fl_text_ok(body, err);
    fl_text_printf(w->out, "r%d ::= %s\n", rule, fl_text_str(body));
    fl_text_clear(body);
    if (st == FL_OK && w->out->n > MAX_BYTES) {
        st = fl_fail(err, FL_ERR_ARG, "the schema's grammar is larger than %d bytes", MAX_BYTES);
    }
    return st;
}

/* --- literals --------------------------------------------------------------------------------- */

/* Any bytes as a string of the grammar. */
void fli_schema_literal(fl_text *body, const char *s, size_t n) {
    fl_text_puts(body, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') fl_text_printf(body, "\\%c", c);
        else if (c < ' ' || c == 127) fl_text_printf(body, "\\x%02X", c);
        else fl_text_append(body, s + i, 1);
    }
    fl_text_puts(body, "\"");
}

void fli_schema_literal_json(fl_text *body, const json_t *v) {
    fl_text t = {0};
    fl_json_print(&t, v, 0);
    body->failed = body->failed || t.failed;
    fli_schema_literal(body, fl_text_str(&t), t.n);
    fl_text_clear(&t);
}

/* --- $ref, allOf, anyOf, oneOf ---------------------------------------------------------------- */

/* The schema that #/a/b names; ~1 is a slash, ~0 a tilde. */
static const json_t *ref_find(const fli_schema_writer *w, const char *ref) {
    const json_t *at = w->root;
    if (*ref++ != '#') return NULL;
    while (at && *ref == '/') {
        char key[256];
        size_t n = 0;
        for (ref++; *ref && *ref != '/' && n < sizeof key - 1; ref++) {
            bool escape = ref[0] == '~' && (ref[1] == '0' || ref[1] == '1');
            key[n++] = escape ? (*++ref == '0' ? '~' : '/') : *ref;
        }
        key[n] = 0;
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    }
    return *ref ? NULL : at;
}

static fl_status ref_get(const fli_schema_writer *w, const json_t *schema, const json_t **out,
                         fl_err *err) {
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    *out = ref ? ref_find(w, ref) : NULL;
    if (*out) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "$ref %.80s: there is no such schema in this one",
                   ref ? ref : "");
}

/* Alone, a $ref is the rule of what it names, made once. */
static fl_status ref_visit(fli_schema_writer *w, const json_t *schema, int *rule, fl_err *err) {
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *named, *known = ref ? json_object_get(w->refs, ref) : NULL;
    if (known) {
        *rule = (int)json_integer_value(known);
        return FL_OK;
    }
    FL_TRY(ref_get(w, schema, &named, err));
    int inner;
    fl_text body = {0};
    *rule = w->n_rules++;
    json_object_set_new(w->refs, ref, json_integer(*rule));
    FL_TRY(fli_schema_visit(w, named, &inner, err));
    fl_text_printf(&body, "r%d", inner);
    return fli_schema_rule(w, *rule, &body, err);
}

/* A copy without one keyword. */
static json_t *without(const json_t *schema, const char *key) {
    json_t *copy = json_copy((json_t *)schema);
    json_object_del(copy, key);
    return copy;
}

/* The schema beside a keyword, merged with `other`, as a rule. */
static fl_status merged_visit(fli_schema_writer *w, const json_t *beside, const json_t *other,
                              int *rule, fl_err *err) {
    json_t *merged;
    FL_TRY(fli_schema_merge(beside, other, &merged, err));
    fl_status st = fli_schema_visit(w, merged, rule, err);
    json_decref(merged);
    return st;
}

static fl_status all_visit(fli_schema_writer *w, const json_t *schema, const json_t *list,
                           int *rule, fl_err *err) {
    json_t *sum = without(schema, "allOf"), *one, *merged;
    fl_status st = FL_OK;
    size_t i;
    json_array_foreach(list, i, one) {
        st = fli_schema_merge(sum, one, &merged, err);
        if (st != FL_OK) break;
        json_decref(sum);
        sum = merged;
    }
    if (st == FL_OK) st = fli_schema_visit(w, sum, rule, err);
    json_decref(sum);
    return st;
}

static fl_status check_apart(const json_t *list, fl_err *err) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t k = i + 1; k < json_array_size(list); k++) {
            if (fli_schema_apart(json_array_get(list, i), json_array_get(list, k))) continue;
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "oneOf: a value may be valid under both alternative %zu and %zu; use "
                           "anyOf",
                           i, k);
        }
    }
    return FL_OK;
}

static fl_status any_visit(fli_schema_writer *w, const json_t *schema, const char *key, int *rule,
                           fl_err *err) {
    const json_t *list = json_object_get(schema, key);
    json_t *beside = without(schema, key), *one;
    fl_text body = {0};
    size_t i;
    int inner;
    fl_status st = strcmp(key, "oneOf") == 0 ? check_apart(list, err) : FL_OK;
    *rule = w->n_rules++;
    json_array_foreach(list, i, one) {
        if (st == FL_OK && !json_is_false(one)) st = merged_visit(w, beside, one, &inner, err);
        if (st != FL_OK) break;
        if (!json_is_false(one)) fl_text_printf(&body, "%sr%d", body.n ? " | " : "", inner);
    }
    json_decref(beside);
    if (st == FL_OK && !body.n)
        st = fl_fail(err, FL_ERR_ARG, "%s has no alternative that can hold", key);
    if (st == FL_OK) return fli_schema_rule(w, *rule, &body, err);
    fl_text_clear(&body);
    return st;
}

static fl_status visit_object(fli_schema_writer *w, const json_t *schema, int *rule, fl_err *err) {
    static const char *const lists_of[] = {"allOf", "anyOf", "oneOf"};
    const json_t *named;
    for (int i = 0; i < 3; i++) {
        const json_t *list = json_object_get(schema, lists_of[i]);
        if (list && !json_array_size(list))
            return fl_fail(err, FL_ERR_ARG, "%s: expected a list of schemas", lists_of[i]);
    }
    if (json_object_get(schema, "$ref")) {
        if (fli_schema_says_only_ref(schema)) return ref_visit(w, schema, rule, err);
        FL_TRY(ref_get(w, schema, &named, err));
        json_t *beside = without(schema, "$ref");
        fl_status st = merged_visit(w, beside, named, rule, err);
        json_decref(beside);
        return st;
    }
    const json_t *all = json_object_get(schema, "allOf");
    if (all) return all_visit(w, schema, all, rule, err);
    if (json_object_get(schema, "anyOf")) return any_visit(w, schema, "anyOf", rule, err);
    if (json_object_get(schema, "oneOf")) return any_visit(w, schema, "oneOf", rule, err);
    fl_text body = {0};
    *rule = w->n_rules++;
    fl_status st = fli_schema_plain(w, schema, &body, err);
    if (st == FL_OK) return fli_schema_rule(w, *rule, &body, err);
    fl_text_clear(&body);
    return st;
}

fl_status fli_schema_visit(fli_schema_writer *w, const json_t *schema, int *rule, fl_err *err) {
    fl_text body = {0};
    if (json_is_false(schema))
        return fl_fail(err, FL_ERR_ARG, "a schema that nothing is valid under");
    if (!json_is_true(schema) && !json_is_object(schema)) {
        return fl_fail(err, FL_ERR_ARG, "a schema is an object, true or false");
    }
    if (w->depth == MAX_DEPTH)
        return fl_fail(err, FL_ERR_ARG, "schemas nested deeper than %d", MAX_DEPTH);
    if (json_is_object(schema)) {
        w->depth++;
        fl_status st = visit_object(w, schema, rule, err);
        w->depth--;
        return st;
    }
    *rule = w->n_rules++;
    fl_text_puts(&body, "value");
    return fli_schema_rule(w, *rule, &body, err);
}

fl_status fl_schema_grammar(const json_t *schema, fl_text *out, fl_err *err) {
    fli_schema_writer w = {.root = schema, .out = out, .refs = json_object()};
    int rule = 0;
    if (!w.refs) return fl_fail(err, FL_ERR_NOMEM, "a schema");
    fl_status st = fli_schema_visit(&w, schema, &rule, err);
    json_decref(w.refs);
    if (st != FL_OK) return st;
    fl_text_printf(out, "root ::= r%d\n%s", rule, common_rules);
    return fl_text_ok(out, err);
}
