/* schema_merge - two schemas that both hold, as one. */
#include <string.h>

#include "infer/schema_write.h"

enum { N_TYPES = 7 };
static const char *const types[N_TYPES] = {"null",   "boolean", "object", "array",
                                           "string", "integer", "number"};

/* --- types and values ------------------------------------------------------------------------- */

bool fli_schema_is(const json_t *v, const char *type) {
    if (strcmp(type, "number") == 0) return json_is_number(v);
    if (strcmp(type, "integer") == 0) return json_is_integer(v);
    if (strcmp(type, "string") == 0) return json_is_string(v);
    if (strcmp(type, "object") == 0) return json_is_object(v);
    if (strcmp(type, "array") == 0) return json_is_array(v);
    if (strcmp(type, "boolean") == 0) return json_is_boolean(v);
    return strcmp(type, "null") == 0 && json_is_null(v);
}

/* A bit for each type that may be. */
static unsigned types_of(const json_t *type) {
    unsigned bits = 0;
    size_t i;
    const json_t *one;
    for (int k = 0; k < N_TYPES; k++) {
        if (json_is_string(type) && strcmp(json_string_value(type), types[k]) == 0) bits |= 1u << k;
        json_array_foreach(type, i, one) {
            if (json_is_string(one) && strcmp(json_string_value(one), types[k]) == 0)
                bits |= 1u << k;
        }
    }
    return bits & 1u << 6 ? bits | 1u << 5 : bits;  // an integer is a number
}

static json_t *merge_types(const json_t *a, const json_t *b) {
    unsigned both = types_of(a) & types_of(b);
    json_t *out = json_array();
    if (both & 1u << 6) both &= ~(1u << 5);
    for (int k = 0; k < N_TYPES; k++) {
        if (both & 1u << k) json_array_append_new(out, json_string(types[k]));
    }
    return out;
}

static bool has_value(const json_t *values, const json_t *v) {
    size_t i;
    const json_t *one;
    json_array_foreach(values, i, one) {
        if (json_equal(one, v)) return true;
    }
    return false;
}

static json_t *common(const json_t *a, const json_t *b) {
    json_t *out = json_array(), *one;
    size_t i;
    json_array_foreach(a, i, one) {
        if (has_value(b, one)) json_array_append(out, one);
    }
    return out;
}

/* --- keywords --------------------------------------------------------------------------------- */

static json_t *larger(const json_t *a, const json_t *b) {
    return json_deep_copy(json_number_value(a) > json_number_value(b) ? a : b);
}

static json_t *smaller(const json_t *a, const json_t *b) {
    return json_deep_copy(json_number_value(a) < json_number_value(b) ? a : b);
}

static json_t *either(const json_t *a, const json_t *b) {
    json_t *out = json_deep_copy(a), *one;
    size_t i;
    json_array_foreach(b, i, one) {
        if (!has_value(a, one)) json_array_append(out, one);
    }
    return out;
}

static json_t *all_of(const json_t *a, const json_t *b) {
    if (json_is_true(a) || json_is_false(b)) return json_deep_copy(b);
    if (json_is_true(b) || json_is_false(a)) return json_deep_copy(a);
    return json_pack("{s:[o, o]}", "allOf", json_deep_copy(a), json_deep_copy(b));
}

static const struct {
    const char *keyword;
    json_t *(*merge)(const json_t *a, const json_t *b);
} rows[] = {
    {"type", merge_types},         {"enum", common},
    {"required", either},          {"minItems", larger},
    {"maxItems", smaller},         {"minLength", larger},
    {"maxLength", smaller},        {"minimum", larger},
    {"maximum", smaller},          {"exclusiveMinimum", larger},
    {"exclusiveMaximum", smaller}, {"items", all_of},
};

static json_t *merge_keyword(const char *keyword, const json_t *a, const json_t *b) {
    if (json_equal(a, b)) return json_deep_copy(a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].keyword, keyword) == 0) return rows[i].merge(a, b);
    }
    return NULL;
}

/* --- properties ------------------------------------------------------------------------------- */

/* Of the properties that `from` names: what both say. One that `other` does not name is what its
 * additionalProperties allow, which without the keyword is anything. */
static void merge_properties(json_t *out, const json_t *from, const json_t *other) {
    const json_t *theirs = json_object_get(other, "properties");
    const json_t *rest = json_object_get(other, "additionalProperties");
    const char *name;
    json_t *schema;
    json_object_foreach(json_object_get(from, "properties"), name, schema) {
        const json_t *also = json_object_get(theirs, name) ? json_object_get(theirs, name) : rest;
        if (json_object_get(out, name)) continue;
        json_object_set_new(out, name, also ? all_of(schema, also) : json_deep_copy(schema));
    }
}

static bool is_one_of(const char *word, const char *const *list) {
    for (; *list; list++) {
        if (strcmp(word, *list) == 0) return true;
    }
    return false;
}

