/* tune.h - teach a model from prompts and completions: what `fledge tune` does.
 *
 * Nothing here trains: it puts a weight transform on the model (none for method "full"), a source
 * of pairs and the objective "chosen_tokens" together and hands them to the trainer. The run's
 * checkpoints are PEFT folders for a transform, model folders otherwise. */
#ifndef FL_TUNE_TUNE_H
#define FL_TUNE_TUNE_H

#include "base/json.h"
#include "model/transform.h"
#include "train/recipe.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;
    const fl_transform *transform;  // NULL: the model's own weights learn
    const char *help;
} fl_tune_method;
extern const fl_tune_method fl_tune_methods[];  // ends with a NULL name
const fl_tune_method *fl_tune_method_find(const char *name);

typedef struct {
    const char *model;       // folder of the base
    const char *data;        // prompts and completions; data/pairs.h
    const char *val;         // the same, held out; NULL: none
    const char *method;      // a row of fl_tune_methods
    const json_t *settings;  // of the transform: for lora the fields of adapter_config.json
    bool padded;             // one example a row instead of packed ones
    bool skip_overlong;
    fl_recipe *recipe;  // what is open is filled for tuning
    fl_pool *pool;
    fl_progress *progress;
} fl_tune_job;

typedef struct {
    fl_train_result train;
    char dir[FL_PATH_MAX];
    int64_t n_examples, n_skipped, n_rows;
    int64_t n_params, n_trained;
} fl_tune_result;

FL_MUST_USE fl_status fl_tune(const fl_tune_job *job, fl_tune_result *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
