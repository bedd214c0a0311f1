/* write_vocab.c - a tokenizer as the arrays that GGUF carries (vocab.h). */
#include <string.h>

#include "token/internal.h"
#include "token/vocab.h"

/* ---- the arrays ---- */

static bool keep_text(fl_arena *arena, const fl_text *text, fl_vocab_text *out) {
    char *copy = text->failed ? NULL : fl_arena_alloc(arena, text->n + 1, 1, 1);
    if (!copy) return false;
    if (text->n) memcpy(copy, text->data, text->n);
    *out = (fl_vocab_text){copy, text->n};
    return true;
}

/* GGUF marks the WordPiece tokens that begin a word, not those that go on. */
static void gguf_text(const fl_tokenizer *t, int32_t id, fl_text *out) {
    size_t n;
    const uint8_t *s = fl_token_bytes(t, id, &n);
    out->n = 0;
    if (!s) fl_text_printf(out, "[PAD%d]", id);
    else if (!t->continuing || t->token[id].kind != FL_TOKEN_NORMAL) fl_token_text(t, id, out);
    else if (n && s[0] == ' ')
        fl_text_printf(out, FLI_ESCAPED_SPACE "%.*s", (int)n - 1, (const char *)s + 1);
    else fl_text_append(out, s, n);
}

static bool put_tokens(const fl_tokenizer *t, fl_arena *arena, fl_vocab *v) {
    fl_vocab_text *token = FL_NEW(arena, fl_vocab_text, (size_t)v->n_tokens + 1);
    int32_t *kind = FL_NEW(arena, int32_t, (size_t)v->n_tokens + 1);
    fl_text text = {0};
    bool ok = token && kind;
    for (int32_t id = 0; id < v->n_tokens && ok; id++) {
        gguf_text(t, id, &text);
        ok = keep_text(arena, &text, token + id);
        kind[id] = (int32_t)fl_tokenizer_kind(t, id);
    }
    fl_text_clear(&text);
    v->token = token;
    v->kind = kind;
    return ok;
}

static bool put_merges(const fl_tokenizer *t, fl_arena *arena, fl_vocab *v) {
    fl_vocab_text *merge = FL_NEW(arena, fl_vocab_text, t->merges.n + 1);
    fl_text text = {0};
    bool ok = merge != NULL;
    for (size_t i = 0; i < t->merges.n && ok; i++) {
        text.n = 0;
        fl_token_text(t, t->merges.list[i].left, &text);
        fl_text_puts(&text, " ");
        fl_token_text(t, t->merges.list[i].right, &text);
        ok = keep_text(arena, &text, merge + i);
    }
    fl_text_clear(&text);
    v->merge = merge;
    v->n_merges = t->merges.n;
    return ok;
}

/* Their own, or the place of the first merge that makes the token: the order of merging is then
 * that of scores. */
static bool put_scores(const fl_tokenizer *t, fl_arena *arena, fl_vocab *v) {
    float *score = FL_NEW(arena, float, (size_t)v->n_tokens + 1);
    if (!score) return false;
    for (int32_t id = 0; id < v->n_tokens; id++)
        score[id] = t->score ? (id < t->n_scores ? (float)t->score[id] : 0)
                             : -(float)(t->merges.n + 1);
    for (size_t i = t->score ? 0 : t->merges.n; i-- > 0;)
        if (t->merges.list[i].id < v->n_tokens)
            score[t->merges.list[i].id] = -(float)(t->merges.rank ? (size_t)t->merges.rank[i] : i);
    v->score = score;
    return true;
}

/* ---- the rules ---- */

static void put_spacing(const fl_tokenizer *t, fl_vocab *v) {
    bool words = t->spaces == FLI_SPACES_WORDS, prefix = t->prefix != FLI_PREFIX_NEVER;
    bool squeeze = words;
    for (int i = 0; i < t->n_steps; i++) {
        const fli_step *step = t->step + i;
        prefix |= step->apply == fli_step_prepend;
        if (step->map.n_units) {
            v->charsmap = step->map.units - 4;
            v->charsmap_bytes = 4 + 4 * step->map.n_units + step->map.n_results;
        }
        if (step->apply != fli_step_spm) continue;
        prefix |= (step->flags & FLI_SPM_PREFIX) != 0;
        squeeze |= (step->flags & FLI_SPM_SQUEEZE) != 0;
    }
    v->add_space_prefix = prefix ? FL_SAID_YES : FL_SAID_NO;
    if (t->kind == &fli_unigram) v->remove_extra_whitespaces = squeeze ? FL_SAID_YES : FL_SAID_NO;
}

static void put_ends(const fl_tokenizer *t, fl_vocab *v) {
    v->bos = t->bos;
    v->eos = t->eos;
    v->unk = t->unk;
    if (t->kind == &fli_wordpiece) {
        v->cls = v->bos = t->n_before ? t->before[0] : t->bos;
        v->sep = v->eos = t->n_after ? t->after[t->n_after - 1] : t->eos;
    }
    v->add_bos = t->n_before && t->before[0] == v->bos ? FL_SAID_YES : FL_SAID_NO;
    v->add_eos = t->n_after && t->after[t->n_after - 1] == v->eos ? FL_SAID_YES : FL_SAID_NO;
}

fl_status fl_tokenizer_to_vocab(const fl_tokenizer *t, int32_t n_tokens, fl_arena *arena,
                                fl_vocab *out, fl_err *err) {
    fl_vocab v = FL_VOCAB_INIT;
    v.model = t->kind->gguf;
    v.n_tokens = n_tokens;
    bool bytes = t->kind->bytes, scored = t->kind == &fli_char_bpe || t->kind == &fli_unigram;
    bool ok = put_tokens(t, arena, &v) && (!bytes || put_merges(t, arena, &v)) &&
              (!scored || put_scores(t, arena, &v));
    if (!ok) return fl_fail(err, FL_ERR_NOMEM, "a vocabulary of %d tokens", n_tokens);
    put_ends(t, &v);
    if (bytes) v.pre = fl_tokenizer_llama_cpp_pre(t);
    else if (t->kind != &fli_wordpiece) put_spacing(t, &v);
    v.chat_template = t->chat_template;
    v.named = t->named;
    v.n_named = t->n_named;
    *out = v;
    return FL_OK;
}
