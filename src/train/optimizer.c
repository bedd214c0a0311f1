/* optimizer - two graphs over the same gradients: one measures them, one applies them.
 *
 * Between the two stands the decision to clip or to skip, which needs the norm as a number. State
 * lives in one buffer, parameter after parameter, each tensor aligned. */
#include "train/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "train/optimizer_rule.h"

/* The rules of a row of fl_optimizers, in the order they are asked. */
static const fli_update_rule *const adamw_rules[] = {&fli_adamw_rule, NULL};
static const fli_update_rule *const muon_rules[] = {&fli_muon_rule, &fli_adamw_rule, NULL};
static const fli_update_rule *const *const rules_of[] = {adamw_rules, muon_rules};

const fl_optimizer_row fl_optimizers[] = {
    {"adamw", "AdamW for every parameter"},
    {"muon", "Muon for hidden matrices, AdamW for the rest"},
    {0},
};

typedef struct {
    fl_param *p;
    const fli_update_rule *rule;
    int first_state, n_states;
    fl_val square;  // in the measuring graph
    float hyper[FLI_N_HYPER];
} slot;

struct fl_optimizer {
    fl_optimizer_opts opts;
    slot *slot;
    int n_slots;
    fl_optimizer_state *state;
    int n_states;
    fl_buffer *memory;
    fl_graph *measure_graph, *apply_graph;
    fl_program *measure, *apply;
    int64_t n_updates;
};

void fl_optimizer_free(fl_optimizer *o) {
    if (!o) return;
    fl_program_free(o->measure);
    fl_program_free(o->apply);
    fl_graph_free(o->measure_graph);
    fl_graph_free(o->apply_graph);
    fl_buffer_unref(o->memory);
    fl_dealloc(o->slot);
    fl_dealloc(o->state);
    fl_dealloc(o);
}

static const fli_update_rule *rule_for(const fli_update_rule *const *rules, const fl_param *p) {
    while ((*rules)->takes && !(*rules)->takes(p)) rules++;
    return *rules;
}

static fl_status choose_rules(fl_optimizer *o, fl_model *m, fl_err *err) {
    int row = 0;
    while (fl_optimizers[row].name && strcmp(fl_optimizers[row].name, o->opts.name) != 0) row++;
    if (!fl_optimizers[row].name)
        return fl_fail(err, FL_ERR_ARG, "optimizer %s: there are adamw and muon", o->opts.name);
    o->slot = fl_alloc(sizeof *o->slot * (size_t)(m->n_params + 1));
    o->state = fl_alloc(sizeof *o->state * FLI_MAX_STATES * (size_t)(m->n_params + 1));
    if (!o->slot || !o->state)
        return fl_fail(err, FL_ERR_NOMEM, "an optimizer of %d parameters", m->n_params);
    for (int i = 0; i < m->n_params; i++) {
        fl_param *p = &m->param[i];
        if (!p->trainable) continue;
        o->slot[o->n_slots++] = (slot){.p = p, .rule = rule_for(rules_of[row], p)};
    }
    if (!o->n_slots) return fl_fail(err, FL_ERR_ARG, "optimizer: the model has nothing to train");
    return FL_OK;
}

static size_t aligned(size_t bytes) {
    return (bytes + FL_ALIGN - 1) / FL_ALIGN * FL_ALIGN;
}

/* Name and place every state tensor. The buffer comes zeroed, which is how state begins. */
static fl_status lay_out_state(fl_optimizer *o, fl_err *err) {
    size_t bytes = 0;
    for (int i = 0; i < o->n_slots; i++) {
        slot *s = &o->slot[i];
        s->first_state = o->n_states;
        for (int k = 0; k < FLI_MAX_STATES && s->rule->state[k]; k++, s->n_states++) {
            fl_optimizer_state *state = &o->state[o->n_states++];
            snprintf(state->name, sizeof state->name, "%s.%s", s->p->name, s->rule->state[k]);
            state->t = fl_tensor_of(NULL, FL_F32, s->p->data.rank, s->p->data.dim);
            bytes += aligned(fl_tensor_bytes(&state->t));
        }
    }
    FL_TRY(fl_buffer_new(&o->memory, bytes, err));
    char *at = fl_buffer_data(o->memory);
    for (int i = 0; i < o->n_states; i++) {
        o->state[i].t.data = at;
        at += aligned(fl_tensor_bytes(&o->state[i].t));
    }
    return FL_OK;
}

