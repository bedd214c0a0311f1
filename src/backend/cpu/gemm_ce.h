/* gemm_ce.h - cross-entropy fused with the output projection: what is kept, and the rows'
 * arithmetic per instruction set (isa/ce.c). gemm_ce.c tells how the pieces come together.
 *
 * Logits z exist a tile of FLI_CE_TILE columns at a time. Of each tile and row are kept the maximum
 * and the sum of exp(z - maximum); for the gradient also e = exp(z - maximum) itself, in the
 * engine's format. */
#ifndef FL_BACKEND_CPU_GEMM_CE_H
#define FL_BACKEND_CPU_GEMM_CE_H

#include "backend/cpu/gemm.h"

enum { FLI_CE_TILE = 256, FLI_CE_PAD = 32 /* e is written up to a multiple of this */ };

typedef struct {
    int64_t rows, n_v, n_tiles;
    float softcap;
    const int32_t *target;  // (rows), < 0: ignored
    float *max, *sum;       // (rows, n_tiles)
    float *at_target;       // (rows): the logit of the target
    void *e;                // (rows, lde), or NULL
    fl_dtype e_dtype;
    int64_t lde;
} fli_ce;

typedef struct fli_ce_rows {
    /* A tile of logits (rows x FLI_CE_TILE, spoiled) of rows from r0 on -> max, sum, at_target and
     * e. */
    void (*tile)(const fli_ce *h, float *z, int64_t r0, int64_t rows, int64_t tile);
    /* log sum exp of a row. */
    float (*lse)(const fli_ce *h, int64_t row);
    /* e of columns [v0, v1) of a row becomes g (softmax - onehot), through the cap's slope. */
    void (*gradient)(const fli_ce *h, int64_t row, int64_t v0, int64_t v1, float lse, float g);
} fli_ce_rows;

extern const fli_ce_rows fli_ce_rows_portable, fli_ce_rows_avx2, fli_ce_rows_avx512;

#endif
