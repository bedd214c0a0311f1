/* normalize.h - what is done to a text before it is cut into pieces: a list of steps, each
 * rewriting the whole of it. Bytes that are not UTF-8 pass through every step but SentencePiece's
 * own. */
#ifndef FL_TOKEN_NORMALIZE_H
#define FL_TOKEN_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "token/charsmap.h"
#include "token/lexicon.h"

enum { FLI_STEPS = 16 };

#define FLI_ESCAPED_SPACE "\xE2\x96\x81"  // U+2581, as which SentencePiece writes a space

typedef struct fli_step fli_step;
struct fli_step {
    /* The text s[0..n), rewritten, appended to `out`. */
    void (*apply)(const fli_step *step, fl_text *out, const uint8_t *s, size_t n);
    /* Whether that would quickly be seen to change nothing; NULL: unknown. */
    bool (*idle)(const uint8_t *s, size_t n);
    const char *from, *to;  // Replace: what by what; Prepend: to. In the tokenizer's arena
    size_t n_from, n_to;
    void *regex;  // Replace: pcre2_code instead of `from`
    unsigned flags;
    fli_charsmap map;
    const fli_lexicon *keep;  // SentencePiece: symbols that are left as they are; NULL: none
};

/* flags of the Unicode forms */
enum { FLI_COMPOSE = 1, FLI_COMPAT = 2 };
/* flags of fli_step_strip */
enum { FLI_LEFT = 1, FLI_RIGHT = 2 };
/* flags of fli_step_bert */
enum { FLI_BERT_CLEAN = 1, FLI_BERT_CHINESE = 2, FLI_BERT_ACCENTS = 4, FLI_BERT_LOWER = 8 };
/* flags of fli_step_spm */
enum { FLI_SPM_PREFIX = 1, FLI_SPM_SUFFIX = 2, FLI_SPM_SQUEEZE = 4 };

typedef void fli_step_fn(const fli_step *step, fl_text *out, const uint8_t *s, size_t n);
fli_step_fn fli_step_form, fli_step_lower, fli_step_strip, fli_step_accents, fli_step_replace,
    fli_step_replace_regex, fli_step_prepend, fli_step_bert, fli_step_precompiled, fli_step_nmt,
    fli_step_spm;

extern const fli_step fli_nfc_step;

/* The steps one after another, s[0..n) first; *out is s itself, a or b, whose content is replaced.
 */
void fli_normalize(const fli_step *step, int n_steps, const uint8_t *s, size_t n, fl_text *a,
                   fl_text *b, const uint8_t **out, size_t *n_out);

/* U+2581 becomes a space, appended to `out`. */
void fli_unescape_spaces(fl_text *out, const uint8_t *s, size_t n);
bool fli_begins_escaped(const uint8_t *s, size_t n);  // U+2581 is its first character
bool fli_no_escaped_space(const uint8_t *s, size_t n);

#endif
