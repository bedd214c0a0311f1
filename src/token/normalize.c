/* normalize.c - the steps of normalisation that are the same for all kinds of model.
 *
 * Unicode forms are utf8proc's, applied only where they can matter: NFC, say, leaves every
 * character below U+0300 as it is, those compose with none before them, and their UTF-8 begins with
 * a byte below 0xCC. So text is copied up to the last such character before one that may matter,
 * and handed to utf8proc from there to the next ASCII character that no combining mark follows. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "token/normalize.h"

#include <pcre2.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "token/unicode.h"

enum {
    MATTERS_COMPOSED = 0xCC,
    MATTERS_DECOMPOSED = 0xC3,
    MATTERS_COMPAT = 0xC2,
    STACK_CHARS = 256
};

void fli_normalize(const fli_step *step, int n_steps, const uint8_t *s, size_t n, fl_text *a,
                   fl_text *b, const uint8_t **out, size_t *n_out) {
    for (int i = 0; i < n_steps; i++) {
        if (step[i].idle && step[i].idle(s, n)) continue;
        fl_text *to = (const uint8_t *)a->data == s ? b : a;
        to->n = 0;
        step[i].apply(step + i, to, s, n);
        s = (const uint8_t *)fl_text_str(to);
        n = to->n;
    }
    *out = s;
    *n_out = n;
}

static void put_char(fl_text *out, int32_t c) {
    char utf8[4];
    fl_text_append(out, utf8, (size_t)fl_utf8_encode(c, utf8));
}

/* ---- Unicode forms ---- */

static size_t next_that_matters(const uint8_t *s, size_t i, size_t n, uint8_t matters) {
    while (i < n && s[i] < matters) i++;
    return i;
}

static bool is_composed(const uint8_t *s, size_t n) {
    return next_that_matters(s, 0, n, MATTERS_COMPOSED) == n;
}

const fli_step fli_nfc_step = {.apply = fli_step_form, .idle = is_composed, .flags = FLI_COMPOSE};

/* Code points of s[0..n), valid UTF-8, decomposed, ordered and perhaps composed; as UTF-8. */
static void form(fl_text *out, const uint8_t *s, size_t n, utf8proc_option_t how) {
    utf8proc_int32_t stack[STACK_CHARS], *chars = stack;
    utf8proc_ssize_t cap = STACK_CHARS;
    utf8proc_ssize_t count = utf8proc_decompose(s, (utf8proc_ssize_t)n, chars, cap, how);
    if (count > cap) {
        chars = fl_alloc((size_t)(count + 1) * sizeof *chars);
        if (!chars) {
            out->failed = true;
            return;
        }
        cap = count + 1;
        count = utf8proc_decompose(s, (utf8proc_ssize_t)n, chars, cap, how);
    }
    if (count >= 0 && how & UTF8PROC_COMPOSE) count = utf8proc_normalize_utf32(chars, count, how);
    for (utf8proc_ssize_t i = 0; i < count; i++) put_char(out, chars[i]);
    if (count < 0)
        fl_text_append(out, s, n);  // utf8proc knows no such case; the text stays as it is
    if (chars != stack) fl_dealloc(chars);
}

static void form_valid(fl_text *out, const uint8_t *s, size_t n, utf8proc_option_t how) {
    for (size_t i = 0, from = 0; i <= n;) {
        int len = 1;
        bool bad = i == n || fl_utf8_decode(s + i, n - i, &len) < 0;
        if (bad && i > from) form(out, s + from, i - from, how);
        if (bad && i < n) fl_text_append(out, s + i, 1);
        i += (size_t)len;
        if (bad) from = i;
    }
}

void fli_step_form(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    utf8proc_option_t how = UTF8PROC_STABLE;
    how |= step->flags & FLI_COMPOSE ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    how |= step->flags & FLI_COMPAT ? UTF8PROC_COMPAT : 0;
    uint8_t matters = step->flags & FLI_COMPAT    ? MATTERS_COMPAT
                      : step->flags & FLI_COMPOSE ? MATTERS_COMPOSED
                                                  : MATTERS_DECOMPOSED;
    size_t i = 0;
    while (i < n) {
        size_t j = next_that_matters(s, i, n, matters), from = j;
        if (j < n && from > i) {  // the character before it may combine
            from--;
            while (from > i && (s[from] & 0xC0) == 0x80) from--;
        }
        fl_text_append(out, s + i, from - i);
        size_t end = j;
        while (end < n && !(s[end] < 0x80 && (end + 1 == n || s[end + 1] < matters))) end++;
        if (end > from) form_valid(out, s + from, end - from, how);
        i = end;
    }
}

