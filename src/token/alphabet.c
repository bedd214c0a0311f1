/* alphabet.c - byte-level vocabularies written as text: each byte has a printable character.
 *
 * Printable Latin-1 characters stand for themselves; the other bytes, in order, are U+0100 and up
 * (bytes_to_unicode of GPT-2's encoder.py). So a space is U+0120 and a line feed U+010A. */
#include "token/internal.h"

static bool stands_for_itself(int32_t c) {
    return (c >= '!' && c <= '~') || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

/* The bytes that do not, in order: 0..0x20, 0x7F..0xA0, 0xAD. */
enum { HIDDEN_BASE = 0x100, N_LOW = 0x21, N_MID = 0x22, N_HIDDEN = N_LOW + N_MID + 1 };

int32_t fli_byte_char(uint8_t byte) {
    if (stands_for_itself(byte)) return byte;
    if (byte < N_LOW) return HIDDEN_BASE + byte;
    if (byte < 0xAD) return HIDDEN_BASE + N_LOW + (byte - 0x7F);
    return HIDDEN_BASE + N_LOW + N_MID;
}

int fli_char_byte(int32_t c) {
    if (c < HIDDEN_BASE) return c >= 0 && stands_for_itself(c) ? (int)c : -1;
    int32_t k = c - HIDDEN_BASE;
    if (k < N_LOW) return (int)k;
    if (k < N_LOW + N_MID) return (int)(0x7F + k - N_LOW);
    return k < N_HIDDEN ? 0xAD : -1;
}

size_t fli_unprintable(const char *text, size_t n, uint8_t *out) {
    const uint8_t *s = (const uint8_t *)text;
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        int len, byte = fli_char_byte(fl_utf8_decode(s + i, n - i, &len));
        if (byte < 0) {
            for (k = 0; k < n; k++) out[k] = s[k];
            return n;
        }
        out[k++] = (uint8_t)byte;
        i += (size_t)len;
    }
    return k;
}
