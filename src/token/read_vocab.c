/* read_vocab.c - a tokenizer from a vocabulary given as arrays (vocab.h), as llama.cpp reads it.
 *
 * One row per model kind. What llama.cpp decides by the name of the pre-tokenizer is in pre.c. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"
#include "token/pre.h"
#include "token/vocab.h"

/* ---- what all kinds share ---- */

static fl_token_kind kind_of(const fl_vocab *v, int32_t id) {
    return v->kind ? (fl_token_kind)v->kind[id] : FL_TOKEN_NORMAL;
}

static bool is_added(fl_token_kind kind) {
    return kind == FL_TOKEN_CONTROL || kind == FL_TOKEN_USER || kind == FL_TOKEN_UNKNOWN;
}

/* Each token's bytes: the texts of normal ones are written in the printable alphabet. */
static fl_status put_printable(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    fl_text bytes = {0};
    fl_status st = FL_OK;
    for (int32_t id = 0; id < v->n_tokens && st == FL_OK; id++) {
        const fl_vocab_text *k = v->token + id;
        bytes.n = 0;
        fl_text_append(&bytes, k->text, k->n);
        if ((st = fl_text_ok(&bytes, err)) != FL_OK) break;
        if (kind_of(v, id) == FL_TOKEN_NORMAL)
            bytes.n = fli_unprintable(k->text, k->n, (uint8_t *)bytes.data);
        st = fli_tokenizer_put(t, id, fl_text_str(&bytes), bytes.n, err);
        if (st == FL_OK && kind_of(v, id) == FL_TOKEN_UNUSED) t->token[id].kind = FL_TOKEN_UNUSED;
    }
    fl_text_clear(&bytes);
    return st;
}

static fl_status add_added(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    for (int32_t id = 0; id < v->n_tokens; id++) {
        fl_token_kind kind = kind_of(v, id);
        if (!is_added(kind)) continue;
        FL_TRY(fli_tokenizer_add(t, v->token[id].text, v->token[id].n, id, kind != FL_TOKEN_USER,
                                 false, err));
    }
    return FL_OK;
}

static fl_status put_around(fl_tokenizer *t, int32_t *list, int *n, int32_t id, const char *what,
                            fl_err *err) {
    if (id < 0 || id >= t->n || !t->token[id].kind)
        return fl_fail(err, FL_ERR_FORMAT, "tokenizer.ggml.add_%s_token: %s_token_id is missing",
                       what, what);
    list[(*n)++] = id;
    return FL_OK;
}

static bool said(fl_said s, bool absent) {
    return s == FL_UNSAID ? absent : s == FL_SAID_YES;
}

/* bos before a text and eos after it, where the keys or the kind say so. */
static fl_status add_ends(fl_tokenizer *t, const fl_vocab *v, bool bos, bool eos, fl_err *err) {
    t->bos = v->bos < v->n_tokens ? v->bos : -1;
    t->eos = v->eos < v->n_tokens ? v->eos : -1;
    if (said(v->add_bos, bos)) FL_TRY(put_around(t, t->before, &t->n_before, t->bos, "bos", err));
    if (said(v->add_eos, eos)) FL_TRY(put_around(t, t->after, &t->n_after, t->eos, "eos", err));
    return FL_OK;
}

/* ---- byte-level BPE ---- */

static fl_status push_merges(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    for (size_t i = 0; i < v->n_merges; i++) {
        const char *s = v->merge[i].text;
        size_t n = v->merge[i].n;
        const char *gap = n > 1 ? memchr(s + 1, ' ', n - 1) : NULL;
        size_t n_left = gap ? (size_t)(gap - s) : 0;
        FL_TRY(fli_push_merge(t, s, n_left, gap ? gap + 1 : "", gap ? n - n_left - 1 : 0,
                              "tokenizer.ggml.merges", err));
    }
    return FL_OK;
}

static fl_status build_gpt2(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    const char *name = v->pre && *v->pre ? v->pre : "default";
    const fli_pre *pre = fli_pre_find(name);
    if (!pre)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "tokenizer.ggml.pre: \"%.40s\" is no pre-tokenizer known here", name);
    FL_TRY(put_printable(t, v, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(push_merges(t, v, err));
    for (int k = 0; pre->stage[k]; k++) FL_TRY(fli_splitter_add(&t->split, pre->stage[k], err));
    FL_TRY(add_added(t, v, err));
    t->byte_level = true;
    t->ignore_merges = pre->ignore_merges;
    t->pre = fl_arena_alloc(&t->arena, strlen(name) + 1, 1, 1);
    if (!t->pre) return fl_fail(err, FL_ERR_NOMEM, "a tokenizer");
    memcpy(t->pre, name, strlen(name) + 1);
    return add_ends(t, v, pre->add_bos, false, err);
}

/* ---- the rows ---- */

static const struct {
    const char *model;
    fl_status (*build)(fl_tokenizer *t, const fl_vocab *v, fl_err *err);
} models[] = {{"gpt2", build_gpt2}};
enum { N_MODELS = sizeof models / sizeof *models };

static fl_status build(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    int row = 0;
    while (row < N_MODELS && strcmp(models[row].model, v->model) != 0) row++;
    if (row == N_MODELS)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "tokenizer.ggml.model: \"%.40s\" is not supported",
                       v->model);
    FL_TRY(models[row].build(t, v, err));
    if (v->chat_template) {
        t->chat_template = fl_strdup(v->chat_template);
        if (!t->chat_template) return fl_fail(err, FL_ERR_NOMEM, "a chat template");
    }
    return fli_tokenizer_finish(t, err);
}

fl_status fl_tokenizer_from_vocab(fl_tokenizer **out, const fl_vocab *v, fl_err *err) {
    fl_tokenizer *t;
    FL_TRY(fli_tokenizer_new(&t, err));
    fl_status st = build(t, v, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}
