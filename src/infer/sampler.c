/* sampler - which token comes next: from logits to one id.
 *
 * This file has the object, the draw and the selection of the likeliest; the samplers themselves
 * are rows in sampler_chain.c. With top-k only the k best are ever ordered: a heap of the k best so
 * far, its worst on top, passes over the candidates once. Where the chain begins with such a row
 * nothing but those k is even copied, and stretches of logits that have none of them are seen to
 * have none at the speed of memory. */
#include "infer/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "infer/sampler_chain.h"

/* --- options ---------------------------------------------------------------------------------- */

static fl_status check_range(const char *name, double v, double least, double most, fl_err *err) {
    if (v >= least && v <= most) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%s is %g; want a number from %g to %g", name, v, least, most);
}

static fl_status check_bias(const fl_sampler_opts *o, int64_t V, fl_err *err) {
    for (int64_t i = 0; i < o->n_logit_bias; i++) {
        const fl_logit_bias *b = &o->logit_bias[i];
        if (b->id < 0 || b->id >= V) {
            return fl_fail(err, FL_ERR_ARG, "logit bias of token %d; the vocabulary has 0 to %lld",
                           b->id, (long long)V - 1);
        }
        if (isnan(b->bias) || b->bias == INFINITY) {
            return fl_fail(err, FL_ERR_ARG, "the logit bias of token %d is %g", b->id,
                           (double)b->bias);
        }
    }
    return FL_OK;
}

static fl_status check_opts(const fl_sampler_opts *o, int64_t V, fl_err *err) {
#define SAMPLER_OPTION(field, type, flag, fallback, metavar, least, most, help) \
    if (o->field != 0) FL_TRY(check_range(flag, (double)o->field, least, most, err));
#include "infer/sampler_options.def"
    if (o->dry_multiplier > 0 && o->n_dry_breakers && !o->tokenizer) {
        return fl_fail(err, FL_ERR_ARG, "DRY's breakers are texts; the model has no tokenizer");
    }
    return check_bias(o, V, err);
}

static void fill_defaults(fl_sampler_opts *o) {
    const struct {
        double *field, fallback;
    } row[] = {{&o->dynatemp_exponent, 1}, {&o->xtc_threshold, 0.1}, {&o->repeat_penalty, 1},
               {&o->dry_base, 1.75},       {&o->mirostat_tau, 5},    {&o->mirostat_eta, 0.1}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (*row[i].field == 0) *row[i].field = row[i].fallback;
    }
    if (!o->dry_allowed_length) o->dry_allowed_length = 2;
}

/* --- making and freeing ----------------------------------------------------------------------- */

static fl_status buffers_new(fl_sampler *s, fl_err *err) {
    size_t V = (size_t)s->V;
    s->times = fl_alloc(V * sizeof *s->times);
    s->c.id = fl_alloc(V * sizeof *s->c.id);
    s->c.logit = fl_alloc(V * sizeof *s->c.logit);
    s->scratch = fl_alloc(V * sizeof *s->scratch);
    s->history = fl_alloc((size_t)s->cap * sizeof *s->history);
    s->bias = fl_alloc((size_t)(s->opts.n_logit_bias + 1) * sizeof *s->bias);
    if (!s->times || !s->c.id || !s->c.logit || !s->scratch || !s->history || !s->bias) {
        return fl_fail(err, FL_ERR_NOMEM, "a sampler of %lld tokens", (long long)s->V);
    }
    memset(s->times, 0, V * sizeof *s->times);
    if (s->opts.n_logit_bias) {
        memcpy(s->bias, s->opts.logit_bias, (size_t)s->opts.n_logit_bias * sizeof *s->bias);
    }
    return FL_OK;
}

