/* chosen_tokens - the weighted mean of -log p(next token): only tokens with a weight count.
 *
 * With weight 1 on a completion and 0 on its prompt this is instruction tuning; fractions work
 * too. */
#include "train/objective.h"

static fl_val build(fl_objective_graph *o) {
    return fl_objective_weighted_sum(o, fl_objective_nll(o), o->weight);
}

static double count(const fl_batch *b) {
    double sum = 0;
    for (int64_t i = 0; i < b->B * b->T; i++)
        if (b->targets[i] >= 0) sum += (double)b->weight[i];
    return sum;
}

const fl_objective fl_chosen_tokens = {
    .name = "chosen_tokens",
    .help = "predict the tokens that have a weight, such as a completion's",
    .build = build,
    .count = count,
};
