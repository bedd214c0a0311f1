/* rows.h - what the rows of src/model/arch/ are written with: fields of config.json and GGUF,
 * weights by name, and what families share. */
#ifndef FL_MODEL_ARCH_ROWS_H
#define FL_MODEL_ARCH_ROWS_H

#include <stddef.h>

#include "model/arch.h"

/* ---- fields: of fl_config, name in config.json, name in GGUF, required, fallback ---- */

#define INT(field, key, gguf, must, otherwise) \
    { key, gguf, offsetof(fl_config, field), FL_KEY_INT, must, otherwise, NULL }
#define REAL(field, key, gguf, must, otherwise) \
    { key, gguf, offsetof(fl_config, field), FL_KEY_REAL, must, otherwise, NULL }
#define BOOL(field, key, gguf, otherwise) \
    { key, gguf, offsetof(fl_config, field), FL_KEY_BOOL, false, otherwise, NULL }
#define END_OF_KEYS \
    { NULL, NULL, 0, FL_KEY_INT, false, 0, NULL }

/* The sizes, under the names most families give them. */
#define SIZE_KEYS(positions)                                                              \
    INT(vocab_size, "vocab_size", "vocab_size", true, 0),                                 \
        INT(hidden_size, "hidden_size", "embedding_length", true, 0),                     \
        INT(intermediate_size, "intermediate_size", "feed_forward_length", true, 0),      \
        INT(num_hidden_layers, "num_hidden_layers", "block_count", true, 0),              \
        INT(num_attention_heads, "num_attention_heads", "attention.head_count", true, 0), \
        INT(max_position_embeddings, "max_position_embeddings", "context_length", false,  \
            positions),                                                                   \
        REAL(initializer_range, "initializer_range", NULL, false, 0.02)
#define KV_HEADS(otherwise) \
    INT(num_key_value_heads, "num_key_value_heads", "attention.head_count_kv", false, otherwise)
#define HEAD_DIM(otherwise) INT(head_dim, "head_dim", "attention.key_length", false, otherwise)
#define RMS_EPS(otherwise) \
    REAL(norm_eps, "rms_norm_eps", "attention.layer_norm_rms_epsilon", false, otherwise)
#define LAYER_EPS(otherwise) \
    REAL(norm_eps, "layer_norm_eps", "attention.layer_norm_epsilon", false, otherwise)

/* Hugging Face has two names for the number of experts, and transformers 5 writes the second. */
#define EXPERT_KEYS(how_many, or_so)                                                          \
    {how_many, "expert_count", offsetof(fl_config, num_experts), FL_KEY_INT, true, 0, or_so}, \
        INT(experts_per_token, "num_experts_per_tok", "expert_used_count", true, 0)
#define EXPERT_WIDTH \
    INT(moe_intermediate_size, "moe_intermediate_size", "expert_feed_forward_length", true, 0)

#define DEMAND_SILU \
    { "hidden_act", "\"silu\"|\"swish\"" }
#define DEMAND_GELU_TANH \
    { "hidden_activation", "\"gelu_pytorch_tanh\"|null" }
#define DEMAND_NOT(key) \
    { key, "false|null" }
#define DEMAND_PLAIN_WEIGHTS \
    { "quantization_config", "null" }
#define END_OF_DEMANDS \
    { NULL, NULL }

/* ---- weights; further facts of the row follow the names ---- */

#define WEIGHT(SLOT, hf_name, gguf_name) .slot = FL_SLOT_##SLOT, .hf = hf_name, .gguf = gguf_name
#define OUTSIDE(SLOT, hf_name, gguf_name) \
    { WEIGHT(SLOT, hf_name, gguf_name) }
#define LAYER(SLOT, hf_name, gguf_name) \
    { WEIGHT(SLOT, "model.layers.%d." hf_name, "blk.%d." gguf_name) }
#define LAYER_WITH(SLOT, hf_name, gguf_name, ...) \
    { WEIGHT(SLOT, "model.layers.%d." hf_name, "blk.%d." gguf_name), __VA_ARGS__ }
#define HEAD_UNLESS_TIED(hf_name) \
    { WEIGHT(HEAD, hf_name, "output.weight"), .has = fli_untied }
#define END_OF_WEIGHTS \
    { .hf = NULL }

#define EMBED_TOKENS OUTSIDE(EMBED, "model.embed_tokens.weight", "token_embd.weight")
#define OUT_NORM_AND_HEAD                                                           \
    OUTSIDE(OUT_NORM, "model.norm.weight", "output_norm.weight"), HEAD_UNLESS_TIED( \
                                                                      "lm_head."    \
                                                                      "weight")
