/* json - jansson in, our own text out, and getters that say what they wanted. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"

enum { JSON_MAX_BYTES = 1 << 29 };  // the largest tokenizer.json in use is under 50 MB

enum {
    PARSE_FLAGS = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
    BIG_INTEGERS_MAX = 64
};

/* Parse text in which an integer is too big for 64 bits, as a real: transformers writes "no limit"
 * as 10^30. The error points behind the number, where ".0" makes it one. NULL with *e set where
 * that is not what is wrong. */
static json_t *parse_big_integers(const char *text, size_t n, json_error_t *e) {
    fl_text copy = {0};
    fl_text_append(&copy, text, n);
    json_t *v = NULL;
    for (int i = 0; i < BIG_INTEGERS_MAX && !v && !copy.failed; i++) {
        size_t at = (size_t)e->position;
        bool big = json_error_code(e) == json_error_numeric_overflow &&
                   strstr(e->text, "integer") && at <= copy.n;
        if (!big) break;
        fl_text_puts(&copy, "  ");
        if (copy.failed) break;
        memmove(copy.data + at + 2, copy.data + at, copy.n - 2 - at);
        memcpy(copy.data + at, ".0", 2);
        v = json_loadb(copy.data, copy.n, PARSE_FLAGS, e);
    }
    fl_text_clear(&copy);
    return v;
}

fl_status fl_json_parse(json_t **out, const char *text, size_t n, const char *where, fl_err *err) {
    json_error_t e;
    json_t *v = json_loadb(text, n, PARSE_FLAGS, &e);
    if (!v && e.text[0]) v = parse_big_integers(text, n, &e);
    if (v) {
        *out = v;
        return FL_OK;
    }
    if (!e.text[0])
        return fl_fail(err, FL_ERR_NOMEM, "%s: its JSON", where);  // jansson has no word for it
    if (e.line < 1) return fl_fail(err, FL_ERR_FORMAT, "%s: %s", where, e.text);
    return fl_fail(err, FL_ERR_FORMAT, "%s:%d:%d: %s", where, e.line, e.column, e.text);
}

fl_status fl_json_load(json_t **out, const char *path, fl_err *err) {
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, JSON_MAX_BYTES, &text, &n, err));
    fl_status s = fl_json_parse(out, text, n, path, err);
    fl_dealloc(text);
    return s;
}

/* ---- writing ---- */

static void print_string(fl_text *out, const char *s, size_t n) {
    static const char *const brief[] =
        {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
         ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    fl_text_puts(out, "\"");
    size_t plain = 0;  // start of what needs no escape
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool escape = c < 0x20 || c == '"' || c == '\\';
        if (!escape) continue;
        fl_text_append(out, s + plain, i - plain);
        plain = i + 1;
        if (brief[c]) fl_text_puts(out, brief[c]);
        else fl_text_printf(out, "\\u%04x", c);
    }
    fl_text_append(out, s + plain, n - plain);
    fl_text_puts(out, "\"");
}

/* The shortest of 15, 16 and 17 digits that reads back as v, marked as a real: 1.0, not 1. */
static void print_real(fl_text *out, double v) {
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, v);
        if (strtod(digits, NULL) == v) break;
    }
    fl_text_puts(out, digits);
    if (!strpbrk(digits, ".e")) fl_text_puts(out, ".0");
}

static void new_line(fl_text *out, int indent, int depth) {
    if (indent) fl_text_printf(out, "\n%*s", indent * depth, "");
}

static void print_value(fl_text *out, const json_t *v, int indent, int depth) {
    const char *key;
    json_t *item;
    size_t i;
    const char *comma = indent ? "," : ", ";
    bool first = true;
    switch (json_typeof(v)) {
    case JSON_NULL: fl_text_puts(out, "null"); break;
    case JSON_TRUE: fl_text_puts(out, "true"); break;
    case JSON_FALSE: fl_text_puts(out, "false"); break;
    case JSON_INTEGER: fl_text_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: print_real(out, json_real_value(v)); break;
    case JSON_STRING: print_string(out, json_string_value(v), json_string_length(v)); break;
    case JSON_ARRAY:
        fl_text_puts(out, "[");
        json_array_foreach(v, i, item) {
            if (i) fl_text_puts(out, comma);
            new_line(out, indent, depth + 1);
            print_value(out, item, indent, depth + 1);
        }
        if (json_array_size(v)) new_line(out, indent, depth);
        fl_text_puts(out, "]");
        break;
    case JSON_OBJECT:
        fl_text_puts(out, "{");
        json_object_foreach((json_t *)(uintptr_t)v, key, item) {
            if (!first) fl_text_puts(out, comma);
            first = false;
            new_line(out, indent, depth + 1);
            print_string(out, key, strlen(key));
            fl_text_puts(out, ": ");
            print_value(out, item, indent, depth + 1);
        }
        if (!first) new_line(out, indent, depth);
        fl_text_puts(out, "}");
        break;
    }
}

