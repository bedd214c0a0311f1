/* phi3 - Llama with q, k, v in one tensor and gate and up in another; Phi-4 mini rotates a part of
 * each head. Long ones scale frequencies one by one (longrope). */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(4096), KV_HEADS(0), HEAD_DIM(0), RMS_EPS(1e-5),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {DEMAND_SILU,
                                           DEMAND_NOT("attention_bias"),
                                           DEMAND_NOT("mlp_bias"),
                                           DEMAND_NOT("lm_head_bias"),
                                           DEMAND_PLAIN_WEIGHTS,
                                           END_OF_DEMANDS};
static const fl_weight_row weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LAYER(Q, "self_attn.qkv_proj.weight#q", "attn_qkv.weight"),
     LAYER(K, "self_attn.qkv_proj.weight#k", "attn_qkv.weight"),
     LAYER(V, "self_attn.qkv_proj.weight#v", "attn_qkv.weight"),
     ATTENTION_OUT,
     LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),
     LAYER(GATE, "mlp.gate_up_proj.weight#gate", "ffn_up.weight"),
     LAYER(UP, "mlp.gate_up_proj.weight#up", "ffn_up.weight"),
     LAYER(DOWN, "mlp.down_proj.weight", "ffn_down.weight"),
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_phi3 = {
    .name = "phi3",
    .hf_class = "Phi3ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "phi3",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .rope = {.share_key = "partial_rotary_factor", .share = 1},
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_ALL,
    // transformers' default for pad_token_id is a row of Phi-3's own vocabulary
    .constants = "{\"hidden_act\":\"silu\",\"pad_token_id\":null,\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = fli_ignored_rotary,
};
