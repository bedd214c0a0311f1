/* gpt2 - LayerNorm, learned positions, GELU, biases; weights stored (in, out), q k v in one. */
#include "model/arch/rows.h"

static const fl_config_key keys[] =
    {INT(vocab_size, "vocab_size", "vocab_size", true, 0),
     INT(hidden_size, "n_embd", "embedding_length", true, 0),
     INT(intermediate_size, "n_inner", "feed_forward_length", false, 0),
     INT(num_hidden_layers, "n_layer", "block_count", true, 0),
     INT(num_attention_heads, "n_head", "attention.head_count", true, 0),
     INT(max_position_embeddings, "n_positions", "context_length", false, 1024),
     REAL(norm_eps, "layer_norm_epsilon", "attention.layer_norm_epsilon", false, 1e-5),
     REAL(initializer_range, "initializer_range", NULL, false, 0.02),
     END_OF_KEYS};
static const fl_config_demand demands[] = {{"activation_function",
                                            "\"gelu_new\"|\"gelu_pytorch_tanh\""},
                                           {"scale_attn_weights", "true"},
                                           DEMAND_NOT("scale_attn_by_inverse_layer_idx"),
                                           DEMAND_NOT("add_cross_attention"),
                                           DEMAND_PLAIN_WEIGHTS,
                                           END_OF_DEMANDS};

#define H(SLOT, hf_name, gguf_name) \
    { WEIGHT(SLOT, "transformer.h.%d." hf_name, "blk.%d." gguf_name) }
#define CONV1D(SLOT, hf_name, gguf_name) \
    { WEIGHT(SLOT, "transformer.h.%d." hf_name, "blk.%d." gguf_name), .transposed = true }

static const fl_weight_row weights[] =
    {OUTSIDE(EMBED, "transformer.wte.weight", "token_embd.weight"),
     {WEIGHT(POSITION, "transformer.wpe.weight", "position_embd.weight"), .gguf_f32 = true},
     H(ATTN_NORM, "ln_1.weight", "attn_norm.weight"),
     H(ATTN_NORM_B, "ln_1.bias", "attn_norm.bias"),
     CONV1D(Q, "attn.c_attn.weight#q", "attn_qkv.weight"),
     CONV1D(K, "attn.c_attn.weight#k", "attn_qkv.weight"),
     CONV1D(V, "attn.c_attn.weight#v", "attn_qkv.weight"),
     H(Q_B, "attn.c_attn.bias#q", "attn_qkv.bias"),
     H(K_B, "attn.c_attn.bias#k", "attn_qkv.bias"),
     H(V_B, "attn.c_attn.bias#v", "attn_qkv.bias"),
     CONV1D(O, "attn.c_proj.weight", "attn_output.weight"),
     H(O_B, "attn.c_proj.bias", "attn_output.bias"),
     H(FFN_NORM, "ln_2.weight", "ffn_norm.weight"),
     H(FFN_NORM_B, "ln_2.bias", "ffn_norm.bias"),
     CONV1D(UP, "mlp.c_fc.weight", "ffn_up.weight"),
     H(UP_B, "mlp.c_fc.bias", "ffn_up.bias"),
     CONV1D(DOWN, "mlp.c_proj.weight", "ffn_down.weight"),
     H(DOWN_B, "mlp.c_proj.bias", "ffn_down.bias"),
     OUTSIDE(OUT_NORM, "transformer.ln_f.weight", "output_norm.weight"),
     OUTSIDE(OUT_NORM_B, "transformer.ln_f.bias", "output_norm.bias"),
     HEAD_UNLESS_TIED("lm_head.weight"),
     END_OF_WEIGHTS};
static const char *const ignored[] = {".attn.bias", ".attn.masked_bias",
                                      NULL};  // causal masks of old files

const fl_arch fli_arch_gpt2 = {
    .name = "gpt2",
    .hf_class = "GPT2LMHeadModel",
    .hf_prefix = "transformer.",
    .gguf_name = "gpt2",
    .norm = FL_NORM_LAYER,
    .position = FL_POSITION_LEARNED,
    .activation = FL_UNARY_GELU_TANH,
    .tied = true,
    .constants = "{\"activation_function\":\"gelu_new\",\"use_cache\":true}",
    .keys = keys,
    .demands = demands,
    .weights = weights,
    .ignored = ignored,
};
