/* internal.h - what the files of token/ share: the tokenizer itself and the parts it is made of. */
#ifndef FL_TOKEN_INTERNAL_H
#define FL_TOKEN_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "token/lexicon.h"
#include "token/merge.h"
#include "token/normalize.h"
#include "token/piece.h"
#include "token/split.h"
#include "token/tokenizer.h"
#include "token/vocab.h"

/* The bytes of one token. */
typedef struct {
    const uint8_t *bytes;
    uint32_t n;
    uint8_t kind;  // fl_token_kind
    bool hidden;   // the model never makes it: it holds a character that no text has by then
} fli_token;

/* An added token: matched in the text before anything else looks at it. */
typedef struct {
    int32_t id;
    bool special;         // dropped by decoders on request
    bool normalized;      // looked for after normalisation, not before
    bool lstrip, rstrip;  // takes the white space before it, or after it
    bool single_word;     // not inside a word
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

/* What is done about spaces between normalisation and cutting. */
typedef enum {
    FLI_SPACES_PLAIN,    // nothing
    FLI_SPACES_ESCAPED,  // U+2581 is a space
    FLI_SPACES_WORDS     // the same; and white space is gone, each word has a space before it
} fli_spacing;

/* Whether a text (or what is between added tokens) gets a space before it, unless it has one. */
typedef enum { FLI_PREFIX_NEVER, FLI_PREFIX_FIRST, FLI_PREFIX_ALWAYS } fli_prefix;

/* How decoders join tokens beyond putting their bytes one after another. */
typedef struct {
    int strip;        // up to so many spaces go from the beginning of the text
    bool strip_each;  // one from each token as long as nothing else has come (SentencePiece)
    bool first_bare;  // all spaces go from the first token
    bool first_text;  // the first token is as vocabularies write it (WordPiece)
    bool clean;       // no space before punctuation (WordPiece)
} fli_joining;

/* The parts of tokenizer.json that are kept as they were read, for writing. */
typedef enum { FLI_NORMALIZER, FLI_PRE_TOKENIZER, FLI_DECODER, FLI_N_PARTS } fli_part;

enum { FLI_TEMPLATE_MAX = 16, FLI_NON_ASCII = 128 };

struct fl_tokenizer {
    fl_arena arena;  // bytes of the tokens, the tables below
    const fli_model_kind *kind;
    fli_token *token;
    int32_t n, cap;
    int32_t byte_id[256];   // -1: the vocabulary lacks this byte
    int32_t ascii_id[128];  // of characters, -1: lacks it

    int32_t *by_bytes;  // open addressing over token[].bytes, -1: empty
    size_t by_bytes_mask;

    fli_merges merges;
    bool ignore_merges;   // a piece that is a token is that token, whatever the merges say
    fli_lexicon lexicon;  // tokens by prefix, where the kind finds them so
    double *score;        // (n_scores) by id, as written; NULL: the kind has none
    double *weight;       // (n_scores) as computed with
    double min_weight;    // of those that can be made
    int32_t n_scores;
    int32_t unk;             // -1: none
    bool fuse_unk;           // unknown characters beside each other are one
    bool byte_fallback;      // before a character is unknown, its bytes are tried
    size_t max_chars;        // of a word, above which it is unknown (WordPiece)
    const char *continuing;  // before tokens that go on in a word (WordPiece)

    fli_step step[FLI_STEPS];
    int n_steps;
    fli_lexicon kept;  // symbols that normalisation leaves alone
    fli_spacing spaces;
    fli_prefix prefix;
    fli_splitter split;
    bool escape;                    // the vocabulary writes a space as U+2581
    bool byte_level;                // a part of tokenizer.json said so
    bool cuts_softly;               // without stages: cut before spaces that no token has inside
    bool joins[FLI_NON_ASCII + 1];  // bytes after which some token has a space
    fli_joining join;

    fli_added *added;
    int32_t n_added, cap_added;
    fli_trie trie[2];   // [normalized]
    bool always_added;  // those looked for after normalisation are part of the model: also in plain

    int32_t before[FLI_TEMPLATE_MAX], after[FLI_TEMPLATE_MAX];  // what add_special puts around
    int n_before, n_after;
    int32_t bos, eos;
    char *pre;  // in the arena: what its GGUF called the pre-tokenizer, NULL: named by its stages
    char *part[FLI_N_PARTS];  // JSON; NULL: written from what is known
    char *config;             // tokenizer_config.json as it was read, NULL if there was none
    char *chat_template;      // from there, NULL if it has none
    fl_vocab_template *named;  // in the arena: others it has
    size_t n_named;
};

/* Chat templates by name: room for n, then each. */
FL_MUST_USE fl_status fli_room_for_templates(fl_tokenizer *t, size_t n, fl_err *err);
FL_MUST_USE fl_status fli_add_template(fl_tokenizer *t, const char *name, const char *source,
                                       fl_err *err);

/* Building (tokenizer.c). Readers make an empty one, add tokens and merges, and finish it. */
FL_MUST_USE fl_status fli_tokenizer_new(fl_tokenizer **out, fl_err *err);
/* Gives token `id` its bytes (copied). An id is given once; the same bytes may have two ids (the
 * lower one is then found). */
FL_MUST_USE fl_status fli_tokenizer_put(fl_tokenizer *t, int32_t id, const void *bytes, size_t n,
                                        fl_err *err);
/* The bytes that the text of a token stands for, by the kind: into `out`, at least n + 1 bytes. */
size_t fli_text_bytes(const fl_tokenizer *t, const char *text, size_t n, uint8_t *out);
/* The same from the text that vocabularies write it as, by the kind. */
FL_MUST_USE fl_status fli_tokenizer_put_text(fl_tokenizer *t, int32_t id, const char *text,
                                             size_t n, fl_err *err);
/* Make what is there findable by its bytes, with room for `more` tokens. Added tokens come after,
 * and are not. */
FL_MUST_USE fl_status fli_tokenizer_index(fl_tokenizer *t, int32_t more, fl_err *err);
void fli_tokenizer_index_add(fl_tokenizer *t, int32_t id);
/* After index: the id of these bytes, -1 if they are no token. */
int32_t fli_tokenizer_find(const fl_tokenizer *t, const void *bytes, size_t n);
/* After index: the id of the token written so, -1 if there is none or it is longer. */
enum { FLI_FIND_MAX = 256 };
int32_t fli_find_text(const fl_tokenizer *t, const char *text, size_t n);
/* After index. A token not in the vocabulary gets the id given. */
FL_MUST_USE fl_status fli_tokenizer_add(fl_tokenizer *t, const char *text, size_t n, fli_added as,
                                        fl_err *err);
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

/* A step at the end of normalisation; its texts are copied. */
FL_MUST_USE fl_status fli_add_step(fl_tokenizer *t, fli_step step, fl_err *err);
/* s[0..n), copied into the arena with a NUL after it; NULL without memory. */
char *fli_keep(fl_tokenizer *t, const void *s, size_t n);

/* Bytes written to `out` (n at least), 0 if s[0..n) is not base64 with its padding. */
size_t fli_base64_decode(const char *s, size_t n, uint8_t *out);

/* A vocabulary object {"text": id} and merges by text; both after one another, index between
 * (read_gpt2.c). */
FL_MUST_USE fl_status fli_put_vocab(fl_tokenizer *t, const json_t *vocab, const char *where,
                                    fl_err *err);
FL_MUST_USE fl_status fli_push_merge(fl_tokenizer *t, const char *left, size_t n_left,
                                     const char *right, size_t n_right, const char *where,
                                     fl_err *err);
/* The merges of a vocabulary that lists none (merge_cuts.c): by the order of ids, or by score, the
 * highest first. After index. */
typedef struct {
    int32_t id, rank;
    float score;
} fli_ranked;
FL_MUST_USE fl_status fli_merge_cuts(fl_tokenizer *t, const fli_ranked *order, fl_err *err);
FL_MUST_USE fl_status fli_merge_by_score(fl_tokenizer *t, const float *score, fl_err *err);
/* Set bos and eos to the first of the usual names that is there. */
void fli_guess_ends(fl_tokenizer *t);

/* tokenizer_config.json, kept as it is: the ends and the chat template in it. */
FL_MUST_USE fl_status fli_read_config(fl_tokenizer *t, const char *path, fl_err *err);

/* Readers, one per format. */
FL_MUST_USE fl_status fli_read_hf(fl_tokenizer **out, const char *json, const char *config,
                                  fl_err *err);
FL_MUST_USE fl_status fli_read_gpt2(fl_tokenizer **out, const char *vocab, const char *merges,
                                    fl_err *err);
FL_MUST_USE fl_status fli_read_tiktoken(fl_tokenizer **out, const char *path, const char *pattern,
                                        fl_err *err);
FL_MUST_USE fl_status fli_read_tekken(fl_tokenizer **out, const char *path, const char *config,
                                      fl_err *err);
FL_MUST_USE fl_status fli_read_spm(fl_tokenizer **out, const char *path, const char *config,
                                   fl_err *err);
/* The same from memory. */
FL_MUST_USE fl_status fli_parse_spm(fl_tokenizer **out, const uint8_t *bytes, size_t n,
                                    fl_err *err);
FL_MUST_USE fl_status fli_make_hf(fl_tokenizer **out, const json_t *root, fl_err *err);
FL_MUST_USE fl_status fli_parse_tiktoken(fl_tokenizer **out, const char *text, size_t n,
                                         const char *pattern, fl_err *err);

/* Room for `need` elements of `size` bytes in *p, which holds *cap; what is there is kept. */
FL_MUST_USE bool fli_grow(void **p, size_t *cap, size_t need, size_t size);

#endif
