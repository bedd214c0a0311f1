/* gemm_avx512 - bf16 matrix products with vdpbf16ps, and the packing that AMX shares (gemm_vnni.h).
 *
 * A block of C is 14 rows x 32 columns in 28 registers; two hold a pair of K of the panel, one the
 * pair of A that is broadcast. One pair of K costs 28 multiply-adds for 16 loads. */
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/gemm_vnni.h"
#include "backend/cpu/transpose_avx512.h"
#include "backend/cpu/whole.h"

enum { MR = 14, STRIP = 16 };

#define INLINE static inline __attribute__((always_inline))

static __mmask32 first32(int64_t n) {
    return n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << (n > 0 ? n : 0)) - 1;
}
static __mmask16 first16(int64_t n) {
    return (__mmask16)first32(n > 16 ? 16 : n);
}

/* n <= 32 consecutive elements as bf16, zeros behind them. */
INLINE __m512i load_row(const fli_mat *x, int64_t at, int64_t n) {
    if (x->dtype == FL_BF16)
        return _mm512_maskz_loadu_epi16(first32(n), (const uint16_t *)x->data + at);
    const float *p = (const float *)x->data + at;
    const __m512 low = _mm512_maskz_loadu_ps(first16(n), p);
    const __m512 high = _mm512_maskz_loadu_ps(first16(n - 16), p + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Two rows of 32 -> their pairs, columns 0..15 and 16..31. */
INLINE void interleave(__m512i even, __m512i odd, __m512i *low, __m512i *high) {
    const __m512i a = _mm512_unpacklo_epi16(even, odd), b = _mm512_unpackhi_epi16(even, odd);
    const __m512i from_low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i from_high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    *low = _mm512_permutex2var_epi64(a, from_low, b);
    *high = _mm512_permutex2var_epi64(a, from_high, b);
}

/* K lies along memory (a weight (N, K) as it is stored): 16 columns at a time are transposed. */
static void pack_b_along(uint16_t *dst, const fli_mat *b, int64_t k, int64_t n, int64_t n0) {
    for (int64_t k0 = 0; k0 < k; k0 += FLI_VNNI_KR) {
        for (int half = 0; half < 2; half++, dst += FLI_VNNI_BLOCK) {
            const int64_t col = n0 + 16 * half;
            __m512i r[16];
            for (int i = 0; i < 16; i++) {
                r[i] = col + i < n ? load_row(b, (col + i) * b->cs + k0, k - k0)
                                   : _mm512_setzero_si512();
            }
            fli_transpose(r);
            for (int i = 0; i < 16; i++) _mm512_storeu_si512(dst + 32 * i, r[i]);
        }
    }
}

/* N lies along memory: rows 2p and 2p + 1 are interleaved. */
static void pack_b_across(uint16_t *dst, const fli_mat *b, int64_t k, int64_t n, int64_t n0) {
    for (int64_t k0 = 0; k0 < k; k0 += FLI_VNNI_KR, dst += 2 * FLI_VNNI_BLOCK) {
        for (int p = 0; p < 16; p++) {
            const int64_t row = k0 + 2 * p;
            __m512i even = _mm512_setzero_si512(), odd = even, low, high;
            if (row < k) even = load_row(b, row * b->rs + n0, n - n0);
            if (row + 1 < k) odd = load_row(b, (row + 1) * b->rs + n0, n - n0);
            interleave(even, odd, &low, &high);
            _mm512_storeu_si512(dst + 32 * p, low);
            _mm512_storeu_si512(dst + FLI_VNNI_BLOCK + 32 * p, high);
        }
    }
}

void fli_vnni_pack_b(void *panel, const fli_mat *b, int64_t k, int64_t n, int64_t n0) {
    (b->rs == 1 ? pack_b_along : pack_b_across)(panel, b, k, n, n0);
}

static void pack_a_along(uint16_t *dst, int64_t ld, const fli_mat *a, int64_t at, int64_t rows,
                         int64_t cols) {
    for (int64_t m = 0; m < rows; m++) {
        for (int64_t k = 0; k < cols; k += 32) {
            _mm512_storeu_si512(dst + m * ld + k, load_row(a, at + m * a->rs + k, cols - k));
        }
    }
}

/* A is stored transposed: pairs of its rows are interleaved and 32 x 32 turned at a time. */
static void pack_a_across(uint16_t *dst, int64_t ld, const fli_mat *a, int64_t at, int64_t rows,
                          int64_t cols) {
    for (int64_t k = 0; k < cols; k += 32) {
        for (int64_t m = 0; m < rows; m += 32) {
            __m512i low[16], high[16];
            for (int p = 0; p < 16; p++) {
                const int64_t row = k + 2 * p;
                __m512i even = _mm512_setzero_si512(), odd = even;
                if (row < cols) even = load_row(a, at + row * a->cs + m, rows - m);
                if (row + 1 < cols) odd = load_row(a, at + (row + 1) * a->cs + m, rows - m);
                interleave(even, odd, &low[p], &high[p]);
            }
            fli_transpose(low);
            fli_transpose(high);
            uint16_t *to = dst + m * ld + k;
            for (int i = 0; i < imin(16, rows - m); i++) _mm512_storeu_si512(to + i * ld, low[i]);
            for (int i = 16; i < imin(32, rows - m); i++)
                _mm512_storeu_si512(to + i * ld, high[i - 16]);
        }
    }
}

void fli_vnni_pack_a(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0, int64_t rows,
                     int64_t cols) {
    (a->cs == 1 ? pack_a_along : pack_a_across)(dst, ld, a, m0 * a->rs + k0 * a->cs, rows, cols);
}

/* The first n of 16 columns of two rows, as pairs. */
INLINE __m512i pairs_of(const uint16_t *even, const uint16_t *odd, __mmask16 n, __mmask16 n_odd) {
    const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9,
                                           40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1,
                                           32, 0);
    return _mm512_permutex2var_epi16(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(n, even)),
                                     order,
                                     _mm512_castsi256_si512(_mm256_maskz_loadu_epi16(n_odd, odd)));
}

