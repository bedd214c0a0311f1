/* cmd_bench - fledge bench: what this machine can do, and how near the matrix products of training
 * come to it. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "backend/bench.h"
#include "backend/roof.h"

static fl_status print_roof(fl_pool *pool, fl_roof *roof, fl_err *err) {
    FL_TRY(fl_roof_measure(roof, pool, 0.05, err));
    printf("roof\t%d\t%.0f\t%.0f\t%s\t%.1f\t%.1f\n", roof->threads, 1e-9 * roof->f32_flops,
           1e-9 * roof->bf16_flops, roof->bf16_by, 1e-9 * roof->read_bytes,
           1e-9 * roof->copy_bytes);
    return FL_OK;
}

static fl_status print_products(const fl_backend *row, fl_pool *pool, const fl_roof *roof,
                                fl_dtype dtype, fl_err *err) {
    const double most = dtype == FL_BF16 ? roof->bf16_flops : roof->f32_flops;
    for (const fl_bench_product *p = fl_bench_products; p->what; p++) {
        fl_bench_time t;
        FL_TRY(fl_bench_run(&t, p, dtype, row, pool, 0.1, err));
        const double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k / t.seconds;
        printf("%s\t%s\t%d x %d x %d\t%s\t%d\t%.3f\t%.0f\t%.1f\t%.0f\n", p->what,
               fl_ops[p->op]->name, (int)p->m, (int)p->n, (int)p->k, fl_dtype_name(dtype),
               fl_pool_size(pool), 1e3 * t.seconds, 100 * (t.slowest - t.fastest) / t.seconds,
               1e-9 * flops, 100 * flops / most);
        fflush(stdout);
    }
    return FL_OK;
}

/* The roof is printed for one thread and for all; products run on all. */
static fl_status bench(const app_args *a, fl_err *err) {
    const bool products = app_n_args(a) > 0 && strcmp(app_arg(a, 0), "gemm") == 0;
    const fl_backend *row;
    fl_roof roof;
    fl_pool *one;
    FL_TRY(fl_backend_pick(&row, err));
    FL_TRY(fl_pool_new(&one, 1, err));
    printf("# what\tthreads\tf32 GFLOP/s\tbf16 GFLOP/s\tbf16 by\tread GB/s\tcopy GB/s\n");
    fl_status status = print_roof(one, &roof, err);
    fl_pool_free(one);
    if (status == FL_OK && fl_pool_size(fl_pool_default()) > 1)
        status = print_roof(fl_pool_default(), &roof, err);
    if (status != FL_OK || !products) return status;
    printf(
        "# what\top\tM x N x K\tformat\tthreads\tmedian ms\tspread %%\tGFLOP/s\t%% of roof (%s)\n",
        row->name);
    FL_TRY(print_products(row, fl_pool_default(), &roof, FL_BF16, err));
    return print_products(row, fl_pool_default(), &roof, FL_F32, err);
}

static fl_status run(const app_args *a, fl_err *err) {
    const char *what = app_n_args(a) > 0 ? app_arg(a, 0) : "roof";
    if (strcmp(what, "roof") != 0 && strcmp(what, "gemm") != 0) {
        return fl_fail(err, FL_ERR_ARG, "%s: cannot measure that; roof and gemm can be", what);
    }
    return bench(a, err);
}

const app_command cmd_bench = {
    .name = "bench",
    .args = "[WHAT]",
    .summary = "measure speed against the roof of this machine",
    .details =
        "WHAT is roof (the default): the most arithmetic and memory traffic this machine can do;\n"
        "or gemm: the matrix products of training and decoding, in percent of that roof.\n"
        "Lines are tab-separated.",
    .run = run,
};
