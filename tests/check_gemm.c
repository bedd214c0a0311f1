/* check_gemm - matrix products and the fused head at shapes with several tiles, slabs, spans and
 * rounds, where check_ops' samples do not reach: against sums in double, and byte for byte between
 * one thread and three, packed ahead or not, whole batch or single row, one call or accumulated. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "one_job.h"

static fl_pool *pools[2];  // one thread, three
static fl_rng rng = {.seed = 7};

static fl_tensor make(fl_dtype dtype, int64_t rows, int64_t cols) {
    void *data = fl_alloc((size_t)(rows * cols) * fl_dtype_bytes(dtype));
    if (!data) abort();
    fl_tensor t = fl_tensor_of(data, dtype, cols ? 2 : 1, (int64_t[]){rows, cols});
    return t;
}

static fl_tensor random_matrix(fl_dtype dtype, int64_t rows, int64_t cols) {
    fl_tensor t = make(dtype, rows, cols);
    for (int64_t i = 0; i < rows * cols; i++) fl_tensor_set(&t, i, 2 * fl_rng_double(&rng) - 1);
    return t;
}

static fl_tensor vector(fl_dtype dtype, int64_t n) {
    fl_tensor t = make(dtype, n, 1);
    return fl_tensor_of(t.data, dtype, 1, &n);
}

/* ---- products ---- */

typedef struct {
    const char *name;
    fl_op_id op;
    bool trans_a, trans_b;  // of the operands as stored
} product;

static const product products[] = {
    {"linear", FL_OP_LINEAR, false, true},       {"linear_dx", FL_OP_LINEAR_DX, false, false},
    {"linear_dw", FL_OP_LINEAR_DW, true, false}, {"matmul", FL_OP_MATMUL, false, false},
    {"matmul tb", FL_OP_MATMUL, false, true},    {"matmul ta", FL_OP_MATMUL, true, false},
    {"matmul ta tb", FL_OP_MATMUL, true, true},
};

/* m, n, k: several tiles; several slabs of K; tails everywhere; one row; a thin result; rows of A
 * that meet in the same cache sets. */
static const int64_t shapes[][3] = {{600, 530, 256}, {70, 300, 2500}, {259, 129, 1057},
                                    {1, 1000, 768},  {513, 33, 64},   {45, 70, 2048}};

typedef struct {
    const product *p;
    fl_dtype a_dtype, b_dtype, c_dtype;
    int64_t m, n, k;
    fl_tensor a, b, bias;
} problem;

static double value(const fl_tensor *t, fl_dtype as, int64_t i) {
    const double v = fl_tensor_get(t, i);
    return as == FL_BF16 ? (double)fl_bf16_to_f32(fl_f32_to_bf16((float)v)) : v;
}

/* Element (i, j) in double, and the bound of its error: rounding of about sqrt(k) of the k sums of
 * f32, and of the result. */
static double exact(const problem *q, int64_t i, int64_t j, double *bound) {
    double sum = 0, size = 0;
    for (int64_t k = 0; k < q->k; k++) {
        const double a = value(&q->a, q->a_dtype, q->p->trans_a ? k * q->m + i : i * q->k + k);
        const double b = value(&q->b, q->a_dtype, q->p->trans_b ? j * q->k + k : k * q->n + j);
        sum += a * b;
        size += fabs(a * b);
    }
    if (q->bias.rank) sum += fl_tensor_get(&q->bias, j);
    *bound = (8 + 2 * sqrt((double)q->k)) * 0x1p-24 * (1 + size);
    if (q->c_dtype == FL_BF16) *bound += 0x1p-8 * fabs(sum);
    return sum;
}

static fl_call call_of(const problem *q, fl_tensor out) {
    fl_call c = {.n_in = 2, .n_out = 1, .in = {q->a, q->b}, .out = {out}};
    c.attr = (fl_attr){.dtype = q->c_dtype,
                       .alpha = 1,
                       .trans_a = q->p->trans_a,
                       .trans_b = q->p->trans_b};
    if (q->bias.rank) c.in[c.n_in++] = q->bias;
    return c;
}

