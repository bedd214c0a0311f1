/* schema_types - what a schema says of a value of each type, as the body of a rule: keywords,
 * strings, numbers, arrays, constants. */
#include <math.h>
#include <string.h>

#include "infer/schema_write.h"

enum { MAX_LENGTH = 100000 };

/* --- keywords --------------------------------------------------------------------------------- */

typedef struct {
    const char *word;
    const char *type;  // that it is about; "": any; NULL: for people, passed over
} keyword;

static const keyword keywords[] = {
    {"type", ""},
    {"enum", ""},
    {"const", ""},
    {"properties", "object"},
    {"required", "object"},
    {"additionalProperties", "object"},
    {"items", "array"},
    {"prefixItems", "array"},
    {"minItems", "array"},
    {"maxItems", "array"},
    {"minLength", "string"},
    {"maxLength", "string"},
    {"pattern", "string"},
    {"format", "string"},
    {"minimum", "integer"},
    {"maximum", "integer"},
    {"exclusiveMinimum", "integer"},
    {"exclusiveMaximum", "integer"},
    {"title", NULL},
    {"description", NULL},
    {"default", NULL},
    {"examples", NULL},
    {"$comment", NULL},
    {"$schema", NULL},
    {"$id", NULL},
    {"$defs", NULL},
    {"definitions", NULL},
    {"deprecated", NULL},
    {"readOnly", NULL},
    {"writeOnly", NULL},
};

static const keyword *keyword_find(const char *word) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (strcmp(keywords[i].word, word) == 0) return &keywords[i];
    }
    return NULL;
}

static fl_status check_keywords(const json_t *schema, fl_err *err) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)schema, key, v) {
        if (keyword_find(key)) continue;
        return fl_fail(err, FL_ERR_UNSUPPORTED, "the keyword %.60s is not supported", key);
    }
    return FL_OK;
}

static bool is_about(const json_t *schema, const char *type) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)schema, key, v) {
        const keyword *k = keyword_find(key);
        if (k && k->type && strcmp(k->type, type) == 0) return true;
    }
    return false;
}

/* A count that may be absent. */
static fl_status count_read(const json_t *schema, const char *key, int64_t fallback, int64_t *out,
                            fl_err *err) {
    FL_TRY(fl_json_int_or(schema, key, fallback, out, "schema", err));
    if (*out >= 0 || *out == fallback) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%s is %lld", key, (long long)*out);
}

/* {least,most} behind an item; most < 0: no limit. */
static fl_status times(fl_text *body, int64_t least, int64_t most, fl_err *err) {
    if (least > MAX_LENGTH || most > MAX_LENGTH) {
        return fl_fail(err, FL_ERR_UNSUPPORTED, "lengths above %d are not supported", MAX_LENGTH);
    }
    if (most < 0) fl_text_printf(body, "{%lld,}", (long long)least);
    else fl_text_printf(body, "{%lld,%lld}", (long long)least, (long long)most);
    return FL_OK;
}

static fl_status check_order(int64_t least, int64_t most, const char *what, fl_err *err) {
    if (most < 0 || least <= most) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%s: at least %lld and at most %lld", what, (long long)least,
                   (long long)most);
}

/* --- strings and numbers ---------------------------------------------------------------------- */

static fl_status format_write(const char *format, fl_text *body, fl_err *err) {
    static const char *const known[] = {"date", "time", "date-time", "uuid"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(format, known[i]) != 0) continue;
        fl_text_puts(body, format);
        return FL_OK;
    }
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "format %.40s is not supported; date, time, date-time and uuid are", format);
}

static fl_status string_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                              fl_err *err) {
    (void)w;
    int64_t least, most;
    const char *pattern = NULL, *format = NULL;
    FL_TRY(count_read(schema, "minLength", 0, &least, err));
    FL_TRY(count_read(schema, "maxLength", -1, &most, err));
    FL_TRY(check_order(least, most, "length", err));
    FL_TRY(fl_json_str_or(schema, "pattern", NULL, &pattern, "schema", err));
    FL_TRY(fl_json_str_or(schema, "format", NULL, &format, "schema", err));
    bool length = least > 0 || most >= 0;
    if (length + (pattern != NULL) + (format != NULL) > 1) {
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "only one of pattern, format and a length is supported");
    }
    if (format) return format_write(format, body, err);
    fl_text_puts(body, "\"\\\"\" ");
    if (pattern) {
        fl_text_puts(body, "(");
        FL_TRY(fli_schema_pattern(body, pattern, err));
        fl_text_puts(body, ")");
    } else {
        fl_text_puts(body, "char");
        FL_TRY(times(body, least, most, err));
    }
    fl_text_puts(body, " \"\\\"\"");
    return FL_OK;
}

