/* train.c - the trainer: takes text, counts its words on all threads, learns the merges, makes the
 * tokenizer.
 *
 * Documents are gathered into batches; a batch is cut into stretches that any thread may take,
 * since counts add up to the same whoever counted. A long document is cut too, where a known
 * pattern is sure to break: between an ASCII letter and a space with an ASCII letter after it. (A
 * pattern of the user's gives no such promise, and its documents stay whole.) Memory is one table
 * of different words per thread. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/thread.h"
#include "token/train.h"

enum { BATCH_BYTES = 16 << 20, STRETCH_BYTES = 256 << 10, N_BYTES = 256 };

typedef struct {
    const uint8_t *s;
    size_t n;
} stretch;

/* What one thread works with. */
typedef struct {
    fli_words words;
    fli_walk walk;
    fl_text normal;
    fl_err err;  // the first failure, code FL_OK: none
} counter;

struct fl_bpe_trainer {
    fl_bpe_opts opts;  // its strings are copied below
    fl_arena arena;
    fli_splitter split;
    counter *counter;
    int n_counters;
    fl_text pending;  // documents of this batch, end to end
    size_t *ends;     // where each ends
    size_t n_ends, cap_ends;
    stretch *stretch;
    size_t n_stretches, cap_stretches;
    bool fed;
};

/* ---- making ---- */

static const char *copy_string(fl_bpe_trainer *t, const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = fl_arena_alloc(&t->arena, n, 1, 1);
    return copy ? memcpy(copy, s, n) : NULL;
}

static bool among(const fl_bpe_opts *o, const char *s) {
    for (int i = 0; i < o->n_special; i++)
        if (strcmp(o->special[i], s) == 0) return true;
    return false;
}

/* Fill in the defaults and copy what `o` points to. */
static fl_status take_opts(fl_bpe_trainer *t, const fl_bpe_opts *o, fl_err *err) {
    static const char *const end = "<|endoftext|>";
    t->opts = *o;
    if (!o->special) {
        t->opts.special = &end;
        t->opts.n_special = 1;
    }
    if (!t->opts.eos && among(&t->opts, end)) t->opts.eos = end;
    const char *ends[2] = {t->opts.eos, t->opts.bos};
    for (int i = 0; i < 2; i++)
        if (ends[i] && !among(&t->opts, ends[i]))
            return fl_fail(err, FL_ERR_ARG, "\"%s\" is not among the special tokens", ends[i]);
    if (o->vocab_size < N_BYTES + t->opts.n_special)
        return fl_fail(err, FL_ERR_ARG,
                       "a vocabulary of %d: the bytes and %d special tokens need %d", o->vocab_size,
                       t->opts.n_special, N_BYTES + t->opts.n_special);
    const char **special = FL_NEW(&t->arena, const char *, (size_t)t->opts.n_special + 1);
    bool ok = special != NULL;
    for (int i = 0; ok && i < t->opts.n_special; i++)
        ok = (special[i] = copy_string(t, t->opts.special[i])) != NULL;
    t->opts.special = special;
    if (ok && t->opts.eos) ok = (t->opts.eos = copy_string(t, t->opts.eos)) != NULL;
    if (ok && t->opts.bos) ok = (t->opts.bos = copy_string(t, t->opts.bos)) != NULL;
    return ok ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "a trainer");
}

static fl_status make_counters(fl_bpe_trainer *t, fl_err *err) {
    int n = t->opts.pool ? fl_pool_size(t->opts.pool) : 1;
    t->counter = fl_alloc((size_t)n * sizeof *t->counter);
    if (!t->counter) return fl_fail(err, FL_ERR_NOMEM, "a trainer");
    for (; t->n_counters < n; t->n_counters++) {
        counter *c = t->counter + t->n_counters;
        *c = (counter){0};
        fli_words_init(&c->words);
        FL_TRY(fli_walk_init(&c->walk, &t->split, err));
    }
    return FL_OK;
}