/* `out` is the product `times` over. */
static void check_values(const problem *q, const fl_tensor *out, int times, const char *who) {
    double worst = 0;
    for (int i = 0; i < 200; i++) {
        int64_t row = (int64_t)fl_rng_below(&rng, (uint64_t)q->m),
                col = (int64_t)fl_rng_below(&rng, (uint64_t)q->n);
        if (i < 4) row = i & 1 ? q->m - 1 : 0, col = i & 2 ? q->n - 1 : 0;
        double bound;
        const double want = times * exact(q, row, col, &bound),
                     got = fl_tensor_get(out, row * q->n + col);
        const double error = fabs(got - want) / (times * bound);
        if (!(error <= worst)) worst = error;
    }
    CHECKF(worst <= 1, "%s %s %s->%s (%d, %d, %d): %.3g of the bound", who, q->p->name,
           fl_dtype_name(q->a_dtype), fl_dtype_name(q->c_dtype), (int)q->m, (int)q->n, (int)q->k,
           worst);
}

/* Rows of a batch are the rows alone: promise 3. */
static void check_rows(const fl_kernel *k, const problem *q, const fl_tensor *out,
                       const char *who) {
    const size_t row_bytes = (size_t)q->n * fl_dtype_bytes(q->c_dtype);
    for (int64_t i = 0; i < q->m; i += 1 + q->m / 3) {
        problem one = *q;
        one.m = 1;
        one.a.data = (char *)q->a.data + (size_t)(i * q->k) * fl_dtype_bytes(q->a_dtype);
        one.a.dim[0] = 1;
        fl_tensor alone = make(q->c_dtype, 1, q->n);
        const fl_call c = call_of(&one, alone);
        run(k, &c, true, pools[0]);
        CHECKF(memcmp(alone.data, (char *)out->data + (size_t)i * row_bytes, row_bytes) == 0,
               "%s %s row %d", who, q->p->name, (int)i);
        fl_dealloc(alone.data);
    }
}

static void check_accumulate(const fl_kernel *k, const problem *q, const char *who) {
    fl_tensor twice = make(FL_F32, q->m, q->n);
    fl_call c = call_of(q, twice);
    run(k, &c, true, pools[0]);
    c.attr.accumulate = true;
    run(k, &c, true, pools[1]);
    check_values(q, &twice, 2, who);
    fl_dealloc(twice.data);
}

static void check_product(const fl_backend *row, const problem *q) {
    fl_tensor out = make(q->c_dtype, q->m, q->n), other = make(q->c_dtype, q->m, q->n);
    fl_call c = call_of(q, out);
    const fl_kernel *k = row->kernel[q->p->op];
    CHECKF(k && (!k->supports || k->supports(&c)), "%s %s", row->name, q->p->name);
    run(k, &c, true, pools[0]);
    check_values(q, &out, 1, row->name);
    c.out[0] = other;
    run(k, &c, false, pools[1]);
    CHECKF(same(&out, &other), "%s %s: threads or packing change bytes", row->name, q->p->name);
    if (q->p->op == FL_OP_LINEAR) check_rows(k, q, &out, row->name);
    if (q->p->op == FL_OP_LINEAR_DW) check_accumulate(k, q, row->name);
    fl_dealloc(out.data);
    fl_dealloc(other.data);
}