/* One limit of integers, tightened by its keyword; `step` of the exclusive one. */
static fl_status limit_read(const json_t *schema, const char *key, int step, bool upper,
                            int64_t *limit, fl_err *err) {
    const json_t *v = json_object_get(schema, key);
    if (!v) return FL_OK;
    if (!json_is_number(v) || fabs(json_number_value(v)) > 9e15) {
        return fl_fail(err, FL_ERR_ARG, "%s: expected a number, up to 9e15", key);
    }
    double x = json_number_value(v), whole = upper ? floor(x) : ceil(x);
    int64_t at = (int64_t)whole + (whole == x ? step : 0);
    if (upper ? at < *limit : at > *limit) *limit = at;
    return FL_OK;
}

static fl_status integer_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                               fl_err *err) {
    (void)w;
    int64_t low = INT64_MIN, high = INT64_MAX;
    FL_TRY(limit_read(schema, "minimum", 0, false, &low, err));
    FL_TRY(limit_read(schema, "exclusiveMinimum", 1, false, &low, err));
    FL_TRY(limit_read(schema, "maximum", 0, true, &high, err));
    FL_TRY(limit_read(schema, "exclusiveMaximum", -1, true, &high, err));
    if (low > high)
        return fl_fail(err, FL_ERR_ARG,
                       "no integer is at least the minimum and at most the maximum");
    fli_schema_integers(body, low, high);
    return FL_OK;
}

static fl_status number_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                              fl_err *err) {
    (void)w;
    if (is_about(schema, "integer")) {
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "limits of a number are supported for integers only");
    }
    fl_text_puts(body, "number");
    return FL_OK;
}

static fl_status boolean_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                               fl_err *err) {
    (void)w, (void)schema, (void)err;
    fl_text_puts(body, "boolean");
    return FL_OK;
}

static fl_status null_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                            fl_err *err) {
    (void)w, (void)schema, (void)err;
    fl_text_puts(body, "null");
    return FL_OK;
}

/* --- arrays ----------------------------------------------------------------------------------- */

static fl_status items_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                             fl_err *err) {
    int64_t least, most, n = 0;
    const json_t *items = json_object_get(schema, "items");
    const json_t *prefix = json_object_get(schema, json_is_array(items) ? "items" : "prefixItems");
    if (json_is_array(items)) items = NULL;  // the older way to say prefixItems
    FL_TRY(count_read(schema, "minItems", 0, &least, err));
    FL_TRY(count_read(schema, "maxItems", -1, &most, err));
    FL_TRY(check_order(least, most, "items", err));
    for (; n < (int64_t)json_array_size(prefix) && (most < 0 || n < most); n++) {
        int rule;
        FL_TRY(fli_schema_visit(w, json_array_get(prefix, (size_t)n), &rule, err));
        fl_text_printf(body, "%sr%d ws ", n ? "\",\" ws " : "", rule);
    }
    bool more = most < 0 || most > n;
    if (n && !items) more = least > n;  // a tuple has no more than it must
    if (json_is_false(items)) more = false;
    if (!more) {
        return least <= n ? FL_OK
                          : fl_fail(err, FL_ERR_ARG, "more items are wanted than there may be");
    }
    int rule = -1;
    if (items) FL_TRY(fli_schema_visit(w, items, &rule, err));
    char item[24] = "value";
    if (items) snprintf(item, sizeof item, "r%d", rule);
    if (!n) fl_text_printf(body, "(%s ws ", item);
    fl_text_printf(body, "(\",\" ws %s ws)", item);
    int64_t first = n ? n : 1;
    FL_TRY(times(body, least > first ? least - first : 0, most < 0 ? -1 : most - first, err));
    if (!n) fl_text_puts(body, least ? ") " : ")? ");
    return FL_OK;
}

