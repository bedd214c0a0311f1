/* gpt_neox - GPT-NeoX and Pythia: LayerNorm, biases, exact GELU, a part of each head rotated,
 * attention and feed-forward in parallel with a norm each; q, k, v in one tensor, head by head. */
#include "model/arch/rows.h"

static const fl_config_key keys[] = {SIZE_KEYS(2048), LAYER_EPS(1e-5),
                                     BOOL(attention_bias, "attention_bias", NULL, true),
                                     BOOL(parallel_residual, "use_parallel_residual",
                                          "use_parallel_residual", true),
                                     END_OF_KEYS};
static const fl_config_demand demands[] = {{"hidden_act", "\"gelu\""},
                                           DEMAND_PLAIN_WEIGHTS,
                                           END_OF_DEMANDS};

#define NEOX(SLOT, hf_name, gguf_name) \
    { WEIGHT(SLOT, "gpt_neox.layers.%d." hf_name, "blk.%d." gguf_name) }
#define NEOX_WITH(SLOT, hf_name, gguf_name, ...) \
    { WEIGHT(SLOT, "gpt_neox.layers.%d." hf_name, "blk.%d." gguf_name), __VA_ARGS__ }
#define PART(SLOT, part) \
    NEOX_WITH(SLOT, "attention.query_key_value.weight#" part, "attn_qkv.weight", .by_head = true)
#define PART_BIAS(SLOT, part)                                                                 \
    NEOX_WITH(SLOT, "attention.query_key_value.bias#" part, "attn_qkv.bias", .by_head = true, \
              .has = fli_attention_biased)

static const fl_weight_row weights[] =
    {OUTSIDE(EMBED, "gpt_neox.embed_in.weight", "token_embd.weight"),
     NEOX(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),
     NEOX(ATTN_NORM_B, "input_layernorm.bias", "attn_norm.bias"),
     PART(Q, "q"),
     PART(K, "k"),
     PART(V, "v"),
     PART_BIAS(Q_B, "q"),
     PART_BIAS(K_B, "k"),
     PART_BIAS(V_B, "v"),
     NEOX(O, "attention.dense.weight", "attn_output.weight"),
     NEOX_WITH(O_B, "attention.dense.bias", "attn_output.bias", .has = fli_attention_biased),
     NEOX(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight"),
     NEOX(FFN_NORM_B, "post_attention_layernorm.bias", "ffn_norm.bias"),
     NEOX(UP, "mlp.dense_h_to_4h.weight", "ffn_up.weight"),
     NEOX(UP_B, "mlp.dense_h_to_4h.bias", "ffn_up.bias"),
     NEOX(DOWN, "mlp.dense_4h_to_h.weight", "ffn_down.weight"),
     NEOX(DOWN_B, "mlp.dense_4h_to_h.bias", "ffn_down.bias"),
     OUTSIDE(OUT_NORM, "gpt_neox.final_layer_norm.weight", "output_norm.weight"),
     OUTSIDE(OUT_NORM_B, "gpt_neox.final_layer_norm.bias", "output_norm.bias"),
     HEAD_UNLESS_TIED("embed_out.weight"),
     END_OF_WEIGHTS};
static const char *const ignored[] = {".attention.bias", ".attention.masked_bias",
                                      ".rotary_emb.inv_freq", NULL};  // tables of old files

const fl_arch fli_arch_gpt_neox = {
    .name = "gpt_neox",
    .hf_class = "GPTNeoXForCausalLM",
    .hf_prefix = "gpt_neox.",
    .gguf_name = "gptneox",
    .gguf_head = FL_GGUF_HEAD_STORED,
    .gguf_biased = true,
    .norm = FL_NORM_LAYER,
    .position = FL_POSITION_ROPE,
    .rope = {.theta_key = "rotary_emb_base", .share_key = "rotary_pct", .share = 0.25},
    .activation = FL_UNARY_GELU_ERF,
    .constants = "{\"hidden_act\":\"gelu\",\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = ignored,
};