static void check_products(const fl_backend *row, fl_dtype dtype) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
            const product *p = &products[i];
            const bool weight = p->op == FL_OP_LINEAR || p->op == FL_OP_LINEAR_DX;
            problem q = {.p = p,
                         .a_dtype = dtype,
                         .m = shapes[s][0],
                         .n = shapes[s][1],
                         .k = shapes[s][2]};
            q.b_dtype = weight ? FL_F32 : dtype;
            q.c_dtype = p->op == FL_OP_LINEAR_DW || s % 2 ? FL_F32 : dtype;
            q.a = p->trans_a ? random_matrix(dtype, q.k, q.m) : random_matrix(dtype, q.m, q.k);
            q.b = p->trans_b ? random_matrix(q.b_dtype, q.n, q.k)
                             : random_matrix(q.b_dtype, q.k, q.n);
            if (p->op == FL_OP_LINEAR && s != 1) {
                q.bias = random_matrix(FL_F32, 1, q.n);
                q.bias = fl_tensor_of(q.bias.data, FL_F32, 1, &q.n);
            }
            check_product(row, &q);
            fl_dealloc(q.a.data);
            fl_dealloc(q.b.data);
            fl_dealloc(q.bias.data);
        }
    }
}

/* ---- the head ---- */

typedef struct {
    fl_dtype dtype;
    int64_t n, v, c;
    float softcap;
    double tolerance;  // relative to 1 + |want|
    fl_tensor x, w, target, g;
    double *nll, *dx, *dw;
} head;

static double *zeros(int64_t n) {
    double *p = fl_alloc((size_t)n * sizeof *p);
    if (!p) abort();
    memset(p, 0, (size_t)n * sizeof *p);
    return p;
}

/* As the op's row states it, in double, from inputs in the compute format. */
static void head_reference(head *h) {
    double *x = zeros(h->n * h->c), *w = zeros(h->v * h->c), *z = zeros(h->v);
    for (int64_t i = 0; i < h->n * h->c; i++) x[i] = value(&h->x, h->dtype, i);
    for (int64_t i = 0; i < h->v * h->c; i++) w[i] = value(&h->w, h->dtype, i);
    for (int64_t r = 0; r < h->n; r++) {
        const int64_t target = ((int32_t *)h->target.data)[r];
        if (target < 0) continue;
        double sum = 0;
        for (int64_t v = 0; v < h->v; v++) {
            z[v] = 0;
            for (int64_t i = 0; i < h->c; i++) z[v] += x[r * h->c + i] * w[v * h->c + i];
            if (h->softcap > 0) z[v] = (double)h->softcap * tanh(z[v] / (double)h->softcap);
            sum += exp(z[v]);
        }
        h->nll[r] = log(sum) - z[target];
        for (int64_t v = 0; v < h->v; v++) {
            const double u = h->softcap > 0 ? z[v] / (double)h->softcap : 0;
            const double dz = fl_tensor_get(&h->g, r) * (exp(z[v]) / sum - (v == target)) *
                              (1 - u * u);
            for (int64_t i = 0; i < h->c; i++) {
                h->dx[r * h->c + i] += dz * w[v * h->c + i];
                h->dw[v * h->c + i] += dz * x[r * h->c + i];
            }
        }
    }
    fl_dealloc(x);
    fl_dealloc(w);
    fl_dealloc(z);
}

static void open_head(head *h) {
    h->x = random_matrix(h->dtype, h->n, h->c);
    h->w = random_matrix(FL_F32, h->v, h->c);
    h->target = vector(FL_I32, h->n);
    h->g = vector(FL_F32, h->n);
    for (int64_t r = 0; r < h->n; r++) {
        ((int32_t *)h->target.data)[r] = r % 5 == 3 ? -1
                                                    : (int32_t)fl_rng_below(&rng, (uint64_t)h->v);
        ((float *)h->g.data)[r] = 0.5f + fl_rng_float(&rng);
    }
    h->nll = zeros(h->n);
    h->dx = zeros(h->n * h->c);
    h->dw = zeros(h->v * h->c);
    head_reference(h);
}

