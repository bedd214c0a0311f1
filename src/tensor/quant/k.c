/* k - Q2_K Q3_K Q4_K Q5_K Q6_K: super-blocks of 256 elements whose groups have small scales.
 *
 * Two bits: byte i of 32 holds elements i, i + 32, i + 64, i + 96 of a half of 128, lowest first.
 * Four bits: byte i of 32 holds elements i and i + 32 of a quarter of 64. */
#include <string.h>

#include "tensor/quant/search.h"

enum { N = FL_BLOCK_MAX, SMALL = 16, LARGE = 32 };  // elements of a group

/* Bits [shift, shift + n) of 32 bytes. The compiler makes vectors of these loops. */
static void take_bits(int8_t *q, const uint8_t *bytes, int shift, int n) {
    const uint8_t mask = (uint8_t)((1 << n) - 1);
    for (int i = 0; i < LARGE; i++) q[i] = (int8_t)(bytes[i] >> shift & mask);
}

/* Likewise, put above the `above` bits that q has. */
static void add_bits(int8_t *q, const uint8_t *bytes, int shift, int n, int above) {
    const uint8_t mask = (uint8_t)((1 << n) - 1);
    for (int i = 0; i < LARGE; i++) q[i] = (int8_t)(q[i] | (bytes[i] >> shift & mask) << above);
}

static void lower(int8_t *q, int n, int by) {
    for (int i = 0; i < n; i++) q[i] = (int8_t)(q[i] - by);
}

static void take_two_bits(int8_t *q, const uint8_t *qs) {
    for (int b = 0; b < N / LARGE; b++) take_bits(q + LARGE * b, qs + 32 * (b / 4), 2 * (b % 4), 2);
}

static void take_four_bits(int8_t *q, const uint8_t *qs) {
    for (int b = 0; b < N / LARGE; b += 2, q += 2 * LARGE, qs += LARGE) {
        for (int i = 0; i < LARGE; i++) q[i] = (int8_t)(qs[i] & 15);
        for (int i = 0; i < LARGE; i++) q[LARGE + i] = (int8_t)(qs[i] >> 4);
    }
}

static void unpack_q2_k(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q2_k, b, block);
    const float d = fl_f16_to_f32(b.d), dmin = fl_f16_to_f32(b.dmin);
    for (int g = 0; g < N / SMALL; g++) {
        out->scale[g] = d * (float)(b.scales[g] & 15);
        out->min[g] = dmin * (float)(b.scales[g] >> 4);
    }
    take_two_bits(out->q, b.qs);
}

/* Sixteen scales of six bits in 12 bytes: the low four of scale g and of g + 8 in byte g, the high
 * two of scales g, g + 4, g + 8 and g + 12 in byte 8 + g. Bit i / 32 of hmask[i % 32] set: the
 * third bit of element i, and 4 is taken off where it is not. */
static void unpack_q3_k(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q3_k, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / SMALL; g++) {
        const int low = b.scales[g % 8] >> 4 * (g / 8) & 15;
        const int high = b.scales[8 + g % 4] >> 2 * (g / 4) & 3;
        out->scale[g] = d * (float)((low | high << 4) - 32);
    }
    take_two_bits(out->q, b.qs);
    for (int k = 0; k < N / LARGE; k++) add_bits(out->q + LARGE * k, b.hmask, k, 1, 2);
    lower(out->q, N, 4);
}

/* Eight scales and eight minima of six bits in 12 bytes: of the first four each, one per byte; the
 * last four have their low bits in the last four bytes and their high two above the first ones. */
static void scale_min(const uint8_t *s, int g, int *scale, int *min) {
    if (g < 4) {
        *scale = s[g] & 63;
        *min = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        *min = s[g + 4] >> 4 | s[g] >> 6 << 4;
    }
}

static void large_scales(fl_unpacked *out, const uint8_t *scales, fl_half d_bits,
                         fl_half dmin_bits) {
    const float d = fl_f16_to_f32(d_bits), dmin = fl_f16_to_f32(dmin_bits);
    for (int g = 0; g < N / LARGE; g++) {
        int scale, min;
        scale_min(scales, g, &scale, &min);
        out->scale[g] = d * (float)scale;
        out->min[g] = dmin * (float)min;
    }
}

static void unpack_q4_k(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q4_k, b, block);
    large_scales(out, b.scales, b.d, b.dmin);
    take_four_bits(out->q, b.qs);
}

static void unpack_q5_k(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q5_k, b, block);
    large_scales(out, b.scales, b.d, b.dmin);
    take_four_bits(out->q, b.qs);
    for (int k = 0; k < N / LARGE; k++) add_bits(out->q + LARGE * k, b.qh, k, 1, 4);
}

