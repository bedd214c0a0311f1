/* speculate - tokens proposed ahead, by a draft model or from the text itself. */
#include "infer/speculate.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"

/* A draft speaks of the same tokens by the same numbers. */
static fl_status check_draft(const fl_session *target, const fl_session *draft, fl_err *err) {
    char mine[33], its[33];
    const fl_model *m = fl_session_model(target), *d = fl_session_model(draft);
    if (!d->tokenizer) return fl_fail(err, FL_ERR_ARG, "the draft model has no tokenizer");
    fl_tokenizer_hash(m->tokenizer, mine);
    fl_tokenizer_hash(d->tokenizer, its);
    if (strcmp(mine, its) == 0) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "the draft model has another tokenizer than the model");
}

/* Penalties need the text, and Mirostat the tokens it came to: the draft does without. */
static fl_status draft_sampler(fli_speculation *p, fl_err *err) {
    const fl_model *d = fl_session_model(p->o.draft);
    fl_sampler_opts o = *p->o.sampler;
    o.repeat_penalty = o.frequency_penalty = o.presence_penalty = o.dry_multiplier = 0;
    o.mirostat = 0;
    int64_t named = fl_tokenizer_size(d->tokenizer), V = d->config.vocab_size;
    return fl_sampler_new(&p->sampler, named < V ? named : V, &o, err);
}

fl_status fli_speculation_init(fli_speculation *p, const fl_session *target,
                               const fli_speculation_opts *o, fl_err *err) {
    *p = (fli_speculation){.o = *o};
    for (int i = 0; i < FLI_TRUSTS; i++) p->trust[i] = (fli_trust){.taken = 1.5, .refused = 0.5};
    if (p->o.most < 1 || p->o.most > FLI_MAX_PROPOSALS) {
        return fl_fail(err, FL_ERR_ARG, "%lld proposals a step; want 1 to %d", (long long)p->o.most,
                       FLI_MAX_PROPOSALS);
    }
    if (!p->o.draft) return FL_OK;
    FL_TRY(check_draft(target, p->o.draft, err));
    return draft_sampler(p, err);
}

void fli_speculation_clear(fli_speculation *p) {
    fl_sampler_free(p->sampler);
    *p = (fli_speculation){0};
}

/* --- how many --------------------------------------------------------------------------------- */

static const double OF_THE_LAST = 0.9;          // what a step counts of the next
static const double WORTH = 1.05;               // tokens a second, of those without proposals
static const double CREDIT = 2, SHARE = 0.015;  // steps, and of the time: what may be lost in all
static const double ROW = 0.1, DRAFT = 0.25;    // of a step: what is guessed until it is measured

static int by_size(const void *pa, const void *pb) {
    const double *a = pa, *b = pb;
    return (*a > *b) - (*a < *b);
}

static void pace_learn(fli_pace *p, double seconds) {
    double sorted[FLI_PACES];
    if (p->n++ == 0) return;
    p->last[p->n % FLI_PACES] = seconds;
    const int64_t n = p->n - 1 < FLI_PACES ? p->n - 1 : FLI_PACES;
    for (int64_t i = 0; i < n; i++) sorted[i] = p->last[(p->n - i) % FLI_PACES];
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    p->seconds = sorted[n / 2];
}

static bool known(const fli_pace *p) {
    return p->n > 1;
}

/* Steps are padded to powers of two rows. */
static int step_of(int64_t n_proposals) {
    int k = 0;
    while ((int64_t)1 << k < 1 + n_proposals) k++;
    return k;
}

/* Seconds of a step with n proposals; where none was measured, on the line through the one without
 * any and the largest that was. */
static double step_seconds(const fli_clock *c, int64_t n) {
    const double alone = c->step[0].seconds;
    const int at = step_of(n);
    if (known(&c->step[at])) return c->step[at].seconds;
    double row = ROW * alone;
    for (int k = 1; k < FLI_STEPS; k++) {
        if (known(&c->step[k])) row = (c->step[k].seconds - alone) / (double)((1 << k) - 1);
    }
    return alone + row * (double)n;
}

/* Tokens a second of steps with n proposals. */
static double speed(const fli_speculation *p, double a, int64_t n) {
    const fli_clock *c = &p->clock;
    const double guess = p->o.draft ? DRAFT * c->step[0].seconds : 0;
    double tokens = 1, chance = 1;
    for (int64_t i = 0; i < n; i++) tokens += chance *= a;
    return tokens /
           (step_seconds(c, n) + (double)n * (known(&c->draft) ? c->draft.seconds : guess));
}

/* The first two steps are taken alone, and one in a while, to know what that costs: sooner at the
 * beginning, while weights are still being packed between steps. */
static int64_t how_many(const fli_speculation *p, const fli_trust *t, int64_t most) {
    enum { IN_A_ROW = 24 };
    const fli_clock *c = &p->clock;
    const double a = t->taken / (t->taken + t->refused);
    if (!known(&c->step[0]) || most < 1) return 0;
    if (c->in_a_row >= IN_A_ROW || c->in_a_row >= 2 * c->step[0].n) return 0;
    if (c->owed > CREDIT * c->step[0].seconds + SHARE * c->spent) return 0;
    int64_t best = 0;
    for (int64_t n = 1; n < 2 * most; n = 2 * n + 1) {
        const int64_t k = n < most ? n : most;
        if (speed(p, a, k) > speed(p, a, best) * (best ? 1 : WORTH)) best = k;
    }
    return best ? best : 1;
}

