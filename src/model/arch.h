/* arch.h - architectures as rows: what config.json and GGUF call things, what is fixed, and which
 * weights there are. The rows are in arch/, a file for each family.
 *
 * A row holds facts only. What a network has is read from its weights: a row that lists q_norm
 * normalises queries, one that lists a gate has a gated feed-forward, one that lists a bias adds
 * it. Shapes and roles belong to the slot, not to the architecture. docs/add-a-model.md adds a row
 * step by step. */
#ifndef FL_MODEL_ARCH_H
#define FL_MODEL_ARCH_H

#include "base/text.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(ID, role, rows, cols, residual): the places a weight can have. Dimensions are letters: V
 * vocabulary, C hidden size, P positions, Q heads x head size, H heads, K key-value heads x head
 * size, F feed-forward size, D head size, E experts, M width of an expert, S of the shared one, I
 * one, 1 none; an EXPERT's and its BIAS's have E in front. Of latent attention: A the queries'
 * latent, Z the keys', L Z and the rotated key, U heads x what Z becomes in each (N for keys, W for
 * values: what is BY_HEAD has heads in front), O heads x value size (elsewhere Q). A residual
 * output is scaled down at initialisation. From LAYER_FIRST on there is one per layer, attention's
 * before FFN_NORM. The bias of a norm or of an expert follows its weight.
 *
 * A block's input is normalised (ATTN_NORM, FFN_NORM), or what it adds to the residual stream is
 * (ATTN_POST_NORM, FFN_POST_NORM), or both. Q_NORM goes over each head, Q_NORM_WIDE over all.
 * ROUTER_B is added to the router's logits, ROUTER_BIAS only chooses. */
#define FL_SLOT_LIST(X)                    \
    X(EMBED, EMBEDDING, V, C, 0)           \
    X(POSITION, EMBEDDING, P, C, 0)        \
    X(OUT_NORM, NORM, C, 1, 0)             \
    X(OUT_NORM_B, BIAS, C, 1, 0)           \
    X(HEAD, HEAD, V, C, 0)                 \
    X(ATTN_NORM, NORM, C, 1, 0)            \
    X(ATTN_NORM_B, BIAS, C, 1, 0)          \
    X(Q, MATRIX, Q, C, 0)                  \
    X(K, MATRIX, K, C, 0)                  \
    X(V, MATRIX, K, C, 0)                  \
    X(Q_B, BIAS, Q, 1, 0)                  \
    X(K_B, BIAS, K, 1, 0)                  \
    X(V_B, BIAS, K, 1, 0)                  \
    X(Q_NORM, NORM, D, 1, 0)               \
    X(K_NORM, NORM, D, 1, 0)               \
    X(Q_NORM_WIDE, NORM, Q, 1, 0)          \
    X(K_NORM_WIDE, NORM, K, 1, 0)          \
    X(O, MATRIX, C, O, 1)                  \
    X(O_B, BIAS, C, 1, 0)                  \
    X(SINK, BIAS, H, 1, 0)                 \
    X(ATTN_POST_NORM, NORM, C, 1, 0)       \
    X(Q_DOWN, MATRIX, A, C, 0)             \
    X(Q_DOWN_NORM, NORM, A, 1, 0)          \
    X(Q_UP, MATRIX, Q, A, 0)               \
    X(KV_DOWN, MATRIX, L, C, 0)            \
    X(KV_DOWN_NORM, NORM, Z, 1, 0)         \
    X(KV_UP, HEADS, U, Z, 0)               \
    X(K_UP, BY_HEAD, Z, N, 0)              \
    X(V_UP, BY_HEAD, W, Z, 0)              \
    X(FFN_NORM, NORM, C, 1, 0)             \
    X(FFN_NORM_B, BIAS, C, 1, 0)           \
    X(GATE, MATRIX, F, C, 0)               \
    X(GATE_B, BIAS, F, 1, 0)               \
    X(UP, MATRIX, F, C, 0)                 \
    X(UP_B, BIAS, F, 1, 0)                 \
    X(DOWN, MATRIX, C, F, 1)               \
    X(DOWN_B, BIAS, C, 1, 0)               \
    X(FFN_POST_NORM, NORM, C, 1, 0)        \
    X(ROUTER, ROUTER, E, C, 0)             \
    X(ROUTER_B, BIAS, E, 1, 0)             \
    X(ROUTER_BIAS, CONSTANT, E, 1, 0)      \
    X(EXPERT_GATE, EXPERT, M, C, 0)        \
    X(EXPERT_GATE_B, EXPERT_BIAS, M, 1, 0) \
    X(EXPERT_UP, EXPERT, M, C, 0)          \
    X(EXPERT_UP_B, EXPERT_BIAS, M, 1, 0)   \
    X(EXPERT_DOWN, EXPERT, C, M, 1)        \
    X(EXPERT_DOWN_B, EXPERT_BIAS, C, 1, 0) \
    X(SHARED_GATE, MATRIX, S, C, 0)        \
    X(SHARED_UP, MATRIX, S, C, 0)          \
    X(SHARED_DOWN, MATRIX, C, S, 1)        \
    X(SHARED_ROUTER, ROUTER, I, C, 0)

