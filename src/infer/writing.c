/* writing - one text being written: from logits to tokens, to text, to an end. */
#include "infer/writing.h"

#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "model/arch.h"
#include "token/tokenizer.h"

void fli_writing_finish(fli_writing *w, fl_finish why) {
    w->finished = true;
    w->r.finish = why;
}

/* ---- text ---- */

/* Where the first stop string begins in the held text, or -1. */
static int64_t stop_find(const fli_writing *w) {
    for (size_t i = 0; i < w->held.n; i++) {
        for (int k = 0; k < w->o->n_stop; k++) {
            size_t n = strlen(w->o->stop[k]);
            if (n && n <= w->held.n - i && memcmp(w->held.data + i, w->o->stop[k], n) == 0) {
                return (int64_t)i;
            }
        }
    }
    return -1;
}

/* How much of the end of the held text is the beginning of a stop string. */
static size_t stop_begun(const fli_writing *w) {
    size_t most = 0;
    for (int k = 0; k < w->o->n_stop; k++) {
        size_t n = strlen(w->o->stop[k]);
        for (size_t m = n < w->held.n ? n : w->held.n; m > most; m--) {
            if (memcmp(w->held.data + w->held.n - m, w->o->stop[k], m) == 0) most = m;
        }
    }
    return most;
}

/* Hand out the token and the first n bytes of the held text. */
static void emit(fli_writing *w, fl_generated *g, size_t n) {
    g->text = fl_text_str(&w->held);
    g->n = n;
    if (w->o->emit && !w->o->emit(w->o->ctx, g)) fli_writing_finish(w, FL_FINISH_CANCELLED);
    if (!n) return;
    memmove(w->held.data, w->held.data + n, w->held.n - n);
    w->held.n -= n;
}

/* The text of one more token; id -1 at the end. */
static fl_status text_take(fli_writing *w, fl_generated *g, fl_err *err) {
    const char *bytes = "";
    size_t n = 0;
    if (g->id < 0) fl_decoder_flush(w->decoder, &bytes, &n);
    else FL_TRY(fl_decoder_feed(w->decoder, g->id, &bytes, &n, err));
    fl_text_append(&w->held, bytes, n);
    FL_TRY(fl_text_ok(&w->held, err));
    int64_t stop = stop_find(w);
    if (stop >= 0) {
        fli_writing_finish(w, FL_FINISH_STOP);
        emit(w, g, (size_t)stop);
        w->held.n = 0;
    } else {
        emit(w, g, w->held.n - (g->id < 0 ? 0 : stop_begun(w)));
    }
    return FL_OK;
}

/* ---- tokens ---- */

static fl_status token_pick(fli_writing *w, const float *logits, fl_generated *g, fl_err *err) {
    int64_t V = w->m->config.vocab_size;
    *g = (fl_generated){0};
    FL_TRY(fl_sampler_pick(w->sampler, logits, &g->id, err));
    FL_TRY(fl_sampler_accept(w->sampler, g->id, err));
    w->r.n_generated++;
    if (w->o->want_logprobs) g->logprob = fl_logprob(logits, V, g->id);
    if (w->o->logprobs) {
        fl_logprob_top(logits, V, w->o->logprobs, w->top);
        g->top = w->top;
        g->n_top = w->o->logprobs;
    }
    return FL_OK;
}

static bool is_end(const fli_writing *w, int32_t id) {
    for (int i = 0; i < w->o->n_end; i++)
        if (w->o->end[i] == id) return true;
    return !w->o->ignore_eos && id >= 0 &&
           (fl_config_ends(&w->m->config, id) || id == fl_tokenizer_eos(w->m->tokenizer));
}

/* Only what continues the text may be picked. Where it is complete and the model has no token that
 * says so, it ends. */
static fl_status grammar_restrict(fli_writing *w, fl_err *err) {
    const uint64_t *allowed;
    bool some = false;
    FL_TRY(fl_matcher_mask(w->o->matcher, &allowed, err));
    for (int64_t i = 0; i < w->V; i += 64) some = some || allowed[i / 64];
    fl_sampler_restrict(w->sampler, allowed);
    if (some) return FL_OK;
    if (!fl_matcher_can_end(w->o->matcher)) {
        return fl_fail(err, FL_ERR_ARG,
                       "no token of the vocabulary continues the text as the grammar wants");
    }
    fli_writing_finish(w, FL_FINISH_EOS);
    return FL_OK;
}

