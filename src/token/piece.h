/* piece.h - how one piece of text becomes ids: the kinds of model, one row each.
 *
 * A vocabulary that writes a space as U+2581 (SentencePiece's) has spaces in here: U+2581 becomes a
 * space on the way in, in tokens as in text, so a token's bytes are the text it stands for. */
#ifndef FL_TOKEN_PIECE_H
#define FL_TOKEN_PIECE_H

#include "token/tokenizer.h"

/* Working memory of one thread, kept between pieces. */
typedef struct {
    void *data;
    size_t bytes;
} fli_scratch;
FL_MUST_USE bool fli_scratch_need(fli_scratch *s, size_t bytes);

/* s[0..n) to id[0..], which has room for n ids (and 4 more); n > 0. */
typedef fl_status fli_piece_fn(const fl_tokenizer *t, const uint8_t *s, size_t n,
                               fli_scratch *scratch, int32_t *id, size_t *n_ids, fl_err *err);

typedef struct {
    const char *hf;    // model.type of tokenizer.json
    const char *gguf;  // tokenizer.ggml.model
    fli_piece_fn *encode;
    bool bytes;      // the text of a token is bytes in GPT-2's printable alphabet
    bool by_prefix;  // tokens are found by prefix (t->lexicon)
} fli_model_kind;

extern const fli_model_kind fli_byte_bpe;   // merges of bytes
extern const fli_model_kind fli_char_bpe;   // merges of characters, bytes for those it has not
extern const fli_model_kind fli_unigram;    // the most probable cut (Kudo 2018)
extern const fli_model_kind fli_wordpiece;  // longest token first (Schuster and Nakajima 2012)

/* What stands for s[0..n), which is in no token: its bytes if all are tokens, else unknown. */
FL_MUST_USE fl_status fli_fall_back(const fl_tokenizer *t, const uint8_t *s, size_t n, int32_t *id,
                                    size_t *n_ids, fl_err *err);

#endif
