/* gguf_facts - what a model is, as llama.cpp reads it from GGUF: numbers by the keys of its row,
 * windows, rotary positions with their tables of factors. And what llama.cpp would compute
 * otherwise, which is not written. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "model/gguf_facts.h"

enum { KEY = 128 };
static const double OSS_LIMIT = 7;  // llama.cpp has no other

/* ---- what cannot be said ---- */

/* The row has a GGUF key for this field of fl_config. */
static bool has_key(const fl_arch *arch, size_t offset) {
    for (const fl_config_key *k = arch->keys; k->key; k++)
        if (k->offset == offset) return k->gguf != NULL;
    return false;
}

static const char *rope_type(const fl_config *c) {
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    return type ? type : "";
}

static bool has_exact_ramp(const fl_config *c) {
    return json_is_false(json_object_get(c->rope_scaling, "truncate"));
}

/* Scalings that llama.cpp has for one architecture only. */
static const char *rope_lacking(const fl_config *c) {
    static const struct {
        const char *type, *only, *what;
    } rows[] = {{"llama3", "llama", "rope_scaling of type llama3"},
                {"longrope", "phi3", "rope_scaling of type longrope"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rope_type(c), rows[i].type) == 0 &&
            strcmp(c->arch->gguf_name, rows[i].only) != 0)
            return rows[i].what;
    return has_exact_ramp(c) && !c->arch->rope.ramp_exact ? "rope_scaling with truncate false"
                                                          : NULL;
}

static bool window_lacking(const fl_config *c) {
    if (c->arch->window == FL_WINDOW_ALTERNATE || c->sliding_window >= c->max_position_embeddings)
        return false;
    for (int i = 0; i < (int)c->num_hidden_layers; i++)
        if (fl_config_window(c, i)) return true;
    return false;
}

static int64_t query_scalar(const fl_config *c) {
    return c->arch->gguf_query_scalar ? c->arch->gguf_query_scalar(c) : c->head_dim;
}

/* llama.cpp takes for granted how weights of experts are normalised and which layers have any. */
static const char *experts_lacking(const fl_config *c) {
    if (!c->num_experts) return NULL;
    if (c->norm_topk != c->arch->gguf_norm_topk &&
        !has_key(c->arch, offsetof(fl_config, norm_topk)))
        return c->norm_topk ? "norm_topk_prob" : "norm_topk_prob that is false";
    const bool leading = has_key(c->arch, offsetof(fl_config, first_dense));
    for (int i = leading ? (int)c->first_dense : 0; i < (int)c->num_hidden_layers; i++)
        if (!fl_config_is_expert_layer(c, i)) return "layers without experts";
    return NULL;
}

static const char *lacking(const fl_config *c) {
    const fl_arch *arch = c->arch;
    if (c->logit_softcap > 0 && !has_key(arch, offsetof(fl_config, logit_softcap)))
        return "final_logit_softcapping";
    if (c->attn_softcap > 0 && !has_key(arch, offsetof(fl_config, attn_softcap)))
        return "attn_logit_softcapping";
    if (c->query_pre_attn_scalar != query_scalar(c)) return "query_pre_attn_scalar of its own";
    if (arch->gguf_head == FL_GGUF_HEAD_TIED && !c->tie_word_embeddings) return "head of its own";
    if (arch->gguf_biased && !c->attention_bias) return "attention without biases";
    if (c->swiglu_limit > 0 && c->swiglu_limit != OSS_LIMIT) return "swiglu_limit other than 7";
    if (experts_lacking(c)) return experts_lacking(c);
    if (fli_gguf_latent_lacking(c)) return fli_gguf_latent_lacking(c);
    return window_lacking(c) ? "sliding_window" : rope_lacking(c);
}

/* What llama.cpp takes for granted of YaRN's ramp, whatever the file says. */
static void note_ramp(const fl_config *c) {
    const json_t *fast = json_object_get(c->rope_scaling, "beta_fast"),
                 *slow = json_object_get(c->rope_scaling, "beta_slow");
    if (strcmp(rope_type(c), "yarn") != 0) return;
    if (has_exact_ramp(c))
        fl_warn(
            "llama.cpp rounds YaRN's ramp to whole dimensions: its logits will differ a little");
    if ((fast && json_number_value(fast) != 32) || (slow && json_number_value(slow) != 1))
        fl_warn(
            "llama.cpp takes YaRN's beta_fast and beta_slow to be 32 and 1: its logits will "
            "differ");
}

fl_status fli_gguf_check(const fl_config *c, fl_err *err) {
    if (!c->arch->gguf_name)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "llama.cpp has no architecture like %s",
                       c->arch->name);
    const char *what = lacking(c);
    if (!what) {
        note_ramp(c);
        return FL_OK;
    }
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "llama.cpp's %s has no %s: it would compute something else", c->arch->gguf_name,
                   what);
}

/* ---- what is said ---- */

static const char *full_key(char out[KEY], const fl_config *c, const char *key) {
    snprintf(out, KEY, "%s.%s", c->arch->gguf_name, key);
    return out;
}

static void put_size(fl_gguf *g, const fl_config *c, const char *key, int64_t v) {
    char full[KEY];
    fl_gguf_u32(g, full_key(full, c, key), (uint32_t)v);
}

static void put_real(fl_gguf *g, const fl_config *c, const char *key, double v) {
    char full[KEY];
    fl_gguf_f32(g, full_key(full, c, key), (float)v);
}