fl_status fl_bpe_trainer_new(fl_bpe_trainer **out, const fl_bpe_opts *o, fl_err *err) {
    fl_bpe_trainer *t = fl_alloc(sizeof *t);
    if (!t) return fl_fail(err, FL_ERR_NOMEM, "a trainer");
    *t = (fl_bpe_trainer){0};
    fl_arena_init(&t->arena, 4096);
    fl_status st = take_opts(t, o, err);
    if (st == FL_OK) st = fli_splitter_add(&t->split, o->pattern ? o->pattern : "qwen2", err);
    if (st == FL_OK) st = make_counters(t, err);
    if (st != FL_OK) {
        fl_bpe_trainer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}

void fl_bpe_trainer_free(fl_bpe_trainer *t) {
    if (!t) return;
    for (int i = 0; i < t->n_counters; i++) {
        fli_words_clear(&t->counter[i].words);
        fli_walk_clear(&t->counter[i].walk);
        fl_text_clear(&t->counter[i].normal);
    }
    fl_dealloc(t->counter);
    fl_dealloc(t->ends);
    fl_dealloc(t->stretch);
    fl_text_clear(&t->pending);
    fli_splitter_clear(&t->split);
    fl_arena_free(&t->arena);
    fl_dealloc(t);
}

/* ---- counting ---- */

static fl_status count_stretch(const fl_bpe_trainer *t, counter *c, stretch x, fl_err *err) {
    if (t->opts.nfc) {
        fli_normalize(&fli_nfc_step, 1, x.s, x.n, &c->normal, &c->normal, &x.s, &x.n);
        FL_TRY(fl_text_ok(&c->normal, err));
    }
    fli_walk_begin(&c->walk, x.s, x.n);
    bool dropped;  // no pattern that is trained with drops anything
    for (size_t i = 0, end; i < x.n; i = end) {
        FL_TRY(fli_walk_next(&c->walk, i, &end, &dropped, err));
        if (end - i > FLI_PIECE_MAX)
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "%zu bytes of text without a word boundary, at most %d", end - i,
                           FLI_PIECE_MAX);
        FL_TRY(fli_words_add(&c->words, x.s + i, end - i, 1, err));
    }
    return FL_OK;
}

static void count_task(void *ctx, int64_t begin, int64_t end, int worker) {
    const fl_bpe_trainer *t = ctx;
    counter *c = t->counter + worker;
    for (int64_t i = begin; i < end && c->err.code == FL_OK; i++)
        c->err.code = count_stretch(t, c, t->stretch[i], &c->err);
}

