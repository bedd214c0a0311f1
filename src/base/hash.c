/* hash - XXH3 of libxxhash behind our own names. */
#include "base/hash.h"

#include <stdio.h>

#define XXH_STATIC_LINKING_ONLY  // for the size of the state
#include <xxhash.h>

#include "base/alloc.h"

struct fl_hash {
    XXH3_state_t state;
};

fl_hash *fl_hash_new(void) {
    fl_hash *h = fl_alloc(sizeof *h);
    if (h) XXH3_128bits_reset(&h->state);
    return h;
}

void fl_hash_update(fl_hash *h, const void *data, size_t n) {
    if (n) XXH3_128bits_update(&h->state, data, n);
}

void fl_hash_text(const fl_hash *h, char out[FL_HASH_TEXT]) {
    XXH128_hash_t v = XXH3_128bits_digest(&h->state);
    snprintf(out, FL_HASH_TEXT, "%016llx%016llx", (unsigned long long)v.high64,
             (unsigned long long)v.low64);
}

void fl_hash_free(fl_hash *h) {
    fl_dealloc(h);
}

uint64_t fl_hash64(const void *data, size_t n) {
    return XXH3_64bits(data, n);
}
