/* olmo2 - Llama that normalises what a block adds instead of what it reads, and queries and keys
 * over all heads at once. */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(2048), KV_HEADS(0), HEAD_DIM(0), RMS_EPS(1e-5),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {DEMAND_SILU,
                                           DEMAND_NOT("attention_bias"),
                                           {"clip_qkv", "null"},
                                           DEMAND_PLAIN_WEIGHTS,
                                           END_OF_DEMANDS};
static const fl_weight_row weights[] =
    {EMBED_TOKENS,
     QKV,
     LAYER(Q_NORM_WIDE, "self_attn.q_norm.weight", "attn_q_norm.weight"),
     LAYER(K_NORM_WIDE, "self_attn.k_norm.weight", "attn_k_norm.weight"),
     ATTENTION_OUT,
     LAYER(ATTN_POST_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight"),
     GATED_FEED_FORWARD,
     LAYER(FFN_POST_NORM, "post_feedforward_layernorm.weight", "post_ffw_norm.weight"),
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_olmo2 = {
    .name = "olmo2",
    .hf_class = "Olmo2ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "olmo2",
    .gguf_head = FL_GGUF_HEAD_STORED,
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = "{\"hidden_act\":\"silu\",\"attention_bias\":false,\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = fli_ignored_rotary,
};