static bool is_letter(uint8_t c) {
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

/* The first place from `from` on where every known pattern breaks, n if there is none. */
static size_t sure_break(const uint8_t *s, size_t from, size_t n) {
    for (size_t i = from; i + 1 < n; i++)
        if (s[i] == ' ' && i && is_letter(s[i - 1]) && is_letter(s[i + 1])) return i;
    return n;
}

static fl_status cut(fl_bpe_trainer *t, const uint8_t *s, size_t n, fl_err *err) {
    bool may_cut = t->split.stage[0].known != NULL;
    for (size_t i = 0, end; i < n; i = end) {
        end = may_cut && n - i > STRETCH_BYTES ? sure_break(s, i + STRETCH_BYTES, n) : n;
        if (!fli_grow((void **)&t->stretch, &t->cap_stretches, t->n_stretches + 1,
                      sizeof *t->stretch))
            return fl_fail(err, FL_ERR_NOMEM, "%zu documents", t->n_stretches);
        t->stretch[t->n_stretches++] = (stretch){s + i, end - i};
    }
    return FL_OK;
}

static fl_status count_stretches(fl_bpe_trainer *t, fl_err *err) {
    int64_t n = (int64_t)t->n_stretches;
    if (t->opts.pool) fl_pool_run(t->opts.pool, n, 1, count_task, t);
    else count_task(t, 0, n, 0);
    t->n_stretches = 0;
    for (int i = 0; i < t->n_counters; i++) {
        fl_err first = t->counter[i].err;
        t->counter[i].err.code = FL_OK;
        if (first.code != FL_OK) return fl_fail(err, first.code, "%s", first.msg);
    }
    return FL_OK;
}

static fl_status count_pending(fl_bpe_trainer *t, fl_err *err) {
    size_t begin = 0;
    for (size_t i = 0; i < t->n_ends; begin = t->ends[i++])
        FL_TRY(cut(t, (const uint8_t *)t->pending.data + begin, t->ends[i] - begin, err));
    t->n_ends = 0;
    t->pending.n = 0;
    return count_stretches(t, err);
}

fl_status fl_bpe_trainer_feed(fl_bpe_trainer *t, const char *text, size_t n, fl_err *err) {
    if (n == 0) return FL_OK;
    t->fed = true;
    if (n >= BATCH_BYTES / 2) {  // a batch of its own, where it lies
        FL_TRY(cut(t, (const uint8_t *)text, n, err));
        return count_stretches(t, err);
    }
    fl_text_append(&t->pending, text, n);
    FL_TRY(fl_text_ok(&t->pending, err));
    if (!fli_grow((void **)&t->ends, &t->cap_ends, t->n_ends + 1, sizeof *t->ends))
        return fl_fail(err, FL_ERR_NOMEM, "%zu documents", t->n_ends);
    t->ends[t->n_ends++] = t->pending.n;
    return t->pending.n >= BATCH_BYTES ? count_pending(t, err) : FL_OK;
}

/* ---- finishing ---- */

/* The 256 bytes, in the order of their printable characters, as everyone numbers them. */
static fl_status put_bytes(fl_tokenizer *t, fl_err *err) {
    int32_t id = 0;
    for (int32_t c = 0; id < N_BYTES; c++) {
        int byte = fli_char_byte(c);
        if (byte < 0) continue;
        uint8_t one = (uint8_t)byte;
        FL_TRY(fli_tokenizer_put(t, id++, &one, 1, err));
    }
    return FL_OK;
}

static fl_status build(fl_bpe_trainer *t, fl_tokenizer *k, fl_progress *progress, fl_err *err) {
    const fl_bpe_opts *o = &t->opts;
    int32_t size = o->vocab_size - o->n_special;
    FL_TRY(count_pending(t, err));
    fli_words *words = &t->counter[0].words;
    for (int i = 1; i < t->n_counters; i++) {
        FL_TRY(fli_words_merge(words, &t->counter[i].words, err));
        fli_words_clear(&t->counter[i].words);
    }
    FL_TRY(put_bytes(k, err));
    FL_TRY(fli_tokenizer_index(k, size, err));
    FL_TRY(fli_learn_merges(k, words, size, o->max_token_bytes, progress, err));
    if (k->n < size)
        return fl_fail(err, FL_ERR_ARG,
                       "this text has merges for a vocabulary of %d, %d were asked for",
                       k->n + o->n_special, o->vocab_size);
    for (int i = 0; i < o->n_special; i++)
        FL_TRY(fli_tokenizer_add(k, o->special[i], strlen(o->special[i]),
                                 (fli_added){.id = k->n, .special = true}, err));
    if (o->nfc) FL_TRY(fli_add_step(k, fli_nfc_step, err));
    k->eos = o->eos ? fl_tokenizer_id(k, o->eos) : -1;
    k->bos = o->bos ? fl_tokenizer_id(k, o->bos) : -1;
    FL_TRY(fli_splitter_add(&k->split, t->split.stage[0].regex, err));
    return fli_tokenizer_finish(k, err);
}

fl_status fl_bpe_trainer_finish(fl_bpe_trainer *t, fl_tokenizer **out, fl_progress *progress,
                                fl_err *err) {
    fl_tokenizer *k;
    if (!t->fed) return fl_fail(err, FL_ERR_ARG, "there is no text to learn a vocabulary from");
    FL_TRY(fli_tokenizer_new(&k, err));
    fl_status st = build(t, k, progress, err);
    if (st != FL_OK) {
        fl_tokenizer_free(k);
        return st;
    }
    *out = k;
    return FL_OK;
}
