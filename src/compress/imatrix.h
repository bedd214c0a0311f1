/* imatrix.h - an importance matrix: how strongly the inputs of each weight's columns vary.
 *
 *     fl_imatrix *im;
 *     if (fl_imatrix_load(&im, "model-imatrix.gguf", &err) != FL_OK) ...
 *     const float *w = fl_imatrix_find(im, "blk.0.attn_q.weight", 576, 0);
 *
 * The file is llama.cpp's: GGUF of type "imatrix" with, for every weight, TENSOR.in_sum2 (sums of
 * squares of its inputs) and TENSOR.counts (of how many), one row per expert. */
#ifndef FL_COMPRESS_IMATRIX_H
#define FL_COMPRESS_IMATRIX_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_imatrix fl_imatrix;

FL_MUST_USE fl_status fl_imatrix_load(fl_imatrix **out, const char *path, fl_err *err);
void fl_imatrix_free(fl_imatrix *im);  // NULL is allowed

int fl_imatrix_count(const fl_imatrix *im);       // weights it knows
int64_t fl_imatrix_chunks(const fl_imatrix *im);  // of text it was made from; 0: not said

/* Mean squares of the inputs of `tensor`, `cols` of them, of expert `expert` of `experts` (0 of 1
 * without experts). NULL if it has none of this shape, or the expert never saw a token. */
const float *fl_imatrix_find(const fl_imatrix *im, const char *tensor, int64_t cols, int64_t expert,
                             int64_t experts);

#ifdef __cplusplus
}
#endif

#endif
