/* golden.h - run a small model forward and backward on a backend, and compare with a golden
 * file. */
#ifndef FL_TESTS_GOLDEN_H
#define FL_TESTS_GOLDEN_H

#include <math.h>
#include <string.h>

#include "backend/program.h"
#include "check.h"
#include "format/safetensors.h"
#include "model/model.h"

/* Largest difference relative to the largest wanted value; NaN gives infinity. */
static inline double golden_error(const fl_tensor *got, const fl_tensor *want) {
    double worst = 0, most = 0;
    if (fl_tensor_count(got) != fl_tensor_count(want)) return INFINITY;
    for (int64_t i = 0; i < fl_tensor_count(want); i++) {
        double w = fl_tensor_get(want, i), d = fabs(fl_tensor_get(got, i) - w);
        if (!(d < INFINITY)) return INFINITY;
        worst = d > worst ? d : worst;
        most = fabs(w) > most ? fabs(w) : most;
    }
    return most > 0 ? worst / most : worst;
}

typedef struct {
    fl_model *model;
    const fl_backend *backend;
    fl_dtype compute;
    int64_t B, T;
    bool train;  // loss and gradients
    bool segments;
    fl_graph *g;
    fl_program *p;
    fl_val tokens, position, segment, target, logits, loss;
    fl_val routed[8];  // ids of the routers, layer by layer
    int n_routed;
} golden_run;

static inline void golden_fill(const golden_run *r, fl_val v, const int32_t *from) {
    if (v.id >= 0)
        memcpy(fl_program_tensor(r->p, v).data, from, (size_t)(r->B * r->T) * sizeof *from);
}

/* Build graph and program; positions count from 0. Prints and returns false when it cannot. */
static inline bool golden_build(golden_run *r) {
    fl_err err = {0};
    fl_graph *g = r->g = fl_graph_new();
    const int64_t rows = r->B * r->T, dim[2] = {r->B, r->T};
    r->tokens = fl_input(g, "tokens", FL_I32, 2, dim);
    r->position = fl_input(g, "position", FL_I32, 2, dim);
    r->segment = r->segments ? fl_input(g, "segment", FL_I32, 2, dim) : FL_NONE;
    r->target = r->loss = FL_NONE;
    fl_forward f = {.tokens = r->tokens,
                    .position = r->position,
                    .segment = r->segment,
                    .start = FL_NONE,
                    .compute = r->compute};
    fl_val hidden = fl_model_hidden(r->model, g, &f);
    r->logits = fl_model_logits(r->model, g, hidden);
    fl_graph_output(g, r->logits);
    for (int i = 0; i < fl_graph_n_nodes(g); i++) {
        if (fl_graph_node(g, i)->op != FL_OP_ROUTE || r->n_routed == 8) continue;
        r->routed[r->n_routed] = fl_graph_node(g, i)->out[1];
        fl_graph_output(g, r->routed[r->n_routed++]);
    }
    if (r->train) {
        r->target = fl_input(g, "target", FL_I32, 1, &rows);
        hidden = fl_reshape(g, hidden, 2, (int64_t[]){rows, r->model->config.hidden_size});
        fl_val nll = fl_linear_ce(g, hidden, fl_model_head(r->model, g), r->target,
                                  (float)r->model->config.logit_softcap);
        r->loss = fl_scale(g, fl_sum_to(g, nll, 1, (int64_t[]){1}), 1 / (float)(r->B * (r->T - 1)));
        fl_graph_output(g, r->loss);
        fl_graph_backward(g, r->loss);
    }
    fl_status s = fl_graph_check(g, &err);
    if (s == FL_OK) s = fl_program_new(&r->p, g, &(fl_program_opts){.backend = r->backend}, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    if (s != FL_OK) return false;
    int32_t *at = fl_program_tensor(r->p, r->position).data;
    for (int64_t i = 0; i < rows; i++) at[i] = (int32_t)(i % r->T);
    return true;
}

/* Next-token targets of these tokens; the last of each row has none. */
static inline bool golden_go(golden_run *r, const int32_t *tokens) {
    golden_fill(r, r->tokens, tokens);
    if (r->train) {
        int32_t *target = fl_program_tensor(r->p, r->target).data;
        for (int64_t i = 0; i < r->B * r->T; i++) target[i] = (i + 1) % r->T ? tokens[i + 1] : -1;
    }
    fl_err err = {0};
    bool ok = fl_program_run(r->p, false, &err) == FL_OK;
    CHECKF(ok, "%s", err.msg);
    return ok;
}

static inline void golden_end(golden_run *r) {
    fl_program_free(r->p);
    fl_graph_free(r->g);
    r->p = NULL;
    r->g = NULL;
}

#endif
