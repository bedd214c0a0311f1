/* batch - one block of memory cut into the five arrays of a batch. */
#include "data/batch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

fl_status fl_batch_new(fl_batch *b, int64_t B, int64_t T, fl_err *err) {
    FL_ASSERT(B > 0 && T > 0);
    size_t n = (size_t)B * (size_t)T;
    int32_t *block = fl_alloc(5 * n * sizeof *block);
    if (!block) {
        return fl_fail(err, FL_ERR_NOMEM, "a batch of %lld x %lld", (long long)B, (long long)T);
    }
    memset(block, 0, 5 * n * sizeof *block);
    *b = (fl_batch){.B = B,
                    .T = T,
                    .tokens = block,
                    .targets = block + n,
                    .segment = block + 2 * n,
                    .position = block + 3 * n,
                    .weight = (float *)(block + 4 * n)};
    return FL_OK;
}

void fl_batch_clear(fl_batch *b) {
    fl_dealloc(b->tokens);
    *b = (fl_batch){0};
}
