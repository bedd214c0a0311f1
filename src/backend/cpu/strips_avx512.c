/* strips_avx512 - integer products with vpdpbusd (strips.h).
 *
 * Eight registers hold the codes of 16 columns and a block of 32 along K; each row of x then costs
 * eight instructions whose memory operand is four of its numbers for all columns, and three to
 * convert and scale the sums. Four rows are worked on at a time, so that their chains of sums
 * overlap. Everything about a format is a constant where this is expanded. */
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/strips.h"
#include "tensor/blocks.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { LINES = 8, CHAINS = 4 };  // registers of codes; rows at a time

/* ---- weights ---- */

/* Line j of a plane's codes, moved up to bit `to`. */
INLINE __m512i plane(const uint8_t *p, int bits, int j, int to) {
    const __m512i line = _mm512_loadu_si512(p + FLI_LINE * (j % bits));
    const int from = bits * (j / bits);
    const __m512i mask = _mm512_set1_epi8((char)(((1 << bits) - 1) << to));
    if (bits == 8) return line;
    if (from > to) return _mm512_and_si512(_mm512_srli_epi16(line, (uint8_t)(from - to)), mask);
    if (from < to) return _mm512_and_si512(_mm512_slli_epi16(line, (uint8_t)(to - from)), mask);
    return _mm512_and_si512(line, mask);
}

INLINE __m512i codes(fli_strip_format f, const uint8_t *block, int j, __m512i values) {
    __m512i c = plane(block, f.low, j, 0);
    if (f.high) c = _mm512_or_si512(c, plane(block + FLI_LINE * f.low, f.high, j, f.low));
    return f.has_values ? _mm512_shuffle_epi8(values, c) : c;
}

/* The table of a format, its zero added, four times over. */
INLINE __m512i load_values(fli_strip_format f, fl_dtype t) {
    if (!f.has_values) return _mm512_setzero_si512();
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)fl_quant_of(t)->values);
    return _mm512_broadcast_i32x4(_mm_add_epi8(v, _mm_set1_epi8((char)f.zero)));
}

INLINE __m512 halves(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE __m512i bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE __m512i signed_bytes(const uint8_t *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

typedef struct {
    __m512 d, dmin;  // of the unit
} unit_scales;

INLINE unit_scales load_unit(fli_strip_format f, const uint8_t *head) {
    unit_scales u = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    if (f.scales >= FLI_SMALL) u.d = halves(head);
    if (f.scales >= FLI_SMALL && fli_strip_has_min(&f)) u.dmin = halves(head + 32);
    return u;
}

/* The scale of half h of block b; of all of it where groups are 32. */
INLINE __m512 scale_of(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b, int h) {
    const uint8_t *small = head + fli_strip_small_at(&f);
    switch (f.scales) {
    case FLI_HALF: return halves(head + 32 * b);
    case FLI_HALF_MIN: return halves(head + 64 * b);
    case FLI_EXPONENT:  // of numbers that are doubled
        return _mm512_mul_ps(_mm512_set1_ps(0.5f),
                             _mm512_castsi512_ps(_mm512_slli_epi32(bytes(head + 16 * b), 23)));
    case FLI_SMALL: return _mm512_mul_ps(u.d, _mm512_cvtepi32_ps(signed_bytes(small + 16 * b)));
    case FLI_SMALL_16:
        return _mm512_mul_ps(u.d, _mm512_cvtepi32_ps(signed_bytes(small + 16 * (2 * b + h))));
    case FLI_SMALL_MIN: return _mm512_mul_ps(u.d, _mm512_cvtepi32_ps(bytes(small + 32 * b)));
    case FLI_SMALL_MIN_16: {
        const __m512i both = bytes(small + 16 * (2 * b + h));
        return _mm512_mul_ps(u.d,
                             _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))));
    }
    }
    return u.d;
}

/* Likewise what is taken off for every unit of sum(x). */
INLINE __m512 min_of(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b, int h) {
    const uint8_t *small = head + fli_strip_small_at(&f);
    if (f.scales == FLI_HALF_MIN)
        return _mm512_sub_ps(_mm512_setzero_ps(), halves(head + 64 * b + 32));
    if (f.scales == FLI_SMALL_MIN)
        return _mm512_mul_ps(u.dmin, _mm512_cvtepi32_ps(bytes(small + 32 * b + 16)));
    return _mm512_mul_ps(u.dmin,
                         _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes(small + 16 * (2 * b + h)), 4)));
}

/* ---- products ---- */

