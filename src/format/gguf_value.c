/* gguf_value - the values of a GGUF file's keys, which lie in it at any address. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "format/gguf.h"

static const struct {
    const char *name;
    size_t bytes;  // of one; 0: it depends
} types[FL_GGUF_TYPE_COUNT] = {
    [FL_GGUF_U8] = {"u8", 1},       [FL_GGUF_I8] = {"i8", 1},     [FL_GGUF_U16] = {"u16", 2},
    [FL_GGUF_I16] = {"i16", 2},     [FL_GGUF_U32] = {"u32", 4},   [FL_GGUF_I32] = {"i32", 4},
    [FL_GGUF_F32] = {"f32", 4},     [FL_GGUF_BOOL] = {"bool", 1}, [FL_GGUF_STRING] = {"string", 0},
    [FL_GGUF_ARRAY] = {"array", 0}, [FL_GGUF_U64] = {"u64", 8},   [FL_GGUF_I64] = {"i64", 8},
    [FL_GGUF_F64] = {"f64", 8},
};

const char *fl_gguf_type_name(fl_gguf_type t) {
    return types[t].name;
}

size_t fl_gguf_type_bytes(fl_gguf_type t) {
    return types[t].bytes;
}

static const uint8_t *element(const fl_gguf_key *k, uint64_t i) {
    const size_t head = k->is_array ? sizeof(uint32_t) + sizeof(uint64_t) : 0;
    return (const uint8_t *)k->value + head + (size_t)i * types[k->type].bytes;
}

#define AS(type)                    \
    {                               \
        type v;                     \
        memcpy(&v, from, sizeof v); \
        return (double)v;           \
    }

double fl_gguf_number(const fl_gguf_key *k, uint64_t i) {
    FL_ASSERT(i < k->n && types[k->type].bytes);
    const uint8_t *from = element(k, i);
    switch (k->type) {
    case FL_GGUF_U8:
    case FL_GGUF_BOOL: AS(uint8_t)
    case FL_GGUF_I8: AS(int8_t)
    case FL_GGUF_U16: AS(uint16_t)
    case FL_GGUF_I16: AS(int16_t)
    case FL_GGUF_U32: AS(uint32_t)
    case FL_GGUF_I32: AS(int32_t)
    case FL_GGUF_F32: AS(float)
    case FL_GGUF_U64: AS(uint64_t)
    case FL_GGUF_I64: AS(int64_t)
    case FL_GGUF_F64: AS(double)
    default: return 0;
    }
}

static fl_status wrong_type(const fl_gguf_key *k, const char *want, fl_err *err) {
    return fl_fail(err, FL_ERR_FORMAT, "key %.80s is %s%s, expected %s", k->name,
                   k->is_array ? "an array of " : "", types[k->type].name, want);
}

static bool is_real(fl_gguf_type t) {
    return t == FL_GGUF_F32 || t == FL_GGUF_F64;
}

fl_status fl_gguf_get_int(const fl_gguf_file *f, const char *key, int64_t *out, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    if (!k) return FL_OK;
    if (k->is_array || !types[k->type].bytes || is_real(k->type) || k->type == FL_GGUF_BOOL)
        return wrong_type(k, "a whole number", err);
    const double v = fl_gguf_number(k, 0);
    if (v < -0x1p53 || v > 0x1p53)
        return fl_fail(err, FL_ERR_FORMAT, "key %.80s is %.17g, too large", k->name, v);
    *out = (int64_t)v;
    return FL_OK;
}

/* The shortest decimal that is this float: 1e-6, where widening would give 9.99999997e-07. */
static double as_written(float v) {
    char s[32];
    for (int digits = FLT_DIG; digits <= FLT_DECIMAL_DIG; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, (double)v);
        if (strtof(s, NULL) == v) break;
    }
    return strtod(s, NULL);
}

fl_status fl_gguf_get_real(const fl_gguf_file *f, const char *key, double *out, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    if (!k) return FL_OK;
    if (k->is_array || !types[k->type].bytes || k->type == FL_GGUF_BOOL)
        return wrong_type(k, "a number", err);
    const double v = fl_gguf_number(k, 0);
    *out = k->type == FL_GGUF_F32 ? as_written((float)v) : v;
    return FL_OK;
}

fl_status fl_gguf_get_bool(const fl_gguf_file *f, const char *key, bool *out, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    if (!k) return FL_OK;
    if (k->is_array || k->type != FL_GGUF_BOOL) return wrong_type(k, "a boolean", err);
    *out = fl_gguf_number(k, 0) != 0;
    return FL_OK;
}

fl_status fl_gguf_get_str(const fl_gguf_file *f, const char *key, const char **out, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    if (!k) return FL_OK;
    if (k->is_array || k->type != FL_GGUF_STRING) return wrong_type(k, "a string", err);
    const fl_gguf_string *s = k->strings;
    if (memchr(s->bytes, '\0', s->n))
        return fl_fail(err, FL_ERR_FORMAT, "key %.80s: a zero byte inside the text", k->name);
    *out = s->bytes;
    return FL_OK;
}
