/* roof_avx512 - bf16 and 8-bit dot products as fast as one core can. */
#include <immintrin.h>

#include "backend/cpu/roof_loops.h"

double fli_roof_bf16_avx512(int64_t n) {
    enum { CHAINS = 14, FLOPS = 64 };
    __m512 sum[CHAINS];
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_ps(0.01f * (float)(i + 1));
    const __m512i x = _mm512_set1_epi32(0x3f1bbe9d), y = _mm512_set1_epi32(0x3e47bdb3);
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)y);
    }
    for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    static volatile float sink;
    sink = _mm512_reduce_add_ps(sum[0]);
    (void)sink;
    return (double)CHAINS * FLOPS * (double)n;
}

double fli_roof_int8_avx512(int64_t n) {
    enum { CHAINS = 14, OPS = 128 };
    __m512i sum[CHAINS];
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_epi32(i);
    const __m512i x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x0102ff04);
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], x, y);
    }
    for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    static volatile int32_t sink;
    sink = _mm512_reduce_add_epi32(sum[0]);
    (void)sink;
    return (double)CHAINS * OPS * (double)n;
}
