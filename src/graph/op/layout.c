/* layout - reshape, sum_to, broadcast: the same numbers seen or repeated in another shape. */
#include "graph/rule.h"

static fl_status attr_shape(fl_call *c, const char *op, fl_err *err) {
    FLI_WANT(c->attr.rank >= 1 && c->attr.rank <= FL_MAX_RANK, c, op, "wanted rank must be 1 to 4",
             err);
    for (int i = 0; i < c->attr.rank; i++) {
        FLI_WANT(c->attr.dim[i] > 0, c, op, "wanted dims must be positive", err);
    }
    fli_out(c, 0, c->in[0].dtype, c->attr.rank, c->attr.dim);
    return FL_OK;
}

/* A gradient takes the shape of the input. */
static const fl_tensor *input_shape(const fl_grad *d) {
    return &fl_value_get(d->g, d->in[0])->t;
}

static void attr_of(fl_sample *s, fl_tensor wanted) {
    s->call.attr.rank = wanted.rank;
    for (int i = 0; i < wanted.rank; i++) s->call.attr.dim[i] = wanted.dim[i];
}

static bool pair_sample(fl_sample *s, fl_tensor from, fl_tensor to) {
    *s = (fl_sample){.call = {.n_in = 1, .in = {from}}};
    attr_of(s, to);
    return true;
}

static fl_status reshape_shape(fl_call *c, fl_err *err) {
    FL_TRY(attr_shape(c, "reshape", err));
    FLI_WANT(fl_tensor_count(&c->in[0]) == fl_tensor_count(&c->out[0]), c, "reshape",
             "the wanted shape has another number of elements", err);
    return FL_OK;
}

static void reshape_grad(fl_grad *d) {
    const fl_tensor *x = input_shape(d);
    if (d->want[0]) d->din[0] = fl_reshape(d->g, d->dout[0], x->rank, x->dim);
}

static bool reshape_sample(int i, fl_sample *s) {
    return i == 0 && pair_sample(s, FLI_T(FL_F32, 6, 4), FLI_T(FL_F32, 2, 3, 4));
}

const fl_op fl_op_reshape = {
    .name = "reshape",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .view = true,
    .shape = reshape_shape,
    .grad = reshape_grad,
    .sample = reshape_sample,
};

static fl_status sum_to_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "sum_to", err);
    FL_TRY(attr_shape(c, "sum_to", err));
    FLI_WANT(fli_is_trailing(&c->in[0], &c->out[0]) || fl_tensor_count(&c->out[0]) == 1, c,
             "sum_to", "the wanted shape must be the trailing dims of x, or (1)", err);
    c->out[0].dtype = fli_wide(c->in[0].dtype);
    return FL_OK;
}

static void sum_to_grad(fl_grad *d) {
    const fl_tensor *x = input_shape(d);
    if (d->want[0]) d->din[0] = fl_broadcast(d->g, d->dout[0], x->rank, x->dim);
}

static bool sum_to_sample(int i, fl_sample *s) {
    switch (i) {
    case 0: return pair_sample(s, FLI_T(FL_F32, 1), FLI_T(FL_F32, 1));
    case 1: return pair_sample(s, FLI_T(FL_F32, 5, 7), FLI_T(FL_F32, 7));
    case 2: return pair_sample(s, FLI_T(FL_F32, 2, 3, 33), FLI_T(FL_F32, 3, 33));
    case 3: return pair_sample(s, FLI_T(FL_F32, 9, 130), FLI_T(FL_F32, 1));
    case 4: return pair_sample(s, FLI_T(FL_F32, 300, 96), FLI_T(FL_F32, 96));
    case 5: return pair_sample(s, FLI_T(FL_F32, 20000), FLI_T(FL_F32, 1));
    default: return false;
    }
}

const fl_op fl_op_sum_to = {
    .name = "sum_to",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = sum_to_shape,
    .grad = sum_to_grad,
    .sample = sum_to_sample,
    .accumulates = {true},
    .mix = {{1, false}},
    .tolerance_ppm = 20,
    .tolerance_bf16_ppm = 20,
};

static fl_status broadcast_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "broadcast", err);
    FL_TRY(attr_shape(c, "broadcast", err));
    FLI_WANT(fli_is_trailing(&c->out[0], &c->in[0]) || fl_tensor_count(&c->in[0]) == 1, c,
             "broadcast", "x must be the trailing dims of the wanted shape, or (1)", err);
    return FL_OK;
}

static void broadcast_grad(fl_grad *d) {
    const fl_tensor *x = input_shape(d);
    if (d->want[0]) d->din[0] = fl_sum_to(d->g, d->dout[0], x->rank, x->dim);
}

static bool broadcast_sample(int i, fl_sample *s) {
    switch (i) {
    case 0: return pair_sample(s, FLI_T(FL_F32, 1), FLI_T(FL_F32, 5, 3));
    case 1: return pair_sample(s, FLI_T(FL_F32, 7), FLI_T(FL_F32, 4, 7));
    case 2: return pair_sample(s, FLI_T(FL_F32, 3, 33), FLI_T(FL_F32, 2, 3, 33));
    default: return false;
    }
}

const fl_op fl_op_broadcast = {
    .name = "broadcast",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = broadcast_shape,
    .grad = broadcast_grad,
    .sample = broadcast_sample,
    .mix = {{1, false}},
};