INLINE __m512i four_of(const int8_t *q) {
    int32_t v;
    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

typedef struct {  // a block of a strip, ready
    __m512i code[LINES];
    __m512 scale[2], min[2];
} columns;

/* A block times CHAINS rows or fewer: sums of codes [first, last) of the eight fours. */
INLINE void dots(fli_strip_format f, int rows, const fli_strip_x *x, const columns *w, int half,
                 int first, int last, __m512i dot[CHAINS]) {
    UNROLL
    for (int r = 0; r < rows; r++)
        dot[r] = fli_strip_has_min(&f) ? _mm512_setzero_si512()
                                       : _mm512_set1_epi32(x[r].offset[half]);
    UNROLL
    for (int j = first; j < last; j++) {
        UNROLL
        for (int r = 0; r < rows; r++)
            dot[r] = _mm512_dpbusd_epi32(dot[r], w->code[j], four_of(x[r].q + 4 * j));
    }
}

INLINE void some_rows(fli_strip_format f, int rows, const fli_strip_x *x, const columns *w,
                      __m512 *sum) {
    const int halves_ = fli_strip_is_in_16(&f) ? 2 : 1;
    __m512i dot[CHAINS];
    __m512 part[CHAINS];
    dots(f, rows, x, w, 0, 0, LINES / halves_, dot);
    UNROLL
    for (int r = 0; r < rows; r++) part[r] = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r]), w->scale[0]);
    if (halves_ == 2) {
        dots(f, rows, x, w, 1, LINES / 2, LINES, dot);
        UNROLL
        for (int r = 0; r < rows; r++)
            part[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r]), w->scale[1], part[r]);
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        sum[r] = _mm512_fmadd_ps(part[r], _mm512_set1_ps(x[r].scale), sum[r]);
        for (int h = 0; fli_strip_has_min(&f) && h < halves_; h++)
            sum[r] = _mm512_fnmadd_ps(w->min[h], _mm512_set1_ps(x[r].sum[h]), sum[r]);
    }
}

INLINE columns load_columns(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b,
                            const uint8_t *block, __m512i values) {
    columns w;
    UNROLL
    for (int j = 0; j < LINES; j++) w.code[j] = codes(f, block, j, values);
    for (int h = 0; h < 2; h++) {
        w.scale[h] = w.min[h] = _mm512_setzero_ps();
        if (h && !fli_strip_is_in_16(&f)) continue;
        w.scale[h] = scale_of(f, head, u, b, h);
        if (fli_strip_has_min(&f)) w.min[h] = min_of(f, head, u, b, h);
    }
    return w;
}

/* Several rows keep the processor too busy to look far ahead of itself: what comes next is asked
 * for, from memory and from L2, which doubles what is read in a second. One or two rows see memory
 * as a plain stream, which comes at full speed when left alone, and at two thirds of it when not. */
INLINE void prefetch_block(fli_strip_format f, int rows, const uint8_t *block) {
    enum { NEAR = 4096, FAR = 16384 };
    for (int64_t i = 0; rows > 2 && i < fli_strip_block_bytes(&f); i += FLI_LINE) {
        __builtin_prefetch(block + NEAR + i, 0, 3);
        __builtin_prefetch(block + FAR + i, 0, 2);
    }
}

/* rows and f are constants wherever this is expanded. */
INLINE void multiply_rows(fli_strip_format f, fl_dtype t, int rows, const fli_strip_x *x,
                          const uint8_t *units, int64_t n, float *sums, int64_t ld, bool add) {
    const __m512i values = load_values(f, t);
    __m512 sum[FLI_STRIP_ROWS];
    UNROLL
    for (int r = 0; r < rows; r++)
        sum[r] = add ? _mm512_loadu_ps(sums + r * ld) : _mm512_setzero_ps();
    for (int64_t left = n; left > 0; left -= FLI_UNIT) {
        const int64_t blocks = left < FLI_UNIT ? left : FLI_UNIT;
        const uint8_t *head = units;
        const unit_scales u = load_unit(f, head);
        units += fli_strip_head_bytes(&f, blocks);
        for (int64_t b = 0; b < blocks; b++, x += FLI_STRIP_ROWS) {
            const columns w = load_columns(f, head, u, b, units, values);
            prefetch_block(f, rows, units);
            units += fli_strip_block_bytes(&f);
            UNROLL
            for (int r = 0; r < rows; r += CHAINS)
                some_rows(f, rows - r < CHAINS ? rows - r : CHAINS, x + r, &w, sum + r);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) _mm512_storeu_ps(sums + r * ld, sum[r]);
}

#define ROWS(r)                                                 \
    case r:                                                     \
        multiply_rows(f, t, r, panel, units, n, sums, ld, add); \
        break;

#define X(id, name, ...)                                                                   \
    static void multiply_##name(const fli_strip_x *panel, const uint8_t *units, int64_t n, \
                                float *sums, int64_t ld, int64_t rows, bool add) {         \
        const fli_strip_format f = FLI_STRIP_FACTS(name, __VA_ARGS__);                     \
        const fl_dtype t = FL_##id;                                                        \
        switch (fli_strip_rows(rows)) { FLI_STRIP_EACH_ROWS(ROWS) }                        \
    }
