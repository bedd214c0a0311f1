/* whole.h - the lesser of two, whole parts of a length, whole cache lines, and places in memory. */
#ifndef FL_BACKEND_CPU_WHOLE_H
#define FL_BACKEND_CPU_WHOLE_H

#include "backend/cpu/gemm.h"

static inline int64_t imin(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t imax(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static inline int64_t round_up(int64_t a, int64_t b) {
    return ceil_div(a, b) * b;
}

/* `bytes` further; NULL stays NULL, as it is while only sizes are asked for. */
static inline void *past(const void *base, size_t bytes) {
    return base ? (char *)(uintptr_t)base + bytes : NULL;
}

/* Bytes rounded up to whole lines. */
static inline size_t on_line(size_t bytes) {
    return (bytes + FLI_LINE - 1) / FLI_LINE * FLI_LINE;
}

#endif
