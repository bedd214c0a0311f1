/* generate - a prompt continued, token by token.
 *
 * Text waits in `held` between the decoder and the caller: as much of its end as could still become
 * a stop string is kept back. */
#include "infer/generate.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/progress.h"
#include "base/text.h"
#include "infer/speculate.h"
#include "token/tokenizer.h"

enum { N_PROPOSALS = 7 };  // with the token before them they fill half a step of 16

typedef struct {
    fl_session *session;
    const fl_generate_opts *o;
    fl_generate_result r;
    fl_sampler *sampler;
    const float *logits;  // after the last token
    fli_speculation ahead;
    int64_t at;         // proposal that is up, of ahead.n
    const float *each;  // logits after the token before the proposals, and after each of them
    int64_t V;          // ids that may be picked
    fl_decoder *decoder;
    fl_candidate *top;  // o->logprobs of them
    fl_text held;
    bool finished;
} run;

static const char *const finish_name[] = {"eos", "stop", "length", "context", "cancelled"};

const char *fl_finish_name(fl_finish f) {
    return finish_name[f];
}

static void finish(run *r, fl_finish why) {
    r->finished = true;
    r->r.finish = why;
}

/* ---- text ---- */

/* Where the first stop string begins in the held text, or -1. */
static int64_t stop_find(const run *r) {
    for (size_t i = 0; i < r->held.n; i++) {
        for (int k = 0; k < r->o->n_stop; k++) {
            size_t n = strlen(r->o->stop[k]);
            if (n && n <= r->held.n - i && memcmp(r->held.data + i, r->o->stop[k], n) == 0) {
                return (int64_t)i;
            }
        }
    }
    return -1;
}

/* How much of the end of the held text is the beginning of a stop string. */
static size_t stop_begun(const run *r) {
    size_t most = 0;
    for (int k = 0; k < r->o->n_stop; k++) {
        size_t n = strlen(r->o->stop[k]);
        for (size_t m = n < r->held.n ? n : r->held.n; m > most; m--) {
            if (memcmp(r->held.data + r->held.n - m, r->o->stop[k], m) == 0) most = m;
        }
    }
    return most;
}

/* Hand out the token and the first n bytes of the held text. */
static void emit(run *r, fl_generated *g, size_t n) {
    g->text = fl_text_str(&r->held);
    g->n = n;
    if (r->o->emit && !r->o->emit(r->o->ctx, g)) finish(r, FL_FINISH_CANCELLED);
    if (!n) return;
    memmove(r->held.data, r->held.data + n, r->held.n - n);
    r->held.n -= n;
}

/* The text of one more token; id -1 at the end. */
static fl_status text_take(run *r, fl_generated *g, fl_err *err) {
    const char *bytes = "";
    size_t n = 0;
    if (g->id < 0) fl_decoder_flush(r->decoder, &bytes, &n);
    else FL_TRY(fl_decoder_feed(r->decoder, g->id, &bytes, &n, err));
    fl_text_append(&r->held, bytes, n);
    FL_TRY(fl_text_ok(&r->held, err));
    int64_t stop = stop_find(r);
    if (stop >= 0) {
        finish(r, FL_FINISH_STOP);
        emit(r, g, (size_t)stop);
        r->held.n = 0;
    } else {
        emit(r, g, r->held.n - (g->id < 0 ? 0 : stop_begun(r)));
    }
    return FL_OK;
}

/* ---- tokens ---- */

static fl_status token_choose(run *r, int32_t *id, fl_err *err) {
    fli_speculation *p = &r->ahead;
    if (r->at >= p->n) return fl_sampler_pick(r->sampler, r->logits, id, err);
    return fl_sampler_judge(r->sampler, r->logits, p->id[r->at], p->q[r->at], p->n_q[r->at], id,
                            err);
}

static fl_status token_pick(run *r, fl_generated *g, fl_err *err) {
    int64_t V = fl_session_model(r->session)->config.vocab_size;
    *g = (fl_generated){0};
    FL_TRY(token_choose(r, &g->id, err));
    FL_TRY(fl_sampler_accept(r->sampler, g->id, err));
    r->r.n_generated++;
    if (r->o->want_logprobs) g->logprob = fl_logprob(r->logits, V, g->id);
    if (r->o->logprobs) {
        fl_logprob_top(r->logits, V, r->o->logprobs, r->top);
        g->top = r->top;
        g->n_top = r->o->logprobs;
    }
    return FL_OK;
}

static bool speculates(const run *r) {
    return r->o->draft || r->o->lookup;
}

/* Forget the proposals that were read and not taken. */
static void proposals_drop(run *r) {
    int64_t read = r->ahead.n - r->at;
    if (read > 0) fl_session_rewind(r->session, fl_session_length(r->session) - read);
    r->ahead.n = r->at = 0;
}

