/* stepper.h - the mechanics of one training step: forward and backward over micro-batches, norm,
 * update.
 *
 *     fl_stepper_micro(s, &batch, true, &sum, &err);    // gradients replace
 *     fl_stepper_micro(s, &batch2, false, &sum2, &err); // gradients add up
 *     fl_stepper_grad_norm(s, &norm, &err);
 *     fl_stepper_update(s, lr_factor, grad_scale, &err);
 *
 * It knows a model, an objective and an optimizer by their seams alone. */
#ifndef FL_TRAIN_STEPPER_H
#define FL_TRAIN_STEPPER_H

#include "train/objective.h"
#include "train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fl_model *model;  // gradients are made if it has none
    const fl_objective *objective;
    fl_optimizer_opts optimizer;
    int64_t B, T;  // of a micro-batch
    fl_dtype compute;
    size_t memory_limit;  // for activations; 0: none
    bool no_scoring;      // fl_stepper_score is not wanted
    fl_pool *pool;
} fl_stepper_opts;

typedef struct fl_stepper fl_stepper;
FL_MUST_USE fl_status fl_stepper_new(fl_stepper **out, const fl_stepper_opts *o, fl_err *err);
void fl_stepper_free(fl_stepper *s);  // NULL is allowed

/* Run a micro-batch; `first` starts the step's gradients afresh. *sum is the objective's value. */
FL_MUST_USE fl_status fl_stepper_micro(fl_stepper *s, const fl_batch *b, bool first, double *sum,
                                       fl_err *err);
FL_MUST_USE fl_status fl_stepper_grad_norm(fl_stepper *s, double *norm, fl_err *err);
FL_MUST_USE fl_status fl_stepper_update(fl_stepper *s, double lr_factor, double grad_scale,
                                        fl_err *err);

/* Forward only. *nll is the unweighted sum over targets, NaN when the objective has none. */
FL_MUST_USE fl_status fl_stepper_score(fl_stepper *s, const fl_batch *b, double *sum, double *nll,
                                       fl_err *err);

fl_optimizer *fl_stepper_optimizer(fl_stepper *s);
void fl_stepper_weights_changed(fl_stepper *s);  // someone else wrote them: a checkpoint was loaded

typedef struct {
    fl_program_stats train, score, update;
    size_t packs_bytes;
} fl_stepper_stats;
void fl_stepper_stats_get(const fl_stepper *s, fl_stepper_stats *out);

/* Time per operation of forward, backward and update; see program.h. */
void fl_stepper_profile(fl_stepper *s, bool on);
int fl_stepper_profile_rows(const fl_stepper *s, fl_profile_row *rows, int max);

#ifdef __cplusplus
}
#endif

#endif
