/* ids - room in a growable list of tokens. */
#include "data/ids.h"

#include <string.h>

#include "base/alloc.h"

fl_status fli_ids_reserve(fl_ids *ids, size_t n, fl_err *err) {
    if (ids->cap - ids->n >= n) return FL_OK;
    size_t cap = ids->n + n > 2 * ids->cap ? ids->n + n : 2 * ids->cap;
    int32_t *grown = fl_alloc(cap * sizeof *grown);
    if (!grown) return fl_fail(err, FL_ERR_NOMEM, "a list of %zu tokens", cap);
    if (ids->n) memcpy(grown, ids->id, ids->n * sizeof *grown);
    fl_dealloc(ids->id);
    ids->id = grown;
    ids->cap = cap;
    return FL_OK;
}