fl_status fl_sampler_new(fl_sampler **out, int64_t vocab_size, const fl_sampler_opts *o,
                         fl_err *err) {
    FL_ASSERT(vocab_size > 0);
    FL_TRY(check_opts(o, vocab_size, err));
    fl_sampler *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a sampler");
    *s = (fl_sampler){.opts = *o, .V = vocab_size, .cap = 256};
    fill_defaults(&s->opts);
    s->rng = (fl_rng){.seed = o->seed, .stream = fl_rng_stream("sample") + o->stream};
    s->xtc = (fl_rng){.seed = o->seed, .stream = fl_rng_stream("xtc") + o->stream};
    s->mu = 2 * s->opts.mirostat_tau;
    fl_status st = buffers_new(s, err);
    if (st == FL_OK) st = fli_chain_make(s, err);
    for (int i = 0; i < s->n_chain && st == FL_OK; i++) {
        if (s->chain[i]->apply != fli_dry_apply) continue;
        st = fli_dry_new(&s->dry, s->V, &s->opts, err);
        if (st == FL_OK) st = fli_dry_reserve(s->dry, s->cap, err);
    }
    if (st == FL_OK) *out = s;
    else fl_sampler_free(s);
    return st;
}

void fl_sampler_free(fl_sampler *s) {
    if (!s) return;
    fl_dealloc(s->times);
    fl_dealloc(s->c.id);
    fl_dealloc(s->c.logit);
    fl_dealloc(s->scratch);
    fl_dealloc(s->history);
    fl_dealloc(s->bias);
    fli_dry_free(s->dry);
    fl_dealloc(s);
}

static fl_status history_grow(fl_sampler *s, fl_err *err) {
    if (s->dry) FL_TRY(fli_dry_reserve(s->dry, 2 * s->cap, err));
    int32_t *grown = fl_alloc((size_t)(2 * s->cap) * sizeof *grown);
    if (!grown)
        return fl_fail(err, FL_ERR_NOMEM, "a history of %lld tokens", (long long)s->cap * 2);
    memcpy(grown, s->history, (size_t)s->n_history * sizeof *grown);
    fl_dealloc(s->history);
    s->history = grown;
    s->cap *= 2;
    return FL_OK;
}

fl_status fl_sampler_accept(fl_sampler *s, int32_t id, fl_err *err) {
    FL_ASSERT(id >= 0 && id < s->V);
    if (s->n_history == s->cap) FL_TRY(history_grow(s, err));
    s->history[s->n_history++] = id;
    s->times[id]++;
    int64_t last_n = s->opts.repeat_last_n;
    if (last_n > 0 && s->n_history > last_n) s->times[s->history[s->n_history - 1 - last_n]]--;
    return FL_OK;
}

void fl_sampler_restrict(fl_sampler *s, const uint64_t *allowed) {
    s->allowed = allowed;
}

/* --- the likeliest ---------------------------------------------------------------------------- */

