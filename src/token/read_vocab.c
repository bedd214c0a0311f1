/* read_vocab.c - a tokenizer from a vocabulary given as arrays (vocab.h), as llama.cpp reads it.
 *
 * One row per model kind. What llama.cpp decides by the name of the pre-tokenizer is in pre.c. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"
#include "token/pre.h"
#include "token/read_vocab.h"
#include "token/unicode.h"

/* ---- what all kinds share ---- */

/* A kind that nobody has defined is of no use. */
static fl_token_kind kind_of(const fl_vocab *v, int32_t id) {
    if (!v->kind) return FL_TOKEN_NORMAL;
    bool known = v->kind[id] >= FL_TOKEN_NORMAL && v->kind[id] <= FL_TOKEN_BYTE;
    return known ? (fl_token_kind)v->kind[id] : FL_TOKEN_UNUSED;
}

static bool is_added(fl_token_kind kind) {
    return kind == FL_TOKEN_CONTROL || kind == FL_TOKEN_USER || kind == FL_TOKEN_UNKNOWN;
}

fl_status fli_put_pieces(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    for (int32_t id = 0; id < v->n_tokens; id++) {
        const fl_vocab_text *k = v->token + id;
        fl_token_kind kind = kind_of(v, id);
        bool as_it_is = kind == FL_TOKEN_CONTROL || kind == FL_TOKEN_UNKNOWN ||
                        (kind == FL_TOKEN_USER && t->kind->bytes);
        FL_TRY(as_it_is ? fli_tokenizer_put(t, id, k->text, k->n, err)
                        : fli_tokenizer_put_text(t, id, k->text, k->n, err));
        if (kind == FL_TOKEN_NORMAL || kind == FL_TOKEN_BYTE) continue;
        // a piece that nobody uses is no byte either, whatever it is called
        if (t->token[id].kind == FL_TOKEN_BYTE) t->byte_id[t->token[id].bytes[0]] = -1;
        t->token[id].kind = (uint8_t)kind;
    }
    return FL_OK;
}

fl_status fli_add_pieces(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    for (int32_t id = 0; id < v->n_tokens; id++) {
        fl_token_kind kind = kind_of(v, id);
        if (!is_added(kind)) continue;
        fli_added as = {.id = id, .special = kind != FL_TOKEN_USER};
        FL_TRY(fli_tokenizer_add(t, v->token[id].text, v->token[id].n, as, err));
        t->token[id].kind = (uint8_t)kind;
    }
    return FL_OK;
}

