/* grammar_trie.h - the vocabulary as two tries of bytes: tokens of plain bytes only, and the rest.
 *
 * A trie stands in the order a walk visits it: each node is a byte, its depth, and where the walk
 * goes on if nothing below can match. */
#ifndef FL_INFER_GRAMMAR_TRIE_H
#define FL_INFER_GRAMMAR_TRIE_H

#include "infer/grammar.h"

typedef struct {
    int32_t token;   // that ends here, or -1
    int32_t end;     // the first node that is not below
    uint16_t depth;  // bytes before this one
    uint8_t byte;
} fli_node;

typedef struct {
    fli_node *nodes;
    int32_t n_nodes, n_depth;
} fli_trie;

struct fl_token_trie {
    const fl_tokenizer *t;
    int32_t V;
    fli_trie plain, rest;
    int32_t n_depth;           // of the deeper one
    int32_t *plain_by_length;  // tokens, twins left out
    int32_t *n_plain_upto;     // this length; plain.n_depth + 1
    int32_t (*twins)[2];       // tokens of the same bytes: one in a trie, and another
    int32_t n_twins;
    int32_t *end;  // tokens that end a text
    int n_end;
};

/* Letters, digits and the space: what grammars of strings do not tell apart. */
static inline bool fli_is_plain(uint8_t b) {
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == ' ';
}

static inline void fli_bit_set(uint64_t *bits, int32_t i) {
    bits[i >> 6] |= (uint64_t)1 << (i & 63);
}

static inline bool fli_bit(const uint64_t *bits, int32_t i) {
    return bits[i >> 6] >> (i & 63) & 1;
}

bool fli_is_end(const fl_token_trie *t, int32_t id);

#endif
