/* check_experts - routed products at shapes with several blocks, tiles and slabs, where check_ops'
 * samples do not reach: byte for byte between one thread and three, packed ahead or not, a row in a
 * batch or alone; and which of equal scores is chosen. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "one_job.h"

static fl_pool *pools[2];  // one thread, three
static fl_rng rng = {.seed = 11};

static fl_tensor make(fl_dtype dtype, int rank, const int64_t *dim) {
    fl_tensor t = fl_tensor_of(NULL, dtype, rank, dim);
    t.data = fl_alloc(fl_tensor_bytes(&t));
    if (!t.data) abort();
    return t;
}

static fl_tensor numbers(fl_dtype dtype, int rank, const int64_t *dim) {
    fl_tensor t = make(dtype, rank, dim);
    for (int64_t i = 0; i < fl_tensor_count(&t); i++)
        fl_tensor_set(&t, i, 2 * fl_rng_double(&rng) - 1);
    return t;
}

/* ---- products ---- */

typedef struct {
    int64_t rows, k, experts, n, width;
    bool shared;
} shape;

/* Many blocks of one expert; several slabs of K and tiles of N; more experts than slots; one column
 * of the result, and of the gradient's dy, by an even number of slots of which experts have odd. */
static const shape shapes[] = {{700, 2, 3, 70, 96, true},
                               {37, 3, 4, 530, 1100, false},
                               {3, 4, 64, 300, 2100, true},
                               {30, 2, 5, 1, 48, true}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

typedef struct {
    fl_op_id op;
    fl_dtype dtype;
    const shape *s;
    fl_call call;  // in[] filled; out[0] described
    int ids;       // which input they are
} problem;

/* Most rows go to few experts. */
static fl_tensor some_ids(const shape *s) {
    fl_tensor ids = make(FL_I32, 2, (int64_t[]){s->rows, s->k});
    for (int64_t i = 0; i < s->rows * s->k; i++) {
        const double u = fl_rng_double(&rng);
        ((int32_t *)ids.data)[i] = (int32_t)(u * u * (double)s->experts);
    }
    return ids;
}

static void open_problem(problem *p) {
    const shape *s = p->s;
    const fl_tensor ids = some_ids(s);
    const fl_tensor x = s->shared && p->op != FL_OP_EXPERT_LINEAR_DX
                            ? numbers(p->dtype, 2, (int64_t[]){s->rows, s->width})
                            : numbers(p->dtype, 3, (int64_t[]){s->rows, s->k, s->width});
    const fl_tensor dy = numbers(p->dtype, 3, (int64_t[]){s->rows, s->k, s->n});
    const fl_tensor w = numbers(FL_F32, 3, (int64_t[]){s->experts, s->n, s->width});
    const fl_tensor bias = numbers(FL_F32, 2, (int64_t[]){s->experts, s->n});
    const fl_call calls[] = {{.n_in = 4, .in = {x, w, ids, bias}},
                             {.n_in = 3, .in = {dy, w, ids}},
                             {.n_in = 4, .in = {dy, x, ids, w}}};
    const int at = p->op == FL_OP_EXPERT_LINEAR ? 0 : p->op == FL_OP_EXPERT_LINEAR_DX ? 1 : 2;
    const fl_tensor unused[] = {x, bias, dy};
    p->call = calls[at];
    p->call.n_out = 1;
    p->call.attr.dtype = p->dtype;
    p->ids = 2;
    if (at == 1) fl_dealloc(unused[0].data);
    if (at > 0) fl_dealloc(unused[1].data);
    if (at == 0) fl_dealloc(unused[2].data);
    fl_err err;
    CHECKF(fl_ops[p->op]->shape(&p->call, &err) == FL_OK, "%s", err.msg);
}

static void close_problem(problem *p) {
    for (int i = 0; i < p->call.n_in; i++) fl_dealloc(p->call.in[i].data);
}

/* A row of a batch is the row alone: promise 3. */
static void check_rows(const fl_kernel *k, const problem *p, const fl_tensor *out,
                       const char *who) {
    const size_t in_row = fl_tensor_bytes(&p->call.in[0]) / (size_t)p->s->rows;
    const size_t out_row = fl_tensor_bytes(out) / (size_t)p->s->rows;
    for (int64_t r = 0; r < p->s->rows; r += 1 + p->s->rows / 7) {
        fl_call one = p->call;
        one.in[0].data = (char *)one.in[0].data + (size_t)r * in_row;
        one.in[0].dim[0] = one.in[2].dim[0] = 1;
        one.in[2].data = (int32_t *)one.in[2].data + r * p->s->k;
        one.out[0].dim[0] = 1;
        one.out[0] = make(p->dtype, 3, one.out[0].dim);
        run(k, &one, r % 2, pools[0]);
        CHECKF(memcmp(one.out[0].data, (char *)out->data + (size_t)r * out_row, out_row) == 0,
               "%s %s row %d", who, fl_ops[p->op]->name, (int)r);
        fl_dealloc(one.out[0].data);
    }
}

/* Elements of expert_linear against sums in double. */
static void check_values(const problem *p, const fl_tensor *out, const char *who) {
    const fl_tensor *x = &p->call.in[0], *w = &p->call.in[1], *ids = &p->call.in[2];
    const int64_t n = p->s->n, width = p->s->width;
    double worst = 0;
    for (int64_t i = 0; i < fl_tensor_count(out); i += 1 + fl_tensor_count(out) / 300) {
        const int64_t slot = i / n, e = ((int32_t *)ids->data)[slot];
        const int64_t row = p->s->shared ? slot / p->s->k : slot;
        double sum = fl_tensor_get(&p->call.in[3], e * n + i % n), size = 1;
        for (int64_t k = 0; k < width; k++) {
            double weight = fl_tensor_get(w, (e * n + i % n) * width + k);
            if (p->dtype == FL_BF16) weight = (double)fl_bf16_to_f32(fl_f32_to_bf16((float)weight));
            const double product = fl_tensor_get(x, row * width + k) * weight;
            sum += product;
            size += fabs(product);
        }
        double bound = (8 + 2 * sqrt((double)width)) * 0x1p-24 * size;  // as in check_gemm
        if (p->dtype == FL_BF16) bound += 0x1p-8 * fabs(sum);
        worst = fmax(worst, fabs(fl_tensor_get(out, i) - sum) / bound);
    }
    CHECKF(worst <= 1, "%s: %g of the bound", who, worst);
}

static void check_problem(const fl_backend *b, problem *p) {
    const fl_kernel *k = b->kernel[p->op];
    open_problem(p);
    fl_tensor out[3];
    for (int i = 0; i < 3; i++) {
        fl_call c = p->call;
        c.out[0] = out[i] = make(p->call.out[0].dtype, p->call.out[0].rank, p->call.out[0].dim);
        run(k, &c, i == 1, pools[i == 2]);
    }
    for (int i = 1; i < 3; i++)
        CHECKF(same(&out[0], &out[i]), "%s %s: %s", b->name, fl_ops[p->op]->name,
               i == 1 ? "packing changes bytes" : "threads change bytes");
    if (p->op == FL_OP_EXPERT_LINEAR) check_values(p, &out[0], b->name);
    if (p->op != FL_OP_EXPERT_LINEAR_DW) check_rows(k, p, &out[0], b->name);
    for (int i = 0; i < 3; i++) fl_dealloc(out[i].data);
    close_problem(p);
}

/* ---- the router ---- */

/* Of equal scores the lower id, whatever their number and the vector's length. */
static void check_ties(const fl_backend *b) {
    enum { E = 40, K = 5 };
    float logits[E] = {0}, weights[K];
    int32_t ids[K];
    logits[33] = logits[7] = 1;
    fl_call c = {.n_in = 1, .n_out = 2, .attr.routing = {.n_chosen = K, .normalise = true}};
    c.in[0] = fl_tensor_of(logits, FL_F32, 2, (int64_t[]){1, E});
    c.out[0] = fl_tensor_of(weights, FL_F32, 2, (int64_t[]){1, K});
    c.out[1] = fl_tensor_of(ids, FL_I32, 2, (int64_t[]){1, K});
    run(b->kernel[FL_OP_ROUTE], &c, false, pools[0]);
    const int32_t want[K] = {7, 33, 0, 1, 2};
    for (int i = 0; i < K; i++)
        CHECKF(ids[i] == want[i], "%s: choice %d is %d", b->name, i, ids[i]);

    c.attr.routing = (fl_routing){.n_chosen = 2,
                                  .n_groups = 10,
                                  .groups_chosen = 1,
                                  .sigmoid = true,
                                  .group_pair = true};
    for (int i = 0; i < E; i++) logits[i] = i == 13 ? 2 : i % 4 == 1 || i % 4 == 2;
    c.out[0].dim[1] = c.out[1].dim[1] = 2;
    run(b->kernel[FL_OP_ROUTE], &c, false, pools[0]);
    CHECKF(ids[0] == 13 && ids[1] == 14, "%s: groups give %d %d", b->name, ids[0], ids[1]);
}

/* Not a number among the logits: ids stay ids. */
static void check_nan(const fl_backend *b) {
    float logits[8] = {NAN, 1, NAN, 2, NAN, NAN, NAN, NAN}, weights[3];
    int32_t ids[3] = {-1, -1, -1};
    fl_call c = {.n_in = 1, .n_out = 2, .attr.routing = {.n_chosen = 3}};
    c.in[0] = fl_tensor_of(logits, FL_F32, 1, (int64_t[]){8});
    c.out[0] = fl_tensor_of(weights, FL_F32, 1, (int64_t[]){3});
    c.out[1] = fl_tensor_of(ids, FL_I32, 1, (int64_t[]){3});
    run(b->kernel[FL_OP_ROUTE], &c, false, pools[0]);
    for (int i = 0; i < 3; i++) CHECKF(ids[i] >= 0 && ids[i] < 8, "%s: id %d", b->name, ids[i]);
}

int main(void) {
    static const fl_op_id ops[] = {FL_OP_EXPERT_LINEAR, FL_OP_EXPERT_LINEAR_DX,
                                   FL_OP_EXPERT_LINEAR_DW};
    fl_err err;
    if (fl_pool_new(&pools[0], 1, &err) != FL_OK || fl_pool_new(&pools[1], 3, &err) != FL_OK)
        return 1;
    for (int i = 0; fl_backends[i]; i++) {
        const fl_backend *b = fl_backends[i];
        if (!b->available()) {
            printf("SKIP %s: needs %s\n", b->name, b->needs);
            continue;
        }
        if (!b->kernel[FL_OP_ROUTE]) continue;  // a row of some operations alone
        check_ties(b);
        check_nan(b);
        for (int n = 0; n < 6 * N_SHAPES && strcmp(b->name, "ref") != 0; n++)
            check_problem(b, &(problem){.op = ops[n % 3],
                                        .dtype = n < 3 * N_SHAPES ? FL_F32 : FL_BF16,
                                        .s = &shapes[n / 3 % N_SHAPES]});
    }
    for (int i = 0; i < 2; i++) fl_pool_free(pools[i]);
    return check_report();
}
