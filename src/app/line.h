/* line.h - lines from the user: with history and editing on a terminal (libedit), plain elsewhere.
 *
 *     app_line *l;
 *     app_line_open(&l, "chat_history", words, &err);
 *     while (app_line_read(l, "> ", &text) == LINE_READ) ...
 *     app_line_close(l);
 *
 * A line comes without its newline. Ctrl-C gives LINE_INTERRUPTED and clears what was typed; the
 * signal handler is the caller's and calls app_line_wake. One at a time. */
#ifndef FL_APP_LINE_H
#define FL_APP_LINE_H

#include <stdbool.h>

#include "base/text.h"

typedef struct app_line app_line;
typedef enum { LINE_READ, LINE_INTERRUPTED, LINE_END } app_line_result;

/* History is kept under that name in the user's state folder (XDG_STATE_HOME). Tab completes the
 * first word from `words` (NULL ends). */
FL_MUST_USE fl_status app_line_open(app_line **out, const char *history, const char *const *words,
                                    fl_err *err);
void app_line_close(app_line *l);        // NULL is allowed
bool app_line_edits(const app_line *l);  // both ends are a terminal

/* Appends to `out`. Longer lines than 16 MiB end the input. */
app_line_result app_line_read(app_line *l, const char *prompt, fl_text *out);
void app_line_wake(void);  // async-signal-safe: a read that waits looks at fl_interrupted

#endif
