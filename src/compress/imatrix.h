/* imatrix.h - an importance matrix: how strongly the inputs of each weight's columns vary.
 *
 *     fl_imatrix *im;
 *     if (fl_imatrix_load(&im, "model-imatrix.gguf", &err) != FL_OK) ...
 *     const float *w = fl_imatrix_find(im, "blk.0.attn_q.weight", 576, 0, 1);
 *
 * The file is llama.cpp's: GGUF of type "imatrix" with, for every weight, TENSOR.in_sum2 (sums of
 * squares of its inputs) and TENSOR.counts (of how many), one row per expert; or the older kind,
 * read only:
 *
 *     i32 entries | entries | i32 chunks | string: the text's name      the last two may be missing
 *     entry: string TENSOR, i32 calls, i32 n, f32 [n]: means of squares times calls
 *     string: i32 bytes, then the bytes
 *
 * compress/observe.h makes one. */
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
FL_MUST_USE fl_status fl_imatrix_save(const fl_imatrix *im, const char *path, fl_err *err);
void fl_imatrix_free(fl_imatrix *im);  // NULL is allowed

/* The text it was made from. */
typedef struct {
    const char *name;            // "": not said
    int64_t chunks, chunk_size;  // how many, of how many tokens; 0: not said
} fl_imatrix_text;

int fl_imatrix_count(const fl_imatrix *im);  // weights it knows
fl_imatrix_text fl_imatrix_text_of(const fl_imatrix *im);

/* Mean squares of the inputs of `tensor`, `cols` of them, of expert `expert` of `experts` (0 of 1
 * without experts). NULL if it has none of this shape, or the expert never saw a token. */
const float *fl_imatrix_find(const fl_imatrix *im, const char *tensor, int64_t cols, int64_t expert,
                             int64_t experts);

/* ---- making ---- */

fl_imatrix *fl_imatrix_new(void);  // NULL when memory is exhausted
FL_MUST_USE fl_status fl_imatrix_set_text(fl_imatrix *im, const fl_imatrix_text *text, fl_err *err);

/* Sums of squares (rows, cols) and of how many inputs each row is, f32 at any address. A tensor is
 * put once. */
FL_MUST_USE fl_status fl_imatrix_put(fl_imatrix *im, const char *tensor, int64_t rows, int64_t cols,
                                     const void *sum, const void *count, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
