/* trainer - the loop over steps, and what happens between them.
 *
 * A step: micro-batches, norm, verdict of the guard, update. Then, where due: validation, a line of
 * metrics, a sample, a checkpoint, a look at the clock. A checkpoint at step N is written after the
 * lines of step N, so a resumed run cuts the logs back to N and repeats nothing. Changes of plan
 * are decided by the clock, so they are logged before they take effect and read back by a resumed
 * run, which then takes the same steps. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "format/tfevents.h"
#include "train/checkpoint.h"
#include "train/guard.h"
#include "train/lines.h"
#include "train/pace.h"

typedef struct {
    const fl_train_job *job;
    const fl_train_opts *o;
    fl_stepper *stepper;
    fl_batch batch;
    json_t *val_start;  // position of the held-out text's first row
    fl_guard guard;
    fl_pace pace;
    json_t *replans;  // changes of plan of the run that is being resumed, still ahead
    fl_lines *metrics, *samples, *plans;
    fl_tfevents *events;
    fl_costs costs;
    int64_t step;       // done
    double started;     // fl_now at second 0 of the run
    double planned_at;  // fl_now at the last look at the clock
    double tokens;      // targets seen
    double rate;        // tokens per second, running mean
    double flops_per_token;
    fl_train_result r;
} trainer;

/* What one step measured. */
typedef struct {
    double loss, norm, lr_factor, n_targets, seconds;
    bool skipped;
} step_report;

static double seconds_in(const trainer *t) {
    return fl_now() - t->started;
}

/* ---- one step ---- */

static fl_status run_micro_batches(trainer *t, step_report *s, double *count, fl_err *err) {
    double sum = 0;
    *count = 0;
    for (int64_t i = 0; i < t->o->accumulation; i++) {
        double part = 0;
        FL_TRY(t->job->train->row->next(t->job->train, &t->batch, err));
        if (t->batch.n_targets == 0)
            return fl_fail(err, FL_ERR_ARG, "the training data ended at step %lld",
                           (long long)t->step);
        FL_TRY(fl_stepper_micro(t->stepper, &t->batch, i == 0, &part, err));
        sum += part;
        *count += t->job->objective->count(&t->batch);
        s->n_targets += t->batch.n_targets;
    }
    if (*count <= 0)
        return fl_fail(err, FL_ERR_ARG, "step %lld: no token has a weight", (long long)t->step);
    s->loss = sum / *count;
    return FL_OK;
}

static fl_status give_up(const trainer *t, const step_report *s, fl_err *err) {
    return fl_fail(err, FL_ERR_ARG,
                   "training diverged: %lld steps in a row had a loss (now %.4g) or gradient norm "
                   "(now %.4g) that is "
                   "not a number or far above the recent ones; resume from an earlier checkpoint "
                   "with a smaller "
                   "learning rate",
                   (long long)t->guard.n_in_a_row, s->loss, s->norm);
}

static fl_status take_step(trainer *t, step_report *s, fl_err *err) {
    const double start = fl_now();
    double count, scale;
    *s = (step_report){0};
    FL_TRY(run_micro_batches(t, s, &count, err));
    FL_TRY(fl_stepper_grad_norm(t->stepper, &s->norm, err));
    s->norm /= count;
    s->lr_factor = fl_schedule_factor(&t->o->schedule, fl_pace_progress(&t->pace, t->step),
                                      fl_pace_width(&t->pace));
    const fl_guard_verdict verdict = fl_guard_judge(&t->guard, s->loss, s->norm);
    if (verdict == FL_GUARD_GIVE_UP) return give_up(t, s, err);
    s->skipped = verdict == FL_GUARD_SKIP;
    if (s->skipped)
        fl_warn("step %lld skipped: loss %.4g, gradient norm %.4g", (long long)t->step + 1, s->loss,
                s->norm);
    scale = 1 / count;
    if (t->o->clip > 0 && s->norm > t->o->clip) scale *= t->o->clip / s->norm;
    if (!s->skipped) FL_TRY(fl_stepper_update(t->stepper, s->lr_factor, scale, err));
    s->seconds = fl_now() - start;
    t->step++;
    t->tokens += s->n_targets;
    fl_cost_note(&t->costs.step, s->seconds);
    fl_cost_note(&t->rate, s->n_targets / s->seconds);
    return FL_OK;
}

