/* objective - the table of objectives, and what those over tokens share. */
#include "train/objective.h"

#include <string.h>

extern const fl_objective fl_next_token, fl_chosen_tokens;

const fl_objective *const fl_objectives[] = {&fl_next_token, &fl_chosen_tokens, NULL};

const fl_objective *fl_objective_find(const char *name) {
    for (const fl_objective *const *o = fl_objectives; *o; o++)
        if (strcmp((*o)->name, name) == 0) return *o;
    return NULL;
}

fl_val fl_objective_nll(fl_objective_graph *o) {
    const fl_forward f = {.tokens = o->tokens,
                          .position = o->position,
                          .segment = o->segment,
                          .start = FL_NONE,
                          .compute = o->compute};
    const fl_val hidden = fl_model_hidden(o->model, o->g, &f);
    o->nll = fl_linear_ce(o->g, hidden, fl_model_head(o->model, o->g), o->targets,
                          (float)o->model->config.logit_softcap);
    return o->nll;
}

fl_val fl_objective_weighted_sum(fl_objective_graph *o, fl_val x, fl_val weight) {
    const fl_value_info *info = fl_graph_check(o->g, NULL) == FL_OK ? fl_value_get(o->g, x) : NULL;
    const int64_t n = info ? fl_tensor_count(&info->t) : 1, one = 1;
    const fl_val w = fl_reshape(o->g, weight, 1, &n);
    return fl_sum_to(o->g, fl_mul(o->g, fl_reshape(o->g, x, 1, &n), w), 1, &one);
}