#define QKV                                                   \
    LAYER(Q, "self_attn.q_proj.weight", "attn_q.weight"),     \
        LAYER(K, "self_attn.k_proj.weight", "attn_k.weight"), \
        LAYER(V, "self_attn.v_proj.weight", "attn_v.weight")
#define ATTENTION_OUT LAYER(O, "self_attn.o_proj.weight", "attn_output.weight")
#define QWEN2_ATTENTION                                                    \
    LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"),        \
        LAYER(Q, "self_attn.q_proj.weight", "attn_q.weight"),              \
        LAYER(Q_B, "self_attn.q_proj.bias", "attn_q.bias"),                \
        LAYER(K, "self_attn.k_proj.weight", "attn_k.weight"),              \
        LAYER(K_B, "self_attn.k_proj.bias", "attn_k.bias"),                \
        LAYER(V, "self_attn.v_proj.weight", "attn_v.weight"),              \
        LAYER(V_B, "self_attn.v_proj.bias", "attn_v.bias"), ATTENTION_OUT, \
        LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight")
#define QWEN3_ATTENTION                                                                \
    LAYER(ATTN_NORM, "input_layernorm.weight", "attn_norm.weight"), QKV,               \
        LAYER(Q_NORM, "self_attn.q_norm.weight", "attn_q_norm.weight"),                \
        LAYER(K_NORM, "self_attn.k_norm.weight", "attn_k_norm.weight"), ATTENTION_OUT, \
        LAYER(FFN_NORM, "post_attention_layernorm.weight", "ffn_norm.weight")
#define GATED_FEED_FORWARD                                  \
    LAYER(GATE, "mlp.gate_proj.weight", "ffn_gate.weight"), \
        LAYER(UP, "mlp.up_proj.weight", "ffn_up.weight"),   \
        LAYER(DOWN, "mlp.down_proj.weight", "ffn_down.weight")

/* In layers with experts, and in those without. */
#define SPARSE(SLOT, hf_name, gguf_name) LAYER_WITH(SLOT, hf_name, gguf_name, .has = fli_sparse)
#define DENSE(SLOT, hf_name, gguf_name)  LAYER_WITH(SLOT, hf_name, gguf_name, .has = fli_dense)
#define DENSE_FEED_FORWARD                                  \
    DENSE(GATE, "mlp.gate_proj.weight", "ffn_gate.weight"), \
        DENSE(UP, "mlp.up_proj.weight", "ffn_up.weight"),   \
        DENSE(DOWN, "mlp.down_proj.weight", "ffn_down.weight")
#define EXPERTS(block, gate, up, down)                                                   \
    LAYER_WITH(ROUTER, block ".gate.weight", "ffn_gate_inp.weight", .has = fli_sparse,   \
               .gguf_f32 = true),                                                        \
        SPARSE(EXPERT_GATE, block ".experts.*." gate ".weight", "ffn_gate_exps.weight"), \
        SPARSE(EXPERT_UP, block ".experts.*." up ".weight", "ffn_up_exps.weight"),       \
        SPARSE(EXPERT_DOWN, block ".experts.*." down ".weight", "ffn_down_exps.weight")

#define SHARED_EXPERT(name)                                                        \
    SPARSE(SHARED_GATE, "mlp." name ".gate_proj.weight", "ffn_gate_shexp.weight"), \
        SPARSE(SHARED_UP, "mlp." name ".up_proj.weight", "ffn_up_shexp.weight"),   \
        SPARSE(SHARED_DOWN, "mlp." name ".down_proj.weight", "ffn_down_shexp.weight")

/* When a weight is there. */
bool fli_untied(const fl_config *c, int layer);
bool fli_attention_biased(const fl_config *c, int layer);
bool fli_mlp_biased(const fl_config *c, int layer);
bool fli_q_latent(const fl_config *c, int layer);  // queries are made from a latent vector
bool fli_q_whole(const fl_config *c, int layer);
bool fli_kv_split(const fl_config *c, int layer);  // keys and values have weights of their own
bool fli_kv_whole(const fl_config *c, int layer);
bool fli_sparse(const fl_config *c, int layer);  // a layer with experts
bool fli_dense(const fl_config *c, int layer);
bool fli_sequential(const fl_config *c, int layer);  // not parallel_residual

extern const char *const fli_ignored_rotary[];  // tables that old files hold

extern const fl_arch fli_arch_deepseek_v2, fli_arch_deepseek_v3, fli_arch_gemma2, fli_arch_gemma3,
    fli_arch_gpt2, fli_arch_gpt_neox, fli_arch_gpt_oss, fli_arch_llama, fli_arch_mistral,
    fli_arch_mixtral, fli_arch_qwen2_moe, fli_arch_qwen3_moe, fli_arch_olmo2, fli_arch_phi3,
    fli_arch_qwen2, fli_arch_qwen3, fli_arch_stablelm;

#endif
