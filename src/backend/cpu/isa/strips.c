/* strips - integer products on the CPUs that have instructions for them (backend/cpu/strips.h).
 *
 * Registers hold the codes of FL_LANES columns and a block of 32 along K; each row of x then costs
 * eight dot products whose other operand is four of its numbers for all columns, and three
 * instructions to convert and scale the sums. Four rows are worked on at a time, so that their
 * chains of sums overlap. Everything about a format is a constant where this is expanded.
 *
 * AVX-512 has the dot product of unsigned with signed bytes. AVX2 makes it of pairs in 16 bits,
 * which codes above 128 would overflow: those are taken as signed numbers instead. Sums of integers
 * are exact, so both give the same bytes. */
#include "backend/cpu/strips.h"

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/isa/unroll.h"

#if defined(__AVX2__)

enum { LINES = 8, CHAINS = 4 };                              // registers of codes; rows at a time
enum { AT_ONCE = FL_LANES == 16 ? 12 : 4 };                  // rows whose sums the registers hold
enum { PARTS = FLI_STRIP / FL_LANES, PART = 4 * FL_LANES };  // of a strip; bytes of a line's part

typedef int8_t vb __attribute__((vector_size(FL_LANES)));
typedef vi vi_any __attribute__((aligned(1), may_alias));
typedef int32_t int32_any __attribute__((aligned(1), may_alias));
typedef vb vb_any __attribute__((aligned(1), may_alias));

/* ---- what vector extensions cannot say ---- */

#if defined(__AVX512F__)

/* Four numbers of x for all columns are an operand in memory. gcc would load them into a register
 * of their own; the processor then looks ahead only half as far in w, and gets as little of it. */
