/* sampler_chain - the samplers a chain is made of, one row each, in llama.cpp's order.
 *
 * Candidates are parallel arrays of ids and logits, in no order beyond the first n_best. A filter
 * that needs the likeliest asks fli_best for as many as it needs, so a vocabulary is never sorted
 * to look at its top. */
#include "infer/sampler_chain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { MIROSTAT_M = 100 };  // likeliest tokens that Mirostat 1 estimates from

static double largest(fl_sampler *s) {
    fli_best(s, 1);
    return (double)s->c.logit[0];
}

/* Sum of exp(logit - largest). */
static double mass(fl_sampler *s) {
    double top = largest(s), sum = 0;
    for (int64_t i = 0; i < s->c.n; i++) sum += exp((double)s->c.logit[i] - top);
    return sum;
}

/* The entropy of the candidates, in nats; their probabilities into scratch, by position. */
static double entropy(fl_sampler *s) {
    double top = largest(s), sum = mass(s), h = 0;
    for (int64_t i = 0; i < s->c.n; i++) {
        double p = exp((double)s->c.logit[i] - top) / sum;
        s->scratch[i] = (fl_candidate){s->c.id[i], s->c.logit[i], p};
        if (p > 0) h -= p * log(p);
    }
    return h;
}

static void keep_first(fl_sampler *s, int64_t n) {
    s->c.n = n;
    if (s->c.n_best > n) s->c.n_best = n;
}

/* Drop the candidates below a logit; the likeliest stays. */
static void keep_from(fl_sampler *s, double least) {
    fli_candidates *c = &s->c;
    int64_t n = 1;
    fli_best(s, 1);
    for (int64_t i = 1; i < c->n; i++) {
        if ((double)c->logit[i] < least) continue;
        c->id[n] = c->id[i];
        c->logit[n++] = c->logit[i];
    }
    keep_first(s, n);
}

/* --- penalties -------------------------------------------------------------------------------- */

static bool penalties_active(const fl_sampler_opts *o) {
    bool any = o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0;
    return any && o->repeat_last_n >= 0;
}

static void penalties_apply(fl_sampler *s) {
    const fl_sampler_opts *o = &s->opts;
    float repeat = (float)o->repeat_penalty, each = (float)o->frequency_penalty;
    float once = (float)o->presence_penalty;
    for (int64_t i = 0; i < s->c.n; i++) {
        uint32_t times = s->times[s->c.id[i]];
        if (!times) continue;
        float z = s->c.logit[i];
        z = z > 0 ? z / repeat : z * repeat;
        s->c.logit[i] = z - ((float)times * each + once);
    }
    s->c.n_best = 0;
}

static bool dry_active(const fl_sampler_opts *o) {
    return o->dry_multiplier > 0 && o->dry_last_n >= 0;
}

/* --- filters ---------------------------------------------------------------------------------- */

static bool top_n_sigma_active(const fl_sampler_opts *o) {
    return o->top_n_sigma > 0;
}

static void top_n_sigma_apply(fl_sampler *s) {
    const fli_candidates *c = &s->c;
    double sum = 0, squares = 0, n = 0;
    for (int64_t i = 0; i < c->n; i++) {
        if (c->logit[i] == -INFINITY) continue;
        sum += (double)c->logit[i];
        n++;
    }
    for (int64_t i = 0; i < c->n; i++) {
        double d = (double)c->logit[i] - sum / n;
        if (c->logit[i] != -INFINITY) squares += d * d;
    }
    keep_from(s, largest(s) - s->opts.top_n_sigma * sqrt(squares / n));
}

static bool top_k_active(const fl_sampler_opts *o) {
    return o->top_k > 0;
}

static void top_k_apply(fl_sampler *s) {
    int64_t k = s->opts.top_k < s->c.n ? s->opts.top_k : s->c.n;
    fli_best(s, k);
    keep_first(s, k);
}

static int64_t top_k_keeps(const fl_sampler_opts *o) {
    return o->top_k;
}

