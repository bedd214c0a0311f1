/* stepper - a program that differentiates the objective, one that only scores it, and the
 * optimizer's. */
#include "train/stepper.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* One compiled form of the objective. */
typedef struct {
    fl_graph *g;
    fl_program *p;
    fl_objective_graph o;
    fl_val sum;
} compiled;

struct fl_stepper {
    fl_stepper_opts opts;
    compiled train, score;
    fl_packs *packs;
    fl_optimizer *optimizer;
};

static void compiled_clear(compiled *c) {
    fl_program_free(c->p);
    fl_graph_free(c->g);
}

void fl_stepper_free(fl_stepper *s) {
    if (!s) return;
    fl_optimizer_free(s->optimizer);
    compiled_clear(&s->train);
    compiled_clear(&s->score);
    fl_packs_free(s->packs);
    fl_dealloc(s);
}

static void build(compiled *c, const fl_stepper_opts *so) {
    const int64_t bt[] = {so->B, so->T};
    fl_objective_graph *o = &c->o;
    *o =
        (fl_objective_graph){.model = so->model, .g = c->g, .compute = so->compute, .nll = FL_NONE};
    o->tokens = fl_input(c->g, "tokens", FL_I32, 2, bt);
    o->targets = fl_input(c->g, "targets", FL_I32, 2, bt);
    o->weight = fl_input(c->g, "weight", FL_F32, 2, bt);
    o->segment = fl_input(c->g, "segment", FL_I32, 2, bt);
    o->position = fl_input(c->g, "position", FL_I32, 2, bt);
    c->sum = so->objective->build(o);
    fl_graph_output(c->g, c->sum);
}

static fl_status compile(compiled *c, fl_stepper *s, bool backward, fl_err *err) {
    const fl_program_opts po = {.pool = s->opts.pool,
                                .packs = s->packs,
                                .memory_limit = backward ? s->opts.memory_limit : 0};
    c->g = fl_graph_new();
    if (!c->g) return fl_fail(err, FL_ERR_NOMEM, "the graph of %s", s->opts.objective->name);
    build(c, &s->opts);
    if (backward) fl_graph_backward(c->g, c->sum);
    else if (c->o.nll.id >= 0) fl_graph_output(c->g, c->o.nll);
    fl_status st = fl_graph_check(c->g, err);
    if (st == FL_OK) st = fl_program_new(&c->p, c->g, &po, err);
    return st == FL_OK ? st : fl_context(err, st, "objective %s", s->opts.objective->name);
}

static fl_status set_up(fl_stepper *s, fl_err *err) {
    fl_model *m = s->opts.model;
    bool has_grads = true;
    for (int i = 0; i < m->n_params; i++) has_grads &= !m->param[i].trainable || m->param[i].grad;
    if (!has_grads) FL_TRY(fl_model_grads_new(m, err));
    s->packs = fl_packs_new();
    if (!s->packs) return fl_fail(err, FL_ERR_NOMEM, "packed weights");
    FL_TRY(compile(&s->train, s, true, err));
    if (!s->opts.no_scoring) FL_TRY(compile(&s->score, s, false, err));
    s->opts.optimizer.compute = s->opts.compute;
    s->opts.optimizer.pool = s->opts.pool;
    return fl_optimizer_new(&s->optimizer, m, &s->opts.optimizer, err);
}

fl_status fl_stepper_new(fl_stepper **out, const fl_stepper_opts *o, fl_err *err) {
    fl_stepper *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a stepper");
    *s = (fl_stepper){.opts = *o};
    const fl_status st = set_up(s, err);
    if (st != FL_OK) {
        fl_stepper_free(s);
        return st;
    }
    *out = s;
    return FL_OK;
}

static void put(const compiled *c, fl_val v, const void *data, const fl_batch *b) {
    fl_tensor t = fl_program_tensor(c->p, v);
    if (t.data)
        memcpy(t.data, data, (size_t)(b->B * b->T) * sizeof(int32_t));  // NULL: nothing reads it
}

static fl_status run(compiled *c, const fl_batch *b, bool accumulate, double *sum, fl_err *err) {
    put(c, c->o.tokens, b->tokens, b);
    put(c, c->o.targets, b->targets, b);
    put(c, c->o.weight, b->weight, b);
    put(c, c->o.segment, b->segment, b);
    put(c, c->o.position, b->position, b);
    FL_TRY(fl_program_run(c->p, accumulate, err));
    const fl_tensor t = fl_program_tensor(c->p, c->sum);
    *sum = fl_tensor_get(&t, 0);
    return FL_OK;
}

fl_status fl_stepper_micro(fl_stepper *s, const fl_batch *b, bool first, double *sum, fl_err *err) {
    FL_ASSERT(b->B == s->opts.B && b->T == s->opts.T);
    return run(&s->train, b, !first, sum, err);
}

fl_status fl_stepper_score(fl_stepper *s, const fl_batch *b, double *sum, double *nll,
                           fl_err *err) {
    FL_ASSERT(s->score.p && b->B == s->opts.B && b->T == s->opts.T);
    FL_TRY(run(&s->score, b, false, sum, err));
    *nll = NAN;
    if (s->score.o.nll.id < 0) return FL_OK;
    const fl_tensor t = fl_program_tensor(s->score.p, s->score.o.nll);
    double total = 0;
    for (int64_t i = 0; i < fl_tensor_count(&t); i++)
        if (b->targets[i] >= 0) total += fl_tensor_get(&t, i);
    *nll = total;
    return FL_OK;
}

fl_status fl_stepper_grad_norm(fl_stepper *s, double *norm, fl_err *err) {
    return fl_optimizer_grad_norm(s->optimizer, norm, err);
}

fl_status fl_stepper_update(fl_stepper *s, double lr_factor, double grad_scale, fl_err *err) {
    FL_TRY(fl_optimizer_step(s->optimizer, lr_factor, grad_scale, err));
    fl_packs_changed(s->packs);
    return FL_OK;
}

fl_optimizer *fl_stepper_optimizer(fl_stepper *s) {
    return s->optimizer;
}

void fl_stepper_weights_changed(fl_stepper *s) {
    fl_packs_changed(s->packs);
}

void fl_stepper_stats_get(const fl_stepper *s, fl_stepper_stats *out) {
    *out = (fl_stepper_stats){.packs_bytes = fl_packs_bytes(s->packs)};
    fl_program_stats_get(s->train.p, &out->train);
    if (s->score.p) fl_program_stats_get(s->score.p, &out->score);
    fl_optimizer_stats(s->optimizer, &out->update);
}

void fl_stepper_profile(fl_stepper *s, bool on) {
    fl_program_profile(s->train.p, on);
}

int fl_stepper_profile_rows(const fl_stepper *s, fl_profile_row *rows, int max) {
    return fl_program_profile_rows(s->train.p, rows, max);
}
