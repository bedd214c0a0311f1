/* codebook - IQ1 IQ2 IQ3: groups of eight (or four) elements are looked up in a codebook, with
 * signs beside them. Read only.
 *
 * A codebook entry packs its numbers as indices into a few levels. Where seven bits say the signs
 * of eight elements, the eighth makes their number of minus signs even. */
#include <string.h>

#include "tensor/quant/codebooks.h"
#include "tensor/quant/rows.h"

enum { N = FL_BLOCK_MAX };

static const int8_t levels2[] = {8, 25, 43};
static const int8_t levels3_xxs[] = {4, 12, 20, 28, 36, 44, 52, 62};
static const int8_t levels3_s[] = {1, 3, 5, 7, 9, 11, 13, 15};

static uint8_t even_signs(unsigned seven) {
    return (uint8_t)(seven | (unsigned)__builtin_parity(seven) << 7);
}

static int8_t with_sign(int8_t v, uint8_t signs, int i) {
    return (int8_t)(signs >> i & 1 ? -v : v);
}

/* Eight elements of two bits each. */
static void eight(int8_t *q, uint16_t entry, uint8_t signs) {
    for (int i = 0; i < 8; i++) q[i] = with_sign(levels2[entry >> 2 * i & 3], signs, i);
}

/* Four elements of three bits each; their signs begin at bit `first`. */
static void four(int8_t *q, uint16_t entry, const int8_t *levels, uint8_t signs, int first) {
    for (int i = 0; i < 4; i++) q[i] = with_sign(levels[entry >> 3 * i & 7], signs, first + i);
}

static uint32_t word(const void *from) {
    FLI_READ(uint32_t, w, from);
    return w;
}

/* Per 32 elements: four bytes of entries, then four times seven bits of signs and a scale. */
static void unpack_iq2_xxs(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq2_xxs, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 32; g++) {
        const uint8_t *entries = (const uint8_t *)(b.qs + 4 * g);
        const uint32_t rest = word(entries + 4);
        out->scale[g] = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++)
            eight(out->q + 32 * g + 8 * k, fli_codebook_iq2_xxs[entries[k]],
                  even_signs(rest >> 7 * k & 127));
    }
}

static void unpack_iq2_xs(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq2_xs, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 16; g++)
        out->scale[g] = d * (0.5f + (float)(b.scales[g / 2] >> 4 * (g % 2) & 15)) * 0.25f;
    for (int k = 0; k < N / 8; k++)
        eight(out->q + 8 * k, fli_codebook_iq2_xs[b.qs[k] & 511], even_signs(b.qs[k] >> 9));
}

static void unpack_iq2_s(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq2_s, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 16; g++)
        out->scale[g] = d * (0.5f + (float)(b.scales[g / 2] >> 4 * (g % 2) & 15)) * 0.25f;
    for (int k = 0; k < N / 8; k++) {
        const int entry = b.qs[k] | (b.qh[k / 4] >> 2 * (k % 4) & 3) << 8;
        eight(out->q + 8 * k, fli_codebook_iq2_s[entry], b.signs[k]);
    }
}

static void unpack_iq3_xxs(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq3_xxs, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 32; g++) {
        const uint32_t rest = word(b.signs + 4 * g);
        out->scale[g] = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        for (int k = 0; k < 8; k++)
            four(out->q + 32 * g + 4 * k, fli_codebook_iq3_xxs[b.qs[8 * g + k]], levels3_xxs,
                 even_signs(rest >> 7 * (k / 2) & 127), k % 2 * 4);
    }
}

static void unpack_iq3_s(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq3_s, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 32; g++)
        out->scale[g] = d * (float)(1 + 2 * (b.scales[g / 2] >> 4 * (g % 2) & 15));
    for (int k = 0; k < N / 4; k++) {
        const int entry = b.qs[k] | (b.qh[k / 8] >> k % 8 & 1) << 8;
        four(out->q + 4 * k, fli_codebook_iq3_s[entry], levels3_s, b.signs[k / 2], k % 2 * 4);
    }
}

/* IQ1: -1, 0 or 1, each moved by an eighth up or down, so q counts in eighths. */
static void eighths(int8_t *q, uint16_t entry, bool down) {
    for (int i = 0; i < 8; i++) q[i] = (int8_t)(8 * ((entry >> 2 * i & 3) - 1) + (down ? -1 : 1));
}

static void unpack_iq1_s(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq1_s, b, block);
    const float d = fl_f16_to_f32(b.d);
    for (int g = 0; g < N / 32; g++)
        out->scale[g] = d * (float)(2 * (b.qh[g] >> 12 & 7) + 1) * 0.125f;
    for (int k = 0; k < N / 8; k++) {
        const int h = b.qh[k / 4], entry = b.qs[k] | (h >> 3 * (k % 4) & 7) << 8;
        eighths(out->q + 8 * k, fli_codebook_iq1[entry], h & 0x8000);
    }
}

/* The scale of the block is spread over the top four bits of the four words of scales. */
static void unpack_iq1_m(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_iq1_m, b, block);
    unsigned bits = 0;
    for (int i = 0; i < 4; i++) bits |= (unsigned)(b.scales[i] >> 12) << 4 * i;
    const float d = fl_f16_to_f32((uint16_t)bits);
    for (int g = 0; g < N / 16; g++)
        out->scale[g] = d * (float)(2 * (b.scales[g / 4] >> 3 * (g % 4) & 7) + 1) * 0.125f;
    for (int k = 0; k < N / 8; k++) {
        const int h = b.qh[k / 2] >> 4 * (k % 2), entry = b.qs[k] | (h & 7) << 8;
        eighths(out->q + 8 * k, fli_codebook_iq1[entry], h & 8);
    }
}

const fl_quant fli_quant_iq2_xxs = {.group = 32, .unpack = unpack_iq2_xxs};
const fl_quant fli_quant_iq2_xs = {.group = 16, .unpack = unpack_iq2_xs};
const fl_quant fli_quant_iq2_s = {.group = 16, .unpack = unpack_iq2_s};
const fl_quant fli_quant_iq3_xxs = {.group = 32, .unpack = unpack_iq3_xxs};
const fl_quant fli_quant_iq3_s = {.group = 32, .unpack = unpack_iq3_s};
const fl_quant fli_quant_iq1_s = {.group = 32, .unpack = unpack_iq1_s};
const fl_quant fli_quant_iq1_m = {.group = 16, .unpack = unpack_iq1_m};
