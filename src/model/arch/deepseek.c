/* deepseek - latent attention, the first layers dense, the others with many experts and shared
 * ones. V2 routes by softmax, V3 by sigmoid with a bias that only chooses, and judges a group of
 * experts by its two best. */
#include "model/arch/rows.h"

static const char constants[] = "{\"hidden_act\":\"silu\",\"use_cache\":true}";

#define DEEPSEEK_KEYS(first)                                                                     \
    SIZE_KEYS(4096), RMS_EPS(1e-6), EXPERT_KEYS("n_routed_experts", "num_local_experts"),        \
        EXPERT_WIDTH, INT(n_shared_experts, "n_shared_experts", "expert_shared_count", true, 0), \
        INT(first_dense, "first_k_dense_replace", "leading_dense_block_count", false, first),    \
        INT(n_group, "n_group", "expert_group_count", false, 0),                                 \
        INT(topk_group, "topk_group", "expert_group_used_count", false, 0),                      \
        REAL(routed_scaling_factor, "routed_scaling_factor", "expert_weights_scale", false, 1),  \
        INT(q_lora_rank, "q_lora_rank", "attention.q_lora_rank", false, 0),                      \
        INT(kv_lora_rank, "kv_lora_rank", "attention.kv_lora_rank", true, 0),                    \
        INT(qk_nope_head_dim, "qk_nope_head_dim", NULL, true, 0),                                \
        INT(qk_rope_head_dim, "qk_rope_head_dim", NULL, true, 0),                                \
        INT(v_head_dim, "v_head_dim", "attention.value_length_mla", true, 0)

#define DEEPSEEK_DEMANDS                                                                     \
    DEMAND_SILU, DEMAND_NOT("attention_bias"), DEMAND_NOT("mlp_bias"), DEMAND_PLAIN_WEIGHTS, \
        {"moe_layer_freq", "1|null"}, {                                                      \
        "pretraining_tp", "1|null"                                                           \
    }

#define DEEPSEEK_ATTENTION                                                                        \
    EMBED_TOKENS, LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),                 \
        LAYER_WITH(Q, "self_attn.q_proj.weight", "attn_q.weight", .has = fli_q_whole),            \
        LAYER_WITH(Q_DOWN, "self_attn.q_a_proj.weight", "attn_q_a.weight", .has = fli_q_latent),  \
        LAYER_WITH(Q_DOWN_NORM, "self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight",         \
                   .has = fli_q_latent),                                                          \
        LAYER_WITH(Q_UP, "self_attn.q_b_proj.weight", "attn_q_b.weight", .has = fli_q_latent),    \
        LAYER(KV_DOWN, "self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"),            \
        LAYER(KV_DOWN_NORM, "self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"),          \
        LAYER_WITH(KV_UP, "self_attn.kv_b_proj.weight", "attn_kv_b.weight", .has = fli_kv_whole), \
        LAYER_WITH(K_UP, "self_attn.kv_b_proj.weight#k", "attn_k_b.weight", .has = fli_kv_split), \
        LAYER_WITH(V_UP, "self_attn.kv_b_proj.weight#v", "attn_v_b.weight", .has = fli_kv_split), \
        ATTENTION_OUT, LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),     \
        DENSE_FEED_FORWARD

/* ---- deepseek_v2 ---- */

static const fl_config_key v2_keys[] = {DEEPSEEK_KEYS(0),
                                        BOOL(norm_topk, "norm_topk_prob", "expert_weights_norm",
                                             false),
                                        END_OF_KEYS};
static const fl_config_demand v2_demands[] = {DEEPSEEK_DEMANDS,
                                              DEMAND_NOT("norm_topk_prob"),
                                              {"topk_method",
                                               "\"group_limited_greedy\"|\"greedy\""},
                                              {"scoring_func", "\"softmax\""},
                                              END_OF_DEMANDS};
static const fl_weight_row v2_weights[] = {DEEPSEEK_ATTENTION,
                                           EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
                                           SHARED_EXPERT("shared_experts"), OUT_NORM_AND_HEAD,
                                           END_OF_WEIGHTS};

const fl_arch fli_arch_deepseek_v2 = {
    .name = "deepseek_v2",
    .hf_class = "DeepseekV2ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "deepseek2",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = constants,
    .keys = v2_keys,
    .demands = v2_demands,
    .weights = v2_weights,
    .ignored = fli_ignored_rotary,
};

/* ---- deepseek_v3 ---- */

static const fl_config_key v3_keys[] = {DEEPSEEK_KEYS(3),
                                        BOOL(norm_topk, "norm_topk_prob", "expert_weights_norm",
                                             true),
                                        END_OF_KEYS};
static const fl_config_demand v3_demands[] = {DEEPSEEK_DEMANDS,
                                              {"topk_method", "\"noaux_tc\""},
                                              {"scoring_func", "\"sigmoid\""},
                                              {"rope_interleave", "true|null"},
                                              END_OF_DEMANDS};
static const fl_weight_row v3_weights[] = {DEEPSEEK_ATTENTION,
                                           EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
                                           SPARSE(ROUTER_BIAS, "mlp.gate.e_score_correction_bias",
                                                  "exp_probs_b.bias"),
                                           SHARED_EXPERT("shared_experts"),
                                           OUT_NORM_AND_HEAD,
                                           END_OF_WEIGHTS};

const fl_arch fli_arch_deepseek_v3 = {
    .name = "deepseek_v3",
    .hf_class = "DeepseekV3ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "deepseek2",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .routing = {.sigmoid = true, .group_pair = true},
    .constants = constants,
    .keys = v3_keys,
    .demands = v3_demands,
    .weights = v3_weights,
    .ignored = fli_ignored_rotary,
};
