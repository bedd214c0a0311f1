/* verify - files of a cache against the checksums in their names. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "hub/internal.h"

/* The blob that `path` leads to; false: it is no file of a cache. */
static bool find_blob(char out[FL_PATH_MAX], const char *path) {
    char *slash = realpath(path, out) ? strrchr(out, '/') : NULL;
    if (!slash) return false;
    *slash = '\0';
    const bool among_blobs = strcmp(fl_path_base(out), "blobs") == 0;
    *slash = '/';
    return among_blobs &&
           (fli_is_hash(slash + 1, FL_SHA256_DIGITS) || fli_is_hash(slash + 1, FL_SHA1_DIGITS));
}

static fl_status read_checksum(fl_sha *sha, int fd, const char *path, fl_progress *progress,
                               double *done, fl_err *err) {
    static const size_t block = 1 << 16;
    char data[1 << 16];
    for (ssize_t n; (n = read(fd, data, block)) != 0;) {
        if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "%s: interrupted", path);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(errno));
        fl_sha_update(sha, data, (size_t)n);
        fl_progress_step(progress, *done += (double)n);
    }
    return FL_OK;
}

static fl_status verify_blob(const char *path, const char *blob, fl_progress *progress,
                             double *done, fl_err *err) {
    char text[FL_SHA_TEXT];
    const char *etag = fl_path_base(blob);
    fl_sha sha;
    int fd = open(blob, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fl_fail(err, FL_ERR_IO, "%s: %s", blob, strerror(errno));
    fli_sha_begin(&sha, etag, fl_path_bytes(blob));
    fl_status s = read_checksum(&sha, fd, path, progress, done, err);
    close(fd);
    FL_TRY(s);
    fl_sha_text(&sha, text);
    if (strcmp(text, etag) == 0) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "%s: its checksum is %.12s.., the hub's was %.12s..; delete %s and pull again",
                   path, text, etag, blob);
}

static fl_status verify_file(const char *path, fl_progress *progress, double *done, int *n_files,
                             fl_err *err) {
    char blob[FL_PATH_MAX];
    if (!find_blob(blob, path)) return FL_OK;
    if (!(*n_files)++) fl_progress_begin(progress, "comparing checksums", "B", 0);
    return verify_blob(path, blob, progress, done, err);
}

static fl_status verify_folder(const char *dir, fl_progress *progress, double *done, int *n_files,
                               fl_err *err) {
    char **names, path[FL_PATH_MAX];
    size_t n;
    FL_TRY(fl_dir_list(dir, &names, &n, err));
    fl_status s = FL_OK;
    for (size_t i = 0; i < n && s == FL_OK; i++) {
        s = fl_path_join(path, dir, names[i], err);
        if (s == FL_OK && !fl_path_is_dir(path))
            s = verify_file(path, progress, done, n_files, err);
    }
    fl_dealloc(names);
    return s;
}

fl_status fl_hub_verify(const char *path, fl_progress *progress, int *n_files, fl_err *err) {
    double done = 0;
    *n_files = 0;
    fl_status s = (fl_path_is_dir(path) ? verify_folder : verify_file)(path, progress, &done,
                                                                       n_files, err);
    if (*n_files) fl_progress_end(progress);
    return s;
}
