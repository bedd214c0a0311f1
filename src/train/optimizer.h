/* optimizer.h - from gradients to new weights, as a graph of operations on the pool.
 *
 *     fl_optimizer *o;
 *     if (fl_optimizer_new(&o, model, &opts, &err) != FL_OK) ...
 *     ... gradients of a sum over `count` tokens stand in model->param[i].grad ...
 *     fl_optimizer_grad_norm(o, &norm, &err);                  // of that sum
 *     fl_optimizer_step(o, lr_factor, 1 / count * clip, &err); // in place
 *
 * An optimizer is a list of update rules; each trainable parameter goes to the first rule that
 * takes it. A rule appends the nodes that update one parameter, and fills the eight numbers those
 * nodes read (ops.def) before each step.
 *
 * AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
 * Muon: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
 * github.com/KellerJordan/Muon; the rms scale is that of Liu et al., "Muon is scalable for LLM
 * training", 2025. */
#ifndef FL_TRAIN_OPTIMIZER_H
#define FL_TRAIN_OPTIMIZER_H

#include "backend/program.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FL_MUON_SCALE_ASPECT, FL_MUON_SCALE_RMS } fl_muon_scale;

typedef struct {
    const char *name;              // a row of fl_optimizers
    double lr;                     // of what AdamW updates
    double embedding_lr, head_lr;  // 0: lr. A tied head is an embedding
    double beta1, beta2, eps;
    double weight_decay;  // of matrices and adapters only
    double muon_lr, momentum, muon_weight_decay;
    fl_muon_scale muon_scale;  // aspect: max(1, rows / cols)^0.5; rms: 0.2 max(rows, cols)^0.5
    fl_dtype compute;          // of Muon's products
    fl_pool *pool;
    const fl_backend *backend;  // NULL: fl_backend_pick
} fl_optimizer_opts;

typedef struct {
    const char *name;  // "adamw"
    const char *help;
} fl_optimizer_row;
extern const fl_optimizer_row fl_optimizers[];  // ends with a NULL name

typedef struct fl_optimizer fl_optimizer;
/* The model's gradients exist; it outlives the optimizer. */
FL_MUST_USE fl_status fl_optimizer_new(fl_optimizer **out, fl_model *m, const fl_optimizer_opts *o,
                                       fl_err *err);
void fl_optimizer_free(fl_optimizer *o);  // NULL is allowed

/* Euclidean norm of all gradients together, summed in a fixed order. */
FL_MUST_USE fl_status fl_optimizer_grad_norm(fl_optimizer *o, double *norm, fl_err *err);

/* One update with the rates times `lr_factor` and the gradients times `grad_scale`. */
FL_MUST_USE fl_status fl_optimizer_step(fl_optimizer *o, double lr_factor, double grad_scale,
                                        fl_err *err);

/* The state, for checkpoints: "PARAMETER.exp_avg" and the like, f32, and how many updates it has
 * seen. */
typedef struct {
    char name[160];
    fl_tensor t;
} fl_optimizer_state;
int fl_optimizer_n_states(const fl_optimizer *o);
const fl_optimizer_state *fl_optimizer_state_at(const fl_optimizer *o, int i);
int64_t fl_optimizer_updates(const fl_optimizer *o);
void fl_optimizer_set_updates(fl_optimizer *o, int64_t n);
void fl_optimizer_stats(const fl_optimizer *o, fl_program_stats *out);  // of one step

#ifdef __cplusplus
}
#endif

#endif
