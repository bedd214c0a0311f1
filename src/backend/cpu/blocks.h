/* blocks.h - what the files of the row `blocks` share. */
#ifndef FL_BACKEND_CPU_BLOCKS_H
#define FL_BACKEND_CPU_BLOCKS_H

#include "backend/backend.h"

extern const fl_kernel fli_blocks_expert_linear, fli_blocks_expert_linear_dx;

/* A weight of this row: in blocks, or in f16. */
bool fli_blocks_take(const fl_tensor *w);

/* What it multiplies them by, in f32. */
bool fli_blocks_real(const fl_tensor *x);

/* Elements [k0, k0 + n) of row r as f32, and the other way. */
void fli_blocks_get(const fl_tensor *t, int64_t r, int64_t k0, int64_t n, float *out);
void fli_blocks_put(const fl_tensor *t, int64_t r, int64_t k0, int64_t n, const float *v);

/* The same of x, as w is multiplied by it: rounded to 8 bits where w is in blocks. */
void fli_blocks_get_x(const fl_tensor *x, const fl_tensor *w, int64_t r, int64_t k0, int64_t n,
                      float *out);

#endif
