/* export_gguf - a model as one GGUF file: what it is as keys, its tokenizer as keys, its tensors by
 * the rows of arch.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "format/gguf.h"
#include "model/internal.h"
#include "token/tokenizer.h"

/* Where llama.cpp has no pre-tokenizer for a pattern, the nearest: it differs in how it splits long
 * numbers. */
static const char nearest_pre[] = "llama-bpe";

/* ---- what it is ---- */

static fl_status check_exportable(const fl_config *c, fl_err *err) {
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    bool factors = type && strcmp(type, "llama3") == 0;
    bool windowed = c->sliding_window && c->max_window_layers < c->num_hidden_layers;
    const char *what = c->logit_softcap > 0  ? "final_logit_softcapping"
                       : c->attn_softcap > 0 ? "attn_logit_softcapping"
                       : factors && strcmp(c->arch->gguf_name, "llama") != 0
                           ? "rope_scaling of type llama3"
                       : windowed && c->sliding_window < c->max_position_embeddings
                           ? "sliding_window"
                           : NULL;
    if (!what) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "llama.cpp's %s has no %s: it would compute something else", c->arch->gguf_name,
                   what);
}

static void put_size(fl_gguf *g, const fl_config *c, const char *key, int64_t v) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", c->arch->gguf_name, key);
    fl_gguf_u32(g, full, (uint32_t)v);
}

static void put_real(fl_gguf *g, const fl_config *c, const char *key, double v) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", c->arch->gguf_name, key);
    fl_gguf_f32(g, full, (float)v);
}

static void put_field(fl_gguf *g, const fl_config *c, const fl_config_key *k) {
    const void *at = (const char *)c + k->offset;
    char full[128];
    snprintf(full, sizeof full, "%s.%s", c->arch->gguf_name, k->gguf);
    if (k->kind == FL_KEY_BOOL) fl_gguf_bool(g, full, *(const bool *)at);
    else if (k->kind == FL_KEY_REAL) fl_gguf_f32(g, full, (float)*(const double *)at);
    else fl_gguf_u32(g, full, (uint32_t) * (const int64_t *)at);
}

static void put_rope(fl_gguf *g, const fl_config *c) {
    put_size(g, c, "rope.dimension_count", c->rotary_dim);
    put_real(g, c, "rope.freq_base", c->rope_theta);
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    if (!type || strcmp(type, "linear") != 0) return;
    char key[128];
    snprintf(key, sizeof key, "%s.rope.scaling.type", c->arch->gguf_name);
    fl_gguf_str(g, key, type);
    put_real(g, c, "rope.scaling.factor",
             json_number_value(json_object_get(c->rope_scaling, "factor")));
}

static void put_facts(fl_gguf *g, const fl_config *c, const char *name, fl_dtype dtype) {
    static const uint32_t file_type[FL_DTYPE_COUNT] = {[FL_F32] = 0, [FL_F16] = 1, [FL_BF16] = 32};
    fl_gguf_str(g, "general.architecture", c->arch->gguf_name);
    fl_gguf_str(g, "general.type", "model");
    fl_gguf_str(g, "general.name", name);
    fl_gguf_u32(g, "general.file_type", file_type[dtype]);
    for (const fl_config_key *k = c->arch->keys; k->key; k++)
        if (k->gguf) put_field(g, c, k);
    put_size(g, c, "attention.value_length", c->head_dim);
    if (c->arch->position == FL_POSITION_ROPE) put_rope(g, c);
}

/* ---- the tokenizer ---- */

/* One entry per row of the embedding: rows the tokenizer has no token for are named and marked
 * unused. */
static fl_status put_tokens(fl_gguf *g, const fl_tokenizer *t, int64_t vocab_size, fl_err *err) {
    int32_t *kind = fl_alloc((size_t)vocab_size * sizeof *kind);
    if (!kind) return fl_fail(err, FL_ERR_NOMEM, "the vocabulary");
    fl_text text = {0};
    fl_gguf_strings_begin(g, "tokenizer.ggml.tokens", (size_t)vocab_size);
    for (int32_t id = 0; id < vocab_size; id++) {
        size_t n;
        text.n = 0;
        kind[id] = FL_TOKEN_UNUSED;
        if (id < fl_tokenizer_size(t) && fl_token_bytes(t, id, &n)) {
            fl_token_text(t, id, &text);
            kind[id] = (int32_t)fl_tokenizer_kind(t, id);
        } else {
            fl_text_printf(&text, "[PAD%d]", id);
        }
        fl_gguf_strings_add(g, fl_text_str(&text), text.n);
    }
    fl_gguf_i32_array(g, "tokenizer.ggml.token_type", kind, (size_t)vocab_size);
    fl_dealloc(kind);
    fl_status s = fl_text_ok(&text, err);
    fl_text_clear(&text);
    return s;
}

