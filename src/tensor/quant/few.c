/* few - TQ1_0 TQ2_0 Q1_0 Q2_0: one scale and very few values. Read only.
 *
 * TQ1_0 keeps five digits of base three in a byte: the byte is their fraction of 256, so that
 * multiplying by three pushes the next digit out at the top. */
#include <string.h>

#include "tensor/quant/rows.h"

static int8_t digit(uint8_t byte, int place) {
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    const uint8_t rest = (uint8_t)(byte * power[place]);
    return (int8_t)((rest * 3 >> 8) - 1);
}

/* Digits are spread over a run of bytes: first all the first ones, then all the second ones. */
static int8_t *digits(int8_t *q, const uint8_t *bytes, int n, int places) {
    for (int place = 0; place < places; place++)
        for (int i = 0; i < n; i++) *q++ = digit(bytes[i], place);
    return q;
}

static void unpack_tq1_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_tq1_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    int8_t *q = digits(out->q, b.qs, 32, 5);
    q = digits(q, b.qs + 32, 16, 5);
    digits(q, b.qh, 4, 4);
}

static void unpack_tq2_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_tq2_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    for (int i = 0; i < 256; i++)
        out->q[i] = (int8_t)((b.qs[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3) - 1);
}

static void unpack_q1_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q1_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    for (int i = 0; i < 128; i++) out->q[i] = b.qs[i / 8] >> i % 8 & 1 ? 1 : -1;
}

static void unpack_q2_0(fl_unpacked *out, const void *block) {
    FLI_READ(fl_block_q2_0, b, block);
    out->scale[0] = fl_f16_to_f32(b.d);
    for (int i = 0; i < 64; i++) out->q[i] = (int8_t)((b.qs[i / 4] >> 2 * (i % 4) & 3) - 1);
}

const fl_quant fli_quant_tq1_0 = {.group = 256, .unpack = unpack_tq1_0};
const fl_quant fli_quant_tq2_0 = {.group = 256, .unpack = unpack_tq2_0};
const fl_quant fli_quant_q1_0 = {.group = 128, .unpack = unpack_q1_0};
const fl_quant fli_quant_q2_0 = {.group = 64, .unpack = unpack_q2_0};