static void close_head(head *h) {
    void *all[] = {h->x.data, h->w.data, h->target.data, h->g.data, h->nll, h->dx, h->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fl_dealloc(all[i]);
}

/* Errors of gradients are relative to the largest gradient: bf16 rounds each dz, and rows of dw add
 * many. */
static void check_near(const fl_tensor *got, const double *want, double tolerance, const char *who,
                       const char *what) {
    double worst = 0, most = 0;
    for (int64_t i = 0; i < fl_tensor_count(got); i++) most = fmax(most, fabs(want[i]));
    for (int64_t i = 0; i < fl_tensor_count(got); i++) {
        const double error = fabs(fl_tensor_get(got, i) - want[i]) / most;
        if (!(error <= worst)) worst = error;
    }
    CHECKF(worst < tolerance, "%s %s: %g", who, what, worst);
}

static void check_head(const fl_backend *row, const head *h) {
    fl_tensor out[2][4];
    for (int i = 0; i < 2; i++) {
        out[i][0] = make(h->dtype, h->n, h->c);
        out[i][1] = make(FL_F32, h->v, h->c);
        out[i][2] = vector(FL_F32, h->n);
        out[i][3] = vector(FL_F32, h->n);
        fl_call c = {.n_in = 4,
                     .n_out = 3,
                     .in = {h->x, h->w, h->target, h->g},
                     .attr.softcap = h->softcap,
                     .out = {out[i][0], out[i][1], out[i][2]}};
        run(row->kernel[FL_OP_LINEAR_CE_GRAD], &c, i == 0, pools[i]);
        c.n_in = 3;
        c.n_out = 1;
        c.out[0] = out[i][3];
        run(row->kernel[FL_OP_LINEAR_CE], &c, i == 0, pools[i]);
    }
    check_near(&out[0][0], h->dx, h->tolerance, row->name, "dx");
    check_near(&out[0][1], h->dw, h->tolerance, row->name, "dw");
    check_near(&out[0][2], h->nll, 1e-5, row->name, "nll of the gradient");
    for (int k = 0; k < 4; k++)
        CHECKF(same(&out[0][k], &out[1][k]), "%s: threads change output %d", row->name, k);
    CHECKF(same(&out[0][2], &out[0][3]), "%s: the loss alone differs", row->name);
    for (int i = 0; i < 8; i++) fl_dealloc(out[i / 4][i % 4].data);
}

int main(void) {
    fl_err err;
    if (fl_pool_new(&pools[0], 1, &err) != FL_OK || fl_pool_new(&pools[1], 3, &err) != FL_OK)
        return 1;
    head heads[] =
        {{.dtype = FL_F32, .n = 1900, .v = 16000, .c = 2, .tolerance = 2e-5},  // two rounds
         {.dtype = FL_F32, .n = 290, .v = 777, .c = 70, .softcap = 3, .tolerance = 2e-5},
         {.dtype = FL_BF16, .n = 290, .v = 1030, .c = 96, .tolerance = 6e-3},
         {.dtype = FL_BF16, .n = 33, .v = 5000, .c = 33, .softcap = 5, .tolerance = 6e-3}};
    enum { HEADS = sizeof heads / sizeof *heads };
    for (int i = 0; i < HEADS; i++) open_head(&heads[i]);
    for (int i = 0; fl_backends[i]; i++) {
        const fl_backend *row = fl_backends[i];
        if (!row->kernel[FL_OP_MATMUL]) continue;  // one for some formats: it has its own test
        if (!row->available() || !row->kernel[FL_OP_LINEAR_CE] || strcmp(row->name, "ref") == 0) {
            printf("SKIP %s: needs %s\n", row->name, row->needs);
            continue;
        }
        check_products(row, FL_F32);
        check_products(row, FL_BF16);
        for (int h = 0; h < HEADS; h++) check_head(row, &heads[h]);
    }
    for (int i = 0; i < HEADS; i++) close_head(&heads[i]);
    for (int i = 0; i < 2; i++) fl_pool_free(pools[i]);
    return check_report();
}
