/* rows.h - the rows of the CPU, best first; backend.c lists them. */
#ifndef FL_BACKEND_CPU_ROWS_H
#define FL_BACKEND_CPU_ROWS_H

#include "backend/backend.h"

extern const fl_backend fl_backend_amx, fl_backend_avx512, fl_backend_avx2, fl_backend_portable,
    fl_backend_blocks, fl_backend_ref;

/* x86-64; after avx512 and avx2, for weights that these leave to them. */
extern const fl_backend fl_backend_strips_avx512, fl_backend_halves, fl_backend_strips_avx2;

#endif
