/* combine - the results of the chosen experts added up, each times its weight, in the order they
 * were chosen. Without weights it is a sum over the last dim but one. */
#include "graph/rule.h"

/* x (.., k, C) -> (.., C) */
static fl_tensor without_choices(const fl_tensor *x) {
    int64_t dim[FL_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 2] = fl_tensor_cols(x);
    return fl_tensor_of(NULL, x->dtype, x->rank - 1, dim);
}

static bool weighs(const fl_tensor *weights, const fl_tensor *x) {
    return fl_tensor_count(weights) == fl_tensor_rows(x) &&
           fl_tensor_cols(weights) == x->dim[x->rank - 2];
}

static fl_status combine_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "combine", err);
    const fl_tensor *x = &c->in[0];
    FLI_WANT(x->rank >= 2, c, "combine", "x must be (.., k, C)", err);
    FLI_WANT(!fli_present(c, 1) || weighs(&c->in[1], x), c, "combine", "weights must be (.., k)",
             err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, "combine", "the result must be a float format", err);
    const fl_tensor y = without_choices(x);
    fli_out_like(c, 0, &y, c->attr.dtype);
    return FL_OK;
}

static void combine_grad(fl_grad *d) {
    if (!d->want[0] && !(d->n_in > 1 && d->want[1])) return;
    const fl_val in[] = {d->dout[0], d->in[0], d->n_in > 1 ? d->in[1] : FL_NONE};
    const fl_val both = fl_apply(d->g, FL_OP_COMBINE_GRAD, &(fl_attr){0}, 3, in);
    for (int i = 0; i < d->n_in; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, both, i);
    }
}

static bool combine_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1, 1, 1), FLI_T(FL_F32, 5, 2, 7),
                           FLI_T(FL_F32, 2, 3, 4, 33), FLI_T(FL_F32, 9, 3, 130),
                           FLI_T(FL_F32, 300, 8, 96)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = i == 3 ? 1 : 2, .in = {x[i], x[i]}}};
    s->call.in[1] = fl_tensor_of(NULL, FL_F32, x[i].rank - 1, x[i].dim);
    return true;
}

const fl_op fl_op_combine = {
    .name = "combine",
    .min_in = 1,
    .max_in = 2,
    .n_out = 1,
    .shape = combine_shape,
    .grad = combine_grad,
    .sample = combine_sample,
    .mix = {{1, true}, {1, false}},
    .tolerance_ppm = 3,
    .tolerance_bf16_ppm = 8000,
};

static fl_status combine_grad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "combine_grad", err);
    const fl_tensor *dy = &c->in[0], *x = &c->in[1], *weights = &c->in[2];
    FLI_WANT(x->rank >= 2 && (!fli_present(c, 2) || weighs(weights, x)), c, "combine_grad",
             "x must be (.., k, C) and weights (.., k)", err);
    const fl_tensor y = without_choices(x);
    FLI_WANT(fl_tensor_same_shape(dy, &y), c, "combine_grad", "dy must be (.., C)", err);
    fli_out_like(c, 0, x, x->dtype);
    fli_out(c, 1, fli_wide(x->dtype), x->rank - 1, x->dim);
    return FL_OK;
}

static bool combine_grad_sample(int i, fl_sample *s) {
    if (!combine_sample(i, s)) return false;
    fl_call *c = &s->call;
    const fl_tensor x = c->in[0], weights = c->in[1];
    c->n_in++;
    c->in[0] = without_choices(&x);
    c->in[1] = x;
    c->in[2] = weights;
    return true;
}

const fl_op fl_op_combine_grad = {
    .name = "combine_grad",
    .min_in = 2,
    .max_in = 3,
    .n_out = 2,
    .shape = combine_grad_shape,
    .sample = combine_grad_sample,
    .mix = {{3, false}, {2, false}},
    .tolerance_ppm = 5,
    .tolerance_bf16_ppm = 8000,
};
