/* charsmap.c - walking a precompiled_charsmap. Its bytes are foreign: every step is inside. */
#include "token/charsmap.h"

#include <string.h>

static uint32_t unit(const fli_charsmap *m, size_t i) {
    const uint8_t *b = m->units + 4 * i;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static size_t offset(uint32_t u) {
    return (size_t)(u >> 10) << (u & 1u << 9 ? 8 : 0);
}

const char *fli_charsmap_find(const fli_charsmap *m, const uint8_t *s, size_t n, bool longest,
                              size_t *len) {
    const char *found = NULL;
    if (m->n_units == 0) return NULL;
    size_t at = offset(unit(m, 0));
    for (size_t i = 0; i < n && s[i]; i++) {
        at ^= s[i];
        if (at >= m->n_units) break;
        uint32_t u = unit(m, at);
        if ((u & (1u << 31 | 0xff)) != s[i]) break;
        at ^= offset(u);
        if (!(u & 1u << 8) || at >= m->n_units) continue;
        size_t text = unit(m, at) & 0x7fffffff;
        if (text >= m->n_results) continue;
        found = m->results + text;
        *len = i + 1;
        if (!longest) break;
    }
    return found;
}

/* Whether some entry begins with these bytes. */
static bool enters(const fli_charsmap *m, const uint8_t *s, size_t n) {
    size_t at = offset(unit(m, 0));
    for (size_t i = 0; i < n; i++) {
        at ^= s[i];
        if (at >= m->n_units || (unit(m, at) & (1u << 31 | 0xff)) != s[i]) return false;
        at ^= offset(unit(m, at));
    }
    return true;
}

fl_status fli_charsmap_open(fli_charsmap *m, const uint8_t *bytes, size_t n, fl_err *err) {
    *m = (fli_charsmap){0};
    if (n == 0) return FL_OK;
    size_t n_trie = n < 4 ? n
                          : bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 |
                                (size_t)bytes[3] << 24;
    if (n < 4 || n_trie % 4 || n_trie == 0 || n_trie >= n - 4 || bytes[n - 1] != 0)
        return fl_fail(err, FL_ERR_FORMAT,
                       "precompiled_charsmap: a trie of %zu bytes in %zu, and texts after it to a "
                       "final NUL",
                       n_trie, n);
    m->units = bytes + 4;
    m->n_units = n_trie / 4;
    m->results = (const char *)bytes + 4 + n_trie;
    m->n_results = n - 4 - n_trie;
    size_t len;
    for (int a = 1; a < 128; a++) {
        m->ascii[a] = fli_charsmap_find(m, &(uint8_t){(uint8_t)a}, 1, true, &len);
        for (int b = 1; b < 128; b++)
            m->pairs |= enters(m, (const uint8_t[]){(uint8_t)a, (uint8_t)b}, 2);
    }
    return FL_OK;
}
