/* bench - times matrix products as a program would call them. */
#include "backend/bench.h"

#include <stdlib.h>

#include "backend/job.h"
#include "base/progress.h"
#include "base/rng.h"

enum { MAX_RUNS = 1001 };

const fl_bench_product fl_bench_products[] = {
    {"gpt2 qkv", FL_OP_LINEAR, 1024, 2304, 768},
    {"gpt2 attn out", FL_OP_LINEAR, 1024, 768, 768},
    {"gpt2 ffn up", FL_OP_LINEAR, 1024, 3072, 768},
    {"gpt2 ffn down", FL_OP_LINEAR, 1024, 768, 3072},
    {"gpt2 ffn up dx", FL_OP_LINEAR_DX, 1024, 768, 3072},
    {"gpt2 ffn down dx", FL_OP_LINEAR_DX, 1024, 3072, 768},
    {"gpt2 qkv dw", FL_OP_LINEAR_DW, 2304, 768, 1024},
    {"gpt2 ffn up dw", FL_OP_LINEAR_DW, 3072, 768, 1024},
    {"gpt2 ffn down dw", FL_OP_LINEAR_DW, 768, 3072, 1024},
    {"gpt2 ffn up, 4096 rows", FL_OP_LINEAR, 4096, 3072, 768},
    {"gpt2 head, 256 rows", FL_OP_LINEAR, 256, 50257, 768},
    {"small ffn up", FL_OP_LINEAR, 4096, 1536, 384},
    {"small ffn up dw", FL_OP_LINEAR_DW, 1536, 384, 4096},
    {"muon", FL_OP_MATMUL, 768, 768, 768},
    {"muon", FL_OP_MATMUL, 768, 768, 3072},
    {"decode 1", FL_OP_LINEAR, 1, 3072, 768},
    {"decode 8", FL_OP_LINEAR, 8, 3072, 768},
    {0},
};

static int by_time(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void fl_bench_loop(fl_bench_time *out, void (*once)(void *ctx), void *ctx, double seconds) {
    static double time[MAX_RUNS];
    int n = 0;
    once(ctx);  // caches and pages
    for (const double start = fl_now(); n < MAX_RUNS && (n < 3 || fl_now() - start < seconds);
         n++) {
        const double begin = fl_now();
        once(ctx);
        time[n] = fl_now() - begin;
    }
    qsort(time, (size_t)n, sizeof *time, by_time);
    *out = (fl_bench_time){time[n / 2], time[0], time[n - 1], n};
}

static void run_job(void *ctx) {
    fl_job_run(ctx);
}

/* The operands of p as its op stores them, one after the other in `memory`, or only their size. */
static size_t operands(fl_call *c, const fl_bench_product *p, fl_dtype dtype, char *memory) {
    const bool dw = p->op == FL_OP_LINEAR_DW,
               weight = p->op == FL_OP_LINEAR || p->op == FL_OP_LINEAR_DX;
    const int64_t a[] = {dw ? p->k : p->m, dw ? p->m : p->k}, c_dim[] = {p->m, p->n};
    const int64_t b[] = {p->op == FL_OP_LINEAR ? p->n : p->k, p->op == FL_OP_LINEAR ? p->k : p->n};
    *c = (fl_call){.n_in = 2, .n_out = 1, .attr = {.dtype = dtype, .alpha = 1}};
    c->in[0] = fl_tensor_of(NULL, dtype, 2, a);
    c->in[1] = fl_tensor_of(NULL, weight ? FL_F32 : dtype, 2, b);
    c->out[0] = fl_tensor_of(NULL, dw ? FL_F32 : dtype, 2, c_dim);
    fl_tensor *all[] = {&c->in[0], &c->in[1], &c->out[0]};
    size_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        if (memory) all[i]->data = memory + bytes;
        bytes += (fl_tensor_bytes(all[i]) + 4095) / 4096 * 4096;
    }
    return bytes;
}

static void fill(fl_tensor *t) {
    fl_rng r = {.seed = 1};
    float values[1024];
    for (int i = 0; i < 1024; i++) values[i] = fl_rng_float(&r) - 0.5f;
    const int64_t n = fl_tensor_count(t);
    for (int64_t i = 0; i < n; i += 1021) {  // a prime stride: rows differ
        char *to = (char *)t->data + (size_t)i * fl_dtype_bytes(t->dtype);
        fl_convert(to, t->dtype, values, FL_F32, n - i < 1021 ? n - i : 1021);
    }
}

fl_status fl_bench_run(fl_bench_time *out, const fl_bench_product *p, fl_dtype dtype,
                       const fl_backend *row, fl_pool *pool, double seconds, fl_err *err) {
    fl_call c;
    fl_buffer *memory;
    fl_job *job = NULL;
    FL_TRY(fl_buffer_new(&memory, operands(&c, p, dtype, NULL), err));
    operands(&c, p, dtype, fl_buffer_data(memory));
    fill(&c.in[0]);
    fill(&c.in[1]);
    const fl_status status = fl_job_new(&job, fl_backend_kernel(row, p->op, &c), &c, true, pool,
                                        err);
    if (status == FL_OK) fl_bench_loop(out, run_job, job, seconds);
    fl_job_free(job);
    fl_buffer_unref(memory);
    return status;
}
