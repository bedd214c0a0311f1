/* slots.h - rows sent to experts, in the order of the experts.
 *
 *     const fli_slots s = fli_slots_at(c->workspace, n, E);     // fli_slots_bytes of it
 *     fli_slots_sort(&s, &c->in[IDS], n, E);                    // a phase of one task
 *     fli_slots_cut(&s, E, rows);                               // then blocks are there
 *
 * A slot is one (row, choice). Each expert's slots are cut into blocks of at most so many rows. How
 * many slots an expert has is not known when tasks are counted, so there are as many tasks as there
 * may be blocks, and those beyond the last block do nothing. */
#ifndef FL_BACKEND_CPU_SLOTS_H
#define FL_BACKEND_CPU_SLOTS_H

#include "tensor/tensor.h"

typedef struct {
    int32_t expert, first, count;  // count slots from slot[first] on
} fli_slot_block;

typedef struct {
    int32_t *slot;           // (n) by expert, ascending within one
    int32_t *first;          // (E + 1) where an expert's begin
    fli_slot_block *blocks;  // if room was asked for
    int32_t *n_blocks;
} fli_slots;

/* At most this many: every full one, and a rest for each expert that has any. */
int64_t fli_slots_most_blocks(int64_t n, int64_t E, int64_t rows);

/* Whole lines; n_blocks may be 0. */
size_t fli_slots_bytes(int64_t n, int64_t E, int64_t n_blocks);
fli_slots fli_slots_at(void *memory, int64_t n, int64_t E);

/* A counting sort. Without ids, slot j of a row is expert j's. */
void fli_slots_sort(const fli_slots *s, const fl_tensor *ids, int64_t n, int64_t E);
void fli_slots_cut(const fli_slots *s, int64_t E, int64_t rows);

#endif