static void put_field(fl_gguf *g, const fl_config *c, const fl_config_key *k) {
    const void *at = (const char *)c + k->offset;
    char full[KEY];
    if (k->kind == FL_KEY_INT) put_size(g, c, k->gguf, *(const int64_t *)at);
    else if (k->kind == FL_KEY_REAL) put_real(g, c, k->gguf, *(const double *)at);
    else fl_gguf_bool(g, full_key(full, c, k->gguf), *(const bool *)at);
}

/* llama.cpp multiplies cosine and sine by YaRN's own factor, and by this. */
static void put_attention(fl_gguf *g, const fl_model *m, double factor) {
    double scale = (double)m->memory->rope[FLI_ROPE_MAIN].scale;
    const bool yarn = strcmp(rope_type(&m->config), "yarn") == 0 && !m->config.kv_lora_rank;
    double own = yarn ? 0.1 * log(factor) + 1 : 1;
    if (fabs(scale / own - 1) > 1e-6)
        put_real(g, &m->config, "rope.scaling.attn_factor", scale / own);
}

static void put_scaling(fl_gguf *g, const fl_model *m) {
    static const char *const known[] = {"linear", "yarn", "longrope"};
    const fl_config *c = &m->config;
    const char *type = rope_type(c);
    const json_t *v = c->rope_scaling, *factor = json_object_get(v, "factor");
    double original = json_number_value(json_object_get(v, "original_max_position_embeddings"));
    double times = json_is_number(factor) ? json_number_value(factor)
                                          : (double)c->max_position_embeddings / original;
    int kind = 0;
    while (kind < 3 && strcmp(known[kind], type) != 0) kind++;
    if (kind == 3) return;
    char full[KEY];
    fl_gguf_str(g, full_key(full, c, "rope.scaling.type"), type);
    if (kind < 2) put_real(g, c, "rope.scaling.factor", times);
    if (kind == 0) return;
    put_size(g, c, "rope.scaling.original_context_length", (int64_t)original);
    put_attention(g, m, times);
    static const char *const ramp[][2] = {{"beta_fast", "rope.scaling.yarn_beta_fast"},
                                          {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    for (int i = 0; i < 2; i++) {
        const json_t *beta = json_object_get(v, ramp[i][0]);
        if (json_is_number(beta)) put_real(g, c, ramp[i][1], json_number_value(beta));
    }
}

static void put_rope(fl_gguf *g, const fl_model *m) {
    const fl_config *c = &m->config;
    put_size(g, c, "rope.dimension_count", c->rotary_dim);
    put_real(g, c, "rope.freq_base", c->rope_theta);
    if (c->rope_local_theta > 0) put_real(g, c, "rope.freq_base_swa", c->rope_local_theta);
    put_scaling(g, m);
}

static void put_window(fl_gguf *g, const fl_config *c) {
    if (c->arch->window != FL_WINDOW_ALTERNATE || !c->sliding_window) return;
    put_size(g, c, "attention.sliding_window", c->sliding_window);
    if (c->full_every != c->arch->full_every)
        put_size(g, c, "attention.sliding_window_pattern", c->full_every);
}

void fli_gguf_put_facts(fl_gguf *g, const fl_model *m) {
    const fl_config *c = &m->config;
    for (const fl_config_key *k = c->arch->keys; k->key; k++)
        if (k->gguf) put_field(g, c, k);
    if (c->kv_lora_rank) fli_gguf_put_latent(g, c);
    else put_size(g, c, "attention.value_length", c->head_dim);
    put_window(g, c);
    if (c->arch->position == FL_POSITION_ROPE) put_rope(g, m);
}

/* ---- tables of factors ---- */

static fl_status add_table(fli_gguf_tables *t, const fl_model *m, fli_rope_kind kind,
                           const char *name, fl_err *err) {
    const fl_config *c = &m->config;
    int64_t n = c->rotary_dim / 2;
    float *factor = fl_alloc((size_t)n * sizeof *factor);
    if (!factor) return fl_fail(err, FL_ERR_NOMEM, "%s", name);
    for (int64_t i = 0; i < n; i++) {
        double plain = pow(c->rope_theta, -2.0 * (double)i / (double)c->rotary_dim);
        factor[i] = (float)(plain / (double)m->memory->rope[kind].inv_freq[i]);
    }
    t->w[t->n] = (fl_write_tensor){.name = name, .rank = 1, .dim = {n}, .source = factor};
    t->memory[t->n++] = factor;
    return FL_OK;
}

fl_status fli_gguf_tables_new(fli_gguf_tables *t, const fl_model *m, fl_err *err) {
    const char *type = rope_type(&m->config);
    *t = (fli_gguf_tables){0};
    if (strcmp(type, "llama3") == 0)
        return add_table(t, m, FLI_ROPE_MAIN, "rope_freqs.weight", err);
    if (strcmp(type, "longrope") != 0) return FL_OK;
    FL_TRY(add_table(t, m, FLI_ROPE_MAIN, "rope_factors_short.weight", err));
    return add_table(t, m, FLI_ROPE_LONG, "rope_factors_long.weight", err);
}

void fli_gguf_tables_clear(fli_gguf_tables *t) {
    for (int i = 0; i < t->n; i++) fl_dealloc(t->memory[i]);
    *t = (fli_gguf_tables){0};
}
