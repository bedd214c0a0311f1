/* hash.h - XXH3-128 (libxxhash) of bytes and files, for manifests: detects change, not malice. */
#ifndef FL_BASE_HASH_H
#define FL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_HASH_TEXT = 33 };
typedef struct fl_hash fl_hash;
fl_hash *fl_hash_new(void);  // NULL when memory is exhausted
void fl_hash_update(fl_hash *h, const void *data, size_t n);
void fl_hash_text(const fl_hash *h, char out[FL_HASH_TEXT]);  // 32 hex digits of all so far
void fl_hash_free(fl_hash *h);
uint64_t fl_hash64(const void *data, size_t n);  // of bytes at once

#ifdef __cplusplus
}
#endif

#endif
