/* generate - a prompt continued by a session, token by token, with proposals ahead. */
#include "infer/generate.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/progress.h"
#include "infer/speculate.h"
#include "infer/writing.h"
#include "token/tokenizer.h"

enum { N_PROPOSALS = 7 };  // with the token before them they fill a step of 8

typedef struct {
    fl_session *session;
    const fl_generate_opts *o;
    fli_writing w;
    const float *logits;  // after the last token
    fli_speculation ahead;
    int64_t at;         // proposal that is up, of ahead.n
    double step;        // seconds that reading them took
    const float *each;  // logits after the token before the proposals, and after each of them
} run;

static const char *const finish_name[] = {"eos", "stop", "length", "context", "cancelled"};

const char *fl_finish_name(fl_finish f) {
    return finish_name[f];
}

/* ---- tokens ---- */

static bool speculates(const run *r) {
    return r->o->draft || r->o->lookup;
}

/* Forget the proposals that were read and not taken. */
static void proposals_drop(run *r) {
    int64_t read = r->ahead.n - r->at;
    if (r->step > 0) fli_speculation_learn(&r->ahead, r->at, r->step);
    if (read > 0) fl_session_rewind(r->session, fl_session_length(r->session) - read);
    r->ahead.n = r->at = 0;
    r->step = 0;
}

/* Tokens that may be proposed now: as many as may still be written after the next one. */
static int64_t most_ahead(const run *r) {
    const fl_session *s = r->session;
    const int64_t room = fl_session_context(s) - fl_session_length(s) - 1;
    const int64_t left = r->o->max_tokens - r->w.r.n_generated - 1;
    return r->o->max_tokens && left < room ? left : room;
}

/* Read a token and, in the same step, what is proposed after it. */
static fl_status token_read_ahead(run *r, int32_t id, fl_err *err) {
    fl_session *s = r->session;
    const int64_t n = fl_session_length(s);
    int32_t step[1 + FLI_MAX_PROPOSALS] = {id};
    int32_t *text = fl_alloc((size_t)(n + 1) * sizeof *text);
    if (!text) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n + 1);
    memcpy(text, fl_session_tokens(s), (size_t)n * sizeof *text);
    text[n] = id;
    fl_status st = fli_speculation_make(&r->ahead, text, n + 1, fl_sampler_draws(r->w.sampler),
                                        most_ahead(r), err);
    fl_dealloc(text);
    if (st != FL_OK) return st;
    memcpy(step + 1, r->ahead.id, (size_t)r->ahead.n * sizeof *step);
    r->w.r.n_steps++;
    r->w.r.n_proposed += r->ahead.n;
    const double start = fl_now();
    FL_TRY(fl_session_feed_each(s, step, 1 + r->ahead.n, &r->each, err));
    r->step = fl_now() - start;
    r->logits = r->each;
    return FL_OK;
}

int64_t fli_generate_dropped(const fl_generate_opts *o, int64_t n_prompt, int64_t length) {
    int64_t keep = o->keep < 0 ? n_prompt : o->keep;
    return keep < length - 1 ? (length - keep + 1) / 2 : 0;
}

/* Make room in a full context, or end there. */
static fl_status context_shift(run *r, fl_err *err) {
    const int64_t length = fl_session_length(r->session), n_prompt = r->w.r.n_prompt;
    const int64_t drop = r->o->shift ? fli_generate_dropped(r->o, n_prompt, length) : 0;
    if (!drop) {
        fli_writing_finish(&r->w, FL_FINISH_CONTEXT);
        return FL_OK;
    }
    r->w.r.n_shifts++;
    return fl_session_shift(r->session, r->o->keep < 0 ? n_prompt : r->o->keep, drop, err);
}

/* Read the token just picked, making room if the context is full. A proposal is read already. */
static fl_status token_read(run *r, int32_t id, fl_err *err) {
    if (r->at < r->ahead.n && r->ahead.id[r->at] == id) {
        r->at++;
        r->w.r.n_taken++;
        r->logits = r->each + r->at * fl_session_model(r->session)->config.vocab_size;
        return FL_OK;
    }
    proposals_drop(r);
    if (fl_session_length(r->session) == fl_session_context(r->session))
        FL_TRY(context_shift(r, err));
    if (r->w.finished) return FL_OK;
    if (speculates(r)) return token_read_ahead(r, id, err);
    FL_TRY(fl_session_decode(r->session, id, err));
    r->logits = fl_session_logits(r->session);
    return FL_OK;
}

