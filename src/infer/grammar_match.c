/* grammar_match - a text kept to a grammar: the state it has come to, and the mask of what may
 * follow.
 *
 * The mask is a walk through the vocabulary with the states along the path to each node kept by
 * depth. Inside a string, most tokens are letters, and the grammar does not tell these apart: where
 * every plain byte leads from a state to the same next one, and so on for as many bytes as the
 * longest plain token has, whether such a token may come is a matter of its length, and only the
 * others are walked through. */
#include <string.h>

#include "base/alloc.h"
#include "infer/grammar_code.h"
#include "infer/grammar_trie.h"

enum { N_MASKS = 256 };

/* --- the matcher ------------------------------------------------------------------------------ */

typedef struct {
    int32_t state;   // -1: none
    uint64_t *bits;  // NULL: not allocated yet
} mask;

struct fl_matcher {
    const fl_grammar *g;
    const fl_token_trie *trie;
    fli_states *states;
    int32_t begin, state;
    int32_t *path;       // state before each depth of the walk
    uint8_t plain[256];  // classes of the plain bytes
    int n_plain;
    mask masks[N_MASKS];
    int next_mask;  // the oldest
};

static void plain_classes(fl_matcher *m) {
    bool seen[256] = {0};
    for (int b = 0; b < 256; b++) {
        uint8_t c = m->g->byte_class[b];
        if (!fli_is_plain((uint8_t)b) || seen[c]) continue;
        seen[c] = true;
        m->plain[m->n_plain++] = c;
    }
}

static fl_status matcher_init(fl_matcher *m, fl_err *err) {
    for (int i = 0; i < N_MASKS; i++) m->masks[i].state = -1;
    plain_classes(m);
    FL_TRY(fli_states_new(&m->states, m->g, err));
    FL_TRY(fli_states_begin(m->states, &m->begin, err));
    m->state = m->begin;
    if (!m->trie) return FL_OK;
    m->path = fl_alloc((size_t)(m->trie->n_depth + 1) * sizeof *m->path);
    return m->path ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "a matcher");
}

fl_status fl_matcher_new(fl_matcher **out, const fl_grammar *g, const fl_token_trie *trie,
                         fl_err *err) {
    fl_matcher *m = fl_alloc(sizeof *m);
    if (!m) return fl_fail(err, FL_ERR_NOMEM, "a matcher");
    *m = (fl_matcher){.g = g, .trie = trie};
    fl_status st = matcher_init(m, err);
    if (st == FL_OK) *out = m;
    else fl_matcher_free(m);
    return st;
}

void fl_matcher_free(fl_matcher *m) {
    if (!m) return;
    for (int i = 0; i < N_MASKS; i++) fl_dealloc(m->masks[i].bits);
    fli_states_free(m->states);
    fl_dealloc(m->path);
    fl_dealloc(m);
}

bool fl_matcher_can_end(const fl_matcher *m) {
    return fli_states_ends(m->states, m->state);
}

static fl_status next_state(fl_matcher *m, int32_t from, int c, int32_t *next, fl_err *err) {
    *next = fli_states_table(m->states)[(int64_t)from * m->g->n_classes + c];
    return *next >= 0 ? FL_OK : fli_states_next(m->states, from, c, next, err);
}

fl_status fl_matcher_feed(fl_matcher *m, const void *bytes, size_t n, bool *fits, fl_err *err) {
    const uint8_t *at = bytes;
    int32_t state = m->state;
    for (size_t i = 0; i < n && state; i++)
        FL_TRY(next_state(m, state, m->g->byte_class[at[i]], &state, err));
    *fits = state != 0;
    if (!*fits) return FL_OK;
    bool trimmed;
    FL_TRY(fli_states_trim(m->states, &state, &trimmed, err));
    m->state = state;
    if (!trimmed) return FL_OK;
    m->begin = -1;
    for (int i = 0; i < N_MASKS; i++) m->masks[i].state = -1;
    return FL_OK;
}

fl_status fl_matcher_reset(fl_matcher *m, fl_err *err) {
    if (m->begin < 0) FL_TRY(fli_states_begin(m->states, &m->begin, err));
    m->state = m->begin;
    return FL_OK;
}

