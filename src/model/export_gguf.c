/* export_gguf - a model as one GGUF file: what it is as keys, its tokenizer as keys, its tensors by
 * the rows of arch/. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "model/gguf_facts.h"
#include "token/vocab.h"

/* Where llama.cpp has no pre-tokenizer for a pattern, the nearest: it differs in how it splits long
 * numbers. */
static const char nearest_pre[] = "llama-bpe";

/* The name that a GGUF file gave stays. */
static fl_status put_general(fl_gguf *g, const fl_model *m, const char *name, fl_dtype dtype,
                             fl_err *err) {
    static const uint32_t file_type[FL_DTYPE_COUNT] = {[FL_F32] = 0, [FL_F16] = 1, [FL_BF16] = 32};
    const bool kept = dtype == FL_DTYPE_KEPT;
    if (m->memory->gguf) FL_TRY(fl_gguf_get_str(m->memory->gguf, "general.name", &name, err));
    fl_gguf_str(g, "general.architecture", m->config.arch->gguf_name);
    fl_gguf_str(g, "general.type", "model");
    fl_gguf_str(g, "general.name", name);
    if (!kept || !m->memory->gguf)
        fl_gguf_u32(g, "general.file_type", file_type[kept ? fl_model_format(m) : dtype]);
    return FL_OK;
}

/* ---- the tokenizer ---- */

#define KEY(name) "tokenizer.ggml." name

static void put_texts(fl_gguf *g, const char *key, const fl_vocab_text *t, size_t n) {
    fl_gguf_strings_begin(g, key, n);
    for (size_t i = 0; i < n; i++) fl_gguf_strings_add(g, t[i].text, t[i].n);
}

static void put_id(fl_gguf *g, const char *key, int32_t id) {
    if (id >= 0) fl_gguf_u32(g, key, (uint32_t)id);
}

static void put_said(fl_gguf *g, const char *key, fl_said said) {
    if (said != FL_UNSAID) fl_gguf_bool(g, key, said == FL_SAID_YES);
}

static const char *pre_of(const fl_tokenizer *t, const fl_vocab *v) {
    if (v->pre) return v->pre;
    if (strcmp(v->model, "gpt2") != 0) return "default";
    fl_warn(
        "llama.cpp has no pre-tokenizer for the pattern \"%.60s\"; \"%s\" is written, which "
        "may split numbers and "
        "spaces otherwise: train the tokenizer with --pattern qwen2 or llama3 to avoid it",
        fl_tokenizer_pattern(t) ? fl_tokenizer_pattern(t) : "(several)", nearest_pre);
    return nearest_pre;
}

static void put_vocab(fl_gguf *g, const fl_tokenizer *t, const fl_vocab *v) {
    const size_t n = (size_t)v->n_tokens;
    fl_gguf_str(g, KEY("model"), v->model);
    fl_gguf_str(g, KEY("pre"), pre_of(t, v));
    put_texts(g, KEY("tokens"), v->token, n);
    fl_gguf_i32_array(g, KEY("token_type"), v->kind, n);
    if (v->score) fl_gguf_f32_array(g, KEY("scores"), v->score, n);
    if (v->merge) put_texts(g, KEY("merges"), v->merge, v->n_merges);
    if (v->charsmap_bytes)
        fl_gguf_u8_array(g, KEY("precompiled_charsmap"), v->charsmap, v->charsmap_bytes);
    put_id(g, KEY("bos_token_id"), v->bos);
    put_id(g, KEY("eos_token_id"), v->eos);
    put_id(g, KEY("unknown_token_id"), v->unk);
    put_id(g, KEY("seperator_token_id"), v->sep);
    put_id(g, KEY("padding_token_id"), v->pad);
    put_id(g, KEY("cls_token_id"), v->cls);
    put_id(g, KEY("mask_token_id"), v->mask);
    put_said(g, KEY("add_bos_token"), v->add_bos);
    put_said(g, KEY("add_eos_token"), v->add_eos);
    put_said(g, KEY("add_sep_token"), v->add_sep);
    put_said(g, KEY("add_space_prefix"), v->add_space_prefix);
    put_said(g, KEY("remove_extra_whitespaces"), v->remove_extra_whitespaces);
}

