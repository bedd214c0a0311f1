/* tensor.c - shapes, number formats and single elements.
 *
 * A format is one row of the lists in the header; the table below is made from them. Conversion
 * between the float formats goes through f32 (f64 for f64), rounding to nearest even once. */
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "tensor/quant.h"

static const struct {
    const char *name, *hf;
    int ggml;
    int64_t block;
    size_t bytes;
} dtypes[FL_DTYPE_COUNT] = {
#define X(id, name, hf, ggml, bytes) {name, hf, ggml, 1, bytes},
    FL_PLAIN_DTYPE_LIST(X)
#undef X
#define X(id, name, ggml, block, bytes) {#name, NULL, ggml, block, bytes},
        FL_BLOCK_DTYPE_LIST(X)
#undef X
};

const char *fl_dtype_name(fl_dtype t) {
    FL_ASSERT((unsigned)t < FL_DTYPE_COUNT);
    return dtypes[t].name;
}

const char *fl_dtype_hf_name(fl_dtype t) {
    FL_ASSERT((unsigned)t < FL_DTYPE_COUNT);
    return dtypes[t].hf;
}

int fl_dtype_ggml(fl_dtype t) {
    FL_ASSERT((unsigned)t < FL_DTYPE_COUNT);
    return dtypes[t].ggml;
}

bool fl_dtype_is_block(fl_dtype t) {
    return fl_dtype_block(t) > 1;
}

int64_t fl_dtype_block(fl_dtype t) {
    FL_ASSERT((unsigned)t < FL_DTYPE_COUNT);
    return dtypes[t].block;
}

size_t fl_dtype_row_bytes(fl_dtype t, int64_t n) {
    FL_ASSERT(n >= 0 && n % fl_dtype_block(t) == 0);
    return (size_t)(n / dtypes[t].block) * dtypes[t].bytes;
}

size_t fl_dtype_bytes(fl_dtype t) {
    FL_ASSERT(!fl_dtype_is_block(t));
    return dtypes[t].bytes;
}

bool fl_dtype_from_name(fl_dtype *out, const char *name) {
    for (int i = 0; i < FL_DTYPE_COUNT; i++) {
        if (strcasecmp(name, dtypes[i].name)) continue;
        *out = (fl_dtype)i;
        return true;
    }
    return false;
}

bool fl_dtype_from_ggml(fl_dtype *out, uint32_t number) {
    for (int i = 0; i < FL_DTYPE_COUNT; i++) {
        if (dtypes[i].ggml < 0 || (uint32_t)dtypes[i].ggml != number) continue;
        *out = (fl_dtype)i;
        return true;
    }
    return false;
}

/* --- shapes --- */

fl_tensor fl_tensor_of(void *data, fl_dtype dtype, int rank, const int64_t *dim) {
    FL_ASSERT(rank >= 1 && rank <= FL_MAX_RANK);
    fl_tensor t = {.data = data, .dtype = dtype, .rank = rank, .dim = {1, 1, 1, 1}};
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        FL_ASSERT(dim[i] >= 0);
        t.dim[i] = dim[i];
        t.stride[i] = step;
        step *= dim[i];
    }
    return t;
}

int64_t fl_tensor_count(const fl_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

size_t fl_tensor_bytes(const fl_tensor *t) {
    return (size_t)fl_tensor_rows(t) * fl_dtype_row_bytes(t->dtype, fl_tensor_cols(t));
}

bool fl_tensor_contiguous(const fl_tensor *t) {
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != step) return false;
        step *= t->dim[i];
    }
    return true;
}

bool fl_tensor_same_shape(const fl_tensor *a, const fl_tensor *b) {
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

int64_t fl_tensor_cols(const fl_tensor *t) {
    FL_ASSERT(t->rank >= 1);
    return t->dim[t->rank - 1];
}

int64_t fl_tensor_rows(const fl_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank - 1; i++) n *= t->dim[i];
    return n;
}

