/* attention_avx512 - the bf16 engine of attention for AVX-512: small products by vdpbf16ps. */
#include <immintrin.h>

#include "backend/cpu/isa/attention.h"

enum { ROWS = 8, LANES = 16 };  // of C held in registers: ROWS x 2 LANES

static inline __attribute__((always_inline)) void tile(const fli_product *p, int64_t i, int64_t j) {
    const uint16_t *a = (const uint16_t *)p->a + i * p->lda, *b = (const uint16_t *)p->b + 2 * j;
    float *c = p->c + i * p->ldc + j;
    __m512 sum[ROWS][2];
    for (int r = 0; r < ROWS; r++) {
        sum[r][0] = p->add ? _mm512_loadu_ps(c + r * p->ldc) : _mm512_setzero_ps();
        sum[r][1] = p->add ? _mm512_loadu_ps(c + r * p->ldc + LANES) : _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < p->k; k += 2, b += 2 * p->ldb) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b),
                 b1 = (__m512bh)_mm512_loadu_si512(b + 2 * LANES);
        for (int r = 0; r < ROWS; r++) {
            int32_t two;
            __builtin_memcpy(&two, a + r * p->lda + k, sizeof two);
            __m512bh x = (__m512bh)_mm512_set1_epi32(two);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        _mm512_storeu_ps(c + r * p->ldc, sum[r][0]);
        _mm512_storeu_ps(c + r * p->ldc + LANES, sum[r][1]);
    }
}

static void multiply(const fli_product *p) {
    for (int64_t j = 0; j < p->n; j += 2 * LANES) {
        for (int64_t i = 0; i < p->m; i += ROWS) tile(p, i, j);
    }
}

const fli_engine fli_engine_bf16_avx512 = {.pair = 2,
                                           .bytes = sizeof(uint16_t),
                                           .multiply = multiply};
