/* unicode.c - the class of every code point, expanded once from the committed runs.
 *
 * A flat table of 1.1 MB: one load per character, and only the pages of the scripts in use are ever
 * cached. */
#include "token/unicode.h"

#include <pthread.h>
#include <string.h>

uint8_t fli_class_of[FLI_N_CHARS], fli_bert_class[FLI_N_CHARS];

static const uint32_t runs[] = {
#include "token/unicode_runs.h"
};
static const uint32_t bert_runs[] = {
#include "token/unicode_bert_runs.h"
};

static void expand(uint8_t *class_of, const uint32_t *run, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t first = run[i] >> 8, end = i + 1 < n ? run[i + 1] >> 8 : FLI_N_CHARS;
        memset(class_of + first, (int)(run[i] & 0xff), end - first);
    }
}

static void expand_classes(void) {
    expand(fli_class_of, runs, sizeof runs / sizeof *runs);
}

static void expand_bert(void) {
    expand(fli_bert_class, bert_runs, sizeof bert_runs / sizeof *bert_runs);
}

void fli_unicode_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, expand_classes);
}

void fli_bert_unicode_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fli_unicode_init();
    pthread_once(&once, expand_bert);
}
