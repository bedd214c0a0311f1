/* strips_pack - weights in blocks into strips (strips.h), at the speed of memory.
 *
 * Columns of a strip are lanes of a register. Of each column's row sixteen bytes are turned at a
 * time: then a register has the same four bytes of all columns, and the bits of a plane are put
 * together with shifts and masks for all of them at once. Where a format has its bits is its row
 * of facts, which is a constant where this is expanded.
 *
 * The walk is not along memory, and no processor sees through it. So for every line that is turned
 * one of the next sixteen rows is asked for, which makes it twice as fast. */
#include <string.h>

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/isa/unroll.h"
#include "backend/cpu/strips.h"

#if defined(__AVX2__)

enum { PARTS = FLI_STRIP / FL_LANES, PART = 4 * FL_LANES };  // of a strip; bytes of a line's part
enum { GROUP = FL_X_GROUP / 4, SUPER = FL_BLOCK_MAX / FL_X_GROUP };  // fours; blocks

typedef uint8_t vub __attribute__((vector_size(FL_LANES)));
typedef vu vu_any __attribute__((aligned(1), may_alias));
typedef vub vub_any __attribute__((aligned(1), may_alias));

/* Of a part's columns: the blocks of the file that become a unit. */
typedef struct {
    const uint8_t *at[FL_LANES];
    const uint8_t *next;  // what comes behind all columns, as many bytes
} columns;

/* ---- turning ---- */

/* Sixteen bytes of columns i, i + 4, .. */
FL_INLINE vf sixteen(const columns *c, int i, int64_t at) {
#if defined(__AVX512F__)
#define LOAD(j) _mm_loadu_si128((const __m128i *)(const void *)(c->at[i + 4 * (j)] + at))
    __m512i v = _mm512_castsi128_si512(LOAD(0));
    v = _mm512_inserti32x4(v, LOAD(1), 1);
    v = _mm512_inserti32x4(v, LOAD(2), 2);
    return (vf)_mm512_inserti32x4(v, LOAD(3), 3);
#undef LOAD
#else
    return (vf)_mm256_loadu2_m128i((const __m128i *)(const void *)(c->at[i + 4] + at),
                                   (const __m128i *)(const void *)(c->at[i] + at));
#endif
}

/* n fours of bytes of every column, from byte `at` on, a register each; n is whole sixteens. */
FL_INLINE void turn(vu *out, const columns *c, int64_t at, int n) {
    UNROLL
    for (int i = 0; i < n; i += 4) {
        vf r[4];
        for (int k = 0; k < 4; k++) r[k] = sixteen(c, k, at + 4 * i);
        v_transpose_fours(r);
        for (int k = 0; k < 4; k++) out[i + k] = (vu)r[k];
        for (int k = 0; k < FL_LANES * 16; k += FLI_LINE)
            __builtin_prefetch(c->next + (at + 4 * i) * FL_LANES + k, 0, 2);
    }
}

/* ---- heads ---- */

static void put_half(uint8_t *head, const columns *c, int64_t at) {
    for (int j = 0; j < FL_LANES; j++) memcpy(head + 2 * j, c->at[j] + at, sizeof(fl_half));
}

FL_INLINE void put_bytes(uint8_t *to, vu v) {
    *(vub_any *)to = __builtin_convertvector(v, vub);
}

/* Where the sixteen bytes are that have the small scales of a super-block. */
FL_INLINE int64_t small_at(fl_dtype t) {
    switch (t) {
    case FL_Q3_K: return (int64_t)offsetof(fl_block_q3_k, scales) - 4;
    case FL_Q6_K: return (int64_t)offsetof(fl_block_q6_k, scales);
    default: return 0;  // Q2_K, Q4_K, Q5_K, IQ4_XS
    }
}

/* The scale of group g, and where a format has them apart its minimum, in the lowest byte; what
 * the bits mean is said where each format is unpacked (tensor/quant). */
FL_INLINE vu small_scale(fl_dtype t, const vu s[4], int g) {
    const int byte = 8 * (g % 4);
    vu low, high;
    switch (t) {
    case FL_Q3_K:
        low = s[1 + g / 4 % 2] >> (byte + 4 * (g / 8)) & 15;
        high = s[3] >> (byte + 2 * (g / 4)) & 3;
        return (low | high << 4) - 32;
    case FL_Q4_K:
    case FL_Q5_K:
        if (g < 4) return s[1] >> byte & 63;
        return (s[3] >> byte & 15) | (s[1] >> (byte + 6) & 3) << 4;
    case FL_IQ4_XS:
        low = s[1] >> 4 * g & 15;
        high = s[0] >> (16 + 2 * g) & 3;
        return (low | high << 4) - 32;
    default: return s[g / 4] >> byte;
    }
}

