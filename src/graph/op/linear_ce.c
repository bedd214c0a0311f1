/* linear_ce - cross-entropy of softmax(x w^T) against target, without ever holding all logits.
 *
 *   nll[n] = log sum_v exp(z[n, v]) - z[n, target[n]],   z = x w^T, soft-capped if attr.softcap
 *
 * target < 0 is ignored: nll 0 and no gradient. The gradient node also gives nll, so a training
 * graph makes the logits once (the executor drops the forward node, see backend/lower.c). */
#include "graph/rule.h"

static fl_status check_head(fl_call *c, unsigned blocks, const char *op, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 4, blocks, op, err);
    const fl_tensor *x = &c->in[0], *w = &c->in[1], *target = &c->in[2];
    FLI_WANT(w->rank == 2 && w->dim[1] == fl_tensor_cols(x), c, op,
             "w must be (V, C), C the columns of x", err);
    FLI_WANT(fl_tensor_count(target) == fl_tensor_rows(x), c, op,
             "there must be one target a row of x", err);
    FLI_WANT(c->attr.softcap >= 0, c, op, "softcap must not be negative", err);
    return FL_OK;
}

static fl_status linear_ce_shape(fl_call *c, fl_err *err) {
    FL_TRY(check_head(c, 1u << 1, "linear_ce", err));
    fli_out(c, 0, fli_wide(c->in[0].dtype), 1, (int64_t[]){fl_tensor_rows(&c->in[0])});
    return FL_OK;
}

static fl_status head_values(const fl_call *c, fl_err *err) {
    return fli_check_range(c, 2, INT32_MIN, c->in[1].dim[0], "linear_ce", err);
}

static void linear_ce_grad(fl_grad *d) {
    const fl_val in[] = {d->in[0], d->in[1], d->in[2], d->dout[0]};
    const fl_val all = fl_apply(d->g, FL_OP_LINEAR_CE_GRAD, d->attr, 4, in);
    for (int i = 0; i < 2; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, all, i);
    }
}

static bool head_sample(int i, fl_sample *s) {
    static const int64_t dims[][3] = {{1, 2, 1},     {3, 7, 5},    {17, 33, 19},
                                      {70, 130, 48}, {5, 700, 64}, {300, 261, 40}};
    if (i >= 2 * FLI_COUNT(dims)) return false;
    const int64_t *n = dims[i / 2];
    *s = (fl_sample){.call = {.n_in = 3,
                              .in = {FLI_T(FL_F32, n[0], n[2]), FLI_T(FL_F32, n[1], n[2]),
                                     FLI_T(FL_I32, n[0])},
                              .attr = {.softcap = i % 2 ? 2.0f : 0.0f}},
                     .int_below = {[2] = n[1]},
                     .int_min = {[2] = -1}};
    return true;
}

/* The last case has its head in blocks. */
static bool linear_ce_sample(int i, fl_sample *s) {
    if (head_sample(i, s)) return true;
    if (i > 0 && !head_sample(i - 1, s)) return false;
    *s = (fl_sample){.call = {.n_in = 3,
                              .in = {FLI_T(FL_F32, 35, 512), FLI_T(FL_Q6_K, 70, 512),
                                     FLI_T(FL_I32, 35)},
                              .attr = {.softcap = 2.0f}},
                     .int_below = {[2] = 70},
                     .int_min = {[2] = -1}};
    return true;
}

static fl_cost linear_ce_cost(const fl_call *c) {
    const double rows = (double)fl_tensor_rows(&c->in[0]);
    return (fl_cost){2 * rows * (double)fl_tensor_count(&c->in[1]), fli_call_bytes(c)};
}

const fl_op fl_op_linear_ce = {
    .name = "linear_ce",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape = linear_ce_shape,
    .values = head_values,
    .grad = linear_ce_grad,
    .sample = linear_ce_sample,
    .cost = linear_ce_cost,
    .mix = {{1, false}, {3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 1000,
};

static fl_status linear_ce_grad_shape(fl_call *c, fl_err *err) {
    FL_TRY(check_head(c, 0, "linear_ce_grad", err));
    const fl_tensor *x = &c->in[0], *w = &c->in[1], *g = &c->in[3];
    FLI_WANT(fl_tensor_count(g) == fl_tensor_rows(x), c, "linear_ce_grad",
             "there must be one g a row of x", err);
    fli_out_like(c, 0, x, x->dtype);
    fli_out_like(c, 1, w, fli_wide(x->dtype));
    fli_out(c, 2, fli_wide(x->dtype), 1, (int64_t[]){fl_tensor_rows(x)});
    return FL_OK;
}

static bool linear_ce_grad_sample(int i, fl_sample *s) {
    if (!head_sample(i, s)) return false;
    s->call.n_in = 4;
    s->call.in[3] = FLI_T(FL_F32, s->call.in[2].dim[0]);
    return true;
}

static fl_cost linear_ce_grad_cost(const fl_call *c) {
    const double rows = (double)fl_tensor_rows(&c->in[0]);
    return (fl_cost){6 * rows * (double)fl_tensor_count(&c->in[1]), fli_call_bytes(c)};
}

const fl_op fl_op_linear_ce_grad = {
    .name = "linear_ce_grad",
    .min_in = 4,
    .max_in = 4,
    .n_out = 3,
    .shape = linear_ce_grad_shape,
    .values = head_values,
    .sample = linear_ce_grad_sample,
    .cost = linear_ce_grad_cost,
    .accumulates = {false, true},
    .mix = {{1, false}, {3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 10000,
};