void *fl_tensor_row(const fl_tensor *t, int64_t r) {
    FL_ASSERT(fl_tensor_contiguous(t) && r >= 0 && r <= fl_tensor_rows(t));
    return (char *)t->data + (size_t)r * fl_dtype_row_bytes(t->dtype, fl_tensor_cols(t));
}

const char *fl_tensor_shape_text(const fl_tensor *t, char out[FL_SHAPE_TEXT]) {
    int n = snprintf(out, FL_SHAPE_TEXT, "(");
    for (int i = 0; i < t->rank; i++) {
        n += snprintf(out + n, (size_t)(FL_SHAPE_TEXT - n), i ? ", %lld" : "%lld",
                      (long long)t->dim[i]);
    }
    snprintf(out + n, (size_t)(FL_SHAPE_TEXT - n), ")");
    return out;
}

/* --- number formats --- */

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float fl_bf16_to_f32(uint16_t h) {
    return float_of((uint32_t)h << 16);
}

uint16_t fl_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);  // NaN stays NaN
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

float fl_f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exponent = h >> 10 & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
    const float tiny = (float)mantissa * 0x1p-24f;  // zero and subnormals
    return sign ? -tiny : tiny;
}

/* `u` / 2^shift, to nearest even. */
static uint32_t shift_even(uint32_t u, uint32_t shift) {
    const uint32_t half = 1u << (shift - 1), rest = u & ((1u << shift) - 1), q = u >> shift;
    return q + (rest > half || (rest == half && (q & 1u)));
}

uint16_t fl_f32_to_f16(float f) {
    const uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);  // rounds to 65536 or more
    if (a >= 0x38800000u) return (uint16_t)(sign | (shift_even(a, 13) - (112u << 10)));
    if (a < 0x33000000u) return (uint16_t)sign;  // below half the least subnormal
    const uint32_t mantissa = (a & 0x7fffffu) | 0x800000u;
    return (uint16_t)(sign | shift_even(mantissa, 126u - (a >> 23)));
}

/* f64 to a 16-bit format must round once, so the step through f32 rounds to odd: an inexact f32
 * keeps a set last bit, which no later tie can mistake for an exact half. */
static float narrow_odd(double v) {
    const float f = (float)v;
    if ((double)f == v || isnan(v) || isinf(f)) return f;
    uint32_t u = bits_of(f);
    if (!(u & 1u)) u += ((double)f < v) == (v > 0) ? 1u : UINT32_MAX;
    return float_of(u);
}

static float load_from_block(const void *data, fl_dtype type, int64_t i) {
    float v[FL_BLOCK_MAX];
    const int64_t n = fl_dtype_block(type), first = i - i % n;
    fl_dequantize(v, type, (const char *)data + fl_dtype_row_bytes(type, first), n);
    return v[i - first];
}

/* Element i of numbers at any address: in a file they lie as they fall. */
#define ELEMENT(name, type)                                              \
    static inline type name(const void *data, int64_t i) {               \
        type v;                                                          \
        memcpy(&v, (const char *)data + (size_t)i * sizeof v, sizeof v); \
        return v;                                                        \
    }
ELEMENT(f32_at, float)
ELEMENT(f64_at, double)
ELEMENT(u16_at, uint16_t)
ELEMENT(i32_at, int32_t)
ELEMENT(i64_at, int64_t)
#undef ELEMENT

static double load(const void *data, fl_dtype type, int64_t i) {
    switch (type) {
    case FL_F32: return (double)f32_at(data, i);
    case FL_F64: return f64_at(data, i);
    case FL_BF16: return (double)fl_bf16_to_f32(u16_at(data, i));
    case FL_F16: return (double)fl_f16_to_f32(u16_at(data, i));
    case FL_I32: return (double)i32_at(data, i);
    case FL_I64: return (double)i64_at(data, i);
    case FL_I8: return (double)((const int8_t *)data)[i];
    case FL_U8: return (double)((const uint8_t *)data)[i];
    default: return (double)load_from_block(data, type, i);
    }
}

