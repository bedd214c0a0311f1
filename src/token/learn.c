/* learn.c - byte-pair merges from counted words, exactly and incrementally.
 *
 * Words are lists of token ids. Of all adjacent pairs the most frequent is merged (on a tie, the
 * one of smaller ids), everywhere at once; only the words it occurs in change, and only the counts
 * of the pairs beside it. Each pair knows its count and the words it was seen in; a heap of (count,
 * pair) gives the next one.
 *
 * The heap's counts may be out of date: an entry that surfaces with an old count goes back with the
 * new one. When two pairs make the same bytes ("ab"+"c", "a"+"bc"), the second merge reuses the
 * token. Both rules, and that a pair's count is not reset by its own merge, are those of Hugging
 * Face's trainer, so that the merges are the same to the last. */
#include <string.h>

#include "base/alloc.h"
#include "token/train.h"

/* Indices of words, growing. */
typedef struct {
    uint32_t *word;
    size_t n, cap;
} places;

typedef struct {
    uint64_t key;  // left << 32 | right
    int64_t count;
    places seen;  // words in which the merge being done creates the pair
    bool fresh;   // it is in `touched`
} pair;

/* A pair waiting to be merged in the places that were seen when it entered. */
typedef struct {
    uint32_t pair;
    int64_t count;
    places seen;
} candidate;

typedef struct {
    fl_tokenizer *t;
    size_t max_bytes;
    int32_t *symbol;   // of all words, one after another
    size_t *first;     // where word i begins; n_words + 1
    uint32_t *length;  // symbols left in word i
    int64_t *count;
    size_t n_words;
    pair *pair;
    size_t n_pairs, cap_pairs;
    uint32_t *slot;  // open addressing over pair[].key: 1 + index
    size_t n_slots;
    candidate *heap;
    size_t n_heap, cap_heap;
    uint32_t *touched;  // pairs whose `seen` grew in this merge
    size_t n_touched, cap_touched;
    bool failed;  // memory is exhausted; looked at once per merge
} learner;

static uint64_t key_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t slot_of(const learner *l, uint64_t key) {
    uint64_t h = key * 0x9E3779B97F4A7C15u;
    return (size_t)((h ^ h >> 32) & (l->n_slots - 1));
}

/* ---- the table of pairs ---- */

static bool rehash(learner *l) {
    size_t n_slots = l->n_slots ? 2 * l->n_slots : 1 << 16;
    uint32_t *slot = fl_alloc(n_slots * sizeof *slot);
    if (!slot) return false;
    memset(slot, 0, n_slots * sizeof *slot);
    fl_dealloc(l->slot);
    l->slot = slot;
    l->n_slots = n_slots;
    for (size_t i = 0; i < l->n_pairs; i++) {
        size_t k = slot_of(l, l->pair[i].key);
        while (slot[k]) k = (k + 1) & (n_slots - 1);
        slot[k] = (uint32_t)i + 1;
    }
    return true;
}

/* The record of a pair, made at first sight. NULL when memory is exhausted. */
static pair *pair_at(learner *l, int32_t left, int32_t right) {
    if (l->n_slots < 2 * (l->n_pairs + 1) && !rehash(l)) return NULL;
    uint64_t key = key_of(left, right);
    size_t k = slot_of(l, key);
    for (; l->slot[k]; k = (k + 1) & (l->n_slots - 1))
        if (l->pair[l->slot[k] - 1].key == key) return l->pair + l->slot[k] - 1;
    if (l->n_pairs == UINT32_MAX - 1 ||
        !fli_grow((void **)&l->pair, &l->cap_pairs, l->n_pairs + 1, sizeof *l->pair))
        return NULL;
    l->pair[l->n_pairs] = (pair){.key = key};
    l->slot[k] = (uint32_t)++l->n_pairs;
    return l->pair + l->n_pairs - 1;
}

static void lose(learner *l, int32_t left, int32_t right, int64_t count) {
    pair *p = pair_at(l, left, right);
    if (p) p->count -= count;
    else l->failed = true;
}