FL_INLINE vi add_dots(vi sum, vi code, const int8_t *x) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(sum)
            : "v"(code), "m"(*(const int32_any *)(const void *)x));
    return sum;
}
FL_INLINE vi look_up(vi table, vi code) {
    return (vi)_mm512_shuffle_epi8((__m512i)table, (__m512i)code);
}
FL_INLINE vi four_times(__m128i table) {
    return (vi)_mm512_broadcast_i32x4(table);
}
FL_INLINE vf halves(const uint8_t *p) {
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
FL_INLINE vi bytes(const uint8_t *p) {
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
FL_INLINE vi signed_bytes(const uint8_t *p) {
    return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
FL_INLINE vi v_maxi(vi a, vi b) {
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
}
FL_INLINE int32_t v_maxi_all(vi a) {
    return _mm512_reduce_max_epi32((__m512i)a);
}
FL_INLINE int32_t v_sumi(vi a) {
    return _mm512_reduce_add_epi32((__m512i)a);
}

#else

FL_INLINE vi add_pairs(vi sum, __m256i pairs) {
    return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
FL_INLINE __m256i four_of(const int8_t *q) {
    return _mm256_set1_epi32(*(const int32_any *)(const void *)q);
}
FL_INLINE vi add_dots(vi sum, vi code, const int8_t *x) {
    return add_pairs(sum, _mm256_maddubs_epi16((__m256i)code, four_of(x)));
}
FL_INLINE vi add_signed_dots(vi sum, vi code, const int8_t *x) {
    return add_pairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)code),
                                               _mm256_sign_epi8(four_of(x), (__m256i)code)));
}
FL_INLINE vi look_up(vi table, vi code) {
    return (vi)_mm256_shuffle_epi8((__m256i)table, (__m256i)code);
}
FL_INLINE vi four_times(__m128i table) {
    return (vi)_mm256_broadcastsi128_si256(table);
}
FL_INLINE vf halves(const uint8_t *p) {
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
FL_INLINE vi bytes(const uint8_t *p) {
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
FL_INLINE vi signed_bytes(const uint8_t *p) {
    return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
FL_INLINE vi v_maxi(vi a, vi b) {
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
}
FL_INLINE int32_t v_maxi_all(vi a) {
    int32_t most = a[0];
    for (int i = 1; i < FL_LANES; i++) most = a[i] > most ? a[i] : most;
    return most;
}
FL_INLINE int32_t v_sumi(vi a) {
    int32_t sum = 0;
    for (int i = 0; i < FL_LANES; i++) sum += a[i];
    return sum;
}

#endif

/* Codes become numbers before they are multiplied, so that nothing is to be taken off the sum. */
FL_INLINE bool is_signed(fli_strip_format f) {
    return FL_LANES == 8 && f.zero == 128;
}

FL_INLINE vf real(vi v) {
    return __builtin_convertvector(v, vf);
}

/* ---- weights ---- */

FL_INLINE vi every_byte(int v) {
    return v_seti((int32_t)((uint32_t)v * 0x01010101u));
}

/* Line j of a plane's codes, moved up to bit `to`. */
FL_INLINE vi plane(const uint8_t *p, int bits, int j, int to) {
    const vu line = (vu) * (const vi_any *)(p + FLI_LINE * (j % bits));
    const int from = bits * (j / bits);
    const vu mask = (vu)every_byte(((1 << bits) - 1) << to);
    if (bits == 8) return (vi)line;
    if (from > to) return (vi)(line >> (from - to) & mask);
    if (from < to) return (vi)(line << (to - from) & mask);
    return (vi)(line & mask);
}

FL_INLINE vi codes(fli_strip_format f, const uint8_t *block, int j, vi values) {
    vi c = plane(block, f.low, j, 0);
    if (f.high) c |= plane(block + FLI_LINE * f.low, f.high, j, f.low);
    if (f.has_values) return look_up(values, c);
    return is_signed(f) ? c ^ every_byte(0x80) : c;
}

/* The table of a format, zero added. */
FL_INLINE vi load_values(fli_strip_format f, fl_dtype t) {
    if (!f.has_values) return (vi){0};
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)fl_quant_of(t)->values);
    return four_times(_mm_add_epi8(v, _mm_set1_epi8((char)(is_signed(f) ? 0 : f.zero))));
}

typedef struct {
    vf d, dmin;  // of the unit
} unit_scales;

/* `at` is the first column, here and below. */
FL_INLINE unit_scales load_unit(fli_strip_format f, const uint8_t *head, int at) {
    unit_scales u = {{0}, {0}};
    if (f.scales >= FLI_SMALL) u.d = halves(head + 2 * at);
    if (f.scales >= FLI_SMALL && fli_strip_has_min(&f)) u.dmin = halves(head + 32 + 2 * at);
    return u;
}

/* The scale of half h of block b; of all of it where groups are 32. */
FL_INLINE vf scale_of(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b, int h,
                      int at) {
    const uint8_t *small = head + fli_strip_small_at(&f) + at;
    switch (f.scales) {
    case FLI_HALF: return halves(head + 32 * b + 2 * at);
    case FLI_HALF_MIN: return halves(head + 64 * b + 2 * at);
    case FLI_EXPONENT: return (vf)(bytes(head + 16 * b + at) << 23) * 0.5f;  // numbers are doubled
    case FLI_SMALL: return u.d * real(signed_bytes(small + 16 * b));
    case FLI_SMALL_16: return u.d * real(signed_bytes(small + 16 * (2 * b + h)));
    case FLI_SMALL_MIN: return u.d * real(bytes(small + 32 * b));
    case FLI_SMALL_MIN_16: return u.d * real(bytes(small + 16 * (2 * b + h)) & 15);
    }
    return u.d;
}

/* Likewise what is taken off for every unit of sum(x). */
FL_INLINE vf min_of(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b, int h,
                    int at) {
    const uint8_t *small = head + fli_strip_small_at(&f) + at;
    if (f.scales == FLI_HALF_MIN) return -halves(head + 64 * b + 32 + 2 * at);
    if (f.scales == FLI_SMALL_MIN) return u.dmin * real(bytes(small + 32 * b + 16));
    return u.dmin * real(bytes(small + 16 * (2 * b + h)) >> 4);
}

/* ---- products ---- */

typedef struct {  // a block of some columns, ready
    vi code[LINES];
    vf scale[2], min[2];
} columns;

/* Sums of codes [first, last) of the eight fours, of CHAINS rows or fewer. */
FL_INLINE void dots(fli_strip_format f, int rows, const fli_strip_x *x, const columns *w, int half,
                    int first, int last, vi dot[CHAINS]) {
    const bool starts_at_zero = fli_strip_has_min(&f) || is_signed(f);
    UNROLL
    for (int r = 0; r < rows; r++) dot[r] = starts_at_zero ? (vi){0} : v_seti(x[r].offset[half]);
    UNROLL
    for (int j = first; j < last; j++) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            const int8_t *four = x[r].q + 4 * j;
#if !defined(__AVX512F__)
            if (is_signed(f)) dot[r] = add_signed_dots(dot[r], w->code[j], four);
            else
#endif
                dot[r] = add_dots(dot[r], w->code[j], four);
        }
    }
}

