/* four - IQ4_NL IQ4_XS MXFP4 NVFP4: four bits that choose one of sixteen unevenly spaced numbers.
 *
 * MXFP4 is the OCP Microscaling format (E2M1 with an E8M0 scale per 32), NVFP4 the same numbers
 * with an E4M3 scale per 16. E2M1 has halves, so the table is doubled and the scales are halved. */
#include <math.h>
#include <string.h>

#include "tensor/quant/search.h"

const int8_t fli_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
const int8_t fli_e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Byte i of n / 2 holds elements i and i + n / 2. */
static void look_up(int8_t *q, const uint8_t *qs, int n, const int8_t *values) {
    for (int i = 0; i < n / 2; i++) {
        q[i] = values[qs[i] & 15];
        q[i + n / 2] = values[qs[i] >> 4];
    }
}

static void unpack_iq4_nl(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq4_nl, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    look_up(out->q, b.qs, 32, fli_iq4_values);
}

/* Eight scales of six bits, minus 32: the low four in scales_l, the high two in scales_h. */
static void unpack_iq4_xs(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq4_xs, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < 8; g++) {
        const int low = b.scales_l[g / 2] >> 4 * (g % 2) & 15, high = b.scales_h >> 2 * g & 3;
        out->scale[g] = d * (float)((low | high << 4) - 32);
        look_up(out->q + 32 * g, b.qs + 16 * g, 32, fli_iq4_values);
    }
}

static void unpack_mxfp4(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_mxfp4, b, block);
    out->scale[0] = ldexpf(1, b.e - 128);
    look_up(out->q, b.qs, 32, fli_e2m1_values);
}

/* Half of an unsigned E4M3; 0x7f, which would be NaN, counts as nothing. */
static float half_e4m3(uint8_t v) {
    const int exponent = v >> 3 & 15, mantissa = v & 7;
    if (v == 0x7f) return 0;
    if (!exponent) return ldexpf((float)mantissa, -10);
    return ldexpf((float)(8 + mantissa), exponent - 11);
}

static void unpack_nvfp4(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_nvfp4, b, block);
    for (int g = 0; g < 4; g++) {
        out->scale[g] = half_e4m3(b.d[g]);
        look_up(out->q + 16 * g, b.qs + 8 * g, 16, fli_e2m1_values);
    }
}

/* ---- writing ---- */

static int index_of(int8_t q) {
    int i = 0;
    while (fli_iq4_values[i] != q) i++;
    return i;
}

static void put_indices(uint8_t *qs, const int8_t *q) {
    for (int i = 0; i < 16; i++) qs[i] = (uint8_t)(index_of(q[i]) | index_of(q[i + 16]) << 4);
}

static void quantize_iq4_nl(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {1, 32, -127, 113, fli_iq4_values, 1, 1, 0};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_iq4_nl b = {.d = t.d};
    put_indices(b.qs, t.q);
    memcpy(block, &b, sizeof b);
}

static void quantize_iq4_xs(void *block, const float *x, const float *weight) {
    static const fli_layout layout = {8, 32, -127, 113, fli_iq4_values, -32, 31, 0};
    fli_found t;
    fli_search(&t, &layout, x, weight);
    fl_block_iq4_xs b = {.d = t.d};
    for (int g = 0; g < 8; g++) {
        const int s = t.scale[g] + 32;
        b.scales_l[g / 2] = (uint8_t)(b.scales_l[g / 2] | (s & 15) << 4 * (g % 2));
        b.scales_h = (uint16_t)(b.scales_h | s >> 4 << 2 * g);
        put_indices(b.qs + 16 * g, t.q + 32 * g);
    }
    memcpy(block, &b, sizeof b);
}

/* The number of E2M1 that |v| is nearest to. */
static uint8_t nearest_e2m1(float v) {
    static const float ends[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    const float size = fabsf(v);
    int index = 0;
    for (int k = 0; k < 7; k++) index += size >= ends[k];
    return (uint8_t)(index | (v < 0 && index ? 8 : 0));
}

static double try_mxfp4(uint8_t index[32], int e, const float *x, const float *weight) {
    const float d = ldexpf(1, e - 128);
    double error = 0;
    for (int i = 0; i < 32; i++) {
        index[i] = nearest_e2m1(x[i] / d);
        const double off = (double)(d * (float)fli_e2m1_values[index[i]] - x[i]);
        error += (weight ? (double)weight[i] : 1) * off * off;
    }
    return error;
}

/* The exponent is tried at the one that makes the largest element 4 to 8 and its neighbours. */
static void quantize_mxfp4(void *block, const float *x, const float *weight) {
    float most = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]);
    int exponent;
    (void)frexpf(most, &exponent);  // most is in [2^(exponent - 1), 2^exponent)
    double best = INFINITY;
    for (int e = exponent + 123; e <= exponent + 125; e++) {
        uint8_t index[32];
        if (e < 0 || e > 254) continue;
        const double error = try_mxfp4(index, e, x, weight);
        if (error >= best) continue;
        best = error;
        fl_block_mxfp4 b = {.e = (uint8_t)e};
        for (int i = 0; i < 16; i++) b.qs[i] = (uint8_t)(index[i] | index[i + 16] << 4);
        memcpy(block, &b, sizeof b);
    }
}

const fl_quant fli_quant_iq4_nl = {32, false, unpack_iq4_nl, quantize_iq4_nl, fli_iq4_values};
const fl_quant fli_quant_iq4_xs = {32, false, unpack_iq4_xs, quantize_iq4_xs, fli_iq4_values};
const fl_quant fli_quant_mxfp4 = {32, false, unpack_mxfp4, quantize_mxfp4, fli_e2m1_values};
const fl_quant fli_quant_nvfp4 = {.group = 16, .unpack = unpack_nvfp4, .values = fli_e2m1_values};
