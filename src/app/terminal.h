/* terminal.h - what the user sees on standard error: messages and the progress of long work. */
#ifndef FL_APP_TERMINAL_H
#define FL_APP_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/progress.h"

typedef enum { TALK_QUIET, TALK_NORMAL, TALK_VERBOSE } app_talk;

/* Take the library's messages from here on. Warnings are always shown, notes unless quiet, the rest
 * if verbose. */
void app_terminal_open(app_talk talk);

/* What TERM says: a terminal, if there is one, does what escape sequences tell it to. */
bool app_terminal_commands(void);

/* A progress bar on a terminal; a line every few seconds elsewhere; nothing when quiet. */
fl_progress app_progress(void);

/* "fledge: TEXT" in red where colours are welcome (NO_COLOR, TERM=dumb and pipes are respected). */
void app_complain(const char *text);

/* Something beside the result, on standard error, dim where colours are welcome; nothing when
 * quiet. */
void app_aside(const char *text);

/* Text that somebody else wrote, to standard output. A terminal is shown its characters and not
 * commanded by them; app_aside does the same. */
void app_show_text(const char *s, size_t n);

#endif
