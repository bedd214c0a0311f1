/* norm - layer_norm and rms_norm, and their gradients.
 *
 * One body serves both: rms_norm is layer_norm whose mean is 0. With xh = (x - mean) * inv and g =
 * dy * w:
 *     dx = inv * (g - mean(g) - xh * mean(g * xh))       (rms_norm: without mean(g))
 *     dw = sum over rows of dy * xh,   db = sum over rows of dy
 * The gradient reads each row once from memory: sums and dw, db while it enters the cache, dx while
 * it is there. dw and db are added per block of rows into the workspace; a second phase adds the
 * blocks in order. */
#include "backend/cpu/isa/flow.h"

enum { BLOCK_ROWS = 32, MAX_BLOCKS = 256, COLS = 256 };

typedef struct {
    float mean, inv;  // inv: 1 / standard deviation, or 1 / root mean square
} stats;

static int64_t cols_of(const fl_tensor *x) {
    return fl_tensor_cols(x);
}

/* Room for `rows` rows of C floats, each on its own cache line. */
static size_t row_bytes(int64_t cols, int64_t rows) {
    return (size_t)(rows * ceil_div(cols, 16) * 16) * sizeof(float);
}

/* offset + w, made once for many rows. */
static const float *gain_of(const fl_call *c, const fl_tensor *w, int64_t C, float *room) {
    const float *in = flow_in(w, 0, C, room);
    if (c->attr.offset == 0) return in;
    FL_EACH(i, C) v_put(room, i, C, v_get(in, i, C) + v_set(c->attr.offset));
    return room;
}

static float sum_of(const float *x, int64_t n) {
    vf a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * FL_LANES <= n; i += 2 * FL_LANES) {
        a += v_load(x + i);
        b += v_load(x + i + FL_LANES);
    }
    for (; i < n; i += FL_LANES) a += v_get(x, i, n);
    return v_sum(a + b);
}

/* Sum of (x - mean)^2; the lanes past the end are kept out of it. */
static float sum_squares_of(const float *x, int64_t n, float mean) {
    vf a = {0}, b = {0}, m = v_set(mean);
    int64_t i = 0;
    for (; i + 2 * FL_LANES <= n; i += 2 * FL_LANES) {
        vf u = v_load(x + i) - m, v = v_load(x + i + FL_LANES) - m;
        a = v_fma(u, u, a);
        b = v_fma(v, v, b);
    }
    for (; i + FL_LANES <= n; i += FL_LANES) {
        vf u = v_load(x + i) - m;
        a = v_fma(u, u, a);
    }
    float sum = v_sum(a + b);
    for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

/* ---- forward ---- */

static int64_t norm_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->in[0]), flow_rows(cols_of(&c->in[0])));
}

static size_t norm_scratch(const fl_call *c) {
    return row_bytes(cols_of(&c->in[0]), 4);
}

FL_INLINE void norm_run(const fl_call *c, int64_t begin, int64_t end, float *room,
                        const bool centred) {
    const fl_tensor *x = &c->in[0], *y = &c->out[0], *st = &c->out[1];
    bool biased = centred && c->n_in > 2 && c->in[2].rank;
    int64_t C = cols_of(x), rows = fl_tensor_rows(x), per = flow_rows(C);
    int64_t row = (int64_t)(row_bytes(C, 1) / sizeof *room);
    const float *w = gain_of(c, &c->in[1], C, room);
    const float *bias = biased ? flow_in(&c->in[2], 0, C, room + row) : NULL;
    for (int64_t r = begin * per; r < min_i64(end * per, rows); r++) {
        const float *in = flow_in(x, r * C, C, room + 2 * row);
        float *out = flow_out(y, r * C, room + 3 * row);
        stats s = {.mean = centred ? sum_of(in, C) / (float)C : 0};
        s.inv = 1.0f / sqrtf(sum_squares_of(in, C, s.mean) / (float)C + c->attr.eps);
        vf shift = v_set(-s.mean * s.inv), inv = v_set(s.inv);
        FL_EACH(i, C) {
            vf xh = v_fma(v_get(in, i, C), inv, shift);
            vf v = biased ? v_fma(xh, v_get(w, i, C), v_get(bias, i, C)) : xh * v_get(w, i, C);
            v_put(out, i, C, v);
        }
        flow_done(y, r * C, C, out);
        if (!st->rank) continue;
        float *to = (float *)st->data + r * (centred ? 2 : 1);
        if (centred) *to++ = s.mean;
        *to = s.inv;
    }
}

static void layer_norm_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    norm_run(c, begin, end, scratch, true);
}

static void rms_norm_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    norm_run(c, begin, end, scratch, false);
}

const fl_kernel FL_ISA_NAME(fl_kernel_layer_norm) = {.phase = {{norm_tasks, layer_norm_run}},
                                                     .supports = flow_floats,
                                                     .scratch = norm_scratch};
