/* blocks - weights in block formats, and in f16, on any CPU: a tile of w is widened, used, and
 * forgotten.
 *
 * A tile is COLS rows of w by DEPTH of their elements, turned so that the COLS sums of a row of x
 * grow side by side. Every sum is over DEPTH elements first, and then over the tiles of a row in
 * their order: it depends on K alone, not on the other rows of x or on the number of threads.
 *
 * This row only has what takes such weights; it stands after the others, for the formats they have
 * no integer products for. */
#include <math.h>
#include <string.h>

#include "backend/cpu/blocks.h"
#include "backend/cpu/rows.h"
#include "tensor/quant.h"

enum { COLS = 16, DEPTH = FL_BLOCK_MAX, CE_ROWS = 32, EMBED_ROWS = 16 };

typedef float tile[DEPTH][COLS];

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

bool fli_blocks_take(const fl_tensor *w) {
    return (fl_dtype_is_block(w->dtype) || w->dtype == FL_F16) && fl_tensor_contiguous(w);
}

bool fli_blocks_real(const fl_tensor *t) {
    return t->dtype == FL_F32 || t->dtype == FL_BF16 || t->dtype == FL_F16;
}

void fli_blocks_get(const fl_tensor *t, int64_t r, int64_t k0, int64_t n, float *out) {
    const char *from = fl_tensor_row(t, r);
    fl_convert(out, FL_F32, from + fl_dtype_row_bytes(t->dtype, k0), t->dtype, n);
}

void fli_blocks_put(const fl_tensor *t, int64_t r, int64_t k0, int64_t n, const float *v) {
    char *to = fl_tensor_row(t, r);
    fl_convert(to + fl_dtype_row_bytes(t->dtype, k0), t->dtype, v, FL_F32, n);
}

void fli_blocks_get_x(const fl_tensor *x, const fl_tensor *w, int64_t r, int64_t k0, int64_t n,
                      float *out) {
    int8_t q[DEPTH];
    float scale[DEPTH / FL_X_GROUP];
    fli_blocks_get(x, r, k0, n, out);
    if (!fl_dtype_is_block(w->dtype)) return;
    fl_quantize_x(q, scale, out, n);
    for (int64_t k = 0; k < n; k++) out[k] = scale[k / FL_X_GROUP] * (float)q[k];
}

/* ---- the tile ---- */

static void load_tile(const fl_tensor *w, int64_t n0, int64_t cols, int64_t k0, int64_t depth,
                      tile out) {
    for (int64_t j = 0; j < COLS; j++) {
        float row[DEPTH] = {0};
        if (j < cols) fli_blocks_get(w, n0 + j, k0, depth, row);
        for (int64_t k = 0; k < depth; k++) out[k][j] = row[k];
    }
}

static void add_products(const float *x, int64_t depth, const tile w, float out[COLS]) {
    float sum[COLS] = {0};
    for (int64_t k = 0; k < depth; k++)
        for (int j = 0; j < COLS; j++) sum[j] += x[k] * w[k][j];
    for (int j = 0; j < COLS; j++) out[j] += sum[j];
}

/* out (rows, COLS) = rows [r0, r0 + rows) of x times rows [n0, n0 + cols) of w. */
static void multiply(const fl_tensor *x, int64_t r0, int64_t rows, const fl_tensor *w, int64_t n0,
                     int64_t cols, float *out) {
    const int64_t K = fl_tensor_cols(w);
    float row[DEPTH];
    tile t;
    memset(out, 0, (size_t)(rows * COLS) * sizeof *out);
    for (int64_t k0 = 0; k0 < K; k0 += DEPTH) {
        const int64_t depth = least(DEPTH, K - k0);
        load_tile(w, n0, cols, k0, depth, t);
        for (int64_t r = 0; r < rows; r++) {
            fli_blocks_get_x(x, w, r0 + r, k0, depth, row);
            add_products(row, depth, (const float(*)[COLS])t, out + r * COLS);
        }
    }
}

/* ---- linear ---- */

static bool product_supports(const fl_call *c) {
    return fli_blocks_take(&c->in[1]) && fli_blocks_real(&c->in[0]) &&
           fli_blocks_real(&c->out[0]) && fl_tensor_contiguous(&c->in[0]) &&
           fl_tensor_contiguous(&c->out[0]);
}

static int64_t linear_tasks(const fl_call *c) {
    return (c->in[1].dim[0] + COLS - 1) / COLS;
}

static size_t linear_scratch(const fl_call *c) {
    return (size_t)(fl_tensor_rows(&c->in[0]) * COLS) * sizeof(float);
}

static void linear_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *x = &c->in[0], *w = &c->in[1];
    const int64_t rows = fl_tensor_rows(x), N = w->dim[0];
    const bool has_bias = c->n_in > 2 && c->in[2].rank;
    for (int64_t n0 = begin * COLS; n0 < least(end * COLS, N); n0 += COLS) {
        const int64_t cols = least(COLS, N - n0);
        float *y = scratch, bias[COLS] = {0};
        if (has_bias) fli_blocks_get(&c->in[2], 0, n0, cols, bias);
        multiply(x, 0, rows, w, n0, cols, y);
        for (int64_t r = 0; r < rows; r++, y += COLS) {
            for (int j = 0; j < COLS; j++) y[j] += bias[j];
            fli_blocks_put(&c->out[0], r, n0, cols, y);
        }
    }
}

static const fl_kernel linear = {.phase = {{linear_tasks, linear_run}},
                                 .supports = product_supports,
                                 .scratch = linear_scratch};

