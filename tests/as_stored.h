/* as_stored.h - a tensor of a file as one to write, unchanged. */
#ifndef FL_TESTS_AS_STORED_H
#define FL_TESTS_AS_STORED_H

#include <string.h>

#include "format/safetensors.h"

static inline fl_write_tensor as_stored(const fl_stored_tensor *t) {
    fl_write_tensor w = {.name = t->name,
                         .dtype = t->t.dtype,
                         .rank = t->t.rank,
                         .source = t->t.data,
                         .source_dtype = t->t.dtype};
    memcpy(w.dim, t->t.dim, sizeof w.dim);
    return w;
}

#endif