const fl_kernel FL_ISA_NAME(fl_kernel_rms_norm) = {.phase = {{norm_tasks, rms_norm_run}},
                                                   .supports = flow_floats,
                                                   .scratch = norm_scratch};

/* ---- gradient ---- */

static int64_t block_rows(const fl_call *c) {
    return max_i64(BLOCK_ROWS, ceil_div(fl_tensor_rows(&c->in[1]), MAX_BLOCKS));
}

static int64_t grad_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->in[1]), block_rows(c));
}

static size_t grad_scratch(const fl_call *c) {
    return row_bytes(cols_of(&c->in[1]), 4);
}

static size_t grad_workspace(const fl_call *c) {
    return (size_t)grad_tasks(c) * row_bytes(cols_of(&c->in[1]), 2);
}

/* One row: adds to dw and db, writes dx. */
FL_INLINE void grad_row(const float *dy, const float *x, const float *w, stats s, int64_t C,
                        float *dw, float *db, float *dx, const bool centred)  // lint: allow args
{
    vf sum_g = {0}, sum_gx = {0}, inv = v_set(s.inv), shift = v_set(-s.mean * s.inv);
    FL_EACH(i, C) {
        vf d = v_get(dy, i, C), xh = v_fma(v_get(x, i, C), inv, shift);
        vf g = d * v_get(w, i, C);
        sum_gx = v_fma(g, xh, sum_gx);  // lanes past the end hold g = 0
        v_put(dw, i, C, v_fma(d, xh, v_get(dw, i, C)));
        if (!centred) continue;
        sum_g += g;
        v_put(db, i, C, d + v_get(db, i, C));
    }
    if (!dx) return;
    vf mean_g = v_set(centred ? -v_sum(sum_g) / (float)C : 0),
       mean_gx = v_set(-v_sum(sum_gx) / (float)C);
    FL_EACH(i, C) {
        vf xh = v_fma(v_get(x, i, C), inv, shift);
        vf g = v_fma(v_get(dy, i, C), v_get(w, i, C), mean_g);
        v_put(dx, i, C, inv * v_fma(xh, mean_gx, g));
    }
}

FL_INLINE void grad_run(const fl_call *c, int64_t begin, int64_t end, float *room,
                        const bool centred) {
    const fl_tensor *dy = &c->in[0], *x = &c->in[1], *dx = &c->out[0];
    const float *st = c->in[3].data;
    int64_t C = cols_of(x), rows = fl_tensor_rows(x), per = block_rows(c);
    int64_t row = (int64_t)(row_bytes(C, 1) / sizeof *room);
    const float *w = gain_of(c, &c->in[2], C, room);
    for (int64_t b = begin; b < end; b++) {
        float *dw = (float *)c->workspace + 2 * b * row, *db = dw + row;
        memset(dw, 0, row_bytes(C, 2));
        for (int64_t r = b * per; r < min_i64((b + 1) * per, rows); r++) {
            stats s = centred ? (stats){st[2 * r], st[2 * r + 1]} : (stats){0, st[r]};
            const float *d = flow_in(dy, r * C, C, room + row),
                        *in = flow_in(x, r * C, C, room + 2 * row);
            float *out = dx->rank ? flow_out(dx, r * C, room + 3 * row) : NULL;
            grad_row(d, in, w, s, C, dw, db, out, centred);
            if (out) flow_done(dx, r * C, C, out);
        }
    }
}

static void layer_norm_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    grad_run(c, begin, end, scratch, true);
}

static void rms_norm_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    grad_run(c, begin, end, scratch, false);
}

static int64_t finish_tasks(const fl_call *c) {
    return ceil_div(cols_of(&c->in[1]), COLS);
}

static void grad_finish(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    int64_t C = cols_of(&c->in[1]), blocks = grad_tasks(c), stop = min_i64(end * COLS, C);
    int64_t row = (int64_t)(row_bytes(C, 1) / sizeof(float));
    for (int k = 1; k < c->n_out; k++) {
        if (!c->out[k].rank) continue;
        const float *part = (const float *)c->workspace + (k - 1) * row;
        float *sum = c->out[k].data;
        for (int64_t i = begin * COLS; i < stop; i += FL_LANES) {
            vf s = c->attr.accumulate ? v_get(sum, i, stop) : v_set(0.0f);
            for (int64_t b = 0; b < blocks; b++) s += v_get(part + 2 * b * row, i, stop);
            v_put(sum, i, stop, s);
        }
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_layer_norm_grad) = {.phase = {{grad_tasks,
                                                                     layer_norm_grad_run},
                                                                    {finish_tasks, grad_finish}},
                                                          .supports = flow_floats,
                                                          .scratch = grad_scratch,
                                                          .workspace = grad_workspace};
const fl_kernel FL_ISA_NAME(fl_kernel_rms_norm_grad) = {.phase = {{grad_tasks, rms_norm_grad_run},
                                                                  {finish_tasks, grad_finish}},
                                                        .supports = flow_floats,
                                                        .scratch = grad_scratch,
                                                        .workspace = grad_workspace};
