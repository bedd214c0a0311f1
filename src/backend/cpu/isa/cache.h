/* cache.h - where a key or value lies: in one block per row of the batch, or in pages (ops.def). */
#ifndef FL_BACKEND_CPU_ISA_CACHE_H
#define FL_BACKEND_CPU_ISA_CACHE_H

#include "backend/cpu/isa/flow.h"

/* The row of `cache`, (B, S, K, D) or pages (P, N, K, D), that is number s of row b of the batch;
 * the next ones up to a multiple of FL_PAGE_STEP follow it. */
FL_INLINE int64_t cache_row(const fl_tensor *cache, const fl_tensor *table, int64_t b, int64_t s) {
    int64_t N = cache->dim[1];
    if (!table) return b * N + s;
    return ((const int32_t *)table->data)[b * table->dim[1] + s / N] * N + s % N;
}

#endif
