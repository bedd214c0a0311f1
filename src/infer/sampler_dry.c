/* sampler_dry - DRY: a token that would continue a repetition is penalised the more, the longer the
 * repetition (p-e-w 2024, as in llama.cpp).
 *
 * Read the history backwards, h[0] the newest. Z[k] is how many tokens h[0], h[1], .. equal h[k],
 * h[k+1], ..: the text ends as it ended k tokens ago, Z[k] long, and h[k-1] is what came next then.
 * All Z are found in one pass (Z algorithm, Gusfield 1997).
 *
 * A breaker ends a repetition: none is longer than the text since the last one. A breaker is a
 * text, which tokens need not respect: any token that holds it whole is one; a token whose end
 * begins it is the head of one, whose tail are the tokens of the rest. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "infer/sampler_chain.h"

enum { MAX_TAIL = 20, MAX_BREAKER = 40 };

const char *const fl_dry_breakers[] = {"\n", ":", "\"", "*"};

/* Tokens that complete a breaker after its head; n = 0: the head is all of it. */
typedef struct {
    int32_t next;  // of the same head, or -1
    int32_t n;
    int32_t tail[MAX_TAIL];
} breaker;

struct fli_dry {
    int32_t *first;  // of the breakers that each id is the head of, or -1; V
    breaker *breakers;
    int32_t n, cap;
    int32_t *repeats;  // each id would repeat so many tokens; 0 outside of apply; V
    int32_t *z;        // as long as the history may be
};

/* --- breakers --------------------------------------------------------------------------------- */

static fl_status breaker_add(fli_dry *d, int32_t head, const int32_t *tail, size_t n, fl_err *err) {
    if (n > MAX_TAIL) n = MAX_TAIL;
    for (int32_t i = d->first[head]; i >= 0; i = d->breakers[i].next) {
        const breaker *b = &d->breakers[i];
        if (b->n == (int32_t)n && memcmp(b->tail, tail, n * sizeof *tail) == 0) return FL_OK;
    }
    if (d->n == d->cap) {
        int32_t cap = d->cap ? 2 * d->cap : 64;
        breaker *grown = fl_alloc((size_t)cap * sizeof *grown);
        if (!grown) return fl_fail(err, FL_ERR_NOMEM, "DRY's breakers");
        if (d->n) memcpy(grown, d->breakers, (size_t)d->n * sizeof *grown);
        fl_dealloc(d->breakers);
        d->breakers = grown;
        d->cap = cap;
    }
    breaker *b = &d->breakers[d->n];
    *b = (breaker){.next = d->first[head], .n = (int32_t)n};
    if (n) memcpy(b->tail, tail, n * sizeof *tail);
    d->first[head] = d->n++;
    return FL_OK;
}

/* The rest of a breaker after its first i bytes, as tokens: how else would it be written. */
typedef struct {
    const char *text;
    size_t n;
    fl_ids rest[MAX_BREAKER];
} breaker_text;

static fl_status breaker_split(breaker_text *b, const fl_tokenizer *t, fl_err *err) {
    for (size_t i = 1; i < b->n; i++) {
        fl_encode_opts plain = {.plain = true};
        FL_TRY(fl_encode(t, b->text + i, b->n - i, &plain, &b->rest[i], err));
    }
    return FL_OK;
}

static bool holds(const uint8_t *word, size_t n, const breaker_text *b) {
    for (size_t at = 0; at + b->n <= n; at++) {
        if (memcmp(word + at, b->text, b->n) == 0) return true;
    }
    return false;
}

static fl_status breaker_heads(fli_dry *d, int32_t V, const fl_tokenizer *t, const breaker_text *b,
                               fl_err *err) {
    for (int32_t id = 0; id < V; id++) {
        size_t n = 0;
        const uint8_t *word = fl_token_bytes(t, id, &n);
        if (!word) continue;
        if (holds(word, n, b)) {
            FL_TRY(breaker_add(d, id, NULL, 0, err));
            continue;
        }
        for (size_t i = 1; i < b->n && i <= n; i++) {
            if (memcmp(word + n - i, b->text, i) != 0) continue;
            FL_TRY(breaker_add(d, id, b->rest[i].id, b->rest[i].n, err));
        }
    }
    return FL_OK;
}

static fl_status breaker_read(fli_dry *d, int64_t V, const fl_tokenizer *t, const char *text,
                              fl_err *err) {
    breaker_text b = {.text = text, .n = strlen(text)};
    if (b.n == 0 || b.n > MAX_BREAKER) {
        return fl_fail(err, FL_ERR_ARG, "a DRY breaker of %zu bytes; want 1 to %d", b.n,
                       MAX_BREAKER);
    }
    fl_status st = breaker_split(&b, t, err);
    if (st == FL_OK) st = breaker_heads(d, (int32_t)V, t, &b, err);
    for (size_t i = 1; i < b.n; i++) fl_ids_clear(&b.rest[i]);
    return st;
}

