/* bench_quant - products with weights in blocks against the measured roofs.
 *
 *     bench_quant [THREADS] [FORMAT [N K]]     FLEDGE_BACKEND chooses the row
 *
 * Tab-separated: format, M, N, K, threads, median ms, GOP/s, % of the integer roof, GB/s of weights
 * as the file has them, % of the read bandwidth; with M 0 the time that packing takes. Weights of one row of x come from memory, as in
 * decoding: enough matrices are visited in turn that no cache holds them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bench.h"
#include "backend/job.h"
#include "backend/roof.h"
#include "base/rng.h"
#include "tensor/quant.h"

enum { N_W = 200, WEIGHTS = 96 << 20 /* bytes of all matrices */, M_MAX = 512, K_MAX = 16384 };

static const fl_dtype formats[] = {FL_Q8_0,   FL_Q4_0,   FL_Q4_1, FL_Q4_K, FL_Q6_K,
                                   FL_Q5_0,   FL_Q5_1,   FL_Q5_K, FL_Q3_K, FL_Q2_K,
                                   FL_IQ4_NL, FL_IQ4_XS, FL_MXFP4};

typedef struct {
    fl_job *job[N_W];
    int n, at;
} jobs;

static void run_next(void *ctx) {
    jobs *j = ctx;
    fl_job_run(j->job[j->at]);
    j->at = (j->at + 1) % j->n;
}

/* Random blocks: rows of a few quantized ones, repeated. */
static void fill(fl_tensor *w) {
    enum { SOME = 16 };
    fl_rng rng = {.seed = 3};
    static float row[K_MAX];
    const int64_t k = w->dim[1];
    const size_t bytes = fl_dtype_row_bytes(w->dtype, k);
    for (int r = 0; r < SOME && r < w->dim[0]; r++) {
        for (int i = 0; i < k; i++) row[i] = fl_rng_float(&rng) - 0.5f;
        fl_quantize(fl_tensor_row(w, r), w->dtype, row, NULL, k);
    }
    for (int64_t r = SOME; r < w->dim[0]; r++)
        memcpy(fl_tensor_row(w, r), fl_tensor_row(w, r % SOME), bytes);
}

static void pack_next(void *ctx) {
    jobs *j = ctx;
    fl_job_pack(j->job[j->at]);
    j->at = (j->at + 1) % j->n;
}

static void print(const fl_tensor *w, int64_t m, const fl_bench_time *took, fl_pool *pool,
                  const fl_roof *roof) {
    const double ops = 2.0 * (double)(m * fl_tensor_count(w)) / took->seconds,
                 read = (double)fl_tensor_bytes(w) / took->seconds;
    printf("%s\t%d\t%d\t%d\t%d\t%.3f\t%.0f\t%.1f\t%.1f\t%.1f\n", fl_dtype_name(w->dtype), (int)m,
           (int)w->dim[0], (int)w->dim[1], fl_pool_size(pool), 1e3 * took->seconds, 1e-9 * ops,
           100 * ops / roof->int8_ops, 1e-9 * read, 100 * read / roof->read_bytes);
    fflush(stdout);
}

typedef struct {
    int64_t n, k;
    float *x, *y;
} operands;

static fl_status bench(fl_dtype t, const fl_backend *row, fl_pool *pool, const fl_roof *roof,
                       const operands *o, fl_err *err) {
    static const int64_t rows[] = {1, 2, 4, 8, 16, 32, 512};
    fl_tensor w = fl_tensor_of(NULL, t, 2, (int64_t[]){o->n, o->k});
    fl_buffer *bytes;
    FL_TRY(fl_buffer_new(&bytes, fl_tensor_bytes(&w), err));
    w.data = fl_buffer_data(bytes);
    fill(&w);
    const int wanted = (int)(WEIGHTS / fl_tensor_bytes(&w)) + 2, n_w = wanted < N_W ? wanted : N_W;
    fl_status s = FL_OK;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && s == FL_OK; i++) {
        fl_call c = {.n_in = 2, .n_out = 1, .attr = {.dtype = FL_F32}};
        c.in[0] = fl_tensor_of(o->x, FL_F32, 2, (int64_t[]){rows[i], o->k});
        c.in[1] = w;
        c.out[0] = fl_tensor_of(o->y, FL_F32, 2, (int64_t[]){rows[i], o->n});
        jobs j = {.n = 0};
        for (; j.n < n_w && s == FL_OK; j.n += s == FL_OK)
            s = fl_job_new(&j.job[j.n], fl_backend_kernel(row, FL_OP_LINEAR, &c), &c, true, pool,
                           err);
        fl_bench_time took;
        if (s == FL_OK && i == 0) {
            fl_bench_loop(&took, pack_next, &j, 0.1);
            print(&w, 0, &took, pool, roof);
        }
        if (s == FL_OK) {
            fl_bench_loop(&took, run_next, &j, 0.1);
            print(&w, rows[i], &took, pool, roof);
        }
        while (j.n > 0) fl_job_free(j.job[--j.n]);
    }
    fl_buffer_unref(bytes);
    return s;
}

static fl_status run(int threads, const char *format, int64_t n, int64_t k, fl_err *err) {
    const fl_backend *row;
    fl_pool *pool;
    fl_roof roof;
    fl_buffer *memory;
    FL_TRY(fl_backend_pick(&row, err));
    FL_TRY(fl_pool_new(&pool, threads, err));
    fl_status s = fl_roof_measure(&roof, pool, 0.1, err);
    if (s == FL_OK) s = fl_buffer_new(&memory, sizeof(float) * M_MAX * (size_t)(n + k), err);
    if (s == FL_OK) {
        printf("# %s, roof: int8 %.0f GOP/s (%s), read %.1f GB/s\n", row->name,
               1e-9 * roof.int8_ops, roof.int8_by, 1e-9 * roof.read_bytes);
        printf("# format\tM\tN\tK\tthreads\tms\tGOP/s\t%% of roof\tGB/s\t%% of read\n");
        operands o = {.n = n, .k = k, .x = fl_buffer_data(memory)};
        o.y = o.x + M_MAX * k;
        fl_rng rng = {.seed = 4};
        for (int64_t i = 0; i < M_MAX * k; i++) o.x[i] = fl_rng_float(&rng) - 0.5f;
        for (size_t i = 0; i < sizeof formats / sizeof *formats && s == FL_OK; i++) {
            if (!format || strcmp(format, fl_dtype_name(formats[i])) == 0)
                s = bench(formats[i], row, pool, &roof, &o, err);
        }
        fl_buffer_unref(memory);
    }
    fl_pool_free(pool);
    return s;
}

int main(int argc, char **argv) {
    fl_err err;
    const int64_t n = argc > 4 ? atoi(argv[3]) : 2048, k = argc > 4 ? atoi(argv[4]) : 2048;
    if (n < 1 || k < 256 || k > K_MAX || k % 32) {
        fprintf(stderr, "bench_quant: K is a multiple of 32 from 256 to %d\n", K_MAX);
        return 1;
    }
    if (run(argc > 1 ? atoi(argv[1]) : 0, argc > 2 ? argv[2] : NULL, n, k, &err) == FL_OK) return 0;
    fprintf(stderr, "bench_quant: %s\n", err.msg);
    return 1;
}
