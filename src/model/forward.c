/* forward - the one builder of the forward graph, for every decoder row of arch/.
 *
 *   h (B, T, C) = embed(tokens) [* sqrt(C)] [+ embed(position)]         f32: the residual stream
 *   per layer:  h += post(attention(norm(h)))
 *               h += post(feed_forward(norm(h)))     from the h before attention when parallel
 *   hidden = norm(h)
 *
 * Each norm is there when the row lists it. With bf16 compute, norms read the f32 stream and write
 * bf16, every product and the attention run in bf16, and the sums return to f32: what accumulates
 * over the layers keeps its precision. */
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "model/builder.h"

fl_param *fli_slot(const fli_builder *b, fl_slot which) {
    if (which == FL_SLOT_NONE) return NULL;
    return fli_model_slot(b->m, which < FL_SLOT_LAYER_FIRST ? -1 : b->layer, which);
}

fl_val fli_linear(const fli_builder *b, fl_val x, fl_slot weight, fl_slot bias) {
    return fl_model_linear(b->m, b->g, x, fli_slot(b, weight), fli_slot(b, bias), b->f->compute);
}

fl_val fli_norm(const fli_builder *b, fl_val x, fl_slot weight) {
    fl_param *w = fli_slot(b, weight);
    if (!w) return fl_cast(b->g, x, b->f->compute);
    float eps = (float)b->c->norm_eps;
    fl_val gain = fl_model_value(b->m, b->g, w);
    if (b->c->arch->norm == FL_NORM_RMS)
        return fl_rms_norm_offset(b->g, x, gain, b->c->arch->norm_plus_one, eps, b->f->compute);
    fl_val bias = fl_model_value(b->m, b->g, fli_slot(b, weight + 1));
    return fl_layer_norm(b->g, x, gain, bias, eps, b->f->compute);
}

/* What follows a block's output: the norm of the architectures that have one there. */
static fl_val post(const fli_builder *b, fl_val x, fl_slot weight) {
    return fli_slot(b, weight) ? fli_norm(b, x, weight) : x;
}

static fl_val block(const fli_builder *b, fl_val h) {
    char name[32];
    snprintf(name, sizeof name, "layer %d", b->layer);
    fl_graph_scope(b->g, name);
    fl_val n = fli_norm(b, h, FL_SLOT_ATTN_NORM);
    fl_val a = fl_add(b->g, h, post(b, fli_attention(b, n), FL_SLOT_ATTN_POST_NORM));
    if (!b->c->parallel_residual) n = fli_norm(b, a, FL_SLOT_FFN_NORM);
    else if (fli_slot(b, FL_SLOT_FFN_NORM)) n = fli_norm(b, h, FL_SLOT_FFN_NORM);
    return fl_add(b->g, a, post(b, fli_feed_forward(b, n), FL_SLOT_FFN_POST_NORM));
}

static fl_val embed(const fli_builder *b) {
    fl_graph_scope(b->g, "embed");
    fl_val table = fl_model_value(b->m, b->g, fli_slot(b, FL_SLOT_EMBED));
    fl_val h = fl_embedding(b->g, b->f->tokens, table, FL_F32);
    if (b->c->arch->embed_scaled) h = fl_scale(b->g, h, (float)sqrt((double)b->c->hidden_size));
    fl_param *p = fli_slot(b, FL_SLOT_POSITION);
    if (!p) return h;
    return fl_add(b->g, h,
                  fl_embedding(b->g, b->f->position, fl_model_value(b->m, b->g, p), FL_F32));
}

/* The frequencies as constants of the graph. */
static void add_frequencies(fli_builder *b) {
    for (int i = 0; i < FLI_ROPE_COUNT; i++) {
        float *table = b->m->memory->rope[i].inv_freq;
        b->inv_freq[i] = FL_NONE;
        if (!table) continue;
        fl_tensor t = fl_tensor_of(table, FL_F32, 1, (int64_t[]){b->c->rotary_dim / 2});
        b->inv_freq[i] = fl_extern(b->g, "inv_freq", t, false);
    }
}

fl_val fl_model_hidden(fl_model *m, fl_graph *g, const fl_forward *f) {
    FL_ASSERT(!f->v_cache == !(f->k_cache && fl_config_cache(&m->config).values));
    const fl_value_info *tokens = fl_value_get(g, f->tokens);
    fli_builder b =
        {.m = m, .g = g, .f = f, .c = &m->config, .B = tokens->t.dim[0], .T = tokens->t.dim[1]};
    add_frequencies(&b);
    fl_val h = embed(&b);
    for (; b.layer < m->config.num_hidden_layers; b.layer++) h = block(&b, h);
    fl_graph_scope(g, "out");
    return fli_norm(&b, h, FL_SLOT_OUT_NORM);
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
