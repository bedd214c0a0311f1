/* pairs.h - prompt and completion rows for tuning: the loss is on the completion's tokens only.
 *
 * JSONL (or a .json array; .gz and .zst too), each row one of
 *   {"prompt": "...", "completion": "..."}
 *   {"instruction": "...", "input": "...", "output": "..."}   put into the Alpaca prompt
 * An example is the sequence encode(prompt, with the tokenizer's special tokens),
 * encode(completion), eos. Its pairs (token, next token) have weight 1 where the target belongs to
 * the completion or is eos, and target -1 before that. Special tokens written in the prompt are
 * recognised; in the completion too.
 *
 * Packed rows hold whole examples, longest first into the fullest row that still takes them (best
 * fit decreasing), one segment each; padded rows hold one. Rows are shuffled each pass. An example
 * longer than T + 1 tokens is an error that names its line, or is left out and counted. Nothing is
 * ever cut. */
#ifndef FL_DATA_PAIRS_H
#define FL_DATA_PAIRS_H

#include "data/batch.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *path;
    const fl_tokenizer *tokenizer;
    int64_t T;
    bool padded;         // one example a row; else packed
    bool skip_overlong;  // leave out (and count) what does not fit; else an error
    bool train_on_prompt;
    bool no_eos;  // do not end a completion with eos
} fl_pairs_opts;

typedef struct fl_pairs fl_pairs;
FL_MUST_USE fl_status fl_pairs_open(fl_pairs **out, const fl_pairs_opts *o, fl_err *err);
void fl_pairs_free(fl_pairs *p);  // NULL is allowed; after its sources
int64_t fl_pairs_n_examples(const fl_pairs *p);
int64_t fl_pairs_n_rows(const fl_pairs *p);     // in one pass
int64_t fl_pairs_n_skipped(const fl_pairs *p);  // left out for their length

/* Endless and shuffled, or (`one_pass`) each row once in stored order, then n_targets 0. Position:
 * {"row": n}. */
FL_MUST_USE fl_status fl_pairs_source_new(fl_source **out, const fl_pairs *p, uint64_t seed,
                                          bool one_pass, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
