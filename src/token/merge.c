/* merge.c - byte-pair merges by rank.
 *
 * Of all adjacent pairs the one of least rank is merged, the leftmost on a tie, until none is in
 * the table. A short piece keeps the rank of each pair beside the ids and looks for the least one
 * by reading all: quadratic, and the fastest there is at the length of words. A long piece uses a
 * heap of (rank, position) over a linked list; entries that a merge made stale are recognised when
 * they surface. */
#include "token/merge.h"

#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"

enum { SHORT_PIECE = 96 };

static inline uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static const uint64_t no_pair = UINT64_MAX;

static inline size_t slot_of(const fli_merges *m, uint64_t pair) {
    return (size_t)((pair * 0x9E3779B97F4A7C15u ^ pair >> 29) * 0xBF58476D1CE4E5B9u >> m->shift);
}

static inline const fli_merge_slot *find(const fli_merges *m, int32_t left, int32_t right) {
    static const fli_merge_slot none = {.rank = FLI_NO_RANK, .id = -1};
    uint64_t pair = pair_of(left, right);
    for (size_t k = slot_of(m, pair);; k = (k + 1) & m->mask) {
        if (m->slot[k].pair == pair) return m->slot + k;
        if (m->slot[k].pair == no_pair) return &none;
    }
}

fl_status fli_merges_push(fli_merges *m, fli_merge one, fl_err *err) {
    if (!fli_grow((void **)&m->list, &m->cap, m->n + 1, sizeof *m->list))
        return fl_fail(err, FL_ERR_NOMEM, "%zu merges", m->n + 1);
    m->list[m->n++] = one;
    return FL_OK;
}

fl_status fli_merges_index(fli_merges *m, fl_err *err) {
    unsigned bits = 4;
    while (((size_t)1 << bits) < 2 * m->n) bits++;
    size_t n_slots = (size_t)1 << bits;
    m->slot = fl_alloc(n_slots * sizeof *m->slot);
    if (!m->slot) return fl_fail(err, FL_ERR_NOMEM, "table of %zu merges", m->n);
    for (size_t k = 0; k < n_slots; k++) m->slot[k].pair = no_pair;
    m->mask = n_slots - 1;
    m->shift = 64 - bits;
    for (size_t i = 0; i < m->n; i++) {
        uint64_t pair = pair_of(m->list[i].left, m->list[i].right);
        size_t k = slot_of(m, pair);
        while (m->slot[k].pair != no_pair && m->slot[k].pair != pair) k = (k + 1) & m->mask;
        // A pair listed twice has its last rank, as in Hugging Face's map.
        m->slot[k] = (fli_merge_slot){pair, m->rank ? m->rank[i] : (int32_t)i, m->list[i].id};
    }
    return FL_OK;
}

void fli_merges_clear(fli_merges *m) {
    fl_dealloc(m->list);
    fl_dealloc(m->rank);
    fl_dealloc(m->slot);
    *m = (fli_merges){0};
}

/* ---- short pieces ---- */

static size_t apply_short(const fli_merges *m, int32_t *id, size_t n) {
    int32_t rank[SHORT_PIECE], into[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++) {
        const fli_merge_slot *s = find(m, id[i], id[i + 1]);
        rank[i] = s->rank;
        into[i] = s->id;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == FLI_NO_RANK) break;
        id[best] = into[best];
        n--;
        size_t tail = n - best - 1;  // what follows the pair moves one to the left
        memmove(id + best + 1, id + best + 2, tail * sizeof *id);
        if (tail) {
            memmove(rank + best + 1, rank + best + 2, (tail - 1) * sizeof *rank);
            memmove(into + best + 1, into + best + 2, (tail - 1) * sizeof *into);
            const fli_merge_slot *s = find(m, id[best], id[best + 1]);
            rank[best] = s->rank;
            into[best] = s->id;
        }
        if (best) {
            const fli_merge_slot *s = find(m, id[best - 1], id[best]);
            rank[best - 1] = s->rank;
            into[best - 1] = s->id;
        }
    }
    return n;
}

/* ---- long pieces ---- */

/* What is left is a list: link[i].next skips what was merged into i. A heap entry is rank << 32 |
 * position, so that the order of numbers is the order of merges; it is stale when the pair at its
 * position has another rank by now. */
typedef struct {
    int32_t prev, next;
} link;

typedef struct {
    uint64_t *entry;
    size_t n;
} heap;

static void heap_push(heap *h, uint64_t e) {
    size_t i = h->n++;
    for (; i && h->entry[(i - 1) / 2] > e; i = (i - 1) / 2) h->entry[i] = h->entry[(i - 1) / 2];
    h->entry[i] = e;
}

static uint64_t heap_pop(heap *h) {
    uint64_t top = h->entry[0], e = h->entry[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->entry[child + 1] < h->entry[child]) child++;
        if (h->entry[child] >= e) break;
        h->entry[i] = h->entry[child];
    }
    h->entry[i] = e;
    return top;
}

static void offer(const fli_merges *m, heap *h, const int32_t *id, int32_t i, int32_t next) {
    const fli_merge_slot *s = find(m, id[i], id[next]);
    if (s->rank != FLI_NO_RANK) heap_push(h, (uint64_t)(uint32_t)s->rank << 32 | (uint32_t)i);
}

static size_t apply_long(const fli_merges *m, int32_t *id, size_t n, fli_scratch *scratch) {
    // Each merge removes one pair and offers two: 3 n entries at most.
    size_t need = n * sizeof(link) + 3 * n * sizeof(uint64_t);
    if (!fli_scratch_need(scratch, need)) return 0;
    heap h = {.entry = scratch->data};
    link *at = (link *)(h.entry + 3 * n);
    int32_t end = (int32_t)n;
    for (int32_t i = 0; i < end; i++) at[i] = (link){i - 1, i + 1};
    for (int32_t i = 0; i + 1 < end; i++) offer(m, &h, id, i, i + 1);
    while (h.n) {
        uint64_t e = heap_pop(&h);
        int32_t i = (int32_t)(uint32_t)e, next = at[i].next;
        if (id[i] < 0 || next >= end) continue;
        const fli_merge_slot *s = find(m, id[i], id[next]);
        if ((uint64_t)(uint32_t)s->rank != e >> 32) continue;
        id[i] = s->id;
        id[next] = -1;
        at[i].next = at[next].next;
        if (at[i].next < end) {
            at[at[i].next].prev = i;
            offer(m, &h, id, i, at[i].next);
        }
        if (at[i].prev >= 0) offer(m, &h, id, at[i].prev, i);
    }
    size_t left = 0;
    for (int32_t i = 0; i < end; i = at[i].next) id[left++] = id[i];
    return left;
}

size_t fli_merges_apply(const fli_merges *m, int32_t *id, size_t n, fli_scratch *scratch) {
    return n <= SHORT_PIECE ? apply_short(m, id, n) : apply_long(m, id, n, scratch);
}