json_t *fl_json_number(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

void fl_json_print(fl_text *out, const json_t *v, int indent) {
    print_value(out, v, indent, 0);
}

fl_status fl_json_save(const json_t *v, const char *path, fl_err *err) {
    fl_text text = {0};
    fl_json_print(&text, v, 2);
    fl_text_puts(&text, "\n");
    fl_status s = fl_text_ok(&text, err);
    if (s == FL_OK) s = fl_file_write(path, text.data, text.n, err);
    fl_text_clear(&text);
    return s;
}

/* ---- getters ---- */

static const char *type_name(const json_t *v) {
    static const char *const name[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list",       [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return name[json_typeof(v)];
}

static fl_status wrong_type(const json_t *v, const char *key, const char *expected,
                            const char *where, fl_err *err) {
    return fl_fail(err, FL_ERR_FORMAT, "%s: %s: expected %s, found %s", where, key, expected,
                   type_name(v));
}

/* The value under `key`; NULL when it is absent, or null and that means the same. */
static fl_status find(const json_t *o, const char *key, const char *expected, bool required,
                      const json_t **v, const char *where, fl_err *err) {
    if (!json_is_object(o))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object, found %s", where,
                       o ? type_name(o) : "nothing");
    *v = json_object_get(o, key);
    if (!*v && required)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %s: missing, expected %s", where, key, expected);
    if (!required && json_is_null(*v)) *v = NULL;
    return FL_OK;
}

static fl_status get_int(const json_t *o, const char *key, bool required, int64_t *out,
                         const char *where, fl_err *err) {
    const json_t *v;
    FL_TRY(find(o, key, "an integer", required, &v, where, err));
    if (!v) return FL_OK;
    double real = json_real_value(v);  // 1e6 and 2048.0 are integers too, as Python writes some
    if (json_is_integer(v)) *out = json_integer_value(v);
    else if (json_is_real(v) && real == floor(real) && fabs(real) < 0x1p53) *out = (int64_t)real;
    else return wrong_type(v, key, "an integer", where, err);
    return FL_OK;
}

static fl_status get_real(const json_t *o, const char *key, bool required, double *out,
                          const char *where, fl_err *err) {
    const json_t *v;
    FL_TRY(find(o, key, "a number", required, &v, where, err));
    if (!v) return FL_OK;
    if (!json_is_number(v)) return wrong_type(v, key, "a number", where, err);
    *out = json_number_value(v);
    return FL_OK;
}

static fl_status get_str(const json_t *o, const char *key, bool required, const char **out,
                         const char *where, fl_err *err) {
    const json_t *v;
    FL_TRY(find(o, key, "a string", required, &v, where, err));
    if (!v) return FL_OK;
    if (!json_is_string(v)) return wrong_type(v, key, "a string", where, err);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return fl_fail(err, FL_ERR_FORMAT, "%s: %s: a zero byte inside the string", where, key);
    *out = json_string_value(v);
    return FL_OK;
}

static fl_status get_bool(const json_t *o, const char *key, bool required, bool *out,
                          const char *where, fl_err *err) {
    const json_t *v;
    FL_TRY(find(o, key, "true or false", required, &v, where, err));
    if (!v) return FL_OK;
    if (!json_is_boolean(v)) return wrong_type(v, key, "true or false", where, err);
    *out = json_is_true(v);
    return FL_OK;
}

#define GETTERS(type, T, get)                                                             \
    fl_status fl_json_##type(const json_t *o, const char *key, T *out, const char *where, \
                             fl_err *err) {                                               \
        return get(o, key, true, out, where, err);                                        \
    }                                                                                     \
    fl_status fl_json_##type##_or(const json_t *o, const char *key, T fallback, T *out,   \
                                  const char *where, fl_err *err) {                       \
        T value = fallback;                                                               \
        FL_TRY(get(o, key, false, &value, where, err));                                   \
        *out = value;                                                                     \
        return FL_OK;                                                                     \
    }
GETTERS(int, int64_t, get_int)
GETTERS(real, double, get_real)
GETTERS(str, const char *, get_str)
GETTERS(bool, bool, get_bool)
