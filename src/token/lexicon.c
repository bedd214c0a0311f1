/* lexicon.c - building the trie of lexicon.h. */
#include "token/lexicon.h"

#include <string.h>

#include "base/alloc.h"

enum { NODES_MAX = 1 << 24 };  // an edge has 24 bits for its parent

fl_status fli_lexicon_init(fli_lexicon *d, size_t bytes, fl_err *err) {
    size_t n_nodes = bytes + FLI_LEXICON_ROOT + 1;
    if (n_nodes > NODES_MAX)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "a vocabulary of %zu bytes, at most %d", bytes,
                       NODES_MAX);
    unsigned bits = 4;
    while (((size_t)1 << bits) < 2 * n_nodes) bits++;
    *d = (fli_lexicon){.mask = ((size_t)1 << bits) - 1, .shift = 64 - bits};
    d->slot = fl_alloc((d->mask + 1) * sizeof *d->slot);
    d->id = fl_alloc(n_nodes * sizeof *d->id);
    if (!d->slot || !d->id) {
        fli_lexicon_clear(d);
        return fl_fail(err, FL_ERR_NOMEM, "a trie of %zu bytes", bytes);
    }
    memset(d->slot, 0, (d->mask + 1) * sizeof *d->slot);
    memset(d->id, 0xff, n_nodes * sizeof *d->id);
    d->n_nodes = FLI_LEXICON_ROOT + 1;
    return FL_OK;
}

void fli_lexicon_clear(fli_lexicon *d) {
    fl_dealloc(d->slot);
    fl_dealloc(d->id);
    *d = (fli_lexicon){0};
}

void fli_lexicon_put(fli_lexicon *d, const uint8_t *s, size_t n, int32_t id) {
    uint32_t node = FLI_LEXICON_ROOT;
    for (size_t i = 0; i < n; i++) {
        uint32_t edge = node << 8 | s[i];
        size_t k = fli_lexicon_slot_of(d, edge);
        while (d->slot[k].node && d->slot[k].edge != edge) k = (k + 1) & d->mask;
        if (!d->slot[k].node) d->slot[k] = (fli_lexicon_slot){edge, (uint32_t)d->n_nodes++};
        node = d->slot[k].node;
    }
    if (d->id[node] < 0) d->id[node] = id;
}
