/* qwen_moe - Qwen2 and Qwen3 with many small experts; Qwen2's have a shared one beside them, which
 * every token goes to and a gate of its own weighs. */
#include "model/arch/rows.h"

static const char constants[] = "{\"hidden_act\":\"silu\",\"use_cache\":true}";

#define QWEN_MOE_DEMANDS                                                   \
    DEMAND_SILU, DEMAND_PLAIN_WEIGHTS, DEMAND_NOT("use_sliding_window"), { \
        "mlp_only_layers", "[]|null"                                       \
    }

#define QWEN_MOE_KEYS                                                                          \
    KV_HEADS(0), RMS_EPS(1e-6), EXPERT_KEYS("num_experts", "num_local_experts"), EXPERT_WIDTH, \
        INT(expert_every, "decoder_sparse_step", NULL, false, 1),                              \
        BOOL(norm_topk, "norm_topk_prob", NULL, false)

/* ---- qwen2_moe ---- */

static const fl_config_key qwen2_keys[] = {SIZE_KEYS(32768), QWEN_MOE_KEYS, HEAD_DIM(0),
                                           INT(shared_intermediate_size,
                                               "shared_expert_intermediate_size",
                                               "expert_shared_feed_forward_length", true, 0),
                                           END_OF_KEYS};
static const fl_config_demand qwen2_demands[] = {QWEN_MOE_DEMANDS,
                                                 {"qkv_bias", "true"},
                                                 END_OF_DEMANDS};
static const fl_weight_row qwen2_weights[] = {EMBED_TOKENS,
                                              QWEN2_ATTENTION,
                                              DENSE_FEED_FORWARD,
                                              EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
                                              SHARED_EXPERT("shared_expert"),
                                              LAYER_WITH(SHARED_ROUTER,
                                                         "mlp.shared_expert_gate.weight",
                                                         "ffn_gate_inp_shexp.weight",
                                                         .has = fli_sparse, .gguf_f32 = true),
                                              OUT_NORM_AND_HEAD,
                                              END_OF_WEIGHTS};

const fl_arch fli_arch_qwen2_moe = {
    .name = "qwen2_moe",
    .hf_class = "Qwen2MoeForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "qwen2moe",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = constants,
    .keys = qwen2_keys,
    .demands = qwen2_demands,
    .weights = qwen2_weights,
    .ignored = fli_ignored_rotary,
};

/* ---- qwen3_moe ---- */

static const fl_config_key qwen3_keys[] = {SIZE_KEYS(32768), QWEN_MOE_KEYS, HEAD_DIM(0),
                                           END_OF_KEYS};
static const fl_config_demand qwen3_demands[] = {QWEN_MOE_DEMANDS, DEMAND_NOT("attention_bias"),
                                                 END_OF_DEMANDS};
static const fl_weight_row qwen3_weights[] = {EMBED_TOKENS,
                                              QWEN3_ATTENTION,
                                              DENSE_FEED_FORWARD,
                                              EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
                                              OUT_NORM_AND_HEAD,
                                              END_OF_WEIGHTS};

const fl_arch fli_arch_qwen3_moe = {
    .name = "qwen3_moe",
    .hf_class = "Qwen3MoeForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "qwen3moe",
    .gguf_norm_topk = true,
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = constants,
    .keys = qwen3_keys,
    .demands = qwen3_demands,
    .weights = qwen3_weights,
    .ignored = fli_ignored_rotary,
};