static void merge_objects(json_t *out, const json_t *a, const json_t *b) {
    json_t *properties = json_object();
    const json_t *rest_a = json_object_get(a, "additionalProperties");
    const json_t *rest_b = json_object_get(b, "additionalProperties");
    merge_properties(properties, a, b);
    merge_properties(properties, b, a);
    if (json_object_size(properties)) json_object_set(out, "properties", properties);
    json_decref(properties);
    if (rest_a && rest_b) json_object_set_new(out, "additionalProperties", all_of(rest_a, rest_b));
    else if (rest_a || rest_b)
        json_object_set_new(out, "additionalProperties", json_deep_copy(rest_a ? rest_a : rest_b));
}

/* anyOf and the like, when both have them: under allOf. */
static void merge_choice(json_t *out, const char *keyword, const json_t *v) {
    json_t *list = json_object_get(out, "allOf");
    if (!list) json_object_set_new(out, "allOf", list = json_array());
    json_array_append_new(list, json_pack("{s:o}", keyword, json_deep_copy(v)));
}

static const char *const by_object[] = {"properties", "additionalProperties", NULL};
static const char *const choices[] = {"anyOf", "oneOf", "allOf", "$ref", NULL};
static const char *const words[] = {"title",       "description", "default",  "examples",
                                    "$comment",    "$schema",     "$id",      "$defs",
                                    "definitions", "deprecated",  "readOnly", "writeOnly",
                                    NULL};

fl_status fli_schema_merge(const json_t *a, const json_t *b, json_t **out, fl_err *err) {
    if (json_is_boolean(a) || json_is_boolean(b)) {
        const json_t *other = json_is_boolean(a) ? b : a, *truth = json_is_boolean(a) ? a : b;
        *out = json_is_true(truth) ? json_deep_copy(other) : json_false();
        return FL_OK;
    }
    if (!json_is_object(a) || !json_is_object(b)) {
        return fl_fail(err, FL_ERR_ARG, "a schema is an object, true or false");
    }
    json_t *m = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)a, key, v) {
        if (!is_one_of(key, by_object)) json_object_set_new(m, key, json_deep_copy(v));
    }
    json_object_foreach((json_t *)b, key, v) {
        const json_t *have = json_object_get(a, key);
        if (is_one_of(key, by_object) || (have && is_one_of(key, words))) continue;
        json_t *merged = have && !is_one_of(key, choices) ? merge_keyword(key, have, v) : NULL;
        if (merged) json_object_set_new(m, key, merged);
        else if (!have) json_object_set_new(m, key, json_deep_copy(v));
        else if (is_one_of(key, choices)) merge_choice(m, key, v);
        else {
            json_decref(m);
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "two schemas that both hold have different %.40s", key);
        }
    }
    merge_objects(m, a, b);
    *out = m;
    return FL_OK;
}

/* --- schemas that cannot both hold
 * ------------------------------------------------------------- */

/* The values a schema lists: enum, or const as a list of one; a new reference, or NULL. */
static json_t *values_of(const json_t *schema) {
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    if (one) return json_pack("[O]", one);
    return json_is_array(list) ? json_incref((json_t *)list) : NULL;
}

static bool values_apart(const json_t *a, const json_t *b) {
    json_t *va = values_of(a), *vb = values_of(b), *same = va && vb ? common(va, vb) : NULL;
    bool apart = same && json_array_size(same) == 0;
    json_decref(va);
    json_decref(vb);
    json_decref(same);
    return apart;
}

static unsigned types_listed(const json_t *schema) {
    json_t *values = values_of(schema);
    const json_t *v;
    size_t i;
    unsigned bits = values ? 0 : (1u << N_TYPES) - 1;
    json_array_foreach(values, i, v) {
        for (int k = 0; k < N_TYPES; k++) bits |= fli_schema_is(v, types[k]) ? 1u << k : 0;
    }
    json_decref(values);
    const json_t *type = json_object_get(schema, "type");
    return type ? bits & types_of(type) : bits;
}

bool fli_schema_apart(const json_t *a, const json_t *b) {
    if (json_is_false(a) || json_is_false(b)) return true;
    if (!json_is_object(a) || !json_is_object(b)) return false;
    if ((types_listed(a) & types_listed(b)) == 0 || values_apart(a, b)) return true;
    const json_t *object = json_string_value(json_object_get(a, "type"))
                               ? json_object_get(a, "type")
                               : NULL;
    if (!object || types_of(object) != 1u << 2) return false;
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(a, "required"), i, name) {
        const char *key = json_string_value(name);
        if (!key || !has_value(json_object_get(b, "required"), name)) continue;
        const json_t *pa = json_object_get(json_object_get(a, "properties"), key);
        const json_t *pb = json_object_get(json_object_get(b, "properties"), key);
        if (pa && pb && values_apart(pa, pb)) return true;
    }
    return false;
}