static bool better(const fl_candidate *a, const fl_candidate *b) {
    return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

static int better_first(const void *pa, const void *pb) {
    const fl_candidate *a = pa, *b = pb;
    return better(b, a) - better(a, b);
}

void fli_sort(fl_candidate *c, int64_t n) {
    qsort(c, (size_t)n, sizeof *c, better_first);
}

/* Restore a heap whose worst member is on top, from `i` down. */
static void heap_sink(fl_candidate *h, int64_t n, int64_t i) {
    for (;;) {
        int64_t worst = i;
        for (int64_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++) {
            if (better(&h[worst], &h[k])) worst = k;
        }
        if (worst == i) return;
        fl_candidate t = h[i];
        h[i] = h[worst];
        h[worst] = t;
        i = worst;
    }
}

static void heap_make(fl_candidate *h, int64_t n) {
    for (int64_t i = n / 2 - 1; i >= 0; i--) heap_sink(h, n, i);
}

/* Whether one of SPAN logits is above `least`. Loops of a fixed length, here and below, become
 * vectors. */
enum { SPAN = 32 };
static bool any_above(const float *logits, float least) {
    int any = 0;
    for (int i = 0; i < SPAN; i++) any |= logits[i] > least;
    return any;
}

/* The n likeliest of V >= n logits, in order. */
static void find_likeliest(fl_candidate *h, int64_t n, const float *logits, int64_t V) {
    for (int32_t id = 0; id < n; id++) h[id] = (fl_candidate){id, logits[id], 0};
    heap_make(h, n);
    for (int64_t at = n; at < V; at += SPAN) {
        const int64_t end = at + SPAN < V ? at + SPAN : V;
        if (end == at + SPAN && !any_above(logits + at, h[0].logit)) continue;
        for (int64_t id = at; id < end; id++) {
            const fl_candidate c = {(int32_t)id, logits[id], 0};
            if (!better(&c, &h[0])) continue;
            h[0] = c;
            heap_sink(h, n, 0);
        }
    }
    fli_sort(h, n);
}

/* The heap is in scratch; `logit` and `id` are those after the candidates already in order. A
 * candidate that enters changes places with the one that leaves. */
void fli_best(fl_sampler *s, int64_t k) {
    FL_ASSERT(k <= s->c.n);
    int64_t have = s->c.n_best, n = s->c.n - have;
    if (k <= have) return;
    k -= have;
    int32_t *id = s->c.id + have;
    float *logit = s->c.logit + have;
    fl_candidate *h = s->scratch;
    for (int64_t i = 0; i < k; i++) h[i] = (fl_candidate){id[i], logit[i], 0};
    heap_make(h, k);
    for (int64_t i = k; i < n; i++) {
        if (logit[i] < h[0].logit) continue;
        fl_candidate c = {id[i], logit[i], 0};
        if (!better(&c, &h[0])) continue;
        id[i] = h[0].id;
        logit[i] = h[0].logit;
        h[0] = c;
        heap_sink(h, k, 0);
    }
    fli_sort(h, k);
    for (int64_t i = 0; i < k; i++) {
        id[i] = h[i].id;
        logit[i] = h[i].logit;
    }
    s->c.n_best = have + k;
}

/* --- picking ---------------------------------------------------------------------------------- */

typedef struct {
    int bad, finite;
} kinds;

static inline void look_at(kinds *k, const float *logits, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        k->bad |= !(logits[i] <= FLT_MAX);
        k->finite |= logits[i] >= -FLT_MAX;
    }
}

static fl_status check_logits(const float *logits, int64_t n, fl_err *err) {
    kinds k = {0, 0};
    int64_t i = 0;
    for (; i + SPAN <= n; i += SPAN) look_at(&k, logits + i, SPAN);
    look_at(&k, logits + i, n - i);
    if (!k.bad && k.finite) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "the model's logits are not numbers: its weights are damaged, or it "
                   "diverged while training");
}

static void take_allowed(fl_sampler *s, const float *logits) {
    fli_candidates *c = &s->c;
    for (int64_t word = 0; word * 64 < s->V; word++) {
        uint64_t bits = s->allowed[word];
        for (int32_t id = (int32_t)(word * 64); bits && id < s->V; id++, bits >>= 1) {
            if (!(bits & 1)) continue;
            c->id[c->n] = id;
            c->logit[c->n++] = logits[id];
        }
    }
}

static void take_all(fl_sampler *s, const float *logits) {
    for (int32_t id = 0; id < s->V; id++) s->c.id[id] = id;
    memcpy(s->c.logit, logits, (size_t)s->V * sizeof *logits);
    s->c.n = s->V;
}

static void take_likeliest(fl_sampler *s, const float *logits, int64_t n) {
    find_likeliest(s->scratch, n, logits, s->V);
    for (int64_t i = 0; i < n; i++) {
        s->c.id[i] = s->scratch[i].id;
        s->c.logit[i] = s->scratch[i].logit;
    }
    s->c.n = s->c.n_best = n;
}

/* What the first row of the chain leaves at most, of nothing but the logits; else all. */
static int64_t n_wanted(const fl_sampler *s) {
    const fli_sampler *first = s->n_chain ? s->chain[0] : NULL;
    const int64_t n = first && first->keeps && !s->opts.n_logit_bias ? first->keeps(&s->opts) : 0;
    return n > 0 && n < s->V ? n : s->V;
}

/* Candidates stand in the order of their ids here. */
static void add_bias(fl_sampler *s, const fl_logit_bias *b) {
    int64_t low = 0, high = s->c.n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->c.id[middle] < b->id) low = middle + 1;
        else high = middle;
    }
    if (low < s->c.n && s->c.id[low] == b->id) s->c.logit[low] += b->bias;
}

