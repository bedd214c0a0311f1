/* check_halves - products with weights of 16 bits where they lie: the bytes are those of the packed
 * product on the same numbers in f32, whole batch or single row, one thread or three; an expert's
 * product has the bytes of linear with its weight. */
#include <string.h>

#include "backend/job.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"

static fl_pool *pools[2];  // one thread, three
static fl_rng rng = {.seed = 11};

static fl_tensor make(fl_dtype dtype, int64_t rows, int64_t cols) {
    void *data = fl_alloc((size_t)(rows * cols) * fl_dtype_bytes(dtype));
    if (!data) abort();
    return fl_tensor_of(data, dtype, 2, (int64_t[]){rows, cols});
}

/* The same `by` bytes further on in memory of its own, as tensors lie in files. */
static fl_tensor shifted(const fl_tensor *t, size_t by) {
    fl_tensor to = *t;
    char *data = fl_alloc(fl_tensor_bytes(t) + by);
    if (!data) abort();
    to.data = memcpy(data + by, t->data, fl_tensor_bytes(t));
    return to;
}

static fl_tensor as(fl_dtype dtype, const fl_tensor *t) {
    fl_tensor to = make(dtype, t->dim[0], t->dim[1]);
    fl_convert(to.data, dtype, t->data, t->dtype, fl_tensor_count(t));
    return to;
}

static fl_tensor random_matrix(fl_dtype dtype, int64_t rows, int64_t cols) {
    fl_tensor t = make(dtype, rows, cols);
    for (int64_t i = 0; i < rows * cols; i++) fl_tensor_set(&t, i, 2 * fl_rng_double(&rng) - 1);
    return t;
}

static void run(const fl_kernel *k, const fl_call *c, fl_pool *pool) {
    fl_job *job;
    fl_err err;
    if (fl_job_new(&job, k, c, true, pool, &err) != FL_OK) {
        printf("%s\n", err.msg);
        abort();
    }
    fl_job_run(job);
    fl_job_free(job);
}

static fl_tensor multiply(const fl_backend *row, fl_pool *pool, fl_tensor x, fl_tensor w,
                          fl_tensor bias, fl_dtype dtype) {
    const fl_tensor y = make(dtype, x.dim[0], w.dim[0]);
    fl_call c = {.n_in = bias.rank ? 3 : 2,
                 .n_out = 1,
                 .in = {x, w, bias},
                 .out = {y},
                 .attr = {.dtype = dtype, .alpha = 1}};
    const fl_kernel *k = row->kernel[FL_OP_LINEAR];
    CHECKF(k->supports(&c), "%s: %s", row->name, fl_dtype_name(w.dtype));
    run(k, &c, pool);
    return y;
}

static bool same(const fl_tensor *a, const fl_tensor *b) {
    return memcmp(a->data, b->data, fl_tensor_bytes(a)) == 0;
}

typedef struct {
    fl_dtype weights, rows, out;
    int64_t m, n, k;
    bool bias;
} sample;

/* One row and few, either side of where squares end; tails of n and k; several slabs of k; rows
 * that meet in the same cache sets. */
static const sample samples[] = {
    {FL_BF16, FL_BF16, FL_BF16, 1, 96, 64, false},   {FL_BF16, FL_BF16, FL_F32, 2, 100, 1120, true},
    {FL_BF16, FL_BF16, FL_BF16, 12, 64, 576, true},  {FL_BF16, FL_BF16, FL_F32, 13, 64, 576, false},
    {FL_BF16, FL_BF16, FL_BF16, 29, 65, 2048, true}, {FL_BF16, FL_BF16, FL_F32, 300, 33, 70, false},
    {FL_F16, FL_BF16, FL_BF16, 1, 96, 64, false},    {FL_F16, FL_F32, FL_F32, 3, 100, 1120, true},
    {FL_F16, FL_BF16, FL_F32, 12, 64, 576, false},   {FL_F16, FL_BF16, FL_BF16, 13, 64, 2048, true},
    {FL_F16, FL_F32, FL_F32, 29, 65, 1024, true},    {FL_F16, FL_BF16, FL_F32, 300, 33, 71, false},
};

static void check_alone(const fl_backend *row, const sample *s, fl_tensor x, fl_tensor w,
                        fl_tensor bias, const fl_tensor *all) {
    const size_t bytes = fl_dtype_row_bytes(s->out, s->n);
    for (int64_t i = 0; i < s->m; i += 1 + s->m / 3) {
        fl_tensor one = x;
        one.data = (char *)x.data + (size_t)i * fl_dtype_row_bytes(s->rows, s->k);
        one.dim[0] = 1;
        const fl_tensor alone = multiply(row, pools[0], one, w, bias, s->out);
        CHECKF(memcmp(alone.data, (char *)all->data + (size_t)i * bytes, bytes) == 0,
               "%s, %d rows: row %d alone", fl_dtype_name(s->weights), (int)s->m, (int)i);
        fl_dealloc(alone.data);
    }
}

