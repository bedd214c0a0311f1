/* run.h - the whole way from text files to a trained model: what `fledge train` does.
 *
 *   DIR/recipe.yaml       every setting as resolved
 *   DIR/tokenizer/        as trained here (a run with --tokenizer has none)
 *   DIR/data/             token shards
 *   DIR/metrics.jsonl, samples.jsonl, plan.jsonl, events.out.tfevents.*
 *   DIR/checkpoints/, latest
 *   DIR/run.json          machine, sizes, costs, results
 *   DIR/report.html */
#ifndef FL_TRAIN_RUN_H
#define FL_TRAIN_RUN_H

#include "train/recipe.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fl_recipe *recipe;      // completed in place
    fl_pool *pool;          // NULL: the process pool
    fl_progress *progress;  // NULL: nobody is looking
    double started;         // fl_now when the user pressed enter

    /* Let the model write; NULL: no samples. The recipe says from what and how much. */
    fl_status (*sample)(void *ctx, fl_model *m, fl_text *out, fl_err *err);
    void *sample_ctx;
} fl_run_job;

typedef struct {
    fl_train_result train;
    char dir[FL_PATH_MAX];
    int64_t n_params;
    double pass_tokens;  // of the training text
} fl_run_result;

FL_MUST_USE fl_status fl_run(const fl_run_job *job, fl_run_result *out, fl_err *err);

/* Where a recipe's run goes: out, or runs/ and the name of the text. */
FL_MUST_USE fl_status fl_run_folder(char dir[FL_PATH_MAX], const fl_recipe *r, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
