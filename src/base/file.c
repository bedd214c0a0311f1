/* file - files by path.
 *
 * An output is written as NAME.PID-N.tmp beside its final name, so that the rename stays inside one
 * file system, and synced before the rename, so that the name never points at bytes the disk does
 * not have. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"

/* "PATH: cannot VERB it: REASON" from errno. */
static fl_status fail_errno(fl_err *err, const char *path, const char *verb) {
    fl_status code = errno == ENOMEM ? FL_ERR_NOMEM : FL_ERR_IO;
    return fl_fail(err, code, "%s: cannot %s: %s", path, verb, strerror(errno));
}

/* ---- paths ---- */

bool fl_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool fl_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t fl_path_bytes(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

fl_status fl_path_join(char out[FL_PATH_MAX], const char *dir, const char *name, fl_err *err) {
    size_t n = strlen(dir), k = strlen(name), slash = n > 0 && dir[n - 1] != '/';
    if (n + slash + k >= FL_PATH_MAX)
        return fl_fail(err, FL_ERR_ARG, "%.60s...: path longer than %d bytes", dir,
                       FL_PATH_MAX - 1);
    memmove(out, dir, n);  // dir may be out
    if (slash) out[n] = '/';
    memcpy(out + n + slash, name, k + 1);
    return FL_OK;
}

const char *fl_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool fl_path_has_suffix(const char *path, const char *suffix) {
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && memcmp(path + n - k, suffix, k) == 0;
}

bool fl_path_same(const char *a, const char *b) {
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

/* The folder that holds `path`. */
static fl_status path_parent(char out[FL_PATH_MAX], const char *path, fl_err *err) {
    size_t n = (size_t)(fl_path_base(path) - path);
    if (n >= FL_PATH_MAX) return fl_fail(err, FL_ERR_ARG, "%.60s...: path too long", path);
    memcpy(out, n ? path : ".", n ? n : 1);
    out[n > 1 ? n - 1 : 1] = '\0';  // without the slash, unless it is the root
    return FL_OK;
}

/* A name beside `path` that no other thread or process uses. */
static fl_status temporary_name(char out[FL_PATH_MAX], const char *path, fl_err *err) {
    static atomic_uint serial;
    unsigned n = atomic_fetch_add(&serial, 1);
    int len = snprintf(out, FL_PATH_MAX, "%s.%ld-%u.tmp", path, (long)getpid(), n);
    if (len < 0 || len >= FL_PATH_MAX)
        return fl_fail(err, FL_ERR_ARG, "%.60s...: path too long", path);
    return FL_OK;
}

/* ---- reading ---- */

/* Open for reading something that has a size. */
static fl_status open_regular(const char *path, int *fd, size_t *bytes, fl_err *err) {
    struct stat st;
    int f = open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0) return fail_errno(err, path, "open");
    if (fstat(f, &st) != 0 || !S_ISREG(st.st_mode)) {
        const char *what = S_ISDIR(st.st_mode) ? "a directory" : "not a regular file";
        close(f);
        return fl_fail(err, FL_ERR_IO, "%s: expected a file, found %s", path, what);
    }
    *fd = f;
    *bytes = (size_t)st.st_size;
    return FL_OK;
}

static fl_status read_all(int fd, const char *path, char *out, size_t n, fl_err *err) {
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, out + at, n - at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, path, "read");
        if (got == 0) return fl_fail(err, FL_ERR_IO, "%s: shrank while it was read", path);
        at += (size_t)got;
    }
    return FL_OK;
}

fl_status fl_file_read(const char *path, size_t max_bytes, char **out, size_t *n, fl_err *err) {
    int fd;
    size_t bytes;
    FL_TRY(open_regular(path, &fd, &bytes, err));
    fl_status s = FL_OK;
    char *data = NULL;
    if (bytes > max_bytes)
        s = fl_fail(err, FL_ERR_FORMAT, "%s: %zu bytes, at most %zu are accepted", path, bytes,
                    max_bytes);
    else if (!(data = fl_alloc(bytes + 1)))
        s = fl_fail(err, FL_ERR_NOMEM, "%s: no memory for its %zu bytes", path, bytes);
    else s = read_all(fd, path, data, bytes, err);
    close(fd);
    if (s != FL_OK) {
        fl_dealloc(data);
        return s;
    }
    data[bytes] = '\0';
    *out = data;
    if (n) *n = bytes;
    return FL_OK;
}

/* ---- mappings ---- */

/* All that are open: only what lies in one of them may be forgotten. */
typedef struct mapping {
    struct mapping *next;
    const uint8_t *data;
    size_t bytes;
} mapping;

static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;
static mapping *mappings;