static fl_tensor grad_of(const fl_param *p) {
    return fl_tensor_of(p->grad, FL_F32, p->data.rank, p->data.dim);
}

static fl_status compile(fl_optimizer *o, fl_graph *g, fl_program **out, fl_err *err) {
    const fl_program_opts po = {.pool = o->opts.pool, .backend = o->opts.backend};
    if (!g) return fl_fail(err, FL_ERR_NOMEM, "the optimizer's graph");
    FL_TRY(fl_graph_check(g, err));
    return fl_program_new(out, g, &po, err);
}

static void build_measure(fl_optimizer *o, fl_graph *g) {
    for (int i = 0; i < o->n_slots; i++) {
        slot *s = &o->slot[i];
        const fl_val grad = fl_extern(g, s->p->name, grad_of(s->p), false);
        s->square = fl_apply(g, FL_OP_SUM_SQUARES, &(fl_attr){0}, 1, &grad);
        fl_graph_output(g, s->square);
    }
}

static void build_apply(fl_optimizer *o, fl_graph *g) {
    for (int i = 0; i < o->n_slots; i++) {
        slot *s = &o->slot[i];
        const int64_t n_hyper = FLI_N_HYPER;
        fli_update u = {.p = s->p, .opts = &o->opts};
        fl_graph_scope(g, s->p->name);
        u.w = fl_extern(g, s->p->name, s->p->data, false);
        u.grad = fl_extern(g, "grad", grad_of(s->p), false);
        u.hyper = fl_extern(g, "hyper", fl_tensor_of(s->hyper, FL_F32, 1, &n_hyper), false);
        for (int k = 0; k < s->n_states; k++) {
            const fl_optimizer_state *state = &o->state[s->first_state + k];
            u.state[k] = fl_extern(g, state->name, state->t, false);
        }
        s->rule->build(g, &u);
    }
}

static fl_status set_up(fl_optimizer *o, fl_model *m, fl_err *err) {
    FL_TRY(choose_rules(o, m, err));
    FL_TRY(lay_out_state(o, err));
    o->measure_graph = fl_graph_new();
    o->apply_graph = fl_graph_new();
    if (o->measure_graph) build_measure(o, o->measure_graph);
    if (o->apply_graph) build_apply(o, o->apply_graph);
    FL_TRY(compile(o, o->measure_graph, &o->measure, err));
    return compile(o, o->apply_graph, &o->apply, err);
}

fl_status fl_optimizer_new(fl_optimizer **out, fl_model *m, const fl_optimizer_opts *opts,
                           fl_err *err) {
    fl_optimizer *o = fl_alloc(sizeof *o);
    if (!o) return fl_fail(err, FL_ERR_NOMEM, "an optimizer");
    *o = (fl_optimizer){.opts = *opts};
    const fl_status s = set_up(o, m, err);
    if (s != FL_OK) {
        fl_optimizer_free(o);
        return s;
    }
    *out = o;
    return FL_OK;
}

fl_status fl_optimizer_grad_norm(fl_optimizer *o, double *norm, fl_err *err) {
    double sum = 0;
    FL_TRY(fl_program_run(o->measure, false, err));
    for (int i = 0; i < o->n_slots; i++) {
        const fl_tensor square = fl_program_tensor(o->measure, o->slot[i].square);
        sum += (double)*(const float *)square.data;
    }
    *norm = sqrt(sum);
    return FL_OK;
}

fl_status fl_optimizer_step(fl_optimizer *o, double lr_factor, double grad_scale, fl_err *err) {
    const int64_t t = o->n_updates + 1;
    for (int i = 0; i < o->n_slots; i++) {
        slot *s = &o->slot[i];
        s->rule->hyper(&o->opts, s->p, t, s->hyper);
        s->hyper[FLI_LR] *= (float)lr_factor;
        s->hyper[FLI_GRAD_SCALE] = (float)grad_scale;
    }
    FL_TRY(fl_program_run(o->apply, false, err));
    o->n_updates = t;
    return FL_OK;
}

int fl_optimizer_n_states(const fl_optimizer *o) {
    return o->n_states;
}

const fl_optimizer_state *fl_optimizer_state_at(const fl_optimizer *o, int i) {
    return &o->state[i];
}

int64_t fl_optimizer_updates(const fl_optimizer *o) {
    return o->n_updates;
}

void fl_optimizer_set_updates(fl_optimizer *o, int64_t n) {
    o->n_updates = n;
}

void fl_optimizer_stats(const fl_optimizer *o, fl_program_stats *out) {
    fl_program_stats_get(o->apply, out);
}