typedef enum {
#define X(id, role, rows, cols, residual) FL_SLOT_##id,
    FL_SLOT_LIST(X)
#undef X
        FL_SLOT_COUNT,
    FL_SLOT_NONE = FL_SLOT_COUNT,
    FL_SLOT_LAYER_FIRST = FL_SLOT_ATTN_NORM
} fl_slot;

/* One weight. Names have %d where the layer's number goes, and * where an expert's does: files have
 * a tensor for each. Rows that follow each other with the same `hf` up to '#' are the parts of one
 * tensor in the file, one below the other unless they take turns; in GGUF they are one tensor where
 * they have one name there. */
typedef struct {
    fl_slot slot;
    const char *hf;
    const char *gguf;
    bool (*has)(const fl_config *c, int layer);  // NULL: every model of the row, every layer
    bool transposed;     // the file has (in, out): GPT-2's Conv1D; of each expert: gpt-oss
    bool by_head;        // the parts take turns head by head in Hugging Face files: GPT-NeoX
    bool by_row;         // or row by row: gpt-oss
    bool gguf_permute;   // GGUF wants the halves of each head interleaved: Llama's Q and K
    bool gguf_f32;       // a matrix that GGUF keeps in f32
    bool gguf_plus_one;  // a gain that GGUF has with the 1 added: Gemma
} fl_weight_row;

typedef enum { FL_KEY_INT, FL_KEY_REAL, FL_KEY_BOOL } fl_key_kind;  // int64_t, double, bool

/* One field of fl_config: its name in config.json, and in GGUF after "NAME." (NULL: not there). */
typedef struct {
    const char *key, *gguf;
    size_t offset;  // in fl_config
    fl_key_kind kind;
    bool required;
    double fallback;   // when absent and not required; 0: derived from the others
    const char *also;  // another name of it in config.json, or NULL
} fl_config_key;

/* A field that must have one of these values (as JSON, separated by '|') wherever it is present. */
typedef struct {
    const char *key, *values;
} fl_config_demand;

typedef enum {
    FL_WINDOW_NONE,
    FL_WINDOW_ALL,
    FL_WINDOW_UPPER,     // from max_window_layers on
    FL_WINDOW_ALTERNATE  // all but every full_every-th
} fl_window_kind;

/* How config.json speaks of rotary positions. */
typedef struct {
    const char *theta_key;  // NULL: "rope_theta"
    double theta;           // when absent; 0: 10000
    const char *share_key;  // the rotated share of a head; NULL: it is always whole
    double share;           // when absent
    double local_theta;     // rope_local_base_freq when absent; 0: windows change no frequencies
    const char *scaling;    // rope_scaling when absent, as JSON; NULL: none
    bool ramp_exact;        // GGUF files do not say that YaRN's ramp is not in whole dimensions
} fl_rope_keys;

