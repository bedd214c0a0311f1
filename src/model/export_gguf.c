/* export_gguf - a model as one GGUF file: what it is as keys, its tokenizer as keys, its tensors by
 * the rows of arch/. */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "model/gguf_facts.h"
#include "token/tokenizer.h"

/* Where llama.cpp has no pre-tokenizer for a pattern, the nearest: it differs in how it splits long
 * numbers. */
static const char nearest_pre[] = "llama-bpe";

static void put_general(fl_gguf *g, const fl_config *c, const char *name, fl_dtype dtype) {
    static const uint32_t file_type[FL_DTYPE_COUNT] = {[FL_F32] = 0, [FL_F16] = 1, [FL_BF16] = 32};
    fl_gguf_str(g, "general.architecture", c->arch->gguf_name);
    fl_gguf_str(g, "general.type", "model");
    fl_gguf_str(g, "general.name", name);
    fl_gguf_u32(g, "general.file_type", file_type[dtype]);
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
    const char *kind = fl_tokenizer_gguf_model(t);
    if (strcmp(kind, "gpt2") != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "a vocabulary of the kind \"%s\" cannot be written to GGUF, only \"gpt2\" "
                       "(byte-level BPE)",
                       kind);
    const char *pre = fl_tokenizer_llama_cpp_pre(t);
    if (!pre)
        fl_warn(
            "llama.cpp has no pre-tokenizer for the pattern \"%.60s\"; \"%s\" is written, which "
            "may split numbers and "
            "spaces otherwise: train the tokenizer with --pattern qwen2 or llama3 to avoid it",
            fl_tokenizer_pattern(t) ? fl_tokenizer_pattern(t) : "(several)", nearest_pre);
    fl_gguf_str(g, "tokenizer.ggml.model", kind);
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
    if (s == FL_OK) s = fli_stored_gguf(&list, m, dtype, err);
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
    put_general(g, &m->config, name, dtype);
    fli_gguf_put_facts(g, m);
    fl_status s = put_tokenizer(g, m, err);
    if (s == FL_OK) s = save_tensors(g, m, path, dtype, err);
    fl_gguf_free(g);
    return s;
}
