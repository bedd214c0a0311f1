/* sampler.h - which token comes next: from logits to one id.
 *
 *     fl_sampler *s;
 *     fl_sampler_new(&s, V, &(fl_sampler_opts){.temperature = 0.8, .top_k = 40, .seed = 1}, &err);
 *     fl_sampler_accept(s, id, &err);             // each token of the prompt
 *     fl_sampler_pick(s, logits, &id, &err);      // the next one
 *
 * A chain of samplers, each of which changes logits or drops candidates, then a draw from what is
 * left. The chain, its order and its definitions are llama.cpp's:
 *
 *   penalties    a positive logit of a token that was there is divided by repeat_penalty, a
 * negative one multiplied (Keskar et al. 2019); then count * frequency_penalty and presence_penalty
 *                are taken away
 *   dry          a token that would continue a repetition of n >= allowed_length tokens loses
 *                multiplier * base^(n - allowed_length); repetitions do not reach across a breaker
 *   top_n_sigma  logits within n standard deviations of the largest (Tang et al. 2024)
 *   top_k        the k likeliest
 *   typ_p        those whose surprise is nearest to the entropy, until they have the mass (Meister
 * et al. 2022) top_p        the likeliest until they have the mass (Holtzman et al. 2020) min_p
 * those with this part of the likeliest's probability (Nguyen et al. 2024) xtc          at this
 * chance, drop all that reach the threshold but the least likely of them temperature  logits / T;
 * with a range, T is (T - range) to (T + range) by (entropy / largest entropy)^exponent
 *
 * Mirostat (Basu et al. 2021) is a chain of its own: temperature, then as many of the likeliest as
 * hold the surprise of the text at tau bits. Logit biases come before all of it. Temperature 0
 * keeps the likeliest candidate. Ties go to the smaller id.
 *
 * The draw is a race: every candidate gets a time -ln(u) / p, with its own u of (seed, stream,
 * number of the draw, id), and the first one is picked, which is the Gumbel-max trick. So the same
 * seed gives the same text, and two samplers of one seed that look at like distributions nearly
 * always pick the same token - at least (1 - d) / (1 + d) of the time where they are d apart in
 * total variation (Daliri, Musco, Suresh 2024) - which is what a draft model proposes by. */
#ifndef FL_INFER_SAMPLER_H
#define FL_INFER_SAMPLER_H

#include <stdint.h>

#include "base/err.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Added to the logit of a token; -INFINITY forbids it. */
typedef struct {
    int32_t id;
    float bias;
} fl_logit_bias;

/* Zero switches everything off: greedy. */
typedef struct {
    double temperature;                        // 0: greedy
    double dynatemp_range, dynatemp_exponent;  // exponent 0: 1
    int64_t top_k;                             // candidates kept; 0: all
    double top_p;                              // least mass kept; 0 or 1: all
    double min_p;        // least probability kept, as a part of the largest; 0: all
    double typical_p;    // 0 or 1: all
    double top_n_sigma;  // 0: all
    double xtc_probability, xtc_threshold;  // probability 0: never; threshold 0: 0.1
    double repeat_penalty;                  // 0 or 1: none
    double frequency_penalty, presence_penalty;
    int64_t repeat_last_n;                   // tokens the penalties look back; 0: all, -1: none
    double dry_multiplier, dry_base;         // multiplier 0: none; base 0: 1.75
    int64_t dry_allowed_length, dry_last_n;  // length 0: 2; last_n 0: all, -1: none
    const char *const *dry_breakers;         // texts; needs the tokenizer
    int n_dry_breakers;
    const fl_tokenizer *tokenizer;      // read while making the sampler only
    int64_t mirostat;                   // 0: no, or its version, 1 or 2
    double mirostat_tau, mirostat_eta;  // 0: 5 and 0.1
    const fl_logit_bias *logit_bias;    // copied
    int64_t n_logit_bias;
    const char *samplers;   // "top_k;top_p;temperature": the chain; NULL: all in the order above
    uint64_t seed, stream;  // several texts of one seed: streams 0, 1, 2, ...
} fl_sampler_opts;

extern const char *const fl_dry_breakers[];  // llama.cpp's: newline, colon, quote, star
enum { FL_N_DRY_BREAKERS = 4 };

typedef struct fl_sampler fl_sampler;
FL_MUST_USE fl_status fl_sampler_new(fl_sampler **out, int64_t vocab_size, const fl_sampler_opts *o,
                                     fl_err *err);
void fl_sampler_free(fl_sampler *s);  // NULL is allowed

/* A token that is there now, prompt or picked: what the penalties look at. */
FL_MUST_USE fl_status fl_sampler_accept(fl_sampler *s, int32_t id, fl_err *err);

/* From now on only ids whose bit is set in `allowed` (V bits, the lowest first) may be picked;
 * NULL: all. Kept by the caller. */
void fl_sampler_restrict(fl_sampler *s, const uint64_t *allowed);

/* The next token. Logits that are not numbers are an error. */
FL_MUST_USE fl_status fl_sampler_pick(fl_sampler *s, const float *logits, int32_t *id, fl_err *err);

/* Picks that were made, which is the number of the next draw; and another number for it. */
uint64_t fl_sampler_draws(const fl_sampler *s);
void fl_sampler_seek(fl_sampler *s, uint64_t draw);

/* The candidates of the last pick, likeliest first, with the probabilities they were drawn by.
 * Valid until the next one. */
typedef struct fl_candidate {
    int32_t id;
    float logit;
    double p;
} fl_candidate;
const fl_candidate *fl_sampler_candidates(fl_sampler *s, int64_t *n);

/* ln p(id) under the model itself, before any filter; and the n likeliest ids with theirs (p is ln
 * p there). */
double fl_logprob(const float *logits, int64_t vocab_size, int32_t id);
void fl_logprob_top(const float *logits, int64_t vocab_size, int64_t n, fl_candidate *out);

#ifdef __cplusplus
}
#endif

#endif
