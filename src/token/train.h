/* train.h - the two halves of training: counted words in, merges out. */
#ifndef FL_TOKEN_TRAIN_H
#define FL_TOKEN_TRAIN_H

#include "base/progress.h"
#include "token/count.h"
#include "token/internal.h"

/* Learn merges from `words` (cleared once they are copied) until `t`, which holds the 256 bytes and
 * is indexed with room enough, has `size` tokens. */
FL_MUST_USE fl_status fli_learn_merges(fl_tokenizer *t, fli_words *words, int32_t size,
                                       size_t max_token_bytes, fl_progress *progress, fl_err *err);

#endif