/* sum[r] is PARTS apart. */
FL_INLINE void some_rows(fli_strip_format f, int rows, const fli_strip_x *x, const columns *w,
                         vf (*sum)[PARTS], int part) {
    const int n = fli_strip_is_in_16(&f) ? 2 : 1;
    vi dot[CHAINS];
    vf product[CHAINS];
    dots(f, rows, x, w, 0, 0, LINES / n, dot);
    UNROLL
    for (int r = 0; r < rows; r++) product[r] = real(dot[r]) * w->scale[0];
    if (n == 2) {
        dots(f, rows, x, w, 1, LINES / 2, LINES, dot);
        UNROLL
        for (int r = 0; r < rows; r++) product[r] = v_fma(real(dot[r]), w->scale[1], product[r]);
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        vf s = v_fma(product[r], v_set(x[r].scale), sum[r][part]);
        for (int h = 0; fli_strip_has_min(&f) && h < n; h++)
            s = v_fma(-w->min[h], v_set(x[r].sum[h]), s);
        sum[r][part] = s;
    }
}

FL_INLINE columns load_columns(fli_strip_format f, const uint8_t *head, unit_scales u, int64_t b,
                               const uint8_t *block, vi values, int part) {
    columns w;
    const int at = part * FL_LANES;
    UNROLL
    for (int j = 0; j < LINES; j++) w.code[j] = codes(f, block + part * PART, j, values);
    for (int h = 0; h < 2; h++) {
        w.scale[h] = w.min[h] = (vf){0};
        if (h && !fli_strip_is_in_16(&f)) continue;
        w.scale[h] = scale_of(f, head, u, b, h, at);
        if (fli_strip_has_min(&f)) w.min[h] = min_of(f, head, u, b, h, at);
    }
    return w;
}

/* Several rows keep the processor too busy to look far ahead of itself: what comes next is asked
 * for, from memory and from L2, which doubles what is read in a second. One or two rows see memory
 * as a plain stream, which comes at full speed when left alone and at two thirds of it when not. */
FL_INLINE void prefetch_block(fli_strip_format f, int rows, const uint8_t *block) {
    enum { NEAR = 4096, FAR = 16384 };
    for (int64_t i = 0; rows > 2 && i < fli_strip_block_bytes(&f); i += FLI_LINE) {
        __builtin_prefetch(block + NEAR + i, 0, 3);
        __builtin_prefetch(block + FAR + i, 0, 2);
    }
}

/* rows and f are constants wherever this is expanded. */
FL_INLINE void multiply_rows(fli_strip_format f, fl_dtype t, int rows, const fli_strip_x *x,
                             const uint8_t *units, int64_t n, float *sums, int64_t ld, bool add) {
    const vi values = load_values(f, t);
    vf sum[FLI_STRIP_ROWS][PARTS];
    UNROLL
    for (int i = 0; i < rows * PARTS; i++) {
        const float *from = sums + i / PARTS * ld + i % PARTS * FL_LANES;
        sum[i / PARTS][i % PARTS] = add ? v_load(from) : (vf){0};
    }
    for (int64_t left = n; left > 0; left -= FLI_UNIT) {
        const int64_t blocks = left < FLI_UNIT ? left : FLI_UNIT;
        const uint8_t *head = units;
        unit_scales u[PARTS];
        for (int p = 0; p < PARTS; p++) u[p] = load_unit(f, head, p * FL_LANES);
        units += fli_strip_head_bytes(&f, blocks);
        for (int64_t b = 0; b < blocks; b++, x += FLI_STRIP_ROWS) {
            prefetch_block(f, rows, units);
            UNROLL
            for (int p = 0; p < PARTS; p++) {
                const columns w = load_columns(f, head, u[p], b, units, values, p);
                UNROLL
                for (int r = 0; r < rows; r += CHAINS)
                    some_rows(f, rows - r < CHAINS ? rows - r : CHAINS, x + r, &w, sum + r, p);
            }
            units += fli_strip_block_bytes(&f);
        }
    }
    UNROLL
    for (int i = 0; i < rows * PARTS; i++)
        v_store(sums + i / PARTS * ld + i % PARTS * FL_LANES, sum[i / PARTS][i % PARTS]);
}

