/* mixtral - Mistral with experts in place of the feed-forward: two of eight, their weights a
 * softmax over the two. */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(4096 * 32),
                                     KV_HEADS(8),
                                     HEAD_DIM(0),
                                     RMS_EPS(1e-5),
                                     EXPERT_KEYS("num_local_experts", "num_experts"),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {DEMAND_SILU, DEMAND_PLAIN_WEIGHTS,
                                           DEMAND_NOT("attention_bias"), END_OF_DEMANDS};
static const fl_weight_row weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LAYER_WITH(Q, "self_attn.q_proj.weight", "attn_q.weight", .gguf_permute = true),
     LAYER_WITH(K, "self_attn.k_proj.weight", "attn_k.weight", .gguf_permute = true),
     LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),
     ATTENTION_OUT,
     LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),
     EXPERTS("block_sparse_moe", "w1", "w3", "w2"),
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_mixtral = {
    .name = "mixtral",
    .hf_class = "MixtralForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "llama",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .rope = {.theta = 1e6},
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_ALL,
    .routing = {.normalise = true},
    .constants = "{\"hidden_act\":\"silu\",\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = fli_ignored_rotary,
};
