/* budget - time a few sizes, draw the line between them, and look along it for the lowest predicted
 * loss. */
#include "train/budget.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "train/dial.h"

/* Fitted to what the dial's models reach in minutes on the tales of data/, within 0.02
 * (docs/train.md): the constants of the literature describe models a hundred times larger, and
 * their R_DATA of 15.4 lets a text be read four times almost for free, which models this small
 * answer by learning it by heart. R_PARAMS: Muennighoff et al. 2023. */
static const double E = 3.09, A = 11.1, B = 435, ALPHA = 0.25, BETA = 0.45;
static const double R_DATA = 1.5, R_PARAMS = 5.31, PARAMS_PER_TOKEN = 0.5;

/* More passes than this learn the text by heart: held-out loss rises again. */
static const double MOST_PASSES = 10;

/* `x` of something whose first `u` are worth their number and the rest less and less. */
static double worth(double x, double u, double r) {
    return u > 0 && x > u ? u * (1 + r * (1 - exp(-(x / u - 1) / r))) : x;
}

double fl_budget_loss(double n, double d, double u) {
    return E + A / pow(worth(n, PARAMS_PER_TOKEN * u, R_PARAMS), ALPHA) +
           B / pow(worth(d, u, R_DATA), BETA);
}

/* ---- measuring ---- */

/* Any tokens cost the same. */
static void fill_batch(fl_batch *b, int64_t vocab) {
    fl_rng rng = {.stream = fl_rng_stream("measure")};
    for (int64_t i = 0; i < b->B * b->T; i++) {
        b->tokens[i] = (int32_t)fl_rng_below(&rng, (uint64_t)vocab);
        b->targets[i] = (int32_t)fl_rng_below(&rng, (uint64_t)vocab);
        b->weight[i] = 1;
        b->position[i] = (int32_t)(i % b->T);
    }
    b->n_targets = (double)(b->B * b->T);
}

/* The fastest of several, the first being the one that touches the memory. */
static fl_status time_stepper(fl_stepper *s, fl_batch *b, double seconds, fl_step_times *out,
                              fl_err *err) {
    const double end = fl_now() + seconds;
    fl_step_times best = {INFINITY, INFINITY, INFINITY};
    for (int i = 0; i < 2 || fl_now() < end; i++) {
        double sum, nll, norm, at[4];
        at[0] = fl_now();
        FL_TRY(fl_stepper_micro(s, b, true, &sum, err));
        at[1] = fl_now();
        FL_TRY(fl_stepper_grad_norm(s, &norm, err));
        FL_TRY(fl_stepper_update(s, 1, 1 / b->n_targets, err));
        at[2] = fl_now();
        FL_TRY(fl_stepper_score(s, b, &sum, &nll, err));
        at[3] = fl_now();
        if (i == 0) continue;
        best.micro = fmin(best.micro, at[1] - at[0]);
        best.update = fmin(best.update, at[2] - at[1]);
        best.score = fmin(best.score, at[3] - at[2]);
    }
    *out = best;
    return FL_OK;
}

static fl_status measure_model(const fl_recipe *r, fl_model *m, double seconds, fl_pool *pool,
                               fl_step_times *out, fl_err *err) {
    fl_train_opts o;
    fl_stepper *s = NULL;
    fl_batch b = {0};
    FL_TRY(fl_recipe_train_opts(r, &o, err));
    const fl_stepper_opts so = {.model = m,
                                .objective = fl_objective_find("next_token"),
                                .optimizer = o.optimizer,
                                .B = o.batch_size,
                                .T = o.seq_len,
                                .compute = o.compute,
                                .memory_limit = o.memory_limit,
                                .pool = pool};
    fl_status st = fl_stepper_new(&s, &so, err);
    if (st == FL_OK) st = fl_batch_new(&b, so.B, so.T, err);
    if (st == FL_OK) fill_batch(&b, r->vocab_size);
    if (st == FL_OK) st = time_stepper(s, &b, seconds, out, err);
    fl_batch_clear(&b);
    fl_stepper_free(s);
    return st;
}

fl_status fl_measure_step(const fl_recipe *r, double seconds, fl_pool *pool, fl_step_times *out,
                          fl_err *err) {
    fl_config c;
    fl_model *m;
    FL_TRY(fl_recipe_config(r, -1, -1, &c, err));
    FL_TRY(fl_model_new(&m, &c, 0, err));
    const fl_status s = measure_model(r, m, seconds, pool, out, err);
    fl_model_free(m);
    return s == FL_OK ? s : fl_context(err, s, "measuring this machine");
}

/* ---- candidates ---- */

