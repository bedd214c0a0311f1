/* backend.c - the rows, and how one is chosen. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/rows.h"
#include "backend/plan.h"

extern const fl_backend fl_backend_cuda;  // backend/cuda/cuda.c: only where it is asked for

/* Best first; the reference is the last resort of every call. */
const fl_backend *const fl_backends[] = {
    &fl_backend_cuda,
#if defined(__x86_64__)
    &fl_backend_amx,      &fl_backend_avx512,      &fl_backend_strips_avx512, &fl_backend_halves,
    &fl_backend_avx2,     &fl_backend_strips_avx2,
#endif
    &fl_backend_portable, &fl_backend_blocks,      &fl_backend_ref,           NULL,
};

const fl_backend *fl_backend_find(const char *name) {
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if (strcmp((*b)->name, name) == 0) return *b;
    }
    return NULL;
}

static fl_status unknown(const char *name, fl_err *err) {
    char known[128] = "";
    size_t n = 0;
    for (const fl_backend *const *b = fl_backends; *b && n < sizeof known - 1; b++) {
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", (*b)->name);
    }
    return fl_fail(err, FL_ERR_ARG, "FLEDGE_BACKEND=%s: no such backend; there are %s", name,
                   known);
}

fl_status fl_backend_pick(const fl_backend **out, fl_err *err) {
    const char *name = getenv("FLEDGE_BACKEND");
    if (name && *name) {
        const fl_backend *b = fl_backend_find(name);
        if (!b) return unknown(name, err);
        if (!b->available()) {
            return fl_fail(err, FL_ERR_UNSUPPORTED, "FLEDGE_BACKEND=%s needs %s", name, b->needs);
        }
        *out = b;
        return FL_OK;
    }
    const fl_backend *const *b = fl_backends;
    while (!(*b)->available()) b++;  // ref, the last, always is
    *out = *b;
    return FL_OK;
}

static bool takes(const fl_backend *b, fl_op_id op, const fl_call *call) {
    const fl_kernel *k = b->kernel[op];
    return k && b->available() && (!k->supports || k->supports(call));
}

const fl_backend *fli_backend_for(const fl_backend *from, fl_op_id op, const fl_call *call) {
    if (takes(from, op, call)) return from;
    const fl_backend *const *b = fl_backends;
    while (*b && *b != from) b++;
    if (!*b) return &fl_backend_ref;  // a row of the caller's own
    while (!takes(*b, op, call)) b++;
    return *b;
}

const fl_kernel *fl_backend_kernel(const fl_backend *from, fl_op_id op, const fl_call *call) {
    return fli_backend_for(from, op, call)->kernel[op];
}
