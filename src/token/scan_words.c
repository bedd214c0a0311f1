/* scan_words.c - scanners of the pre-tokenizers that are no pattern. */
#include <string.h>

#include "token/scan.h"
#include "token/unicode.h"

bool fli_scan_drops(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    size_t len;
    return p->drops_space && (fli_class_at(s, i, n, &len) & FLI_SPACE);
}

static size_t space_end(const uint8_t *s, size_t i, size_t n) {
    for (size_t len; i < n && (fli_class_at(s, i, n, &len) & FLI_SPACE); i += len) {}
    return i;
}

static size_t scan_words(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    (void)p;
    size_t end = space_end(s, i, n);
    if (end > i) return end;
    for (size_t len; end < n && !(fli_class_at(s, end, n, &len) & FLI_SPACE); end += len) {}
    return end;
}

static bool is_punctuation(const uint8_t *s, size_t i, size_t n, size_t *len) {
    int bytes;
    int32_t c = s[i] < 0x80 ? (bytes = 1, s[i]) : fl_utf8_decode(s + i, n - i, &bytes);
    *len = (size_t)bytes;
    return c >= 0 && fli_bert_class_of(c) & FLI_BERT_PUNCT;
}

static size_t scan_bert(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    (void)p;
    size_t len, end = space_end(s, i, n);
    if (end > i) return end;
    if (is_punctuation(s, i, n, &len)) return i + len;
    for (; end < n && !is_punctuation(s, end, n, &len); end += len)
        if (fli_class_at(s, end, n, &len) & FLI_SPACE) break;
    return end;
}

static size_t scan_at_spaces(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    (void)p;
    const uint8_t *at = i + 1 < n ? memchr(s + i + 1, ' ', n - i - 1) : NULL;
    return at ? (size_t)(at - s) : n;
}

const fli_pattern fli_space_words = {.name = "words", .scan = scan_words, .drops_space = true};
const fli_pattern fli_bert_words = {.name = "bert", .scan = scan_bert, .drops_space = true};
const fli_pattern fli_at_spaces = {.name = "spaces", .scan = scan_at_spaces};
