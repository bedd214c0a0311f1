/* rows.h - the JSON objects of a .jsonl file (or of an array in a .json file), one after another.
 * Inside data only. */
#ifndef FL_DATA_ROWS_H
#define FL_DATA_ROWS_H

#include <stdbool.h>

#include "base/json.h"

typedef struct fli_rows fli_rows;
FL_MUST_USE fl_status fli_rows_open(fli_rows **out, const char *path, bool skip_bad, fl_err *err);
void fli_rows_close(fli_rows *r);  // NULL is allowed

/* The next object, borrowed until the next call; NULL at the end. What is no JSON object is an
 * error "FILE:LINE: ...", or with skip_bad is counted and passed over. */
FL_MUST_USE fl_status fli_rows_next(fli_rows *r, json_t **row, fl_err *err);
int64_t fli_rows_line(const fli_rows *r);      // of the last row, from 1; in an array its number
int64_t fli_rows_consumed(const fli_rows *r);  // bytes of the file read so far
int64_t fli_rows_n_skipped(const fli_rows *r);

/* The string at `key`, or an error that names the row and the keys it does have. */
FL_MUST_USE fl_status fli_rows_str(const fli_rows *r, const json_t *row, const char *key,
                                   const char **s, size_t *n, fl_err *err);

#endif