static fl_status array_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                             fl_err *err) {
    fl_text_puts(body, "\"[\" ws ");
    FL_TRY(items_write(w, schema, body, err));
    fl_text_puts(body, " \"]\"");
    return FL_OK;
}

/* --- types ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    fl_status (*write)(fli_schema_writer *w, const json_t *schema, fl_text *body, fl_err *err);
} types[] = {
    {"object", fli_schema_object}, {"array", array_write},   {"string", string_write},
    {"integer", integer_write},    {"number", number_write}, {"boolean", boolean_write},
    {"null", null_write},
};
enum { N_TYPES = sizeof types / sizeof *types };

static fl_status values_write(const json_t *schema, const json_t *values, fl_text *body,
                              fl_err *err) {
    const char *type = json_string_value(json_object_get(schema, "type"));
    const json_t *list = json_object_get(schema, "type");
    size_t i, k;
    json_t *v, *one;
    bool any = false;
    for (k = 0; k < sizeof keywords / sizeof *keywords; k++) {
        bool beside = keywords[k].type && keywords[k].type[0] &&
                      json_object_get(schema, keywords[k].word);
        if (beside) {
            return fl_fail(err, FL_ERR_UNSUPPORTED, "%s beside enum or const is not supported",
                           keywords[k].word);
        }
    }
    json_array_foreach(values, i, v) {
        bool fits = !list || (type && fli_schema_is(v, type));
        json_array_foreach(list, k, one)
            fits = fits || (json_is_string(one) && fli_schema_is(v, json_string_value(one)));
        if (!fits) continue;
        if (any) fl_text_puts(body, " | ");
        fli_schema_literal_json(body, v);
        any = true;
    }
    return any ? FL_OK : fl_fail(err, FL_ERR_ARG, "enum or const has no value of the type");
}

static fl_status type_write(fli_schema_writer *w, const json_t *schema, const char *type,
                            fl_text *body, fl_err *err) {
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(types[i].name, type) == 0) return types[i].write(w, schema, body, err);
    }
    return fl_fail(err, FL_ERR_ARG,
                   "type %.40s: expected object, array, string, integer, number, boolean or null",
                   type);
}

/* Without a type, those that keywords are about. */
static fl_status implied_write(fli_schema_writer *w, const json_t *schema, fl_text *body,
                               fl_err *err) {
    bool any = false;
    for (int i = 0; i < N_TYPES; i++) {
        if (!is_about(schema, types[i].name)) continue;
        if (any) fl_text_puts(body, " | ");
        FL_TRY(types[i].write(w, schema, body, err));
        any = true;
    }
    if (!any) fl_text_puts(body, "value");
    return FL_OK;
}

fl_status fli_schema_plain(fli_schema_writer *w, const json_t *schema, fl_text *body, fl_err *err) {
    FL_TRY(check_keywords(schema, err));
    json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum"), *v;
    const json_t *type = json_object_get(schema, "type");
    if (one && list) return fl_fail(err, FL_ERR_UNSUPPORTED, "const beside enum is not supported");
    if (list && !json_is_array(list))
        return fl_fail(err, FL_ERR_ARG, "enum: expected a list of values");
    if (one || list) {
        json_t *values = one ? json_pack("[O]", one) : json_incref(list);
        fl_status st = values ? values_write(schema, values, body, err)
                              : fl_fail(err, FL_ERR_NOMEM, "a constant");
        json_decref(values);
        return st;
    }
    if (!type) return implied_write(w, schema, body, err);
    if (json_is_string(type)) return type_write(w, schema, json_string_value(type), body, err);
    size_t i;
    if (!json_array_size(type))
        return fl_fail(err, FL_ERR_ARG, "no type is left that a value could have");
    json_array_foreach(type, i, v) {
        if (!json_is_string(v)) return fl_fail(err, FL_ERR_ARG, "type: expected names of types");
        if (i) fl_text_puts(body, " | ");
        FL_TRY(type_write(w, schema, json_string_value(v), body, err));
    }
    return FL_OK;
}

/* A $ref, and at most words for people beside it. */
bool fli_schema_says_only_ref(const json_t *schema) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)schema, key, v) {
        const keyword *k = keyword_find(key);
        if (strcmp(key, "$ref") != 0 && (!k || k->type)) return false;
    }
    return true;
}
