/* stablelm - Llama with LayerNorm and a part of each head rotated; q, k and v may have biases. In
 * parallel, attention and feed-forward read the same norm. */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(4096),
                                     KV_HEADS(32),
                                     HEAD_DIM(0),
                                     LAYER_EPS(1e-5),
                                     BOOL(attention_bias, "use_qkv_bias", NULL, false),
                                     BOOL(parallel_residual, "use_parallel_residual",
                                          "use_parallel_residual", false),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {DEMAND_SILU, DEMAND_NOT("qk_layernorm"),
                                           DEMAND_PLAIN_WEIGHTS, END_OF_DEMANDS};
static const fl_weight_row weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LAYER(ATTN_NORM_B, "input_layernorm.bias", "attn_norm.bias"),
     LAYER(Q, "self_attn.q_proj.weight", "attn_q.weight"),
     LAYER_WITH(Q_B, "self_attn.q_proj.bias", "attn_q.bias", .has = fli_attention_biased),
     LAYER(K, "self_attn.k_proj.weight", "attn_k.weight"),
     LAYER_WITH(K_B, "self_attn.k_proj.bias", "attn_k.bias", .has = fli_attention_biased),
     LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),
     LAYER_WITH(V_B, "self_attn.v_proj.bias", "attn_v.bias", .has = fli_attention_biased),
     ATTENTION_OUT,
     LAYER_WITH(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight",
                .has = fli_sequential),
     LAYER_WITH(FFN_NORM_B, "post_attention_layernorm.bias", "ffn_norm.bias",
                .has = fli_sequential),
     GATED_FEED_FORWARD,
     OUTSIDE(OUT_NORM, "model.norm.weight", "output_norm.weight"),
     OUTSIDE(OUT_NORM_B, "model.norm.bias", "output_norm.bias"),
     HEAD_UNLESS_TIED("lm_head.weight"),
     END_OF_WEIGHTS};

const fl_arch fli_arch_stablelm = {
    .name = "stablelm",
    .hf_class = "StableLmForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "stablelm",
    .gguf_head = FL_GGUF_HEAD_STORED,
    .norm = FL_NORM_LAYER,
    .position = FL_POSITION_ROPE,
    .rope = {.share_key = "partial_rotary_factor", .share = 0.25},
    .activation = FL_UNARY_SILU,
    .constants = "{\"hidden_act\":\"silu\",\"qk_layernorm\":false,\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = fli_ignored_rotary,
};