fl_status fli_writing_next(fli_writing *w, const float *logits, int32_t *id, fl_err *err) {
    fl_generated g;
    if (w->o->matcher) FL_TRY(grammar_restrict(w, err));
    if (w->finished) return FL_OK;
    FL_TRY(token_pick(w, logits, &g, err));
    *id = g.id;
    if (is_end(w, g.id)) {
        fli_writing_finish(w, FL_FINISH_EOS);
        return FL_OK;
    }
    if (w->o->matcher) FL_TRY(fl_matcher_accept(w->o->matcher, g.id, err));
    FL_TRY(text_take(w, &g, err));
    if (w->finished) return FL_OK;
    if (w->o->max_tokens && w->r.n_generated >= w->o->max_tokens)
        fli_writing_finish(w, FL_FINISH_LENGTH);
    else if (fl_interrupted()) fli_writing_finish(w, FL_FINISH_CANCELLED);
    return FL_OK;
}

fl_status fli_writing_end(fli_writing *w, fl_err *err) {
    const fl_finish why = w->r.finish;
    if (why == FL_FINISH_STOP || why == FL_FINISH_CANCELLED) return FL_OK;
    FL_TRY(text_take(w, &(fl_generated){.id = -1}, err));
    if (w->r.finish != FL_FINISH_STOP) w->r.finish = why;
    return FL_OK;
}

/* ---- making and freeing ---- */

static fl_status check(const fl_model *m, const fl_generate_opts *o, fl_err *err) {
    if (!m->tokenizer)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no tokenizer: its folder lacks tokenizer.json");
    if (o->logprobs < 0 || o->logprobs > m->config.vocab_size) {
        return fl_fail(err, FL_ERR_ARG, "%lld alternatives a token; the vocabulary has %lld",
                       (long long)o->logprobs, (long long)m->config.vocab_size);
    }
    if (o->matcher && o->ignore_eos) {
        return fl_fail(err, FL_ERR_ARG,
                       "a text that keeps to a grammar ends with it: eos cannot be ignored");
    }
    return FL_OK;
}

static fl_status make(fli_writing *w, fl_err *err) {
    const fl_model *m = w->m;
    FL_TRY(check(m, w->o, err));
    if (w->o->matcher) FL_TRY(fl_matcher_reset(w->o->matcher, err));
    // A head padded to a round size has rows that name no token.
    const int64_t named = fl_tokenizer_size(m->tokenizer);
    w->V = named < m->config.vocab_size ? named : m->config.vocab_size;
    FL_TRY(fl_sampler_new(&w->sampler, w->V, &w->o->sampler, err));
    FL_TRY(fl_decoder_new(&w->decoder, m->tokenizer, w->o->keep_special, err));
    if (!w->o->logprobs) return FL_OK;
    w->top = fl_alloc((size_t)w->o->logprobs * sizeof *w->top);
    return w->top ? FL_OK
                  : fl_fail(err, FL_ERR_NOMEM, "%lld alternatives", (long long)w->o->logprobs);
}

fl_status fli_writing_init(fli_writing *w, const fl_model *m, const fl_generate_opts *o,
                           fl_err *err) {
    *w = (fli_writing){.m = m, .o = o};
    const fl_status st = make(w, err);
    if (st != FL_OK) fli_writing_clear(w);
    return st;
}

void fli_writing_clear(fli_writing *w) {
    fl_sampler_free(w->sampler);
    fl_decoder_free(w->decoder);
    fl_dealloc(w->top);
    fl_text_clear(&w->held);
    *w = (fli_writing){0};
}

/* The decoder has come as far as the prompt: a space that follows it belongs to the text. */
static fl_status text_begin(fli_writing *w, const int32_t *id, int64_t n, fl_err *err) {
    const char *bytes;
    size_t size;
    for (int64_t i = 0; i < n; i++) {
        if (fl_token_bytes(w->m->tokenizer, id[i], &size))
            FL_TRY(fl_decoder_feed(w->decoder, id[i], &bytes, &size, err));
    }
    fl_decoder_flush(w->decoder, &bytes, &size);
    return FL_OK;
}

fl_status fli_writing_prompt(fli_writing *w, const int32_t *id, int64_t n, fl_err *err) {
    w->r.n_prompt = n;
    for (int64_t i = 0; i < n; i++) {
        if (id[i] < w->V) FL_TRY(fl_sampler_accept(w->sampler, id[i], err));
    }
    return w->o->apart ? FL_OK : text_begin(w, id, n, err);
}