/* ---- linear_dx: a task is DEPTH columns of w ---- */

static int64_t linear_dx_tasks(const fl_call *c) {
    return (c->in[1].dim[1] + DEPTH - 1) / DEPTH;
}

static size_t linear_dx_scratch(const fl_call *c) {
    return (size_t)(fl_tensor_rows(&c->in[0]) * (DEPTH + COLS)) * sizeof(float);
}

static void linear_dx_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *dy = &c->in[0], *w = &c->in[1];
    const int64_t rows = fl_tensor_rows(dy), N = w->dim[0], K = w->dim[1];
    float *dx = scratch, *d = dx + rows * DEPTH, part[DEPTH];
    for (int64_t k0 = begin * DEPTH; k0 < least(end * DEPTH, K); k0 += DEPTH) {
        const int64_t depth = least(DEPTH, K - k0);
        memset(dx, 0, (size_t)(rows * DEPTH) * sizeof *dx);
        for (int64_t n = 0; n < N; n++) {
            const int64_t at = n % COLS, cols = least(COLS, N - n);
            for (int64_t r = 0; at == 0 && r < rows; r++)
                fli_blocks_get(dy, r, n, cols, d + r * COLS);
            fli_blocks_get(w, n, k0, depth, part);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t k = 0; k < depth; k++) dx[r * DEPTH + k] += d[r * COLS + at] * part[k];
        }
        for (int64_t r = 0; r < rows; r++) fli_blocks_put(&c->out[0], r, k0, depth, dx + r * DEPTH);
    }
}

static const fl_kernel linear_dx = {.phase = {{linear_dx_tasks, linear_dx_run}},
                                    .supports = product_supports,
                                    .scratch = linear_dx_scratch};

/* ---- linear_ce: a task is CE_ROWS rows of x, which see all of w ---- */

typedef struct {
    double max, sum, target;  // sum of exp(z - max)
} mass;

static void add_logits(mass *m, const float *z, int64_t cols, double cap, int64_t target) {
    for (int64_t j = 0; j < cols; j++) {
        const double v = cap > 0 ? cap * tanh((double)z[j] / cap) : (double)z[j];
        if (j == target) m->target = v;
        if (v > m->max) {
            m->sum *= exp(m->max - v);
            m->max = v;
        }
        m->sum += exp(v - m->max);
    }
}

static int64_t linear_ce_tasks(const fl_call *c) {
    return (fl_tensor_rows(&c->in[0]) + CE_ROWS - 1) / CE_ROWS;
}

static void linear_ce_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const fl_tensor *x = &c->in[0], *w = &c->in[1];
    const int32_t *target = c->in[2].data;
    const int64_t n = fl_tensor_rows(x), V = w->dim[0];
    for (int64_t r0 = begin * CE_ROWS; r0 < least(end * CE_ROWS, n); r0 += CE_ROWS) {
        const int64_t rows = least(CE_ROWS, n - r0);
        mass m[CE_ROWS];
        float z[CE_ROWS * COLS];
        for (int64_t r = 0; r < rows; r++) m[r] = (mass){.max = -INFINITY};
        for (int64_t v = 0; v < V; v += COLS) {
            const int64_t cols = least(COLS, V - v);
            multiply(x, r0, rows, w, v, cols, z);
            for (int64_t r = 0; r < rows; r++)
                add_logits(&m[r], z + r * COLS, cols, (double)c->attr.softcap, target[r0 + r] - v);
        }
        float *nll = (float *)c->out[0].data + r0;
        for (int64_t r = 0; r < rows; r++)
            nll[r] = target[r0 + r] < 0 ? 0 : (float)(m[r].max + log(m[r].sum) - m[r].target);
    }
}

static const fl_kernel linear_ce = {.phase = {{linear_ce_tasks, linear_ce_run}},
                                    .supports = product_supports};

/* ---- embedding ---- */

static bool embedding_supports(const fl_call *c) {
    return fli_blocks_take(&c->in[1]) && fli_blocks_real(&c->out[0]) &&
           fl_tensor_contiguous(&c->out[0]);
}

static int64_t embedding_tasks(const fl_call *c) {
    return (fl_tensor_count(&c->in[0]) + EMBED_ROWS - 1) / EMBED_ROWS;
}

static void embedding_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const fl_tensor *w = &c->in[1], *y = &c->out[0];
    const int32_t *ids = c->in[0].data;
    const int64_t n = fl_tensor_count(&c->in[0]);
    for (int64_t r = begin * EMBED_ROWS; r < least(end * EMBED_ROWS, n); r++)
        fl_convert(fl_tensor_row(y, r), y->dtype, fl_tensor_row(w, ids[r]), w->dtype,
                   fl_tensor_cols(w));
}

static const fl_kernel embedding = {.phase = {{embedding_tasks, embedding_run}},
                                    .supports = embedding_supports};

static bool available(void) {
    return true;
}

const fl_backend fl_backend_blocks = {
    .name = "blocks",
    .needs = "any CPU",
    .available = available,
    .kernel = {[FL_OP_LINEAR] = &linear,
               [FL_OP_LINEAR_DX] = &linear_dx,
               [FL_OP_LINEAR_CE] = &linear_ce,
               [FL_OP_EXPERT_LINEAR] = &fli_blocks_expert_linear,
               [FL_OP_EXPERT_LINEAR_DX] = &fli_blocks_expert_linear_dx,
               [FL_OP_EMBEDDING] = &embedding},
};