/* Read a token and, in the same step, what is proposed after it. */
static fl_status token_read_ahead(run *r, int32_t id, fl_err *err) {
    fl_session *s = r->session;
    int64_t n = fl_session_length(s), room = fl_session_context(s) - n - 1;
    int32_t step[1 + FLI_MAX_PROPOSALS] = {id};
    int32_t *text = fl_alloc((size_t)(n + 1) * sizeof *text);
    if (!text) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n + 1);
    memcpy(text, fl_session_tokens(s), (size_t)n * sizeof *text);
    text[n] = id;
    fl_status st = fli_speculation_make(&r->ahead, text, n + 1, room, err);
    fl_dealloc(text);
    if (st != FL_OK) return st;
    memcpy(step + 1, r->ahead.id, (size_t)r->ahead.n * sizeof *step);
    r->r.n_steps++;
    r->r.n_proposed += r->ahead.n;
    FL_TRY(fl_session_feed_each(s, step, 1 + r->ahead.n, &r->each, err));
    r->logits = r->each;
    return FL_OK;
}

/* Read the token just picked, making room if the context is full. A proposal is read already. */
static fl_status token_read(run *r, int32_t id, fl_err *err) {
    int64_t context = fl_session_context(r->session);
    if (r->at < r->ahead.n && r->ahead.id[r->at] == id) {
        r->at++;
        r->r.n_taken++;
        r->logits = r->each + r->at * fl_session_model(r->session)->config.vocab_size;
        return FL_OK;
    }
    proposals_drop(r);
    if (fl_session_length(r->session) == context) {
        if (!r->o->slide || context < 2) {
            finish(r, FL_FINISH_CONTEXT);
            return FL_OK;
        }
        r->r.n_slides++;
        FL_TRY(fl_session_slide(r->session, context / 2, err));
    }
    if (speculates(r)) return token_read_ahead(r, id, err);
    FL_TRY(fl_session_decode(r->session, id, err));
    r->logits = fl_session_logits(r->session);
    return FL_OK;
}

static bool is_end(const run *r, int32_t id) {
    const fl_model *m = fl_session_model(r->session);
    for (int i = 0; i < r->o->n_end; i++)
        if (r->o->end[i] == id) return true;
    return !r->o->ignore_eos &&
           (id == m->config.eos_token_id || id == fl_tokenizer_eos(m->tokenizer)) && id >= 0;
}

int fl_generate_ends(const fl_model *m, const fl_generate_opts *o, int32_t *out) {
    int n = 0;
    for (int i = 0; i < o->n_end; i++) out[n++] = o->end[i];
    if (m->config.eos_token_id >= 0) out[n++] = (int32_t)m->config.eos_token_id;
    if (fl_tokenizer_eos(m->tokenizer) >= 0) out[n++] = fl_tokenizer_eos(m->tokenizer);
    return n;
}

/* ---- the grammar ---- */

/* Only what continues the text may be picked. Where it is complete and the model has no token that
 * says so, it ends. */
static fl_status grammar_restrict(run *r, fl_err *err) {
    const uint64_t *allowed;
    bool some = false;
    FL_TRY(fl_matcher_mask(r->o->matcher, &allowed, err));
    for (int64_t i = 0; i < r->V; i += 64) some = some || allowed[i / 64];
    fl_sampler_restrict(r->sampler, allowed);
    if (some) return FL_OK;
    if (!fl_matcher_can_end(r->o->matcher)) {
        return fl_fail(err, FL_ERR_ARG,
                       "no token of the vocabulary continues the text as the grammar wants");
    }
    finish(r, FL_FINISH_EOS);
    return FL_OK;
}

/* ---- the loop ---- */

static fl_status tokens_make(run *r, fl_err *err) {
    while (!r->finished) {
        fl_generated g;
        if (r->o->matcher) FL_TRY(grammar_restrict(r, err));
        if (r->finished) break;
        FL_TRY(token_pick(r, &g, err));
        if (is_end(r, g.id)) {
            finish(r, FL_FINISH_EOS);
            break;
        }
        if (r->o->matcher) FL_TRY(fl_matcher_accept(r->o->matcher, g.id, err));
        FL_TRY(text_take(r, &g, err));
        if (r->finished) break;
        if (r->o->max_tokens && r->r.n_generated >= r->o->max_tokens) finish(r, FL_FINISH_LENGTH);
        else if (fl_interrupted()) finish(r, FL_FINISH_CANCELLED);
        else FL_TRY(token_read(r, g.id, err));
    }
    if (r->r.finish == FL_FINISH_STOP || r->r.finish == FL_FINISH_CANCELLED) return FL_OK;
    fl_finish why = r->r.finish;
    FL_TRY(text_take(r, &(fl_generated){.id = -1}, err));  // what was held back
    if (r->r.finish != FL_FINISH_STOP) r->r.finish = why;
    return FL_OK;
}

