/* arch - the rows. A new family that only differs in facts is added here and nowhere else. */
#include "model/arch.h"

#include <stddef.h>
#include <string.h>

#define INT(name, key, must, otherwise) \
    { key, offsetof(fl_config, name), false, must, otherwise }
#define REAL(name, key, must, otherwise) \
    { key, offsetof(fl_config, name), true, must, otherwise }
#define END_OF_KEYS \
    { NULL, 0, false, false, 0 }

/* ---- what the Llama family shares ---- */

#define LLAMA_KEYS(positions, head_size, eps)                                         \
    INT(vocab_size, "vocab_size", true, 0), INT(hidden_size, "hidden_size", true, 0), \
        INT(intermediate_size, "intermediate_size", true, 0),                         \
        INT(num_hidden_layers, "num_hidden_layers", true, 0),                         \
        INT(num_attention_heads, "num_attention_heads", true, 0),                     \
        INT(num_key_value_heads, "num_key_value_heads", false, 0),                    \
        INT(head_dim, "head_dim", false, head_size),                                  \
        INT(max_position_embeddings, "max_position_embeddings", false, positions),    \
        REAL(norm_eps, "rms_norm_eps", false, eps),                                   \
        REAL(initializer_range, "initializer_range", false, 0.02), END_OF_KEYS

#define LLAMA_DEMANDS                                                        \
    {"hidden_act", "\"silu\"|\"swish\""}, {"attention_bias", "false|null"},  \
        {"mlp_bias", "false|null"}, {"partial_rotary_factor", "1|1.0|null"}, \
        {"quantization_config", "null"}, {                                   \
        NULL, NULL                                                           \
    }

#define LAYER(slot, hf, gguf)                                                                    \
    {                                                                                            \
        FL_SLOT_##slot, "model.layers.%d." hf ".weight", "blk.%d." gguf ".weight", false, false, \
            false                                                                                \
    }
#define ROTATED(slot, hf, gguf)                                                                 \
    {                                                                                           \
        FL_SLOT_##slot, "model.layers.%d." hf ".weight", "blk.%d." gguf ".weight", false, true, \
            false                                                                               \
    }