static fl_status remember(const uint8_t *data, size_t bytes, const char *path, fl_err *err) {
    mapping *m = fl_alloc(sizeof *m);
    if (!m) return fl_fail(err, FL_ERR_NOMEM, "%s: mapping it", path);
    pthread_mutex_lock(&mappings_lock);
    *m = (mapping){mappings, data, bytes};
    mappings = m;
    pthread_mutex_unlock(&mappings_lock);
    return FL_OK;
}

static void unmap(const uint8_t *data, size_t bytes) {
    pthread_mutex_lock(&mappings_lock);
    mapping **at = &mappings;
    while (*at && (*at)->data != data) at = &(*at)->next;
    mapping *m = *at;
    if (m) *at = m->next;
    munmap((void *)(uintptr_t)data, bytes);
    pthread_mutex_unlock(&mappings_lock);
    fl_dealloc(m);
}

fl_status fl_map_open(fl_map *out, const char *path, fl_err *err) {
    int fd;
    size_t bytes;
    FL_TRY(open_regular(path, &fd, &bytes, err));
    if (bytes == 0) {  // mmap refuses nothing
        close(fd);
        *out = (fl_map){.data = (const uint8_t *)"", .bytes = 0};
        return FL_OK;
    }
    void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int reason = errno;
    close(fd);
    errno = reason;
    if (data == MAP_FAILED) return fail_errno(err, path, "map");
    const fl_status s = remember(data, bytes, path, err);
    if (s != FL_OK) munmap(data, bytes);
    else *out = (fl_map){.data = data, .bytes = bytes};
    return s;
}

void fl_map_close(fl_map *m) {
    if (m->bytes) unmap(m->data, m->bytes);
    *m = (fl_map){0};
}

static bool is_mapped(const void *data, size_t bytes) {
    const uintptr_t begin = (uintptr_t)data;
    pthread_mutex_lock(&mappings_lock);
    const mapping *m = mappings;
    while (m && (begin < (uintptr_t)m->data || bytes > m->bytes ||
                 begin - (uintptr_t)m->data > m->bytes - bytes))
        m = m->next;
    pthread_mutex_unlock(&mappings_lock);
    return m;
}

/* Advice about the whole pages among the bytes, or about all that have some of them. Only speed and
 * memory depend on it, so that it may fail. */
static void advise(const void *data, size_t bytes, bool whole, int advice) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data;
    const uintptr_t first = (begin + (whole ? page - 1 : 0)) / page * page;
    const uintptr_t end = (begin + bytes + (whole ? 0 : page - 1)) / page * page;
    if (first >= end || !is_mapped(data, bytes)) return;
    if (advice == MADV_DONTNEED) (void)munlock((void *)first, end - first);  // or they would stay
    (void)madvise((void *)first, end - first, advice);
}

void fl_map_want(const void *data, size_t bytes) {
#ifdef MADV_POPULATE_READ
    advise(data, bytes, false, MADV_POPULATE_READ);
#else
    advise(data, bytes, false, MADV_WILLNEED);
#endif
}

/* Pages that other bytes share are kept. */
void fl_map_forget(const void *data, size_t bytes) {
    advise(data, bytes, true, MADV_DONTNEED);
}

static void warn_unlocked(const char *reason) {
    static atomic_bool warned;
    struct rlimit l;
    char limit[FL_HUMAN] = "none";
    if (atomic_exchange(&warned, true)) return;
    if (getrlimit(RLIMIT_MEMLOCK, &l) == 0 && l.rlim_cur != RLIM_INFINITY)
        fl_human_bytes((double)l.rlim_cur, limit);
    fl_warn(
        "weights cannot be locked in memory: %s; the limit is %s: raise it (ulimit -l, in KiB, "
        "or LimitMEMLOCK of a service) to the size of the model",
        reason, limit);
}

void fl_memory_lock(const void *data, size_t bytes) {
    if (bytes && mlock(data, bytes) != 0) warn_unlocked(strerror(errno));
}

/* ---- writing ---- */

struct fl_outfile {
    FILE *stream;
    char path[FL_PATH_MAX], temporary[FL_PATH_MAX];
};

fl_status fl_outfile_open(fl_outfile **out, const char *path, fl_err *err) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return fl_fail(err, FL_ERR_IO, "%s: not a regular file, will not be replaced", path);
    fl_outfile *f = fl_alloc(sizeof *f);
    if (!f) return fl_fail(err, FL_ERR_NOMEM, "%s: opening for writing", path);
    fl_status s = fl_path_join(f->path, "", path, err);
    if (s == FL_OK) s = temporary_name(f->temporary, path, err);
    if (s == FL_OK) {
        f->stream = fopen(f->temporary, "wxe");
        if (!f->stream) s = fail_errno(err, path, "write");
    }
    if (s != FL_OK) {
        fl_dealloc(f);
        return s;
    }
    *out = f;
    return FL_OK;
}

FILE *fl_outfile_stream(fl_outfile *f) {
    return f->stream;
}

/* Flush, sync and close; the first failure is the one reported. stdio keeps only a flag of an
 * earlier one. */