/* ---- the prompt ---- */

/* Read what the session does not hold yet; at least the last token, whose logits are wanted. */
static fl_status prompt_read(run *r, const int32_t *id, int64_t n, fl_err *err) {
    const int32_t *held = fl_session_tokens(r->session);
    int64_t same = 0, length = fl_session_length(r->session);
    while (same < length && same < n - 1 && held[same] == id[same]) same++;
    if (n > fl_session_context(r->session)) {
        return fl_fail(err, FL_ERR_ARG, "the prompt has %lld tokens; the context holds %lld",
                       (long long)n, (long long)fl_session_context(r->session));
    }
    r->r.n_prompt = n;
    r->r.n_reused = same;
    fl_session_rewind(r->session, same);
    FL_TRY(fl_session_feed(r->session, id + same, n - same, err));
    r->logits = fl_session_logits(r->session);
    for (int64_t i = 0; i < n; i++) {
        if (id[i] < r->V) FL_TRY(fl_sampler_accept(r->sampler, id[i], err));
    }
    return FL_OK;
}

static fl_status run_init(run *r, fl_err *err) {
    const fl_model *m = fl_session_model(r->session);
    if (!m->tokenizer)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no tokenizer: its folder lacks tokenizer.json");
    if (r->o->logprobs < 0 || r->o->logprobs > m->config.vocab_size) {
        return fl_fail(err, FL_ERR_ARG, "%lld alternatives a token; the vocabulary has %lld",
                       (long long)r->o->logprobs, (long long)m->config.vocab_size);
    }
    if (r->o->matcher && r->o->ignore_eos) {
        return fl_fail(err, FL_ERR_ARG,
                       "a text that keeps to a grammar ends with it: eos cannot be ignored");
    }
    if (r->o->matcher) FL_TRY(fl_matcher_reset(r->o->matcher, err));
    // A head padded to a round size has rows that name no token.
    int64_t named = fl_tokenizer_size(m->tokenizer);
    r->V = named < m->config.vocab_size ? named : m->config.vocab_size;
    FL_TRY(fl_sampler_new(&r->sampler, r->V, &r->o->sampler, err));
    if (speculates(r)) {
        fli_speculation_opts ahead = {.draft = r->o->draft,
                                      .lookup = r->o->lookup,
                                      .most = r->o->n_proposals ? r->o->n_proposals : N_PROPOSALS,
                                      .sampler = &r->o->sampler};
        FL_TRY(fli_speculation_init(&r->ahead, r->session, &ahead, err));
    }
    FL_TRY(fl_decoder_new(&r->decoder, m->tokenizer, r->o->keep_special, err));
    if (!r->o->logprobs) return FL_OK;
    r->top = fl_alloc((size_t)r->o->logprobs * sizeof *r->top);
    return r->top ? FL_OK
                  : fl_fail(err, FL_ERR_NOMEM, "%lld alternatives", (long long)r->o->logprobs);
}

fl_status fl_generate_ids(fl_session *s, const int32_t *prompt, int64_t n,
                          const fl_generate_opts *o, fl_generate_result *out, fl_err *err) {
    FL_ASSERT(n > 0);
    run r = {.session = s, .o = o};
    double start = fl_now();
    fl_status st = run_init(&r, err);
    if (st == FL_OK) st = prompt_read(&r, prompt, n, err);
    r.r.prompt_seconds = fl_now() - start;
    start = fl_now();
    if (st == FL_OK) st = tokens_make(&r, err);
    proposals_drop(&r);
    r.r.generate_seconds = fl_now() - start;
    fl_sampler_free(r.sampler);
    fli_speculation_clear(&r.ahead);
    fl_decoder_free(r.decoder);
    fl_dealloc(r.top);
    fl_text_clear(&r.held);
    if (st == FL_OK) *out = r.r;
    return st;
}

fl_status fl_generate(fl_session *s, const char *prompt, size_t n, const fl_generate_opts *o,
                      fl_generate_result *out, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(s)->tokenizer;
    if (!t)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no tokenizer: its folder lacks tokenizer.json");
    fl_ids ids = {0};
    int32_t begin = fl_tokenizer_bos(t) >= 0 ? fl_tokenizer_bos(t) : fl_tokenizer_eos(t);
    fl_status st = fl_encode(t, prompt, n,
                             &(fl_encode_opts){.add_special = true, .plain = o->plain}, &ids, err);
    const int32_t *prompt_ids = ids.n ? ids.id : &begin;
    if (st == FL_OK && !ids.n && begin < 0) {
        st = fl_fail(err, FL_ERR_ARG,
                     "an empty prompt, and the tokenizer has no token to begin a text with");
    }
    if (st == FL_OK) st = fl_generate_ids(s, prompt_ids, ids.n ? (int64_t)ids.n : 1, o, out, err);
    fl_ids_clear(&ids);
    return st;
}
