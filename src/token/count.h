/* count.h - how often each piece of text occurs: the input of training. */
#ifndef FL_TOKEN_COUNT_H
#define FL_TOKEN_COUNT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

typedef struct {
    const uint8_t *bytes;
    uint64_t count;
    uint32_t n, hash;
} fli_word;

typedef struct {
    fl_arena arena;  // the bytes
    fli_word *word;
    size_t n, cap;
    uint32_t *slot;  // open addressing: 1 + index of the word, 0: free
    size_t n_slots;
} fli_words;

void fli_words_init(fli_words *w);
void fli_words_clear(fli_words *w);
FL_MUST_USE fl_status fli_words_add(fli_words *w, const uint8_t *bytes, size_t n, uint64_t count,
                                    fl_err *err);
FL_MUST_USE fl_status fli_words_merge(fli_words *into, const fli_words *from, fl_err *err);

#endif
