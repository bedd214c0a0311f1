/* count.c - a hash table of words and their counts. */
#include "token/count.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "token/internal.h"

enum { ARENA_BLOCK = 1 << 20, FIRST_SLOTS = 1 << 12 };

void fli_words_init(fli_words *w) {
    *w = (fli_words){0};
    fl_arena_init(&w->arena, ARENA_BLOCK);
}

void fli_words_clear(fli_words *w) {
    fl_arena_free(&w->arena);
    fl_dealloc(w->word);
    fl_dealloc(w->slot);
    *w = (fli_words){0};
}

static bool rehash(fli_words *w) {
    size_t n_slots = w->n_slots ? 2 * w->n_slots : FIRST_SLOTS;
    uint32_t *slot = fl_alloc(n_slots * sizeof *slot);
    if (!slot) return false;
    memset(slot, 0, n_slots * sizeof *slot);
    for (size_t i = 0; i < w->n; i++) {
        size_t k = w->word[i].hash & (n_slots - 1);
        while (slot[k]) k = (k + 1) & (n_slots - 1);
        slot[k] = (uint32_t)i + 1;
    }
    fl_dealloc(w->slot);
    w->slot = slot;
    w->n_slots = n_slots;
    return true;
}

static fl_status add_hashed(fli_words *w, const uint8_t *bytes, size_t n, uint32_t hash,
                            uint64_t count, fl_err *err) {
    if (w->n_slots < 2 * (w->n + 1) && !rehash(w))
        return fl_fail(err, FL_ERR_NOMEM, "counting %zu different words", w->n);
    size_t k = hash & (w->n_slots - 1);
    for (; w->slot[k]; k = (k + 1) & (w->n_slots - 1)) {
        fli_word *x = w->word + w->slot[k] - 1;
        if (x->hash == hash && x->n == n && memcmp(x->bytes, bytes, n) == 0) {
            x->count += count;
            return FL_OK;
        }
    }
    uint8_t *copy = w->n < UINT32_MAX ? fl_arena_alloc(&w->arena, n, 1, 1) : NULL;
    if (!copy || !fli_grow((void **)&w->word, &w->cap, w->n + 1, sizeof *w->word))
        return fl_fail(err, FL_ERR_NOMEM, "counting %zu different words", w->n);
    memcpy(copy, bytes, n);
    w->word[w->n++] = (fli_word){copy, count, (uint32_t)n, hash};
    w->slot[k] = (uint32_t)w->n;
    return FL_OK;
}

fl_status fli_words_add(fli_words *w, const uint8_t *bytes, size_t n, uint64_t count, fl_err *err) {
    return add_hashed(w, bytes, n, (uint32_t)fl_hash64(bytes, n), count, err);
}

fl_status fli_words_merge(fli_words *into, const fli_words *from, fl_err *err) {
    for (size_t i = 0; i < from->n; i++) {
        const fli_word *x = from->word + i;
        FL_TRY(add_hashed(into, x->bytes, x->n, x->hash, x->count, err));
    }
    return FL_OK;
}
