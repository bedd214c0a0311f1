/* vocab.h - a vocabulary as plain arrays, which is how GGUF carries one; a tokenizer made from it.
 *
 *     fl_vocab v = FL_VOCAB_INIT;
 *     v.model = "gpt2", v.pre = "llama-bpe";
 *     v.token = tokens, v.n_tokens = n, v.merge = merges, v.n_merges = n_merges;
 *     if (fl_tokenizer_from_vocab(&t, &v, &err) != FL_OK) ...
 *
 * Everything is borrowed for the call only. The fields are the keys tokenizer.ggml.*, with
 * llama.cpp's meaning, defaults included: the ids are those of llama_tokenize. What a model kind
 * has no use for is ignored (merges of "llama", scores of "gpt2"). */
#ifndef FL_TOKEN_VOCAB_H
#define FL_TOKEN_VOCAB_H

#include "base/arena.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *text;  // n bytes, not NUL-terminated
    size_t n;
} fl_vocab_text;

/* A chat template beside the default one: "tool_use", "rag". */
typedef struct {
    const char *name, *source;
} fl_vocab_template;

/* A boolean key: absent means the default of the model kind. */
typedef enum { FL_UNSAID, FL_SAID_NO, FL_SAID_YES } fl_said;

typedef struct {
    const char *model;  // "gpt2", "llama", "bert", "t5"
    const char *pre;    // NULL or "": "default"
    const fl_vocab_text *token;
    const int32_t *kind;  // (n_tokens) token_type; NULL: all normal
    const float *score;   // (n_tokens) scores; NULL: all zero
    int32_t n_tokens;
    const fl_vocab_text *merge;  // "left right", by rank
    size_t n_merges;
    const uint8_t *charsmap;  // precompiled_charsmap
    size_t charsmap_bytes;
    int32_t bos, eos, unk, sep, pad, cls, mask;  // -1: absent
    fl_said add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
    const char *chat_template;  // NULL: none
    const fl_vocab_template *named;
    size_t n_named;
} fl_vocab;

#define FL_VOCAB_INIT \
    { .bos = -1, .eos = -1, .unk = -1, .sep = -1, .pad = -1, .cls = -1, .mask = -1 }

FL_MUST_USE fl_status fl_tokenizer_from_vocab(fl_tokenizer **out, const fl_vocab *v, fl_err *err);

/* The other way: what a GGUF file of this tokenizer has to say, of `n_tokens` ids (those that are
 * no token's are named and marked unused). Everything lives in `arena`, or in the tokenizer. The
 * score of a token whose vocabulary has none is its place among the merges. `pre` is NULL where
 * llama.cpp has no name for the pattern. */
FL_MUST_USE fl_status fl_tokenizer_to_vocab(const fl_tokenizer *t, int32_t n_tokens,
                                            fl_arena *arena, fl_vocab *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
