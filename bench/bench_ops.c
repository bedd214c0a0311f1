/* bench_ops - how fast each operation runs, at the shapes of GPT-2 124M and of a small model.
 *
 *     bench_ops [-b BACKEND] [-t THREADS] [OP...]
 * prints, tab separated: op, backend, shape, format, median microseconds, spread %, GB/s, GFLOP/s,
 * percent of roof. Bytes and FLOPs are the least possible (the operation's cost rule): each operand
 * moved once. The roof is this machine's, measured first: of the arithmetic or of copying memory,
 * whichever is nearer (what lies in a shared cache may pass 100). Before every timed run the caches
 * nearest the cores are filled with something else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job.h"
#include "backend/roof.h"
#include "base/progress.h"
#include "base/rng.h"
#include "tensor/tensor.h"

enum { RUNS = 15, FLUSH_BYTES = 16 << 20 };

typedef struct {
    fl_op_id op;
    unsigned bf16;  // bit i: in[i] is bf16
    bool out_bf16;
    int64_t below;  // i32 inputs are drawn from [0, below)
    fl_attr attr;
    struct {
        fl_dtype dtype;
        int64_t dim[FL_MAX_RANK];  // the first zero ends the shape
    } in[FL_MAX_IN];
} bench_case;

#define F(...)          \
    {                   \
        FL_F32, {       \
            __VA_ARGS__ \
        }               \
    }
#define I(...)          \
    {                   \
        FL_I32, {       \
            __VA_ARGS__ \
        }               \
    }
#define NONE      \
    {             \
        FL_F32, { \
            0     \
        }         \
    }

/* Rows of GPT-2 at batch 4 x 256, of the small model at 16 x 256. */
#define BIG   1024, 768
#define SMALL 4096, 384

static const bench_case cases[] = {
    {FL_OP_ADD, 2, false, 0, {0}, {F(BIG), F(BIG)}},
    {FL_OP_ADD, 2, false, 0, {0}, {F(SMALL), F(SMALL)}},
    {FL_OP_ADD, 0, false, 0, {0}, {F(BIG), F(768)}},
    {FL_OP_MUL, 3, false, 0, {0}, {F(BIG), F(BIG)}},
    {FL_OP_CAST, 0, true, 0, {0}, {F(BIG)}},
    {FL_OP_CAST, 0, true, 0, {0}, {F(50257, 768)}},
    {FL_OP_SCALE, 0, false, 0, {.scale = 0.5f}, {F(BIG)}},
    {FL_OP_SUM_TO, 1, false, 0, {.rank = 1, .dim = {3072}}, {F(1024, 3072)}},
    {FL_OP_UNARY, 1, false, 0, {.unary = FL_UNARY_GELU_TANH}, {F(1024, 3072)}},
    {FL_OP_UNARY, 0, false, 0, {.unary = FL_UNARY_GELU_TANH}, {F(1024, 3072)}},
    {FL_OP_UNARY, 1, false, 0, {.unary = FL_UNARY_GELU_ERF}, {F(1024, 3072)}},
    {FL_OP_UNARY_GRAD, 3, false, 0, {.unary = FL_UNARY_GELU_TANH}, {F(1024, 3072), F(1024, 3072)}},
    {FL_OP_GATED, 3, false, 0, {.unary = FL_UNARY_SILU}, {F(4096, 1024), F(4096, 1024)}},
    {FL_OP_GATED_GRAD,
     7,
     false,
     0,
     {.unary = FL_UNARY_SILU},
     {F(4096, 1024), F(4096, 1024), F(4096, 1024)}},
    {FL_OP_EMBEDDING, 0, false, 50257, {0}, {I(4, 256), F(50257, 768)}},
    {FL_OP_EMBEDDING_GRAD,
     0,
     false,
     50257,
     {.accumulate = true},
     {I(4, 256), F(4, 256, 768), F(50257, 768)}},
    {FL_OP_LAYER_NORM, 0, true, 0, {.eps = 1e-5f}, {F(BIG), F(768), F(768)}},
    {FL_OP_LAYER_NORM_GRAD, 1, false, 0, {.eps = 1e-5f}, {F(BIG), F(BIG), F(768), F(1024, 2)}},
    {FL_OP_RMS_NORM, 0, true, 0, {.eps = 1e-6f}, {F(SMALL), F(384)}},
    {FL_OP_RMS_NORM_GRAD, 1, false, 0, {.eps = 1e-6f}, {F(SMALL), F(SMALL), F(384), F(4096, 1)}},
    {FL_OP_ROPE, 1, false, 256, {0}, {F(16, 256, 6, 64), I(16, 256), F(32)}},
    {FL_OP_SOFTMAX, 0, false, 0, {0}, {F(64, 50257)}},
    {FL_OP_ATTENTION,
     7,
     false,
     0,
     {.causal = true},
     {F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64)}},
    {FL_OP_ATTENTION,
     7,
     false,
     0,
     {.causal = true},
     {F(4, 1024, 12, 64), F(4, 1024, 12, 64), F(4, 1024, 12, 64)}},
    {FL_OP_ATTENTION,
     0,
     false,
     0,
     {.causal = true},
     {F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64)}},
    {FL_OP_ATTENTION,
     7,
     false,
     0,
     {.causal = true},
     {F(1, 4096, 9, 64), F(1, 4096, 3, 64), F(1, 4096, 3, 64)}},
    {FL_OP_ATTENTION, 7, false, 0, {0}, {F(1, 1, 9, 64), F(1, 4096, 3, 64), F(1, 4096, 3, 64)}},
    {FL_OP_ATTENTION_GRAD,
     31,
     false,
     0,
     {.causal = true},
     {F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64),
      F(4, 12, 256)}},
    {FL_OP_ATTENTION_GRAD,
     31,
     false,
     0,
     {.causal = true},
     {F(4, 1024, 12, 64), F(4, 1024, 12, 64), F(4, 1024, 12, 64), F(4, 1024, 12, 64),
      F(4, 1024, 12, 64), F(4, 12, 1024)}},
    {FL_OP_ATTENTION_GRAD,
     0,
     false,
     0,
     {.causal = true},
     {F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64), F(4, 256, 12, 64),
      F(4, 12, 256)}},
    {FL_OP_CACHE_APPEND, 3, false, 256, {0}, {F(8, 1024, 3, 64), F(8, 1, 3, 64), I(8)}},
    {FL_OP_SUM_SQUARES, 0, false, 0, {0}, {F(50257, 768)}},
    {FL_OP_ADAMW,
     0,
     false,
     0,
     {0},
     {F(50257, 768), F(50257, 768), F(50257, 768), F(50257, 768), F(8)}},
    {FL_OP_ADAMW, 0, false, 0, {0}, {F(768, 768), F(768, 768), F(768, 768), F(768, 768), F(8)}},
    {FL_OP_MUON_MOMENTUM, 0, false, 0, {0}, {F(3072, 768), F(3072, 768), F(8)}},
    {FL_OP_MUON_APPLY, 0, false, 0, {0}, {F(3072, 768), F(3072, 768), F(8)}},
    {FL_OP_AXPBY, 3, false, 0, {.alpha = 3, .beta = -4}, {F(768, 768), F(768, 768)}},
};

