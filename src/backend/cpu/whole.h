/* whole.h - the lesser of two, whole parts of a length, and whole cache lines. */
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

/* Bytes rounded up to whole lines. */
static inline size_t on_line(size_t bytes) {
    return (bytes + FLI_LINE - 1) / FLI_LINE * FLI_LINE;
}

#endif
