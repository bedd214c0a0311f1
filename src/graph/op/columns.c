/* columns - slice takes some columns of x, pad puts x among zeros: each is the other's gradient. */
#include "graph/rule.h"

enum { AT, WIDTH };  // of attr.dim

static fl_status with_width(fl_call *c) {
    fl_tensor y = c->in[0];
    y.dim[y.rank - 1] = c->attr.dim[WIDTH];
    fli_out_like(c, 0, &y, y.dtype);
    return FL_OK;
}

static fl_status slice_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "slice", err);
    const int64_t at = c->attr.dim[AT], n = c->attr.dim[WIDTH], C = fl_tensor_cols(&c->in[0]);
    FLI_WANT(at >= 0 && n > 0 && n <= C && at <= C - n, c, "slice",
             "the columns must be those of x", err);
    return with_width(c);
}

static fl_status pad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "pad", err);
    const int64_t at = c->attr.dim[AT], width = c->attr.dim[WIDTH], n = fl_tensor_cols(&c->in[0]);
    FLI_WANT(at >= 0 && n <= width && at <= width - n, c, "pad", "x must fit into the columns",
             err);
    return with_width(c);
}

static int64_t cols_of_input(const fl_grad *d) {
    return fl_tensor_cols(&fl_value_get(d->g, d->in[0])->t);
}

static void slice_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_pad(d->g, d->dout[0], d->attr->dim[AT], cols_of_input(d));
}

static void pad_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_slice(d->g, d->dout[0], d->attr->dim[AT], cols_of_input(d));
}

/* rows, columns of the narrow one, where it begins, columns of the wide one */
static const int64_t cases[][4] = {{1, 1, 0, 1},
                                   {5, 3, 2, 9},
                                   {7, 17, 0, 40},
                                   {3, 1300, 100, 1400},
                                   {900, 16, 32, 48}};

static bool columns_sample(int i, fl_sample *s, int from, int to) {
    if (i >= FLI_COUNT(cases)) return false;
    *s = (fl_sample){.call = {.n_in = 1,
                              .in = {FLI_T(FL_F32, cases[i][0], cases[i][from])},
                              .attr = {.dim = {cases[i][2], cases[i][to]}}}};
    return true;
}

static bool slice_sample(int i, fl_sample *s) {
    return columns_sample(i, s, 3, 1);
}

static bool pad_sample(int i, fl_sample *s) {
    return columns_sample(i, s, 1, 3);
}

const fl_op fl_op_slice = {
    .name = "slice",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = slice_shape,
    .grad = slice_grad,
    .sample = slice_sample,
    .mix = {{1, false}},
};

const fl_op fl_op_pad = {
    .name = "pad",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = pad_shape,
    .grad = pad_grad,
    .sample = pad_sample,
    .mix = {{1, false}},
};
