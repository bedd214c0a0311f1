/* piece_unigram.c - the cut of a piece whose tokens' scores (log probabilities) sum highest, by
 * Viterbi over byte positions.
 *
 * A character that no token of its own stands for may be unknown, at the least score of the
 * vocabulary less UNKNOWN_COST, as in SentencePiece. Of equal sums the one found first stays:
 * longest last token first. */
#include "token/internal.h"

static const double unknown_cost = 10;

/* The best way to reach a position: the token that ends there, and where it begins. */
typedef struct {
    double score;
    int32_t id;
    uint32_t from;
} step;

static const uint32_t unreached = UINT32_MAX;

static inline void offer(step *to, double score, int32_t id, size_t from) {
    if (to->from == unreached || score > to->score) *to = (step){score, id, (uint32_t)from};
}

static void walk(const fl_tokenizer *t, const uint8_t *s, size_t n, step *best) {
    double unknown = t->min_weight - unknown_cost;
    for (size_t i = 0; i <= n; i++) best[i] = (step){0, -1, unreached};
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        (void)fl_utf8_decode(s + i, n - i, &len);
        bool alone = false;  // some token is just this character
        uint32_t node = FLI_LEXICON_ROOT;
        for (size_t k = i; k < n && (node = fli_lexicon_next(&t->lexicon, node, s[k])); k++) {
            int32_t id = fli_lexicon_id(&t->lexicon, node);
            if (id < 0) continue;
            offer(best + k + 1, best[i].score + t->weight[id], id, i);
            alone |= k + 1 == i + (size_t)len;
        }
        if (!alone) offer(best + i + len, best[i].score + unknown, -1, i);
    }
}

static void reverse(int32_t *id, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        int32_t other = id[n - 1 - i];
        id[n - 1 - i] = id[i];
        id[i] = other;
    }
}

/* From the end back. Unknown characters beside each other are one. */
static fl_status trace(const fl_tokenizer *t, const uint8_t *s, size_t n, const step *best,
                       int32_t *id, size_t *n_ids, fl_err *err) {
    *n_ids = 0;
    for (size_t end = n, begin; end > 0; end = begin) {
        size_t more = 1;
        begin = best[end].from;
        id[*n_ids] = best[end].id;
        if (best[end].id < 0) {
            while (begin > 0 && best[begin].id < 0) begin = best[begin].from;
            FL_TRY(fli_fall_back(t, s + begin, end - begin, id + *n_ids, &more, err));
            reverse(id + *n_ids, more);
        }
        *n_ids += more;
    }
    reverse(id, *n_ids);
    return FL_OK;
}

static fl_status unigram_encode(const fl_tokenizer *t, const uint8_t *s, size_t n,
                                fli_scratch *scratch, int32_t *id, size_t *n_ids, fl_err *err) {
    step small[128], *best = small;
    if (n >= sizeof small / sizeof *small) {
        if (!fli_scratch_need(scratch, (n + 1) * sizeof *best))
            return fl_fail(err, FL_ERR_NOMEM, "a piece of %zu bytes", n);
        best = scratch->data;
    }
    walk(t, s, n, best);
    return trace(t, s, n, best, id, n_ids, err);
}

const fli_model_kind fli_unigram = {.hf = "Unigram",
                                    .gguf = "t5",
                                    .encode = unigram_encode,
                                    .by_prefix = true};