static void store(void *data, fl_dtype type, int64_t i, double v) {
    switch (type) {
    case FL_F32: ((float *)data)[i] = (float)v; return;
    case FL_F64: ((double *)data)[i] = v; return;
    case FL_BF16: ((uint16_t *)data)[i] = fl_f32_to_bf16(narrow_odd(v)); return;
    case FL_F16: ((uint16_t *)data)[i] = fl_f32_to_f16(narrow_odd(v)); return;
    case FL_I32: ((int32_t *)data)[i] = (int32_t)v; return;
    case FL_I64: ((int64_t *)data)[i] = (int64_t)v; return;
    case FL_I8: ((int8_t *)data)[i] = (int8_t)v; return;
    case FL_U8: ((uint8_t *)data)[i] = (uint8_t)v; return;
    default: FL_ASSERT(false && "elements of a block are set together");
    }
}

/* Where row-major element i lies, in elements from data. */
static int64_t place(const fl_tensor *t, int64_t i) {
    int64_t at = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        at += i % t->dim[d] * t->stride[d];
        i /= t->dim[d];
    }
    return at;
}

double fl_tensor_get(const fl_tensor *t, int64_t i) {
    FL_ASSERT(i >= 0 && i < fl_tensor_count(t));
    return load(t->data, t->dtype, fl_tensor_contiguous(t) ? i : place(t, i));
}

void fl_tensor_set(const fl_tensor *t, int64_t i, double v) {
    FL_ASSERT(i >= 0 && i < fl_tensor_count(t));
    store(t->data, t->dtype, fl_tensor_contiguous(t) ? i : place(t, i), v);
}

/* Between formats of which at least one is in blocks: through f32, block by block. */
static void convert_blocks(char *dst, fl_dtype dst_type, const char *src, fl_dtype src_type,
                           int64_t n) {
    for (int64_t at = 0; at < n; at += FL_BLOCK_MAX) {
        float v[FL_BLOCK_MAX];
        const int64_t k = n - at < FL_BLOCK_MAX ? n - at : FL_BLOCK_MAX;
        char *to = dst + fl_dtype_row_bytes(dst_type, at);
        const char *from = src + fl_dtype_row_bytes(src_type, at);
        if (fl_dtype_is_block(src_type)) {
            fl_dequantize(v, src_type, from, k);
        } else {
            fl_convert(v, FL_F32, from, src_type, k);
        }
        if (fl_dtype_is_block(dst_type)) {
            fl_quantize(to, dst_type, v, NULL, k);
        } else {
            fl_convert(to, dst_type, v, FL_F32, k);
        }
    }
}

void fl_convert(void *dst, fl_dtype dst_type, const void *src, fl_dtype src_type, int64_t n) {
    if (dst_type == src_type) {
        memmove(dst, src, fl_dtype_row_bytes(dst_type, n));
    } else if (fl_dtype_is_block(src_type) || fl_dtype_is_block(dst_type)) {
        convert_blocks(dst, dst_type, src, src_type, n);
    } else if (src_type == FL_BF16 &&
               dst_type == FL_F32) {  // loading a model: worth a loop of its own
        for (int64_t i = 0; i < n; i++) ((float *)dst)[i] = fl_bf16_to_f32(u16_at(src, i));
    } else if (src_type == FL_F16 && dst_type == FL_F32) {
        for (int64_t i = 0; i < n; i++) ((float *)dst)[i] = fl_f16_to_f32(u16_at(src, i));
    } else if (src_type == FL_F32 && dst_type == FL_BF16) {
        for (int64_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = fl_f32_to_bf16(f32_at(src, i));
    } else {
        for (int64_t i = 0; i < n; i++) store(dst, dst_type, i, load(src, src_type, i));
    }
}
