/* model.h - a model: facts about its architecture, its weights by name, and the one builder of its
 * forward graph.
 *
 *     fl_model *m;
 *     if (fl_model_load(&m, "runs/tales", &(fl_model_opts){0}, &err) != FL_OK) ...
 *     fl_graph *g = fl_graph_new();
 *     fl_forward f = {.tokens = fl_input(g, "tokens", FL_I32, 2, (int64_t[]){B, T}), ...};
 *     fl_val h = fl_model_hidden(m, g, &f);                      // (B, T, C)
 *     fl_val nll = fl_linear_ce(g, h, fl_model_head(m, g), targets, m->config.logit_softcap);
 *
 * An architecture is a row of facts (fl_arch) read by one builder; a family that only differs in
 * numbers is a row, not a function. Weights are named as Hugging Face names them. A weight
 * transform (transform.h) may change what a weight is when the graph asks for it: the builder asks
 * fl_model_linear, never fl_linear.
 *
 * A model owns its weights. While it is not being trained it is immutable and may be shared between
 * threads. */
#ifndef FL_MODEL_MODEL_H
#define FL_MODEL_MODEL_H

#include "base/file.h"
#include "base/json.h"
#include "base/thread.h"
#include "graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FL_NORM_LAYER, FL_NORM_RMS } fl_norm_kind;
typedef enum { FL_POSITION_LEARNED, FL_POSITION_ROPE } fl_position_kind;

/* What the network is. Names of the fields are those of config.json where it has one. */
enum { FL_MORE_ENDS = 15 };

typedef struct {
    const struct fl_arch *arch;
    int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
    int64_t num_attention_heads, num_key_value_heads, head_dim;
    int64_t max_position_embeddings;
    int64_t sliding_window;     // 0: all keys
    int64_t max_window_layers;  // layers below this one see all keys even so
    int64_t full_every;         // and so does every n-th; 0: the architecture's habit
    int64_t rotary_dim;         // of each head, first numbers that positions rotate; 0: all
    double rope_theta, norm_eps;
    double rope_local_theta;             // of layers with a window, never scaled; 0: as the others
    int64_t query_pre_attn_scalar;       // q.k is divided by its root; 0: head_dim
    double logit_softcap, attn_softcap;  // 0: none
    int64_t num_experts, experts_per_token;  // 0: none
    int64_t moe_intermediate_size;           // of an expert; 0: intermediate_size
    int64_t shared_intermediate_size;        // of the expert that every token goes to
    int64_t first_dense;                     // layers before this one have no experts
    int64_t expert_every;                    // nor has any but every n-th; 0: all have
    int64_t n_shared_experts;                // as wide together as shared_intermediate_size
    int64_t n_group, topk_group;             // experts are chosen from the best groups; 0: from all
    double routed_scaling_factor;            // of the chosen experts' weights; 0: 1
    double swiglu_limit;                     // of gate and up before they are multiplied; 0: none
    int64_t q_lora_rank, kv_lora_rank;       // latent attention; 0: queries whole, no latents
    int64_t qk_nope_head_dim, qk_rope_head_dim, v_head_dim;  // of it: a head is nope + rope
    bool split_kv_up;                                        // KV_UP is K_UP and V_UP, as in GGUF
    bool norm_topk;                 // weights of the chosen experts sum to 1
    bool attention_bias, mlp_bias;  // where the architecture leaves the choice
    bool parallel_residual;         // attention and feed-forward read the same stream
    bool tie_word_embeddings;
    int32_t bos_token_id, eos_token_id;  // -1: none
    int32_t more_ends[FL_MORE_ENDS];     // further tokens that end a text, as Llama 3's <|eot_id|>
    int n_more_ends;
    json_t *rope_scaling;      // as in config.json, or NULL; owned by the model
    double initializer_range;  // 0: 0.02
} fl_config;

/* What a weight is for: decides initialisation, weight decay, and which optimizer takes it. */
typedef enum {
    FL_ROLE_MATRIX,
    FL_ROLE_EMBEDDING,
    FL_ROLE_HEAD,
    FL_ROLE_NORM,
    FL_ROLE_BIAS,
    FL_ROLE_ADAPTER,
    FL_ROLE_ROUTER,       // chooses experts
    FL_ROLE_HEADS,        // (heads x rows, cols), multiplied head by head: no transform reaches it
    FL_ROLE_BY_HEAD,      // (heads, rows, cols), likewise
    FL_ROLE_EXPERT,       // (E, rows, cols), each multiplied by the rows sent to it
    FL_ROLE_EXPERT_BIAS,  // (E, rows), likewise
    FL_ROLE_CONSTANT      // carried and saved, never learnt
} fl_role;

typedef struct {
    char name[128];  // "model.layers.3.self_attn.q_proj.weight"; parts of a fused file tensor add
                     // "#q"
    fl_role role;
    int layer;       // -1 outside the layers
    fl_tensor data;  // f32 while trainable; as stored otherwise
    float *grad;     // f32, same count; NULL until fl_model_grads_new
    bool trainable;
} fl_param;

typedef struct fl_transform_link fl_transform_link;  // transform.h

typedef struct fl_model {
    fl_config config;
    fl_param *param;
    int n_params;
    fl_transform_link *transforms;   // outermost first; NULL: weights are parameters
    struct fl_tokenizer *tokenizer;  // NULL if the folder has none; owned
    char *chat_template;             // NULL if none
    struct fl_model_memory *memory;  // buffers behind the weights
} fl_model;

