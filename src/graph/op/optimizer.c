/* optimizer - one step of AdamW (Loshchilov and Hutter, 2019) or Muon (Jordan, 2024), and what
 * they need: a norm, a scaling by it. State is written in place; `hyper` is laid out in ops.def. */
#include "graph/rule.h"

enum { N_HYPER = 8 };

static bool is_hyper(const fl_tensor *t) {
    return t->rank == 1 && t->dim[0] == N_HYPER;
}

/* in[0..n) of one shape, then hyper. */
static fl_status step_shape(fl_call *c, int n, const char *op, fl_err *err) {
    FLI_DTYPES(c, 0, op, err);
    for (int i = 1; i < n; i++) {
        FLI_WANT(fl_tensor_same_shape(&c->in[0], &c->in[i]), c, op, "shapes must agree", err);
    }
    FLI_WANT(is_hyper(&c->in[n]), c, op, "hyper must be (8)", err);
    return FL_OK;
}

static bool step_sample(int i, int n, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 37), FLI_T(FL_F32, 170, 129)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = n + 1, .attr = {.scale = 0.2f}}};
    for (int k = 0; k < n; k++) s->call.in[k] = x[i];
    s->call.in[n] = FLI_T(FL_F32, N_HYPER);
    s->positive[n] = true;
    return true;
}

static fl_status adamw_shape(fl_call *c, fl_err *err) {
    FL_TRY(step_shape(c, 4, "adamw", err));
    for (int k = 0; k < 3; k++) fli_out_like(c, k, &c->in[k], c->in[k].dtype);
    return FL_OK;
}

static bool adamw_sample(int i, fl_sample *s) {
    if (!step_sample(i, 4, s)) return false;
    s->positive[2] = true;  // v is a mean of squares
    return true;
}

const fl_op fl_op_adamw = {
    .name = "adamw",
    .min_in = 5,
    .max_in = 5,
    .n_out = 3,
    .shape = adamw_shape,
    .sample = adamw_sample,
    .alias = {1, 2, 3},
    .no_recompute = true,
    .tolerance_ppm = 5,
    .tolerance_bf16_ppm = 8000,
};

static fl_status muon_momentum_shape(fl_call *c, fl_err *err) {
    FL_TRY(step_shape(c, 2, "muon_momentum", err));
    fli_out_like(c, 0, &c->in[0], c->in[0].dtype);
    fli_out_like(c, 1, &c->in[0], c->in[0].dtype);
    return FL_OK;
}

static bool muon_momentum_sample(int i, fl_sample *s) {
    return step_sample(i, 2, s);
}

const fl_op fl_op_muon_momentum = {
    .name = "muon_momentum",
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .shape = muon_momentum_shape,
    .sample = muon_momentum_sample,
    .alias = {1},
    .no_recompute = true,
    .tolerance_ppm = 2,
    .tolerance_bf16_ppm = 8000,
};

static fl_status muon_apply_shape(fl_call *c, fl_err *err) {
    FL_TRY(step_shape(c, 2, "muon_apply", err));
    fli_out_like(c, 0, &c->in[0], c->in[0].dtype);
    return FL_OK;
}

static bool muon_apply_sample(int i, fl_sample *s) {
    return step_sample(i, 2, s);
}

const fl_op fl_op_muon_apply = {
    .name = "muon_apply",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape = muon_apply_shape,
    .sample = muon_apply_sample,
    .alias = {1},
    .no_recompute = true,
    .mix = {{2, false}},
    .tolerance_ppm = 2,
    .tolerance_bf16_ppm = 2,  // u may be bf16, w stays f32
};

static fl_status sum_squares_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "sum_squares", err);
    fli_out(c, 0, fli_wide(c->in[0].dtype), 1, (int64_t[]){1});
    return FL_OK;
}

static bool sum_squares_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 5, 33), FLI_T(FL_F32, 70001)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = 1, .in = {x[i]}}};
    return true;
}

const fl_op fl_op_sum_squares = {
    .name = "sum_squares",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = sum_squares_shape,
    .sample = sum_squares_sample,
    .mix = {{1, false}},
    .tolerance_ppm = 1,
    .tolerance_bf16_ppm = 1,
};

static fl_status rsqrt_scale_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "rsqrt_scale", err);
    FLI_WANT(fl_tensor_count(&c->in[1]) == 1, c, "rsqrt_scale", "s must be (1)", err);
    fli_out_like(c, 0, &c->in[0], c->in[0].dtype);
    return FL_OK;
}

static bool rsqrt_scale_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 5, 33), FLI_T(FL_F32, 3001)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = 2, .in = {x[i], FLI_T(FL_F32, 1)}, .attr = {.eps = 1e-3f}},
                     .positive = {[1] = true}};
    return true;
}

const fl_op fl_op_rsqrt_scale = {
    .name = "rsqrt_scale",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = rsqrt_scale_shape,
    .sample = rsqrt_scale_sample,
    .in_place = {1},
    .mix = {{1, false}},
    .tolerance_ppm = 2,
    .tolerance_bf16_ppm = 8000,
};
