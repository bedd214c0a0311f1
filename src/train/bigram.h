/* bigram.h - the floor a language model must beat: counts of token pairs.
 *
 * p(w | h) = (c(h,w) + n(h) p(w)) / (c(h) + n(h)), with n(h) the number of different tokens seen
 * after h and p(w) = (c(w) + 1) / (c + V): Witten and Bell, "The zero-frequency problem", IEEE
 * Trans. IT 37(4), 1991. */
#ifndef FL_TRAIN_BIGRAM_H
#define FL_TRAIN_BIGRAM_H

#include "data/batch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    double nll;  // nats per target
    double bits_per_byte;
    double n_targets, n_bytes;
} fl_bigram_score;

/* Count one pass of `train`, then score one pass of `val`; both sources are read from where they
 * stand until they are exhausted or, for an endless source, until one pass of tokens has gone
 * by. */
FL_MUST_USE fl_status fl_bigram_measure(fl_source *train, fl_source *val, int64_t vocab_size,
                                        int64_t seq_len, fl_bigram_score *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
