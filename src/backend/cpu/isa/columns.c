/* columns - slice and pad: rows copied, whatever their format. */
#include "backend/cpu/isa/flow.h"

static int64_t rows_of_task(const fl_call *c) {
    return flow_rows(max_i64(fl_tensor_cols(&c->in[0]), fl_tensor_cols(&c->out[0])));
}

static int64_t columns_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->in[0]), rows_of_task(c));
}

static void slice_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const size_t es = fl_dtype_bytes(c->in[0].dtype);
    const int64_t C = fl_tensor_cols(&c->in[0]), n = fl_tensor_cols(&c->out[0]);
    const int64_t per = rows_of_task(c), rows = fl_tensor_rows(&c->in[0]), at = c->attr.dim[0];
    for (int64_t r = begin * per; r < min_i64(end * per, rows); r++) {
        memcpy((char *)c->out[0].data + (size_t)(r * n) * es,
               (const char *)c->in[0].data + (size_t)(r * C + at) * es, (size_t)n * es);
    }
}

static void pad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    const size_t es = fl_dtype_bytes(c->in[0].dtype);
    const int64_t n = fl_tensor_cols(&c->in[0]), C = fl_tensor_cols(&c->out[0]);
    const int64_t per = rows_of_task(c), rows = fl_tensor_rows(&c->in[0]), at = c->attr.dim[0];
    for (int64_t r = begin * per; r < min_i64(end * per, rows); r++) {
        char *to = (char *)c->out[0].data + (size_t)(r * C) * es;
        memset(to, 0, (size_t)at * es);
        memcpy(to + (size_t)at * es, (const char *)c->in[0].data + (size_t)(r * n) * es,
               (size_t)n * es);
        memset(to + (size_t)(at + n) * es, 0, (size_t)(C - at - n) * es);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_slice) = {.phase = {{columns_tasks, slice_run}},
                                                .supports = flow_floats};
const fl_kernel FL_ISA_NAME(fl_kernel_pad) = {.phase = {{columns_tasks, pad_run}},
                                              .supports = flow_floats};
