/* next_token - the objective of pre-training: the mean of -log p(next token) over every real
 * token. */
#include "train/objective.h"

static fl_val build(fl_objective_graph *o) {
    return fl_sum_to(o->g, fl_objective_nll(o), 1, (int64_t[]){1});
}

static double count(const fl_batch *b) {
    return b->n_targets;
}

const fl_objective fl_next_token = {
    .name = "next_token",
    .help = "predict every next token",
    .build = build,
    .count = count,
};
