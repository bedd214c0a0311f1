/* bench.h - times matrix products as a program would call them: weights packed ahead, one pool.
 *
 * The shapes are those of training GPT-2 124M (1024 tokens) and a small model, of Muon, and of
 * decoding. */
#ifndef FL_BACKEND_BENCH_H
#define FL_BACKEND_BENCH_H

#include "backend/backend.h"
#include "base/thread.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *what;  // "qkv"
    fl_op_id op;
    int64_t m, n, k;  // C is (m, n)
} fl_bench_product;

extern const fl_bench_product fl_bench_products[];  // ends with what == NULL

typedef struct {
    double seconds, fastest, slowest;  // of one run: median of the runs made, and the ends
    int runs;
} fl_bench_time;

/* Run for about `seconds`. Operands are random; `dtype` is that of the activations, weights are f32
 * masters. */
FL_MUST_USE fl_status fl_bench_run(fl_bench_time *out, const fl_bench_product *p, fl_dtype dtype,
                                   const fl_backend *row, fl_pool *pool, double seconds,
                                   fl_err *err);

/* Call `once` for about `seconds`; for what is timed beside. */
void fl_bench_loop(fl_bench_time *out, void (*once)(void *ctx), void *ctx, double seconds);

#ifdef __cplusplus
}
#endif

#endif
