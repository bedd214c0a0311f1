/* cache.h - keys and values as they are kept: where a row lies, in one block per row of the batch
 * or in pages (ops.def), and its numbers as f32, whatever their format. */
#ifndef FL_BACKEND_CPU_ISA_CACHE_H
#define FL_BACKEND_CPU_ISA_CACHE_H

#include "backend/cpu/isa/flow.h"
#include "tensor/blocks.h"
#include "tensor/quant.h"

/* The row of `cache`, (B, S, K, D) or pages (P, N, K, D), that is number s of row b of the batch;
 * the next ones up to a multiple of FL_PAGE_STEP follow it. */
FL_INLINE int64_t cache_row(const fl_tensor *cache, const fl_tensor *table, int64_t b, int64_t s) {
    int64_t N = cache->dim[1];
    if (!table) return b * N + s;
    return ((const int32_t *)table->data)[b * table->dim[1] + s / N] * N + s % N;
}

static inline bool cache_takes(const fl_tensor *t) {
    return (t->dtype == FL_F16 || fl_dtype_is_quick(t->dtype)) ? fl_tensor_contiguous(t)
                                                               : flow_takes(t, false);
}

typedef int8_t vb __attribute__((vector_size(FL_LANES)));
typedef vb vb_any __attribute__((aligned(1), may_alias));

FL_INLINE void widen_q8_0(float *dst, const fl_block_q8_0 *b, int64_t n) {
    for (int64_t i = 0; i < n; i += 32, b++) {
        vf d = v_set(fl_f16_to_f32(b->d));
        for (int64_t k = 0; k < 32; k += FL_LANES)
            v_store(dst + i + k, d * __builtin_convertvector(*(const vb_any *)(b->qs + k), vf));
    }
}

/* Elements 0 to 15 of a block are the low halves of its bytes, the others the high ones. */
FL_INLINE void widen_q4_0(float *dst, const fl_block_q4_0 *b, int64_t n) {
    for (int64_t i = 0; i < n; i += 32, b++) {
        vf d = v_set(fl_f16_to_f32(b->d));
        for (int64_t k = 0; k < 16; k += FL_LANES) {
            vb both = *(const vb_any *)(b->qs + k), low = both & 15, high = (both >> 4) & 15;
            v_store(dst + i + k, d * __builtin_convertvector(low - 8, vf));
            v_store(dst + i + 16 + k, d * __builtin_convertvector(high - 8, vf));
        }
    }
}

FL_INLINE void widen_f16(float *dst, const uint16_t *src, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(src + i));
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(half));
    }
#endif
    for (; i < n; i++) dst[i] = fl_f16_to_f32(src[i]);
}

/* Elements [at, at + n) of t as f32, whole blocks of it: in place, or widened into `room`. */
FL_INLINE const float *cache_in(const fl_tensor *t, int64_t at, int64_t n, float *room) {
    const char *from = (const char *)t->data;
    if (t->dtype == FL_F32 || t->dtype == FL_BF16) return flow_in(t, at, n, room);
    if (t->dtype == FL_F16) widen_f16(room, (const uint16_t *)t->data + at, n);
    else if (t->dtype == FL_Q8_0) widen_q8_0(room, (const fl_block_q8_0 *)from + at / 32, n);
    else widen_q4_0(room, (const fl_block_q4_0 *)from + at / 32, n);
    return room;
}

#endif