FL_INLINE vu small_min(const vu s[4], int g) {
    const int byte = 8 * (g % 4);
    if (g < 4) return s[2] >> byte & 63;
    return (s[3] >> (byte + 4) & 15) | (s[2] >> (byte + 6) & 3) << 4;
}

FL_INLINE void put_small(fli_strip_format f, fl_dtype t, uint8_t *head, const columns *c, int at) {
    uint8_t *small = head + fli_strip_small_at(&f) + at;
    const int n = fli_strip_is_in_16(&f) ? 2 * SUPER : SUPER;
    vu s[4];
    turn(s, c, small_at(t), 4);
    put_half(head + 2 * at, c, f.d_at);
    if (fli_strip_has_min(&f)) put_half(head + 32 + 2 * at, c, f.dmin_at);
    UNROLL
    for (int g = 0; g < n; g++) {
        if (f.scales == FLI_SMALL_MIN) {
            put_bytes(small + 32 * g, small_scale(t, s, g));
            put_bytes(small + 32 * g + 16, small_min(s, g));
        } else {
            put_bytes(small + 16 * g, small_scale(t, s, g));
        }
    }
}

/* Of block b, which begins at byte `from`, and of the columns from `at` on. */
FL_INLINE void put_scale(fli_strip_format f, uint8_t *head, const columns *c, int64_t from,
                         int64_t b, int at) {
    if (f.scales == FLI_EXPONENT) {
        for (int j = 0; j < FL_LANES; j++) head[16 * b + at + j] = c->at[j][from + f.d_at];
    } else if (f.scales == FLI_HALF) {
        put_half(head + 32 * b + 2 * at, c, from + f.d_at);
    } else {
        put_half(head + 64 * b + 2 * at, c, from + f.d_at);
        put_half(head + 64 * b + 32 + 2 * at, c, from + f.dmin_at);
    }
}

/* ---- planes ---- */

FL_INLINE vu every_byte(int v) {
    return (vu)v_seti((int32_t)((uint32_t)v * 0x01010101u));
}

/* `bits` bits of every byte, from bit `from` to bit `to`. */
FL_INLINE vu move(vu v, int bits, int from, int to) {
    const vu mask = every_byte(((1 << bits) - 1) << to);
    return (from > to ? v >> (from - to) : v << (to - from)) & mask;
}

FL_INLINE void put_line(uint8_t *to, int line, vu v) {
    *(vu_any *)(to + line * FLI_LINE) = v;
}

/* A plane of the codes whose bits lie in a group of 32 bytes. */
FL_INLINE void put_group(uint8_t *to, const vu *group, int bits, int from) {
    UNROLL
    for (int l = 0; l < bits; l++) {
        vu sum = {0};
        UNROLL
        for (int i = 0; i < 8 / bits; i++) sum |= move(group[l + bits * i], bits, from, bits * i);
        put_line(to, l, sum);
    }
}

/* A plane of one bit from 32 of them in a row: of every fourth, the four sets of eight in a byte
 * each. */
FL_INLINE void put_word(uint8_t *to, vu word) {
    vu sum = {0};
    UNROLL
    for (int i = 0; i < 4; i++) {
        vu v = word >> i & 0x11111111;
        v = (v | v >> 3) & 0x03030303;
        v = (v | v >> 6) & 0x000f000f;
        v = (v | v >> 12) & 0xff;
        sum |= v << 8 * i;
    }
    put_line(to, 0, sum);
}

/* The plane of block b of those whose bits are in `field`. */
FL_INLINE void put_plane(uint8_t *to, const vu *field, int bits, fli_strip_order order, int b) {
    const int share = 8 / bits;  // blocks that have their bits in the same bytes
    switch (order) {
    case FLI_WORD: put_word(to, field[0]); break;
    case FLI_SIXTEEN:
        for (int l = 0; l < bits; l++) put_line(to, l, field[bits * b + l]);
        break;
    case FLI_TURNS: put_group(to, field + b / share * GROUP, bits, bits * (b % share)); break;
    case FLI_CROSSED:
        put_group(to, field + (b / 4 * 2 + b % 2) * GROUP, bits, bits * (b / 2 % 2));
        break;
    }
}

typedef struct {  // of a block of the file, turned
    vu low[SUPER * 4], high[SUPER * 2];
} fields;