#define ROWS(r)                                                             \
    case r:                                                                 \
        if (r <= AT_ONCE) multiply_rows(f, t, r, x, units, n, to, ld, add); \
        break;

#define X(id, name, ...)                                                                           \
    static void multiply_##name(const fli_strip_x *panel, const uint8_t *units, int64_t n,         \
                                float *sums, int64_t ld, int64_t rows, bool add) {                 \
        const fli_strip_format f = FLI_STRIP_FACTS(name, __VA_ARGS__);                             \
        const fl_dtype t = FL_##id;                                                                \
        for (int64_t r0 = 0; r0 < rows; r0 += AT_ONCE) {                                           \
            const int64_t left = rows - r0;                                                        \
            const fli_strip_x *x = panel + r0;                                                     \
            float *to = sums + r0 * ld;                                                            \
            switch (left < AT_ONCE ? fli_strip_rows(left) : AT_ONCE) { FLI_STRIP_EACH_ROWS(ROWS) } \
        }                                                                                          \
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

enum { VECTORS = FL_X_GROUP / FL_LANES };

/* fl_quantize_x of one group, and what its format wants of the sums. */
FL_INLINE void take_group(fli_strip_x *to, const vf v[VECTORS], const fli_strip_format *f) {
    vi bits = {0};
    for (int i = 0; i < VECTORS; i++) bits = v_maxi(bits, (vi)v[i] & 0x7fffffff);
    const int32_t most = v_maxi_all(bits);
    float max;
    memcpy(&max, &most, sizeof max);
    const bool usable = max >= FL_X_SMALLEST && most < 0x7f800000;
    const float inverse = usable ? 127 / max : 0;
    int32_t sum[2] = {0, 0};
    for (int i = 0; i < VECTORS; i++) {
        const vi q = usable ? __builtin_convertvector(v_round(v[i] * inverse), vi) : v_seti(1);
        *(vb_any *)(to->q + i * FL_LANES) = __builtin_convertvector(q, vb);
        sum[2 * i / VECTORS] += v_sumi(q);
    }
    to->scale = max < FL_X_SMALLEST ? 0 : max / 127;
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
            const int64_t at = (r0 + r) * k + b * FL_X_GROUP;
            vf v[VECTORS];
            for (int i = 0; i < VECTORS && r < rows; i++)
                v[i] = x->dtype == FL_F32
                           ? v_load((const float *)x->data + at + i * FL_LANES)
                           : v_load_bf16((const uint16_t *)x->data + at + i * FL_LANES);
            if (r < rows) take_group(to, v, f);
            else *to = (fli_strip_x){0};
        }
    }
}

/* ---- y ---- */

/* n <= FL_LANES numbers of y. */
FL_INLINE void put(void *y, fl_dtype dtype, int64_t at, vf v, int64_t n) {
    if (dtype == FL_F32) {
        if (n == FL_LANES) v_store((float *)y + at, v);
        else v_store_n((float *)y + at, v, n);
        return;
    }
    uint16_t h[FL_LANES];
    v_store_bf16(h, v);
    memcpy((uint16_t *)y + at, h, (size_t)n * sizeof *h);
}

static void store(void *y, fl_dtype dtype, int64_t ldy, const float *sums, int64_t ld, int64_t rows,
                  int64_t cols, const float *bias) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < cols; j += FL_LANES) {
            const int64_t n = cols - j < FL_LANES ? cols - j : FL_LANES;
            vf v = v_load(sums + r * ld + j);
            if (bias) v += v_load_n(bias + j, n);
            put(y, dtype, r * ldy + j, v, n);
        }
    }
}

const fli_strip_engine FL_ISA_NAME(fli_strips) = {
    .pack = FL_ISA_NAME(fli_strip_pack),
    .take_x = take_x,
    .multiply = multiply,
    .store = store,
    .ce = &FL_ISA_NAME(fli_ce_rows),
};

#endif
