/* normalize.c - NFC by utf8proc, applied only where it can matter, and never to bytes that are not
 * UTF-8.
 *
 * Every character below U+0300 is in NFC and composes with none before it, and its UTF-8 begins
 * with a byte below 0xCC. So text is copied up to the last such character before one that may
 * matter, and handed to utf8proc from there to the next ASCII character that no combining mark
 * follows. */
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "token/internal.h"

enum { MATTERS = 0xCC, STACK_CHARS = 256 };

static size_t next_that_matters(const uint8_t *s, size_t i, size_t n) {
    while (i < n && s[i] < MATTERS) i++;
    return i;
}

bool fli_is_nfc_already(const uint8_t *s, size_t n) {
    return next_that_matters(s, 0, n) == n;
}

/* Code points of s[0..n), valid UTF-8, decomposed, ordered and composed; appended as UTF-8. */
static void compose(fl_text *out, const uint8_t *s, size_t n) {
    utf8proc_int32_t stack[STACK_CHARS], *chars = stack;
    utf8proc_ssize_t cap = STACK_CHARS;
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
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
    count = count < 0 ? count : utf8proc_normalize_utf32(chars, count, how);
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        char utf8[4];
        fl_text_append(out, utf8, (size_t)fl_utf8_encode(chars[i], utf8));
    }
    if (count < 0)
        fl_text_append(out, s, n);  // utf8proc knows no such case; the text stays as it is
    if (chars != stack) fl_dealloc(chars);
}

static void compose_valid(fl_text *out, const uint8_t *s, size_t n) {
    for (size_t i = 0, from = 0; i <= n;) {
        int len = 1;
        bool bad = i == n || fl_utf8_decode(s + i, n - i, &len) < 0;
        if (bad && i > from) compose(out, s + from, i - from);
        if (bad && i < n) fl_text_append(out, s + i, 1);
        i += (size_t)len;
        if (bad) from = i;
    }
}

void fli_nfc(fl_text *out, const uint8_t *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        size_t j = next_that_matters(s, i, n), from = j;
        if (j < n && from > i) {  // the character before it may combine
            from--;
            while (from > i && (s[from] & 0xC0) == 0x80) from--;
        }
        fl_text_append(out, s + i, from - i);
        size_t end = j;
        while (end < n && !(s[end] < 0x80 && (end + 1 == n || s[end + 1] < MATTERS))) end++;
        if (end > from) compose_valid(out, s + from, end - from);
        i = end;
    }
}
