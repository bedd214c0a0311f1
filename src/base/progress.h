/* progress.h - long work tells how far it is, and can be asked to stop.
 *
 * The worker calls fl_progress_step; whoever owns the terminal installed `show`. fl_interrupted
 * becomes true after fl_interrupt (which a SIGINT handler may call); long loops look at it and stop
 * cleanly. */
#ifndef FL_BASE_PROGRESS_H
#define FL_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_progress fl_progress;
struct fl_progress {
    void (*show)(fl_progress *p, bool finished);  // NULL: nobody is looking
    void *ctx;
    const char *what;    // "tokenizing"
    const char *unit;    // "B", "tokens", "steps"
    double done, total;  // total 0: unknown
    double start;        // fl_now at the first step
    char detail[160];    // "loss 2.31  12.3k tok/s  61 % of roof"
};

/* Of all three p may be NULL. */
void fl_progress_begin(fl_progress *p, const char *what, const char *unit, double total);
void fl_progress_step(fl_progress *p, double done);
void fl_progress_end(fl_progress *p);

void fl_interrupt(void);  // async-signal-safe
bool fl_interrupted(void);
void fl_interrupt_reset(void);

double fl_now(void);  // monotonic seconds

#ifdef __cplusplus
}
#endif

#endif
