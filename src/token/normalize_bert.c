/* normalize_bert.c - BERT's own normalisation, in one pass: control characters go, white space is a
 * space, Chinese characters stand alone, accents go, upper case goes.
 *
 * The classes are those of the program the vocabularies were made with (unicode.h). */
#include <utf8proc.h>

#include "token/normalize.h"
#include "token/unicode.h"

/* The blocks BERT calls Chinese. Hugging Face's fifth begins at 2B920, not 2B820. */
static bool is_chinese(int32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static void put(fl_text *out, int32_t c, unsigned flags) {
    enum { DOTTED_I = 0x130 };  // its lower case is two characters, the second an accent
    char utf8[4];
    if (flags & FLI_BERT_LOWER && c == DOTTED_I) {
        fl_text_append(out, "i\xCC\x87", 3);
        return;
    }
    if (flags & FLI_BERT_LOWER) c = utf8proc_tolower(c);
    fl_text_append(out, utf8, (size_t)fl_utf8_encode(c, utf8));
}

static void put_without_accents(fl_text *out, int32_t c, unsigned flags) {
    utf8proc_int32_t part[8];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, part, 8, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 8) n = 1, part[0] = c;
    for (utf8proc_ssize_t i = 0; i < n; i++)
        if (!(fli_bert_class_of(part[i]) & FLI_BERT_ACCENT)) put(out, part[i], flags);
}

static void put_char(fl_text *out, int32_t c, unsigned flags) {
    bool clean = flags & FLI_BERT_CLEAN, alone = flags & FLI_BERT_CHINESE && is_chinese(c);
    if (clean && fli_bert_class_of(c) & FLI_BERT_DROPPED) return;
    if (clean && fli_class_of[c] & FLI_SPACE) c = ' ';
    if (alone) fl_text_append(out, " ", 1);
    if (flags & FLI_BERT_ACCENTS) put_without_accents(out, c, flags);
    else put(out, c, flags);
    if (alone) fl_text_append(out, " ", 1);
}

/* A run of ASCII, which needs no decoding. */
static size_t put_ascii(fl_text *out, const uint8_t *s, size_t i, size_t n, unsigned flags) {
    char buffer[256];
    size_t k = 0;
    for (; i < n && s[i] < 0x80 && k < sizeof buffer; i++) {
        char c = (char)s[i];
        if (flags & FLI_BERT_CLEAN && (c == 0x7f || c < ' ')) {
            if (!(fli_class_of[s[i]] & FLI_SPACE) || fli_bert_class_of(c) & FLI_BERT_DROPPED)
                continue;
            c = ' ';
        }
        if (flags & FLI_BERT_LOWER && c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
        buffer[k++] = c;
    }
    fl_text_append(out, buffer, k);
    return i;
}

void fli_step_bert(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n;) {
        if (s[i] < 0x80) {
            i = put_ascii(out, s, i, n, step->flags);
            continue;
        }
        int len;
        int32_t c = fl_utf8_decode(s + i, n - i, &len);
        if (c < 0) fl_text_append(out, s + i, 1);
        else put_char(out, c, step->flags);
        i += (size_t)len;
    }
}