typedef struct {
    fl_dtype dtype;  // wanted in memory: FL_F32 or FL_BF16; with `as_stored` unset and 0 = FL_F32
    bool as_stored;  // keep (map) the file's own format, quantized ones included: inference. Rows
                     // of a GGUF Llama's Q and K stay in its order too: rotated pairs as neighbours
    bool no_tokenizer;
} fl_model_opts;

/* A Hugging Face folder, a run folder (its latest checkpoint), a checkpoint folder, or a GGUF file
 * (of a split model, any of its parts). */
FL_MUST_USE fl_status fl_model_load(fl_model **out, const char *path, const fl_model_opts *opts,
                                    fl_err *err);

/* Make room for texts `factor` times as long as the model was made for, by scaling its rotary
 * positions: "linear" (Chen et al. 2023), "ntk" (theta times factor^(R / (R - 2)), which leaves the
 * fastest of R / 2 frequencies alone) or "yarn" (Peng et al. 2023). The model's context grows with
 * it. Before any session. FL_ERR_UNSUPPORTED: there are no rotary positions, or they are scaled
 * already. */
FL_MUST_USE fl_status fl_model_stretch(fl_model *m, const char *how, double factor, fl_err *err);

/* The tokenizer alone: of a folder, of a file that holds one, or inside a GGUF file, with weights
 * or without. */
FL_MUST_USE fl_status fl_model_tokenizer(struct fl_tokenizer **out, const char *path, fl_err *err);

/* What fl_model_load would read: `path` itself, a folder or a GGUF file, or the latest checkpoint
 * of a run. */
FL_MUST_USE fl_status fl_model_folder(char out[FL_PATH_MAX], const char *path, fl_err *err);

/* Fresh weights: normal(0, initializer_range), residual outputs scaled by 1/sqrt(2 layers); norms
 * 1, biases 0. */
FL_MUST_USE fl_status fl_model_new(fl_model **out, const fl_config *config, uint64_t seed,
                                   fl_err *err);
void fl_model_free(fl_model *m);  // NULL is allowed

/* All weights will be used soon: those that are used where a file has them come into memory now, as
 * fast as that can be read, unless it is too small for them. With `lock` weights stay there
 * (fl_memory_lock). */
void fl_model_want(const fl_model *m, fl_pool *pool, bool lock);

/* Write a folder transformers opens: config.json, model.safetensors (in `dtype`),
 * generation_config.json, and the tokenizer's files when there is one. Each file is replaced
 * atomically, config.json last. */
FL_MUST_USE fl_status fl_model_save(const fl_model *m, const char *dir, fl_dtype dtype,
                                    fl_err *err);

/* Write one GGUF file for llama.cpp: matrices in `dtype`, or each as it is, bit for bit, vectors in
 * f32, the tokenizer inside. What llama.cpp cannot compute the same way (a sliding window, soft
 * caps) is an error. */
#define FL_DTYPE_KEPT FL_DTYPE_COUNT
FL_MUST_USE fl_status fl_model_save_gguf(const fl_model *m, const char *path, const char *name,
                                         fl_dtype dtype, fl_err *err);

FL_MUST_USE fl_status
fl_model_grads_new(fl_model *m, fl_err *err);  // one f32 block for all trainable parameters
fl_param *fl_model_param(const fl_model *m, const char *name);   // NULL if there is none
int64_t fl_model_count(const fl_model *m, bool trainable_only);  // parameters
fl_dtype fl_model_format(const fl_model *m);                     // that most of its matrices are in
double fl_config_flops_per_token(const fl_config *c,
                                 int64_t seq_len);  // forward + backward: 6 N + 12 L d T
int64_t fl_config_count(const fl_config *c);
int64_t fl_config_count_active(const fl_config *c);  // that one token meets: of experts, the chosen

/* What a token leaves in a layer's cache: (heads, size) numbers of a key, and as many of a value;
 * not of a value in latent attention, which makes both from one vector. */
typedef struct {
    int64_t heads, size;
    bool values;
} fl_cache_shape;
fl_cache_shape fl_config_cache(const fl_config *c);

/* The forward graph. Absent inputs are FL_NONE. */
typedef struct {
    fl_val tokens;              // i32 (B, T)
    fl_val position;            // i32 (B, T); within the document when packed, else 0..T-1
    fl_val segment;             // i32 (B, T): documents do not attend across; or none
    fl_val start;               // i32 (B): tokens already in the caches; or none (then no caches)
    fl_val table;               // i32 (B, M): the caches lie in pages; or none
    fl_val *k_cache, *v_cache;  // one per layer, (B, S, K, D) or pages (P, N, K, D); NULL without
                                // caches, v_cache also where there are no values
    int64_t context;            // tokens the text may come to have; 0: T. Chooses longrope's table
    fl_dtype compute;           // format of matrix products and most activations: FL_F32 or FL_BF16
} fl_forward;

fl_val fl_model_hidden(fl_model *m, fl_graph *g,
                       const fl_forward *f);     // after the last norm, (B, T, C)
fl_val fl_model_head(fl_model *m, fl_graph *g);  // (V, C); the embedding when tied
fl_val fl_model_logits(fl_model *m, fl_graph *g,
                       fl_val hidden);  // (.., V) f32, soft-capped as the facts say

/* The same two things the builder uses; for hooks and transforms. `bias` may be NULL. */
fl_val fl_model_linear(fl_model *m, fl_graph *g, fl_val x, fl_param *w, fl_param *bias,
                       fl_dtype dt);
fl_val fl_model_value(fl_model *m, fl_graph *g,
                      fl_param *p);  // the parameter as a graph value (one per graph)

#ifdef __cplusplus
}
#endif

#endif
