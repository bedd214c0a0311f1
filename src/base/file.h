/* file.h - files: read, map, replace atomically, list.
 *
 * Everything Fledge writes goes through fl_file_write or fl_outfile: bytes go to a temporary file
 * in the same folder, are flushed to disk, and take the final name by rename. A crash or a full
 * disk leaves the old file as it was. Messages name the path and the system's reason. */
#ifndef FL_BASE_FILE_H
#define FL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_PATH_MAX = 4096 };

bool fl_path_exists(const char *path);
bool fl_path_is_dir(const char *path);
int64_t fl_path_bytes(const char *path);  // -1 if it cannot be read
FL_MUST_USE fl_status fl_path_join(char out[FL_PATH_MAX], const char *dir, const char *name,
                                   fl_err *err);
const char *fl_path_base(const char *path);  // after the last '/'
bool fl_path_has_suffix(const char *path, const char *suffix);
bool fl_path_same(const char *a, const char *b);  // both are there, and are one file or folder

/* The whole file, NUL-terminated, owned by the caller (fl_dealloc). Fails above `max_bytes`. */
FL_MUST_USE fl_status fl_file_read(const char *path, size_t max_bytes, char **out, size_t *n,
                                   fl_err *err);

/* Replace `path` by these bytes, atomically. */
FL_MUST_USE fl_status fl_file_write(const char *path, const void *data, size_t n, fl_err *err);

/* The same for output made piece by piece. A write error is kept and returned by commit. Exactly
 * one of commit and abort ends it. */
typedef struct fl_outfile fl_outfile;
FL_MUST_USE fl_status fl_outfile_open(fl_outfile **out, const char *path, fl_err *err);
FILE *fl_outfile_stream(fl_outfile *f);
FL_MUST_USE fl_status fl_outfile_commit(fl_outfile *f, fl_err *err);
void fl_outfile_abort(fl_outfile *f);  // NULL is allowed

/* A read-only mapping. */
typedef struct {
    const uint8_t *data;
    size_t bytes;
} fl_map;
FL_MUST_USE fl_status fl_map_open(fl_map *out, const char *path, fl_err *err);
void fl_map_close(fl_map *m);

/* All of these bytes will be read soon: a mapping's are brought into memory now, in large pieces,
 * which is several times as fast as page by page when they are first touched. */
void fl_map_want(const void *data, size_t bytes);

/* These bytes need not stay in memory: where they are read again, they come from the file. Bytes
 * that are no mapping's are left alone, so that whoever made a copy need not know whose they are.
 */
void fl_map_forget(const void *data, size_t bytes);

/* Keep these bytes, of a mapping or not, in memory whatever else wants it, until they are forgotten
 * or freed. Where the system refuses, a warning says so once, with its limit and the remedy. */
void fl_memory_lock(const void *data, size_t bytes);

FL_MUST_USE fl_status fl_dir_make(const char *path, fl_err *err);  // with parents; existing is fine
FL_MUST_USE fl_status fl_dir_remove(const char *path, fl_err *err);  // with everything in it
FL_MUST_USE fl_status fl_dir_sync(const char *path, fl_err *err);  // make renames inside it durable
FL_MUST_USE fl_status fl_link_replace(const char *link, const char *target,
                                      fl_err *err);  // symlink

/* Names of the entries, sorted bytewise, without "." and ".."; one block, freed by fl_dealloc. */
FL_MUST_USE fl_status fl_dir_list(const char *path, char ***names, size_t *n, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
