/* dict.h - tokens by prefix: a trie whose edges are one hash table.
 *
 *     node = FLI_DICT_ROOT;
 *     for (i = at; i < n && (node = fli_dict_next(d, node, s[i])); i++)
 *         if ((id = fli_dict_id(d, node)) >= 0) ...      s[at..i] is token id
 */
#ifndef FL_TOKEN_DICT_H
#define FL_TOKEN_DICT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    uint32_t edge;  // parent << 8 | byte
    uint32_t node;  // 0: free
} fli_dict_slot;

typedef struct {
    fli_dict_slot *slot;  // open addressing, half full at most
    size_t mask;
    unsigned shift;
    int32_t *id;  // by node, -1: no token ends here
    size_t n_nodes;
} fli_dict;

enum { FLI_DICT_ROOT = 1 };

/* Room for tokens of `bytes` bytes in all. */
FL_MUST_USE fl_status fli_dict_init(fli_dict *d, size_t bytes, fl_err *err);
void fli_dict_clear(fli_dict *d);
void fli_dict_put(fli_dict *d, const uint8_t *s, size_t n, int32_t id);  // the first one stays

static inline size_t fli_dict_slot_of(const fli_dict *d, uint32_t edge) {
    return (size_t)(edge * 0x9E3779B97F4A7C15u >> d->shift);
}

/* The node one byte on, 0 if no token goes that way. */
static inline uint32_t fli_dict_next(const fli_dict *d, uint32_t node, uint8_t byte) {
    uint32_t edge = node << 8 | byte;
    for (size_t k = fli_dict_slot_of(d, edge);; k = (k + 1) & d->mask)
        if (d->slot[k].edge == edge || !d->slot[k].node) return d->slot[k].node;
}

static inline int32_t fli_dict_id(const fli_dict *d, uint32_t node) {
    return d->id[node];
}

#endif
