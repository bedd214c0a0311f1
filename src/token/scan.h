/* scan.h - the well-known pre-tokenizer patterns as rows, each with a hand-written scanner.
 *
 * A pattern is found by any of its published spellings and saved by the first, which Oniguruma
 * (Hugging Face) and PCRE2 read alike. What varies between the patterns is data; the scanners read
 * it. All of them break before the space of "x y", x and y ASCII letters: the trainer cuts
 * there. */
#ifndef FL_TOKEN_SCAN_H
#define FL_TOKEN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fli_pattern fli_pattern;
struct fli_pattern {
    const char *name;
    const char *spelling[4];  // NULL-terminated
    size_t (*scan)(const fli_pattern *p, const uint8_t *s, size_t i, size_t n);
    int max_digits;          // 0: no limit
    bool slash_tail;         // symbols swallow '/' after them, not only line ends
    bool joins_final_space;  // white space that ends the text is one piece, line ends or not
    bool drops_space;        // a piece of white space is dropped
};

/* What other pre-tokenizers than patterns do. Not found by name. */
extern const fli_pattern fli_space_words;  // between white space
extern const fli_pattern fli_bert_words;   // the same, and each punctuation mark by itself
extern const fli_pattern fli_at_spaces;    // a space begins a piece

/* By name or by spelling; NULL when it is neither. */
const fli_pattern *fli_pattern_find(const char *name_or_regex);
const fli_pattern *fli_pattern_row(int i);  // NULL past the last

/* The end of the piece that starts at s[i], i < n. */
static inline size_t fli_scan(const fli_pattern *p, const uint8_t *s, size_t i, size_t n) {
    return p->scan(p, s, i, n);
}

/* Whether the piece at s[i] is dropped. */
bool fli_scan_drops(const fli_pattern *p, const uint8_t *s, size_t i, size_t n);

#endif
