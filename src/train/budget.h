/* budget.h - the best model in a given time: measure this machine, predict the loss of every size,
 * take the lowest.
 *
 * Measuring: real steps (forward, backward, update) of a few sizes, some seconds in all; the time
 * of the sizes between follows from their operations. Predicting: Hoffmann et al. 2022, with data
 * that repeats counted as Muennighoff et al., "Scaling data-constrained language models", 2023 do:
 *
 *   L(N, D) = E + A / N'^a + B / D'^b        D' = U (1 + R (1 - exp(-(D / U - 1) / R))) for D > U
 *
 * U is one pass over the text; N' is the same saturation of N over the parameters U can fill. A run
 * makes at most ten passes: a text too small for the time ends the run early. The constants were
 * fitted on small models: budget.c. */
#ifndef FL_TRAIN_BUDGET_H
#define FL_TRAIN_BUDGET_H

#include "base/progress.h"
#include "train/recipe.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nats per token of a model of n parameters that are not embeddings, after d tokens of a text of u
 * tokens. */
double fl_budget_loss(double n, double d, double u);

/* Seconds of one micro-batch (forward and backward), of one update, and of scoring a
 * micro-batch. */
typedef struct {
    double micro, update, score;
} fl_step_times;
FL_MUST_USE fl_status fl_measure_step(const fl_recipe *r, double seconds, fl_pool *pool,
                                      fl_step_times *out, fl_err *err);

typedef struct {
    fl_recipe
        *recipe;  // sizes are chosen unless given, then everything else that is open, the steps too
    double pass_tokens, val_tokens;
    double seconds_left;
    bool samples;  // the run writes samples
    fl_pool *pool;
    fl_progress *progress;
} fl_budget_job;
FL_MUST_USE fl_status fl_budget_choose(const fl_budget_job *job, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