static void put_templates(fl_gguf *g, const char *chat_template, const fl_vocab *v) {
    char key[128];
    if (chat_template) fl_gguf_str(g, "tokenizer.chat_template", chat_template);
    if (!v->n_named) return;
    fl_gguf_strings_begin(g, "tokenizer.chat_templates", v->n_named);
    for (size_t i = 0; i < v->n_named; i++)
        fl_gguf_strings_add(g, v->named[i].name, strlen(v->named[i].name));
    for (size_t i = 0; i < v->n_named; i++) {
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", v->named[i].name);
        fl_gguf_str(g, key, v->named[i].source);
    }
}

static fl_status put_tokenizer(fl_gguf *g, const fl_model *m, fl_err *err) {
    fl_vocab v;
    fl_arena arena;
    if (!m->tokenizer) {
        fl_warn("the model has no tokenizer: llama.cpp will take token ids only");
        fl_gguf_str(g, KEY("model"), "none");
        return FL_OK;
    }
    fl_arena_init(&arena, 1 << 20);
    const fl_status s = fl_tokenizer_to_vocab(m->tokenizer, (int32_t)m->config.vocab_size, &arena,
                                              &v, err);
    if (s == FL_OK) {
        put_vocab(g, m->tokenizer, &v);
        put_templates(g, m->chat_template, &v);
    }
    fl_arena_free(&arena);
    return s;
}

/* ---- what came along ---- */

/* GGUF has names for two ends besides eos, of a turn and of a message; any token may be either. */
static void put_more_ends(fl_gguf *g, const fl_config *c) {
    static const char *const keys[] = {KEY("eot_token_id"), KEY("eom_token_id")};
    for (int i = 0; i < 2 && i < c->n_more_ends; i++) put_id(g, keys[i], c->more_ends[i]);
    if (c->n_more_ends > 2) fl_note("%d tokens that end a text have no place", c->n_more_ends - 2);
}

/* A model out of a GGUF file may say more of itself than is read here: who made it, of what, how it
 * likes to be sampled. That goes on, but what says how tensors were made if they are made anew. */
static void carry(fl_gguf *g, const fl_gguf_file *from, bool kept) {
    static const char *const dropped[] = {"general.quantization_version", "quantize."};
    for (int i = 0; from && i < fl_gguf_n_keys(from); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(from, i);
        bool keep = !fl_gguf_has(g, k->name);
        for (int d = 0; d < 2 && !kept; d++)
            keep = keep && strncmp(k->name, dropped[d], strlen(dropped[d])) != 0;
        if (keep) fl_gguf_copy(g, k);
    }
}

/* ---- the tensors ---- */

static fl_status write_file(fl_gguf *g, const fli_stored_list *list, const fli_gguf_tables *tables,
                            const char *path, fl_err *err) {
    size_t n = (size_t)list->n, more = (size_t)tables->n;
    fl_write_tensor *w = fl_alloc((n + more) * sizeof *w);
    if (!w) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    memcpy(w, list->w, n * sizeof *w);
    memcpy(w + n, tables->w, more * sizeof *w);
    fl_status s = fl_gguf_save(g, path, w, (int)(n + more), err);
    fl_dealloc(w);
    return s;
}

static fl_status save_tensors(fl_gguf *g, const fl_model *m, const char *path, fl_dtype dtype,
                              fl_err *err) {
    fli_stored_list list = {0};
    fli_gguf_tables tables;
    fl_status s = fli_gguf_tables_new(&tables, m, err);
    if (s == FL_OK) s = fli_stored_gguf(&list, m, FLI_WRITTEN, dtype, err);
    if (s == FL_OK) s = write_file(g, &list, &tables, path, err);
    fli_stored_clear(&list);
    fli_gguf_tables_clear(&tables);
    return s;
}

fl_status fl_model_save_gguf(const fl_model *m, const char *path, const char *name, fl_dtype dtype,
                             fl_err *err) {
    FL_TRY(fli_gguf_check(&m->config, err));
    fl_gguf *g = fl_gguf_new();
    if (!g) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    fl_status s = put_general(g, m, name, dtype, err);
    fli_gguf_put_facts(g, m);
    if (s == FL_OK) s = put_tokenizer(g, m, err);
    put_more_ends(g, &m->config);
    carry(g, m->memory->gguf, dtype == FL_DTYPE_KEPT);
    if (s == FL_OK) s = save_tensors(g, m, path, dtype, err);
    fl_gguf_free(g);
    return s;
}
