/* unicode.c - the class of every code point, expanded once from the committed runs.
 *
 * A flat table of 1.1 MB: one load per character, and only the pages of the scripts in use are ever
 * cached. */
#include "token/unicode.h"

#include <pthread.h>
#include <string.h>

uint8_t fli_class_of[FLI_N_CHARS];

static const uint32_t runs[] = {
#include "token/unicode_runs.h"
};

static void expand(void) {
    size_t n = sizeof runs / sizeof *runs;
    for (size_t i = 0; i < n; i++) {
        uint32_t first = runs[i] >> 8, end = i + 1 < n ? runs[i + 1] >> 8 : FLI_N_CHARS;
        memset(fli_class_of + first, (int)(runs[i] & 0xff), end - first);
    }
}

void fli_unicode_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, expand);
}
