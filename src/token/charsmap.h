/* charsmap.h - SentencePiece's precompiled_charsmap: strings and what they become.
 *
 *     u32 n, little-endian │ n bytes: a double array, u32 units │ the results, each NUL-terminated
 * A unit, as Darts (darts-clone) has it: bits 0-7 and 31 the label; bit 8 whether a result hangs
 * below; bits 10-30 the offset to the children, times 256 where bit 9 is set. A unit with bit 31 is
 * a result: where its text begins. */
#ifndef FL_TOKEN_CHARSMAP_H
#define FL_TOKEN_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    const uint8_t *units;  // n_units of 4 bytes; NULL: no map
    size_t n_units;
    const char *results;
    size_t n_results;        // bytes, the last of them NUL
    const char *ascii[128];  // what the character alone becomes; NULL: itself
    bool pairs;              // some entry begins with two ASCII characters
} fli_charsmap;

/* Points into `bytes`, which must live as long. */
FL_MUST_USE fl_status fli_charsmap_open(fli_charsmap *m, const uint8_t *bytes, size_t n,
                                        fl_err *err);
/* The result for the longest (or the shortest) entry that begins s[0..n), *len its length; NULL if
 * none does. */
const char *fli_charsmap_find(const fli_charsmap *m, const uint8_t *s, size_t n, bool longest,
                              size_t *len);

#endif
