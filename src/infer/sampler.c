/* sampler - which token comes next: from logits to one id.
 *
 * Candidates are kept in one array, best first. With top-k only the k best are ever ordered: a heap
 * of the k best so far, its worst on top, passes over the vocabulary once. */
#include "infer/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"

struct fl_sampler {
    fl_sampler_opts opts;
    int64_t V;
    fl_rng rng;
    uint32_t *times;  // each id stands in the window, V
    int32_t *window;  // ring of repeat_last_n ids; grows when that is 0
    int64_t n_window, cap, at;
    fl_candidate *candidates;  // V
    int64_t n;
};

static fl_status check_opts(const fl_sampler_opts *o, fl_err *err) {
    const struct {
        const char *name;
        double value, most;
    } range[] = {
        {"temperature", o->temperature, 1e6},
        {"top-p", o->top_p, 1},
        {"min-p", o->min_p, 1},
        {"repetition penalty", o->repeat_penalty, 1e6},
        {"top-k", (double)o->top_k, (double)INT64_MAX},
        {"repeat-last-n", (double)o->repeat_last_n, 1e9},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        if (range[i].value >= 0 && range[i].value <= range[i].most) continue;
        return fl_fail(err, FL_ERR_ARG, "%s is %g; want a number from 0 to %g", range[i].name,
                       range[i].value, range[i].most);
    }
    return FL_OK;
}

fl_status fl_sampler_new(fl_sampler **out, int64_t vocab_size, const fl_sampler_opts *o,
                         fl_err *err) {
    FL_ASSERT(vocab_size > 0);
    FL_TRY(check_opts(o, err));
    fl_sampler *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a sampler");
    *s =
        (fl_sampler){.opts = *o, .V = vocab_size, .cap = o->repeat_last_n ? o->repeat_last_n : 256};
    if (s->opts.repeat_penalty == 0) s->opts.repeat_penalty = 1;
    s->rng = (fl_rng){.seed = o->seed, .stream = fl_rng_stream("sample") + o->stream};
    s->times = fl_alloc((size_t)vocab_size * sizeof *s->times);
    s->candidates = fl_alloc((size_t)vocab_size * sizeof *s->candidates);
    s->window = fl_alloc((size_t)s->cap * sizeof *s->window);
    if (!s->times || !s->candidates || !s->window) {
        fl_sampler_free(s);
        return fl_fail(err, FL_ERR_NOMEM, "a sampler of %lld tokens", (long long)vocab_size);
    }
    memset(s->times, 0, (size_t)vocab_size * sizeof *s->times);
    *out = s;
    return FL_OK;
}

void fl_sampler_free(fl_sampler *s) {
    if (!s) return;
    fl_dealloc(s->times);
    fl_dealloc(s->candidates);
    fl_dealloc(s->window);
    fl_dealloc(s);
}

static fl_status window_grow(fl_sampler *s, fl_err *err) {
    int32_t *grown = fl_alloc((size_t)(2 * s->cap) * sizeof *grown);
    if (!grown)
        return fl_fail(err, FL_ERR_NOMEM, "a history of %lld tokens", (long long)s->cap * 2);
    memcpy(grown, s->window, (size_t)s->n_window * sizeof *grown);
    fl_dealloc(s->window);
    s->window = grown;
    s->at = s->n_window;
    s->cap *= 2;
    return FL_OK;
}

fl_status fl_sampler_accept(fl_sampler *s, int32_t id, fl_err *err) {
    FL_ASSERT(id >= 0 && id < s->V);
    if (s->n_window == s->cap) {
        if (s->opts.repeat_last_n) s->times[s->window[s->at]]--;
        else FL_TRY(window_grow(s, err));
    }
    s->window[s->at] = id;
    s->times[id]++;
    s->at = (s->at + 1) % s->cap;
    if (s->n_window < s->cap) s->n_window++;
    return FL_OK;
}

/* ---- candidates ---- */