static void fill(const fl_tensor *t, int64_t below, fl_rng *r) {
    for (int64_t i = 0, n = fl_tensor_count(t); i < n; i++) {
        if (t->dtype == FL_I32)
            ((int32_t *)t->data)[i] = (int32_t)fl_rng_below(r, (uint64_t)(below ? below : 1));
        else if (t->dtype == FL_F32) ((float *)t->data)[i] = fl_rng_float(r) + 0.01f;
        else ((uint16_t *)t->data)[i] = fl_f32_to_bf16(fl_rng_float(r) - 0.5f);
    }
}

static fl_status take(fl_tensor *t, fl_buffer **b, fl_err *err) {
    FL_TRY(fl_buffer_new(b, fl_tensor_bytes(t) + 64, err));
    t->data = fl_buffer_data(*b);
    return FL_OK;
}

/* The call of a case with memory of its own, filled; alias outputs lie in their inputs. */
static fl_status make_call(const bench_case *k, fl_call *c, fl_buffer *held[FL_MAX_IN + FL_MAX_OUT],
                           fl_err *err) {
    const fl_op *op = fl_ops[k->op];
    fl_rng rng = {.seed = 1};
    *c = (fl_call){.n_out = op->n_out, .attr = k->attr};
    c->attr.dtype = k->out_bf16 ? FL_BF16 : FL_F32;
    for (int i = 0; i < op->max_in; i++) {
        int rank = 0;
        while (rank < FL_MAX_RANK && k->in[i].dim[rank]) rank++;
        if (!rank) break;
        c->in[i] = fl_tensor_of(NULL, k->bf16 >> i & 1 ? FL_BF16 : k->in[i].dtype, rank,
                                k->in[i].dim);
        FL_TRY(take(&c->in[i], &held[i], err));
        fill(&c->in[i], k->below, &rng);
        c->n_in = i + 1;
    }
    FL_TRY(op->shape(c, err));
    for (int i = 0; i < op->n_out; i++) {
        if (op->alias[i]) c->out[i].data = c->in[op->alias[i] - 1].data;
        else FL_TRY(take(&c->out[i], &held[FL_MAX_IN + i], err));
    }
    return FL_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void flush_task(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t i = begin; i < end; i++) memset((char *)ctx + i * (1 << 20), (int)i, 1 << 20);
}

