/* speculate.h - tokens proposed ahead, so that the model can read several in one step.
 *
 * A draft model proposes what it would write itself with the same random numbers (sampler.h: the
 * race); look-up proposes what followed the last time that the text ended as it does now (Saxena
 * 2023). fl_generate has the model read the proposals and picks its own tokens; those that were
 * proposed need no step of their own. So the text is, byte for byte, the one without proposals, and
 * how many there are may go by the clock:
 *
 *     n proposals write 1 + a + a^2 + .. a^n tokens in step(n) + n draft seconds,
 *
 * a being how often one was taken lately, the seconds measured. What proposals cost beyond what
 * they gained is kept below two steps and a hundredth of the time: above it there are none, below
 * it one is tried where no n is faster than none. */
#ifndef FL_INFER_SPECULATE_H
#define FL_INFER_SPECULATE_H

#include "infer/sampler.h"
#include "infer/session.h"

enum { FLI_MAX_PROPOSALS = FL_SESSION_EACH - 1, FLI_TRUSTS = 8, FLI_STEPS = 7, FLI_PACES = 3 };

typedef struct {
    fl_session *draft;  // or NULL: look-up
    int64_t lookup;     // tokens that must be equal to look up what followed, at most
    int64_t most;       // proposals a step
    const fl_sampler_opts *sampler;
} fli_speculation_opts;

/* How often proposals were taken lately, after those before them were: each step counts less than
 * the next. */
typedef struct {
    double taken, refused;
} fli_trust;

/* Seconds that a thing takes: the median of the last few times. The first of all n times does not
 * count, because its step is planned then. */
typedef struct {
    double last[FLI_PACES], seconds;
    int64_t n;
} fli_pace;

typedef struct {
    fli_pace step[FLI_STEPS];  // of the model, with 1, 2, 4, .. 64 rows
    fli_pace draft;            // of the draft, for each proposal
    double spent, owed;        // seconds so far; those that proposals cost more than they gained
    int64_t in_a_row;          // steps with proposals since the last one without
} fli_clock;

typedef struct {
    fli_speculation_opts o;
    fl_sampler *sampler;          // of the draft
    fli_trust trust[FLI_TRUSTS];  // in the draft: [0]; in a look-up of so many equal tokens
    int trusted;                  // which of them proposed
    fli_clock clock;
    double seconds;  // that making these proposals took
    int64_t n;
    int32_t id[FLI_MAX_PROPOSALS];
} fli_speculation;

FL_MUST_USE fl_status fli_speculation_init(fli_speculation *p, const fl_session *target,
                                           const fli_speculation_opts *o, fl_err *err);
void fli_speculation_clear(fli_speculation *p);

/* The draft reads the prompt, and tries what it will do after it until its pace is known. */
FL_MUST_USE fl_status fli_speculation_prompt(fli_speculation *p, const int32_t *text, int64_t n,
                                             fl_err *err);

/* Propose tokens after a text of n > 0, the first of them for draw number `draw` of the model's
 * sampler: at most `most`, and as many as pay. */
FL_MUST_USE fl_status fli_speculation_make(fli_speculation *p, const int32_t *text, int64_t n,
                                           uint64_t draw, int64_t most, fl_err *err);

/* The first n_taken of what was proposed were taken; the next one, if any, was refused. The step
 * that read them took so many seconds. Also where nothing was proposed. */
void fli_speculation_learn(fli_speculation *p, int64_t n_taken, double seconds);

#endif
