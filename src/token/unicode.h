/* unicode.h - the character classes that pre-tokenizer patterns speak of: \s \p{N} \p{L} \p{M} and
 * cases.
 *
 * Invalid UTF-8 is read one byte at a time; such a byte is in no class, like a symbol (and like
 * U+FFFD, which is what lossy decoders would have put there). */
#ifndef FL_TOKEN_UNICODE_H
#define FL_TOKEN_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum {
    FLI_SPACE = 1,
    FLI_NUMBER = 2,
    FLI_UPPER = 4,   // Lu, Lt
    FLI_LOWER = 8,   // Ll
    FLI_PLAIN = 16,  // Lm, Lo: letters without case
    FLI_MARK = 32,
    FLI_LETTER = FLI_UPPER | FLI_LOWER | FLI_PLAIN,
    FLI_WORDY = FLI_SPACE | FLI_NUMBER | FLI_LETTER,  // a character outside is [^\s\p{L}\p{N}]
    FLI_N_CHARS = 0x110000,
};

extern uint8_t fli_class_of[FLI_N_CHARS];  // by code point, after fli_unicode_init

void fli_unicode_init(void);  // any number of times, from any thread

/* The classes of BERT's tokenizer, of an older Unicode: those of the library that Hugging Face's
 * has them from. */
enum {
    FLI_BERT_DROPPED = 1,  // by clean_text
    FLI_BERT_PUNCT = 2,    // ASCII symbols too
    FLI_BERT_ACCENT = 4,   // Mn
};
extern uint8_t fli_bert_class[FLI_N_CHARS];
void fli_bert_unicode_init(void);
static inline unsigned fli_bert_class_of(int32_t c) {
    return fli_bert_class[c];
}

/* The class of the character at s[i], i < n, and its length. */
static inline unsigned fli_class_at(const uint8_t *s, size_t i, size_t n, size_t *len) {
    if (s[i] < 0x80) {
        *len = 1;
        return fli_class_of[s[i]];
    }
    int bytes;
    int32_t c = fl_utf8_decode(s + i, n - i, &bytes);
    *len = (size_t)bytes;
    return c < 0 ? 0 : fli_class_of[c];
}

#endif