static double cost_bytes(const fl_call *c, const fl_op *op, double *flops) {
    *flops = 0;
    if (op->cost) {
        fl_cost cost = op->cost(c);
        *flops = cost.flops;
        return cost.bytes;
    }
    double bytes = 0;
    for (int i = 0; i < c->n_in; i++)
        bytes += (double)(c->in[i].rank ? fl_tensor_bytes(&c->in[i]) : 0);
    for (int i = 0; i < c->n_out; i++)
        bytes += (double)(c->out[i].rank ? fl_tensor_bytes(&c->out[i]) : 0);
    return bytes;
}

/* What all cases share. */
typedef struct {
    const fl_backend *backend;
    fl_pool *pool;
    fl_roof roof;
    fl_buffer *flush;
} bench;

static void print_row(const bench *b, const bench_case *k, const fl_call *c, double *s) {
    double flops, bytes = cost_bytes(c, fl_ops[k->op], &flops), median;
    char shape[FL_SHAPE_TEXT];
    qsort(s, RUNS, sizeof *s, by_value);
    median = s[RUNS / 2];
    double of_memory = bytes / median / b->roof.copy_bytes;
    double of_arithmetic = flops / median / (k->bf16 ? b->roof.bf16_flops : b->roof.f32_flops);
    printf("%s\t%s\t%s\t%s\t%.1f\t%.0f\t%.2f\t%.1f\t%.0f\n", fl_ops[k->op]->name, b->backend->name,
           fl_tensor_shape_text(&c->in[0], shape), k->bf16 || k->out_bf16 ? "bf16" : "f32",
           median * 1e6, 100 * (s[RUNS * 3 / 4] - s[RUNS / 4]) / median, bytes / median * 1e-9,
           flops / median * 1e-9, 100 * (of_memory > of_arithmetic ? of_memory : of_arithmetic));
}

static fl_status time_case(const bench *b, const bench_case *k, fl_err *err) {
    fl_buffer *held[FL_MAX_IN + FL_MAX_OUT] = {0};
    fl_call call;
    fl_job *job = NULL;
    fl_status status = make_call(k, &call, held, err);
    const fl_kernel *kernel = status == FL_OK ? fl_backend_kernel(b->backend, k->op, &call) : NULL;
    if (status == FL_OK) status = fl_job_new(&job, kernel, &call, true, b->pool, err);
    if (status == FL_OK) {
        double s[RUNS];
        fl_job_run(job);
        for (int i = 0; i < RUNS; i++) {
            fl_pool_run(b->pool, FLUSH_BYTES >> 20, 1, flush_task, fl_buffer_data(b->flush));
            double start = fl_now();
            fl_job_run(job);
            s[i] = fl_now() - start;
        }
        print_row(b, k, &call, s);
    }
    fl_job_free(job);
    for (int i = 0; i < FL_MAX_IN + FL_MAX_OUT; i++) fl_buffer_unref(held[i]);
    return status;
}

static bool wanted(const char *name, int n, char **names) {
    bool any = n == 0;
    for (int i = 0; i < n; i++) any = any || strcmp(name, names[i]) == 0;
    return any;
}

int main(int argc, char **argv) {
    fl_err err = {0};
    bench b = {0};
    int threads = 0, at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (argv[at][1] == 't') threads = atoi(argv[at + 1]);
        else if (argv[at][1] == 'b') b.backend = fl_backend_find(argv[at + 1]);
    }
    fl_status status = b.backend ? FL_OK : fl_backend_pick(&b.backend, &err);
    if (status == FL_OK) status = fl_pool_new(&b.pool, threads, &err);
    if (status == FL_OK) status = fl_buffer_new(&b.flush, FLUSH_BYTES, &err);
    if (status == FL_OK) status = fl_roof_measure(&b.roof, b.pool, 0.1, &err);
    printf("op\tbackend\tshape\tformat\tus\tspread %%\tGB/s\tGFLOP/s\t%% of roof\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases && status == FL_OK; i++) {
        if (wanted(fl_ops[cases[i].op]->name, argc - at, argv + at))
            status = time_case(&b, &cases[i], &err);
    }
    fl_buffer_unref(b.flush);
    fl_pool_free(b.pool);
    if (status == FL_OK) return 0;
    fprintf(stderr, "bench_ops: %s\n", err.msg);
    return 1;
}
