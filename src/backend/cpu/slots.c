/* slots - rows sent to experts, in the order of the experts. */
#include "backend/cpu/slots.h"

#include <string.h>

#include "backend/cpu/whole.h"

int64_t fli_slots_most_blocks(int64_t n, int64_t E, int64_t rows) {
    return n / rows + imin(E, n);
}

size_t fli_slots_bytes(int64_t n, int64_t E, int64_t n_blocks) {
    return on_line((size_t)(n + E + 1 + 1) * sizeof(int32_t) +
                   (size_t)n_blocks * sizeof(fli_slot_block));
}

fli_slots fli_slots_at(void *memory, int64_t n, int64_t E) {
    int32_t *at = memory;
    return (fli_slots){.slot = at,
                       .first = at + n,
                       .n_blocks = at + n + E + 1,
                       .blocks = (fli_slot_block *)(void *)(at + n + E + 2)};
}

static int64_t expert_of(const fl_tensor *ids, int64_t E, int64_t slot) {
    return ids->rank ? ((const int32_t *)ids->data)[slot] : slot % E;
}

void fli_slots_sort(const fli_slots *s, const fl_tensor *ids, int64_t n, int64_t E) {
    memset(s->first, 0, (size_t)(E + 1) * sizeof *s->first);
    for (int64_t i = 0; i < n; i++) s->first[expert_of(ids, E, i) + 1]++;
    for (int64_t e = 0; e < E; e++) s->first[e + 1] += s->first[e];
    for (int64_t i = 0; i < n; i++) s->slot[s->first[expert_of(ids, E, i)]++] = (int32_t)i;
    for (int64_t e = E; e > 0; e--) s->first[e] = s->first[e - 1];  // each stands at its end now
    s->first[0] = 0;
}

void fli_slots_cut(const fli_slots *s, int64_t E, int64_t rows) {
    int32_t n = 0;
    for (int32_t e = 0; e < E; e++) {
        for (int32_t at = s->first[e]; at < s->first[e + 1]; at += (int32_t)rows)
            s->blocks[n++] = (fli_slot_block){e, at, (int32_t)imin(rows, s->first[e + 1] - at)};
    }
    *s->n_blocks = n;
}