#define OUTSIDE(slot, hf, gguf) \
    { FL_SLOT_##slot, hf ".weight", gguf ".weight", false, false, false }
#define END_OF_WEIGHTS \
    { FL_SLOT_EMBED, NULL, NULL, false, false, false }

#define LLAMA_ATTENTION_OUT                                                                       \
    LAYER(O, "self_attn.o_proj", "attn_output"),                                                  \
        LAYER(FFN_NORM, "post_attention_layernorm", "ffn_norm"),                                  \
        LAYER(GATE, "mlp.gate_proj", "ffn_gate"), LAYER(UP, "mlp.up_proj", "ffn_up"),             \
        LAYER(DOWN, "mlp.down_proj", "ffn_down"), OUTSIDE(OUT_NORM, "model.norm", "output_norm"), \
        OUTSIDE(HEAD, "lm_head", "output"), END_OF_WEIGHTS

static const char *const llama_ignored[] = {".rotary_emb.inv_freq", NULL};
static const char llama_constants[] =
    "{\"hidden_act\":\"silu\",\"attention_bias\":false,\"use_cache\":true}";

/* ---- llama: RMSNorm, rotary positions, grouped queries, SwiGLU ---- */

static const fl_config_key llama_keys[] = {LLAMA_KEYS(2048, 0, 1e-6)};
static const fl_config_demand llama_demands[] = {{"sliding_window", "null"},
                                                 {"pretraining_tp", "1|null"},
                                                 LLAMA_DEMANDS};
static const fl_weight_row llama_weights[] = {OUTSIDE(EMBED, "model.embed_tokens", "token_embd"),
                                              LAYER(ATTN_NORM, "input_layernorm", "attn_norm"),
                                              ROTATED(Q, "self_attn.q_proj", "attn_q"),
                                              ROTATED(K, "self_attn.k_proj", "attn_k"),
                                              LAYER(V, "self_attn.v_proj", "attn_v"),
                                              LLAMA_ATTENTION_OUT};

static const fl_arch llama = {
    .name = "llama",
    .hf_class = "LlamaForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "llama",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .constants = llama_constants,
    .keys = llama_keys,
    .demands = llama_demands,
    .weights = llama_weights,
    .ignored = llama_ignored,
};

/* ---- mistral: Llama with a sliding window ---- */

static const fl_config_key mistral_keys[] = {LLAMA_KEYS(4096 * 32, 0, 1e-6)};
static const fl_config_demand mistral_demands[] = {LLAMA_DEMANDS};

static const fl_arch mistral = {
    .name = "mistral",
    .hf_class = "MistralForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "llama",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_ALL,
    .constants = llama_constants,
    .keys = mistral_keys,
    .demands = mistral_demands,
    .weights = llama_weights,
    .ignored = llama_ignored,
};

/* ---- qwen3: Llama with normalised queries and keys ---- */

static const fl_config_key qwen3_keys[] = {LLAMA_KEYS(32768, 128, 1e-6)};
static const fl_config_demand qwen3_demands[] = {LLAMA_DEMANDS};
static const fl_weight_row qwen3_weights[] = {OUTSIDE(EMBED, "model.embed_tokens", "token_embd"),
                                              LAYER(ATTN_NORM, "input_layernorm", "attn_norm"),
                                              LAYER(Q, "self_attn.q_proj", "attn_q"),
                                              LAYER(K, "self_attn.k_proj", "attn_k"),
                                              LAYER(V, "self_attn.v_proj", "attn_v"),
                                              LAYER(Q_NORM, "self_attn.q_norm", "attn_q_norm"),
                                              LAYER(K_NORM, "self_attn.k_norm", "attn_k_norm"),
                                              LLAMA_ATTENTION_OUT};

static const fl_arch qwen3 = {
    .name = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .hf_prefix = "model.",
    .gguf_name = "qwen3",
    .norm = FL_NORM_RMS,
    .position = FL_POSITION_ROPE,
    .activation = FL_UNARY_SILU,
    .window = FL_WINDOW_UPPER,
    .constants = llama_constants,
    .keys = qwen3_keys,
    .demands = qwen3_demands,
    .weights = qwen3_weights,
    .ignored = llama_ignored,
};

/* ---- gpt2: LayerNorm, learned positions, GELU, biases; weights stored (in, out) ---- */

#define H(slot, hf, gguf) \
    { FL_SLOT_##slot, "transformer.h.%d." hf, "blk.%d." gguf, false, false, false }
#define CONV1D(slot, hf, gguf) \
    { FL_SLOT_##slot, "transformer.h.%d." hf, "blk.%d." gguf, true, false, false }

static const fl_config_key gpt2_keys[] = {INT(vocab_size, "vocab_size", true, 0),
                                          INT(hidden_size, "n_embd", true, 0),
                                          INT(intermediate_size, "n_inner", false, 0),
                                          INT(num_hidden_layers, "n_layer", true, 0),
                                          INT(num_attention_heads, "n_head", true, 0),
                                          INT(max_position_embeddings, "n_positions", false, 1024),
                                          REAL(norm_eps, "layer_norm_epsilon", false, 1e-5),
                                          REAL(initializer_range, "initializer_range", false, 0.02),
                                          END_OF_KEYS};
static const fl_config_demand gpt2_demands[] = {{"activation_function",
                                                 "\"gelu_new\"|\"gelu_pytorch_tanh\""},
                                                {"scale_attn_weights", "true"},
                                                {"scale_attn_by_inverse_layer_idx", "false"},
                                                {"add_cross_attention", "false"},
                                                {"quantization_config", "null"},
                                                {NULL, NULL}};
static const fl_weight_row gpt2_weights[] = {OUTSIDE(EMBED, "transformer.wte", "token_embd"),
                                             {FL_SLOT_POSITION, "transformer.wpe.weight",
                                              "position_embd.weight", false, false, true},
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
                                             OUTSIDE(OUT_NORM, "transformer.ln_f", "output_norm"),
                                             {FL_SLOT_OUT_NORM_B, "transformer.ln_f.bias",
                                              "output_norm.bias", false, false, false},
                                             OUTSIDE(HEAD, "lm_head", "output"),
                                             END_OF_WEIGHTS};
static const char *const gpt2_ignored[] = {".attn.bias", ".attn.masked_bias",
                                           NULL};  // causal masks of old files

static const fl_arch gpt2 = {
    .name = "gpt2",
    .hf_class = "GPT2LMHeadModel",
    .hf_prefix = "transformer.",
    .gguf_name = "gpt2",
    .norm = FL_NORM_LAYER,
    .position = FL_POSITION_LEARNED,
    .activation = FL_UNARY_GELU_TANH,
    .tied = true,
    .constants = "{\"activation_function\":\"gelu_new\",\"use_cache\":true}",
    .keys = gpt2_keys,
    .demands = gpt2_demands,
    .weights = gpt2_weights,
    .ignored = gpt2_ignored,
};

/* ---- looking ---- */

const fl_arch *const fl_archs[] = {&qwen3, &llama, &gpt2, &mistral, NULL};

const fl_arch *fl_arch_find(const char *name) {
    for (int i = 0; fl_archs[i]; i++)
        if (strcmp(fl_archs[i]->name, name) == 0) return fl_archs[i];
    return NULL;
}

/* A letter's size. */
static int64_t size_V(const fl_config *c) {
    return c->vocab_size;
}
static int64_t size_C(const fl_config *c) {
    return c->hidden_size;
}
static int64_t size_P(const fl_config *c) {
    return c->max_position_embeddings;
}
static int64_t size_Q(const fl_config *c) {
    return c->num_attention_heads * c->head_dim;
}
static int64_t size_K(const fl_config *c) {
    return c->num_key_value_heads * c->head_dim;
}
static int64_t size_F(const fl_config *c) {
    return c->intermediate_size;
}
static int64_t size_D(const fl_config *c) {
    return c->head_dim;
}
#define size_1 NULL

static const struct {
    fl_role role;
    bool residual;
    int64_t (*rows)(const fl_config *c), (*cols)(const fl_config *c);
} slots[FL_SLOT_COUNT] = {
#define X(id, role, rows, cols, residual) \
    [FL_SLOT_##id] = {FL_ROLE_##role, residual, size_##rows, size_##cols},
    FL_SLOT_LIST(X)
#undef X
};

int fl_slot_shape(fl_slot slot, const fl_config *c, int64_t dim[2]) {
    dim[0] = slots[slot].rows(c);
    dim[1] = slots[slot].cols ? slots[slot].cols(c) : 1;
    return slots[slot].cols ? 2 : 1;
}

fl_role fl_slot_role(fl_slot slot) {
    return slots[slot].role;
}

bool fl_slot_residual(fl_slot slot) {
    return slots[slot].residual;
}

/* Rows of the layers stand together: after the last of them the walk returns to the first until the
 * layers are done. */
static bool in_layer(const fl_weight_row *row) {
    return row->hf && row->slot >= FL_SLOT_LAYER_FIRST;
}

bool fl_weight_next(const fl_config *c, fl_weight_iter *it) {
    const fl_weight_row *rows = c->arch->weights, *row = &rows[it->next_row];
    if (row->hf && row->slot == FL_SLOT_HEAD && c->tie_word_embeddings) row = &rows[++it->next_row];
    if (!row->hf) return false;
    it->row = row;
    it->layer = in_layer(row) ? it->next_layer : -1;
    it->next_row++;
    bool layer_ends = in_layer(row) && !in_layer(row + 1);
    if (layer_ends && ++it->next_layer < c->num_hidden_layers)
        while (it->next_row > 0 && in_layer(&rows[it->next_row - 1])) it->next_row--;
    return true;
}

int64_t fl_config_window(const fl_config *c, int layer) {
    return layer >= c->max_window_layers ? c->sliding_window : 0;
}

int64_t fl_config_count(const fl_config *c) {
    int64_t n = 0, dim[2];
    for (fl_weight_iter it = {0}; fl_weight_next(c, &it);) {
        fl_slot_shape(it.row->slot, c, dim);
        n += dim[0] * dim[1];
    }
    return n;
}

/* A table that is only looked up multiplies nothing: the embedding counts once, as the head. */
double fl_config_flops_per_token(const fl_config *c, int64_t seq_len) {
    double n = (double)fl_config_count(c);
    if (!c->tie_word_embeddings) n -= (double)(c->vocab_size * c->hidden_size);
    double attention = (double)(c->num_hidden_layers * c->num_attention_heads * c->head_dim) *
                       (double)seq_len;
    return 6 * n + 12 * attention;
}