/* Rows to come are asked for: they lie too far apart for the processor to guess. */
INLINE void prefetch_rows(const uint16_t *even, const uint16_t *odd, int64_t n) {
    for (int64_t i = 0; i < n + 31; i += 32) {
        __builtin_prefetch(even + i);
        __builtin_prefetch(odd + i);
    }
}

/* Two rows of A as it is stored give a pair of K of every strip. */
static void pack_strips(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0,
                        int64_t rows, int64_t cols) {
    enum { ROWS_AHEAD = 8 };
    const __mmask16 all = first16(MR), rest = first16(rows % MR);
    const uint16_t *even = (const uint16_t *)a->data + m0 * a->rs + k0 * a->cs;
    uint16_t *to = dst;
    for (int64_t k = 0; k < cols; k += 2, even += 2 * a->cs, to += 2 * STRIP) {
        const __mmask16 two = k + 1 < cols ? all : 0;
        const uint16_t *odd = even + a->cs;
        uint16_t *strip = to;
        int64_t m = 0;
        if (k + ROWS_AHEAD + 1 < cols)
            prefetch_rows(even + ROWS_AHEAD * a->cs, odd + ROWS_AHEAD * a->cs, rows);
        for (; m + MR <= rows; m += MR, strip += ld)
            _mm512_storeu_si512(strip, pairs_of(even + m, odd + m, all, two));
        if (rest) _mm512_storeu_si512(strip, pairs_of(even + m, odd + m, rest, rest & two));
    }
    for (int64_t k = cols + cols % 2; k % FLI_VNNI_KR; k += 2, to += 2 * STRIP) {
        for (int64_t m = 0; m < rows; m += MR)
            _mm512_storeu_si512(to + m / MR * ld, _mm512_setzero_si512());
    }
}

/* A panel is met first where it comes from memory or a far cache, then from L2: it is asked for in
 * time for either. Left to the processor, the first block of a panel takes twice as long as the
 * others. */
INLINE void prefetch_panel(const uint16_t *at) {
    enum { NEAR = 4096 / sizeof *at, FAR = 20480 / sizeof *at };
    __builtin_prefetch(at + NEAR, 0, 3);
    __builtin_prefetch(at + NEAR + FLI_VNNI_BLOCK, 0, 3);
    __builtin_prefetch(at + FAR, 0, 2);
    __builtin_prefetch(at + FAR + FLI_VNNI_BLOCK, 0, 2);
}

/* rows is a constant wherever this is expanded. The pair p of row i is at a + i * ra + p * pa; one
 * of ra and pa is a constant too. */
INLINE void block_rows(int rows, const uint16_t *a, int64_t ra, int64_t pa, const uint16_t *panel,
                       int64_t k, float *c, int64_t ldc, bool add) {
    __m512 acc[MR][2];
    for (int i = 0; i < rows; i++) {
        acc[i][0] = add ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
        acc[i][1] = add ? _mm512_loadu_ps(c + i * ldc + 16) : _mm512_setzero_ps();
    }
    for (int64_t k0 = 0; k0 < k; k0 += FLI_VNNI_KR, panel += 2 * FLI_VNNI_BLOCK) {
        for (int64_t p = 0; p < 16; p++, a += pa) {
            const __m512bh b0 = (__m512bh)_mm512_loadu_si512(panel + 32 * p);
            const __m512bh b1 = (__m512bh)_mm512_loadu_si512(panel + FLI_VNNI_BLOCK + 32 * p);
            prefetch_panel(panel + 32 * p);
            for (int i = 0; i < rows; i++) {
                int32_t pair;
                memcpy(&pair, a + i * ra, sizeof pair);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                acc[i][0] = _mm512_dpbf16_ps(acc[i][0], x, b0);
                acc[i][1] = _mm512_dpbf16_ps(acc[i][1], x, b1);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(c + i * ldc, acc[i][0]);
        _mm512_storeu_ps(c + i * ldc + 16, acc[i][1]);
    }
}

#define EACH_ROWS(R) R(1) R(2) R(3) R(4) R(5) R(6) R(7) R(8) R(9) R(10) R(11) R(12) R(13) R(14)

static void block(const void *a, int64_t lda, const void *panel, int64_t k, float *c, int64_t ldc,
                  int rows, bool add) {
    switch (rows) {
#define ROWS(r) \
    case r: block_rows(r, a, lda, 2, panel, k, c, ldc, add); break;
        EACH_ROWS(ROWS)
#undef ROWS
    }
}

static void block_strip(const void *strip, const void *panel, int64_t k, float *c, int64_t ldc,
                        int rows, bool add) {
    switch (rows) {
#define ROWS(r) \
    case r: block_rows(r, strip, 2, 2 * STRIP, panel, k, c, ldc, add); break;
        EACH_ROWS(ROWS)
#undef ROWS
    }
}

const fli_engine fli_gemm_bf16_avx512 = {
    .layout = FLI_VNNI_LAYOUT,
    .dtype = FL_BF16,
    .mr = MR,
    .nr = FLI_VNNI_NR,
    .kr = FLI_VNNI_KR,
    .kc = 1024,
    .depth = 1024,
    .mc = 10 * MR,
    .nc = 256,
    .pack_b = fli_vnni_pack_b,
    .pack_a = fli_vnni_pack_a,
    .block = block,
    .strip = STRIP,
    .pack_strips = pack_strips,
    .block_strip = block_strip,
    .store = fli_store_avx512,
};
