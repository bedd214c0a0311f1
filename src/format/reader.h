/* reader.h - the bytes of a file, decompressed when its name says .gz or .zst.
 *
 * Concatenated members and frames are read through; a file that ends in the middle of one is an
 * error, never a short text. */
#ifndef FL_FORMAT_READER_H
#define FL_FORMAT_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_reader fl_reader;
FL_MUST_USE fl_status fl_reader_open(fl_reader **out, const char *path, fl_err *err);
void fl_reader_close(fl_reader *r);  // NULL is allowed

/* Up to `cap` > 0 bytes into buf; *n = 0 only at the end. */
FL_MUST_USE fl_status fl_reader_read(fl_reader *r, void *buf, size_t cap, size_t *n, fl_err *err);
int64_t fl_reader_consumed(const fl_reader *r);  // bytes of the file on disk read so far

/* The part of a path's length that is left without .gz or .zst: what the file is called inside. */
size_t fl_reader_plain_name(const char *path);

#ifdef __cplusplus
}
#endif

#endif
