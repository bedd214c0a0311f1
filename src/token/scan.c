/* scan.c - hand-written scanners for the pre-tokenizer patterns everyone uses.
 *
 * Each scanner is a regular expression unrolled: alternatives are tried in the pattern's order, and
 * where the pattern backtracks the code says to what. A run of ASCII letters, which is most of any
 * English text, is measured sixteen bytes at a time, so that the usual word costs no branch that
 * depends on its length. */
#include "token/scan.h"

#include <string.h>

#include "token/unicode.h"

#ifdef __SSE2__
#include <emmintrin.h>

enum { WIDE = 16 };
/* How many of the 16 bytes at s are ASCII letters before the first that is not. */
static inline size_t wide_letters(const uint8_t *s) {
    __m128i lower = _mm_or_si128(_mm_loadu_si128((const __m128i *)s), _mm_set1_epi8(0x20));
    __m128i from_a = _mm_sub_epi8(lower, _mm_set1_epi8('a'));
    __m128i letter = _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8(25)), from_a);
    unsigned other = ~(unsigned)_mm_movemask_epi8(letter);  // bits from 16 on are set
    return (size_t)__builtin_ctz(other);
}
#else
enum { WIDE = 8 };
static inline size_t wide_letters(const uint8_t *s) {
    size_t k = 0;
    while (k < WIDE && (uint8_t)((s[k] | 0x20) - 'a') < 26) k++;
    return k;
}
#endif

/* The end of the run, from i on, of characters that have a bit of `mask` (or, in run_without, have
 * none). */
static inline size_t run_of(const uint8_t *s, size_t i, size_t n, unsigned mask) {
    for (size_t len; i < n && (fli_class_at(s, i, n, &len) & mask); i += len) {}
    return i;
}

static inline size_t run_without(const uint8_t *s, size_t i, size_t n, unsigned mask) {
    for (size_t len; i < n && !(fli_class_at(s, i, n, &len) & mask); i += len) {}
    return i;
}

static inline size_t run_letters(const uint8_t *s, size_t i, size_t n) {
    while (n - i >= WIDE) {
        size_t k = wide_letters(s + i);
        i += k;
        if (k < WIDE) break;
    }
    return i < n && (s[i] >= 0x80 || n - i < WIDE) ? run_of(s, i, n, FLI_LETTER) : i;
}

static inline size_t run_digits(const uint8_t *s, size_t i, size_t n, int max) {
    if (max == 0) return run_of(s, i, n, FLI_NUMBER);
    for (size_t len; max-- > 0 && i < n && (fli_class_at(s, i, n, &len) & FLI_NUMBER); i += len) {}
    return i;
}

static inline bool is_line_end(uint8_t c) {
    return c == '\r' || c == '\n';
}

/* `\s+(?!\S)|\s+` over the white space s[i..end): all of it at the end of the text, else all but
 * the last character, which goes with what follows; a single character stands alone. */
static size_t space_before_word(const uint8_t *s, size_t i, size_t end, size_t n) {
    if (end == n) return end;
    size_t last = end - 1;
    while (last > i && (s[last] & 0xc0) == 0x80) last--;
    return last > i ? last : end;
}

/* 's 't 'm 'd 'll 've 're after an apostrophe at s[i]; the length in bytes, 0 if there is none.
 * Without case, the long s (U+017F) counts as s: it folds to it. */
