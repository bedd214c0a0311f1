/* attention_latent - multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads
 * are made from one vector a token, and only that vector and one rotated key are kept.
 *
 *   latent (Z), r (R) = norm((KV_DOWN n)[:Z]), rope((KV_DOWN n)[Z:])
 *   head h:  key = (KV_UP_h latent)[:nope], r    value = (KV_UP_h latent)[nope:]
 *
 * Products with KV_UP move to the side of the query, q . (W latent) = (W^T q) . latent, and behind
 * the sum, sum p W latent = W sum p latent. So every head attends to the same vectors (r, latent):
 * attention with one key-value head of R + Z numbers, in training as in decoding, and a cache of
 * them alone. Out of a GGUF file KV_UP comes in two: K_UP, turned, and V_UP. */
#include <math.h>

#include "model/builder.h"

static const float LATENT_EPS = 1e-6f;  // of the latents' norms, whatever rms_norm_eps is

static fl_val latent_norm(const fli_builder *b, fl_val x, fl_slot weight) {
    fl_val gain = fl_model_value(b->m, b->g, fli_slot(b, weight));
    return fl_rms_norm(b->g, x, gain, LATENT_EPS, b->f->compute);
}

/* (.., R) and (.., Z) side by side, the first turned by position. */
static fl_val joined(const fli_builder *b, fl_val r, fl_val latent) {
    const int64_t R = b->c->qk_rope_head_dim, Z = b->c->kv_lora_rank;
    fl_val x = fl_add(b->g, fl_pad(b->g, r, 0, R + Z), fl_pad(b->g, latent, R, R + Z));
    return fli_rotated(b, x, true);
}

static fl_val keys(const fli_builder *b, fl_val n) {
    const int64_t R = b->c->qk_rope_head_dim, Z = b->c->kv_lora_rank;
    fl_val x = fli_linear(b, n, FL_SLOT_KV_DOWN, FL_SLOT_NONE);
    x = fl_reshape(b->g, x, 4, (int64_t[]){b->B, b->T, 1, Z + R});
    fl_val latent = latent_norm(b, fl_slice(b->g, x, 0, Z), FL_SLOT_KV_DOWN_NORM);
    return fli_cached(b, b->f->k_cache, joined(b, fl_slice(b->g, x, Z, R), latent));
}

/* KV_UP as (heads, nope + value size, Z). */
static fl_val by_head(const fli_builder *b) {
    const fl_config *c = b->c;
    return fl_reshape(b->g, fl_model_value(b->m, b->g, fli_slot(b, FL_SLOT_KV_UP)), 3,
                      (int64_t[]){c->num_attention_heads, c->qk_nope_head_dim + c->v_head_dim,
                                  c->kv_lora_rank});
}

/* What the head's latent is asked for, of queries (.., heads, nope). */
static fl_val absorbed(const fli_builder *b, fl_val q) {
    const fl_config *c = b->c;
    fl_param *keys = fli_slot(b, FL_SLOT_K_UP);
    if (keys)
        return fl_expert_linear(b->g, q, fl_model_value(b->m, b->g, keys), FL_NONE, FL_NONE,
                                b->f->compute);
    q = fl_pad(b->g, q, 0, c->qk_nope_head_dim + c->v_head_dim);
    return fl_expert_linear_dx(b->g, q, by_head(b), FL_NONE, b->f->compute);
}

/* And what becomes of the sum of latents, (.., heads, Z). */
static fl_val values(const fli_builder *b, fl_val o) {
    fl_param *up = fli_slot(b, FL_SLOT_V_UP);
    fl_val w = up ? fl_model_value(b->m, b->g, up) : by_head(b);
    o = fl_expert_linear(b->g, o, w, FL_NONE, FL_NONE, b->f->compute);
    return up ? o : fl_slice(b->g, o, b->c->qk_nope_head_dim, b->c->v_head_dim);
}

static fl_val queries(const fli_builder *b, fl_val n) {
    const fl_config *c = b->c;
    const int64_t nope = c->qk_nope_head_dim, R = c->qk_rope_head_dim;
    fl_val q;
    if (fli_slot(b, FL_SLOT_Q_DOWN)) {
        q = fli_linear(b, n, FL_SLOT_Q_DOWN, FL_SLOT_NONE);
        q = fli_linear(b, latent_norm(b, q, FL_SLOT_Q_DOWN_NORM), FL_SLOT_Q_UP, FL_SLOT_NONE);
    } else {
        q = fli_linear(b, n, FL_SLOT_Q, FL_SLOT_NONE);
    }
    q = fl_reshape(b->g, q, 4, (int64_t[]){b->B, b->T, c->num_attention_heads, nope + R});
    fl_val latent = absorbed(b, fl_slice(b->g, q, 0, nope));
    return joined(b, fl_slice(b->g, q, nope, R), latent);
}

/* YaRN makes scores larger where mscale_all_dim asks for it. */
static double score_scale(const fl_config *c) {
    const json_t *all = json_object_get(c->rope_scaling, "mscale_all_dim");
    const double factor = json_number_value(json_object_get(c->rope_scaling, "factor"));
    const double m = factor > 1 && json_number_value(all) != 0
                         ? 0.1 * json_number_value(all) * log(factor) + 1
                         : 1;
    return m * m / sqrt((double)c->head_dim);
}

fl_val fli_latent_attention(const fli_builder *b, fl_val n) {
    const fl_config *c = b->c;
    fl_val k = keys(b, n);
    fl_attention_args a = {.q = queries(b, n),
                           .k = k,
                           .v = k,
                           .segment = b->f->segment,
                           .start = b->f->start,
                           .sink = FL_NONE,
                           .causal = true,
                           .scale = (float)score_scale(c)};
    fl_val o = fl_slice(b->g, fli_attend(b, &a), c->qk_rope_head_dim, c->kv_lora_rank);
    o = fl_reshape(b->g, values(b, o), 3,
                   (int64_t[]){b->B, b->T, c->num_attention_heads * c->v_head_dim});
    return fli_linear(b, o, FL_SLOT_O, FL_SLOT_NONE);
}
