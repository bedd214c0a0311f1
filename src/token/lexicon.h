/* lexicon.h - tokens by prefix: a trie whose edges are one hash table.
 *
 *     node = FLI_LEXICON_ROOT;
 *     for (i = at; i < n && (node = fli_lexicon_next(d, node, s[i])); i++)
 *         if ((id = fli_lexicon_id(d, node)) >= 0) ...      s[at..i] is token id
 */
#ifndef FL_TOKEN_LEXICON_H
#define FL_TOKEN_LEXICON_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    uint32_t edge;  // parent << 8 | byte
    uint32_t node;  // 0: free
} fli_lexicon_slot;

typedef struct {
    fli_lexicon_slot *slot;  // open addressing, half full at most
    size_t mask;
    unsigned shift;
    int32_t *id;  // by node, -1: no token ends here
    size_t n_nodes;
} fli_lexicon;

enum { FLI_LEXICON_ROOT = 1 };

/* Room for tokens of `bytes` bytes in all. */
FL_MUST_USE fl_status fli_lexicon_init(fli_lexicon *d, size_t bytes, fl_err *err);
void fli_lexicon_clear(fli_lexicon *d);
void fli_lexicon_put(fli_lexicon *d, const uint8_t *s, size_t n,
                     int32_t id);  // the first one stays

static inline size_t fli_lexicon_slot_of(const fli_lexicon *d, uint32_t edge) {
    return (size_t)(edge * 0x9E3779B97F4A7C15u >> d->shift);
}

/* The node one byte on, 0 if no token goes that way. */
static inline uint32_t fli_lexicon_next(const fli_lexicon *d, uint32_t node, uint8_t byte) {
    uint32_t edge = node << 8 | byte;
    for (size_t k = fli_lexicon_slot_of(d, edge);; k = (k + 1) & d->mask)
        if (d->slot[k].edge == edge || !d->slot[k].node) return d->slot[k].node;
}

static inline int32_t fli_lexicon_id(const fli_lexicon *d, uint32_t node) {
    return d->id[node];
}

#endif