/* ---- between steps ---- */

static bool due(const trainer *t, int64_t every) {
    return t->step == t->pace.steps || (every > 0 && t->step % every == 0);
}

static fl_status validate(trainer *t, fl_val_score *v, fl_err *err) {
    const double start = fl_now();
    const bool last = t->step == t->pace.steps;
    const fl_validation pass = {.stepper = t->stepper,
                                .objective = t->job->objective,
                                .val = t->job->val,
                                .start = t->val_start,
                                .batch = &t->batch,
                                .most_tokens = last ? 0 : t->o->eval_tokens};
    FL_TRY(fl_validate(&pass, v, err));
    fl_cost_note(&t->costs.eval, fl_now() - start);
    t->r.val_loss = isfinite(v->nll) ? v->nll : v->loss;
    t->r.val_bpb = v->bits_per_byte;
    return FL_OK;
}

/* JSON has no NaN: such a number is left out of the line. */
static void put(json_t *line, const char *name, double v) {
    if (isfinite(v)) json_object_set_new(line, name, json_real(v));
}

static double utilisation(const trainer *t, const step_report *s) {
    const double flops = t->flops_per_token * s->n_targets / s->seconds;
    return t->job->roof_flops > 0 ? flops / t->job->roof_flops : NAN;
}

static fl_status log_step(trainer *t, const step_report *s, const fl_val_score *v, fl_err *err) {
    const double pass = t->job->train->n_tokens;
    const struct {
        const char *name;
        double value;
    } row[] = {
        {"loss", s->loss},
        {"grad_norm", s->norm},
        {"learning_rate", s->lr_factor * t->o->optimizer.lr},
        {"epoch", pass > 0 ? t->tokens / pass : NAN},
        {"num_tokens", t->tokens},
        {"train/tok_per_sec", s->n_targets / s->seconds},
        {"train/mfu", utilisation(t, s)},
        {"skipped", s->skipped ? 1 : NAN},
        {"val_loss", v ? t->r.val_loss : NAN},
        {"val_bpb", v ? v->bits_per_byte : NAN},
        {"seconds", seconds_in(t)},
    };
    json_t *line = json_pack("{sI}", "step", (json_int_t)t->step);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (!isfinite(row[i].value)) continue;
        put(line, row[i].name, row[i].value);
        fl_tfevents_scalar(t->events, row[i].name, t->step, row[i].value);
    }
    return fl_lines_add(t->metrics, line, err);
}

/* A young model writes bytes that are no characters; JSON wants U+FFFD for them. NUL ends a JSON
 * string in C. */
static void put_valid(fl_text *out, const fl_text *in) {
    const uint8_t *s = (const uint8_t *)in->data;
    for (size_t i = 0; i < in->n;) {
        int len;
        const bool good = fl_utf8_decode(s + i, in->n - i, &len) > 0;
        fl_text_append(out, good ? (const char *)s + i : "\xef\xbf\xbd", good ? (size_t)len : 3);
        i += (size_t)len;
    }
}

static fl_status write_sample(trainer *t, fl_err *err) {
    const double start = fl_now();
    fl_text text = {0};
    fl_status s = t->job->sample(t->job->sample_ctx, t->job->model, &text, err);
    if (s == FL_OK) s = fl_text_ok(&text, err);
    if (s == FL_OK) {
        fl_text clean = {0};
        put_valid(&clean, &text);
        s = fl_lines_add(t->samples,
                         json_pack("{sIss}", "step", (json_int_t)t->step, "text",
                                   fl_text_str(&clean)),
                         err);
        fl_text_clear(&clean);
    }
    fl_text_clear(&text);
    fl_cost_note(&t->costs.sample, fl_now() - start);
    return s == FL_OK ? s : fl_context(err, s, "sample at step %lld", (long long)t->step);
}

