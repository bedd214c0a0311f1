/* softmax - over the last dimension, one row at a time in cache. */
#include "backend/cpu/isa/softmax.h"

static int64_t softmax_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->out[0]), flow_rows(fl_tensor_cols(&c->out[0])));
}

static size_t softmax_scratch(const fl_call *c) {
    return (size_t)(2 * (fl_tensor_cols(&c->out[0]) + 16)) * sizeof(float);
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
