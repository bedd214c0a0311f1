/* check_strips - products with weights in blocks, at shapes with several tiles, units and slabs and
 * every number of rows: against the integer dot product in double (fl_quant_dot), and byte for byte
 * between one thread and three, packed ahead or not, a batch and each row of it alone, and one
 * instruction set and another. An expert's product has the bytes of linear with its weight.
 *
 * Tried and caught: a slab that starts at zero again, the last row of a panel dropped, a plane
 * shifted by a bit, a table's zero left out, scale or minimum of another group, the last unit's head
 * read as a whole one's, columns past the end written, the sum of x taken of the wrong half, a sum
 * that depends on the number of rows. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "one_job.h"
#include "tensor/quant.h"

enum { M_MAX = 130, N_MAX = 300, K_MAX = 2304 };

static fl_pool *pools[2];  // one thread, three
static fl_rng rng = {.seed = 11};

/* Rows of x, columns of y, blocks of 32 (of 256 where the format's are). */
static const int64_t shapes[][3] = {{1, 1, 1},  {1, 300, 9},  {2, 17, 3},   {3, 16, 8},
                                    {5, 33, 7}, {12, 48, 18}, {13, 31, 16}, {130, 290, 9}};

typedef struct {
    int64_t m, n, k;
    fl_tensor x, w, bias;
    int8_t *q;  // x in 8 bits
    float *scale;
} problem;

static void *memory(size_t bytes) {
    void *p = fl_alloc(bytes);
    if (!p) abort();
    return p;
}

/* Blocks of random numbers, some of them large, at an odd address. */
static void fill_w(fl_tensor *w) {
    float row[K_MAX];
    for (int64_t r = 0; r < w->dim[0]; r++) {
        for (int64_t i = 0; i < w->dim[1]; i++)
            row[i] = (fl_rng_float(&rng) - 0.4f) * (i % 37 == 5 ? 9.0f : 1.0f);
        fl_quantize(fl_tensor_row(w, r), w->dtype, row, NULL, w->dim[1]);
    }
}

static void open_problem(problem *p, fl_dtype t, const int64_t shape[3], fl_dtype x_dtype) {
    const int64_t block = fl_dtype_block(t);
    *p = (problem){.m = shape[0], .n = shape[1]};
    p->k = block == FL_X_GROUP ? shape[2] * block : (shape[2] + 3) / 4 * block;
    p->w = fl_tensor_of(NULL, t, 2, (int64_t[]){p->n, p->k});
    p->w.data = (char *)memory(fl_tensor_bytes(&p->w) + 1) + 1;
    fill_w(&p->w);
    p->x = fl_tensor_of(NULL, x_dtype, 2, (int64_t[]){p->m, p->k});
    p->x.data = memory(fl_tensor_bytes(&p->x));
    p->bias = fl_tensor_of(memory((size_t)p->n * 4), FL_F32, 1, &p->n);
    p->q = memory((size_t)(p->m * p->k));
    p->scale = memory((size_t)(p->m * p->k / FL_X_GROUP) * sizeof *p->scale);
    for (int64_t i = 0; i < p->n; i++) fl_tensor_set(&p->bias, i, fl_rng_double(&rng));
    for (int64_t i = 0; i < p->m * p->k; i++)
        fl_tensor_set(&p->x, i, (fl_rng_double(&rng) - 0.3) * (i % 41 ? 1 : 20));
    for (int64_t r = 0; r < p->m; r++) {
        float row[K_MAX];
        for (int64_t i = 0; i < p->k; i++) row[i] = (float)fl_tensor_get(&p->x, r * p->k + i);
        fl_quantize_x(p->q + r * p->k, p->scale + r * p->k / FL_X_GROUP, row, p->k);
    }
}

static void close_problem(problem *p) {
    fl_dealloc((char *)p->w.data - 1);
    void *all[] = {p->x.data, p->bias.data, p->q, p->scale};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fl_dealloc(all[i]);
}