FLI_STRIP_FORMATS(X)
#undef X

static void multiply(fl_dtype t, const fli_strip_x *panel, const uint8_t *units, int64_t n,
                     float *sums, int64_t ld, int64_t rows, bool add) {
    switch (t) {
#define X(id, name, ...) \
    case FL_##id: multiply_##name(panel, units, n, sums, ld, rows, add); break;
        FLI_STRIP_FORMATS(X)
#undef X
    default: break;
    }
}

/* ---- x ---- */

typedef struct {
    __m512 low, high;
} numbers;

INLINE numbers load_x(const fl_tensor *x, int64_t at) {
    if (x->dtype == FL_F32) {
        const float *p = (const float *)x->data + at;
        return (numbers){_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16)};
    }
    const __m512i h = _mm512_loadu_si512((const uint16_t *)x->data + at);
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(h)),
                  high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h, 1));
    return (numbers){_mm512_castsi512_ps(_mm512_slli_epi32(low, 16)),
                     _mm512_castsi512_ps(_mm512_slli_epi32(high, 16))};
}

/* fl_quantize_x of one group, and what its format wants of the sums. */
INLINE void take_group(fli_strip_x *to, numbers v, const fli_strip_format *f) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(v.low), magnitude),
                                          _mm512_and_si512(_mm512_castps_si512(v.high), magnitude));
    const int32_t most = _mm512_reduce_max_epi32(bits);
    float max;
    memcpy(&max, &most, sizeof max);
    const bool usable = max >= FL_X_SMALLEST && most < 0x7f800000;
    const __m512 inverse = _mm512_set1_ps(usable ? 127 / max : 0);
    __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(v.low, inverse)),
            high = _mm512_cvtps_epi32(_mm512_mul_ps(v.high, inverse));
    if (!usable) low = high = _mm512_set1_epi32(1);
    _mm_storeu_si128((__m128i *)(void *)to->q, _mm512_cvtepi32_epi8(low));
    _mm_storeu_si128((__m128i *)(void *)(to->q + 16), _mm512_cvtepi32_epi8(high));
    to->scale = max < FL_X_SMALLEST ? 0 : max / 127;
    int32_t sum[2] = {_mm512_reduce_add_epi32(low), _mm512_reduce_add_epi32(high)};
    if (!fli_strip_is_in_16(f)) sum[0] += sum[1];
    for (int h = 0; h < 2; h++) {
        if (fli_strip_has_min(f)) to->sum[h] = to->scale * (float)sum[h];
        else to->offset[h] = -f->zero * sum[h];
    }
}

static void take_x(fli_strip_x *panel, const fl_tensor *x, int64_t r0, int64_t rows,
                   const fli_strip_format *f) {
    const int64_t k = fl_tensor_cols(x), blocks = k / FL_X_GROUP;
    for (int64_t r = 0; r < fli_strip_rows(rows); r++) {
        for (int64_t b = 0; b < blocks; b++) {
            fli_strip_x *to = &panel[b * FLI_STRIP_ROWS + r];
            if (r < rows) take_group(to, load_x(x, (r0 + r) * k + b * FL_X_GROUP), f);
            else *to = (fli_strip_x){0};
        }
    }
}

/* ---- y ---- */

static void store(void *y, fl_dtype dtype, int64_t ldy, const float *sums, int64_t ld, int64_t rows,
                  int64_t cols, const float *bias) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < cols; j += 16) {
            const __mmask16 some = cols - j < 16 ? (__mmask16)((1u << (cols - j)) - 1) : 0xffff;
            __m512 v = _mm512_loadu_ps(sums + r * ld + j);
            if (bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(some, bias + j));
            if (dtype == FL_F32) _mm512_mask_storeu_ps((float *)y + r * ldy + j, some, v);
            else
                _mm256_mask_storeu_epi16((uint16_t *)y + r * ldy + j, some,
                                         (__m256i)_mm512_cvtneps_pbh(v));
        }
    }
}

const fli_strip_engine fli_strips_avx512 = {
    .pack = fli_strip_pack_avx512,
    .take_x = take_x,
    .multiply = multiply,
    .store = store,
    .ce = &fli_ce_rows_avx512,
};
