/* objective.h - what is minimised: from the model's outputs and a batch to one number.
 *
 * A row builds the graph of a *sum* over tokens (f32, one element), and the trainer divides by the sum of weights over
 * the whole step: that is why accumulating micro-batches equals the big batch. Adding an objective is one file
 * and one row; the trainer does not change. */
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
    fl_val    tokens, targets, weight, segment, position;
    fl_dtype  compute;
    fl_val    nll;  // set by build: f32 (B*T), unweighted, for reports; FL_NONE if it has none
} fl_objective_graph;

typedef struct {
    const char *name;
    const char *help;
    fl_val (*build)(fl_objective_graph *o);  // the weighted sum over tokens
} fl_objective;

extern const fl_objective *const fl_objectives[];  // NULL last
const fl_objective *fl_objective_find(const char *name);

#ifdef __cplusplus
}
#endif

#endif
