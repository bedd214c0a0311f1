/* dial.h - from one number to a whole run: the rules that fill what a recipe leaves open.
 *
 *   width     64 channels a layer, heads of 64 channels, SwiGLU of 8/3 width (rounded up to 64)
 *   vocab     about 4096 (bytes / 4M)^0.4, a power of two from 512 to 65536
 *   rows      256 tokens up to 8 layers, 512 up to 12, then 1024
 *   horizon   20 tokens a parameter (Hoffmann et al. 2022), at most 12 passes over the text
 *   step      8192 (horizon / 30M)^0.45 tokens, a power of two from 1024 on
 *   rates     Muon 0.015 at every width (an orthogonal step does not depend on it); AdamW's
 *             fall as width^-0.5
 *
 * The numbers were tuned on the children's books of data/ at 1 to 8 layers; docs/train.md has the
 * runs. */
#ifndef FL_TRAIN_DIAL_H
#define FL_TRAIN_DIAL_H

#include "model/arch.h"
#include "train/recipe.h"
#include "train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

int64_t fl_dial_vocab(double text_bytes);
void fl_dial_shape(fl_config *c, int64_t depth, int64_t width);  // sets sizes; vocab_size etc. stay
int64_t fl_dial_width(int64_t depth);

/* Set the sizes of the recipe that nobody set from depth or params (default: depth 6). Uses
 * r->vocab_size. */
FL_MUST_USE fl_status fl_dial_model(fl_recipe *r, fl_err *err);

/* The configuration a recipe with all sizes set describes. eos and bos as given, -1: none. */
FL_MUST_USE fl_status fl_recipe_config(const fl_recipe *r, int32_t bos, int32_t eos, fl_config *out,
                                       fl_err *err);

/* Set everything else that nobody set. `n_params` of the model; `pass_tokens` of one pass over the
 * text. */
void fl_dial_run(fl_recipe *r, double n_params, double pass_tokens);

/* The trainer's options a completed recipe describes. */
FL_MUST_USE fl_status fl_recipe_train_opts(const fl_recipe *r, fl_train_opts *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