/* Where llama.cpp looks for the head. */
typedef enum {
    FL_GGUF_HEAD_ANY,     // output.weight, or the embedding where there is none
    FL_GGUF_HEAD_STORED,  // output.weight always
    FL_GGUF_HEAD_TIED     // the embedding always
} fl_gguf_head;

typedef struct fl_arch {
    const char *name;       // model_type
    const char *hf_class;   // "Qwen3ForCausalLM"
    const char *hf_prefix;  // of the base model's tensors; its own files leave it out
    fl_norm_kind norm;
    bool norm_plus_one;  // gains are stored less 1
    fl_position_kind position;
    fl_rope_keys rope;
    fl_unary activation;
    fl_window_kind window;
    fl_routing routing;      // how experts are chosen, where config.json leaves no choice
    int64_t window_default;  // sliding_window when config.json does not say
    int64_t full_every;      // of ALTERNATE, when config.json does not say
    bool embed_scaled;       // embeddings are multiplied by sqrt(hidden_size)
    bool tied;               // tie_word_embeddings when config.json does not say
    const char *gguf_name;   // NULL: llama.cpp has no such architecture
    int64_t (*gguf_query_scalar)(const fl_config *c);  // what llama.cpp takes; NULL: head_dim
    fl_gguf_head gguf_head;
    bool gguf_biased;           // with attention_bias only
    bool gguf_norm_topk;        // norm_topk where no key says it
    const char *constants;      // JSON merged into config.json as written
    const fl_config_key *keys;  // key NULL ends each list
    const fl_config_demand *demands;
    const fl_weight_row *weights;  // hf NULL ends; outside, layers, outside
    const char *const *ignored;    // ends of names that carry nothing: masks, tables; NULL ends
} fl_arch;

extern const fl_arch *const fl_archs[];         // NULL last
const fl_arch *fl_arch_find(const char *name);  // by model_type; NULL if there is no such row
void fl_arch_describe(const fl_arch *a, fl_text *out);  // appended: "RMSNorm, rotary positions, .."

/* Fill what is zero and can be derived (head_dim, num_key_value_heads, intermediate_size, ...),
 * then check the rest. */
FL_MUST_USE fl_status fl_config_complete(fl_config *c, fl_err *err);
/* DIR/config.json, and what ends a text by DIR/generation_config.json. */
FL_MUST_USE fl_status fl_config_load(fl_config *out, const char *dir, fl_err *err);
FL_MUST_USE fl_status fl_config_parse(fl_config *out, const json_t *v, const char *where,
                                      fl_err *err);
FL_MUST_USE fl_status fl_config_save(const fl_config *c, const char *dir, fl_dtype dtype,
                                     fl_err *err);
/* Whether this token ends a text. */
bool fl_config_ends(const fl_config *c, int32_t id);
FL_MUST_USE fl_status fl_generation_config_save(const fl_config *c, const char *dir, fl_err *err);
void fl_config_clear(fl_config *c);  // frees rope_scaling

bool fl_config_is_expert_layer(const fl_config *c, int layer);
int64_t fl_config_window(const fl_config *c, int layer);  // keys a query of this layer sees; 0: all

/* Shape of a slot's weight. Returns the rank. */
int fl_slot_shape(fl_slot slot, const fl_config *c, int64_t dim[3]);
fl_role fl_slot_role(fl_slot slot);
bool fl_slot_residual(fl_slot slot);

/* The weights of a model in their order: every row, once or once per layer. Ends when it returns
 * false. Start from zero. */
typedef struct {
    const fl_weight_row *row;
    int layer;  // -1 outside the layers
    int next_row, next_layer;
} fl_weight_iter;
bool fl_weight_next(const fl_config *c, fl_weight_iter *it);
void fl_weight_gguf_name(char out[128], const fl_weight_iter *it);  // of the weight just given

#ifdef __cplusplus
}
#endif

#endif