static fl_call call_of(const problem *p, float *y) {
    fl_call c = {.n_in = 3, .n_out = 1, .in = {p->x, p->w, p->bias}, .attr.dtype = FL_F32};
    c.out[0] = fl_tensor_of(y, FL_F32, 2, (int64_t[]){p->m, p->n});
    return c;
}

/* Element (i, j), and how far sums in f32 may be from it: each block's product is rounded a few
 * times, and so is what has been summed up to it. */
static double exact(const problem *p, int64_t i, int64_t j, double *bound) {
    const int64_t blocks = p->k / FL_X_GROUP;
    const float *scale = p->scale + i * blocks;
    float w[K_MAX];
    double size = 0;
    fl_dequantize(w, p->w.dtype, fl_tensor_row(&p->w, j), p->k);
    for (int64_t k = 0; k < p->k; k++)
        size += fabs((double)(scale[k / FL_X_GROUP] * w[k]) * p->q[i * p->k + k]);
    *bound = (8 + 2 * sqrt((double)blocks)) * 0x1p-24 * (1 + 4 * size);
    return fl_quant_dot(p->w.dtype, fl_tensor_row(&p->w, j), p->q + i * p->k, scale, p->k) +
           fl_tensor_get(&p->bias, j);
}

static void check_values(const problem *p, const float *y, const char *who) {
    double worst = 0;
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j += 1 + p->n / 23) {
            double bound;
            const double want = exact(p, i, j, &bound);
            const double error = fabs((double)y[i * p->n + j] - want) / bound;
            if (!(error <= worst)) worst = error;
        }
    }
    CHECKF(worst <= 1, "%s %s (%d, %d, %d): %.3g of the bound", who, fl_dtype_name(p->w.dtype),
           (int)p->m, (int)p->n, (int)p->k, worst);
}

static void check_rows(const fl_kernel *k, const problem *p, const float *y, const char *who) {
    float alone[N_MAX];
    for (int64_t i = 0; i < p->m; i += 1 + p->m / 9) {
        problem one = *p;
        one.m = one.x.dim[0] = 1;
        one.x.data = fl_tensor_row(&p->x, i);
        const fl_call c = call_of(&one, alone);
        run(k, &c, true, pools[0]);
        CHECKF(memcmp(alone, y + i * p->n, (size_t)p->n * sizeof *alone) == 0, "%s %s row %d", who,
               fl_dtype_name(p->w.dtype), (int)i);
    }
}

/* Of all rows of the backend with integers: the bytes of the first one. */
static void check_linear(const fl_backend *row, const problem *p, const float *first, float *y) {
    static float other[M_MAX * N_MAX];
    const size_t bytes = (size_t)(p->m * p->n) * sizeof *y;
    fl_call c = call_of(p, y);
    const fl_kernel *k = row->kernel[FL_OP_LINEAR];
    run(k, &c, true, pools[0]);
    check_values(p, y, row->name);
    c.out[0].data = other;
    run(k, &c, false, pools[1]);
    CHECKF(memcmp(y, other, bytes) == 0, "%s %s: threads or packing change bytes", row->name,
           fl_dtype_name(p->w.dtype));
    if (first)
        CHECKF(memcmp(y, first, bytes) == 0, "%s %s: not the bytes of the other row", row->name,
               fl_dtype_name(p->w.dtype));
    check_rows(k, p, y, row->name);
}

static bool has_integers(const fl_backend *row, const problem *p) {
    const fl_call c = call_of(p, NULL);
    const fl_kernel *k = row->kernel[FL_OP_LINEAR];
    return row->available() && !row->kernel[FL_OP_MATMUL] && k && k->pack_id && k->supports(&c);
}

static int check_problem(const problem *p) {
    static float y[2][M_MAX * N_MAX];
    int n = 0;
    for (int i = 0; fl_backends[i]; i++) {
        if (!has_integers(fl_backends[i], p)) continue;
        check_linear(fl_backends[i], p, n ? y[0] : NULL, y[n > 0]);
        n++;
    }
    return n;
}

/* x of which some numbers are zeros, tiny, not finite: never a number where it should not be one,
 * and the other rows as if it were not there. */
