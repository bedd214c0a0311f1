/* combine - the weighted sum over the choices of a row, and the way back.
 *
 * An element is summed in the order of the choices, whatever the vector length. */
#include "backend/cpu/isa/flow.h"

/* x is (.., k, C): k, and the rows (.., C) of a task. */
static int64_t choices(const fl_tensor *x) {
    return x->dim[x->rank - 2];
}

static int64_t rows_of_task(const fl_tensor *x) {
    return flow_rows(fl_tensor_cols(x) * choices(x));
}

static int64_t combine_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->out[0]), rows_of_task(&c->in[0]));
}

static const float *weights_of(const fl_call *c, int in) {
    return c->n_in > in && c->in[in].rank ? c->in[in].data : NULL;
}

static bool weights_are_f32(const fl_call *c, int in) {
    return c->n_in <= in || !c->in[in].rank || c->in[in].dtype == FL_F32;
}

static void combine_row(const fl_call *c, int64_t row, float *room) {
    const fl_tensor *x = &c->in[0], *y = &c->out[0];
    const float *weight = weights_of(c, 1);
    int64_t C = fl_tensor_cols(x), k = choices(x);
    for (int64_t at = 0, n; at < C; at += n) {
        n = min_i64(FL_CHUNK, C - at);
        float *out = flow_out(y, row * C + at, room);
        for (int64_t slot = row * k; slot < (row + 1) * k; slot++) {
            const float *in = flow_in(x, slot * C + at, n, room + FL_CHUNK);
            vf w = v_set(weight ? weight[slot] : 1.0f);
            FL_EACH(i, n) {
                vf before = slot == row * k ? v_set(0.0f) : v_get(out, i, n);
                v_put(out, i, n, v_fma(w, v_get(in, i, n), before));
            }
        }
        flow_done(y, row * C + at, n, out);
    }
}

static void combine_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    int64_t per = rows_of_task(&c->in[0]), rows = fl_tensor_rows(&c->out[0]);
    for (int64_t row = begin * per; row < min_i64(end * per, rows); row++)
        combine_row(c, row, scratch);
}

static bool combine_supports(const fl_call *c) {
    return weights_are_f32(c, 1) && flow_floats(c);
}

const fl_kernel FL_ISA_NAME(fl_kernel_combine) = {.phase = {{combine_tasks, combine_run}},
                                                  .supports = combine_supports,
                                                  .scratch = flow_scratch};

/* One slot: dx = weight dy, dweight = dy . x */
static void slot_grad(const fl_call *c, int64_t slot, int64_t row, float weight, float *room) {
    const fl_tensor *dy = &c->in[0], *x = &c->in[1], *dx = &c->out[0];
    int64_t C = fl_tensor_cols(x);
    vf sum = {0};
    for (int64_t at = 0, n; at < C; at += n) {
        n = min_i64(FL_CHUNK, C - at);
        const float *d = flow_in(dy, row * C + at, n, room);
        const float *in = flow_in(x, slot * C + at, n, room + FL_CHUNK);
        float *out = dx->rank ? flow_out(dx, slot * C + at, room + 2 * FL_CHUNK) : NULL;
        FL_EACH(i, n) {
            vf v = v_get(d, i, n);
            sum = v_fma(v, v_get(in, i, n), sum);
            if (out) v_put(out, i, n, v_set(weight) * v);
        }
        if (out) flow_done(dx, slot * C + at, n, out);
    }
    if (c->out[1].rank) ((float *)c->out[1].data)[slot] = v_sum(sum);
}

static int64_t combine_grad_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->in[0]), rows_of_task(&c->in[1]));
}

static void combine_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const float *weight = weights_of(c, 2);
    int64_t k = choices(&c->in[1]), per = k * rows_of_task(&c->in[1]),
            slots = fl_tensor_rows(&c->in[1]);
    for (int64_t slot = begin * per; slot < min_i64(end * per, slots); slot++) {
        slot_grad(c, slot, slot / k, weight ? weight[slot] : 1.0f, scratch);
    }
}

static bool combine_grad_supports(const fl_call *c) {
    return weights_are_f32(c, 2) && flow_floats(c);
}

const fl_kernel FL_ISA_NAME(fl_kernel_combine_grad) = {.phase = {{combine_grad_tasks,
                                                                  combine_grad_run}},
                                                       .supports = combine_grad_supports,
                                                       .scratch = flow_scratch};