static fl_status put_merges(fl_gguf *g, const fl_tokenizer *t, fl_err *err) {
    size_t n = fl_tokenizer_n_merges(t);
    fl_text text = {0};
    fl_gguf_strings_begin(g, "tokenizer.ggml.merges", n);
    for (size_t i = 0; i < n; i++) {
        int32_t left, right;
        fl_tokenizer_merge(t, i, &left, &right);
        text.n = 0;
        fl_token_text(t, left, &text);
        fl_text_puts(&text, " ");
        fl_token_text(t, right, &text);
        fl_gguf_strings_add(g, fl_text_str(&text), text.n);
    }
    fl_status s = fl_text_ok(&text, err);
    fl_text_clear(&text);
    return s;
}

static fl_status put_tokenizer(fl_gguf *g, const fl_model *m, fl_err *err) {
    const fl_tokenizer *t = m->tokenizer;
    if (!t) {
        fl_warn("the model has no tokenizer: llama.cpp will take token ids only");
        fl_gguf_str(g, "tokenizer.ggml.model", "none");
        return FL_OK;
    }
    const char *pre = fl_tokenizer_llama_cpp_pre(t);
    if (!pre)
        fl_warn(
            "llama.cpp has no pre-tokenizer for the pattern \"%.60s\"; \"%s\" is written, which "
            "may split numbers and "
            "spaces otherwise: train the tokenizer with --pattern qwen2 or llama3 to avoid it",
            fl_tokenizer_pattern(t) ? fl_tokenizer_pattern(t) : "(several)", nearest_pre);
    fl_gguf_str(g, "tokenizer.ggml.model", "gpt2");
    fl_gguf_str(g, "tokenizer.ggml.pre", pre ? pre : nearest_pre);
    FL_TRY(put_tokens(g, t, m->config.vocab_size, err));
    FL_TRY(put_merges(g, t, err));
    if (fl_tokenizer_bos(t) >= 0)
        fl_gguf_u32(g, "tokenizer.ggml.bos_token_id", (uint32_t)fl_tokenizer_bos(t));
    if (fl_tokenizer_eos(t) >= 0)
        fl_gguf_u32(g, "tokenizer.ggml.eos_token_id", (uint32_t)fl_tokenizer_eos(t));
    fl_gguf_bool(g, "tokenizer.ggml.add_bos_token", fl_tokenizer_adds_bos(t));
    fl_gguf_bool(g, "tokenizer.ggml.add_eos_token", fl_tokenizer_adds_eos(t));
    if (m->chat_template) fl_gguf_str(g, "tokenizer.chat_template", m->chat_template);
    return FL_OK;
}

/* ---- the tensors ---- */

/* rope_freqs.weight: what each plain frequency is divided by. Only Llama 3.1's scaling needs the
 * table. */
static fl_status rope_factors(const fl_model *m, float **out, fl_err *err) {
    const char *type = json_string_value(json_object_get(m->config.rope_scaling, "rope_type"));
    *out = NULL;
    if (!type || strcmp(type, "llama3") != 0) return FL_OK;
    int64_t n = m->config.rotary_dim / 2;
    float *factor = fl_alloc((size_t)n * sizeof *factor);
    if (!factor) return fl_fail(err, FL_ERR_NOMEM, "rope_freqs.weight");
    for (int64_t i = 0; i < n; i++) {
        double plain = pow(m->config.rope_theta, -2.0 * (double)i / (double)m->config.rotary_dim);
        factor[i] = (float)(plain / (double)m->memory->rope[FLI_ROPE_MAIN].inv_freq[i]);
    }
    *out = factor;
    return FL_OK;
}

static fl_status save_tensors(fl_gguf *g, const fl_model *m, const char *path, fl_dtype dtype,
                              fl_err *err) {
    fli_stored_list list;
    float *factors;
    FL_TRY(rope_factors(m, &factors, err));
    fl_status s = fli_stored_gguf(&list, m, dtype, err);
    fl_write_tensor *w = s == FL_OK ? fl_alloc(((size_t)list.n + 1) * sizeof *w) : NULL;
    if (s == FL_OK && !w) s = fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    if (s == FL_OK) {
        int n = list.n;
        memcpy(w, list.w, (size_t)n * sizeof *w);
        if (factors)
            w[n++] = (fl_write_tensor){.name = "rope_freqs.weight",
                                       .rank = 1,
                                       .dim = {m->config.rotary_dim / 2},
                                       .source = factors};
        s = fl_gguf_save(g, path, w, n, err);
    }
    fli_stored_clear(&list);
    fl_dealloc(factors);
    fl_dealloc(w);
    return s;
}

fl_status fl_model_save_gguf(const fl_model *m, const char *path, const char *name, fl_dtype dtype,
                             fl_err *err) {
    FL_TRY(check_exportable(&m->config, err));
    fl_gguf *g = fl_gguf_new();
    if (!g) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    put_facts(g, &m->config, name, dtype);
    fl_status s = put_tokenizer(g, m, err);
    if (s == FL_OK) s = save_tensors(g, m, path, dtype, err);
    fl_gguf_free(g);
    return s;
}