static bool typical_active(const fl_sampler_opts *o) {
    return o->typical_p > 0 && o->typical_p < 1;
}

/* `logit` is minus the distance from the typical surprise: nearest first. */
static void typical_apply(fl_sampler *s) {
    fli_candidates *c = &s->c;
    fl_candidate *near = s->scratch;
    double h = entropy(s), have = 0;
    for (int64_t i = 0; i < c->n; i++) {
        near[i].id = (int32_t)i;
        near[i].logit = (float)-fabs(-log(near[i].p) - h);
    }
    fli_sort(near, c->n);
    int64_t n = 0;
    while (n < c->n && have <= s->opts.typical_p) have += near[n++].p;
    for (int64_t i = 0; i < n; i++) {  // places become ids and logits
        int32_t place = near[i].id;
        near[i].id = c->id[place];
        near[i].logit = c->logit[place];
    }
    for (int64_t i = 0; i < n; i++) {
        c->id[i] = near[i].id;
        c->logit[i] = near[i].logit;
    }
    c->n = n;
    c->n_best = 0;
}

static bool top_p_active(const fl_sampler_opts *o) {
    return o->top_p > 0 && o->top_p < 1;
}

static void top_p_apply(fl_sampler *s) {
    fli_candidates *c = &s->c;
    double want = s->opts.top_p * mass(s), have = 0, top = (double)c->logit[0];
    int64_t n = 0;
    while (n < c->n && (n == 0 || have < want)) {
        if (n == c->n_best) fli_best(s, 4 * n < c->n ? 4 * n : c->n);
        have += exp((double)c->logit[n++] - top);
    }
    keep_first(s, n);
}

static bool min_p_active(const fl_sampler_opts *o) {
    return o->min_p > 0;
}

static void min_p_apply(fl_sampler *s) {
    keep_from(s, largest(s) + log(s->opts.min_p));
}

static bool xtc_active(const fl_sampler_opts *o) {
    return o->xtc_probability > 0 && o->xtc_threshold <= 0.5;
}

static void xtc_apply(fl_sampler *s) {
    fli_candidates *c = &s->c;
    if (c->n < 2 || fl_rng_double(&s->xtc) > s->opts.xtc_probability) return;
    double least = largest(s) + log(s->opts.xtc_threshold * mass(s));
    int64_t last = 0;  // of those that reach the threshold
    while (last + 1 < c->n) {
        if (last + 1 == c->n_best) fli_best(s, 4 * (last + 1) < c->n ? 4 * (last + 1) : c->n);
        if ((double)c->logit[last + 1] < least) break;
        last++;
    }
    memmove(c->id, c->id + last, (size_t)(c->n - last) * sizeof *c->id);
    memmove(c->logit, c->logit + last, (size_t)(c->n - last) * sizeof *c->logit);
    c->n -= last;
    c->n_best -= last;
}

/* --- temperature and Mirostat ----------------------------------------------------------------- */

static bool always(const fl_sampler_opts *o) {
    (void)o;
    return true;
}

static double temperature_now(fl_sampler *s) {
    const fl_sampler_opts *o = &s->opts;
    if (o->dynatemp_range == 0 || s->c.n < 2) return o->temperature;
    double least = fmax(0, o->temperature - o->dynatemp_range);
    double most = o->temperature + o->dynatemp_range;
    double part = entropy(s) / log((double)s->c.n);
    return least + (most - least) * pow(part, o->dynatemp_exponent);
}

static void temperature_apply(fl_sampler *s) {
    double t = temperature_now(s);
    if (t > 0) {
        for (int64_t i = 0; i < s->c.n; i++) s->c.logit[i] = (float)((double)s->c.logit[i] / t);
    } else {
        fli_best(s, 1);
        keep_first(s, 1);
    }
}

static int64_t temperature_keeps(const fl_sampler_opts *o) {
    return o->temperature == 0 && o->dynatemp_range == 0;
}

/* Version 1 takes the k that Zipf's law, its exponent estimated from the likeliest, gives the
 * surprise mu. */
