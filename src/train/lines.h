/* lines.h - a log of JSON objects, one a line, each with a "step": metrics.jsonl, samples.jsonl,
 * plan.jsonl.
 *
 * A log is appended to and flushed line by line, so what was written survives a kill. Reading drops
 * a torn last line. Resuming at step N first drops every line of a later step. */
#ifndef FL_TRAIN_LINES_H
#define FL_TRAIN_LINES_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The lines with step <= `last`, as an array; a missing file is empty. */
FL_MUST_USE fl_status fl_lines_read(json_t **out, const char *path, int64_t last, fl_err *err);

typedef struct fl_lines fl_lines;
FL_MUST_USE fl_status fl_lines_open(fl_lines **out, const char *path, int64_t last, fl_err *err);
void fl_lines_close(fl_lines *l);  // NULL is allowed

/* Append one object, which is consumed; NULL means memory ran out making it. */
FL_MUST_USE fl_status fl_lines_add(fl_lines *l, json_t *line, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
