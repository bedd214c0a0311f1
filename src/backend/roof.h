/* roof.h - what this machine can do at most: arithmetic and memory, measured, not read from a data
 * sheet.
 *
 *     fl_roof roof;
 *     FL_TRY(fl_roof_measure(&roof, pool, 0.05, err));   // about a quarter of a second
 *     printf("%.0f %% of roof", 100 * flops / seconds / roof.bf16_flops);
 *
 * Arithmetic is timed in registers: no product that reads its operands from anywhere gets there. */
#ifndef FL_BACKEND_ROOF_H
#define FL_BACKEND_ROOF_H

#include "base/err.h"
#include "base/thread.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int threads;
    double f32_flops;     // fused multiply-adds, two operations each; per second, all threads
    double bf16_flops;    // the best of AMX and vdpbf16ps; f32's where there is neither
    const char *bf16_by;  // "AMX", "vdpbf16ps", "f32"
    double int8_ops;      // of dot products; the best of vpdpbusd and bf16's
    const char *int8_by;
    double read_bytes;    // a long stream; per second
    double copy_bytes;    // read plus written
} fl_roof;

/* All workers of `pool` (NULL: the process pool) at once, about `seconds` for each of the five;
 * memory first has to be touched, which takes as long again. */
FL_MUST_USE fl_status fl_roof_measure(fl_roof *out, fl_pool *pool, double seconds, fl_err *err);

/* Of reading alone, bytes a second: what is measured beside a model that is bound by it. */
FL_MUST_USE fl_status fl_roof_read(double *out, fl_pool *pool, fl_err *err);

/* Of products in `compute` alone: FL_F32 or FL_BF16. */
FL_MUST_USE fl_status fl_roof_flops(double *out, fl_dtype compute, fl_pool *pool, double seconds,
                                    fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