FL_INLINE void turn_fields(fli_strip_format f, fields *x, const columns *c, int64_t from, int n) {
    turn(x->low, c, from + f.low_at, f.low * n);
    if (f.high) turn(x->high, c, from + f.high_at, f.high * n < 4 ? 4 : f.high * n);
}

/* Both planes of block b of n that the fields have. */
FL_INLINE void put_block(fli_strip_format f, uint8_t *to, fields *x, int b) {
    for (int l = 0; l < GROUP && f.low == 8; l++) x->low[l] ^= every_byte(f.zero);
    put_plane(to, x->low, f.low, f.low_order, b);
    if (f.high) put_plane(to + f.low * FLI_LINE, x->high, f.high, f.high_order, b);
}

/* ---- units ---- */

/* The part of a unit whose columns begin at `at`: n blocks of the file, or a super-block. */
FL_INLINE void put_unit(fli_strip_format f, fl_dtype t, size_t block_bytes, uint8_t *head,
                        const columns *c, int64_t n, int at) {
    uint8_t *code = head + fli_strip_head_bytes(&f, n) + 4 * at;
    const int64_t bytes = fli_strip_block_bytes(&f);
    fields x;
    if (f.scales >= FLI_SMALL) {
        put_small(f, t, head, c, at);
        turn_fields(f, &x, c, 0, SUPER);
        for (int b = 0; b < SUPER; b += 4) {  // numbers that the compiler sees
            put_block(f, code + b * bytes, &x, b);
            put_block(f, code + (b + 1) * bytes, &x, b + 1);
            put_block(f, code + (b + 2) * bytes, &x, b + 2);
            put_block(f, code + (b + 3) * bytes, &x, b + 3);
        }
        return;
    }
    for (int64_t b = 0; b < n; b++) {
        const int64_t from = b * (int64_t)block_bytes;
        put_scale(f, head, c, from, b, at);
        turn_fields(f, &x, c, from, 1);
        put_block(f, code + b * bytes, &x, 0);
    }
}

/* ---- a strip ---- */

/* Blocks of columns that are not there: all zero, as many as a unit has. */
static const uint8_t nothing[FLI_UNIT * sizeof(fl_block_q8_0)];
static_assert(sizeof nothing >= sizeof(fl_block_q6_k), "the largest unit");

FL_INLINE void pack_strip(fli_strip_format f, size_t block_bytes, uint8_t *strip,
                          const fl_tensor *w, int64_t s) {
    const int64_t blocks = w->dim[1] / FL_X_GROUP, left = w->dim[0] - s * FLI_STRIP;
    const uint8_t *row[FLI_STRIP];
    for (int j = 0; j < FLI_STRIP; j++)
        row[j] = j < left ? fl_tensor_row(w, s * FLI_STRIP + j) : nothing;
    const size_t row_bytes = fl_dtype_row_bytes(w->dtype, w->dim[1]);
    const uint8_t *next = left > 2 * FLI_STRIP ? row[0] + FLI_STRIP * row_bytes : row[0];
    for (int64_t b = 0; b < blocks; b += FLI_UNIT) {
        const int64_t n = blocks - b < FLI_UNIT ? blocks - b : FLI_UNIT;
        const size_t bytes = block_bytes * (size_t)(f.scales >= FLI_SMALL ? 1 : n);
        memset(strip, 0, (size_t)fli_strip_head_bytes(&f, n));
        for (int p = 0; p < PARTS; p++) {
            columns c;
            for (int j = 0; j < FL_LANES; j++) c.at[j] = row[p * FL_LANES + j];
            c.next = next + (size_t)p * FL_LANES * bytes;
            put_unit(f, w->dtype, block_bytes, strip, &c, n, p * FL_LANES);
        }
        for (int j = 0; j < FLI_STRIP && j < left; j++) row[j] += bytes;
        next += FLI_STRIP * bytes;
        strip += fli_strip_unit_bytes(&f, n);
    }
}

void FL_ISA_NAME(fli_strip_pack)(uint8_t *strip, const fl_tensor *w, int64_t s) {
    switch (w->dtype) {
#define X(id, name, ...)                                               \
    case FL_##id: {                                                    \
        const fli_strip_format f = FLI_STRIP_FACTS(name, __VA_ARGS__); \
        pack_strip(f, sizeof(fl_block_##name), strip, w, s);           \
        break;                                                         \
    }
        FLI_STRIP_FORMATS(X)
#undef X
    default: break;
    }
}

#endif
