/* unary - f(x), and gated: f(gate) * up, for the functions of FL_UNARY_LIST. */
#include "graph/rule.h"

static bool has_cap(fl_unary f) {
    return f == FL_UNARY_SOFTCAP || f == FL_UNARY_CLIPPED_GELU_QUICK ||
           f == FL_UNARY_CLIPPED_PLUS_ONE;
}

static fl_status like_shape(fl_call *c, const char *op, int n_out, fl_err *err) {
    FLI_DTYPES(c, 0, op, err);
    for (int i = 1; i < c->n_in; i++) {
        FLI_WANT(fl_tensor_same_shape(&c->in[0], &c->in[i]), c, op, "shapes must agree", err);
    }
    FLI_WANT((unsigned)c->attr.unary < FL_UNARY_COUNT, c, op, "unknown function", err);
    FLI_WANT(!has_cap(c->attr.unary) || c->attr.softcap > 0, c, op, "softcap needs a positive cap",
             err);
    for (int k = 0; k < n_out; k++) fli_out_like(c, k, &c->in[k], c->in[k].dtype);
    return FL_OK;
}

/* Every function at two lengths, neither a multiple of a vector; one function at many tasks. */
static bool function_sample(int i, int n_in, fl_sample *s) {
    if (i > 2 * FL_UNARY_COUNT) return false;
    const bool many = i == 2 * FL_UNARY_COUNT;
    const fl_unary f = many ? FL_UNARY_SILU : (fl_unary)(i / 2);
    const fl_tensor x = many    ? FLI_T(FL_F32, 40009)
                        : i % 2 ? FLI_T(FL_F32, 3, 77)
                                : FLI_T(FL_F32, 5);
    *s = (fl_sample){.call = {.n_in = n_in, .in = {x, x, x}, .attr = {.unary = f}}};
    if (has_cap(f)) s->call.attr.softcap = 0.7f;  // some numbers lie beyond it
    s->positive[0] = f == FL_UNARY_LOG;
    return true;
}

static fl_status unary_shape(fl_call *c, fl_err *err) {
    return like_shape(c, "unary", 1, err);
}

static void unary_grad(fl_grad *d) {
    const fl_val in[] = {d->in[0], d->dout[0]};
    if (d->want[0]) d->din[0] = fl_apply(d->g, FL_OP_UNARY_GRAD, d->attr, 2, in);
}

static bool unary_sample(int i, fl_sample *s) {
    return function_sample(i, 1, s);
}

const fl_op fl_op_unary = {
    .name = "unary",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = unary_shape,
    .grad = unary_grad,
    .sample = unary_sample,
    .in_place = {1},
    .mix = {{1, false}},
    .tolerance_ppm = 3,
    .tolerance_bf16_ppm = 8000,
};

static fl_status unary_grad_shape(fl_call *c, fl_err *err) {
    return like_shape(c, "unary_grad", 1, err);
}

static bool unary_grad_sample(int i, fl_sample *s) {
    return function_sample(i, 2, s);
}

const fl_op fl_op_unary_grad = {
    .name = "unary_grad",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = unary_grad_shape,
    .sample = unary_grad_sample,
    .in_place = {2},
    .mix = {{3, false}},
    .tolerance_ppm = 5,
    .tolerance_bf16_ppm = 8000,
};

static fl_status gated_shape(fl_call *c, fl_err *err) {
    return like_shape(c, "gated", 1, err);
}

static void gated_grad(fl_grad *d) {
    if (!d->want[0] && !d->want[1]) return;
    const fl_val in[] = {d->in[0], d->in[1], d->dout[0]};
    const fl_val both = fl_apply(d->g, FL_OP_GATED_GRAD, d->attr, 3, in);
    for (int i = 0; i < 2; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, both, i);
    }
}

static bool gated_sample(int i, fl_sample *s) {
    return function_sample(i, 2, s);
}

const fl_op fl_op_gated = {
    .name = "gated",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = gated_shape,
    .grad = gated_grad,
    .sample = gated_sample,
    .in_place = {1},
    .mix = {{3, false}},
    .tolerance_ppm = 3,
    .tolerance_bf16_ppm = 8000,
};

static fl_status gated_grad_shape(fl_call *c, fl_err *err) {
    return like_shape(c, "gated_grad", 2, err);
}

static bool gated_grad_sample(int i, fl_sample *s) {
    return function_sample(i, 3, s);
}

const fl_op fl_op_gated_grad = {
    .name = "gated_grad",
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .shape = gated_grad_shape,
    .sample = gated_grad_sample,
    .in_place = {1, 2},
    .mix = {{7, false}},
    .tolerance_ppm = 5,
    .tolerance_bf16_ppm = 8000,
};