static json_t *state_of(const trainer *t) {
    return json_pack("{sIsIsIsfsIsfsoso}", "step", (json_int_t)t->step, "steps",
                     (json_int_t)t->pace.steps, "plan_step", (json_int_t)t->pace.from_step,
                     "plan_progress", t->pace.from_progress, "updates",
                     (json_int_t)fl_optimizer_updates(fl_stepper_optimizer(t->stepper)),
                     "num_tokens", t->tokens, "data", t->job->train->row->position(t->job->train),
                     "guard", fl_guard_state(&t->guard));
}

static fl_status save(trainer *t, fl_err *err) {
    const double start = fl_now();
    json_t *state = state_of(t);
    if (!state) return fl_fail(err, FL_ERR_NOMEM, "the state of the trainer");
    const fl_status s = fl_checkpoint_save(t->job->dir, t->step, t->job->model,
                                           fl_stepper_optimizer(t->stepper), state, t->o->keep,
                                           err);
    json_decref(state);
    fl_cost_note(&t->costs.save, fl_now() - start);
    return s;
}

/* ---- time ---- */

static fl_status change_plan(trainer *t, int64_t steps, fl_err *err) {
    FL_TRY(
        fl_lines_add(t->plans,
                     json_pack("{sIsI}", "step", (json_int_t)t->step, "steps", (json_int_t)steps),
                     err));
    fl_pace_change(&t->pace, t->step, steps);
    return FL_OK;
}

/* What the interrupted run decided at this step; false when there is nothing more to repeat. */
static bool repeat_plan(trainer *t) {
    const json_t *next = json_array_get(t->replans, 0);
    if (!next) return false;
    if (json_integer_value(json_object_get(next, "step")) == t->step) {
        const int64_t steps = json_integer_value(json_object_get(next, "steps"));
        if (steps > t->step) fl_pace_change(&t->pace, t->step, steps);
        json_array_remove(t->replans, 0);
    }
    return true;
}

/* Look at the clock every hundredth of the time, and change the plan when it is off by one part in
 * 200. */
static fl_status hold_time(trainer *t, fl_err *err) {
    if (repeat_plan(t) || t->o->seconds <= 0 || t->step >= t->pace.steps) return FL_OK;
    const double now = fl_now();
    if (now - t->planned_at < t->o->seconds / 100) return FL_OK;
    t->planned_at = now;
    const fl_deadline d = {.step = t->step,
                           .eval_every = t->job->val ? t->o->eval_every : 0,
                           .save_every = t->o->save_every,
                           .sample_every = t->job->sample ? t->o->sample_every : 0,
                           .seconds_left = t->o->seconds - seconds_in(t),
                           .costs = t->costs};
    const int64_t steps = fl_deadline_steps(&d), off = llabs(steps - t->pace.steps);
    return off * 200 > t->pace.steps - t->step ? change_plan(t, steps, err) : FL_OK;
}

static void show(trainer *t, const step_report *s) {
    fl_progress *p = t->job->progress;
    if (!p) return;
    char rate[FL_HUMAN];
    int n = snprintf(p->detail, sizeof p->detail, "loss %.3f, %s tok/s", s->loss,
                     fl_human_count(t->rate, rate));
    const size_t room = sizeof p->detail, at = n > 0 ? (size_t)n : 0;
    const double roof = utilisation(t, s);
    if (isfinite(roof) && at < room)
        n += snprintf(p->detail + at, room - at, ", %.0f %% of roof", 100 * roof);
    if (isfinite(t->r.val_bpb) && n > 0 && (size_t)n < room)
        snprintf(p->detail + n, room - (size_t)n, ", val %.3f bpb", t->r.val_bpb);
    p->total = (double)t->pace.steps;
    fl_progress_step(p, (double)t->step);
}

/* ---- the loop ---- */

