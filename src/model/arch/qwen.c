/* qwen - Llama with biases on queries, keys and values (Qwen2, 2.5), or with queries and keys
 * normalised (Qwen3); the upper layers may have a window. */
#include "model/arch/rows.h"

static const char qwen_constants[] = "{\"hidden_act\":\"silu\",\"use_cache\":true}";

/* ---- qwen2 ---- */

static const fl_config_key qwen2_keys[] = {SIZE_KEYS(32768), KV_HEADS(0), HEAD_DIM(0),
                                           RMS_EPS(1e-6), END_OF_KEYS};
static const fl_config_demand qwen2_demands[] = {DEMAND_SILU,
                                                 DEMAND_PLAIN_WEIGHTS,
                                                 {"partial_rotary_factor", "1|1.0|null"},
                                                 END_OF_DEMANDS};
static const fl_weight_row qwen2_weights[] = {EMBED_TOKENS, QWEN2_ATTENTION, GATED_FEED_FORWARD,
                                              OUT_NORM_AND_HEAD, END_OF_WEIGHTS};

const fl_arch fli_arch_qwen2 = {
    .name = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "qwen2",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_UPPER,
    .constants = qwen_constants,
    .keys = qwen2_keys,
    .demands = qwen2_demands,
    .weights = qwen2_weights,
    .ignored = fli_ignored_rotary,
};

/* ---- qwen3 ---- */

static const fl_config_key qwen3_keys[] = {SIZE_KEYS(32768), KV_HEADS(0), HEAD_DIM(128),
                                           RMS_EPS(1e-6), END_OF_KEYS};
static const fl_config_demand qwen3_demands[] = {DEMAND_SILU,
                                                 DEMAND_NOT("attention_bias"),
                                                 DEMAND_PLAIN_WEIGHTS,
                                                 {"partial_rotary_factor", "1|1.0|null"},
                                                 END_OF_DEMANDS};
static const fl_weight_row qwen3_weights[] = {EMBED_TOKENS, QWEN3_ATTENTION, GATED_FEED_FORWARD,
                                              OUT_NORM_AND_HEAD, END_OF_WEIGHTS};

const fl_arch fli_arch_qwen3 = {
    .name = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "qwen3",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_UPPER,
    .constants = qwen_constants,
    .keys = qwen3_keys,
    .demands = qwen3_demands,
    .weights = qwen3_weights,
    .ignored = fli_ignored_rotary,
};
