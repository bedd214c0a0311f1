/* cut - where a long text may be cut without changing its tokens.
 *
 * The patterns of GPT-2, cl100k, o200k, Llama-3, Qwen and nanochat all end a pre-token at both of
 * these places, and would not match differently had the text ended there:
 *   - between "x\n" and a letter, x no white space (after a blank line GPT-2's \s+(?!\S) would
 *     see the end);
 *   - between a letter and " y", y a letter.
 * ASCII letters only: what follows an ASCII letter cannot be a combining mark that belongs before
 * it. */
#include "data/cut.h"

#include <stdbool.h>

#include "base/assert.h"

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* May a piece end before s[i]? Two bytes stand before it and one after. */
static bool at_line(const char *s, size_t i) {
    return s[i - 1] == '\n' && is_letter(s[i]) && !is_space(s[i - 2]);
}

static bool at_word(const char *s, size_t i) {
    return s[i] == ' ' && is_letter(s[i - 1]) && is_letter(s[i + 1]);
}

static bool at_character(const char *s, size_t i) {
    return ((unsigned char)s[i] & 0xC0) != 0x80;
}

size_t fli_cut(const char *s, size_t n) {
    static bool (*const rule[])(const char *, size_t) = {at_line, at_word, at_character};
    FL_ASSERT(n > 8);
    for (size_t r = 0; r < sizeof rule / sizeof *rule; r++) {
        for (size_t i = n - 2; i > n / 2; i--) {
            if (rule[r](s, i)) return i;
        }
    }
    return n;  // half a piece of continuation bytes: not UTF-8 at all
}
