/* run.c - what a run may take: steps, depth and memory, and the one error it ends with. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "token/jinja/jinja.h"

fli_val fli_fail(fli_run *r, const char *fmt, ...) {
    if (r->status == FL_OK) {
        char what[200];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(what, sizeof what, fmt, ap);
        va_end(ap);
        what[fl_utf8_complete((const uint8_t *)what, strlen(what))] = 0;
        r->status = fl_fail(r->err, FL_ERR_FORMAT, "line %d: %s", r->line, what);
    }
    return fli_none();
}

bool fli_work(fli_run *r, size_t steps) {
    if (r->status != FL_OK) return false;
    if (steps <= (size_t)r->steps) {
        r->steps -= (int64_t)steps;
        return true;
    }
    r->steps = 0;
    fli_fail(r, "the template takes too many steps: it is stopped");
    return false;
}

void *fli_take(fli_run *r, size_t count, size_t size) {
    if (r->status != FL_OK) return NULL;
    if (count > r->memory / size) {
        fli_fail(r, "the template's values take too much memory: it is stopped");
        return NULL;
    }
    r->memory -= count * size;
    void *p = fl_arena_alloc(&r->arena, count ? count : 1, size, _Alignof(max_align_t));
    if (!p) r->status = fl_fail(r->err, FL_ERR_NOMEM, "line %d: a template's values", r->line);
    return p;
}

bool fli_deeper(fli_run *r) {
    if (r->depth-- > 0) return fli_work(r, 1);
    fli_fail(r, "the template nests too deeply: it is stopped");
    return false;
}
