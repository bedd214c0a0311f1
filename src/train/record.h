/* record.h - what a run leaves beside its checkpoints: run.json (machine, sizes, costs, results)
 * and report.html, made from it and the logs. */
#ifndef FL_TRAIN_RECORD_H
#define FL_TRAIN_RECORD_H

#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const fl_train_result *train;
    int64_t n_params, n_trained;
    double pass_tokens;  // of the training data
    fl_pool *pool;       // NULL: the process pool
} fl_record;
FL_MUST_USE fl_status fl_record_write(const fl_record *r, const char *dir, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
