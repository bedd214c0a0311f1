/* arch - the table of architectures, what a slot is, and the walk over a model's weights. */
#include "model/arch.h"

#include <string.h>

#include "model/arch/rows.h"

/* The first is what fledge train makes when not told. */
const fl_arch *const fl_archs[] = {&fli_arch_qwen3,       &fli_arch_llama,
                                   &fli_arch_gpt2,        &fli_arch_mistral,
                                   &fli_arch_qwen2,       &fli_arch_gemma2,
                                   &fli_arch_gemma3,      &fli_arch_phi3,
                                   &fli_arch_olmo2,       &fli_arch_stablelm,
                                   &fli_arch_gpt_neox,    &fli_arch_mixtral,
                                   &fli_arch_qwen2_moe,   &fli_arch_qwen3_moe,
                                   &fli_arch_deepseek_v2, &fli_arch_deepseek_v3,
                                   &fli_arch_gpt_oss,     NULL};

const fl_arch *fl_arch_find(const char *name) {
    for (int i = 0; fl_archs[i]; i++)
        if (strcmp(fl_archs[i]->name, name) == 0) return fl_archs[i];
    return NULL;
}

/* ---- what rows share ---- */

const char *const fli_ignored_rotary[] = {".rotary_emb.inv_freq", NULL};

bool fli_untied(const fl_config *c, int layer) {
    (void)layer;
    return !c->tie_word_embeddings;
}

bool fli_attention_biased(const fl_config *c, int layer) {
    (void)layer;
    return c->attention_bias;
}

bool fli_mlp_biased(const fl_config *c, int layer) {
    (void)layer;
    return c->mlp_bias;
}

bool fli_q_latent(const fl_config *c, int layer) {
    (void)layer;
    return c->q_lora_rank > 0;
}

bool fli_q_whole(const fl_config *c, int layer) {
    return !fli_q_latent(c, layer);
}

bool fli_kv_split(const fl_config *c, int layer) {
    (void)layer;
    return c->split_kv_up;
}

bool fli_kv_whole(const fl_config *c, int layer) {
    return !fli_kv_split(c, layer);
}

bool fli_sparse(const fl_config *c, int layer) {
    return fl_config_is_expert_layer(c, layer);
}

bool fli_dense(const fl_config *c, int layer) {
    return !fl_config_is_expert_layer(c, layer);
}

bool fli_sequential(const fl_config *c, int layer) {
    (void)layer;
    return !c->parallel_residual;
}

/* ---- slots ---- */

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
static int64_t size_H(const fl_config *c) {
    return c->num_attention_heads;
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
static int64_t size_E(const fl_config *c) {
    return c->num_experts;
}
static int64_t size_M(const fl_config *c) {
    return c->moe_intermediate_size;
}
static int64_t size_S(const fl_config *c) {
    return c->shared_intermediate_size;
}
static int64_t size_A(const fl_config *c) {
    return c->q_lora_rank;
}
static int64_t size_Z(const fl_config *c) {
    return c->kv_lora_rank;
}
static int64_t size_L(const fl_config *c) {
    return c->kv_lora_rank + c->qk_rope_head_dim;
}
static int64_t size_U(const fl_config *c) {
    return c->num_attention_heads * (c->qk_nope_head_dim + c->v_head_dim);
}
static int64_t size_N(const fl_config *c) {
    return c->qk_nope_head_dim;
}
static int64_t size_W(const fl_config *c) {
    return c->v_head_dim;
}
static int64_t size_O(const fl_config *c) {
    return c->num_attention_heads * (c->kv_lora_rank ? c->v_head_dim : c->head_dim);
}
static int64_t size_I(const fl_config *c) {
    (void)c;
    return 1;
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

static bool is_per_expert(fl_slot slot) {
    return slots[slot].role == FL_ROLE_EXPERT || slots[slot].role == FL_ROLE_EXPERT_BIAS;
}

int fl_slot_shape(fl_slot slot, const fl_config *c, int64_t dim[3]) {
    int rank = 0;
    if (is_per_expert(slot)) dim[rank++] = c->num_experts;
    if (slots[slot].role == FL_ROLE_BY_HEAD) dim[rank++] = c->num_attention_heads;
    dim[rank++] = slots[slot].rows(c);
    if (slots[slot].cols) dim[rank++] = slots[slot].cols(c);
    return rank;
}

fl_role fl_slot_role(fl_slot slot) {
    return slots[slot].role;
}

bool fl_slot_residual(fl_slot slot) {
    return slots[slot].residual;
}

/* ---- the walk ---- */

static bool in_layer(const fl_weight_row *row) {
    return row->hf && row->slot >= FL_SLOT_LAYER_FIRST;
}

/* Rows of the layers stand together: after the last of them the walk returns to the first until the
 * layers are done. */
static void step(const fl_config *c, fl_weight_iter *it) {
    const fl_weight_row *rows = c->arch->weights, *row = &rows[it->next_row++];
    bool layer_ends = in_layer(row) && !in_layer(row + 1);
    if (layer_ends && ++it->next_layer < c->num_hidden_layers)
        while (it->next_row > 0 && in_layer(&rows[it->next_row - 1])) it->next_row--;
}

bool fl_weight_next(const fl_config *c, fl_weight_iter *it) {
    const fl_weight_row *row;
    while ((row = &c->arch->weights[it->next_row])->hf) {
        int layer = in_layer(row) ? it->next_layer : -1;
        step(c, it);
        if (row->has && !row->has(c, layer)) continue;
        it->row = row;
        it->layer = layer;
        return true;
    }
    return false;
}

/* ---- a model's numbers ---- */

fl_cache_shape fl_config_cache(const fl_config *c) {
    if (c->kv_lora_rank) return (fl_cache_shape){1, c->kv_lora_rank + c->qk_rope_head_dim, false};
    return (fl_cache_shape){c->num_key_value_heads, c->head_dim, true};
}

int64_t fl_config_window(const fl_config *c, int layer) {
    bool full = layer < c->max_window_layers || (c->full_every && (layer + 1) % c->full_every == 0);
    return full ? 0 : c->sliding_window;
}

bool fl_config_is_expert_layer(const fl_config *c, int layer) {
    bool turn = !c->expert_every || (layer + 1) % c->expert_every == 0;
    return c->num_experts && layer >= c->first_dense && turn;
}

/* Parameters when every layer has this many experts. */
static int64_t count(const fl_config *c, int64_t experts) {
    int64_t n = 0, dim[3];
    for (fl_weight_iter it = {0}; fl_weight_next(c, &it);) {
        int rank = fl_slot_shape(it.row->slot, c, dim);
        int64_t size = 1;
        if (is_per_expert(it.row->slot)) dim[0] = experts;
        for (int i = 0; i < rank; i++) size *= dim[i];
        n += size;
    }
    return n;
}

int64_t fl_config_count(const fl_config *c) {
    return count(c, c->num_experts);
}

int64_t fl_config_count_active(const fl_config *c) {
    return count(c, c->experts_per_token);
}

/* A table that is only looked up multiplies nothing: the embedding counts once, as the head. */
double fl_config_flops_per_token(const fl_config *c, int64_t seq_len) {
    double n = (double)fl_config_count_active(c);
    if (!c->tie_word_embeddings) n -= (double)(c->vocab_size * c->hidden_size);
    double attention = (double)(c->num_hidden_layers * c->num_attention_heads * c->head_dim) *
                       (double)seq_len;
    return 6 * n + 12 * attention;
}