typedef struct {
    fl_recipe r;              // borrows the job's strings
    double n_params, n_core;  // all; without embeddings
    double flops;             // per token
    fl_step_times times;      // per token of a micro-batch; the update per step
    double tokens, loss;
    bool by_heart;  // the time would allow more passes than the text is good for
} candidate;

enum { MAX_DEPTH = 24, MAX_MEASURED = 4, MAX_CANDIDATES = 2 * MAX_DEPTH };

static bool is_open(const fl_recipe *r) {
    return r->depth == FL_UNSET && r->width == FL_UNSET && isnan(r->params);
}

static fl_status describe(candidate *c, const fl_recipe *base, int64_t depth, int64_t width,
                          fl_err *err) {
    fl_config config;
    *c = (candidate){.r = *base};
    if (depth > 0) c->r.depth = depth, c->r.width = width;
    FL_TRY(fl_dial_model(&c->r, err));
    FL_TRY(fl_recipe_config(&c->r, -1, -1, &config, err));
    c->n_params = (double)fl_config_count(&config);
    c->n_core = c->n_params - (double)(config.vocab_size * config.hidden_size) *
                                  (config.tie_word_embeddings ? 1 : 2);
    c->flops = fl_config_flops_per_token(&config, c->r.seq_len);
    fl_config_clear(&config);
    return FL_OK;
}

/* How many rows the dial would compute at once does not matter for what a token costs; measure with
 * few. */
static fl_status measure(candidate *c, double seconds, fl_pool *pool, fl_err *err) {
    fl_recipe r = c->r;
    r.tokens = 3e7;
    r.steps = FL_UNSET;
    fl_dial_run(&r, c->n_params, 0);
    const double tokens = (double)(r.batch_size * r.seq_len);
    FL_TRY(fl_measure_step(&r, seconds, pool, &c->times, err));
    c->times.micro /= tokens;
    c->times.score /= tokens;
    return FL_OK;
}

/* y at x on the line through two points, both axes logarithmic. */
static double between(double x, double x0, double y0, double x1, double y1) {
    return exp(log(y0) + (log(y1) - log(y0)) * (log(x) - log(x0)) / (log(x1) - log(x0)));
}

static void interpolate(candidate *c, const candidate *m, int n) {
    int i = 0;
    if (n == 1) {
        c->times = m[0].times;
        return;
    }
    while (i + 2 < n && m[i + 1].flops < c->flops) i++;
    const candidate *a = &m[i], *b = &m[i + 1];
    c->times.micro = between(c->flops, a->flops, a->times.micro, b->flops, b->times.micro);
    c->times.score = between(c->flops, a->flops, a->times.score, b->flops, b->times.score);
    c->times.update = between(c->n_params, a->n_params, a->times.update, b->n_params,
                              b->times.update);
}

/* ---- prediction ---- */

/* Seconds that are not training: validations, checkpoints, samples, and the beginning. */
static double overhead(const candidate *c, const fl_budget_job *job) {
    const double evals = (double)c->r.steps / (double)c->r.eval_every;
    const double eval_tokens = fmin(c->r.eval_tokens, job->val_tokens);
    const double saves = (double)c->r.steps / (double)c->r.save_every,
                 disk = 2e8;  // bytes a second, with fsync
    const double samples = job->samples ? (double)c->r.steps / (double)c->r.sample_every + 1 : 0;
    return (evals * eval_tokens + job->val_tokens) * c->times.score +
           saves * (12 * c->n_params / disk + 0.05) +
           samples * (double)c->r.sample_tokens * (0.002 + c->n_params / 2e9) + 0.3;
}

/* Complete the candidate for the time: tokens, steps, batch; then predict. */
static void predict(candidate *c, const fl_budget_job *job, const fl_recipe *base) {
    double step_tokens = 8192, seconds = 0.97 * job->seconds_left;
    for (int i = 0; i < 3; i++) {
        c->tokens = fmax(step_tokens, seconds / (c->times.micro + c->times.update / step_tokens));
        const double most = job->pass_tokens > 0 ? MOST_PASSES * job->pass_tokens : INFINITY;
        c->by_heart = c->tokens > most;
        c->tokens = fmin(c->tokens, most);
        fl_recipe r = *base;
        r.depth = c->r.depth, r.width = c->r.width, r.heads = c->r.heads,
        r.kv_heads = c->r.kv_heads;
        r.head_dim = c->r.head_dim, r.ff = c->r.ff, r.seq_len = c->r.seq_len;
        r.tokens = c->tokens;
        if (isnan(r.eval_tokens)) r.eval_tokens = fmin(65536, fmax(8192, c->tokens * 0.002));
        fl_dial_run(&r, c->n_params, job->pass_tokens);
        c->r = r;
        step_tokens = (double)(r.batch_size * r.accumulation * r.seq_len);
        seconds = 0.97 * job->seconds_left - overhead(c, job);
    }
    c->loss = fl_budget_loss(c->n_core, c->tokens, job->pass_tokens);
}

