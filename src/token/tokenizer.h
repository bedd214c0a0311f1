/* tokenizer.h - text to token ids and back.
 *
 *     fl_tokenizer *t;
 *     if (fl_tokenizer_load(&t, "models/gpt2", &err) != FL_OK) ...
 *     fl_ids ids = {0};
 *     fl_encode(t, text, n, &(fl_encode_opts){.add_special = true}, &ids, &err);
 *
 * Byte-level BPE (Sennrich et al. 2016, over bytes as in GPT-2): a pre-tokenizer splits the text,
 * each piece's bytes are merged by rank. A tokenizer is immutable after loading; any number of
 * threads may use it, each with its own fl_encoder (which holds the cache). decode(encode(x)) == x
 * for all bytes. */
#ifndef FL_TOKEN_TOKENIZER_H
#define FL_TOKEN_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/progress.h"
#include "base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_tokenizer fl_tokenizer;
typedef struct fl_encoder fl_encoder;  // one thread's working memory
typedef struct fl_decoder fl_decoder;  // one stream being decoded

typedef struct {
    int32_t *id;
    size_t n, cap;
} fl_ids;  // zero is empty
void fl_ids_clear(fl_ids *ids);
FL_MUST_USE fl_status fl_ids_add(fl_ids *ids, int32_t id, fl_err *err);

/* A folder with tokenizer.json (or tokenizer.model, tekken.json, or vocab.json + merges.txt), or
 * one of these files; any .json, SentencePiece .model or .tiktoken file. */
FL_MUST_USE fl_status fl_tokenizer_load(fl_tokenizer **out, const char *path, fl_err *err);
/* Writes tokenizer.json and tokenizer_config.json, which transformers opens. */
FL_MUST_USE fl_status fl_tokenizer_save(const fl_tokenizer *t, const char *dir, fl_err *err);
void fl_tokenizer_free(fl_tokenizer *t);

int32_t fl_tokenizer_size(const fl_tokenizer *t);  // ids are below this
/* Of an added token by its text, -1 if there is none. */
int32_t fl_tokenizer_id(const fl_tokenizer *t, const char *special);
int32_t fl_tokenizer_bos(const fl_tokenizer *t);  // -1: none
int32_t fl_tokenizer_eos(const fl_tokenizer *t);
bool fl_tokenizer_is_special(const fl_tokenizer *t, int32_t id);
const uint8_t *fl_token_bytes(const fl_tokenizer *t, int32_t id, size_t *n);  // NULL: no such token
void fl_tokenizer_hash(const fl_tokenizer *t, char out[33]);  // identity, for manifests

/* A .tiktoken file that is none of the published ones: its pattern (NULL: known by its size) is not
 * in it. */
FL_MUST_USE fl_status fl_tokenizer_load_tiktoken(fl_tokenizer **out, const char *path,
                                                 const char *pattern, fl_err *err);

/* What writers of other formats need. The kinds are GGUF's tokenizer.ggml.token_type. */
typedef enum {
    FL_TOKEN_NORMAL = 1,
    FL_TOKEN_UNKNOWN = 2,  // what stands for text that the vocabulary cannot say
    FL_TOKEN_CONTROL = 3,
    FL_TOKEN_USER = 4,
    FL_TOKEN_UNUSED = 5,
    FL_TOKEN_BYTE = 6  // one byte, where characters are otherwise the least
} fl_token_kind;
fl_token_kind fl_tokenizer_kind(const fl_tokenizer *t, int32_t id);
/* Appends the token as vocabularies write it: bytes in GPT-2's printable alphabet, added tokens as
 * they are. */