static void gain(learner *l, int32_t left, int32_t right, uint32_t word) {
    pair *p = pair_at(l, left, right);
    if (!p) {
        l->failed = true;
        return;
    }
    p->count += l->count[word];
    if (!p->fresh) {
        if (!fli_grow((void **)&l->touched, &l->cap_touched, l->n_touched + 1, sizeof *l->touched))
            l->failed = true;
        else l->touched[l->n_touched++] = (uint32_t)(p - l->pair);
        p->fresh = true;
    }
    if (p->seen.n && p->seen.word[p->seen.n - 1] == word) return;
    if (!fli_grow((void **)&p->seen.word, &p->seen.cap, p->seen.n + 1, sizeof *p->seen.word))
        l->failed = true;
    else p->seen.word[p->seen.n++] = word;
}

/* ---- the heap ---- */

static bool goes_before(const learner *l, const candidate *a, const candidate *b) {
    if (a->count != b->count) return a->count > b->count;
    return l->pair[a->pair].key < l->pair[b->pair].key;
}

static bool heap_push(learner *l, candidate c) {
    if (!fli_grow((void **)&l->heap, &l->cap_heap, l->n_heap + 1, sizeof *l->heap)) return false;
    size_t i = l->n_heap++;
    for (; i && goes_before(l, &c, l->heap + (i - 1) / 2); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = c;
    return true;
}

/* Put `c` where the first one is, and restore the order. */
static void heap_sift(learner *l, candidate c) {
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->n_heap; i = child) {
        if (child + 1 < l->n_heap && goes_before(l, l->heap + child + 1, l->heap + child)) child++;
        if (!goes_before(l, l->heap + child, &c)) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = c;
}

static void heap_drop_first(learner *l) {
    candidate last = l->heap[--l->n_heap];
    if (l->n_heap) heap_sift(l, last);
}

/* What this merge created becomes candidates. */
static void queue_touched(learner *l) {
    for (size_t i = 0; i < l->n_touched; i++) {
        pair *p = l->pair + l->touched[i];
        candidate c = {l->touched[i], p->count, p->seen};
        p->seen = (places){0};
        p->fresh = false;
        bool queued = p->count > 0 && heap_push(l, c);
        if (!queued) fl_dealloc(c.seen.word);
        if (!queued && p->count > 0) l->failed = true;
    }
    l->n_touched = 0;
}

/* ---- one merge ---- */

static bool short_enough(const learner *l, int32_t a, int32_t b) {
    return l->max_bytes == 0 || (size_t)l->t->token[a].n + l->t->token[b].n <= l->max_bytes;
}

/* Replace every (left, right) in the word by `made`; tell the pairs beside it. */
static void merge_word(learner *l, uint32_t word, int32_t left, int32_t right, int32_t made) {
    int32_t *s = l->symbol + l->first[word];
    uint32_t n = l->length[word], kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) {
            s[kept++] = s[i];
            continue;
        }
        if (kept) {
            lose(l, s[kept - 1], left, l->count[word]);
            if (short_enough(l, s[kept - 1], made)) gain(l, s[kept - 1], made, word);
        }
        if (i + 2 < n) {
            lose(l, right, s[i + 2], l->count[word]);
            if (short_enough(l, made, s[i + 2])) gain(l, made, s[i + 2], word);
        }
        s[kept++] = made;
        i++;
    }
    l->length[word] = kept;
}

/* The token of the two together, old or new; -1 when memory is exhausted. */
static int32_t token_of(learner *l, int32_t left, int32_t right, fl_err *err) {
    fl_tokenizer *t = l->t;
    const fli_token *a = t->token + left, *b = t->token + right;
    fl_text bytes = {0};
    fl_text_append(&bytes, a->bytes, a->n);
    fl_text_append(&bytes, b->bytes, b->n);
    int32_t id = fl_text_ok(&bytes, err) == FL_OK ? fli_tokenizer_find(t, bytes.data, bytes.n) : -2;
    if (id == -1 && fli_tokenizer_put(t, t->n, bytes.data, bytes.n, err) == FL_OK) {
        id = t->n - 1;
        fli_tokenizer_index_add(t, id);
    }
    fl_text_clear(&bytes);
    return id;
}

