/* checkpoint.h - a run on disk that can be killed at any moment.
 *
 *   DIR/checkpoints/step-000400/       an ordinary Hugging Face (or PEFT) folder, weights in f32
 *                      /trainer/optimizer.safetensors
 *                      /trainer/state.json          step, plan, data position, guard
 *   DIR/latest -> checkpoints/step-000400
 *
 * A checkpoint is written to a hidden folder, flushed, and takes its name by rename: a folder named
 * step-N is whole. Nothing in it depends on the time or on the number of threads. */
#ifndef FL_TRAIN_CHECKPOINT_H
#define FL_TRAIN_CHECKPOINT_H

#include "base/file.h"
#include "train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `keep` newest checkpoints stay, the others are removed; 0: all stay. */
FL_MUST_USE fl_status fl_checkpoint_save(const char *dir, int64_t step, const fl_model *m,
                                         const fl_optimizer *o, const json_t *state, int64_t keep,
                                         fl_err *err);

/* The newest whole checkpoint's folder, or "" when there is none. */
FL_MUST_USE fl_status fl_checkpoint_latest(char out[FL_PATH_MAX], const char *dir, fl_err *err);

/* Read a checkpoint's weights and optimizer state into a model and optimizer of the same shape. */
FL_MUST_USE fl_status fl_checkpoint_load(const char *path, fl_model *m, fl_optimizer *o,
                                         json_t **state, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
