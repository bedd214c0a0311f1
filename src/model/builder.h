/* builder.h - what the parts of the forward graph share: where they are in the model, and how they
 * reach its weights. forward.c walks the layers; attention.c and feed_forward.c are what a layer
 * does, each chosen by the weights that the architecture's row lists.
 *
 *     fl_val a = fli_attention(b, n);      // n (B, T, C) -> (B, T, C), without the residual
 *     fl_val f = fli_feed_forward(b, n);
 */
#ifndef FL_MODEL_BUILDER_H
#define FL_MODEL_BUILDER_H

#include "model/internal.h"

typedef struct {
    fl_model *m;
    fl_graph *g;
    const fl_forward *f;
    const fl_config *c;
    int layer;
    int64_t B, T;
    fl_val inv_freq[FLI_ROPE_COUNT];
} fli_builder;

/* The weight at a place of this layer, or of the model; NULL when the architecture has none. */
fl_param *fli_slot(const fli_builder *b, fl_slot which);

/* x w^T + bias in the format of computation; without a bias where there is none. */
fl_val fli_linear(const fli_builder *b, fl_val x, fl_slot weight, fl_slot bias);

/* Normalised over the last dimension, in the format of computation; x itself, cast, where there is
 * no such norm. */
fl_val fli_norm(const fli_builder *b, fl_val x, fl_slot weight);

fl_val fli_attention(const fli_builder *b, fl_val n);
fl_val fli_latent_attention(const fli_builder *b, fl_val n);
fl_val fli_feed_forward(const fli_builder *b, fl_val n);

/* Rotated by position, where the architecture does; the keys of this layer so far, with these;
 * attention to them. */
fl_val fli_rotated(const fli_builder *b, fl_val x, bool interleaved);
fl_val fli_cached(const fli_builder *b, fl_val *caches, fl_val x);
fl_val fli_attend(const fli_builder *b, const fl_attention_args *a);

/* f(gate) * up, as the architecture has it. */
fl_val fli_gated(const fli_builder *b, fl_val gate, fl_val up);

/* DOWN (f(GATE n) * UP n) with the weights at these places; without GATE, DOWN f(UP n). */
typedef struct {
    fl_slot gate, gate_bias, up, up_bias, down, down_bias;
} fli_dense_slots;
fl_val fli_dense_block(const fli_builder *b, fl_val n, const fli_dense_slots *at);
fl_val fli_experts(const fli_builder *b, fl_val n);

#endif
