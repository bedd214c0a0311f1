/* plan - two small programs, and the straight line through them. */
#include "train/plan.h"

#include <math.h>
#include <unistd.h>

#include "train/budget.h"
#include "train/dial.h"

/* What planning says about the recipe's model with this many layers. */
static fl_status stats_of(const fl_recipe *r, int64_t layers, fl_pool *pool, fl_stepper_stats *out,
                          fl_err *err) {
    fl_recipe small = *r;  // borrows the strings
    fl_config c;
    fl_model *m;
    fl_train_opts o;
    fl_stepper *s;
    small.depth = layers;
    FL_TRY(fl_recipe_train_opts(&small, &o, err));
    FL_TRY(fl_recipe_config(&small, -1, -1, &c, err));
    FL_TRY(fl_model_new(&m, &c, 0, err));
    const fl_stepper_opts so = {.model = m,
                                .objective = fl_objective_find("next_token"),
                                .optimizer = o.optimizer,
                                .B = o.batch_size,
                                .T = o.seq_len,
                                .compute = o.compute,
                                .no_scoring = true,
                                .pool = pool};
    const fl_status st = fl_stepper_new(&s, &so, err);
    if (st == FL_OK) {
        fl_stepper_stats_get(s, out);
        fl_stepper_free(s);
    }
    fl_model_free(m);
    return st;
}

/* The value at `layers` of the line through its values at one and two. */
static double extend(size_t one, size_t two, int64_t layers) {
    return fmax((double)one, (double)one + ((double)two - (double)one) * (double)(layers - 1));
}

static double state_tensors(const fl_recipe *r, double n_matrix, double n_other) {
    return r->optimizer[0] == 'm' ? n_matrix + 2 * n_other : 2 * (n_matrix + n_other);
}

static fl_status plan_memory(const fl_recipe *r, fl_pool *pool, fl_plan *p, fl_err *err) {
    fl_stepper_stats one, two;
    FL_TRY(stats_of(r, 1, pool, &one, err));
    FL_TRY(stats_of(r, 2, pool, &two, err));
    p->weights_bytes = p->grads_bytes = 4 * p->n_params;
    p->optimizer_bytes = 4 * state_tensors(r, p->n_params - p->n_embedding, p->n_embedding);
    p->activations_bytes = extend(one.train.values_bytes, two.train.values_bytes, r->depth);
    if (r->memory > 0) p->activations_bytes = fmin(p->activations_bytes, r->memory);
    p->packs_bytes = extend(one.packs_bytes, two.packs_bytes, r->depth);
    p->scratch_bytes = fmax((double)two.train.scratch_bytes, (double)two.update.scratch_bytes) +
                       (double)two.update.values_bytes;
    p->total_bytes = p->weights_bytes + p->grads_bytes + p->optimizer_bytes + p->activations_bytes +
                     p->packs_bytes + p->scratch_bytes;
    return FL_OK;
}

static bool fits(double bytes) {
    const double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    return bytes < 0.8 * have;
}

static fl_status plan_time(const fl_recipe *r, double seconds, fl_pool *pool, fl_plan *p,
                           fl_err *err) {
    fl_step_times t;
    FL_TRY(fl_measure_step(r, seconds, pool, &t, err));
    const double step = (double)r->accumulation * t.micro + t.update;
    p->tokens_per_second = p->step_tokens / step;
    p->seconds = p->steps * step;
    return FL_OK;
}

fl_status fl_plan_make(fl_recipe *r, double pass_tokens, double seconds, fl_pool *pool,
                       fl_plan *out, fl_err *err) {
    fl_config c;
    fl_plan p = {0};
    FL_TRY(fl_dial_model(r, err));
    FL_TRY(fl_recipe_config(r, -1, -1, &c, err));
    p.n_params = (double)fl_config_count(&c);
    p.n_embedding = (double)(c.vocab_size * c.hidden_size) * (c.tie_word_embeddings ? 1 : 2);
    p.flops_per_token = fl_config_flops_per_token(&c, r->seq_len);
    fl_config_clear(&c);
    fl_dial_run(r, p.n_params, pass_tokens);
    p.step_tokens = (double)(r->batch_size * r->accumulation * r->seq_len);
    p.steps = (double)r->steps;
    p.tokens = p.steps * p.step_tokens;
    p.flops = p.tokens * p.flops_per_token;
    FL_TRY(plan_memory(r, pool, &p, err));
    if (seconds > 0 && fits(p.total_bytes)) FL_TRY(plan_time(r, seconds, pool, &p, err));
    *out = p;
    return FL_OK;
}
