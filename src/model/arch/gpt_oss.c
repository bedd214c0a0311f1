/* gpt_oss - OpenAI's open models: experts with biases behind a clipped gate, a sink in every head,
 * a window in every other layer, YaRN whose ramp is not in whole dimensions. All experts of a layer
 * are one tensor in folders, (in, out), gate and up taking turns; published ones have it in
 * MXFP4. */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(131072),
                                     KV_HEADS(8),
                                     HEAD_DIM(64),
                                     RMS_EPS(1e-5),
                                     EXPERT_KEYS("num_local_experts", "num_experts"),
                                     INT(moe_intermediate_size, "intermediate_size",
                                         "expert_feed_forward_length", true, 0),
                                     REAL(swiglu_limit, "swiglu_limit", NULL, false, 7),
                                     BOOL(attention_bias, "attention_bias", NULL, true),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {DEMAND_SILU,
                                           {"swiglu_alpha", "1.702"},
                                           {"quantization_config.quant_method", "\"mxfp4\""},
                                           END_OF_DEMANDS};

#define BIAS(SLOT, hf_name, gguf_name) \
    LAYER_WITH(SLOT, hf_name, gguf_name, .has = fli_attention_biased)
#define HALF(SLOT, part, gguf_name)                                                             \
    LAYER_WITH(SLOT, "mlp.experts.gate_up_proj#" part, gguf_name ".weight", .transposed = true, \
               .by_row = true)
#define HALF_BIAS(SLOT, part, gguf_name)                                                         \
    LAYER_WITH(SLOT, "mlp.experts.gate_up_proj_bias#" part, gguf_name ".bias", .gguf_f32 = true, \
               .by_row = true)

static const fl_weight_row weights[] =
    {EMBED_TOKENS,
     LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     LAYER(Q, "self_attn.q_proj.weight", "attn_q.weight"),
     BIAS(Q_B, "self_attn.q_proj.bias", "attn_q.bias"),
     LAYER(K, "self_attn.k_proj.weight", "attn_k.weight"),
     BIAS(K_B, "self_attn.k_proj.bias", "attn_k.bias"),
     LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),
     BIAS(V_B, "self_attn.v_proj.bias", "attn_v.bias"),
     LAYER(SINK, "self_attn.sinks", "attn_sinks.weight"),
     ATTENTION_OUT,
     BIAS(O_B, "self_attn.o_proj.bias", "attn_output.bias"),
     LAYER(FFN_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight"),
     LAYER_WITH(ROUTER, "mlp.router.weight", "ffn_gate_inp.weight", .gguf_f32 = true),
     LAYER(ROUTER_B, "mlp.router.bias", "ffn_gate_inp.bias"),
     HALF(EXPERT_GATE, "gate", "ffn_gate_exps"),
     HALF(EXPERT_UP, "up", "ffn_up_exps"),
     HALF_BIAS(EXPERT_GATE_B, "gate", "ffn_gate_exps"),
     HALF_BIAS(EXPERT_UP_B, "up", "ffn_up_exps"),
     LAYER_WITH(EXPERT_DOWN, "mlp.experts.down_proj", "ffn_down_exps.weight", .transposed = true),
     LAYER_WITH(EXPERT_DOWN_B, "mlp.experts.down_proj_bias", "ffn_down_exps.bias",
                .gguf_f32 = true),
     OUT_NORM_AND_HEAD,
     END_OF_WEIGHTS};

const fl_arch fli_arch_gpt_oss = {
    .name = "gpt_oss",
    .hf_class = "GptOssForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "gpt-oss",
    .gguf_head = FL_GGUF_HEAD_STORED,
    .gguf_biased = true,
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .rope = {.theta = 150000,
             .scaling =
                 "{\"rope_type\":\"yarn\",\"factor\":32.0,\"beta_fast\":32.0,\"beta_slow\":1.0,"
                 "\"truncate\":false,\"original_max_position_embeddings\":4096}",
             .ramp_exact = true},
    .activation = FL_UNARY_CLIPPED_GELU_QUICK,
    .window = FL_WINDOW_ALTERNATE,
    .window_default = 128,
    .full_every = 2,
    .routing = {.normalise = true},
    .constants = "{\"hidden_act\":\"silu\",\"swiglu_alpha\":1.702,\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = fli_ignored_rotary,
};
