/* bench_gemm - matrix products against the measured roof, with oneDNN beside them where it was
 * found.
 *
 *     bench_gemm [THREADS] [bf16|f32]     FLEDGE_BACKEND chooses the row
 *
 * Tab-separated: what, op, M, N, K, format, threads, median ms, spread %, GFLOP/s, % of roof,
 * oneDNN GFLOP/s. The two are timed in turn, ROUNDS times each; medians of the rounds. oneDNN gets
 * its own layout for weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bench.h"
#include "backend/roof.h"
#include "dnnl_product.h"

enum { ROUNDS = 3 };

static double median(double t[ROUNDS]) {
    const double low = fmin(t[0], t[1]), high = fmax(t[0], t[1]);
    return fmax(low, fmin(high, t[2]));
}

static fl_status bench(const fl_bench_product *p, fl_dtype dtype, const fl_backend *row,
                       fl_pool *pool, const fl_roof *roof, fl_err *err) {
    double ours[ROUNDS], theirs[ROUNDS], spread = 0;
    dnnl_product *d = dnnl_product_new(p->m, p->n, p->k, p->op, dtype, fl_pool_size(pool));
    for (int i = 0; i < ROUNDS; i++) {
        fl_bench_time t;
        FL_TRY(fl_bench_run(&t, p, dtype, row, pool, 0.08, err));
        ours[i] = t.seconds;
        spread = fmax(spread, (t.slowest - t.fastest) / t.seconds);
        if (d) fl_bench_loop(&t, dnnl_product_run, d, 0.08);
        theirs[i] = d ? t.seconds : NAN;
    }
    dnnl_product_free(d);
    const double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k, s = median(ours);
    const double most = dtype == FL_BF16 ? roof->bf16_flops : roof->f32_flops;
    printf("%s\t%s\t%d\t%d\t%d\t%s\t%d\t%.3f\t%.0f\t%.1f\t%.1f\t%.1f\n", p->what,
           fl_ops[p->op]->name, (int)p->m, (int)p->n, (int)p->k, fl_dtype_name(dtype),
           fl_pool_size(pool), 1e3 * s, 100 * spread, 1e-9 * flops / s, 100 * flops / s / most,
           1e-9 * flops / median(theirs));
    return FL_OK;
}

static fl_status run(int threads, const char *format, fl_err *err) {
    const fl_backend *row;
    fl_pool *pool;
    fl_roof roof;
    fl_status status = FL_OK;
    FL_TRY(fl_backend_pick(&row, err));
    FL_TRY(fl_pool_new(&pool, threads, err));
    status = fl_roof_measure(&roof, pool, 0.1, err);
    if (status == FL_OK) {
        printf("# %s, roof: f32 %.0f, bf16 %.0f GFLOP/s (%s), read %.1f GB/s\n", row->name,
               1e-9 * roof.f32_flops, 1e-9 * roof.bf16_flops, roof.bf16_by, 1e-9 * roof.read_bytes);
        printf(
            "# what\top\tM\tN\tK\tformat\tthreads\tms\tspread %%\tGFLOP/s\t%% of roof\toneDNN "
            "GFLOP/s\n");
    }
    for (fl_dtype dtype = FL_F32; status == FL_OK && dtype <= FL_BF16; dtype++) {
        if (format && strcmp(format, fl_dtype_name(dtype)) != 0) continue;
        if (dtype != FL_F32 && dtype != FL_BF16) continue;
        for (const fl_bench_product *p = fl_bench_products; p->what && status == FL_OK; p++) {
            status = bench(p, dtype, row, pool, &roof, err);
            fflush(stdout);
        }
    }
    fl_pool_free(pool);
    return status;
}

int main(int argc, char **argv) {
    fl_err err;
    if (run(argc > 1 ? atoi(argv[1]) : 0, argc > 2 ? argv[2] : NULL, &err) == FL_OK) return 0;
    fprintf(stderr, "bench_gemm: %s\n", err.msg);
    return 1;
}
