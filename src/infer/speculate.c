/* speculate - tokens proposed ahead, by a draft model or from the text itself.
 *
 * If a proposal is taken with probability a once those before it were, a step with n of them writes
 * 1 + a + a^2 + .. a^n tokens. It costs a step without any and PRICE of one for each: between
 * 0.03 and 0.24 were measured (docs/speed.md: 8 texts in a step), and what is too dear here is only
 * gain forgone. Steps come in powers of two, so n is one less. */
#include "infer/speculate.h"

#include <string.h>

#include "base/alloc.h"

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

/* Its distribution is the model's affair: penalties need the text, and Mirostat the tokens it came
 * to. */
static fl_status draft_sampler(fli_speculation *p, fl_err *err) {
    const fl_model *d = fl_session_model(p->o.draft);
    fl_sampler_opts o = *p->o.sampler;
    o.repeat_penalty = o.frequency_penalty = o.presence_penalty = o.dry_multiplier = 0;
    o.mirostat = 0;
    o.stream ^= (uint64_t)1 << 63;
    int64_t named = fl_tokenizer_size(d->tokenizer), V = d->config.vocab_size;
    return fl_sampler_new(&p->sampler, named < V ? named : V, &o, err);
}

fl_status fli_speculation_init(fli_speculation *p, const fl_session *target,
                               const fli_speculation_opts *o, fl_err *err) {
    *p = (fli_speculation){.o = *o};
    for (int i = 0; i < FLI_TRUSTS; i++) p->trust[i] = (fli_trust){.taken = 4, .refused = 0.5};
    if (p->o.most < 1 || p->o.most > FLI_MAX_PROPOSALS) {
        return fl_fail(err, FL_ERR_ARG, "%lld proposals a step; want 1 to %d", (long long)p->o.most,
                       FLI_MAX_PROPOSALS);
    }
    if (!p->o.draft) return FL_OK;
    FL_TRY(check_draft(target, p->o.draft, err));
    return draft_sampler(p, err);
}

void fli_speculation_clear(fli_speculation *p) {
    for (int i = 0; i < FLI_MAX_PROPOSALS; i++) fl_dealloc(p->q[i]);
    fl_sampler_free(p->sampler);
    *p = (fli_speculation){0};
}

/* --- how many --------------------------------------------------------------------------------- */

static const double PRICE = 0.2, WORTH = 1.05, OF_THE_LAST = 0.8;

/* Tokens that a step with n proposals writes while one without them writes one. */
static double gain(double a, int64_t n) {
    double tokens = 1, p = 1;
    for (int64_t i = 0; i < n; i++) tokens += p *= a;
    return tokens / (1 + PRICE * (double)n);
}

static int64_t how_many(fli_trust *t, int64_t most) {
    enum { TRY_AFTER = 16 };
    const double a = t->taken / (t->taken + t->refused);
    int64_t best = 0;
    for (int64_t n = 1; n < 2 * most; n = 2 * n + 1) {
        const int64_t k = n < most ? n : most;
        if (gain(a, k) > (best ? gain(a, best) : WORTH)) best = k;
    }
    if (!best && t->passed++ == TRY_AFTER) best = 1;
    if (best) t->passed = 0;
    return best < most ? best : most;
}

void fli_speculation_learn(fli_speculation *p, int64_t n_taken) {
    fli_trust *t = &p->trust[p->trusted];
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
        most = how_many(&p->trust[p->trusted], most);
        for (; p->n < most && from < n; p->n++) {
            p->n_q[p->n] = 0;
            p->id[p->n] = text[from++];
        }
        return;
    }
}

/* --- a draft model ---------------------------------------------------------------------------- */

/* The draft reads what it has not read, at least the last token. */
static fl_status draft_read(fl_session *s, const int32_t *text, int64_t n, fl_err *err) {
    const int32_t *held = fl_session_tokens(s);
    int64_t same = 0, length = fl_session_length(s);
    while (same < length && same < n - 1 && held[same] == text[same]) same++;
    fl_session_rewind(s, same);
    return fl_session_feed(s, text + same, n - same, err);
}

static fl_status keep_candidates(fli_speculation *p, fl_err *err) {
    int64_t n, i = p->n;
    const fl_candidate *c = fl_sampler_candidates(p->sampler, &n);
    if (n > p->cap_q[i]) {
        fl_dealloc(p->q[i]);
        p->cap_q[i] = 0;
        p->q[i] = fl_alloc((size_t)n * sizeof *c);
        if (!p->q[i]) return fl_fail(err, FL_ERR_NOMEM, "a draft's candidates");
        p->cap_q[i] = n;
    }
    memcpy(p->q[i], c, (size_t)n * sizeof *c);
    p->n_q[i] = n;
    return FL_OK;
}

static fl_status draft_write(fli_speculation *p, int64_t most, fl_err *err) {
    fl_session *s = p->o.draft;
    while (p->n < most) {
        FL_TRY(fl_sampler_pick(p->sampler, fl_session_logits(s), &p->id[p->n], err));
        FL_TRY(keep_candidates(p, err));
        if (++p->n < most) FL_TRY(fl_session_decode(s, p->id[p->n - 1], err));
    }
    return FL_OK;
}

fl_status fli_speculation_make(fli_speculation *p, const int32_t *text, int64_t n, int64_t most,
                               fl_err *err) {
    p->n = 0;
    if (most > p->o.most) most = p->o.most;
    if (!p->o.draft) {
        look_up(p, text, n, most);
        return FL_OK;
    }
    int64_t room = fl_session_context(p->o.draft) - n;  // a draft of a shorter context ends earlier
    if (most > room) most = room;
    most = how_many(&p->trust[0], most);
    if (most < 1) return FL_OK;
    FL_TRY(draft_read(p->o.draft, text, n, err));
    return draft_write(p, most, err);
}