static void check_sample(const fl_backend *row, const fl_backend *packed, const sample *s) {
    const fl_tensor x = random_matrix(s->rows, s->m, s->k);
    const fl_tensor half = random_matrix(s->weights, s->n, s->k), w = as(FL_F32, &half);
    fl_tensor bias = random_matrix(FL_F32, 1, s->n);
    void *bias_data = bias.data;
    bias = s->bias ? fl_tensor_of(bias_data, FL_F32, 1, &s->n) : (fl_tensor){0};
    // f16 is multiplied in f32, for which the packed product wants f32 rows
    const fl_tensor rows = s->weights == FL_F16 ? as(FL_F32, &x) : as(s->rows, &x);
    const fl_tensor want = multiply(packed, pools[0], rows, w, bias, s->out);
    static const size_t shifts[] = {0, 32, 2};  // from a line of memory; a pair parted
    for (int i = 0; i < 3; i++) {
        fl_tensor lying = shifted(&half, shifts[i]);
        const fl_tensor got = multiply(row, pools[i % 2], x, lying, bias, s->out);
        CHECKF(same(&got, &want), "%s (%d, %d, %d) on %d threads, shifted by %zu",
               fl_dtype_name(s->weights), (int)s->m, (int)s->n, (int)s->k,
               fl_pool_size(pools[i % 2]), shifts[i]);
        if (i == 0) check_alone(row, s, x, half, bias, &got);
        fl_dealloc(got.data);
        fl_dealloc((char *)lying.data - shifts[i]);
    }
    void *all[] = {x.data, w.data, half.data, bias_data, rows.data, want.data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fl_dealloc(all[i]);
}

/* ---- experts ---- */

/* Rows, experts, choices, columns, K: several blocks of one expert's slots; experts without any;
 * tails. */
static const int64_t routed[][5] = {{1, 5, 2, 96, 64}, {200, 2, 2, 70, 96}, {7, 64, 3, 33, 1120}};

static void check_routed(const fl_backend *row, fl_dtype weights, const int64_t s[5]) {
    const int64_t slots = s[0] * s[2], E = s[1], n = s[3], width = s[4];
    const fl_tensor x = random_matrix(FL_BF16, s[0], width);
    fl_tensor w = random_matrix(weights, E * n, width), bias = random_matrix(FL_F32, E, n);
    fl_tensor ids = make(FL_I32, s[0], s[2]), y[2];
    for (int64_t i = 0; i < slots; i++)
        ((int32_t *)ids.data)[i] = (int32_t)(fl_rng_double(&rng) * (double)E);
    fl_call c = {.n_in = 4, .n_out = 1, .in = {x, w, ids, bias}, .attr = {.dtype = FL_BF16}};
    c.in[1] = fl_tensor_of(w.data, weights, 3, (int64_t[]){E, n, width});
    const fl_kernel *k = row->kernel[FL_OP_EXPERT_LINEAR];
    CHECKF(k->supports(&c), "%s: experts in %s", row->name, fl_dtype_name(weights));
    for (int way = 0; way < 2; way++) {
        y[way] = make(FL_BF16, slots, n);
        c.out[0] = fl_tensor_of(y[way].data, FL_BF16, 3, (int64_t[]){s[0], s[2], n});
        run(k, &c, pools[way]);
    }
    CHECKF(same(&y[0], &y[1]), "experts in %s: threads change bytes", fl_dtype_name(weights));
    for (int64_t i = 0; i < slots; i += 1 + slots / 30) {
        const int64_t e = ((int32_t *)ids.data)[i];
        fl_tensor one = fl_tensor_of(fl_tensor_row(&x, i / s[2]), FL_BF16, 2,
                                     (int64_t[]){1, width});
        fl_tensor part = fl_tensor_of(fl_tensor_row(&w, e * n), weights, 2, (int64_t[]){n, width});
        fl_tensor b = fl_tensor_of(fl_tensor_row(&bias, e), FL_F32, 1, &n);
        const fl_tensor want = multiply(row, pools[0], one, part, b, FL_BF16);
        CHECKF(memcmp(want.data, fl_tensor_row(&y[0], i), fl_tensor_bytes(&want)) == 0,
               "experts in %s: slot %d", fl_dtype_name(weights), (int)i);
        fl_dealloc(want.data);
    }
    void *all[] = {x.data, w.data, bias.data, ids.data, y[0].data, y[1].data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fl_dealloc(all[i]);
}

int main(void) {
    const fl_backend *row = fl_backend_find("halves"), *packed = fl_backend_find("avx512");
    if (!row || !row->available()) {
        printf("SKIP halves: needs AVX-512 with VNNI and bf16\n");
        return 0;
    }
    fl_err err;
    if (fl_pool_new(&pools[0], 1, &err) != FL_OK || fl_pool_new(&pools[1], 3, &err) != FL_OK)
        return 1;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        check_sample(row, packed, &samples[i]);
    for (size_t i = 0; i < sizeof routed / sizeof *routed; i++) {
        check_routed(row, FL_BF16, routed[i]);
        check_routed(row, FL_F16, routed[i]);
    }
    for (int i = 0; i < 2; i++) fl_pool_free(pools[i]);
    return check_report();
}