static fl_status finish_stream(FILE *stream, const char *path, fl_err *err) {
    errno = 0;
    bool early = ferror(stream);
    fl_status s = FL_OK;
    if (fflush(stream) != 0 || (!early && fsync(fileno(stream)) != 0))
        s = fail_errno(err, path, "write");
    if (fclose(stream) != 0 && s == FL_OK && !early) s = fail_errno(err, path, "write");
    if (s == FL_OK && early)
        s = fl_fail(err, FL_ERR_IO, "%s: a write failed (is the disk full?)", path);
    return s;
}

fl_status fl_outfile_commit(fl_outfile *f, fl_err *err) {
    char dir[FL_PATH_MAX];
    fl_status s = finish_stream(f->stream, f->path, err);
    if (s == FL_OK && rename(f->temporary, f->path) != 0) s = fail_errno(err, f->path, "replace");
    if (s != FL_OK) {
        unlink(f->temporary);
    } else {
        s = path_parent(dir, f->path, err);
        if (s == FL_OK) s = fl_dir_sync(dir, err);
    }
    fl_dealloc(f);
    return s;
}

void fl_outfile_abort(fl_outfile *f) {
    if (!f) return;
    fclose(f->stream);
    unlink(f->temporary);
    fl_dealloc(f);
}

fl_status fl_file_write(const char *path, const void *data, size_t n, fl_err *err) {
    fl_outfile *f;
    FL_TRY(fl_outfile_open(&f, path, err));
    if (n && fwrite(data, 1, n, f->stream) != n) {
        fl_status s = fail_errno(err, path, "write");
        fl_outfile_abort(f);
        return s;
    }
    return fl_outfile_commit(f, err);
}

/* ---- folders ---- */

fl_status fl_dir_make(const char *path, fl_err *err) {
    char part[FL_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= FL_PATH_MAX) return fl_fail(err, FL_ERR_ARG, "'%.60s': not a path", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] && path[i] != '/') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && !fl_path_is_dir(part))
            return fail_errno(err, part, "make this folder");
    }
    return FL_OK;
}

fl_status fl_dir_sync(const char *path, fl_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, path, "open");
    int failed = fsync(fd) != 0 && errno != EINVAL &&
                 errno != EROFS;  // some file systems have no such thing
    fl_status s = failed ? fail_errno(err, path, "sync") : FL_OK;
    close(fd);
    return s;
}

fl_status fl_link_replace(const char *link, const char *target, fl_err *err) {
    char temporary[FL_PATH_MAX];
    FL_TRY(temporary_name(temporary, link, err));
    if (symlink(target, temporary) != 0) return fail_errno(err, link, "link");
    if (rename(temporary, link) != 0) {
        fl_status s = fail_errno(err, link, "replace");
        unlink(temporary);
        return s;
    }
    return FL_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The pointers and then the names themselves, in one block. `packed` holds n names, each with its
 * NUL. */
static char **unpack_names(const fl_text *packed, size_t n) {
    char **names = fl_alloc(n * sizeof *names + packed->n);
    if (!names) return NULL;
    char *at = (char *)(names + n);
    if (packed->n) memcpy(at, packed->data, packed->n);
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1) names[i] = at;
    qsort(names, n, sizeof *names, by_name);
    return names;
}

fl_status fl_dir_list(const char *path, char ***names, size_t *n, fl_err *err) {
    DIR *d = opendir(path);
    if (!d) return fail_errno(err, path, "list");
    fl_text packed = {0};
    size_t count = 0;
    const struct dirent *e;
    for (errno = 0; (e = readdir(d)); errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        fl_text_append(&packed, e->d_name, strlen(e->d_name) + 1);
        count++;
    }
    fl_status s = errno ? fail_errno(err, path, "list") : fl_text_ok(&packed, err);
    closedir(d);
    if (s == FL_OK) {
        char **list = unpack_names(&packed, count);
        if (list) {
            *names = list;
            *n = count;
        } else {
            s = fl_fail(err, FL_ERR_NOMEM, "%s: its %zu names", path, count);
        }
    }
    fl_text_clear(&packed);
    return s;
}

fl_status fl_dir_remove(const char *path, fl_err *err) {
    char **names, inner[FL_PATH_MAX];
    size_t n;
    FL_TRY(fl_dir_list(path, &names, &n, err));
    fl_status s = FL_OK;
    for (size_t i = 0; i < n && s == FL_OK; i++) {
        struct stat st;
        s = fl_path_join(inner, path, names[i], err);
        if (s != FL_OK) break;
        if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode))
            s = fl_dir_remove(inner, err);  // a link to a folder is a file: only the link goes
        else if (unlink(inner) != 0) s = fail_errno(err, inner, "remove");
    }
    fl_dealloc(names);
    if (s == FL_OK && rmdir(path) != 0) s = fail_errno(err, path, "remove");
    return s;
}
