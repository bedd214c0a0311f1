/* trainer.h - the loop: batches in, a trained model and a run folder out.
 *
 *     fl_train_job job = {.model = m, .objective = fl_objective_find("next_token"),
 *                         .train = source, .val = pass, .dir = "runs/tales", .opts = opts};
 *     fl_train_result r;
 *     if (fl_train(&job, &r, &err) != FL_OK) ...
 *
 * The loop knows nothing about architectures, objectives, weight transforms or data beyond their
 * seams. It writes metrics.jsonl, samples.jsonl, plan.jsonl, TensorBoard events and checkpoints.
 * Resumed after a kill at any moment it goes on to byte-identical checkpoints; so it does with any
 * number of threads. fl_interrupt makes it save and return FL_OK with r.end =
 * FL_TRAIN_INTERRUPTED. */
#ifndef FL_TRAIN_TRAINER_H
#define FL_TRAIN_TRAINER_H

#include "base/progress.h"
#include "base/text.h"
#include "train/schedule.h"
#include "train/stepper.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t steps;
    int64_t batch_size, seq_len;  // rows and tokens of a micro-batch
    int64_t accumulation;         // micro-batches a step
    fl_optimizer_opts optimizer;
    fl_schedule_opts schedule;
    double clip;  // largest gradient norm; 0: none
    fl_dtype compute;
    size_t memory_limit;                           // for activations; 0: none
    double spike_sigma;                            // 0: only NaN and infinity are skipped
    int64_t spike_most;                            // skipped steps in a row before giving up
    int64_t eval_every, save_every, sample_every;  // steps; 0: never. All happen at the end too
    int64_t keep;                                  // checkpoints; 0: all
    double eval_tokens;       // of a validation along the way; 0: all. The last one takes all
    double stop_at_val_loss;  // 0: never
    double seconds;  // the run must end then, counted from `started`; 0: as long as it takes
    bool resume;     // continue what `dir` holds
} fl_train_opts;

typedef struct {
    fl_model *model;
    const fl_objective *objective;
    fl_source *train;
    fl_source *val;   // one pass; NULL: none
    const char *dir;  // the run's folder
    fl_train_opts opts;
    fl_pool *pool;          // NULL: the process pool
    fl_progress *progress;  // NULL: nobody is looking
    double started;         // fl_now when the user pressed enter; 0: now
    double roof_flops;      // of this machine in this format; 0: unknown

    /* Let the model write something; NULL: no samples. */
    fl_status (*sample)(void *ctx, fl_model *m, fl_text *out, fl_err *err);
    void *sample_ctx;
} fl_train_job;

typedef enum { FL_TRAIN_FINISHED, FL_TRAIN_REACHED, FL_TRAIN_INTERRUPTED } fl_train_end;
typedef struct {
    fl_train_end end;
    int64_t step, steps, n_skipped;
    double loss, val_loss,
        val_bpb;  // the last; NaN when never measured. val_loss in nats per target
    double tokens, seconds, tokens_per_second;
    double flops;  // of all forward and backward passes
} fl_train_result;

FL_MUST_USE fl_status fl_train(const fl_train_job *job, fl_train_result *out, fl_err *err);

/* One pass of `val` from `start` on, or at least `most_tokens` of it if that is not 0, with the
 * stepper's weights. */
typedef struct {
    fl_stepper *stepper;
    const fl_objective *objective;
    fl_source *val;
    const json_t *start;  // position of the first row
    fl_batch *batch;      // to work in
    double most_tokens;
} fl_validation;
typedef struct {
    double loss;           // the objective, per what it counts
    double nll;            // nats per target; NaN when the objective has none
    double bits_per_byte;  // NaN without nll or bytes
    double n_targets, n_bytes;
} fl_val_score;
FL_MUST_USE fl_status fl_validate(const fl_validation *v, fl_val_score *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
