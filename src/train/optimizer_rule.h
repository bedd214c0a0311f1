/* optimizer_rule.h - how one parameter is updated: for the optimizer_*.c files. */
#ifndef FL_TRAIN_OPTIMIZER_RULE_H
#define FL_TRAIN_OPTIMIZER_RULE_H

#include "train/optimizer.h"

enum { FLI_MAX_STATES = 2, FLI_N_HYPER = 8 };

typedef struct {
    const fl_param *p;
    const fl_optimizer_opts *opts;
    fl_val w, grad, hyper, state[FLI_MAX_STATES];
} fli_update;

typedef struct {
    const char *state[FLI_MAX_STATES];  // names as torch gives them; NULL: fewer
    bool (*takes)(const fl_param *p);   // NULL: every parameter
    void (*build)(fl_graph *g, const fli_update *u);

    /* Rate, decay and momenta of update `t` (from 1) before the schedule; see ops.def for the
     * places. */
    void (*hyper)(const fl_optimizer_opts *o, const fl_param *p, int64_t t, float out[FLI_N_HYPER]);
} fli_update_rule;

enum { FLI_LR, FLI_BETA1, FLI_BETA2, FLI_EPS, FLI_DECAY, FLI_GRAD_SCALE, FLI_BIAS1, FLI_BIAS2 };

extern const fli_update_rule fli_adamw_rule, fli_muon_rule;

#endif
