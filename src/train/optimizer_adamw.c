/* optimizer_adamw - the rule for everything: running mean and square of the gradient, decay apart
 * from both. */
#include <math.h>

#include "train/optimizer_rule.h"

static void build(fl_graph *g, const fli_update *u) {
    const fl_val in[] = {u->w, u->state[0], u->state[1], u->grad, u->hyper};
    fl_apply(g, FL_OP_ADAMW, &(fl_attr){0}, 5, in);
}

static double rate(const fl_optimizer_opts *o, fl_role role) {
    if (role == FL_ROLE_EMBEDDING && o->embedding_lr > 0) return o->embedding_lr;
    if (role == FL_ROLE_HEAD && o->head_lr > 0) return o->head_lr;
    return o->lr;
}

static void hyper(const fl_optimizer_opts *o, const fl_param *p, int64_t t,
                  float out[FLI_N_HYPER]) {
    const bool decays = p->role == FL_ROLE_MATRIX || p->role == FL_ROLE_ADAPTER ||
                        p->role == FL_ROLE_EXPERT;
    out[FLI_LR] = (float)rate(o, p->role);
    out[FLI_BETA1] = (float)o->beta1;
    out[FLI_BETA2] = (float)o->beta2;
    out[FLI_EPS] = (float)o->eps;
    out[FLI_DECAY] = decays ? (float)o->weight_decay : 0;
    out[FLI_BIAS1] = (float)(1 - pow(o->beta1, (double)t));
    out[FLI_BIAS2] = (float)(1 - pow(o->beta2, (double)t));
}

const fli_update_rule fli_adamw_rule = {.state = {"exp_avg", "exp_avg_sq"},
                                        .build = build,
                                        .hyper = hyper};
