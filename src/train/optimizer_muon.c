/* optimizer_muon - the rule for hidden matrices: momentum, made nearly orthogonal.
 *
 * Five Newton-Schulz steps X <- a X + (b A + c A A) X with A = X X^T push every singular value of X
 * = U / |U| towards 1. A tall matrix uses A = X^T X and multiplies from the right, which is the
 * same on the transpose. */
#include <math.h>

#include "train/optimizer_rule.h"

enum { NEWTON_SCHULZ_STEPS = 5 };
static const float NS_A = 3.4445f, NS_B = -4.7750f, NS_C = 2.0315f, NORM_EPS = 1e-7f;

static bool takes(const fl_param *p) {
    return p->role == FL_ROLE_MATRIX && p->data.rank == 2;
}

static fl_val axpby(fl_graph *g, float alpha, fl_val a, float beta, fl_val b) {
    return fl_apply(g, FL_OP_AXPBY, &(fl_attr){.alpha = alpha, .beta = beta}, 2, (fl_val[]){a, b});
}

static fl_val newton_schulz(fl_graph *g, fl_val x, bool tall) {
    for (int i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
        const fl_val a = fl_matmul(g, x, x, tall, !tall, 1);
        const fl_val b = axpby(g, NS_B, a, NS_C, fl_matmul(g, a, a, false, false, 1));
        const fl_val bx = tall ? fl_matmul(g, x, b, false, false, 1)
                               : fl_matmul(g, b, x, false, false, 1);
        x = axpby(g, NS_A, x, 1, bx);
    }
    return x;
}

static float update_scale(const fl_optimizer_opts *o, const fl_tensor *w) {
    const double rows = (double)w->dim[0], cols = (double)w->dim[1];
    if (o->muon_scale == FL_MUON_SCALE_RMS) return (float)(0.2 * sqrt(fmax(rows, cols)));
    return (float)sqrt(fmax(1, rows / cols));
}

static void build(fl_graph *g, const fli_update *u) {
    const fl_tensor *w = &u->p->data;
    const fl_val in[] = {u->state[0], u->grad, u->hyper};
    const fl_val moved = fl_out(g, fl_apply(g, FL_OP_MUON_MOMENTUM, &(fl_attr){0}, 3, in), 1);
    const fl_val square = fl_apply(g, FL_OP_SUM_SQUARES, &(fl_attr){0}, 1, &moved);
    const fl_val unit = fl_apply(g, FL_OP_RSQRT_SCALE, &(fl_attr){.eps = NORM_EPS}, 2,
                                 (fl_val[]){moved, square});
    const fl_val x = newton_schulz(g, fl_cast(g, unit, u->opts->compute), w->dim[0] > w->dim[1]);
    fl_apply(g, FL_OP_MUON_APPLY, &(fl_attr){.scale = update_scale(u->opts, w)}, 3,
             (fl_val[]){u->w, x, u->hyper});
}

static void hyper(const fl_optimizer_opts *o, const fl_param *p, int64_t t,
                  float out[FLI_N_HYPER]) {
    (void)p, (void)t;
    out[FLI_LR] = (float)o->muon_lr;
    out[FLI_BETA1] = (float)o->momentum;
    out[FLI_DECAY] = (float)o->muon_weight_decay;
}

const fli_update_rule fli_muon_rule = {.state = {"momentum_buffer"},
                                       .takes = takes,
                                       .build = build,
                                       .hyper = hyper};
