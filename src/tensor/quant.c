/* quant - the table of block formats, and what is the same for all of them. */
#include "tensor/quant.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/quant/rows.h"

#define X(id, name, ggml, block, bytes) [FL_##id] = &fli_quant_##name,
static const fl_quant *const rows[FL_DTYPE_COUNT] = {FL_BLOCK_DTYPE_LIST(X)};
#undef X

const fl_quant *fl_quant_of(fl_dtype t) {
    FL_ASSERT(fl_dtype_is_block(t));
    return rows[t];
}

bool fl_dtype_is_writable(fl_dtype t) {
    return !fl_dtype_is_block(t) || fl_quant_of(t)->quantize;
}

void fl_dequantize(float *out, fl_dtype t, const void *blocks, int64_t n) {
    const fl_quant *row = fl_quant_of(t);
    const int64_t block = fl_dtype_block(t);
    const size_t bytes = fl_dtype_row_bytes(t, block);
    const char *from = blocks;
    for (int64_t at = 0; at < n; at += block, from += bytes) {
        fl_unpacked u;
        row->unpack(&u, from);
        for (int64_t first = 0, g = 0; first < block; first += row->group, g++) {
            const float scale = u.scale[g], min = row->has_min ? u.min[g] : 0;
            for (int64_t i = first; i < first + row->group; i++)
                out[at + i] = scale * (float)u.q[i] - min;
        }
    }
}

void fl_quantize(void *blocks, fl_dtype t, const float *x, const float *importance, int64_t n) {
    const fl_quant *row = fl_quant_of(t);
    FL_ASSERT(row->quantize);
    const int64_t block = fl_dtype_block(t);
    const size_t bytes = fl_dtype_row_bytes(t, block);
    char *to = blocks;
    for (int64_t at = 0; at < n; at += block, to += bytes)
        row->quantize(to, x + at, importance ? importance + at : NULL);
}

void fl_quantize_x(int8_t *q, float *scale, const float *x, int64_t n) {
    for (int64_t at = 0; at < n; at += FL_X_GROUP) {
        uint32_t most = 0;  // magnitudes are ordered as their bits are, NaN above infinity
        for (int64_t i = at; i < at + FL_X_GROUP; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            if ((bits & 0x7fffffff) > most) most = bits & 0x7fffffff;
        }
        float max;
        memcpy(&max, &most, sizeof max);
        const bool usable = max >= FL_X_SMALLEST && max <= FLT_MAX;
        const float inverse = usable ? 127 / max : 0;
        *scale++ = max < FL_X_SMALLEST ? 0 : max / 127;
        for (int64_t i = at; i < at + FL_X_GROUP; i++)
            q[i] = usable ? (int8_t)rintf(x[i] * inverse) : 1;
    }
}

static double group_dot(const int8_t *q, const int8_t *a, int n, float scale, float min) {
    int32_t product = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        product += q[i] * a[i];
        sum += a[i];
    }
    return (double)scale * product - (double)min * sum;
}

double fl_quant_dot(fl_dtype t, const void *blocks, const int8_t *a, const float *a_scale,
                    int64_t n) {
    const fl_quant *row = fl_quant_of(t);
    const int64_t block = fl_dtype_block(t);
    const int step = row->group < FL_X_GROUP ? row->group : FL_X_GROUP;
    const size_t bytes = fl_dtype_row_bytes(t, block);
    const char *from = blocks;
    double sum = 0;
    for (int64_t at = 0; at < n; at += block, from += bytes) {
        fl_unpacked u;
        row->unpack(&u, from);
        for (int64_t i = 0; i < block; i += step) {
            const int64_t g = i / row->group;
            const float min = row->has_min ? u.min[g] : 0;
            sum += (double)a_scale[(at + i) / FL_X_GROUP] *
                   group_dot(u.q + i, a + at + i, step, u.scale[g], min);
        }
    }
    return sum;
}