/* Seconds that measuring `next` would take, from the last one measured: two rounds of a step and a
 * scoring. */
static double measuring_time(const candidate *last, const candidate *next) {
    return 2.5 * 8192 * last->times.micro * next->flops / last->flops;
}

/* Larger and larger sizes, as long as it stays a small part of the time. */
static fl_status measure_some(candidate *m, int *n, const fl_budget_job *job, fl_err *err) {
    static const int64_t depths[MAX_MEASURED] = {1, 3, 6, 10};
    const double begun = fl_now(), allowed = fmin(10, 0.04 * job->seconds_left);
    const int wanted = is_open(job->recipe) ? MAX_MEASURED : 1;
    fl_progress_begin(job->progress, "measuring", "sizes", wanted);
    for (*n = 0; *n < wanted; (*n)++) {
        candidate *c = &m[*n];
        const int64_t depth = wanted == 1 ? 0 : depths[*n];
        FL_TRY(describe(c, job->recipe, depth, fl_dial_width(depth), err));
        if (*n >= 2 && fl_now() - begun + measuring_time(c - 1, c) > allowed) break;
        FL_TRY(measure(c, allowed / 16, job->pool, err));
        fl_progress_step(job->progress, *n + 1);
    }
    fl_progress_end(job->progress);
    return FL_OK;
}

static void explain(const candidate *best, const candidate *all, int n, const fl_budget_job *job) {
    char params[FL_HUMAN], tokens[FL_HUMAN], speed[FL_HUMAN];
    for (int i = 0; i < n; i++) {
        fl_debug("depth %lld x %lld: %s parameters, %s tokens at %s/s, predicted loss %.4f",
                 (long long)all[i].r.depth, (long long)all[i].r.width,
                 fl_human_count(all[i].n_params, params), fl_human_count(all[i].tokens, tokens),
                 fl_human_count(1 / all[i].times.micro, speed), all[i].loss);
    }
    fl_note(
        "budget: this machine trains depth %lld (%s parameters) at %s tokens/s, which is %s tokens "
        "or %.1f passes "
        "over the text in the time left; smaller models would end higher for lack of size, larger "
        "ones for lack of "
        "steps",
        (long long)best->r.depth, fl_human_count(best->n_params, params),
        fl_human_count(1 / best->times.micro, speed), fl_human_count(best->tokens, tokens),
        best->tokens / job->pass_tokens);
}

/* Widths of 64 and 80 channels a layer, deeper and deeper. */
static fl_status list_candidates(candidate *c, int *n, const candidate *m, int n_measured,
                                 const fl_budget_job *job, fl_err *err) {
    const bool open = is_open(job->recipe);
    for (int64_t depth = open ? 1 : 0; depth <= (open ? MAX_DEPTH : 0); depth++) {
        for (int64_t wide = 0; wide < (open && depth >= 4 ? 2 : 1); wide++) {
            const int64_t width = fl_dial_width(depth) + wide * 64 * (depth / 4);
            FL_TRY(describe(&c[*n], job->recipe, depth, width, err));
            interpolate(&c[*n], m, n_measured);
            predict(&c[*n], job, job->recipe);
            (*n)++;
        }
    }
    return FL_OK;
}

fl_status fl_budget_choose(const fl_budget_job *job, fl_err *err) {
    candidate measured[MAX_MEASURED], all[MAX_CANDIDATES];
    const double begun = fl_now();
    int n_measured = 0, n = 0;
    if (job->seconds_left < 2)
        return fl_fail(err, FL_ERR_ARG,
                       "budget: the tokenizer and the data took it all; give more time");
    FL_TRY(measure_some(measured, &n_measured, job, err));
    fl_budget_job rest = *job;
    rest.seconds_left -= fl_now() - begun;
    FL_TRY(list_candidates(all, &n, measured, n_measured, &rest, err));
    const candidate *best = &all[0];
    for (int i = 1; i < n; i++)
        if (all[i].loss < best->loss) best = &all[i];
    explain(best, all, n, &rest);
    fl_recipe chosen = best->r;
    chosen.tokens = job->recipe->tokens;
    if (best->by_heart) {
        fl_warn(
            "the text is small for this time: the run ends early, after %.0f passes; more would "
            "only learn it by heart",
            MOST_PASSES);
        chosen.budget = NAN;
    }
    *job->recipe = chosen;
    return FL_OK;
}
