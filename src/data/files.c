/* files - which files a list of paths stands for.
 *
 * A folder is walked depth first, its entries sorted bytewise. Inside a folder what is hidden,
 * binary, or no regular file is passed over with a note; named directly it is an error. */
#include "data/files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "format/reader.h"

enum { SNIFF_BYTES = 8192, DEPTH_MAX = 64 };

static fl_status file_is_binary(const char *path, bool *out, fl_err *err) {
    fl_reader *r;
    FL_TRY(fl_reader_open(&r, path, err));
    char head[SNIFF_BYTES];
    size_t n;
    fl_status st = fl_reader_read(r, head, sizeof head, &n, err);
    fl_reader_close(r);
    if (st == FL_OK) *out = memchr(head, 0, n) != NULL;
    return st;
}

static fl_status files_add(fli_files *f, const char *path, const struct stat *s, fl_err *err) {
    if (f->n == f->cap) {
        int cap = f->cap ? 2 * f->cap : 16;
        fli_file *grown = FL_NEW(f->arena, fli_file, (size_t)cap);
        if (!grown) return fl_fail(err, FL_ERR_NOMEM, "a list of %d files", cap);
        if (f->n) memcpy(grown, f->file, (size_t)f->n * sizeof *grown);
        f->file = grown;
        f->cap = cap;
    }
    size_t n = strlen(path) + 1;
    char *copy = FL_NEW(f->arena, char, n);
    if (!copy) return fl_fail(err, FL_ERR_NOMEM, "the name of a file");
    memcpy(copy, path, n);
    f->file[f->n++] = (fli_file){.path = copy,
                                 .bytes = s->st_size,
                                 .mtime = s->st_mtim.tv_sec * 1000000000LL + s->st_mtim.tv_nsec};
    return FL_OK;
}

static fl_status folder_walk(fli_files *f, const char *dir, int depth, fl_err *err);

/* One entry of a folder, of which `s` is what lstat says. */
static fl_status entry_visit(fli_files *f, const char *path, int depth, fl_err *err) {
    struct stat s;
    if (lstat(path, &s)) return fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode)) return folder_walk(f, path, depth + 1, err);
    if (S_ISLNK(s.st_mode) && stat(path, &s)) {
        fl_note("%s: passed over: a link to nothing", path);
        return FL_OK;
    }
    if (!S_ISREG(s.st_mode)) {
        fl_note("%s: passed over: not a regular file", path);
        return FL_OK;
    }
    bool binary;
    FL_TRY(file_is_binary(path, &binary, err));
    if (binary) {
        fl_note("%s: passed over: it looks binary", path);
        return FL_OK;
    }
    return files_add(f, path, &s, err);
}

static fl_status folder_walk(fli_files *f, const char *dir, int depth, fl_err *err) {
    if (depth > DEPTH_MAX) {
        return fl_fail(err, FL_ERR_ARG, "%s: more than %d folders deep", dir, DEPTH_MAX);
    }
    char **names;
    size_t n;
    FL_TRY(fl_dir_list(dir, &names, &n, err));
    fl_status st = FL_OK;
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        if (names[i][0] == '.') continue;
        char path[FL_PATH_MAX];
        st = fl_path_join(path, dir, names[i], err);
        if (st == FL_OK) st = entry_visit(f, path, depth, err);
    }
    fl_dealloc(names);
    return st;
}

static fl_status path_add(fli_files *f, const char *path, fl_err *err) {
    struct stat s;
    if (stat(path, &s)) return fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode)) return folder_walk(f, path, 0, err);
    if (!S_ISREG(s.st_mode)) {
        return fl_fail(err, FL_ERR_ARG,
                       "%s: not a regular file; text is read twice, so save it first", path);
    }
    bool binary;
    FL_TRY(file_is_binary(path, &binary, err));
    if (binary) {
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: looks binary (it has a NUL byte near the start); want UTF-8 text",
                       path);
    }
    return files_add(f, path, &s, err);
}

fl_status fli_files_expand(fli_files *out, const char *const *paths, int n, fl_err *err) {
    for (int i = 0; i < n; i++) FL_TRY(path_add(out, paths[i], err));
    if (out->n == 0) {
        return fl_fail(err, FL_ERR_ARG, "%s: no text files in it", n ? paths[0] : "(no path)");
    }
    return FL_OK;
}
