/* search.h - finding the numbers of a block with the least error.
 *
 * All formats that are written here except Q8_0 and MXFP4 are one shape with other sizes: groups of
 * elements, each with a small integer scale and perhaps a small integer minimum, and one or two f16
 * for the block:
 *
 *     x[i] = d scale[g] q[i] - dmin min[g]
 *
 * q is one of the numbers lo..hi or of sixteen given ones. Formats of one group have scale and min
 * fixed at 1. */
#ifndef FL_TENSOR_QUANT_SEARCH_H
#define FL_TENSOR_QUANT_SEARCH_H

#include "tensor/quant/rows.h"

typedef struct {
    int groups, group;       // how many, elements of each
    int lo, hi;              // the ends of what q can be
    const int8_t *values;    // sixteen ascending ones, or NULL: lo..hi
    int scale_lo, scale_hi;  // what a scale can be
    int min_hi;              // a minimum is 0..min_hi; 0: there is none
} fli_layout;

typedef struct {
    fl_half d, dmin;
    int scale[FL_GROUPS_MAX], min[FL_GROUPS_MAX];
    int8_t q[FL_BLOCK_MAX];
} fli_found;

/* Least sum of weight (x - value)^2 that the search comes across; weight NULL is 1 for all. */
void fli_search(fli_found *out, const fli_layout *f, const float *x, const float *weight);

/* The same with one instruction set; all give the same bytes. */
typedef void fli_search_fn(fli_found *out, const fli_layout *f, const float *x,
                           const float *weight);
fli_search_fn fli_search_portable, fli_search_avx2, fli_search_avx512;

/* The integer next to v, to even, of lo..hi. */
int fli_clamp_round(float v, int lo, int hi);

/* The bits of v as f16, the largest finite one where it is too large. */
fl_half fli_half_of(float v);

#endif
