/* generate.h - a prompt continued, token by token.
 *
 *     fl_generate_opts o = {.max_tokens = 100,
 *                           .sampler = {.temperature = 0.8, .top_k = 40}, .emit = show};
 *     fl_generate_result r;
 *     fl_generate(session, "Once upon a time", 16, &o, &r, &err);
 *
 * What the session already holds of the prompt is not read again, so several texts from one prompt,
 * or a conversation that grows, cost only what is new. */
#ifndef FL_INFER_GENERATE_H
#define FL_INFER_GENERATE_H

#include "infer/grammar.h"
#include "infer/sampler.h"
#include "infer/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One token and the text that may be shown now. The text lags behind the token while a character is
 * incomplete or a stop string may have begun; it comes with a later token, or with the last call,
 * whose id is -1. */
typedef struct {
    const char *text;  // not NUL-terminated; valid during the call
    size_t n;
    int32_t id;
    double logprob;           // ln p(id) under the model, before any filter
    const fl_candidate *top;  // the likeliest `logprobs` tokens, p is ln p
    int64_t n_top;
} fl_generated;

typedef struct {
    int64_t max_tokens;  // 0: until something else stops it
    fl_sampler_opts sampler;
    const char *const *stop;  // the text ends before the first of these
    int n_stop;
    const int32_t *end;  // tokens that end it besides those the model names; not shown
    int n_end;
    // Proposals ahead (speculate.h): by a draft model of the same tokenizer, or by look-up of at
    // most so many equal tokens, 0 for neither; at most so many a step, 0: 7.
    fl_session *draft;
    int64_t lookup, n_proposals;
    fl_matcher *matcher;  // the text keeps to its grammar; NULL: to none. Reset first
    int64_t logprobs;     // alternatives to give for each token; 0 with want_logprobs unset: none
    bool want_logprobs;
    bool ignore_eos;
    bool shift;         // context full: forget the older half and go on, instead of stopping
    int64_t keep;       // tokens at the beginning that are never forgotten; -1: the prompt
    bool keep_special;  // show special tokens
    bool apart;         // the text is no continuation but an answer: it begins without the space
                        // that SentencePiece puts before words
    bool plain;         // special tokens written in the prompt are ordinary text
    bool (*emit)(void *ctx, const fl_generated *g);  // false stops; may be NULL
    void *ctx;
} fl_generate_opts;

typedef enum {
    FL_FINISH_EOS,
    FL_FINISH_STOP,
    FL_FINISH_LENGTH,
    FL_FINISH_CONTEXT,
    FL_FINISH_CANCELLED
} fl_finish;
const char *fl_finish_name(fl_finish f);  // "eos", "stop", "length", "context", "cancelled"

typedef struct {
    fl_finish finish;
    int64_t n_prompt, n_reused;  // tokens of the prompt; of those, already in the session
    int64_t n_generated;         // eos and the tokens of a stop string included
    int64_t n_shifts;
    int64_t n_steps, n_proposed,
        n_taken;  // of speculation: reads by the model, proposals, those taken
    double prompt_seconds, generate_seconds;
} fl_generate_result;

enum { FL_GENERATE_ENDS = FL_MORE_ENDS + 2 };

/* The tokens that end a text: the model's own, and o->end. `out` has room for o->n_end +
 * FL_GENERATE_ENDS; how many. What the trie of a matcher is made with. */
int fl_generate_ends(const fl_model *m, const fl_generate_opts *o, int32_t *out);

/* Continue a text. An empty prompt starts from the tokenizer's bos, or its eos where that is what
 * parts documents. */
FL_MUST_USE fl_status fl_generate(fl_session *s, const char *prompt, size_t n,
                                  const fl_generate_opts *o, fl_generate_result *out, fl_err *err);

/* What fl_generate reads of a prompt: its tokens, special ones as text if `plain`; at least one. */
FL_MUST_USE fl_status fl_generate_prompt(const fl_model *m, const char *prompt, size_t n,
                                         bool plain, fl_ids *out, fl_err *err);

/* The same from tokens; n > 0. */
FL_MUST_USE fl_status fl_generate_ids(fl_session *s, const int32_t *prompt, int64_t n,
                                      const fl_generate_opts *o, fl_generate_result *out,
                                      fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
