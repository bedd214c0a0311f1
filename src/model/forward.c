/* forward - the one builder of the forward graph, for every decoder row of arch.c.
 *
 *   h (B, T, C) = embed(tokens) [+ embed(position)]                       f32: the residual stream
 *   per layer:  h += O attention(rope(norm(Q n)), rope(norm(K n)), V n)   n = norm(h)
 *               h += DOWN (f(GATE n) * UP n)  or  DOWN f(UP n)            n = norm(h)
 *   hidden = norm(h)
 *
 * With bf16 compute, norms read the f32 stream and write bf16, every product and the attention run
 * in bf16, and the sums return to f32: what accumulates over the layers keeps its precision. */
#include <stdio.h>

#include "base/assert.h"
#include "model/internal.h"

typedef struct {
    fl_model *m;
    fl_graph *g;
    const fl_forward *f;
    const fl_config *c;
    int layer;
    int64_t B, T;
    fl_val inv_freq;
} builder;

static fl_param *slot(const builder *b, fl_slot which) {
    return fli_model_slot(b->m, which < FL_SLOT_LAYER_FIRST ? -1 : b->layer, which);
}

static fl_val norm(const builder *b, fl_val x, fl_slot weight) {
    fl_param *w = slot(b, weight);
    float eps = (float)b->c->norm_eps;
    if (b->c->arch->norm == FL_NORM_RMS)
        return fl_rms_norm(b->g, x, fl_model_value(b->m, b->g, w), eps, b->f->compute);
    fl_param *bias = slot(b, weight + 1);
    return fl_layer_norm(b->g, x, fl_model_value(b->m, b->g, w), fl_model_value(b->m, b->g, bias),
                         eps, b->f->compute);
}

static fl_val linear(const builder *b, fl_val x, fl_slot weight, fl_slot bias) {
    return fl_model_linear(b->m, b->g, x, slot(b, weight), slot(b, bias), b->f->compute);
}

/* (B, T, heads x D) -> (B, T, heads, D), normalised per head and rotated where the architecture
 * does. */
static fl_val heads(const builder *b, fl_val x, int64_t n_heads) {
    return fl_reshape(b->g, x, 4, (int64_t[]){b->B, b->T, n_heads, b->c->head_dim});
}

static fl_val query_or_key(const builder *b, fl_val x, fl_slot head_norm) {
    fl_param *w = slot(b, head_norm);
    if (w)
        x = fl_rms_norm(b->g, x, fl_model_value(b->m, b->g, w), (float)b->c->norm_eps,
                        b->f->compute);
    if (b->c->arch->position == FL_POSITION_ROPE)
        x = fl_rope(b->g, x, b->f->position, b->inv_freq, false);
    return x;
}

static fl_val cached(const builder *b, fl_val *caches, fl_val x) {
    if (!caches) return x;
    return caches[b->layer] = fl_cache_append(b->g, caches[b->layer], x, b->f->start);
}

static fl_val attention(const builder *b, fl_val n) {
    const fl_config *c = b->c;
    const fl_forward *f = b->f;
    fl_val q = heads(b, linear(b, n, FL_SLOT_Q, FL_SLOT_Q_B), c->num_attention_heads);
    fl_val k = heads(b, linear(b, n, FL_SLOT_K, FL_SLOT_K_B), c->num_key_value_heads);
    fl_val v = heads(b, linear(b, n, FL_SLOT_V, FL_SLOT_V_B), c->num_key_value_heads);
    k = query_or_key(b, k, FL_SLOT_K_NORM);
    fl_attention_args a = {
        .q = query_or_key(b, q, FL_SLOT_Q_NORM),
        .k = cached(b, f->k_cache, k),
        .v = cached(b, f->v_cache, v),
        .segment = f->segment,
        .start = f->start,
        .causal = true,
        .window = fl_config_window(c, b->layer),
        .softcap = (float)c->attn_softcap,
    };
    fl_val o = fl_attention(b->g, &a);
    o = fl_reshape(b->g, o, 3, (int64_t[]){b->B, b->T, c->num_attention_heads * c->head_dim});
    return linear(b, o, FL_SLOT_O, FL_SLOT_O_B);
}

static fl_val feed_forward(const builder *b, fl_val n) {
    fl_unary act = b->c->arch->activation;
    fl_val up = linear(b, n, FL_SLOT_UP, FL_SLOT_UP_B), x;
    if (slot(b, FL_SLOT_GATE))
        x = fl_gated(b->g, act,
                     fl_model_linear(b->m, b->g, n, slot(b, FL_SLOT_GATE), NULL, b->f->compute),
                     up);
    else x = fl_unary_of(b->g, act, up);
    return linear(b, x, FL_SLOT_DOWN, FL_SLOT_DOWN_B);
}

static fl_val block(const builder *b, fl_val h) {
    char name[32];
    snprintf(name, sizeof name, "layer %d", b->layer);
    fl_graph_scope(b->g, name);
    h = fl_add(b->g, h, attention(b, norm(b, h, FL_SLOT_ATTN_NORM)));
    return fl_add(b->g, h, feed_forward(b, norm(b, h, FL_SLOT_FFN_NORM)));
}

static fl_val embed(const builder *b) {
    fl_graph_scope(b->g, "embed");
    fl_val h = fl_embedding(b->g, b->f->tokens, fl_model_value(b->m, b->g, slot(b, FL_SLOT_EMBED)),
                            FL_F32);
    fl_param *p = slot(b, FL_SLOT_POSITION);
    if (!p) return h;
    return fl_add(b->g, h,
                  fl_embedding(b->g, b->f->position, fl_model_value(b->m, b->g, p), FL_F32));
}

/* The frequencies as a constant of the graph. */
static fl_val frequencies(const builder *b) {
    float *table = b->m->memory->inv_freq;
    if (!table) return FL_NONE;
    return fl_extern(b->g, "inv_freq",
                     fl_tensor_of(table, FL_F32, 1, (int64_t[]){b->c->head_dim / 2}), false);
}

fl_val fl_model_hidden(fl_model *m, fl_graph *g, const fl_forward *f) {
    FL_ASSERT(!f->k_cache == !f->v_cache);
    const fl_value_info *tokens = fl_value_get(g, f->tokens);
    builder b = {m, g, f, &m->config, 0, tokens->t.dim[0], tokens->t.dim[1], FL_NONE};
    b.inv_freq = frequencies(&b);
    fl_val h = embed(&b);
    for (; b.layer < m->config.num_hidden_layers; b.layer++) h = block(&b, h);
    fl_graph_scope(g, "out");
    return norm(&b, h, FL_SLOT_OUT_NORM);
}

static fl_param *head_param(const fl_model *m) {
    return fli_model_slot(m, -1, m->config.tie_word_embeddings ? FL_SLOT_EMBED : FL_SLOT_HEAD);
}

fl_val fl_model_head(fl_model *m, fl_graph *g) {
    return fl_model_value(m, g, head_param(m));
}

fl_val fl_model_logits(fl_model *m, fl_graph *g, fl_val hidden) {
    fl_val logits = fl_model_linear(m, g, hidden, head_param(m), NULL, FL_F32);
    if (m->config.logit_softcap == 0) return logits;
    return fl_softcap(g, logits, (float)m->config.logit_softcap);
}
