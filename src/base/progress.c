/* progress - how far long work is, and whether it was asked to stop. */
#include "base/progress.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static atomic_bool interrupted;  // lock-free, so a signal handler may set it

static void show(fl_progress *p, bool finished) {
    if (p->show) p->show(p, finished);
}

void fl_progress_begin(fl_progress *p, const char *what, const char *unit, double total) {
    if (!p) return;
    p->what = what;
    p->unit = unit;
    p->done = 0;
    p->total = total;
    p->start = fl_now();
    p->detail[0] = '\0';
    show(p, false);
}

void fl_progress_step(fl_progress *p, double done) {
    if (!p) return;
    p->done = done;
    show(p, false);
}

void fl_progress_end(fl_progress *p) {
    if (p) show(p, true);
}

void fl_interrupt(void) {
    atomic_store(&interrupted, true);
}

bool fl_interrupted(void) {
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

void fl_interrupt_reset(void) {
    atomic_store(&interrupted, false);
}

double fl_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
