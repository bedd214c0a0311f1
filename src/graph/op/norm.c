/* norm - layer_norm and rms_norm over the last dim, and their gradients.
 *
 *   layer_norm  y = (x - mean) rstd w + b,  rstd = 1 / sqrt(var + eps),       stats (rows, 2)
 *   rms_norm    y = x rstd (offset + w),    rstd = 1 / sqrt(mean(x^2) + eps), stats (rows, 1)
 *
 * The stats are mean and rstd, or rstd alone. */
#include "graph/rule.h"

static fl_status norm_shape(fl_call *c, const char *op, int64_t n_stats, fl_err *err) {
    FLI_DTYPES(c, 0, op, err);
    const fl_tensor *x = &c->in[0];
    for (int i = 1; i < c->n_in; i++) {
        if (!fli_present(c, i)) continue;
        FLI_WANT(c->in[i].rank == 1 && c->in[i].dim[0] == fl_tensor_cols(x), c, op,
                 "w and b must have the columns of x", err);
    }
    FLI_WANT(fli_present(c, 1), c, op, "w is missing", err);
    FLI_WANT(c->attr.eps >= 0, c, op, "eps must not be negative", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, op, "the result must be a float format", err);
    fli_out_like(c, 0, x, c->attr.dtype);
    fli_out(c, 1, fli_wide(x->dtype), 2, (int64_t[]){fl_tensor_rows(x), n_stats});
    return FL_OK;
}

static fl_status norm_grad_shape(fl_call *c, const char *op, int64_t n_stats, fl_err *err) {
    FLI_DTYPES(c, 0, op, err);
    const fl_tensor *dy = &c->in[0], *x = &c->in[1], *w = &c->in[2], *stats = &c->in[3];
    FLI_WANT(fl_tensor_same_shape(dy, x), c, op, "dy and x must have one shape", err);
    FLI_WANT(w->rank == 1 && w->dim[0] == fl_tensor_cols(x), c, op, "w must have the columns of x",
             err);
    FLI_WANT(stats->rank == 2 && stats->dim[0] == fl_tensor_rows(x) && stats->dim[1] == n_stats, c,
             op, "stats are not those of x", err);
    fli_out_like(c, 0, x, x->dtype);
    fli_out_like(c, 1, w, fli_wide(x->dtype));
    if (n_stats == 2) fli_out_like(c, 2, w, fli_wide(x->dtype));
    return FL_OK;
}

static const int64_t norm_shapes[][2] = {{1, 1}, {3, 7}, {2, 64}, {5, 129}, {70, 96}, {3, 768}};

static bool norm_sample(int i, int n_in, fl_sample *s) {
    if (i >= FLI_COUNT(norm_shapes)) return false;
    const int64_t rows = norm_shapes[i][0], cols = norm_shapes[i][1];
    const fl_tensor x = FLI_T(FL_F32, rows, cols), w = FLI_T(FL_F32, cols);
    *s = (fl_sample){.call = {.n_in = n_in, .in = {x, w, w}, .attr = {.eps = 1e-5f}}};
    return true;
}

/* Statistics of a gradient sample are drawn from (0.1, 1.1): a plausible mean and 1/std. */
static bool norm_grad_sample(int i, int64_t n_stats, fl_sample *s) {
    if (!norm_sample(i, 4, s)) return false;
    const fl_tensor x = s->call.in[0], w = s->call.in[1];
    s->call.in[1] = x;
    s->call.in[2] = w;
    s->call.in[3] = FLI_T(FL_F32, x.dim[0], n_stats);
    s->positive[3] = true;
    return true;
}

/* The gradient node of either norm: in dy, x, w, stats. */
static fl_val norm_grad_node(fl_grad *d, fl_op_id op) {
    const fl_val in[] = {d->dout[0], d->in[0], d->in[1], d->out[1]};
    return fl_apply(d->g, op, d->attr, 4, in);
}

static fl_status layer_norm_shape(fl_call *c, fl_err *err) {
    return norm_shape(c, "layer_norm", 2, err);
}

static void layer_norm_grad(fl_grad *d) {
    const fl_val all = norm_grad_node(d, FL_OP_LAYER_NORM_GRAD);
    for (int i = 0; i < d->n_in; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, all, i);
    }
}

static bool layer_norm_sample(int i, fl_sample *s) {
    return norm_sample(i, i % 2 ? 2 : 3, s);
}

const fl_op fl_op_layer_norm = {
    .name = "layer_norm",
    .min_in = 2,
    .max_in = 3,
    .n_out = 2,
    .shape = layer_norm_shape,
    .grad = layer_norm_grad,
    .sample = layer_norm_sample,
    .mix = {{0, true}, {1, true}, {1, false}},
    .tolerance_ppm = 20,
    .tolerance_bf16_ppm = 8000,
};

static fl_status layer_norm_grad_shape(fl_call *c, fl_err *err) {
    return norm_grad_shape(c, "layer_norm_grad", 2, err);
}

static bool layer_norm_grad_sample(int i, fl_sample *s) {
    return norm_grad_sample(i, 2, s);
}

const fl_op fl_op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .min_in = 4,
    .max_in = 4,
    .n_out = 3,
    .shape = layer_norm_grad_shape,
    .sample = layer_norm_grad_sample,
    .accumulates = {false, true, true},
    .mix = {{1, false}, {3, false}},
    .tolerance_ppm = 20,
    .tolerance_bf16_ppm = 8000,
};

static fl_status rms_norm_shape(fl_call *c, fl_err *err) {
    return norm_shape(c, "rms_norm", 1, err);
}

static void rms_norm_grad(fl_grad *d) {
    const fl_val all = norm_grad_node(d, FL_OP_RMS_NORM_GRAD);
    for (int i = 0; i < 2; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, all, i);
    }
}

static bool rms_norm_sample(int i, fl_sample *s) {
    bool more = norm_sample(i, 2, s);
    if (i % 2) s->call.attr.offset = 1;
    return more;
}

const fl_op fl_op_rms_norm = {
    .name = "rms_norm",
    .min_in = 2,
    .max_in = 2,
    .n_out = 2,
    .shape = rms_norm_shape,
    .grad = rms_norm_grad,
    .sample = rms_norm_sample,
    .mix = {{0, true}, {1, true}, {1, false}},
    .tolerance_ppm = 20,
    .tolerance_bf16_ppm = 8000,
};

static fl_status rms_norm_grad_shape(fl_call *c, fl_err *err) {
    return norm_grad_shape(c, "rms_norm_grad", 1, err);
}

static bool rms_norm_grad_sample(int i, fl_sample *s) {
    bool more = norm_grad_sample(i, 1, s);
    if (i % 2) s->call.attr.offset = 1;
    return more;
}

const fl_op fl_op_rms_norm_grad = {
    .name = "rms_norm_grad",
    .min_in = 4,
    .max_in = 4,
    .n_out = 2,
    .shape = rms_norm_grad_shape,
    .sample = rms_norm_grad_sample,
    .accumulates = {false, true},
    .mix = {{1, false}, {3, false}},
    .tolerance_ppm = 20,
    .tolerance_bf16_ppm = 8000,
};