static fl_status merge_first(learner *l, fl_err *err) {
    candidate c = l->heap[0];
    uint64_t key = l->pair[c.pair].key;
    int32_t left = (int32_t)(key >> 32), right = (int32_t)(key & UINT32_MAX);
    int32_t made = token_of(l, left, right, err);
    if (made < 0) return FL_ERR_NOMEM;
    FL_TRY(fli_merges_push(&l->t->merges, (fli_merge){left, right, made}, err));
    heap_drop_first(l);
    for (size_t i = 0; i < c.seen.n; i++) merge_word(l, c.seen.word[i], left, right, made);
    fl_dealloc(c.seen.word);
    queue_touched(l);
    return l->failed ? fl_fail(err, FL_ERR_NOMEM, "%zu pairs", l->n_pairs) : FL_OK;
}

/* ---- all of it ---- */

/* Copies the words into symbols and lets go of them. */
static fl_status take_words(learner *l, fli_words *words, fl_err *err) {
    size_t total = 0, n = words->n;
    for (size_t i = 0; i < n; i++) total += words->word[i].n;
    l->symbol = fl_alloc((total + 1) * sizeof *l->symbol);
    l->first = fl_alloc((n + 1) * sizeof *l->first);
    l->length = fl_alloc((n + 1) * sizeof *l->length);
    l->count = fl_alloc((n + 1) * sizeof *l->count);
    if (!l->symbol || !l->first || !l->length || !l->count)
        return fl_fail(err, FL_ERR_NOMEM, "%zu different words of %zu bytes in all", n, total);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const fli_word *w = words->word + i;
        l->first[i] = at;
        l->length[i] = w->n;
        l->count[i] = (int64_t)w->count;
        for (uint32_t k = 0; k < w->n; k++) l->symbol[at++] = l->t->byte_id[w->bytes[k]];
    }
    l->n_words = n;
    fli_words_clear(words);
    return FL_OK;
}

static void count_pairs(learner *l) {
    for (uint32_t w = 0; w < l->n_words; w++) {
        const int32_t *s = l->symbol + l->first[w];
        for (uint32_t i = 0; i + 1 < l->length[w]; i++) gain(l, s[i], s[i + 1], w);
    }
    queue_touched(l);
}

static fl_status learn(learner *l, int32_t size, fl_progress *progress, fl_err *err) {
    enum { REPORT_EVERY = 128 };
    int32_t begun = l->t->n;
    fl_progress_begin(progress, "merging", "merges", (double)(size - begun));
    while (l->t->n < size && l->n_heap) {
        candidate first = l->heap[0];
        int64_t now = l->pair[first.pair].count;
        if (first.count != now) {
            first.count = now;
            heap_sift(l, first);
            continue;
        }
        if (now < 1) break;
        FL_TRY(merge_first(l, err));
        if (l->t->merges.n % REPORT_EVERY) continue;
        fl_progress_step(progress, (double)(l->t->n - begun));
        if (fl_interrupted()) return fl_fail(err, FL_ERR_ARG, "interrupted");
    }
    fl_progress_end(progress);
    return FL_OK;
}

static void learner_clear(learner *l) {
    for (size_t i = 0; i < l->n_heap; i++) fl_dealloc(l->heap[i].seen.word);
    for (size_t i = 0; i < l->n_pairs; i++) fl_dealloc(l->pair[i].seen.word);
    fl_dealloc(l->symbol);
    fl_dealloc(l->first);
    fl_dealloc(l->length);
    fl_dealloc(l->count);
    fl_dealloc(l->pair);
    fl_dealloc(l->slot);
    fl_dealloc(l->heap);
    fl_dealloc(l->touched);
}

fl_status fli_learn_merges(fl_tokenizer *t, fli_words *words, int32_t size, size_t max_token_bytes,
                           fl_progress *progress, fl_err *err) {
    learner l = {.t = t, .max_bytes = max_token_bytes};
    fl_status st = take_words(&l, words, err);
    if (st == FL_OK) {
        count_pairs(&l);
        if (l.failed) st = fl_fail(err, FL_ERR_NOMEM, "%zu pairs", l.n_pairs);
    }
    if (st == FL_OK) st = learn(&l, size, progress, err);
    learner_clear(&l);
    return st;
}