/* Candidates with the probabilities they are drawn by, into scratch. */
static fl_status shape(fl_sampler *s, const float *logits, fl_err *err) {
    fli_candidates *c = &s->c;
    FL_TRY(check_logits(logits, s->V, err));
    c->n = c->n_best = 0;
    const int64_t wanted = n_wanted(s);
    if (s->allowed) take_allowed(s, logits);
    else if (wanted < s->V) take_likeliest(s, logits, wanted);
    else take_all(s, logits);
    for (int64_t i = 0; i < s->opts.n_logit_bias; i++) add_bias(s, &s->bias[i]);
    if (!c->n) return fl_fail(err, FL_ERR_ARG, "no token is allowed here");
    for (int i = 0; i < s->n_chain; i++) s->chain[i]->apply(s);
    float top = -INFINITY;
    for (int64_t i = 0; i < c->n; i++) top = c->logit[i] > top ? c->logit[i] : top;
    if (top == -INFINITY)
        return fl_fail(err, FL_ERR_ARG, "every token that is allowed here has logit -inf");
    double sum = 0;
    for (int64_t i = 0; i < c->n; i++) {
        double p = exp((double)c->logit[i] - (double)top);
        s->scratch[i] = (fl_candidate){c->id[i], c->logit[i], p};
        sum += p;
    }
    for (int64_t i = 0; i < c->n; i++) s->scratch[i].p /= sum;
    s->scratch_in_order = c->n_best == c->n;
    return FL_OK;
}

/* Of (0, 1], for one candidate of one draw: SplitMix64 (Steele et al. 2014). */
static double uniform(uint64_t draw, int32_t id) {
    uint64_t z = draw + ((uint64_t)id + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return 1 - (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* The winner of the race; -ln(u) is 1 - u at least, so hardly any needs its logarithm. */
static int64_t race(const fl_candidate *c, int64_t n, uint64_t draw) {
    double first = INFINITY;
    int64_t winner = 0;
    for (int64_t i = 0; i < n; i++) {
        const double u = uniform(draw, c[i].id);
        if (1 - u >= first * c[i].p) continue;
        const double time = -log(u) / c[i].p;
        if (!(time < first)) continue;
        first = time;
        winner = i;
    }
    return winner;
}

fl_status fl_sampler_pick(fl_sampler *s, const float *logits, int32_t *id, fl_err *err) {
    s->xtc.counter = s->rng.counter;
    FL_TRY(shape(s, logits, err));
    const fl_candidate *c = &s->scratch[race(s->scratch, s->c.n, fl_rng_u64(&s->rng))];
    if (s->opts.mirostat) s->mu -= s->opts.mirostat_eta * (-log2(c->p) - s->opts.mirostat_tau);
    *id = c->id;
    return FL_OK;
}

uint64_t fl_sampler_draws(const fl_sampler *s) {
    return s->rng.counter;
}

void fl_sampler_seek(fl_sampler *s, uint64_t draw) {
    s->rng.counter = draw;
}

const fl_candidate *fl_sampler_candidates(fl_sampler *s, int64_t *n) {
    if (!s->scratch_in_order) fli_sort(s->scratch, s->c.n);
    s->scratch_in_order = true;
    *n = s->c.n;
    return s->scratch;
}

/* --- log-probabilities ------------------------------------------------------------------------ */

static double log_sum(const float *logits, int64_t n) {
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, (double)logits[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

double fl_logprob(const float *logits, int64_t vocab_size, int32_t id) {
    return (double)logits[id] - log_sum(logits, vocab_size);
}

void fl_logprob_top(const float *logits, int64_t vocab_size, int64_t n, fl_candidate *out) {
    FL_ASSERT(n > 0 && n <= vocab_size);
    find_likeliest(out, n, logits, vocab_size);
    double total = log_sum(logits, vocab_size);
    for (int64_t i = 0; i < n; i++) out[i].p = (double)out[i].logit - total;
}
