/* child.h - a piece of work in a process of its own, so that its time and memory are its own.
 *
 *     app_child c;
 *     FL_TRY(app_child_run(&c, work, &what, err));   // work writes its answer to a file descriptor
 *     c.text, c.seconds, c.peak_bytes
 *     app_child_clear(&c);
 *
 * This process must have started no threads yet. */
#ifndef FL_APP_CHILD_H
#define FL_APP_CHILD_H

#include <stddef.h>

#include "base/err.h"

typedef struct {
    char *text;         // what was written to fd, at most a MiB, NUL-terminated
    double seconds;     // from fork to end
    double peak_bytes;  // of resident memory
} app_child;

/* A failure of `work` comes back with its message; so does a death by signal. */
typedef fl_status (*app_child_work)(void *ctx, int fd, fl_err *err);
FL_MUST_USE fl_status app_child_run(app_child *out, app_child_work work, void *ctx, fl_err *err);
void app_child_clear(app_child *c);

#endif