static void check_strange_x(const fl_backend *row) {
    static float y[2][4 * 40];
    problem p;
    open_problem(&p, FL_Q4_1, (int64_t[]){4, 40, 5}, FL_F32);
    if (has_integers(row, &p)) {
        float *x = p.x.data;
        for (int64_t i = 0; i < p.k; i++) x[i] = i % 2 ? 0.0f : 1e-38f;
        x[p.k + 40] = INFINITY;
        x[3 * p.k + 7] = NAN;
        for (int way = 0; way < 2; way++) {
            const fl_call c = call_of(&p, y[way]);
            run(row->kernel[FL_OP_LINEAR], &c, way, pools[way]);
        }
        CHECKF(memcmp(y[0] + 80, y[1] + 80, 40 * sizeof *y[0]) == 0, "%s", row->name);
        for (int j = 0; j < 40; j++) {
            CHECK(y[0][j] == ((float *)p.bias.data)[j]);
            CHECK(!isfinite(y[0][40 + j]) && isfinite(y[0][80 + j]) && isnan(y[0][120 + j]));
        }
    }
    close_problem(&p);
}

/* The loss against logits made by linear. */
static void check_loss(const fl_backend *row, fl_dtype t, float cap) {
    static float z[M_MAX * N_MAX], nll[2][M_MAX];
    int32_t target[M_MAX];
    problem p;
    open_problem(&p, t, (int64_t[]){101, 290, 6}, FL_BF16);
    if (has_integers(row, &p)) {
        fl_call c = call_of(&p, z);
        for (int i = 0; i < 101; i++) target[i] = i % 9 == 4 ? -1 : i * 29 % 290;
        c.n_in = 2;
        run(row->kernel[FL_OP_LINEAR], &c, true, pools[0]);
        const int64_t m = 101;
        c = (fl_call){.n_in = 3, .n_out = 1, .in = {p.x, p.w}, .attr.softcap = cap};
        c.in[2] = fl_tensor_of(target, FL_I32, 1, &m);
        for (int way = 0; way < 2; way++) {
            c.out[0] = fl_tensor_of(nll[way], FL_F32, 1, &m);
            run(row->kernel[FL_OP_LINEAR_CE], &c, way, pools[way]);
        }
        CHECKF(memcmp(nll[0], nll[1], sizeof nll[0]) == 0, "%s: threads change the loss",
               row->name);
        for (int i = 0; i < 101; i++) {
            double sum = 0, at = 0;
            for (int j = 0; j < 290; j++) {
                const double v = (double)z[i * 290 + j];
                const double capped = cap > 0 ? (double)cap * tanh(v / (double)cap) : v;
                sum += exp(capped - 60);
                if (j == target[i]) at = capped;
            }
            const double want = target[i] < 0 ? 0 : log(sum) + 60 - at;
            CHECKF(fabs((double)nll[0][i] - want) <= 2e-5 * (1 + fabs(want)), "%s %s row %d: %g %g",
                   row->name, fl_dtype_name(t), i, (double)nll[0][i], want);
        }
    }
    close_problem(&p);
}

/* ---- experts ---- */

/* Rows, experts, choices, columns, blocks of 32 along K. Several blocks of slots of one expert;
 * experts without any; several tiles of strips; a weight for each head. */
enum { SLOTS = 260, COLS = 140 };
static const int64_t routed[][5] = {{1, 5, 2, 33, 9},
                                    {130, 2, 2, 140, 8},
                                    {7, 64, 3, 17, 16},
                                    {9, 4, 4, 40, 3}};

/* What linear makes of the slot's row and its expert's part of w. */
static void one_slot(const fl_backend *row, const problem *p, int64_t x_row, int64_t e, int64_t n,
                     float *y) {
    problem one = *p;
    one.m = one.x.dim[0] = 1;
    one.n = one.w.dim[0] = one.bias.dim[0] = n;
    one.x.data = fl_tensor_row(&p->x, x_row);
    one.w.data = fl_tensor_row(&p->w, e * n);
    one.bias.data = (float *)p->bias.data + e * n;
    const fl_call c = call_of(&one, y);
    run(row->kernel[FL_OP_LINEAR], &c, false, pools[0]);
}

