/* llama - RMSNorm, rotary positions, grouped queries, SwiGLU: Llama 1 to 3, SmolLM2, and every
 * model published in their clothes. mistral is the same with a sliding window. */
#include "model/arch/rows.h"

#define LLAMA_DEMANDS                         \
    DEMAND_SILU, DEMAND_PLAIN_WEIGHTS, {      \
        "partial_rotary_factor", "1|1.0|null" \
    }

static const fl_config_key llama_keys[] = {SIZE_KEYS(2048),
                                           KV_HEADS(0),
                                           HEAD_DIM(0),
                                           RMS_EPS(1e-6),
                                           BOOL(attention_bias, "attention_bias", NULL, false),
                                           BOOL(mlp_bias, "mlp_bias", NULL, false),
                                           END_OF_KEYS};
static const fl_config_demand llama_demands[] = {{"sliding_window", "null"},
                                                 {"pretraining_tp", "1|null"},
                                                 LLAMA_DEMANDS,
                                                 END_OF_DEMANDS};
#define BIAS(SLOT, hf_name, gguf_name, when) LAYER_WITH(SLOT, hf_name, gguf_name, .has = when)

/* Rotated pairs are halves here and neighbours in GGUF. */
#define LLAMA_Q LAYER_WITH(Q, "self_attn.q_proj.weight", "attn_q.weight", .gguf_permute = true)
#define LLAMA_K LAYER_WITH(K, "self_attn.k_proj.weight", "attn_k.weight", .gguf_permute = true)

static const fl_weight_row llama_weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LLAMA_Q,
     LAYER_WITH(Q_B, "self_attn.q_proj.bias", "attn_q.bias", .has = fli_attention_biased,
                .gguf_permute = true),
     LLAMA_K,
     LAYER_WITH(K_B, "self_attn.k_proj.bias", "attn_k.bias", .has = fli_attention_biased,
                .gguf_permute = true),
     LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),
     BIAS(V_B, "self_attn.v_proj.bias", "attn_v.bias", fli_attention_biased),
     ATTENTION_OUT,
     BIAS(O_B, "self_attn.o_proj.bias", "attn_output.bias", fli_attention_biased),
     LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),
     LAYER(GATE, "mlp.gate_proj.weight", "ffn_gate.weight"),
     BIAS(GATE_B, "mlp.gate_proj.bias", "ffn_gate.bias", fli_mlp_biased),
     LAYER(UP, "mlp.up_proj.weight", "ffn_up.weight"),
     BIAS(UP_B, "mlp.up_proj.bias", "ffn_up.bias", fli_mlp_biased),
     LAYER(DOWN, "mlp.down_proj.weight", "ffn_down.weight"),
     BIAS(DOWN_B, "mlp.down_proj.bias", "ffn_down.bias", fli_mlp_biased),
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_llama = {
    .name = "llama",
    .hf_class = "LlamaForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "llama",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = "{\"hidden_act\":\"silu\",\"use_cache\":true}",
    .keys = llama_keys,
    .demands = llama_demands,
    .weights = llama_weights,
    .ignored = fli_ignored_rotary,
};

/* ---- mistral ---- */

static const fl_config_key mistral_keys[] = {SIZE_KEYS(4096 * 32), KV_HEADS(8), HEAD_DIM(0),
                                             RMS_EPS(1e-6), END_OF_KEYS};
static const fl_config_demand mistral_demands[] = {DEMAND_NOT("attention_bias"), LLAMA_DEMANDS,
                                                   END_OF_DEMANDS};
static const fl_weight_row mistral_weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LLAMA_Q,
     LLAMA_K,
     LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),
     ATTENTION_OUT,
     LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),
     GATED_FEED_FORWARD,
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_mistral = {
    .name = "mistral",
    .hf_class = "MistralForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "llama",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_ALL,
    .constants = "{\"hidden_act\":\"silu\",\"use_cache\":true}",
    .keys = mistral_keys,
    .demands = mistral_demands,
    .weights = mistral_weights,
    .ignored = fli_ignored_rotary,
};