static size_t contraction(const uint8_t *s, size_t i, size_t n, bool any_case) {
    size_t left = n - i;
    if (left < 2) return 0;
    uint8_t fold = any_case ? 0x20 : 0, a = s[i + 1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (left < 3) return 0;
    if (any_case && s[i + 1] == 0xc5 && s[i + 2] == 0xbf) return 3;
    uint8_t b = s[i + 2] | fold;
    return (a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e') ? 3 : 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t scan_gpt2(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    if (s[i] == '\'') {
        size_t k = contraction(s, i, n, false);
        if (k) return i + k;
    }
    size_t word = i + (s[i] == ' '), len;
    if (word < n) {
        unsigned c = fli_class_at(s, word, n, &len);
        if (c & FLI_LETTER) return run_letters(s, word, n);
        if (c & FLI_NUMBER) return run_digits(s, word, n, p->max_digits);
        if (!(c & FLI_SPACE)) return run_without(s, word + len, n, FLI_WORDY);
    }
    return space_before_word(s, i, run_of(s, i, n, FLI_SPACE), n);
}

/* What the later patterns share: numbers, symbols with the line ends after them, white space up to
 * a line end. */
static size_t scan_rest(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    size_t len, word = i + (s[i] == ' ');
    if (fli_class_at(s, i, n, &len) & FLI_NUMBER) return run_digits(s, i, n, p->max_digits);
    if (word < n && !(fli_class_at(s, word, n, &len) & FLI_WORDY)) {
        size_t end = run_without(s, word + len, n, FLI_WORDY);
        while (end < n && (is_line_end(s[end]) || (p->slash_tail && s[end] == '/'))) end++;
        return end;
    }
    size_t end = run_of(s, i, n, FLI_SPACE);
    if (end == n && p->joins_final_space) return end;
    for (size_t k = end; k > i; k--)
        if (is_line_end(s[k - 1])) return k;
    return space_before_word(s, i, end, n);
}

/* (?i:'s|'t|..)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,K}|
 *  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t scan_gpt4(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    size_t len, next_len;
    unsigned c = fli_class_at(s, i, n, &len);
    if (c & FLI_LETTER) return run_letters(s, i, n);
    if (s[i] == '\'') {
        size_t k = contraction(s, i, n, true);
        if (k) return i + k;
    }
    bool may_lead = !(c & FLI_NUMBER) && !is_line_end(s[i]);
    if (may_lead && i + len < n && (fli_class_at(s, i + len, n, &next_len) & FLI_LETTER))
        return run_letters(s, i + len, n);
    return scan_rest(p, s, i, n);
}

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+, or `i` where it does not match.
 * The first set takes all it can. If nothing of the second follows, it gives back up to the last
 * character that is in both, and what comes after that one is in the first set only. */
enum { BOTH_CASES = FLI_PLAIN | FLI_MARK };
static size_t word_with_lower(const uint8_t *s, size_t i, size_t n) {
    size_t k = i, both_end = i, len;
    for (unsigned c; k < n && ((c = fli_class_at(s, k, n, &len)) & (FLI_UPPER | BOTH_CASES));
         k += len)
        if (c & BOTH_CASES) both_end = k + len;
    size_t end = run_of(s, k, n, FLI_LOWER | BOTH_CASES);
    return end > k ? end : both_end;
}

/* The words of o200k, with case: one leading character is tried before none (which only a mark,
 * being part of words too, can make match), and words with lower case before words without. */
static size_t scan_o200k(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    size_t len;
    unsigned c = fli_class_at(s, i, n, &len);
    bool may_lead = !(c & (FLI_NUMBER | FLI_LETTER)) && !is_line_end(s[i]);
    size_t word = may_lead ? i + len : i;
    size_t end = word_with_lower(s, word, n);
    if (end == word && (c & FLI_MARK)) end = word_with_lower(s, i, n);
    else if (end == word) end = run_of(s, word, n, FLI_UPPER | BOTH_CASES);
    if (end == word && !(c & FLI_MARK)) return scan_rest(p, s, i, n);
    return end < n && s[end] == '\'' ? end + contraction(s, end, n, true) : end;
}

#define WORD   "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define SYMBOL " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
#define SPACE  "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QUOTE  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

static const fli_pattern patterns[] = {
    {.name = "gpt2",
     .scan = scan_gpt2,
     .spelling =
         {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
          "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| "
          "?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s",
          "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}},
    {.name = "cl100k",
     .scan = scan_gpt4,
     .max_digits = 3,
     .joins_final_space = true,
     .spelling = {"'(?i:[sdmt]|ll|ve|re)|" WORD "\\p{N}{1,3}|" SYMBOL
                  "\\s+\\z|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
                  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
                  "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|"
                  "\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"}},
    {.name = "llama3",
     .scan = scan_gpt4,
     .max_digits = 3,
     .spelling = {QUOTE "|" WORD "\\p{N}{1,3}|" SYMBOL SPACE,
                  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
                  "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
                  "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {.name = "qwen2",
     .scan = scan_gpt4,
     .max_digits = 1,
     .spelling = {QUOTE "|" WORD "\\p{N}|" SYMBOL SPACE}},
    {.name = "nanochat",
     .scan = scan_gpt4,
     .max_digits = 2,
     .spelling = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,2}| "
                  "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
                  "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {.name = "o200k",
     .scan = scan_o200k,
     .max_digits = 3,
     .slash_tail = true,
     .spelling = {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{"
                  "Lo}\\p{M}]+" QUOTE "?|"
                  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{"
                  "Lo}\\p{M}]*" QUOTE "?|"
                  "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACE}},
};
enum { N_PATTERNS = sizeof patterns / sizeof *patterns };

const fli_pattern *fli_pattern_row(int i) {
    return i >= 0 && i < N_PATTERNS ? patterns + i : NULL;
}

const fli_pattern *fli_pattern_find(const char *text) {
    for (const fli_pattern *p = patterns; p < patterns + N_PATTERNS; p++) {
        if (strcmp(text, p->name) == 0) return p;
        for (int k = 0; p->spelling[k]; k++)
            if (strcmp(text, p->spelling[k]) == 0) return p;
    }
    return NULL;
}
