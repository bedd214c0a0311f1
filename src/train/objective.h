/* objective.h - what is minimised: from the model's outputs and a batch to one number.
 *
 * A row builds the graph of a *sum* (f32, one element) and says what a batch counts; the trainer
 * divides the step's sum by the step's count: that is why accumulating micro-batches equals the big
 * batch. Adding an objective is one file and one row; the trainer does not change. See
 * docs/add-an-objective.md. */
#ifndef FL_TRAIN_OBJECTIVE_H
#define FL_TRAIN_OBJECTIVE_H

#include "data/batch.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The batch as graph inputs, (B, T) each. */
typedef struct {
    fl_model *model;
    fl_graph *g;
    fl_val tokens, targets, weight, segment, position;
    fl_dtype compute;
    fl_val nll;  // set by build: f32 (B*T), unweighted, for reports; FL_NONE if it has none
} fl_objective_graph;

typedef struct {
    const char *name;
    const char *help;
    fl_val (*build)(fl_objective_graph *o);  // the weighted sum over the batch
    double (*count)(const fl_batch *b);      // what that sum is divided by: tokens, weights, pairs
} fl_objective;

extern const fl_objective *const fl_objectives[];         // NULL last
const fl_objective *fl_objective_find(const char *name);  // NULL if there is no such row

/* -log p(target) of every position, f32 (B*T), 0 where the target is < 0; sets o->nll. What
 * objectives over tokens start from. */
fl_val fl_objective_nll(fl_objective_graph *o);

/* sum_i weight_i x_i, f32 (1); both have B*T elements. */
fl_val fl_objective_weighted_sum(fl_objective_graph *o, fl_val x, fl_val weight);

#ifdef __cplusplus
}
#endif

#endif