static fl_status after_step(trainer *t, const step_report *s, fl_err *err) {
    fl_val_score v;
    FL_TRY(hold_time(t, err));
    const bool scored = t->job->val && due(t, t->o->eval_every);
    if (scored) FL_TRY(validate(t, &v, err));
    if (scored && t->o->stop_at_val_loss > 0 && t->r.val_loss <= t->o->stop_at_val_loss) {
        t->r.end = FL_TRAIN_REACHED;
        t->pace.steps = t->step;
    }
    t->r.loss = s->loss;
    FL_TRY(log_step(t, s, scored ? &v : NULL, err));
    if (t->job->sample && due(t, t->o->sample_every)) FL_TRY(write_sample(t, err));
    show(t, s);
    return due(t, t->o->save_every) ? save(t, err) : FL_OK;
}

static fl_status loop(trainer *t, fl_err *err) {
    const double begun = fl_now(), tokens = t->tokens;
    fl_status s = FL_OK;
    while (s == FL_OK && t->step < t->pace.steps) {
        step_report report;
        s = take_step(t, &report, err);
        if (s == FL_OK) s = after_step(t, &report, err);
        if (s == FL_OK && fl_interrupted() && t->step < t->pace.steps) {
            t->r.end = FL_TRAIN_INTERRUPTED;
            s = save(t, err);
            break;
        }
    }
    const double took = fl_now() - begun;
    t->r.tokens_per_second = took > 0 ? (t->tokens - tokens) / took : 0;
    return s;
}

/* ---- beginning and end ---- */

/* Second 0 of a resumed run lies as far back as the interrupted one had got. */
static fl_status resume_clock(trainer *t, const char *path, fl_err *err) {
    json_t *lines;
    FL_TRY(fl_lines_read(&lines, path, t->step, err));
    const size_t n = json_array_size(lines);
    const json_t *last = n ? json_array_get(lines, n - 1) : NULL;
    t->started = fl_now() - json_number_value(json_object_get(last, "seconds"));
    json_decref(lines);
    return FL_OK;
}

/* The changes of plan after the step resumed from. */
static fl_status resume_plan(trainer *t, const char *path, fl_err *err) {
    json_t *all;
    FL_TRY(fl_lines_read(&all, path, INT64_MAX, err));
    while (json_array_size(all) &&
           json_integer_value(json_object_get(json_array_get(all, 0), "step")) <= t->pace.from_step)
        json_array_remove(all, 0);
    t->replans = all;
    return FL_OK;
}

static fl_status restore(trainer *t, const json_t *state, const char *where, fl_err *err) {
    FL_TRY(fl_json_int(state, "step", &t->step, where, err));
    FL_TRY(fl_json_int(state, "steps", &t->pace.steps, where, err));
    FL_TRY(fl_json_int(state, "plan_step", &t->pace.from_step, where, err));
    FL_TRY(fl_json_real(state, "plan_progress", &t->pace.from_progress, where, err));
    FL_TRY(fl_json_real(state, "num_tokens", &t->tokens, where, err));
    FL_TRY(fl_guard_restore(&t->guard, json_object_get(state, "guard"), where, err));
    if (t->o->seconds <= 0 && t->o->steps > t->step) t->pace.steps = t->o->steps;
    return t->job->train->row->seek(t->job->train, json_object_get(state, "data"), err);
}

static fl_status resume(trainer *t, const char *checkpoint, fl_err *err) {
    json_t *state;
    FL_TRY(fl_checkpoint_load(checkpoint, t->job->model, fl_stepper_optimizer(t->stepper), &state,
                              err));
    fl_stepper_weights_changed(t->stepper);
    const fl_status s = restore(t, state, checkpoint, err);
    json_decref(state);
    return s == FL_OK ? s : fl_context(err, s, "resuming %s", checkpoint);
}

static fl_status find_start(trainer *t, fl_err *err) {
    char checkpoint[FL_PATH_MAX];
    FL_TRY(fl_checkpoint_latest(checkpoint, t->job->dir, err));
    if (checkpoint[0] && !t->o->resume)
        return fl_fail(err, FL_ERR_ARG,
                       "%s holds a run already: --resume continues it, --out names another folder",
                       t->job->dir);
    return checkpoint[0] ? resume(t, checkpoint, err) : FL_OK;
}