fl_status fli_dry_reserve(fli_dry *d, int64_t n, fl_err *err) {
    int32_t *z = fl_alloc((size_t)n * sizeof *z);
    if (!z) return fl_fail(err, FL_ERR_NOMEM, "a history of %lld tokens for DRY", (long long)n);
    fl_dealloc(d->z);
    d->z = z;
    return FL_OK;
}

fl_status fli_dry_new(fli_dry **out, int64_t V, const fl_sampler_opts *o, fl_err *err) {
    fli_dry *d = fl_alloc(sizeof *d);
    if (!d) return fl_fail(err, FL_ERR_NOMEM, "DRY");
    *d = (fli_dry){.first = fl_alloc((size_t)V * sizeof *d->first),
                   .repeats = fl_alloc((size_t)V * sizeof *d->repeats)};
    fl_status st = d->first && d->repeats ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "DRY");
    for (int64_t i = 0; i < V && st == FL_OK; i++) {
        d->first[i] = -1;
        d->repeats[i] = 0;
    }
    for (int i = 0; i < o->n_dry_breakers && st == FL_OK; i++) {
        st = breaker_read(d, V, o->tokenizer, o->dry_breakers[i], err);
    }
    if (st == FL_OK) *out = d;
    else fli_dry_free(d);
    return st;
}

void fli_dry_free(fli_dry *d) {
    if (!d) return;
    fl_dealloc(d->first);
    fl_dealloc(d->breakers);
    fl_dealloc(d->repeats);
    fl_dealloc(d->z);
    fl_dealloc(d);
}

/* --- repetitions ------------------------------------------------------------------------------ */

/* The history backwards: token i from the end. */
static int32_t back(const fl_sampler *s, int64_t i) {
    return s->history[s->n_history - 1 - i];
}

/* Length of the breaker whose head stands i tokens from the end, or 0; the longest one counts. */
static int64_t breaker_at(const fl_sampler *s, int64_t i) {
    int64_t longest = 0;
    const fli_dry *d = s->dry;
    for (int32_t k = d->first[back(s, i)]; k >= 0; k = d->breakers[k].next) {
        const breaker *b = &d->breakers[k];
        if (b->n + 1 <= longest || b->n > i) continue;
        int32_t same = 0;
        while (same < b->n && b->tail[same] == back(s, i - 1 - same)) same++;
        if (same == b->n) longest = b->n + 1;
    }
    return longest;
}

/* Tokens since the last breaker among the last n. */
static int64_t unbroken(const fl_sampler *s, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t length = breaker_at(s, i);
        if (length) return i + 1 - length;
    }
    return n;
}

static void find_z(const fl_sampler *s, int32_t *z, int64_t n) {
    int64_t left = 0, right = 0;  // h[left..right) equals h[0..right-left)
    for (int64_t k = 1; k < n; k++) {
        int64_t same = 0;
        if (k < right) same = z[k - left] < right - k ? z[k - left] : right - k;
        while (k + same < n && back(s, same) == back(s, k + same)) same++;
        z[k] = (int32_t)same;
        if (k + same > right) {
            left = k;
            right = k + same;
        }
    }
}

static bool is_breaker(const fli_dry *d, int32_t id) {
    for (int32_t k = d->first[id]; k >= 0; k = d->breakers[k].next) {
        if (d->breakers[k].n == 0) return true;
    }
    return false;
}

static void penalise(fl_sampler *s) {
    const fl_sampler_opts *o = &s->opts;
    for (int64_t i = 0; i < s->c.n; i++) {
        int32_t id = s->c.id[i], length = s->dry->repeats[id];
        if (!length || is_breaker(s->dry, id)) continue;
        double penalty = o->dry_multiplier *
                         pow(o->dry_base, (double)(length - o->dry_allowed_length));
        s->c.logit[i] -= (float)fmin(penalty, 1e30);  // finite: no candidate is lost
    }
    s->c.n_best = 0;
}

void fli_dry_apply(fl_sampler *s) {
    const fl_sampler_opts *o = &s->opts;
    fli_dry *d = s->dry;
    int64_t n = s->n_history;
    if (o->dry_last_n && n > o->dry_last_n) n = o->dry_last_n;
    if (n <= o->dry_allowed_length) return;
    int64_t limit = unbroken(s, n);
    if (limit < o->dry_allowed_length) return;
    find_z(s, d->z, n);
    for (int64_t k = 1; k < n; k++) {
        int32_t length = d->z[k] < limit ? d->z[k] : (int32_t)limit, next = back(s, k - 1);
        if (length >= o->dry_allowed_length && length > d->repeats[next]) d->repeats[next] = length;
    }
    penalise(s);
    for (int64_t k = 1; k < n; k++) d->repeats[back(s, k - 1)] = 0;
}
