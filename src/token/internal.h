/* internal.h - what the files of token/ share: the tokenizer itself and the parts it is made of. */
#ifndef FL_TOKEN_INTERNAL_H
#define FL_TOKEN_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "token/merge.h"
#include "token/split.h"
#include "token/tokenizer.h"

/* The bytes of one token. */
typedef struct {
    const uint8_t *bytes;
    uint32_t n;
    uint8_t kind;  // fl_token_kind
} fli_token;

/* An added token: matched in the text before anything else looks at it. */
typedef struct {
    int32_t id;
    bool special;     // dropped by decoders on request
    bool normalized;  // looked for after normalisation, not before
} fli_added;

/* A trie over the bytes of added tokens: node 0 is the root; siblings are a list. */
typedef struct {
    int32_t child, sibling;  // -1: none
    int32_t added;           // index of the added token that ends here, -1: none
    uint8_t byte;
} fli_trie_node;

typedef struct {
    fli_trie_node *node;
    size_t n, cap;
    bool starts[256];  // bytes that begin an added token
    int n_starts;
    uint8_t only_start;  // the one byte, where n_starts == 1
} fli_trie;

enum { FLI_TEMPLATE_MAX = 16 };

struct fl_tokenizer {
    fl_arena arena;  // bytes of the tokens, the tables below
    fli_token *token;
    int32_t n, cap;
    int32_t byte_id[256];  // -1: the vocabulary lacks this byte

    int32_t *by_bytes;  // open addressing over token[].bytes, -1: empty
    size_t by_bytes_mask;

    fli_merges merges;
    bool ignore_merges;  // a piece that is a token is that token, whatever the merges say

    fli_splitter split;
    bool nfc;
    bool byte_level;  // a part of tokenizer.json said so

    fli_added *added;
    int32_t n_added, cap_added;
    fli_trie trie[2];  // [normalized]

    int32_t before[FLI_TEMPLATE_MAX], after[FLI_TEMPLATE_MAX];  // what add_special puts around
    int n_before, n_after;
    int32_t bos, eos;
    char *pre;  // in the arena: what its GGUF called the pre-tokenizer, NULL: named by its stages
    char *config;         // tokenizer_config.json as it was read, NULL if there was none
    char *chat_template;  // from there, NULL if it has none
};

/* Building (tokenizer.c). Readers make an empty one, add tokens and merges, and finish it. */
FL_MUST_USE fl_status fli_tokenizer_new(fl_tokenizer **out, fl_err *err);
/* Gives token `id` its bytes (copied). An id is given once; the same bytes may have two ids (the
 * lower one is then found). */
FL_MUST_USE fl_status fli_tokenizer_put(fl_tokenizer *t, int32_t id, const void *bytes, size_t n,
                                        fl_err *err);
/* Make what is there findable by its bytes, with room for `more` tokens. Added tokens come after,
 * and are not. */
FL_MUST_USE fl_status fli_tokenizer_index(fl_tokenizer *t, int32_t more, fl_err *err);
void fli_tokenizer_index_add(fl_tokenizer *t, int32_t id);
/* After index: the id of these bytes, -1 if they are no token. */
int32_t fli_tokenizer_find(const fl_tokenizer *t, const void *bytes, size_t n);
/* After index. A token not in the vocabulary gets the id given. */
FL_MUST_USE fl_status fli_tokenizer_add(fl_tokenizer *t, const char *text, size_t n, int32_t id,
                                        bool special, bool normalized, fl_err *err);
/* After the last merge and added token. */
FL_MUST_USE fl_status fli_tokenizer_finish(fl_tokenizer *t, fl_err *err);

/* The added token that begins at s[i], longest first; its index, -1 if none. */
int32_t fli_trie_match(const fli_trie *trie, const uint8_t *s, size_t i, size_t n, size_t *len);
/* The next position in [i, n) where one might begin, n if none. */
size_t fli_trie_next(const fli_trie *trie, const uint8_t *s, size_t i, size_t n);

/* The alphabet of byte-level vocabularies: each byte as a printable character (GPT-2's
 * bytes_to_unicode). */
int32_t fli_byte_char(uint8_t byte);
int fli_char_byte(int32_t c);  // -1: stands for no byte
/* The bytes a printable text stands for, into `out` (at least n bytes). A text with any other
 * character stands for its own bytes. */
size_t fli_unprintable(const char *text, size_t n, uint8_t *out);

/* NFC of s[0..n) appended to `out`; bytes that are not UTF-8 pass through. */
void fli_nfc(fl_text *out, const uint8_t *s, size_t n);
bool fli_is_nfc_already(const uint8_t *s, size_t n);  // quickly seen to be; false means nothing

/* A vocabulary object {"text": id} and merges by text; both after one another, index between
 * (read_gpt2.c). */
FL_MUST_USE fl_status fli_put_vocab(fl_tokenizer *t, const json_t *vocab, const char *where,
                                    fl_err *err);
FL_MUST_USE fl_status fli_push_merge(fl_tokenizer *t, const char *left, size_t n_left,
                                     const char *right, size_t n_right, const char *where,
                                     fl_err *err);
/* Set bos and eos to the first of the usual names that is there. */
void fli_guess_ends(fl_tokenizer *t);

/* Readers, one per format. */
FL_MUST_USE fl_status fli_read_hf(fl_tokenizer **out, const char *json, const char *config,
                                  fl_err *err);
FL_MUST_USE fl_status fli_read_gpt2(fl_tokenizer **out, const char *vocab, const char *merges,
                                    fl_err *err);
FL_MUST_USE fl_status fli_read_tiktoken(fl_tokenizer **out, const char *path, const char *pattern,
                                        fl_err *err);
/* The same from memory. */
FL_MUST_USE fl_status fli_make_hf(fl_tokenizer **out, const json_t *root, fl_err *err);
FL_MUST_USE fl_status fli_parse_tiktoken(fl_tokenizer **out, const char *text, size_t n,
                                         const char *pattern, fl_err *err);

/* Room for `need` elements of `size` bytes in *p, which holds *cap; what is there is kept. */
FL_MUST_USE bool fli_grow(void **p, size_t *cap, size_t need, size_t size);

#endif
