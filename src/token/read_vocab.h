/* read_vocab.h - what readers of vocabularies in arrays share: GGUF's and SentencePiece's. */
#ifndef FL_TOKEN_READ_VOCAB_H
#define FL_TOKEN_READ_VOCAB_H

#include "token/internal.h"
#include "token/vocab.h"

/* Every token with its bytes and kind; those that are added stand for their text as it is. */
FL_MUST_USE fl_status fli_put_pieces(fl_tokenizer *t, const fl_vocab *v, fl_err *err);
/* Control, unknown and user-defined tokens are looked for in a text before all else. */
FL_MUST_USE fl_status fli_add_pieces(fl_tokenizer *t, const fl_vocab *v, fl_err *err);
FL_MUST_USE fl_status fli_take_scores(fl_tokenizer *t, const fl_vocab *v, fl_err *err);
/* SentencePiece's normalisation; the charsmap is copied. */
FL_MUST_USE fl_status fli_add_spm_step(fl_tokenizer *t, const uint8_t *charsmap, size_t n,
                                       unsigned flags, fl_err *err);
/* Spaces are written as U+2581 from here on. */
FL_MUST_USE fl_status fli_escape_spaces(fl_tokenizer *t, fl_err *err);

#endif
