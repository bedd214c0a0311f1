/* transform.h - what a weight is when the graph asks for it.
 *
 * By default the parameter. A transform replaces it by an expression over a frozen one: W + s B A
 * (LoRA), m * W (pruning mask), fakequant(W) (QAT), dequant(Q). Transforms stack: each row is
 * called with the `inner` way of multiplying by the weight below it. A method is one file with one
 * row; the architectures and the trainer do not change. */
#ifndef FL_MODEL_TRANSFORM_H
#define FL_MODEL_TRANSFORM_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_transform {
    const char *name;

    /* Add parameters to the model, freeze others, make *state. `config` is the transform's own
     * settings. */
    fl_status (*attach)(fl_model *m, const json_t *config, uint64_t seed, void **state,
                        fl_err *err);

    /* x times the transformed weight. `inner` is x times the weight below. NULL: passes through. */
    fl_val (*linear)(void *state, fl_model *m, fl_graph *g, fl_val x, fl_param *w, fl_val inner,
                     fl_dtype dt);

    /* Write what the transform learnt (for LoRA: a PEFT folder), or read it back into an attached
     * one. */
    fl_status (*save)(void *state, const fl_model *m, const char *dir, fl_err *err);
    fl_status (*load)(void *state, fl_model *m, const char *dir, fl_err *err);

    /* Fold it into the weights below, so that the transform can be dropped. NULL: cannot be
     * folded. */
    fl_status (*merge)(void *state, fl_model *m, fl_err *err);
    void (*free)(void *state);
} fl_transform;

struct fl_transform_link {
    const fl_transform *row;
    void *state;
    fl_transform_link *inner;
};

FL_MUST_USE fl_status fl_model_attach(fl_model *m, const fl_transform *row, const json_t *config,
                                      uint64_t seed, fl_err *err);

/* Fold every transform into the weights, innermost first, and drop it. What they added stays in the
 * table, frozen. */
FL_MUST_USE fl_status fl_model_merge(fl_model *m, fl_err *err);

/* The methods. */
extern const fl_transform
    fl_transform_lora;  // lora.c; config: the fields of PEFT's adapter_config.json

/* Add a trainable parameter that a transform needs; zeroed. The pointer stays valid while the model
 * lives; pointers to other parameters do too. */
FL_MUST_USE fl_status fl_model_add_param(fl_model *m, const char *name, fl_role role, int rank,
                                         const int64_t *dim, fl_param **out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