/* Low four bits: byte i of 64 holds elements i and i + 64 of a half. */
static void unpack_q6_k(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q6_k, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / SMALL; g++) out->scale[g] = d * (float)b.scales[g];
    for (int k = 0; k < N / LARGE; k++) {
        int8_t *q = out->q + LARGE * k;
        take_bits(q, b.ql + 64 * (k / 4) + 32 * (k % 2), 4 * (k / 2 % 2), 4);
        add_bits(q, b.qh + 32 * (k / 4), 2 * (k % 4), 2, 4);
    }
    lower(out->q, N, 32);
}

/* ---- writing: the same places, the other way round ---- */

static void put_two_bits(uint8_t *qs, int i, int v) {
    uint8_t *at = &qs[i / 128 * 32 + i % 32];
    *at = (uint8_t)(*at | (v & 3) << 2 * (i % 128 / 32));
}

static void put_four_bits(uint8_t *qs, int i, int v) {
    uint8_t *at = &qs[i / 64 * 32 + i % 32];
    *at = (uint8_t)(*at | (v & 15) << 4 * (i % 64 / 32));
}

static void put_bit(uint8_t *bits, int i, int v) {
    bits[i % 32] = (uint8_t)(bits[i % 32] | (v & 1) << i / 32);
}

static void quantize_q2_k(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {N / SMALL, SMALL, 0, 3, NULL, 0, 15, 15};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q2_k b = {.d = t.d, .dmin = t.dmin};
    for (int g = 0; g < N / SMALL; g++) b.scales[g] = (uint8_t)(t.scale[g] | t.min[g] << 4);
    for (int i = 0; i < N; i++) put_two_bits(b.qs, i, t.q[i]);
    memcpy(block, &b, sizeof b);
}

static void quantize_q3_k(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {N / SMALL, SMALL, -4, 3, NULL, -32, 31, 0};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q3_k b = {.d = t.d};
    for (int g = 0; g < N / SMALL; g++) {
        const int s = t.scale[g] + 32;
        uint8_t *low = &b.scales[g % 8], *high = &b.scales[8 + g % 4];
        *low = (uint8_t)(*low | (s & 15) << 4 * (g / 8));
        *high = (uint8_t)(*high | s >> 4 << 2 * (g / 4));
    }
    for (int i = 0; i < N; i++) {
        put_two_bits(b.qs, i, t.q[i] + 4);
        put_bit(b.hmask, i, (t.q[i] + 4) >> 2);
    }
    memcpy(block, &b, sizeof b);
}

static void put_scale_min(uint8_t *s, int g, int scale, int min) {
    if (g < 4) {
        s[g] = (uint8_t)(s[g] | scale);
        s[g + 4] = (uint8_t)(s[g + 4] | min);
    } else {
        s[g + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
        s[g - 4] = (uint8_t)(s[g - 4] | scale >> 4 << 6);
        s[g] = (uint8_t)(s[g] | min >> 4 << 6);
    }
}

static void quantize_q4_k(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {N / LARGE, LARGE, 0, 15, NULL, 0, 63, 63};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q4_k b = {.d = t.d, .dmin = t.dmin};
    for (int g = 0; g < N / LARGE; g++) put_scale_min(b.scales, g, t.scale[g], t.min[g]);
    for (int i = 0; i < N; i++) put_four_bits(b.qs, i, t.q[i]);
    memcpy(block, &b, sizeof b);
}

static void quantize_q5_k(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {N / LARGE, LARGE, 0, 31, NULL, 0, 63, 63};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q5_k b = {.d = t.d, .dmin = t.dmin};
    for (int g = 0; g < N / LARGE; g++) put_scale_min(b.scales, g, t.scale[g], t.min[g]);
    for (int i = 0; i < N; i++) {
        put_four_bits(b.qs, i, t.q[i]);
        put_bit(b.qh, i, t.q[i] >> 4);
    }
    memcpy(block, &b, sizeof b);
}

static void quantize_q6_k(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {N / SMALL, SMALL, -32, 31, NULL, -128, 127, 0};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_q6_k b = {.d = t.d};
    for (int g = 0; g < N / SMALL; g++) b.scales[g] = (int8_t)t.scale[g];
    for (int i = 0; i < N; i++) {
        const int q = t.q[i] + 32;
        uint8_t *low = &b.ql[i / 128 * 64 + i % 64];
        *low = (uint8_t)(*low | (q & 15) << 4 * (i % 128 / 64));
        put_two_bits(b.qh, i, q >> 4);
    }
    memcpy(block, &b, sizeof b);
}

const fl_quant fli_quant_q2_k = {SMALL, true, unpack_q2_k, quantize_q2_k, NULL};
const fl_quant fli_quant_q3_k = {SMALL, false, unpack_q3_k, quantize_q3_k, NULL};
const fl_quant fli_quant_q4_k = {LARGE, true, unpack_q4_k, quantize_q4_k, NULL};
const fl_quant fli_quant_q5_k = {LARGE, true, unpack_q5_k, quantize_q5_k, NULL};
const fl_quant fli_quant_q6_k = {SMALL, false, unpack_q6_k, quantize_q6_k, NULL};