/* --- the mask --------------------------------------------------------------------------------- */

/* The inner loop of constrained decoding: a table look-up a node. */
static fl_status walk(fl_matcher *m, const fli_trie *t, uint64_t *bits, fl_err *err) {
    const int32_t *table = fli_states_table(m->states);
    const uint8_t *byte_class = m->g->byte_class;
    int32_t width = m->g->n_classes, *path = m->path;
    path[0] = m->state;
    for (int32_t i = 0; i < t->n_nodes;) {
        const fli_node *n = &t->nodes[i];
        int32_t from = path[n->depth];
        int32_t next = table[(int64_t)from * width + byte_class[n->byte]];
        if (next < 0) {
            FL_TRY(fli_states_next(m->states, from, byte_class[n->byte], &next, err));
            table = fli_states_table(m->states);
        }
        if (!next) {
            i = n->end;
            continue;
        }
        path[n->depth + 1] = next;
        if (n->token >= 0) fli_bit_set(bits, n->token);
        i++;
    }
    return FL_OK;
}

/* How many plain bytes may come, whichever they are; -1: it depends on which. */
static fl_status plain_run(fl_matcher *m, int32_t most, int32_t *run, fl_err *err) {
    int32_t state = m->state, n = 0;
    for (; n < most && state; n++) {
        int32_t next = 0, other;
        for (int k = 0; k < m->n_plain; k++) {
            FL_TRY(next_state(m, state, m->plain[k], k ? &other : &next, err));
            if (k && other != next) {
                *run = -1;
                return FL_OK;
            }
        }
        if (next == state) n = most - 1;  // and so on for ever
        if (!next) break;
        state = next;
    }
    *run = n;
    return FL_OK;
}

static fl_status mask_plain(fl_matcher *m, uint64_t *bits, fl_err *err) {
    const fl_token_trie *t = m->trie;
    int32_t run;
    FL_TRY(plain_run(m, t->plain.n_depth, &run, err));
    if (run < 0) return walk(m, &t->plain, bits, err);
    int32_t n = t->n_plain_upto[run];
    for (int32_t i = 0; i < n; i++) fli_bit_set(bits, t->plain_by_length[i]);
    return FL_OK;
}

static fl_status mask_make(fl_matcher *m, mask *k, fl_err *err) {
    const fl_token_trie *t = m->trie;
    size_t bytes = ((size_t)t->V + 63) / 64 * sizeof *k->bits;
    k->state = -1;
    if (!k->bits) k->bits = fl_alloc(bytes);
    if (!k->bits) return fl_fail(err, FL_ERR_NOMEM, "a mask of %d tokens", t->V);
    memset(k->bits, 0, bytes);
    FL_TRY(mask_plain(m, k->bits, err));
    FL_TRY(walk(m, &t->rest, k->bits, err));
    for (int32_t i = 0; i < t->n_twins; i++) {
        if (fli_bit(k->bits, t->twins[i][0])) fli_bit_set(k->bits, t->twins[i][1]);
    }
    for (int i = 0; i < t->n_end && fl_matcher_can_end(m); i++) fli_bit_set(k->bits, t->end[i]);
    k->state = m->state;
    return FL_OK;
}

fl_status fl_matcher_mask(fl_matcher *m, const uint64_t **allowed, fl_err *err) {
    int i = 0;
    while (i < N_MASKS && m->masks[i].state != m->state) i++;
    if (i == N_MASKS) {
        i = m->next_mask;
        m->next_mask = (i + 1) % N_MASKS;
        FL_TRY(mask_make(m, &m->masks[i], err));
    }
    *allowed = m->masks[i].bits;
    return FL_OK;
}

fl_status fl_matcher_accept(fl_matcher *m, int32_t id, fl_err *err) {
    size_t n = 0;
    bool fits = false, ends = fli_is_end(m->trie, id);
    const uint8_t *bytes = ends ? NULL : fl_token_bytes(m->trie->t, id, &n);
    if (ends) fits = fl_matcher_can_end(m);
    else if (bytes && n && !fl_tokenizer_is_special(m->trie->t, id))
        FL_TRY(fl_matcher_feed(m, bytes, n, &fits, err));
    if (fits) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "token %d does not continue the text as the grammar wants", id);
}
