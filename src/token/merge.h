/* merge.h - byte-pair merges: the ranked table, and applying it to one piece. */
#ifndef FL_TOKEN_MERGE_H
#define FL_TOKEN_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "token/piece.h"

typedef struct {
    int32_t left, right, id;  // left + right -> id
} fli_merge;

typedef struct {
    uint64_t pair;  // left << 32 | right; EMPTY: free
    int32_t rank, id;
} fli_merge_slot;

typedef struct {
    fli_merge *list;  // in rank order
    int32_t *rank;    // of list[i]; NULL: i itself. Equal ranks: the leftmost pair goes first
    size_t n, cap;
    fli_merge_slot *slot;  // open addressing, half full at most
    size_t mask;
    unsigned shift;
} fli_merges;

enum { FLI_NO_RANK = INT32_MAX };

FL_MUST_USE fl_status fli_merges_push(fli_merges *m, fli_merge one, fl_err *err);
FL_MUST_USE fl_status fli_merges_index(fli_merges *m, fl_err *err);  // after the last push
void fli_merges_clear(fli_merges *m);

/* The longest piece that is merged: beyond it a text without any boundary would take all memory. */
enum { FLI_PIECE_MAX = 64 << 20 };

/* Merge id[0..n) in place; returns how many are left, 0 when memory is exhausted. n > 0. */
size_t fli_merges_apply(const fli_merges *m, int32_t *id, size_t n, fli_scratch *scratch);

#endif