int fl_generate_ends(const fl_model *m, const fl_generate_opts *o, int32_t *out) {
    int n = 0;
    for (int i = 0; i < o->n_end; i++) out[n++] = o->end[i];
    for (int i = 0; i < m->config.n_more_ends; i++) out[n++] = m->config.more_ends[i];
    if (m->config.eos_token_id >= 0) out[n++] = m->config.eos_token_id;
    if (fl_tokenizer_eos(m->tokenizer) >= 0) out[n++] = fl_tokenizer_eos(m->tokenizer);
    return n;
}

static fl_status tokens_make(run *r, fl_err *err) {
    while (!r->w.finished) {
        int32_t id = -1;
        FL_TRY(fli_writing_next(&r->w, r->logits, &id, err));
        if (!r->w.finished) FL_TRY(token_read(r, id, err));
    }
    return fli_writing_end(&r->w, err);
}

/* ---- the prompt ---- */

fl_status fli_generate_check_prompt(int64_t n, int64_t context, fl_err *err) {
    if (n <= context) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "the prompt has %lld tokens; the context holds %lld",
                   (long long)n, (long long)context);
}

/* Read what the session does not hold yet; at least the last token, whose logits are wanted. */
static fl_status prompt_read(run *r, const int32_t *id, int64_t n, fl_err *err) {
    const int32_t *held = fl_session_tokens(r->session);
    int64_t same = 0, length = fl_session_length(r->session);
    while (same < length && same < n - 1 && held[same] == id[same]) same++;
    FL_TRY(fli_generate_check_prompt(n, fl_session_context(r->session), err));
    r->w.r.n_reused = same;
    fl_session_rewind(r->session, same);
    FL_TRY(fl_session_feed(r->session, id + same, n - same, err));
    r->logits = fl_session_logits(r->session);
    if (speculates(r)) FL_TRY(fli_speculation_prompt(&r->ahead, id, n, err));
    return fli_writing_prompt(&r->w, id, n, err);
}

static fl_status run_init(run *r, fl_err *err) {
    FL_TRY(fli_writing_init(&r->w, fl_session_model(r->session), r->o, err));
    if (!speculates(r)) return FL_OK;
    fli_speculation_opts ahead = {.draft = r->o->draft,
                                  .lookup = r->o->lookup,
                                  .most = r->o->n_proposals ? r->o->n_proposals : N_PROPOSALS,
                                  .sampler = &r->o->sampler};
    return fli_speculation_init(&r->ahead, r->session, &ahead, err);
}

fl_status fl_generate_ids(fl_session *s, const int32_t *prompt, int64_t n,
                          const fl_generate_opts *o, fl_generate_result *out, fl_err *err) {
    FL_ASSERT(n > 0);
    run r = {.session = s, .o = o};
    double start = fl_now();
    fl_status st = run_init(&r, err);
    if (st == FL_OK) st = prompt_read(&r, prompt, n, err);
    r.w.r.prompt_seconds = fl_now() - start;
    start = fl_now();
    if (st == FL_OK) st = tokens_make(&r, err);
    proposals_drop(&r);
    r.w.r.generate_seconds = fl_now() - start;
    if (st == FL_OK) *out = r.w.r;
    fli_speculation_clear(&r.ahead);
    fli_writing_clear(&r.w);
    return st;
}

fl_status fl_generate_prompt(const fl_model *m, const char *prompt, size_t n, bool plain,
                             fl_ids *out, fl_err *err) {
    const fl_tokenizer *t = m->tokenizer;
    if (!t)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no tokenizer: its folder lacks tokenizer.json");
    const fl_encode_opts o = {.add_special = true, .plain = plain};
    const int32_t begin = fl_tokenizer_bos(t) >= 0 ? fl_tokenizer_bos(t) : fl_tokenizer_eos(t);
    FL_TRY(fl_encode(t, prompt, n, &o, out, err));
    if (out->n) return FL_OK;
    if (begin < 0) {
        return fl_fail(err, FL_ERR_ARG,
                       "an empty prompt, and the tokenizer has no token to begin a text with");
    }
    return fl_ids_add(out, begin, err);
}

fl_status fl_generate(fl_session *s, const char *prompt, size_t n, const fl_generate_opts *o,
                      fl_generate_result *out, fl_err *err) {
    fl_ids ids = {0};
    fl_status st = fl_generate_prompt(fl_session_model(s), prompt, n, o->plain, &ids, err);
    if (st == FL_OK) st = fl_generate_ids(s, ids.id, (int64_t)ids.n, o, out, err);
    fl_ids_clear(&ids);
    return st;
}
