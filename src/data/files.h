/* files.h - which files a list of paths stands for. Inside data only. */
#ifndef FL_DATA_FILES_H
#define FL_DATA_FILES_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

typedef struct {
    const char *path;
    int64_t bytes;  // on disk
    int64_t mtime;  // nanoseconds
} fli_file;

typedef struct {
    fli_file *file;
    int n, cap;
    fl_arena *arena;  // owns the array and the paths
} fli_files;

/* Expand files and folders into `out->file`, as corpus.h says. `out->arena` is set by the
 * caller. */
FL_MUST_USE fl_status fli_files_expand(fli_files *out, const char *const *paths, int n,
                                       fl_err *err);

#endif
