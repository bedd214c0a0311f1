/* gemma - Gemma 2 and 3: gains stored less 1, norms before and after each block, scaled embeddings,
 * GELU gates, and a window in all layers but every second or sixth. Gemma 2 caps scores and logits;
 * Gemma 3 normalises queries and keys and gives layers with a window frequencies of their own. */
#include "model/arch/rows.h"

#define GEMMA_KEYS(positions)                                        \
    SIZE_KEYS(positions), KV_HEADS(4), HEAD_DIM(256), RMS_EPS(1e-6), \
        INT(query_pre_attn_scalar, "query_pre_attn_scalar", NULL, false, 256)

#define GAIN(SLOT, hf_name, gguf_name) LAYER_WITH(SLOT, hf_name, gguf_name, .gguf_plus_one = true)
#define GEMMA_AFTER_ATTENTION                                                                      \
    ATTENTION_OUT,                                                                                 \
        GAIN(ATTN_POST_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight"),     \
        GAIN(FFN_NORM, "pre_feedforward_layernorm.weight", "ffn_norm.weight"), GATED_FEED_FORWARD, \
        GAIN(FFN_POST_NORM, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"),          \
        {WEIGHT(OUT_NORM, "model.norm.weight", "output_norm.weight"), .gguf_plus_one = true},      \
        HEAD_UNLESS_TIED("lm_head.weight"), END_OF_WEIGHTS

static const fl_config_demand demands[] = {DEMAND_GELU_TANH,
                                           {"hidden_act", "\"gelu_pytorch_tanh\"|null"},
                                           DEMAND_NOT("attention_bias"),
                                           DEMAND_NOT("use_bidirectional_attention"),
                                           DEMAND_PLAIN_WEIGHTS,
                                           END_OF_DEMANDS};
static const char constants[] =
    "{\"hidden_activation\":\"gelu_pytorch_tanh\",\"attention_bias\":false,\"use_cache\":true}";

/* llama.cpp knows the divisor of q.k by the number of layers: that of the 27B models is not the
 * head's size. */
static int64_t scalar_in_gguf(const fl_config *c, int64_t layers_of_27b) {
    return c->num_hidden_layers == layers_of_27b ? c->hidden_size / c->num_attention_heads
                                                 : c->head_dim;
}

/* ---- gemma2 ---- */

static int64_t gemma2_scalar(const fl_config *c) {
    return scalar_in_gguf(c, 46);
}

static const fl_config_key gemma2_keys[] = {GEMMA_KEYS(8192),
                                            REAL(logit_softcap, "final_logit_softcapping",
                                                 "final_logit_softcapping", false, 30),
                                            REAL(attn_softcap, "attn_logit_softcapping",
                                                 "attn_logit_softcapping", false, 50),
                                            END_OF_KEYS};
static const fl_weight_row gemma2_weights[] = {EMBED_TOKENS,
                                               GAIN(ATTN_NORM, "input_layernorm.weight",
                                                    "attn_norm.weight"),
                                               QKV, GEMMA_AFTER_ATTENTION};

const fl_arch fli_arch_gemma2 = {
    .name = "gemma2",
    .hf_class = "Gemma2ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "gemma2",
    .gguf_query_scalar = gemma2_scalar,
    .gguf_head = FL_GGUF_HEAD_TIED,
    .norm = FL_NORM_RMS,
    .norm_plus_one = true,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_GELU_TANH,
    .window = FL_WINDOW_ALTERNATE,
    .window_default = 4096,
    .full_every = 2,
    .embed_scaled = true,
    .tied = true,
    .constants = constants,
    .keys = gemma2_keys,
    .demands = demands,
    .weights = gemma2_weights,
    .ignored = fli_ignored_rotary,
};

/* ---- gemma3: its text model ---- */

static int64_t gemma3_scalar(const fl_config *c) {
    return scalar_in_gguf(c, 62);
}

static const fl_config_key gemma3_keys[] = {GEMMA_KEYS(131072), END_OF_KEYS};
static const fl_weight_row gemma3_weights[] =
    {EMBED_TOKENS,
     GAIN(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     QKV,
     GAIN(Q_NORM, "self_attn.q_norm.weight", "attn_q_norm.weight"),
     GAIN(K_NORM, "self_attn.k_norm.weight", "attn_k_norm.weight"),
     GEMMA_AFTER_ATTENTION};

const fl_arch fli_arch_gemma3 = {
    .name = "gemma3_text",
    .hf_class = "Gemma3ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "gemma3",
    .gguf_query_scalar = gemma3_scalar,
    .norm = FL_NORM_RMS,
    .norm_plus_one = true,
    .position = FL_POSITION_ROPE,
    .rope = {.theta = 1e6, .local_theta = 10000},
    .activation = FL_UNARY_GELU_TANH,
    .window = FL_WINDOW_ALTERNATE,
    .window_default = 4096,
    .full_every = 6,
    .embed_scaled = true,
    .tied = true,
    .constants = constants,
    .keys = gemma3_keys,
    .demands = demands,
    .weights = gemma3_weights,
    .ignored = fli_ignored_rotary,
};
