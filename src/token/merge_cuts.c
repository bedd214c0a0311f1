/* merge_cuts.c - the merges of a vocabulary that has none listed: tiktoken's and SentencePiece's.
 *
 * There a pair may be merged when the two together are a token, and the rank is that token's. So
 * every way to cut a token into two tokens is a merge, and all the ways to cut one token have one
 * rank. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "token/internal.h"

static int by_left(const void *a, const void *b) {
    const fli_merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

static fl_status push_cuts(fl_tokenizer *t, int32_t id, fl_err *err) {
    const fli_token *k = t->token + id;
    size_t first = t->merges.n;
    for (size_t cut = 1; cut < k->n; cut++) {
        fli_merge m = {.left = fli_tokenizer_find(t, k->bytes, cut), .id = id};
        if (m.left < 0) continue;
        m.right = fli_tokenizer_find(t, k->bytes + cut, k->n - cut);
        if (m.right >= 0) FL_TRY(fli_merges_push(&t->merges, m, err));
    }
    if (t->merges.n - first > 1)
        qsort(t->merges.list + first, t->merges.n - first, sizeof(fli_merge), by_left);
    return FL_OK;
}

fl_status fli_merge_cuts(fl_tokenizer *t, const fli_ranked *order, fl_err *err) {
    fli_merges *m = &t->merges;
    for (int32_t i = 0; i < t->n; i++) {
        int32_t id = order ? order[i].id : i;
        if (fli_tokenizer_find(t, t->token[id].bytes, t->token[id].n) == id)
            FL_TRY(push_cuts(t, id, err));
    }
    m->rank = fl_alloc((m->n + 1) * sizeof *m->rank);
    int32_t *rank_of = fl_alloc(((size_t)t->n + 1) * sizeof *rank_of);
    if (!m->rank || !rank_of) {
        fl_dealloc(rank_of);
        return fl_fail(err, FL_ERR_NOMEM, "%zu merges", m->n);
    }
    for (int32_t i = 0; i < t->n; i++) rank_of[order ? order[i].id : i] = order ? order[i].rank : i;
    for (size_t i = 0; i < m->n; i++) m->rank[i] = rank_of[m->list[i].id];
    fl_dealloc(rank_of);
    return FL_OK;
}

static int by_score(const void *a, const void *b) {
    const fli_ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

fl_status fli_merge_by_score(fl_tokenizer *t, const float *score, fl_err *err) {
    fli_ranked *order = fl_alloc(((size_t)t->n + 1) * sizeof *order);
    if (!order) return fl_fail(err, FL_ERR_NOMEM, "%d scores", t->n);
    for (int32_t id = 0; id < t->n; id++)
        order[id] = (fli_ranked){.id = id, .score = score && !isnan(score[id]) ? score[id] : 0};
    qsort(order, (size_t)t->n, sizeof *order, by_score);
    for (int32_t i = 1; i < t->n; i++)
        order[i].rank = order[i - 1].rank + (order[i].score != order[i - 1].score);
    fl_status st = fli_merge_cuts(t, order, err);
    fl_dealloc(order);
    return st;
}
