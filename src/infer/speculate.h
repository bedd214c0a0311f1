/* speculate.h - tokens proposed ahead, so that the model can read several in one step.
 *
 * A draft model proposes what it would write itself; look-up proposes what followed the last time
 * that the text ended as it does now (Saxena 2023). fl_generate has the model read the proposals,
 * and fl_sampler_judge takes or refuses them one by one, so the text is distributed as without them
 * - and is the same text where a proposal was no choice: greedy, and by look-up. */
#ifndef FL_INFER_SPECULATE_H
#define FL_INFER_SPECULATE_H

#include "infer/sampler.h"
#include "infer/session.h"

enum { FLI_MAX_PROPOSALS = FL_SESSION_EACH - 1, FLI_TRUSTS = 8 };

typedef struct {
    fl_session *draft;  // or NULL: look-up
    int64_t lookup;     // tokens that must be equal to look up what followed, at most
    int64_t most;       // proposals a step
    const fl_sampler_opts *sampler;
} fli_speculation_opts;

/* How often proposals were taken lately, after those before them were: each step counts less than
 * the next. `passed` is how many times in a row it was too seldom to propose anything. */
typedef struct {
    double taken, refused;
    int64_t passed;
} fli_trust;

typedef struct {
    fli_speculation_opts o;
    fl_sampler *sampler;          // of the draft
    fli_trust trust[FLI_TRUSTS];  // in the draft: [0]; in a look-up of so many equal tokens
    int trusted;                  // which of them proposed
    int64_t n;
    int32_t id[FLI_MAX_PROPOSALS];
    fl_candidate *q[FLI_MAX_PROPOSALS];  // what each was drawn from
    int64_t n_q[FLI_MAX_PROPOSALS], cap_q[FLI_MAX_PROPOSALS];
} fli_speculation;

FL_MUST_USE fl_status fli_speculation_init(fli_speculation *p, const fl_session *target,
                                           const fli_speculation_opts *o, fl_err *err);
void fli_speculation_clear(fli_speculation *p);

/* Propose tokens after a text of n > 0: at most `most`, and as many as pay, going by how often they
 * were taken lately. None may pay; then one is tried now and then. */
FL_MUST_USE fl_status fli_speculation_make(fli_speculation *p, const int32_t *text, int64_t n,
                                           int64_t most, fl_err *err);

/* The first n_taken of what was proposed were taken; the next one, if any, was refused. */
void fli_speculation_learn(fli_speculation *p, int64_t n_taken);

#endif
