/* normalize_spm.c - texts rewritten by a precompiled_charsmap: as SentencePiece does it, with its
 * rules for spaces; and as Hugging Face does it, grapheme by grapheme. */
#include <string.h>
#include <utf8proc.h>

#include "token/normalize.h"

/* ---- SentencePiece ---- */

/* The longest symbol that begins s[0..n) and is kept as it is, 0 if none does. */
static size_t kept(const fli_lexicon *d, const uint8_t *s, size_t n) {
    size_t len = 0;
    uint32_t node = FLI_LEXICON_ROOT;
    for (size_t k = 0; d && k < n && (node = fli_lexicon_next(d, node, s[k])); k++)
        if (fli_lexicon_id(d, node) >= 0) len = k + 1;
    return len;
}

/* What the beginning of s[0..n) becomes: *text, *n_text bytes of it. Returns the bytes it took. */
static size_t next_part(const fli_step *step, const uint8_t *s, size_t n, const char **text,
                        size_t *n_text) {
    const fli_charsmap *m = &step->map;
    size_t len = kept(step->keep, s, n);
    *text = (const char *)s;
    if (len) return *n_text = len;
    const char *to = NULL;
    if (s[0] < 0x80 && !m->pairs && (n == 1 || s[1] < 0x80)) to = m->ascii[s[0]], len = 1;
    else to = fli_charsmap_find(m, s, n, true, &len);
    if (to) {
        *text = to;
        *n_text = strlen(to);
        return len;
    }
    int bytes;
    bool bad = fl_utf8_decode(s, n, &bytes) < 0;
    if (bad) *text = "\xEF\xBF\xBD";
    *n_text = bad ? 3 : (size_t)bytes;
    return (size_t)bytes;
}

void fli_step_spm(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    bool squeeze = step->flags & FLI_SPM_SQUEEZE, after_space = squeeze;
    size_t begin = out->n, i = 0, text_begin;
    if (step->flags & FLI_SPM_PREFIX) fl_text_append(out, " ", 1);
    text_begin = out->n;
    while (i < n) {
        const char *part;
        size_t n_part;
        i += next_part(step, s + i, n - i, &part, &n_part);
        while (after_space && n_part && *part == ' ') part++, n_part--;
        if (n_part) after_space = squeeze && part[n_part - 1] == ' ';
        fl_text_append(out, part, n_part);
    }
    while (squeeze && !out->failed && out->n > text_begin && out->data[out->n - 1] == ' ') out->n--;
    if (squeeze && out->n == text_begin) out->n = begin;  // nothing but space is nothing
    else if (step->flags & FLI_SPM_SUFFIX) fl_text_append(out, " ", 1);
}

/* ---- Hugging Face ---- */

/* A short grapheme goes by the shortest entry that begins it, whole; else its characters do, each
 * by itself. (A curious rule, and the one its vocabularies are used with.) */
static void put_grapheme(const fli_charsmap *m, fl_text *out, const uint8_t *s, size_t n) {
    enum { SHORT = 6 };
    size_t len_found;
    int len;
    const char *to = n < SHORT ? fli_charsmap_find(m, s, n, false, &len_found) : NULL;
    if (to) {
        fl_text_append(out, to, strlen(to));
        return;
    }
    for (size_t i = 0; i < n; i += (size_t)len) {
        (void)fl_utf8_decode(s + i, n - i, &len);
        to = fli_charsmap_find(m, s + i, (size_t)len, false, &len_found);
        if (to) fl_text_append(out, to, strlen(to));
        else fl_text_append(out, s + i, (size_t)len);
    }
}

/* The end of the grapheme that begins at s[i]. */
static size_t grapheme_end(const uint8_t *s, size_t i, size_t n) {
    utf8proc_int32_t state = 0;
    int len;
    int32_t before = fl_utf8_decode(s + i, n - i, &len);
    for (i += (size_t)len; before >= 0 && i < n; i += (size_t)len) {
        int32_t c = fl_utf8_decode(s + i, n - i, &len);
        if (c < 0 || utf8proc_grapheme_break_stateful(before, c, &state)) break;
        before = c;
    }
    return i;
}

void fli_step_precompiled(const fli_step *step, fl_text *out, const uint8_t *s, size_t n) {
    const fli_charsmap *m = &step->map;
    for (size_t i = 0, end; i < n; i = end) {
        bool plain = s[i] < 0x80 && s[i] != '\r' && (i + 1 == n || s[i + 1] < 0x80);
        if (!plain) {
            end = grapheme_end(s, i, n);
            put_grapheme(m, out, s + i, end - i);
            continue;
        }
        for (end = i; end < n && s[end] < 0x80 && s[end] != '\r' && !m->ascii[s[end]] &&
                      (end + 1 == n || s[end + 1] < 0x80);)
            end++;
        fl_text_append(out, s + i, end - i);
        if (end > i) continue;
        if (m->ascii[s[i]]) fl_text_append(out, m->ascii[s[i]], strlen(m->ascii[s[i]]));
        end = i + 1;
    }
}
