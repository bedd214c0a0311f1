/* strips_pack - weights in blocks into strips (strips.h), from what their format unpacks to. */
#include <math.h>
#include <string.h>

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/simd.h"
#include "backend/cpu/strips.h"

enum { K_MAX = FLI_UNIT * FL_X_GROUP };  // of a unit

typedef struct {
    uint8_t code[FLI_STRIP][K_MAX];
} unit_codes;

static int64_t imin(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- scales ---- */

static uint16_t half_at(const uint8_t *block, int at) {
    uint16_t h;
    memcpy(&h, block + at, sizeof h);
    return h;
}

static void put_half(uint8_t *head, int64_t i, uint16_t h) {
    memcpy(head + 2 * i, &h, sizeof h);
}

/* The integer a scale is that many times d. */
static int times(float scale, float d) {
    return d != 0 && isfinite(d) ? (int)lrintf(scale / d) : 0;
}

/* Block b of the unit and column j, of a format whose blocks are 32. */
static void put_scale(const fli_strip_format *f, uint8_t *head, int64_t b, int j,
                      const uint8_t *block) {
    switch (f->scales) {
    case FLI_HALF: put_half(head + 32 * b, j, half_at(block, f->d_at)); break;
    case FLI_HALF_MIN:
        put_half(head + 64 * b, j, half_at(block, f->d_at));
        put_half(head + 64 * b + 32, j, half_at(block, f->dmin_at));
        break;
    default: head[16 * b + j] = block[f->d_at]; break;
    }
}

/* The scales of a super-block. */
static void put_scales(const fli_strip_format *f, uint8_t *head, int j, const uint8_t *block,
                       const fl_unpacked *u) {
    const bool has_min = fli_strip_has_min(f);
    const uint16_t d_bits = half_at(block, f->d_at), dmin_bits = half_at(block, f->dmin_at);
    const float d = fl_f16_to_f32(d_bits), dmin = fl_f16_to_f32(dmin_bits);
    uint8_t *small = head + fli_strip_small_at(f) + j;
    put_half(head, j, d_bits);
    if (has_min) put_half(head + 32, j, dmin_bits);
    for (int g = 0; g < (fli_strip_is_in_16(f) ? 16 : 8); g++) {
        const int scale = times(u->scale[g], d), min = has_min ? times(u->min[g], dmin) : 0;
        if (f->scales == FLI_SMALL_MIN) {
            small[32 * g] = (uint8_t)scale;
            small[32 * g + 16] = (uint8_t)min;
        } else {
            small[16 * g] = (uint8_t)(has_min ? scale | min << 4 : scale);
        }
    }
}

/* ---- codes ---- */

/* The codes of n numbers: counted from zero, or which of a table's they are. */
static void put_codes(const fli_strip_format *f, const int8_t *values, const int8_t *q, int64_t n,
                      uint8_t *code) {
    for (int64_t i = 0; i < n; i++) code[i] = (uint8_t)(q[i] + f->zero);
    if (!f->has_values) return;
    uint8_t index[256] = {0};
    for (int i = 0; i < 16; i++) index[(uint8_t)(values[i] + f->zero)] = (uint8_t)i;
    for (int64_t i = 0; i < n; i++) code[i] = index[code[i]];
}

/* Column j of a unit: n blocks of 32 from those of the file. */
static void take_column(const fli_strip_format *f, fl_dtype t, const uint8_t *from, int64_t n,
                        uint8_t *head, int j, uint8_t *code) {
    const fl_quant *row = fl_quant_of(t);
    const int64_t block = fl_dtype_block(t);
    const size_t bytes = fl_dtype_row_bytes(t, block);
    for (int64_t at = 0; at < n * FL_X_GROUP; at += block, from += bytes) {
        fl_unpacked u;
        row->unpack(&u, from);
        put_codes(f, row->values, u.q, block, code + at);
        if (f->scales < FLI_SMALL) put_scale(f, head, at / FL_X_GROUP, j, from);
        else put_scales(f, head, j, from, &u);
    }
}

typedef uint8_t fours[FL_X_GROUP / 4][FLI_LINE];  // of 32 along K and 16 columns: lines to be

static void turn(const unit_codes *c, int64_t b, fours out) {
    for (int j = 0; j < FLI_STRIP; j++) {
        for (int i = 0; i < FL_X_GROUP / 4; i++)
            memcpy(out[i] + 4 * j, &c->code[j][b * FL_X_GROUP + 4 * i], 4);
    }
}

/* Bits [shift, shift + bits) of the codes; both are constants where this is expanded. */
FL_INLINE uint8_t *put_plane(uint8_t *to, const fours codes, int bits, int shift) {
    const uint8_t mask = (uint8_t)((1 << bits) - 1);
    for (int l = 0; l < bits; l++, to += FLI_LINE) {
        for (int i = 0; i < FLI_LINE; i++) {
            uint8_t sum = 0;
            for (int part = 0; part < 8 / bits; part++)
                sum = (uint8_t)(sum | (codes[l + bits * part][i] >> shift & mask) << bits * part);
            to[i] = sum;
        }
    }
    return to;
}

/* Both planes of a block: all pairs that formats have. */
static uint8_t *put_planes(const fli_strip_format *f, uint8_t *to, const fours codes) {
    switch (f->low) {
    case 2: to = put_plane(to, codes, 2, 0); break;
    case 4: to = put_plane(to, codes, 4, 0); break;
    default: to = put_plane(to, codes, 8, 0); break;
    }
    if (f->high == 2) return put_plane(to, codes, 2, 4);
    if (f->high == 1) return f->low == 2 ? put_plane(to, codes, 1, 2) : put_plane(to, codes, 1, 4);
    return to;
}

void FL_ISA_NAME(fli_strip_pack)(uint8_t *strip, const fl_tensor *w, int64_t s) {
    const fl_dtype t = w->dtype;
    const fli_strip_format *f = fli_strip_format_of(t);
    const int64_t blocks = w->dim[1] / FL_X_GROUP;
    const int cols = (int)imin(FLI_STRIP, w->dim[0] - s * FLI_STRIP);
    for (int64_t b = 0; b < blocks; b += FLI_UNIT) {
        const int64_t n = imin(FLI_UNIT, blocks - b);
        unit_codes c = {{{0}}};
        memset(strip, 0, (size_t)fli_strip_head_bytes(f, n));
        for (int j = 0; j < cols; j++) {
            const char *row = fl_tensor_row(w, s * FLI_STRIP + j);
            const char *from = row + fl_dtype_row_bytes(t, b * FL_X_GROUP);
            take_column(f, t, (const uint8_t *)from, n, strip, j, c.code[j]);
        }
        strip += fli_strip_head_bytes(f, n);
        for (int64_t k = 0; k < n; k++) {
            fours codes;
            turn(&c, k, codes);
            strip = put_planes(f, strip, (const uint8_t(*)[FLI_LINE])codes);
        }
    }
}