void fl_token_text(const fl_tokenizer *t, int32_t id, fl_text *out);
size_t fl_tokenizer_n_merges(const fl_tokenizer *t);
void fl_tokenizer_merge(const fl_tokenizer *t, size_t i, int32_t *left, int32_t *right);  // by rank
/* A name as in fl_bpe_opts.pattern, or a regular expression; NULL: several stages or none. */
const char *fl_tokenizer_pattern(const fl_tokenizer *t);
/* The kind of model, as tokenizer.ggml.model has it: "gpt2", "llama", "t5", "bert". */
const char *fl_tokenizer_gguf_model(const fl_tokenizer *t);
/* What llama.cpp calls it (tokenizer.ggml.pre); NULL: it has no name for it. */
const char *fl_tokenizer_llama_cpp_pre(const fl_tokenizer *t);
bool fl_tokenizer_adds_bos(const fl_tokenizer *t);  // add_special puts bos before a text
bool fl_tokenizer_adds_eos(const fl_tokenizer *t);
const char *fl_tokenizer_chat_template(const fl_tokenizer *t);  // NULL: none

typedef struct {
    bool add_special;   // bos / template around the text, as tokenizer.json says
    bool plain;         // special tokens in the text are ordinary text (untrusted input)
    const size_t *bar;  // ascending places in the text; no special token is read across one
    size_t n_bars;
} fl_encode_opts;

FL_MUST_USE fl_status fl_encoder_new(fl_encoder **out, const fl_tokenizer *t, fl_err *err);
void fl_encoder_free(fl_encoder *e);
/* Append the ids of text[0..n) to `out`. Any bytes are allowed, NUL and invalid UTF-8 too. */
FL_MUST_USE fl_status fl_encoder_encode(fl_encoder *e, const char *text, size_t n,
                                        const fl_encode_opts *o, fl_ids *out, fl_err *err);
FL_MUST_USE fl_status fl_encode(const fl_tokenizer *t, const char *text, size_t n,
                                const fl_encode_opts *o, fl_ids *out, fl_err *err);

/* Streaming: bytes come out as soon as they end no character in the middle; the rest waits. */
FL_MUST_USE fl_status fl_decoder_new(fl_decoder **out, const fl_tokenizer *t, bool keep_special,
                                     fl_err *err);
void fl_decoder_free(fl_decoder *d);
FL_MUST_USE fl_status fl_decoder_feed(fl_decoder *d, int32_t id, const char **bytes, size_t *n,
                                      fl_err *err);  // valid until the next call
void fl_decoder_flush(fl_decoder *d, const char **bytes, size_t *n);
FL_MUST_USE fl_status fl_decode(const fl_tokenizer *t, const int32_t *id, size_t n_ids,
                                bool keep_special, char **text, size_t *n, fl_err *err);

/* Training. Feed text piece by piece (documents are kept apart), then finish. Memory is bounded by
 * the number of different pre-tokens, not by the text. Counts are exact; ties are broken as HF
 * tokenizers does. */
typedef struct {
    int32_t vocab_size;   // wanted, specials included
    const char *pattern;  // "gpt2", "cl100k", "llama3", "qwen2", "nanochat", "o200k" or a PCRE2
                          // pattern; NULL: "qwen2", which llama.cpp knows
    bool nfc;             // normalise to NFC first
    const char *const *special;  // texts, in id order after the merges; NULL: {"<|endoftext|>"}
    int n_special;
    const char *eos, *bos;   // among the specials; NULL: "<|endoftext|>" and none
    size_t max_token_bytes;  // 0: no limit
    struct fl_pool *pool;    // NULL: one thread
} fl_bpe_opts;
typedef struct fl_bpe_trainer fl_bpe_trainer;
FL_MUST_USE fl_status fl_bpe_trainer_new(fl_bpe_trainer **out, const fl_bpe_opts *o, fl_err *err);
FL_MUST_USE fl_status fl_bpe_trainer_feed(fl_bpe_trainer *t, const char *text, size_t n,
                                          fl_err *err);
FL_MUST_USE fl_status fl_bpe_trainer_finish(fl_bpe_trainer *t, fl_tokenizer **out,
                                            fl_progress *progress, fl_err *err);
void fl_bpe_trainer_free(fl_bpe_trainer *t);

#ifdef __cplusplus
}
#endif

#endif
