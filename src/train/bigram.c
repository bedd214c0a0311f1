/* bigram - token pair counts in one open-addressed table, and the smoothed model over them. */
#include "train/bigram.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* Key 0 is a free slot: a pair is stored as (h * V + w) + 1. */
typedef struct {
    uint64_t *key;
    uint32_t *count;
    size_t cap, used;  // cap is a power of two
} pair_table;

typedef struct {
    int64_t vocab;
    pair_table pairs;
    uint64_t *seen;         // c(w) as the second of a pair
    uint64_t *after;        // c(h) as the first
    uint32_t *n_different;  // n(h)
    uint64_t total;
} bigram;

static size_t pair_slot(const pair_table *t, uint64_t key) {
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (t->cap - 1);
    while (t->key[at] && t->key[at] != key) at = (at + 1) & (t->cap - 1);
    return at;
}

static fl_status table_new(pair_table *t, size_t cap, fl_err *err) {
    uint64_t *key = fl_alloc(cap * sizeof *key);
    uint32_t *count = fl_alloc(cap * sizeof *count);
    if (!key || !count) {
        fl_dealloc(key);
        fl_dealloc(count);
        return fl_fail(err, FL_ERR_NOMEM, "bigram table of %zu pairs", cap);
    }
    memset(key, 0, cap * sizeof *key);
    memset(count, 0, cap * sizeof *count);
    *t = (pair_table){.key = key, .count = count, .cap = cap};
    return FL_OK;
}

static void table_clear(pair_table *t) {
    fl_dealloc(t->key);
    fl_dealloc(t->count);
    *t = (pair_table){0};
}

static fl_status table_grow(pair_table *t, fl_err *err) {
    pair_table bigger;
    FL_TRY(table_new(&bigger, t->cap * 2, err));
    for (size_t i = 0; i < t->cap; i++) {
        if (!t->key[i]) continue;
        const size_t at = pair_slot(&bigger, t->key[i]);
        bigger.key[at] = t->key[i];
        bigger.count[at] = t->count[i];
    }
    bigger.used = t->used;
    table_clear(t);
    *t = bigger;
    return FL_OK;
}

static void bigram_clear(bigram *m) {
    table_clear(&m->pairs);
    fl_dealloc(m->seen);
    fl_dealloc(m->after);
    fl_dealloc(m->n_different);
}

static fl_status bigram_init(bigram *m, int64_t vocab, fl_err *err) {
    const size_t n = (size_t)vocab;
    *m = (bigram){.vocab = vocab};
    m->seen = fl_alloc(n * sizeof *m->seen);
    m->after = fl_alloc(n * sizeof *m->after);
    m->n_different = fl_alloc(n * sizeof *m->n_different);
    if (!m->seen || !m->after || !m->n_different) {
        return fl_fail(err, FL_ERR_NOMEM, "bigram counts of %zu tokens", n);
    }
    memset(m->seen, 0, n * sizeof *m->seen);
    memset(m->after, 0, n * sizeof *m->after);
    memset(m->n_different, 0, n * sizeof *m->n_different);
    return table_new(&m->pairs, 1 << 16, err);
}

static uint64_t pair_key(const bigram *m, int32_t h, int32_t w) {
    return (uint64_t)h * (uint64_t)m->vocab + (uint64_t)w + 1;
}

static fl_status bigram_count(bigram *m, int32_t h, int32_t w, fl_err *err) {
    if (m->pairs.used * 2 > m->pairs.cap) FL_TRY(table_grow(&m->pairs, err));
    const uint64_t key = pair_key(m, h, w);
    const size_t at = pair_slot(&m->pairs, key);
    if (!m->pairs.key[at]) {
        m->pairs.key[at] = key;
        m->pairs.used++;
        m->n_different[h]++;
    }
    m->pairs.count[at]++;
    m->after[h]++;
    m->seen[w]++;
    m->total++;
    return FL_OK;
}

static double bigram_nll(const bigram *m, int32_t h, int32_t w) {
    const double p_w = ((double)m->seen[w] + 1) / ((double)m->total + (double)m->vocab);
    const double n = m->n_different[h];
    if (n == 0) return -log(p_w);
    const double pair = m->pairs.count[pair_slot(&m->pairs, pair_key(m, h, w))];
    return -log((pair + n * p_w) / ((double)m->after[h] + n));
}

/* Feed every (token, target) of one pass to counts (score NULL) or to the score. */
static fl_status one_pass(bigram *m, fl_source *s, fl_batch *b, fl_bigram_score *score,
                          fl_err *err) {
    for (double done = 0; s->n_tokens == 0 || done < s->n_tokens; done += b->n_targets) {
        FL_TRY(s->row->next(s, b, err));
        if (b->n_targets == 0) break;
        for (int64_t i = 0; i < b->B * b->T; i++) {
            if (b->targets[i] < 0) continue;
            if (score) score->nll += bigram_nll(m, b->tokens[i], b->targets[i]);
            else FL_TRY(bigram_count(m, b->tokens[i], b->targets[i], err));
        }
        if (score) score->n_targets += b->n_targets, score->n_bytes += b->n_bytes;
    }
    return FL_OK;
}

fl_status fl_bigram_measure(fl_source *train, fl_source *val, int64_t vocab_size, int64_t seq_len,
                            fl_bigram_score *out, fl_err *err) {
    bigram m;
    fl_batch batch = {0};
    fl_bigram_score score = {0};
    fl_status s = bigram_init(&m, vocab_size, err);
    if (s == FL_OK) s = fl_batch_new(&batch, 1, seq_len, err);
    if (s == FL_OK) s = one_pass(&m, train, &batch, NULL, err);
    if (s == FL_OK) s = one_pass(&m, val, &batch, &score, err);
    fl_batch_clear(&batch);
    bigram_clear(&m);
    if (s != FL_OK) return fl_context(err, s, "bigram baseline");
    if (score.n_targets == 0)
        return fl_fail(err, FL_ERR_ARG, "bigram baseline: the validation text is empty");
    score.bits_per_byte = score.n_bytes > 0 ? score.nll / log(2) / score.n_bytes : 0;
    score.nll /= score.n_targets;
    *out = score;
    return FL_OK;
}
