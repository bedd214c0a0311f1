/* grammar_trie - the vocabulary as two tries of bytes: tokens of plain bytes only, and the rest. */
#include "infer/grammar_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { MAX_TOKEN = 1 << 16, MAX_PLAIN = 64 };

typedef struct {
    const uint8_t *bytes;
    size_t n;
    int32_t id;
    bool plain;
} word;

static int by_bytes(const void *pa, const void *pb) {
    const word *a = pa, *b = pb;
    if (a->plain != b->plain) return a->plain ? -1 : 1;
    int sign = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    if (sign) return sign;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

bool fli_is_end(const fl_token_trie *t, int32_t id) {
    for (int i = 0; i < t->n_end; i++) {
        if (t->end[i] == id) return true;
    }
    return false;
}

static bool is_plain_word(const uint8_t *bytes, size_t n) {
    if (n > MAX_PLAIN) return false;
    for (size_t i = 0; i < n; i++) {
        if (!fli_is_plain(bytes[i])) return false;
    }
    return true;
}

/* The tokens that are text, the plain ones first, in order of their bytes; how many. */
static int32_t words_list(const fl_token_trie *t, word *w, int32_t *n_plain) {
    int32_t n = 0;
    *n_plain = 0;
    for (int32_t id = 0; id < t->V; id++) {
        size_t n_bytes = 0;
        const uint8_t *bytes = fl_token_bytes(t->t, id, &n_bytes);
        bool text = bytes && n_bytes && n_bytes < MAX_TOKEN && !fl_tokenizer_is_special(t->t, id);
        if (!text || fli_is_end(t, id)) continue;
        w[n] = (word){bytes, n_bytes, id, is_plain_word(bytes, n_bytes)};
        *n_plain += w[n++].plain;
    }
    qsort(w, (size_t)n, sizeof *w, by_bytes);
    return n;
}

static size_t shared(const word *a, const word *b) {
    size_t n = 0;
    while (n < a->n && n < b->n && a->bytes[n] == b->bytes[n]) n++;
    return n;
}

/* Each word adds the bytes that the one before does not begin with. `open` has the last node of
 * each depth, whose end is not known yet. */
static void nodes_fill(fl_token_trie *t, fli_trie *trie, const word *w, int32_t n, int32_t *open) {
    int32_t depth = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t keep = i ? (int32_t)shared(&w[i - 1], &w[i]) : 0;
        while (depth > keep) trie->nodes[open[--depth]].end = trie->n_nodes;
        if ((size_t)keep == w[i].n) {  // the same bytes again
            t->twins[t->n_twins][0] = trie->nodes[trie->n_nodes - 1].token;
            t->twins[t->n_twins++][1] = w[i].id;
            continue;
        }
        for (; (size_t)depth < w[i].n; depth++) {
            open[depth] = trie->n_nodes;
            trie->nodes[trie->n_nodes++] = (fli_node){-1, 0, (uint16_t)depth, w[i].bytes[depth]};
        }
        trie->nodes[trie->n_nodes - 1].token = w[i].id;
    }
    while (depth > 0) trie->nodes[open[--depth]].end = trie->n_nodes;
}

static fl_status nodes_make(fl_token_trie *t, fli_trie *trie, const word *w, int32_t n,
                            fl_err *err) {
    int64_t n_nodes = 0;
    for (int32_t i = 0; i < n; i++) {
        n_nodes += (int64_t)(w[i].n - (i ? shared(&w[i - 1], &w[i]) : 0));
        if ((int32_t)w[i].n > trie->n_depth) trie->n_depth = (int32_t)w[i].n;
    }
    if (n_nodes > INT32_MAX) return fl_fail(err, FL_ERR_ARG, "the vocabulary is too large");
    if (trie->n_depth > t->n_depth) t->n_depth = trie->n_depth;
    int32_t *open = fl_alloc((size_t)(trie->n_depth + 1) * sizeof *open);
    trie->nodes = fl_alloc((size_t)(n_nodes + 1) * sizeof *trie->nodes);
    fl_status st = FL_OK;
    if (open && trie->nodes) nodes_fill(t, trie, w, n, open);
    else st = fl_fail(err, FL_ERR_NOMEM, "a trie of %lld nodes", (long long)n_nodes);
    fl_dealloc(open);
    return st;
}

/* A counting sort. */
static fl_status lengths_make(fl_token_trie *t, fl_err *err) {
    const fli_trie *p = &t->plain;
    t->n_plain_upto = fl_alloc((size_t)(p->n_depth + 2) * sizeof *t->n_plain_upto);
    t->plain_by_length = fl_alloc((size_t)(p->n_nodes + 1) * sizeof *t->plain_by_length);
    if (!t->n_plain_upto || !t->plain_by_length) return fl_fail(err, FL_ERR_NOMEM, "a trie");
    int32_t n = 0;
    for (int32_t length = 0; length <= p->n_depth; length++) {
        for (int32_t i = 0; i < p->n_nodes; i++) {
            bool here = p->nodes[i].token >= 0 && p->nodes[i].depth + 1 == length;
            if (here) t->plain_by_length[n++] = p->nodes[i].token;
        }
        t->n_plain_upto[length] = n;
    }
    return FL_OK;
}

static fl_status trie_init(fl_token_trie *t, const int32_t *end, int n_end, word *w, fl_err *err) {
    t->end = fl_alloc((size_t)(n_end + 1) * sizeof *t->end);
    t->twins = fl_alloc((size_t)(t->V + 1) * sizeof *t->twins);
    if (!w || !t->end || !t->twins) return fl_fail(err, FL_ERR_NOMEM, "a trie of %d tokens", t->V);
    for (int i = 0; i < n_end; i++) {
        if (end[i] >= 0 && end[i] < t->V) t->end[t->n_end++] = end[i];
    }
    int32_t n_plain, n = words_list(t, w, &n_plain);
    FL_TRY(nodes_make(t, &t->plain, w, n_plain, err));
    FL_TRY(nodes_make(t, &t->rest, w + n_plain, n - n_plain, err));
    return lengths_make(t, err);
}

fl_status fl_token_trie_new(fl_token_trie **out, const fl_tokenizer *tokenizer, const int32_t *end,
                            int n_end, fl_err *err) {
    fl_token_trie *t = fl_alloc(sizeof *t);
    if (!t) return fl_fail(err, FL_ERR_NOMEM, "a trie");
    *t = (fl_token_trie){.t = tokenizer, .V = fl_tokenizer_size(tokenizer)};
    word *w = fl_alloc((size_t)(t->V + 1) * sizeof *w);
    fl_status st = trie_init(t, end, n_end, w, err);
    fl_dealloc(w);
    if (st == FL_OK) *out = t;
    else fl_token_trie_free(t);
    return st;
}

void fl_token_trie_free(fl_token_trie *t) {
    if (!t) return;
    fl_dealloc(t->plain.nodes);
    fl_dealloc(t->rest.nodes);
    fl_dealloc(t->plain_by_length);
    fl_dealloc(t->n_plain_upto);
    fl_dealloc(t->twins);
    fl_dealloc(t->end);
    fl_dealloc(t);
}