static fl_status open_logs(trainer *t, fl_err *err) {
    char metrics[FL_PATH_MAX], samples[FL_PATH_MAX], plans[FL_PATH_MAX];
    FL_TRY(fl_path_join(metrics, t->job->dir, "metrics.jsonl", err));
    FL_TRY(fl_path_join(samples, t->job->dir, "samples.jsonl", err));
    FL_TRY(fl_path_join(plans, t->job->dir, "plan.jsonl", err));
    if (t->step > 0) FL_TRY(resume_clock(t, metrics, err));
    if (t->step > 0 && t->o->seconds > 0) FL_TRY(resume_plan(t, plans, err));
    FL_TRY(fl_lines_open(&t->metrics, metrics, t->step, err));
    FL_TRY(fl_lines_open(&t->samples, samples, t->step, err));
    FL_TRY(fl_lines_open(&t->plans, plans, t->step > 0 ? INT64_MAX : -1, err));
    return fl_tfevents_open(&t->events, t->job->dir, err);
}

static fl_status begin(trainer *t, fl_err *err) {
    const fl_train_opts *o = t->o;
    const fl_stepper_opts so = {.model = t->job->model,
                                .objective = t->job->objective,
                                .optimizer = o->optimizer,
                                .B = o->batch_size,
                                .T = o->seq_len,
                                .compute = o->compute,
                                .memory_limit = o->memory_limit,
                                .no_scoring = !t->job->val,
                                .pool = t->job->pool};
    FL_TRY(fl_dir_make(t->job->dir, err));
    FL_TRY(fl_batch_new(&t->batch, o->batch_size, o->seq_len, err));
    if (t->job->val && !(t->val_start = t->job->val->row->position(t->job->val)))
        return fl_fail(err, FL_ERR_NOMEM, "the position of the held-out text");
    FL_TRY(fl_stepper_new(&t->stepper, &so, err));
    FL_TRY(find_start(t, err));
    FL_TRY(open_logs(t, err));
    fl_progress_begin(t->job->progress, "training", "steps", (double)t->pace.steps);
    return FL_OK;
}

static fl_status end(trainer *t, fl_status s, fl_err *err) {
    fl_progress_end(t->job->progress);
    if (t->events) {
        const fl_status closed = fl_tfevents_close(t->events, s == FL_OK ? err : NULL);
        if (s == FL_OK) s = closed;
    }
    fl_lines_close(t->metrics);
    fl_lines_close(t->samples);
    fl_lines_close(t->plans);
    json_decref(t->replans);
    json_decref(t->val_start);
    fl_stepper_free(t->stepper);
    fl_batch_clear(&t->batch);
    return s;
}

fl_status fl_train(const fl_train_job *job, fl_train_result *out, fl_err *err) {
    const fl_train_opts *o = &job->opts;
    trainer t = {.job = job,
                 .o = o,
                 .guard = {.sigma = o->spike_sigma, .most = o->spike_most > 0 ? o->spike_most : 1},
                 .pace = {.steps = o->steps},
                 .started = job->started > 0 ? job->started : fl_now(),
                 .planned_at = fl_now(),
                 .flops_per_token = fl_config_flops_per_token(&job->model->config, o->seq_len),
                 .r = {.loss = NAN, .val_loss = NAN, .val_bpb = NAN}};
    fl_status s = begin(&t, err);
    if (s == FL_OK) s = loop(&t, err);
    t.r.step = t.step;
    t.r.steps = t.pace.steps;
    t.r.n_skipped = t.guard.n_skipped;
    t.r.tokens = t.tokens;
    t.r.flops = t.tokens * t.flops_per_token;
    t.r.seconds = seconds_in(&t);
    s = end(&t, s, err);
    if (s == FL_OK) *out = t.r;
    return s;
}