/* ---- characters ---- */

/* Apply `map` to each character: -1 drops it. Bytes that are not UTF-8 stay. */
static void each_char(fl_text *out, const uint8_t *s, size_t n, int32_t (*map)(int32_t c)) {
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        int32_t c = fl_utf8_decode(s + i, n - i, &len), to = c < 0 ? c : map(c);
        if (to == c) fl_text_append(out, s + i, (size_t)len);
        else if (to >= 0) put_char(out, to);
    }
}

/* Full lower case differs from the simple one in a single character: I with a dot. */
enum { DOTTED_I = 0x130, COMBINING_DOT = 0x307 };

void fli_step_lower(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    (void)step;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        int32_t c = fl_utf8_decode(s + i, n - i, &len);
        if (c < 0) {
            fl_text_append(out, s + i, 1);
            continue;
        }
        put_char(out, c == DOTTED_I ? 'i' : utf8proc_tolower(c));
        if (c == DOTTED_I) put_char(out, COMBINING_DOT);
    }
}

static int32_t drop_mark(int32_t c) {
    return fli_class_of[c] & FLI_MARK ? -1 : c;
}

void fli_step_accents(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    (void)step;
    each_char(out, s, n, drop_mark);
}

/* What machine translation made of odd characters: control characters go, spaces of all kinds are
 * spaces (SentencePiece's nmt rules). */
static int32_t nmt(int32_t c) {
    if ((c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
        c == 0x9F)
        return -1;
    bool space = c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
                 (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                 c == 0xFEFF || c == 0xFFFD;
    return space ? ' ' : c;
}

void fli_step_nmt(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    (void)step;
    each_char(out, s, n, nmt);
}

/* ---- the ends ---- */

void fli_step_strip(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    size_t len, begin = 0, end = n;
    if (step->flags & FLI_LEFT)
        while (begin < end && (fli_class_at(s, begin, end, &len) & FLI_SPACE)) begin += len;
    while (step->flags & FLI_RIGHT && end > begin) {
        size_t last = end - 1;
        while (last > begin && (s[last] & 0xC0) == 0x80) last--;
        if (!(fli_class_at(s, last, end, &len) & FLI_SPACE) || last + len != end) break;
        end = last;
    }
    fl_text_append(out, s + begin, end - begin);
}

void fli_step_prepend(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    if (n) fl_text_append(out, step->to, step->n_to);
    fl_text_append(out, s, n);
}

/* ---- replacing ---- */

/* Where from[0..n_from) next begins in s[i..n), n if nowhere. */
static size_t find(const uint8_t *s, size_t i, size_t n, const char *from, size_t n_from) {
    while (i + n_from <= n) {
        const uint8_t *at = memchr(s + i, from[0], n - n_from + 1 - i);
        if (!at) break;
        i = (size_t)(at - s);
        if (memcmp(at, from, n_from) == 0) return i;
        i++;
    }
    return n;
}

static void replace(fl_text *out, const uint8_t *s, size_t n, const char *from, size_t n_from,
                    const char *to, size_t n_to) {
    for (size_t i = 0; i < n;) {
        size_t at = find(s, i, n, from, n_from);
        fl_text_append(out, s + i, at - i);
        if (at < n) fl_text_append(out, to, n_to);
        i = at + n_from;
    }
}

void fli_step_replace(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    replace(out, s, n, step->from, step->n_from, step->to, step->n_to);
}

enum { ESCAPED = sizeof FLI_ESCAPED_SPACE - 1 };

void fli_unescape_spaces(fl_text *out, const uint8_t *s, size_t n) {
    replace(out, s, n, FLI_ESCAPED_SPACE, ESCAPED, " ", 1);
}

bool fli_begins_escaped(const uint8_t *s, size_t n) {
    return n >= ESCAPED && memcmp(s, FLI_ESCAPED_SPACE, ESCAPED) == 0;
}

bool fli_no_escaped_space(const uint8_t *s, size_t n) {
    return find(s, 0, n, FLI_ESCAPED_SPACE, ESCAPED) == n;
}

void fli_step_replace_regex(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(step->regex, NULL);
    if (!found) {
        out->failed = true;
        return;
    }
    size_t i = 0;
    while (i < n && pcre2_match(step->regex, s, n, i, PCRE2_NOTEMPTY, found, NULL) > 0) {
        PCRE2_SIZE *at = pcre2_get_ovector_pointer(found);
        fl_text_append(out, s + i, at[0] - i);
        fl_text_append(out, step->to, step->n_to);
        i = at[1];
    }
    fl_text_append(out, s + i, n - i);
    pcre2_match_data_free(found);
}
