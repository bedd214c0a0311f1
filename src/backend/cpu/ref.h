/* ref.h - what the reference kernels share: rows as doubles, results rounded once. */
#ifndef FL_BACKEND_CPU_REF_H
#define FL_BACKEND_CPU_REF_H

#include "backend/backend.h"

typedef void fli_ref_run(const fl_call *c, int64_t begin, int64_t end, void *scratch);
typedef size_t fli_ref_bytes(const fl_call *c);

fli_ref_run fli_ref_add, fli_ref_mul, fli_ref_scale, fli_ref_cast, fli_ref_axpby, fli_ref_unary,
    fli_ref_unary_grad, fli_ref_gated, fli_ref_gated_grad, fli_ref_broadcast, fli_ref_sum_to;
fli_ref_run fli_ref_embedding, fli_ref_embedding_grad, fli_ref_layer_norm, fli_ref_layer_norm_grad,
    fli_ref_rms_norm, fli_ref_rms_norm_grad, fli_ref_rope, fli_ref_softmax, fli_ref_cache_append;
fli_ref_run fli_ref_linear, fli_ref_linear_dx, fli_ref_linear_dw, fli_ref_matmul;
fli_ref_run fli_ref_slice, fli_ref_pad, fli_ref_route, fli_ref_route_grad, fli_ref_expert_linear,
    fli_ref_expert_linear_dx, fli_ref_expert_linear_dw, fli_ref_combine, fli_ref_combine_grad;
fli_ref_run fli_ref_attention, fli_ref_attention_grad, fli_ref_attention_sink_grad,
    fli_ref_linear_ce, fli_ref_linear_ce_grad;
fli_ref_run fli_ref_sum_squares, fli_ref_adamw, fli_ref_muon_momentum, fli_ref_muon_apply,
    fli_ref_rsqrt_scale;

fli_ref_bytes fli_ref_sum_to_scratch, fli_ref_embedding_grad_scratch, fli_ref_norm_scratch,
    fli_ref_product_scratch, fli_ref_matmul_scratch, fli_ref_attention_scratch,
    fli_ref_attention_grad_scratch, fli_ref_linear_ce_scratch, fli_ref_linear_ce_grad_scratch,
    fli_ref_softmax_scratch, fli_ref_route_scratch, fli_ref_expert_linear_scratch;

/* Row `r` of t as doubles, each rounded to `as` first when that is a 16-bit format: an operand of a
 * product takes the format of in[0]. */
void fli_ref_row(const fl_tensor *t, int64_t r, fl_dtype as, double *out);

/* Row `r` of in[0] of a product with in[1]: in 8 bits where that is in blocks, except in f64, where
 * gradients are checked. */
void fli_ref_x_row(const fl_call *c, int64_t r, double *out);

/* out[k][i] = v, or += v where the call accumulates. Nothing if the output is not wanted. */
void fli_ref_put(const fl_call *c, int k, int64_t i, double v, bool accumulate);

double fli_ref_dot(const double *a, const double *b, int64_t n);

/* The row of a cache, which may lie in pages (table not NULL), that is number s of row b of the
 * batch. */
int64_t fli_ref_cache_row(const fl_tensor *cache, const fl_tensor *table, int64_t b, int64_t s);

#endif
