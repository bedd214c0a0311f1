/* simd.h - one vector of floats, as wide as the instruction set this file is compiled for.
 *
 * Included only by files compiled per instruction set (isa/ and *_ISA.c). A `vf` is FL_LANES floats
 * in a GCC vector, so + - * / and comparisons are the operators; below are the few things operators
 * cannot say. AVX-512 and AVX2 use their instructions; everything else is written in vector
 * extensions, which the compiler turns into SSE2, NEON or whatever the baseline has.
 *
 * bf16 is rounded to nearest even. AVX-512's instruction flushes denormals to zero; the others keep
 * them. */
#ifndef FL_BASE_SIMD_H
#define FL_BASE_SIMD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { FL_LANES = 16 };
#elif defined(__AVX2__)
enum { FL_LANES = 8 };
#else
enum { FL_LANES = 4 };
#endif

typedef float vf __attribute__((vector_size(FL_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(FL_LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(FL_LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(FL_LANES * 2)));  // bf16 in memory
typedef double vd __attribute__((vector_size(FL_LANES * 4)));    // half as many

typedef vf vf_any __attribute__((aligned(4), may_alias));  // the same at any address
typedef vh vh_any __attribute__((aligned(2), may_alias));

#define FL_INLINE static inline __attribute__((always_inline))

FL_INLINE vf v_set(float x) {
    return x - (vf){0};
}
FL_INLINE vi v_seti(int32_t x) {
    return x - (vi){0};
}
FL_INLINE vf v_load(const float *p) {
    return *(const vf_any *)p;
}
FL_INLINE void v_store(float *p, vf v) {
    *(vf_any *)p = v;
}

#if defined(__AVX512F__)

typedef __mmask16 vm;

FL_INLINE vf v_fma(vf a, vf b, vf c) {
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
FL_INLINE vf v_max(vf a, vf b) {
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}  // b if either is NaN
FL_INLINE vf v_min(vf a, vf b) {
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
}
FL_INLINE vf v_sqrt(vf a) {
    return (vf)_mm512_sqrt_ps((__m512)a);
}
FL_INLINE vf v_round(vf a) {
    return (vf)_mm512_roundscale_ps((__m512)a, 0);
}
/* 1 / a within 2 units in the last place, for |a| in [2^-125, 2^125]: 14 bits and one Newton step,
 * a quarter of the time of a division. */
FL_INLINE vf v_recip(vf a) {
    vf r = (vf)_mm512_rcp14_ps((__m512)a);
    return v_fma(r, v_fma(-a, r, (vf){0} + 1.0f), r);
}
FL_INLINE vf v_abs(vf a) {
    return (vf)_mm512_abs_ps((__m512)a);
}
FL_INLINE vm v_lt(vf a, vf b) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
}
FL_INLINE vm v_lti(vi a, vi b) {
    return _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b);
}
FL_INLINE vm v_eqi(vi a, vi b) {
    return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
}
FL_INLINE vf v_select(vm m, vf yes, vf no) {
    return (vf)_mm512_mask_blend_ps(m, (__m512)no, (__m512)yes);
}
FL_INLINE bool v_any(vm m) {
    return m != 0;
}
FL_INLINE vf v_scalef(vf a, vf n) {
    return (vf)_mm512_scalef_ps((__m512)a, (__m512)n);
}  // a * 2^n
FL_INLINE vf v_load_n(const float *p, int64_t n) {
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
FL_INLINE void v_store_n(float *p, vf v, int64_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
}
FL_INLINE vf v_load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return (vf)_mm512_slli_epi32(wide, 16);
}
FL_INLINE void v_store_bf16(uint16_t *p, vf v) {
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
FL_INLINE float v_sum(vf a) {
    return _mm512_reduce_add_ps((__m512)a);
}
FL_INLINE float v_max_all(vf a) {
    return _mm512_reduce_max_ps((__m512)a);
}

#else

typedef vi vm;

FL_INLINE vf v_select(vm m, vf yes, vf no) {
    return (vf)(((vi)yes & m) | ((vi)no & ~m));
}
FL_INLINE vm v_lt(vf a, vf b) {
    return a < b;
}
FL_INLINE vm v_lti(vi a, vi b) {
    return a < b;
}
FL_INLINE vm v_eqi(vi a, vi b) {
    return a == b;
}
FL_INLINE vf v_abs(vf a) {
    return (vf)((vi)a & 0x7fffffff);
}
FL_INLINE vf v_recip(vf a) {
    return 1.0f / a;
}

#if defined(__AVX2__)
FL_INLINE vf v_fma(vf a, vf b, vf c) {
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
FL_INLINE vf v_max(vf a, vf b) {
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}
FL_INLINE vf v_min(vf a, vf b) {
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
}
FL_INLINE vf v_sqrt(vf a) {
    return (vf)_mm256_sqrt_ps((__m256)a);
}
FL_INLINE vf v_round(vf a) {
    return (vf)_mm256_round_ps((__m256)a, 8);
}
FL_INLINE bool v_any(vm m) {
    return _mm256_movemask_ps((__m256)m) != 0;
}
FL_INLINE vf v_load_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return (vf)_mm256_slli_epi32(wide, 16);
}
#else
FL_INLINE vf v_fma(vf a, vf b, vf c) {
    return a * b + c;
}
FL_INLINE vf v_max(vf a, vf b) {
    return v_select(a > b, a, b);
}
FL_INLINE vf v_min(vf a, vf b) {
    return v_select(a < b, a, b);
}
FL_INLINE vf v_sqrt(vf a) {
    for (int i = 0; i < FL_LANES; i++) a[i] = sqrtf(a[i]);
    return a;
}
/* Adding 1.5 * 2^23 leaves no bits below one; larger values are integers already. */
FL_INLINE vf v_round(vf a) {
    const vf big = v_set(12582912.0f);
    return v_select(v_abs(a) < 4194304.0f, (a + big) - big, a);
}
FL_INLINE bool v_any(vm m) {
    int32_t any = 0;
    for (int i = 0; i < FL_LANES; i++) any |= m[i];
    return any != 0;
}
FL_INLINE vf v_load_bf16(const uint16_t *p) {
    return (vf)(__builtin_convertvector(*(const vh_any *)p, vu) << 16);
}
#endif

/* a * 2^n for integral n in [-254, 254], in two halves because 2^n alone may not be a float. */
FL_INLINE vf v_scalef(vf a, vf n) {
    vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
    vf low = (vf)((half + 127) << 23), high = (vf)((whole - half + 127) << 23);
    return a * low * high;
}
FL_INLINE vf v_load_n(const float *p, int64_t n) {
    float lane[FL_LANES] = {0};
    memcpy(lane, p, (size_t)n * sizeof *p);
    return v_load(lane);
}
FL_INLINE void v_store_n(float *p, vf v, int64_t n) {
    float lane[FL_LANES];
    v_store(lane, v);
    memcpy(p, lane, (size_t)n * sizeof *p);
}
FL_INLINE void v_store_bf16(uint16_t *p, vf v) {
    vu bits = (vu)v, rounded = bits + 0x7fff + ((bits >> 16) & 1);
    vu nan = (vu)(v != v);
    rounded = (rounded & ~nan) | ((bits | 0x400000) & nan);
    *(vh_any *)p = __builtin_convertvector(rounded >> 16, vh);
}
FL_INLINE float v_sum(vf a) {
    float lane[FL_LANES];
    v_store(lane, a);
    for (int w = FL_LANES / 2; w > 0; w /= 2) {
        for (int i = 0; i < w; i++) lane[i] += lane[i + w];
    }
    return lane[0];
}
FL_INLINE float v_max_all(vf a) {
    float most = a[0];
    for (int i = 1; i < FL_LANES; i++) most = a[i] > most ? a[i] : most;
    return most;
}

#endif

/* The lower and the upper half of the lanes, in double. */
#if defined(__AVX512F__)
FL_INLINE vd v_low_double(vf a) {
    return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)a));
}
FL_INLINE vd v_high_double(vf a) {
    return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)a, 1));
}
#elif defined(__AVX2__)
FL_INLINE vd v_low_double(vf a) {
    return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)a));
}
FL_INLINE vd v_high_double(vf a) {
    return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)a, 1));
}
#else
FL_INLINE vd v_low_double(vf a) {
    return (vd){(double)a[0], (double)a[1]};
}
FL_INLINE vd v_high_double(vf a) {
    return (vd){(double)a[2], (double)a[3]};
}
#endif
FL_INLINE double v_sum_double(vd a) {
    double s = 0;
    for (int i = 0; i < FL_LANES / 2; i++) s += a[i];
    return s;
}