/* Every slot has the bytes of linear, packed ahead or not, on one thread or three. Without ids x
 * has a row for each expert. */
static void check_routed(const fl_backend *row, fl_dtype t, const int64_t s[5], bool by_head) {
    static float y[2][SLOTS * COLS], want[COLS];
    const int64_t rows = s[0], E = s[1], k = by_head ? E : s[2], n = s[3], slots = rows * k;
    int32_t ids[SLOTS];
    problem p;
    open_problem(&p, t, (int64_t[]){by_head ? slots : rows, E * n, s[4]}, FL_BF16);
    for (int i = 0; i < slots; i++)
        ids[i] = by_head ? (int32_t)(i % E) : (int32_t)(fl_rng_double(&rng) * (double)E);
    fl_call c = call_of(&p, NULL);
    c.n_in = by_head ? 2 : 4;
    c.in[1] = fl_tensor_of(p.w.data, t, 3, (int64_t[]){E, n, p.k});
    c.in[3] = fl_tensor_of(p.bias.data, FL_F32, 2, (int64_t[]){E, n});
    c.in[2] = by_head ? (fl_tensor){0} : fl_tensor_of(ids, FL_I32, 2, (int64_t[]){rows, k});
    if (by_head) memset(p.bias.data, 0, (size_t)p.n * sizeof(float));
    for (int way = 0; way < 2; way++) {
        c.out[0] = fl_tensor_of(y[way], FL_F32, 3, (int64_t[]){rows, k, n});
        run(row->kernel[FL_OP_EXPERT_LINEAR], &c, way, pools[way]);
    }
    CHECKF(memcmp(y[0], y[1], (size_t)(slots * n) * sizeof **y) == 0,
           "%s %s: threads or packing change experts' bytes", row->name, fl_dtype_name(t));
    for (int64_t i = 0; i < slots; i += 1 + slots / 40) {
        one_slot(row, &p, by_head ? i : i / k, ids[i], n, want);
        CHECKF(memcmp(want, y[0] + i * n, (size_t)n * sizeof *want) == 0, "%s %s: slot %d",
               row->name, fl_dtype_name(t), (int)i);
    }
    close_problem(&p);
}

static void check_experts(const fl_backend *row) {
    static const fl_dtype some[] = {FL_Q8_0, FL_Q4_0, FL_Q4_K, FL_Q6_K};
    if (!row->available() || row->kernel[FL_OP_MATMUL] || !row->kernel[FL_OP_EXPERT_LINEAR]) return;
    if (!row->kernel[FL_OP_EXPERT_LINEAR]->pack_id) return;  // blocks.c: other sums than linear's
    for (size_t s = 0; s < sizeof routed / sizeof *routed; s++) {
        for (size_t t = 0; t < sizeof some / sizeof *some; t++) {
            check_routed(row, some[t], routed[s], false);
            if (routed[s][0] * routed[s][1] <= SLOTS) check_routed(row, some[t], routed[s], true);
        }
    }
}

int main(void) {
    fl_err err;
    if (fl_pool_new(&pools[0], 1, &err) != FL_OK || fl_pool_new(&pools[1], 3, &err) != FL_OK)
        return 1;
    int n_rows = 0;
    for (fl_dtype t = FL_BLOCK_DTYPE_FIRST; t < FL_DTYPE_COUNT; t++) {
        if (!fl_dtype_is_writable(t)) continue;
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            problem p;
            open_problem(&p, t, shapes[s], s % 2 ? FL_BF16 : FL_F32);
            n_rows += check_problem(&p);
            close_problem(&p);
        }
    }
    for (int i = 0; fl_backends[i]; i++) {
        check_strange_x(fl_backends[i]);
        check_loss(fl_backends[i], FL_Q6_K, 0);
        check_loss(fl_backends[i], FL_Q4_1, 20);
        check_experts(fl_backends[i]);
    }
    if (!n_rows) printf("SKIP products in integers: no row here has them\n");
    for (int i = 0; i < 2; i++) fl_pool_free(pools[i]);
    return check_report();
}
