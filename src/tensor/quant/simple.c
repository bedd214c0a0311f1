/* simple - Q4_0 Q4_1 Q5_0 Q5_1 Q8_0: 32 elements, one scale and perhaps a minimum.
 *
 * Byte i of qs holds the low four bits of element i and, above them, of element i + 16; bit i of qh
 * is the fifth bit of element i. The kinds ending in 0 are centred: q - 8 or q - 16. */
#include <math.h>
#include <string.h>

#include "tensor/quant/search.h"

enum { N = 32 };

/* ---- reading ---- */

static void nibbles(int8_t *q, const uint8_t *qs, int zero) {
    for (int i = 0; i < N / 2; i++) {
        q[i] = (int8_t)((qs[i] & 15) - zero);
        q[i + N / 2] = (int8_t)((qs[i] >> 4) - zero);
    }
}

static void fifth_bits(int8_t *q, const uint8_t *qh) {
    for (int i = 0; i < N; i++) q[i] = (int8_t)(q[i] + ((qh[i / 8] >> i % 8 & 1) << 4));
}

static void unpack_q4_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q4_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    nibbles(out->q, b.qs, 8);
}

static void unpack_q4_1(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q4_1, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    out->min[0] = -fl_f16_to_f32(b.m);
    nibbles(out->q, b.qs, 0);
}

static void unpack_q5_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q5_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    nibbles(out->q, b.qs, 16);
    fifth_bits(out->q, b.qh);
}

static void unpack_q5_1(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q5_1, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    out->min[0] = -fl_f16_to_f32(b.m);
    nibbles(out->q, b.qs, 0);
    fifth_bits(out->q, b.qh);
}

static void unpack_q8_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q8_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    memcpy(out->q, b.qs, N);
}

/* ---- writing ---- */

static void put_nibbles(uint8_t *qs, const int8_t *q, int zero) {
    for (int i = 0; i < N / 2; i++)
        qs[i] = (uint8_t)(((q[i] + zero) & 15) | ((q[i + N / 2] + zero) & 15) << 4);
}

static void put_fifth_bits(uint8_t *qh, const int8_t *q, int zero) {
    memset(qh, 0, N / 8);
    for (int i = 0; i < N; i++)
        qh[i / 8] = (uint8_t)(qh[i / 8] | ((q[i] + zero) >> 4 & 1) << i % 8);
}

/* The layout of 32 elements with numbers lo..hi. */
#define CENTRED(LO, HI) \
    { .groups = 1, .group = N, .lo = (LO), .hi = (HI), .scale_lo = 1, .scale_hi = 1 }
#define WITH_MIN(HI) \
    { .groups = 1, .group = N, .hi = (HI), .scale_lo = 1, .scale_hi = 1, .min_hi = 1 }

static void quantize_q4_0(void *block, const float *x, const float *weight) {
    static const fli_layout layout = CENTRED(-8, 7);
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q4_0 b = {.d = t.d};
    put_nibbles(b.qs, t.q, 8);
    memcpy(block, &b, sizeof b);
}

static void quantize_q4_1(void *block, const float *x, const float *weight) {
    static const fli_layout layout = WITH_MIN(15);
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q4_1 b = {.d = t.d, .m = t.dmin ^ 0x8000};
    put_nibbles(b.qs, t.q, 0);
    memcpy(block, &b, sizeof b);
}

static void quantize_q5_0(void *block, const float *x, const float *weight) {
    static const fli_layout layout = CENTRED(-16, 15);
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q5_0 b = {.d = t.d};
    put_nibbles(b.qs, t.q, 16);
    put_fifth_bits(b.qh, t.q, 16);
    memcpy(block, &b, sizeof b);
}

static void quantize_q5_1(void *block, const float *x, const float *weight) {
    static const fli_layout layout = WITH_MIN(31);
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q5_1 b = {.d = t.d, .m = t.dmin ^ 0x8000};
    put_nibbles(b.qs, t.q, 0);
    put_fifth_bits(b.qh, t.q, 0);
    memcpy(block, &b, sizeof b);
}

/* The largest element becomes 127: with 255 steps there is nothing to search for, and the blocks
 * are ggml's to the bit. */
static void quantize_q8_0(void *block, const float *x, const float *weight) {
    (void)weight;
    float most = 0;
    for (int i = 0; i < N; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]);
    const float d = most / 127, inverse = d > 0 ? 1 / d : 0;
    fl_block_q8_0 b = {.d = fli_half_of(d)};
    for (int i = 0; i < N; i++) b.qs[i] = (int8_t)roundf(x[i] * inverse);
    memcpy(block, &b, sizeof b);
}

/* ---- the rows ---- */

const fl_quant fli_quant_q4_0 = {N, false, unpack_q4_0, quantize_q4_0, NULL};
const fl_quant fli_quant_q4_1 = {N, true, unpack_q4_1, quantize_q4_1, NULL};
const fl_quant fli_quant_q5_0 = {N, false, unpack_q5_0, quantize_q5_0, NULL};
const fl_quant fli_quant_q5_1 = {N, true, unpack_q5_1, quantize_q5_1, NULL};
const fl_quant fli_quant_q8_0 = {N, false, unpack_q8_0, quantize_q8_0, NULL};
