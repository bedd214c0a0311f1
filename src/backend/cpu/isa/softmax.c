/* softmax - over the last dimension, one row at a time in cache. */
#include "backend/cpu/isa/flow.h"
#include "backend/cpu/isa/math.h"

static int64_t softmax_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->out[0]), flow_rows(fl_tensor_cols(&c->out[0])));
}

static size_t softmax_scratch(const fl_call *c) {
    return (size_t)(2 * (fl_tensor_cols(&c->out[0]) + 16)) * sizeof(float);
}

static float largest(const float *x, int64_t n) {
    float most = x[0];
    int64_t i = 0;
    if (n >= FL_LANES) {
        vf m = v_load(x);
        for (i = FL_LANES; i + FL_LANES <= n; i += FL_LANES) m = v_max(m, v_load(x + i));
        most = v_max_all(m);
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static void softmax_row(float *y, const float *x, int64_t n) {
    vf most = v_set(largest(x, n)), sum = {0};
    int64_t i = 0;
    for (; i + FL_LANES <= n; i += FL_LANES) {
        vf e = v_exp(v_load(x + i) - most);
        sum += e;
        v_store(y + i, e);
    }
    float total = v_sum(sum);
    if (i < n) v_store_n(y + i, v_exp(v_load_n(x + i, n - i) - most), n - i);
    for (; i < n; i++) total += y[i];
    vf scale = v_set(1.0f / total);
    FL_EACH(j, n) v_put(y, j, n, scale * v_get(y, j, n));
}

static void softmax_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *x = &c->in[0], *y = &c->out[0];
    int64_t C = fl_tensor_cols(x), rows = fl_tensor_rows(x), per = flow_rows(C);
    float *room = scratch;
    for (int64_t r = begin * per; r < min_i64(end * per, rows); r++) {
        float *out = flow_out(y, r * C, room + C);
        softmax_row(out, flow_in(x, r * C, C, room), C);
        flow_done(y, r * C, C, out);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_softmax) = {.phase = {{softmax_tasks, softmax_run}},
                                                  .supports = flow_floats,
                                                  .scratch = softmax_scratch};
