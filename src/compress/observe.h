/* observe.h - making an importance matrix: a model reads a text, and what its weights are
 * multiplied by is summed.
 *
 *     fl_observe_opts o = {.context = 512};
 *     if (fl_imatrix_observe(&im, model, ids, n, &o, &err) != FL_OK) ...
 *     fl_imatrix_save(im, "model-imatrix.gguf", &err);
 *
 * The text is cut into windows of `context` tokens, a rest is left out; where the tokenizer begins
 * texts with a token, it stands in the place of each window's first. The figures are those of
 * llama.cpp's llama-imatrix on the same windows, its names too: all matrices of the layers, each
 * expert by itself, not the embedding nor the head.
 *
 * Nothing in the model knows of it: the products are found in the finished graph, and their inputs
 * kept. That takes the memory of all of them, for one window. */
#ifndef FL_COMPRESS_OBSERVE_H
#define FL_COMPRESS_OBSERVE_H

#include "base/progress.h"
#include "compress/imatrix.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t context;        // tokens of a window; 0: 512, or the model's if that is less
    int64_t most;           // windows; 0: all
    const char *text_name;  // NULL: ""
    fl_progress *progress;  // steps by tokens; NULL: nobody is looking
} fl_observe_opts;

FL_MUST_USE fl_status fl_imatrix_observe(fl_imatrix **out, fl_model *m, const int32_t *id,
                                         int64_t n, const fl_observe_opts *o, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
