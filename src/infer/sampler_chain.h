/* sampler_chain.h - the inside of a sampler: its candidates, and the rows its chain is made of.
 *
 * A row changes the candidates in place. Adding a sampler is a function and a row in
 * sampler_chain.c, and rows of sampler_options.def for its numbers. */
#ifndef FL_INFER_SAMPLER_CHAIN_H
#define FL_INFER_SAMPLER_CHAIN_H

#include <stdbool.h>

#include "base/rng.h"
#include "infer/sampler.h"

enum { FLI_MAX_CHAIN = 16 };

typedef struct {
    int64_t n;
    int64_t n_best;  // the first so many are the likeliest, in order
    int32_t *id;     // V
    float *logit;    // V
} fli_candidates;

typedef struct {
    const char *name;   // as --samplers says it
    const char *alias;  // or so
    bool (*active)(const fl_sampler_opts *o);
    void (*apply)(fl_sampler *s);
    int64_t (*keeps)(const fl_sampler_opts *o);  // so many of the likeliest; 0, NULL: others
} fli_sampler;

typedef struct fli_dry fli_dry;  // sampler_dry.c

struct fl_sampler {
    fl_sampler_opts opts;  // with the defaults filled in
    int64_t V;
    const fli_sampler *chain[FLI_MAX_CHAIN];
    int n_chain;
    fl_logit_bias *bias;
    const uint64_t *allowed;
    fl_rng rng, xtc;   // of one pick they have one number
    int32_t *history;  // every token accepted
    int64_t n_history, cap;
    uint32_t *times;  // each id stands in the last repeat_last_n of them, V
    fli_dry *dry;     // NULL: not in the chain
    double mu;        // of Mirostat, bits
    fli_candidates c;
    fl_candidate *scratch;  // V; after a pick the candidates with their probabilities
    bool scratch_in_order;
};

/* Fill the chain from opts.samplers, or Mirostat's. */
FL_MUST_USE fl_status fli_chain_make(fl_sampler *s, fl_err *err);

/* Make the first k candidates (of n >= k) the likeliest, in order. */
void fli_best(fl_sampler *s, int64_t k);

/* Order n candidates, likeliest first. */
void fli_sort(fl_candidate *c, int64_t n);

FL_MUST_USE fl_status fli_dry_new(fli_dry **out, int64_t V, const fl_sampler_opts *o, fl_err *err);
/* Room for a history of n tokens. */
FL_MUST_USE fl_status fli_dry_reserve(fli_dry *d, int64_t n, fl_err *err);
void fli_dry_free(fli_dry *d);
void fli_dry_apply(fl_sampler *s);

#endif
