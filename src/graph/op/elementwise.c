/* elementwise - add, mul, scale, cast, axpby.
 *
 * b of add and mul is a's shape, its trailing dims (a bias, a gain), or one number (1). The
 * gradient of a repeated operand is summed back over the dims it was repeated along. */
#include "graph/rule.h"

static fl_status binary_shape(fl_call *c, const char *op, fl_err *err) {
    FLI_DTYPES(c, 0, op, err);
    const fl_tensor *a = &c->in[0], *b = &c->in[1];
    FLI_WANT(fli_is_trailing(a, b) || fl_tensor_count(b) == 1, c, op,
             "b must have the shape of a, its trailing dims, or (1)", err);
    fli_out_like(c, 0, a, a->dtype);
    return FL_OK;
}

static bool binary_sample(int i, fl_sample *s) {
    const fl_tensor pairs[][2] = {
        {FLI_T(FL_F32, 1), FLI_T(FL_F32, 1)},
        {FLI_T(FL_F32, 7), FLI_T(FL_F32, 7)},
        {FLI_T(FL_F32, 5, 33), FLI_T(FL_F32, 33)},
        {FLI_T(FL_F32, 2, 3, 17), FLI_T(FL_F32, 3, 17)},
        {FLI_T(FL_F32, 67), FLI_T(FL_F32, 1)},
        {FLI_T(FL_F32, 3, 1000), FLI_T(FL_F32, 3, 1000)},
        {FLI_T(FL_F32, 40, 64), FLI_T(FL_F32, 64)},
        {FLI_T(FL_F32, 3, 7001), FLI_T(FL_F32, 7001)},
    };
    if (i >= FLI_COUNT(pairs)) return false;
    *s = (fl_sample){.call = {.n_in = 2, .in = {pairs[i][0], pairs[i][1]}}};
    return true;
}

/* The gradient of in[i], reduced to its shape. */
static fl_val reduced(fl_grad *d, fl_val wide, int i) {
    const fl_tensor *from = &fl_value_get(d->g, wide)->t, *to = &fl_value_get(d->g, d->in[i])->t;
    return fl_tensor_same_shape(from, to) ? wide : fl_sum_to(d->g, wide, to->rank, to->dim);
}

static fl_status add_shape(fl_call *c, fl_err *err) {
    return binary_shape(c, "add", err);
}

static void add_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = d->dout[0];
    if (d->want[1]) d->din[1] = reduced(d, d->dout[0], 1);
}

const fl_op fl_op_add = {
    .name = "add",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = add_shape,
    .grad = add_grad,
    .sample = binary_sample,
    .in_place = {1},
    .mix = {{3, false}, {1, false}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 8000,
};

static fl_status mul_shape(fl_call *c, fl_err *err) {
    return binary_shape(c, "mul", err);
}

static void mul_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_mul(d->g, d->dout[0], d->in[1]);
    if (d->want[1]) d->din[1] = reduced(d, fl_mul(d->g, d->dout[0], d->in[0]), 1);
}

const fl_op fl_op_mul = {
    .name = "mul",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = mul_shape,
    .grad = mul_grad,
    .sample = binary_sample,
    .in_place = {1},
    .mix = {{3, false}, {1, false}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 8000,
};

static bool one_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 31), FLI_T(FL_F32, 4, 257),
                           FLI_T(FL_F32, 20000)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = 1, .in = {x[i]}, .attr = {.scale = -1.25f}}};
    return true;
}

static fl_status scale_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "scale", err);
    fli_out_like(c, 0, &c->in[0], c->in[0].dtype);
    return FL_OK;
}

static void scale_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_scale(d->g, d->dout[0], d->attr->scale);
}

const fl_op fl_op_scale = {
    .name = "scale",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = scale_shape,
    .grad = scale_grad,
    .sample = one_sample,
    .in_place = {1},
    .mix = {{1, false}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 8000,
};

static fl_status cast_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "cast", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, "cast", "attr.dtype must be a float format", err);
    fli_out_like(c, 0, &c->in[0], c->attr.dtype);
    return FL_OK;
}

static void cast_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_cast(d->g, d->dout[0], fl_value_get(d->g, d->in[0])->t.dtype);
}

const fl_op fl_op_cast = {
    .name = "cast",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = cast_shape,
    .grad = cast_grad,
    .sample = one_sample,
    .in_place = {1},
    .accumulates = {true},
    .mix = {{1, false}, {0, true}, {1, true}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 1,  // a conversion has one right answer
};

static fl_status axpby_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "axpby", err);
    FLI_WANT(fl_tensor_same_shape(&c->in[0], &c->in[1]), c, "axpby", "shapes must agree", err);
    fli_out_like(c, 0, &c->in[0], c->in[0].dtype);
    return FL_OK;
}

static void axpby_grad(fl_grad *d) {
    if (d->want[0]) d->din[0] = fl_scale(d->g, d->dout[0], d->attr->alpha);
    if (d->want[1]) d->din[1] = fl_scale(d->g, d->dout[0], d->attr->beta);
}

static bool axpby_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 31), FLI_T(FL_F32, 4, 257)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){
        .call = {.n_in = 2, .in = {x[i], x[i]}, .attr = {.alpha = 3.4445f, .beta = -4.775f}}};
    return true;
}

const fl_op fl_op_axpby = {
    .name = "axpby",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = axpby_shape,
    .grad = axpby_grad,
    .sample = axpby_sample,
    .in_place = {1},
    .mix = {{3, false}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 8000,
};