void fli_speculation_learn(fli_speculation *p, int64_t n_taken, double seconds) {
    fli_trust *t = &p->trust[p->trusted];
    fli_clock *c = &p->clock;
    const double all = seconds + p->seconds;
    pace_learn(&c->step[step_of(p->n)], seconds);
    c->spent += all;
    c->in_a_row = p->n ? c->in_a_row + 1 : 0;
    if (!p->n) return;
    c->owed += all - (double)(1 + n_taken) * c->step[0].seconds;
    if (c->owed < 0) c->owed = 0;
    t->taken = OF_THE_LAST * t->taken + (double)n_taken;
    t->refused = OF_THE_LAST * t->refused + (n_taken < p->n);
}

/* --- look-up ---------------------------------------------------------------------------------- */

/* Where the last `match` tokens stood before, most recently: the place behind them, or -1. */
static int64_t seen_before(const int32_t *text, int64_t n, int64_t match) {
    for (int64_t end = n - 1; end >= match; end--) {
        if (memcmp(text + end - match, text + n - match, (size_t)match * sizeof *text) == 0)
            return end;
    }
    return -1;
}

static void look_up(fli_speculation *p, const int32_t *text, int64_t n, int64_t most) {
    for (int64_t match = p->o.lookup < n ? p->o.lookup : n - 1; match > 0; match--) {
        int64_t from = seen_before(text, n, match);
        if (from < 0) continue;
        p->trusted = match < FLI_TRUSTS ? (int)match : FLI_TRUSTS - 1;
        most = how_many(p, &p->trust[p->trusted], most);
        while (p->n < most && from < n) p->id[p->n++] = text[from++];
        return;
    }
}

/* --- a draft model ---------------------------------------------------------------------------- */

/* The draft has read the first `same` tokens of the text and nothing else. */
static int64_t draft_rewind(fl_session *s, const int32_t *text, int64_t n) {
    const int32_t *held = fl_session_tokens(s);
    int64_t same = 0, length = fl_session_length(s);
    while (same < length && same < n - 1 && held[same] == text[same]) same++;
    fl_session_rewind(s, same);
    return same;
}

/* The draft reads the end of the text, one step, and writes on. */
static fl_status draft_write(fli_speculation *p, const int32_t *text, int64_t n, uint64_t draw,
                             int64_t most, fl_err *err) {
    fl_session *s = p->o.draft;
    const float *logits;
    FL_TRY(fl_session_feed_each(s, text, n, &logits, err));
    fl_sampler_seek(p->sampler, draw);
    for (;;) {
        FL_TRY(fl_sampler_pick(p->sampler, fl_session_logits(s), &p->id[p->n++], err));
        if (p->n == most) return FL_OK;
        FL_TRY(fl_session_decode(s, p->id[p->n - 1], err));
    }
}

/* What the draft is far behind is read as a prompt, and no part of its pace. */
static fl_status draft_propose(fli_speculation *p, const int32_t *text, int64_t n, uint64_t draw,
                               int64_t most, fl_err *err) {
    enum { FEW = 4 };
    fl_session *s = p->o.draft;
    int64_t same = draft_rewind(s, text, n);
    if (n - same > FEW) {
        FL_TRY(fl_session_feed(s, text + same, n - 1 - same, err));
        same = n - 1;
    }
    const double start = fl_now();
    FL_TRY(draft_write(p, text + same, n - same, draw, most, err));
    pace_learn(&p->clock.draft, (fl_now() - start) / (double)p->n);
    return FL_OK;
}

fl_status fli_speculation_prompt(fli_speculation *p, const int32_t *text, int64_t n, fl_err *err) {
    enum { TRIES = 3 };
    fl_session *s = p->o.draft;
    if (!s || n + TRIES > fl_session_context(s)) return FL_OK;
    for (int i = 0; i < TRIES; i++) {
        FL_TRY(draft_propose(p, text, n, 0, TRIES, err));
        p->n = 0;
        fl_session_settle(s);
    }
    return FL_OK;
}

fl_status fli_speculation_make(fli_speculation *p, const int32_t *text, int64_t n, uint64_t draw,
                               int64_t most, fl_err *err) {
    const double start = fl_now();
    p->n = 0;
    p->seconds = 0;
    if (most > p->o.most) most = p->o.most;
    if (p->o.draft) {  // one of a shorter context ends earlier
        const int64_t room = fl_session_context(p->o.draft) - n;
        most = how_many(p, &p->trust[0], most < room ? most : room);
        if (most > 0) FL_TRY(draft_propose(p, text, n, draw, most, err));
    } else {
        look_up(p, text, n, most);
    }
    p->seconds = fl_now() - start;
    return FL_OK;
}