fl_status fli_take_scores(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    bool any = false;
    t->score = fl_alloc(((size_t)v->n_tokens + 1) * sizeof *t->score);
    t->weight = fl_alloc(((size_t)v->n_tokens + 1) * sizeof *t->weight);
    if (!t->score || !t->weight) return fl_fail(err, FL_ERR_NOMEM, "%d scores", v->n_tokens);
    t->n_scores = v->n_tokens;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        t->score[id] = t->weight[id] = v->score ? v->score[id] : 0;
        if (kind_of(v, id) != FL_TOKEN_NORMAL) continue;
        if (!any || t->weight[id] < t->min_weight) t->min_weight = t->weight[id];
        any = true;
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

/* The id that a key gives, or what the kind has without the key; -1: none. */
static int32_t id_or(const fl_vocab *v, int32_t id, int32_t absent) {
    if (id < 0) id = absent;
    return id < v->n_tokens ? id : -1;
}

/* bos before a text and eos after it, where the keys or the kind say so. */
static fl_status add_ends(fl_tokenizer *t, const fl_vocab *v, bool bos, bool eos, fl_err *err) {
    if (t->bos < 0) t->bos = id_or(v, v->bos, -1);
    if (t->eos < 0) t->eos = id_or(v, v->eos, -1);
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
    FL_TRY(fli_put_pieces(t, v, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(push_merges(t, v, err));
    for (int k = 0; pre->stage[k]; k++) FL_TRY(fli_splitter_add(&t->split, pre->stage[k], err));
    FL_TRY(fli_add_pieces(t, v, err));
    t->ignore_merges = pre->ignore_merges;
    t->pre = fli_keep(t, name, strlen(name));
    if (!t->pre) return fl_fail(err, FL_ERR_NOMEM, "a tokenizer");
    return add_ends(t, v, pre->add_bos, false, err);
}

/* ---- SentencePiece's BPE ---- */

static fl_status build_llama(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    static const char space[] = FLI_ESCAPED_SPACE;
    bool prefix = said(v->add_space_prefix, true);
    t->kind = &fli_char_bpe;
    t->byte_fallback = true;
    t->bos = id_or(v, v->bos, 1);
    t->eos = id_or(v, v->eos, 2);
    t->unk = id_or(v, v->unk, 0);
    t->join.strip = prefix;
    fli_step step = {.apply = fli_step_prepend, .to = space, .n_to = strlen(space)};
    if (prefix) FL_TRY(fli_add_step(t, step, err));
    FL_TRY(fli_escape_spaces(t, err));
    FL_TRY(fli_put_pieces(t, v, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(fli_merge_by_score(t, v->score, err));
    FL_TRY(fli_take_scores(t, v, err));
    FL_TRY(fli_add_pieces(t, v, err));
    return add_ends(t, v, true, false, err);
}

/* ---- Unigram ---- */

fl_status fli_add_spm_step(fl_tokenizer *t, const uint8_t *charsmap, size_t n, unsigned flags,
                           fl_err *err) {
    fli_step step = {.apply = fli_step_spm, .flags = flags};
    const uint8_t *map = n ? (const uint8_t *)fli_keep(t, charsmap, n) : NULL;
    if (n && !map) return fl_fail(err, FL_ERR_NOMEM, "a charsmap of %zu bytes", n);
    FL_TRY(fli_charsmap_open(&step.map, map, n, err));
    return fli_add_step(t, step, err);
}

static fl_status build_t5(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    bool prefix = said(v->add_space_prefix, false);
    bool squeeze = said(v->remove_extra_whitespaces, false);
    t->kind = &fli_unigram;
    t->eos = id_or(v, v->eos, 1);
    t->unk = id_or(v, v->unk, 2);
    t->join.strip = prefix;
    t->join.strip_each = squeeze;
    unsigned flags = (prefix ? FLI_SPM_PREFIX : 0u) | (squeeze ? FLI_SPM_SQUEEZE : 0u);
    FL_TRY(fli_add_spm_step(t, v->charsmap, v->charsmap_bytes, flags, err));
    FL_TRY(fli_escape_spaces(t, err));
    FL_TRY(fli_put_pieces(t, v, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(fli_take_scores(t, v, err));
    FL_TRY(fli_add_pieces(t, v, err));
    return add_ends(t, v, false, true, err);
}

/* ---- WordPiece ---- */

/* In GGUF a token that begins a word has U+2581 before it, one that goes on has nothing. */
static fl_status put_words(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    enum { MARK = 3 };
    t->continuing = fli_keep(t, "##", 2);
    if (!t->continuing) return fl_fail(err, FL_ERR_NOMEM, "a tokenizer");
    for (int32_t id = 0; id < v->n_tokens; id++) {
        const fl_vocab_text *k = v->token + id;
        fl_token_kind kind = kind_of(v, id);
        bool begins = kind == FL_TOKEN_NORMAL && fli_begins_escaped((const uint8_t *)k->text, k->n);
        if (begins) FL_TRY(fli_tokenizer_put_text(t, id, k->text + MARK, k->n - MARK, err));
        else if (kind == FL_TOKEN_USER) FL_TRY(fli_tokenizer_put_text(t, id, k->text, k->n, err));
        else FL_TRY(fli_tokenizer_put(t, id, k->text, k->n, err));
        t->token[id].kind = (uint8_t)kind;
    }
    return FL_OK;
}

static fl_status build_bert(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    fli_step step = {.apply = fli_step_bert,
                     .flags = FLI_BERT_CLEAN | FLI_BERT_CHINESE | FLI_BERT_ACCENTS |
                              FLI_BERT_LOWER};
    t->kind = &fli_wordpiece;
    t->max_chars = SIZE_MAX;
    t->join.first_text = t->join.clean = true;
    t->bos = id_or(v, v->bos >= 0 ? v->bos : v->cls, 101);
    t->eos = id_or(v, v->eos >= 0 ? v->eos : v->sep, 102);
    t->unk = id_or(v, v->unk, 100);
    fli_bert_unicode_init();
    FL_TRY(fli_add_step(t, step, err));
    FL_TRY(fli_splitter_add_known(&t->split, &fli_bert_words, err));
    FL_TRY(put_words(t, v, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(fli_add_pieces(t, v, err));
    return add_ends(t, v, true, true, err);
}

/* ---- the rows ---- */

static const struct {
    const char *model;
    fl_status (*build)(fl_tokenizer *t, const fl_vocab *v, fl_err *err);
} models[] = {{"gpt2", build_gpt2}, {"llama", build_llama}, {"t5", build_t5}, {"bert", build_bert}};
enum { N_MODELS = sizeof models / sizeof *models };

static fl_status keep_templates(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    t->chat_template = v->chat_template ? fl_strdup(v->chat_template) : NULL;
    if (v->chat_template && !t->chat_template) return fl_fail(err, FL_ERR_NOMEM, "a chat template");
    if (v->n_named) FL_TRY(fli_room_for_templates(t, v->n_named, err));
    for (size_t i = 0; i < v->n_named; i++)
        FL_TRY(fli_add_template(t, v->named[i].name, v->named[i].source, err));
    return FL_OK;
}

static fl_status build(fl_tokenizer *t, const fl_vocab *v, fl_err *err) {
    int row = 0;
    while (row < N_MODELS && strcmp(models[row].model, v->model) != 0) row++;
    if (row == N_MODELS)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "tokenizer.ggml.model: \"%.40s\" is not supported",
                       v->model);
    FL_TRY(models[row].build(t, v, err));
    FL_TRY(keep_templates(t, v, err));
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