/* Element at[i] of sixteen, 0 <= at < 16. */
FL_INLINE vf v_pick16(const float table[16], vi at) {
#if defined(__AVX512F__)
    return (vf)_mm512_permutexvar_ps((__m512i)at, (__m512)v_load(table));
#elif defined(__AVX2__)
    const __m256 low = _mm256_permutevar8x32_ps((__m256)v_load(table), (__m256i)at);
    const __m256 high = _mm256_permutevar8x32_ps((__m256)v_load(table + 8), (__m256i)at);
    return v_select(at > 7, (vf)high, (vf)low);
#else
    vf picked;
    for (int i = 0; i < FL_LANES; i++) picked[i] = table[at[i]];
    return picked;
#endif
}

/* Transpose squares: swap the off-diagonal halves of ever larger ones. */
#define V_UPPER(h, j) ((j) & (h) ? (j) - (h) + FL_LANES : (j))
#define V_LOWER(h, j) ((j) & (h) ? (j) + FL_LANES : (j) + (h))
#define V_4(F, h, j)  F(h, j), F(h, (j) + 1), F(h, (j) + 2), F(h, (j) + 3)
#if defined(__AVX512F__)
#define V_ALL(F, h) V_4(F, h, 0), V_4(F, h, 4), V_4(F, h, 8), V_4(F, h, 12)
#elif defined(__AVX2__)
#define V_ALL(F, h) V_4(F, h, 0), V_4(F, h, 4)
#else
#define V_ALL(F, h) V_4(F, h, 0)
#endif
#define V_SWAP(r, n, h)                                                     \
    for (int i_ = 0; i_ < (n); i_++) {                                      \
        if (i_ & (h)) continue;                                             \
        vf a_ = (r)[i_], b_ = (r)[i_ + (h)];                                \
        (r)[i_] = __builtin_shufflevector(a_, b_, V_ALL(V_UPPER, h));       \
        (r)[i_ + (h)] = __builtin_shufflevector(a_, b_, V_ALL(V_LOWER, h)); \
    }

/* The squares of four lanes that lie side by side in four vectors, each by itself. */
FL_INLINE void v_transpose_fours(vf r[4]){V_SWAP(r, 4, 1) V_SWAP(r, 4, 2)}

FL_INLINE void v_transpose(vf r[FL_LANES]) {
    V_SWAP(r, FL_LANES, 1)
    V_SWAP(r, FL_LANES, 2)
#if defined(__AVX2__)
    V_SWAP(r, FL_LANES, 4)
#endif
#if defined(__AVX512F__)
    V_SWAP(r, FL_LANES, 8)
#endif
}

/* bf16 <-> f32 for a scalar, as the vector forms do it. */
FL_INLINE float s_from_bf16(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
