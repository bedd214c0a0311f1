/* sampler.h - which token comes next: from logits to one id.
 *
 * In the order of llama.cpp: repetition penalty (Keskar et al. 2019: a positive logit of a token
 * that was there before is divided by it, a negative one multiplied), top-k, top-p (Holtzman et al.
 * 2020), min-p, temperature, then a draw. Temperature 0 takes the largest logit after the penalty.
 * Ties go to the smaller id. Each filter is the one of transformers' logits processors.
 *
 * The draw is a function of (seed, stream, number of the draw), so the same seed gives the same
 * text. */
#ifndef FL_INFER_SAMPLER_H
#define FL_INFER_SAMPLER_H

#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero switches everything off: greedy. */
typedef struct {
    double temperature;     // 0: greedy
    int64_t top_k;          // candidates kept; 0: all
    double top_p;           // least mass kept; 0 or 1: all
    double min_p;           // least probability kept, as a part of the largest; 0: all
    double repeat_penalty;  // 0 or 1: none
    int64_t repeat_last_n;  // tokens the penalty looks back; 0: all
    uint64_t seed, stream;  // several texts of one seed: streams 0, 1, 2, ...
} fl_sampler_opts;

typedef struct fl_sampler fl_sampler;
FL_MUST_USE fl_status fl_sampler_new(fl_sampler **out, int64_t vocab_size, const fl_sampler_opts *o,
                                     fl_err *err);
void fl_sampler_free(fl_sampler *s);  // NULL is allowed

/* A token that is there now, prompt or picked: what the penalty looks at. */
FL_MUST_USE fl_status fl_sampler_accept(fl_sampler *s, int32_t id, fl_err *err);

/* The next token. Logits that are not numbers are an error. */
FL_MUST_USE fl_status fl_sampler_pick(fl_sampler *s, const float *logits, int32_t *id, fl_err *err);

/* The candidates of the last pick that was not greedy, likeliest first, with the probabilities they
 * were drawn by. */
typedef struct {
    int32_t id;
    float logit;
    double p;
} fl_candidate;
const fl_candidate *fl_sampler_candidates(const fl_sampler *s, int64_t *n);

/* ln p(id) under the model itself, before any filter; and the n likeliest ids with theirs (p is ln
 * p there). */
double fl_logprob(const float *logits, int64_t vocab_size, int32_t id);
void fl_logprob_top(const float *logits, int64_t vocab_size, int64_t n, fl_candidate *out);

#ifdef __cplusplus
}
#endif

#endif
