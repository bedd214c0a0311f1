/* chars.c - characters of UTF-8 text as Python sees them: white space, case, counting.
 *
 * Case is utf8proc's one-to-one mapping, and the two exceptions that words in use have: the German
 * sharp s in capitals is SS, and a sigma that ends a word is small final. */
#include <string.h>
#include <utf8proc.h>

#include "token/jinja/jinja.h"

static int32_t decode(const char *s, size_t n, int *len) {
    return fl_utf8_decode((const uint8_t *)s, n, len);
}

/* str.isspace of Python. */
static bool is_space(int32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t fli_space(const char *s, size_t n) {
    int len;
    return n && is_space(decode(s, n, &len)) ? (size_t)len : 0;
}

size_t fli_spaces(const char *s, size_t n) {
    size_t i = 0;
    for (size_t k; (k = fli_space(s + i, n - i)) > 0;) i += k;
    return i;
}

static size_t char_before(const char *s, size_t n) {
    do n--;
    while (n && ((uint8_t)s[n] & 0xC0) == 0x80);
    return n;
}

size_t fli_rstrip(const char *s, size_t n) {
    while (n) {
        size_t at = char_before(s, n);
        if (!fli_space(s + at, n - at)) break;
        n = at;
    }
    return n;
}

size_t fli_char_len(const char *s) {
    const uint8_t c = (uint8_t)*s;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

size_t fli_count_chars(const char *s, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((uint8_t)s[i] & 0xC0) != 0x80;
    return count;
}

size_t fli_char_at(const char *s, size_t n, size_t index) {
    size_t i = 0;
    while (i < n && index--) i += fli_char_len(s + i);
    return i;
}

bool fli_valid_utf8(const char *s, size_t n) {
    int len;
    for (size_t i = 0; i < n; i += (size_t)len)
        if (decode(s + i, n - i, &len) < 0) return false;
    return true;
}

size_t fli_find(const char *s, size_t n, const char *what, size_t n_what) {
    if (!n_what) return 0;
    for (size_t i = 0; i + n_what <= n; i++) {
        const char *at = memchr(s + i, *what, n - n_what + 1 - i);
        if (!at) return n;
        i = (size_t)(at - s);
        if (memcmp(at, what, n_what) == 0) return i;
    }
    return n;
}

/* ---- classes and case ---- */

bool fli_char_is(int32_t cp, fli_class c) {
    const utf8proc_category_t k = utf8proc_category(cp);
    switch (c) {
    case FLI_ALPHA: return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
    case FLI_DIGIT: return k == UTF8PROC_CATEGORY_ND;
    case FLI_SPACE: return is_space(cp);
    case FLI_PRINTABLE:
        return cp == ' ' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_SO);
    }
    return false;
}

enum { SHARP_S = 0xDF, SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2 };

static bool is_cased(int32_t c) {
    return utf8proc_tolower(c) != c || utf8proc_toupper(c) != c;
}

/* What the character becomes, the first of a word or not. */
static int32_t case_of(int32_t c, fli_case how, bool first) {
    switch (how) {
    case FLI_UPPER: return utf8proc_toupper(c);
    case FLI_LOWER: return utf8proc_tolower(c);
    case FLI_SWAPCASE: return utf8proc_toupper(c) != c ? utf8proc_toupper(c) : utf8proc_tolower(c);
    default: return first ? utf8proc_totitle(c) : utf8proc_tolower(c);
    }
}

static void put_cased(fli_run *r, fl_text *t, int32_t from, int32_t to, bool title,
                      bool ends_word) {
    char bytes[4];
    if (from == SHARP_S && to != SHARP_S) {
        fli_append(r, t, title ? "Ss" : "SS", 2);
        return;
    }
    if (from == SIGMA && to != SIGMA && ends_word) to = FINAL_SIGMA;
    fli_append(r, t, bytes, (size_t)fl_utf8_encode(to, bytes));
}

fli_val fli_cased(fli_run *r, fli_val s, fli_case how) {
    fl_text t = {0};
    bool in_word = false;
    int len, next_len;
    for (size_t i = 0; i < s.n && r->status == FL_OK; i += (size_t)len) {
        const int32_t c = decode(s.as.s + i, s.n - i, &len);
        const bool first = how == FLI_CAPITALIZE ? i == 0 : !in_word;
        const size_t next = i + (size_t)len;
        const bool ends = in_word &&
                          (next == s.n || !is_cased(decode(s.as.s + next, s.n - next, &next_len)));
        put_cased(r, &t, c, case_of(c, how, first), how >= FLI_TITLE && how <= FLI_CAPITALIZE,
                  ends);
        in_word = is_cased(c);
    }
    return fli_text_end(r, &t);
}
