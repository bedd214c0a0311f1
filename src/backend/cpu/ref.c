/* ref - every operation in the most obvious C: the truth the fast kernels are held to.
 *
 * Arithmetic is in double and any float format may come in or go out; each result is rounded once.
 * Nothing in the ref files may be rewritten for speed. */
#include "backend/cpu/ref.h"

#include "tensor/quant.h"

/* A block format's numbers are what they are: not rounded to another's format. */
static void whole_blocks(const fl_tensor *row, double *out) {
    const int64_t block = fl_dtype_block(row->dtype);
    const char *from = row->data;
    for (int64_t at = 0; at < row->dim[0]; at += block) {
        float v[FL_BLOCK_MAX];
        fl_dequantize(v, row->dtype, from + fl_dtype_row_bytes(row->dtype, at), block);
        for (int64_t i = 0; i < block; i++) out[at + i] = (double)v[i];
    }
}

void fli_ref_row(const fl_tensor *t, int64_t r, fl_dtype as, double *out) {
    const int64_t n = fl_tensor_cols(t);
    fl_tensor row = fl_tensor_of(NULL, t->dtype, 1, &n);
    row.data = (char *)t->data + (size_t)r * fl_dtype_row_bytes(t->dtype, n);
    if (fl_dtype_is_block(t->dtype)) {
        whole_blocks(&row, out);
        return;
    }
    if (t->dtype == FL_F16) as = FL_F64;  // it is what it is, too
    for (int64_t i = 0; i < n; i++) {
        out[i] = fl_tensor_get(&row, i);
        if (as == FL_BF16) out[i] = (double)fl_bf16_to_f32(fl_f32_to_bf16((float)out[i]));
        if (as == FL_F16) out[i] = (double)fl_f16_to_f32(fl_f32_to_f16((float)out[i]));
    }
}

void fli_ref_x_row(const fl_call *c, int64_t r, double *out) {
    const int64_t n = fl_tensor_cols(&c->in[0]);
    fli_ref_row(&c->in[0], r, FL_F64, out);
    if (!fl_dtype_is_block(c->in[1].dtype) || c->in[0].dtype == FL_F64) return;
    for (int64_t at = 0; at < n; at += FL_X_GROUP) {
        float x[FL_X_GROUP], scale;
        int8_t q[FL_X_GROUP];
        for (int i = 0; i < FL_X_GROUP; i++) x[i] = (float)out[at + i];
        fl_quantize_x(q, &scale, x, FL_X_GROUP);
        for (int i = 0; i < FL_X_GROUP; i++) out[at + i] = (double)scale * q[i];
    }
}

void fli_ref_put(const fl_call *c, int k, int64_t i, double v, bool accumulate) {
    if (!c->out[k].rank) return;
    fl_tensor_set(&c->out[k], i, accumulate ? fl_tensor_get(&c->out[k], i) + v : v);
}

double fli_ref_dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static bool always(void) {
    return true;
}

#define ONE(ID, fn)                     \
    [FL_OP_##ID] = &(const fl_kernel) { \
        .phase = { {NULL, fn} }         \
    }
#define WITH(ID, fn, bytes)                     \
    [FL_OP_##ID] = &(const fl_kernel) {         \
        .phase = {{NULL, fn}}, .scratch = bytes \
    }

const fl_backend fl_backend_ref = {
    .name = "ref",
    .needs = "nothing",
    .available = always,
    .kernel =
        {
            ONE(ADD, fli_ref_add),
            ONE(MUL, fli_ref_mul),
            ONE(SCALE, fli_ref_scale),
            ONE(CAST, fli_ref_cast),
            WITH(SUM_TO, fli_ref_sum_to, fli_ref_sum_to_scratch),
            ONE(BROADCAST, fli_ref_broadcast),
            ONE(UNARY, fli_ref_unary),
            ONE(UNARY_GRAD, fli_ref_unary_grad),
            ONE(GATED, fli_ref_gated),
            ONE(GATED_GRAD, fli_ref_gated_grad),
            ONE(EMBEDDING, fli_ref_embedding),
            WITH(EMBEDDING_GRAD, fli_ref_embedding_grad, fli_ref_embedding_grad_scratch),
            WITH(LAYER_NORM, fli_ref_layer_norm, fli_ref_norm_scratch),
            WITH(LAYER_NORM_GRAD, fli_ref_layer_norm_grad, fli_ref_norm_scratch),
            WITH(RMS_NORM, fli_ref_rms_norm, fli_ref_norm_scratch),
            WITH(RMS_NORM_GRAD, fli_ref_rms_norm_grad, fli_ref_norm_scratch),
            ONE(ROPE, fli_ref_rope),
            WITH(SOFTMAX, fli_ref_softmax, fli_ref_softmax_scratch),
            WITH(LINEAR, fli_ref_linear, fli_ref_product_scratch),
            WITH(LINEAR_DX, fli_ref_linear_dx, fli_ref_product_scratch),
            WITH(LINEAR_DW, fli_ref_linear_dw, fli_ref_product_scratch),
            WITH(MATMUL, fli_ref_matmul, fli_ref_matmul_scratch),
            ONE(SLICE, fli_ref_slice),
            ONE(PAD, fli_ref_pad),
            WITH(ROUTE, fli_ref_route, fli_ref_route_scratch),
            WITH(ROUTE_GRAD, fli_ref_route_grad, fli_ref_route_scratch),
            WITH(EXPERT_LINEAR, fli_ref_expert_linear, fli_ref_expert_linear_scratch),
            WITH(EXPERT_LINEAR_DX, fli_ref_expert_linear_dx, fli_ref_expert_linear_scratch),
            WITH(EXPERT_LINEAR_DW, fli_ref_expert_linear_dw, fli_ref_expert_linear_scratch),
            ONE(COMBINE, fli_ref_combine),
            ONE(COMBINE_GRAD, fli_ref_combine_grad),
            WITH(ATTENTION, fli_ref_attention, fli_ref_attention_scratch),
            WITH(ATTENTION_GRAD, fli_ref_attention_grad, fli_ref_attention_grad_scratch),
            ONE(ATTENTION_SINK_GRAD, fli_ref_attention_sink_grad),
            ONE(CACHE_APPEND, fli_ref_cache_append),
            WITH(LINEAR_CE, fli_ref_linear_ce, fli_ref_linear_ce_scratch),
            WITH(LINEAR_CE_GRAD, fli_ref_linear_ce_grad, fli_ref_linear_ce_grad_scratch),
            ONE(SUM_SQUARES, fli_ref_sum_squares),
            ONE(ADAMW, fli_ref_adamw),
            ONE(MUON_MOMENTUM, fli_ref_muon_momentum),
            ONE(MUON_APPLY, fli_ref_muon_apply),
            ONE(AXPBY, fli_ref_axpby),
            ONE(RSQRT_SCALE, fli_ref_rsqrt_scale),
        },
};
