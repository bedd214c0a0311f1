/* plan.h - what a recipe costs before it is run: parameters, operations, memory, time.
 *
 * Memory and operations come from planned programs of the same model with one and with two layers;
 * what a layer adds is the same for all, so a plan costs little however large the model is. */
#ifndef FL_TRAIN_PLAN_H
#define FL_TRAIN_PLAN_H

#include "train/recipe.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    double n_params, n_embedding;
    double tokens, step_tokens, steps;
    double flops_per_token, flops;  // forward and backward, in all
    double weights_bytes, grads_bytes, optimizer_bytes;
    double activations_bytes;  // of one micro-batch, with the recipe's memory limit
    double packs_bytes, scratch_bytes;
    double total_bytes;
    double tokens_per_second, seconds;  // 0: not measured
} fl_plan;

/* The recipe's sizes and steps are completed in place (vocab_size must be set). `pass_tokens` of
 * the text, 0: unknown. With `seconds` > 0 the machine is timed for about so long on this model, if
 * its memory is there. */
FL_MUST_USE fl_status fl_plan_make(fl_recipe *r, double pass_tokens, double seconds, fl_pool *pool,
                                   fl_plan *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
