/* attention - what a layer does between tokens.
 *
 *   q, k, v = Q n, K n, V n in heads (B, T, H or K, D)
 *   O attention(rope(norm(q)), rope(norm(k)), v), keys and values in the cache when there is one */
#include <math.h>

#include "model/builder.h"

static fl_val heads(const fli_builder *b, fl_val x, int64_t n_heads) {
    return fl_reshape(b->g, x, 4, (int64_t[]){b->B, b->T, n_heads, b->c->head_dim});
}

/* The frequencies of this layer for a text as long as this one may become. */
static fli_rope_kind rope_kind(const fli_builder *b) {
    const fli_rope *rope = b->m->memory->rope, *far = &rope[FLI_ROPE_LONG];
    int64_t context = b->f->context ? b->f->context : b->T;
    if (rope[FLI_ROPE_LOCAL].inv_freq && fl_config_window(b->c, b->layer)) return FLI_ROPE_LOCAL;
    return far->inv_freq && context > far->above ? FLI_ROPE_LONG : FLI_ROPE_MAIN;
}

fl_val fli_rotated(const fli_builder *b, fl_val x, bool interleaved) {
    if (b->c->arch->position != FL_POSITION_ROPE) return x;
    fli_rope_kind kind = rope_kind(b);
    float scale = b->m->memory->rope[kind].scale;
    return fl_rope_scaled(b->g, x, b->f->position, b->inv_freq[kind], interleaved, scale);
}

/* (B, T, n_heads x D) -> (B, T, n_heads, D), normalised and rotated where the architecture does.
 * The order of D is the weights': q . k is the same in any. */
static fl_val query_or_key(const fli_builder *b, fl_val x, fl_slot wide, fl_slot each,
                           int64_t n_heads) {
    x = fli_norm(b, x, wide);
    return fli_rotated(b, fli_norm(b, heads(b, x, n_heads), each), b->m->memory->pairs);
}

fl_val fli_cached(const fli_builder *b, fl_val *caches, fl_val x) {
    if (!caches) return x;
    const fl_forward *f = b->f;
    return caches[b->layer] = fl_cache_append(b->g, caches[b->layer], x, f->start, f->table);
}

fl_val fli_attend(const fli_builder *b, const fl_attention_args *a) {
    return fl_attention_paged(b->g, a, b->f->k_cache ? b->f->table : FL_NONE);
}

fl_val fli_attention(const fli_builder *b, fl_val n) {
    if (fli_slot(b, FL_SLOT_KV_DOWN)) return fli_latent_attention(b, n);
    const fl_config *c = b->c;
    const fl_forward *f = b->f;
    fl_val q = fli_linear(b, n, FL_SLOT_Q, FL_SLOT_Q_B);
    fl_val k = fli_linear(b, n, FL_SLOT_K, FL_SLOT_K_B);
    fl_val v = fli_linear(b, n, FL_SLOT_V, FL_SLOT_V_B);
    k = query_or_key(b, k, FL_SLOT_K_NORM_WIDE, FL_SLOT_K_NORM, c->num_key_value_heads);
    q = query_or_key(b, q, FL_SLOT_Q_NORM_WIDE, FL_SLOT_Q_NORM, c->num_attention_heads);
    fl_param *sink = fli_slot(b, FL_SLOT_SINK);
    fl_attention_args a = {
        .q = q,
        .k = fli_cached(b, f->k_cache, k),
        .v = fli_cached(b, f->v_cache, heads(b, v, c->num_key_value_heads)),
        .segment = f->segment,
        .start = f->start,
        .sink = sink ? fl_model_value(b->m, b->g, sink) : FL_NONE,
        .causal = true,
        .window = fl_config_window(c, b->layer),
        .scale = (float)(1 / sqrt((double)c->query_pre_attn_scalar)),
        .softcap = (float)c->attn_softcap,
    };
    fl_val o = fli_attend(b, &a);
    o = fl_reshape(b->g, o, 3, (int64_t[]){b->B, b->T, c->num_attention_heads * c->head_dim});
    return fli_linear(b, o, FL_SLOT_O, FL_SLOT_O_B);
}
