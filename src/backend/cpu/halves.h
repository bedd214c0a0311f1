/* halves.h - products with weights of 16 bits where they lie: the engine under linear
 * (halves_avx512.c) and expert_linear (halves_experts.c).
 *
 * A part is all rows of x times at most FLI_HALVES_COLS rows of w, as a gemm: a in the format of
 * fli_halves_engine, b the rows of w where they are, c where the part's columns begin; bias, f32,
 * if there is any. */
#ifndef FL_BACKEND_CPU_HALVES_H
#define FL_BACKEND_CPU_HALVES_H

#include "backend/backend.h"
#include "backend/cpu/gemm.h"

enum { FLI_HALVES_COLS = 32, FLI_HALVES_FEW = 12 };  // rows of w in a part; rows of x at once

const fli_engine *fli_halves_engine(fl_dtype w);
bool fli_halves_take(const fl_call *c);  // the formats of in[0] and in[1], and the result's
size_t fli_halves_scratch(const fli_gemm *g);

/* The worker's next part begins at `next` and is asked for meanwhile; NULL: there is none. */
void fli_halves_part(const fli_gemm *g, const void *next, void *scratch);
void fli_halves_begin(const fli_gemm *first);  // of a worker's parts

extern const fl_kernel fli_halves_expert_linear;

#endif