static void mirostat1_apply(fl_sampler *s) {
    fli_candidates *c = &s->c;
    int64_t m = c->n < MIROSTAT_M ? c->n : MIROSTAT_M;
    double tb = 0, tt = 0;
    fli_best(s, m);
    for (int64_t i = 0; i + 1 < m; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));
        tb += t * ((double)c->logit[i] - (double)c->logit[i + 1]);
        tt += t * t;
    }
    double exponent = tb / tt, over = exponent - 1;
    double k = pow(over * exp2(s->mu) / (1 - pow((double)s->V, -over)), 1 / exponent);
    if (!(k < (double)c->n)) return;  // and where all are equally likely, or one candidate is left
    int64_t n = k < 1 ? 1 : (int64_t)k;
    fli_best(s, n);
    keep_first(s, n);
}

/* Version 2 takes all whose own surprise is at most mu. */
static void mirostat2_apply(fl_sampler *s) {
    keep_from(s, largest(s) + log(mass(s)) - s->mu * log(2));
}

/* --- the chain -------------------------------------------------------------------------------- */

static const fli_sampler rows[] = {
    {"penalties", "e", penalties_active, penalties_apply, NULL},
    {"dry", "d", dry_active, fli_dry_apply, NULL},
    {"top_n_sigma", "s", top_n_sigma_active, top_n_sigma_apply, NULL},
    {"top_k", "k", top_k_active, top_k_apply, top_k_keeps},
    {"typ_p", "y", typical_active, typical_apply, NULL},
    {"top_p", "p", top_p_active, top_p_apply, NULL},
    {"min_p", "m", min_p_active, min_p_apply, NULL},
    {"xtc", "x", xtc_active, xtc_apply, NULL},
    {"temperature", "t", always, temperature_apply, temperature_keeps},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const fli_sampler mirostat_rows[] = {
    {"mirostat", NULL, always, mirostat1_apply, NULL},
    {"mirostat 2", NULL, always, mirostat2_apply, NULL},
};

/* Hyphens and underscores are one here, as in llama.cpp. */
static bool is_name(const char *name, const char *s, size_t n) {
    size_t i = 0;
    while (i < n && name[i] && (name[i] == s[i] || (name[i] == '_' && s[i] == '-'))) i++;
    return i == n && !name[i];
}

static const fli_sampler *row_find(const char *s, size_t n) {
    for (size_t i = 0; i < N_ROWS; i++) {
        if (is_name(rows[i].name, s, n) || is_name(rows[i].alias, s, n)) return &rows[i];
    }
    return NULL;
}

static void chain_add(fl_sampler *s, const fli_sampler *row) {
    FL_ASSERT(s->n_chain < FLI_MAX_CHAIN);
    if (row->active(&s->opts)) s->chain[s->n_chain++] = row;
}

static fl_status chain_parse(fl_sampler *s, const char *names, fl_err *err) {
    unsigned seen = 0;
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, ";");
        const fli_sampler *row = row_find(at, n);
        if (!row) {
            return fl_fail(err, FL_ERR_ARG,
                           "sampler \"%.*s\": want some of penalties, dry, top_n_sigma, top_k, "
                           "typ_p, "
                           "top_p, min_p, xtc, temperature, with ; between",
                           n < 40 ? (int)n : 40, at);
        }
        if (seen & 1u << (row - rows)) {
            return fl_fail(err, FL_ERR_ARG, "sampler %s stands in the chain twice", row->name);
        }
        seen |= 1u << (row - rows);
        chain_add(s, row);
        at += n + (at[n] == ';');
    }
    return FL_OK;
}

fl_status fli_chain_make(fl_sampler *s, fl_err *err) {
    if (s->opts.mirostat) {
        chain_add(s, row_find("temperature", strlen("temperature")));
        chain_add(s, &mirostat_rows[s->opts.mirostat - 1]);
        return FL_OK;
    }
    if (s->opts.samplers) return chain_parse(s, s->opts.samplers, err);
    for (size_t i = 0; i < N_ROWS; i++) chain_add(s, &rows[i]);
    return FL_OK;
}