static float penalised(const fl_sampler *s, const float *logits, int32_t id) {
    float z = logits[id], penalty = (float)s->opts.repeat_penalty;
    if (!s->times[id]) return z;
    return z > 0 ? z / penalty : z * penalty;
}

static bool better(const fl_candidate *a, const fl_candidate *b) {
    return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

static int better_first(const void *pa, const void *pb) {
    return better(pa, pb) ? -1 : 1;
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

static void heap_offer(fl_candidate *h, int64_t *n, int64_t k, fl_candidate c) {
    if (*n < k) {
        h[(*n)++] = c;
        if (*n == k) {
            for (int64_t i = k / 2 - 1; i >= 0; i--) heap_sink(h, k, i);
        }
    } else if (better(&c, &h[0])) {
        h[0] = c;
        heap_sink(h, k, 0);
    }
}

/* Keep the first candidates whose mass reaches top_p; drop those far below the first. Both on one
 * softmax. */
static void filter_mass(fl_sampler *s) {
    const fl_sampler_opts *o = &s->opts;
    fl_candidate *c = s->candidates;
    double sum = 0, mass = 0;
    for (int64_t i = 0; i < s->n; i++) sum += c[i].p = exp((double)c[i].logit - (double)c[0].logit);
    int64_t n = s->n;
    if (o->top_p > 0 && o->top_p < 1) {
        for (n = 0; n < s->n && (n == 0 || mass < o->top_p * sum); n++) mass += c[n].p;
    }
    while (n > 1 && c[n - 1].p < o->min_p) n--;  // c[0].p is 1
    s->n = n;
}

static void temper(fl_sampler *s) {
    fl_candidate *c = s->candidates;
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
        c[i].p = exp(((double)c[i].logit - (double)c[0].logit) / s->opts.temperature);
        sum += c[i].p;
    }
    for (int64_t i = 0; i < s->n; i++) c[i].p /= sum;
}

static void candidates_make(fl_sampler *s, const float *logits) {
    int64_t k = s->opts.top_k && s->opts.top_k < s->V ? s->opts.top_k : s->V;
    s->n = 0;
    for (int32_t id = 0; id < s->V; id++) {
        heap_offer(s->candidates, &s->n, k, (fl_candidate){id, penalised(s, logits, id), 0});
    }
    qsort(s->candidates, (size_t)s->n, sizeof *s->candidates, better_first);
    filter_mass(s);
    temper(s);
}

static fl_status check_logits(const float *logits, int64_t n, fl_err *err) {
    float largest = -INFINITY;
    bool numbers = true;
    for (int64_t i = 0; i < n; i++) {
        numbers = numbers && !isnan(logits[i]);
        largest = fmaxf(largest, logits[i]);
    }
    if (numbers && isfinite(largest)) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "the model's logits are not numbers: its weights are damaged, or it "
                   "diverged while training");
}

fl_status fl_sampler_pick(fl_sampler *s, const float *logits, int32_t *id, fl_err *err) {
    FL_TRY(check_logits(logits, s->V, err));
    if (s->opts.temperature == 0) {
        int32_t best = 0;
        for (int32_t i = 1; i < s->V; i++) {
            if (penalised(s, logits, i) > penalised(s, logits, best)) best = i;
        }
        *id = best;
        s->n = 0;
        return FL_OK;
    }
    candidates_make(s, logits);
    double u = fl_rng_double(&s->rng);
    int64_t i = 0;
    for (; i + 1 < s->n && u >= s->candidates[i].p; i++) u -= s->candidates[i].p;
    *id = s->candidates[i].id;
    return FL_OK;
}

const fl_candidate *fl_sampler_candidates(const fl_sampler *s, int64_t *n) {
    *n = s->n;
    return s->candidates;
}

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
    int64_t held = 0;
    for (int32_t id = 0; id < vocab_size; id++) {
        heap_offer(out, &held, n, (fl_candidate){id, logits[id], 0});
    }
    qsort(out, (size_t)n, sizeof *out, better_first);
    double total = log_sum(logits, vocab_size);
    for (int64_t i = 0; i < n; i++) out[i].p = (double)out[i].logit - total;
}
