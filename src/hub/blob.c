/* blob - one file of a repository: downloaded, checked, and only then called by its name.
 *
 * The bytes go to blobs/ETAG.incomplete. ETAG is the checksum of the content, so what is there
 * already is a part of the same content however old it is, and a file that changed on the hub has
 * another name. What went wrong all the same, the checksum shows: then the part is thrown away and
 * fetched once more from the start. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "hub/internal.h"

typedef struct {
    fli_hub *hub;
    const fli_file *file;
    char path[FL_PATH_MAX];  // of the part
    int fd;
    int64_t have;         // bytes of the part
    int64_t counted;      // of those, the ones progress knows of
    fl_sha sha;           // of the part
    bool started;         // this reply's first bytes were looked at
    const char *problem;  // why we refused the rest of it
} download;

/* ---- the lock ---- */

/* flock on .locks/REPO/ETAG.lock, which huggingface_hub takes too. Waits. */
static fl_status lock(const fli_hub *h, const char *etag, int *fd, fl_err *err) {
    char path[FL_PATH_MAX], name[FLI_ID_MAX + 8];
    bool told = false;
    snprintf(name, sizeof name, "%s.lock", etag);
    FL_TRY(fl_path_join(path, h->root, ".locks", err));
    FL_TRY(fl_path_join(path, path, fl_path_base(h->dir), err));
    FL_TRY(fl_dir_make(path, err));
    FL_TRY(fl_path_join(path, path, name, err));
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f < 0) return fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(errno));
    while (flock(f, LOCK_EX | LOCK_NB) != 0) {
        if (!told) fl_note("another download of this file is running; waiting for it");
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        if (!fl_interrupted()) continue;
        close(f);
        return fl_fail(err, FL_ERR_IO, "interrupted");
    }
    *fd = f;
    return FL_OK;
}

/* ---- the part ---- */

void fli_sha_begin(fl_sha *sha, const char *etag, int64_t bytes) {
    char header[32];  // of a git object
    bool large = strlen(etag) == FL_SHA256_DIGITS;
    fl_sha_init(sha, large ? FL_SHA256 : FL_SHA1);
    int n = snprintf(header, sizeof header, "blob %lld", (long long)bytes);
    if (!large) fl_sha_update(sha, header, (size_t)n + 1);  // its NUL too
}

static void begin_checksum(download *d) {
    fli_sha_begin(&d->sha, d->file->etag, d->file->bytes);
}

static fl_status part_error(const download *d, fl_err *err) {
    return fl_fail(err, FL_ERR_IO, "%s: %s", d->path, strerror(errno));
}

static fl_status empty_part(download *d, fl_err *err) {
    if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) != 0) return part_error(d, err);
    d->have = 0;
    begin_checksum(d);
    return FL_OK;
}

/* Open what is there and read it for the checksum. */
static fl_status open_part(download *d, fl_err *err) {
    static const size_t block = 1 << 16;
    char data[1 << 16];
    d->fd = open(d->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (d->fd < 0) return part_error(d, err);
    begin_checksum(d);
    for (ssize_t n; (n = read(d->fd, data, block)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return part_error(d, err);
        fl_sha_update(&d->sha, data, (size_t)n);
        d->have += n;
    }
    d->counted = d->have;
    return d->have > d->file->bytes ? empty_part(d, err) : FL_OK;
}

static bool write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool refuse(download *d, const char *why) {
    d->problem = why;
    return false;
}

/* The first bytes of a reply follow the part; or the server knows no ranges and starts over. */
static bool start(download *d, const fli_reply *r) {
    d->started = true;
    if (r->from == d->have) return true;
    if (r->from != 0) return refuse(d, "the server sent another part than was asked for");
    return empty_part(d, NULL) == FL_OK || refuse(d, strerror(errno));
}

static bool take_bytes(void *ctx, const fli_reply *r, const void *data, size_t n) {
    download *d = ctx;
    if (!d->started && !start(d, r)) return false;
    if ((int64_t)n > d->file->bytes - d->have)
        return refuse(d, "the file is longer than the hub's list says");
    if (!write_all(d->fd, data, n)) return refuse(d, strerror(errno));
    fl_sha_update(&d->sha, data, n);
    d->have += (int64_t)n;
    if (d->have > d->counted) {  // bytes fetched a second time are no progress
        d->hub->fetched += d->have - d->counted;
        d->counted = d->have;
        fl_progress_step(d->hub->progress, (double)d->hub->fetched);
    }
    return true;
}

/* ---- asking ---- */

static fl_status file_url(char out[FLI_URL_MAX], const download *d, const char *commit,
                          fl_err *err) {
    char path[3 * FLI_FILE_MAX];
    bool fits = fli_url_quote(path, sizeof path, d->file->path, true);
    int n = snprintf(out, FLI_URL_MAX, "%s/%s/resolve/%s/%s", d->hub->endpoint, d->hub->name.repo,
                     commit, path);
    if (fits && n > 0 && n < FLI_URL_MAX) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%s: its address is too long", d->file->path);
}

/* What a reply, or the lack of one, says when the file is not whole. */
static fl_status explain(const download *d, const fli_reply *r, fl_status s, fl_err *err) {
    const char *path = d->file->path;
    if (fl_interrupted())
        return fl_fail(err, FL_ERR_IO,
                       "%s: interrupted after %lld of %lld bytes; pull again to go on", path,
                       (long long)d->have, (long long)d->file->bytes);
    if (d->problem) return fl_fail(err, FL_ERR_IO, "%s: %s", path, d->problem);
    if (s != FL_OK)
        return fl_context(err, s, "%s: %lld of %lld bytes came; pull again to go on", path,
                          (long long)d->have, (long long)d->file->bytes);
    if (r->status == 200 || r->status == 206)
        return fl_fail(err, FL_ERR_IO, "%s: ends after %lld of %lld bytes", path,
                       (long long)d->have, (long long)d->file->bytes);
    return fli_hub_refusal(d->hub, r, path, err);
}

/* Until the file is whole. Attempts that brought something new are not counted as failures. */
static fl_status fetch(download *d, const char *commit, fl_err *err) {
    enum { WORTH_COUNTING = 1 << 20 };
    char url[FLI_URL_MAX];
    const char *token = *d->hub->token ? d->hub->token : NULL;
    fl_status s = FL_OK;
    fli_reply r = {0};
    int failures = 0;
    FL_TRY(file_url(url, d, commit, err));
    while (d->have < d->file->bytes) {
        int64_t before = d->counted;
        d->started = false;
        s = fli_http_get(d->hub->http, &(fli_request){url, token, d->have, take_bytes, d}, &r, err);
        if (d->have == d->file->bytes) break;
        if (d->counted - before >= WORTH_COUNTING) failures = 0;
        if (s == FL_OK && (r.status == 200 || r.status == 206)) r.outcome = FLI_HTTP_BROKEN;
        if (s == FL_OK && r.status == 416) {  // what we have is no part of what is there
            FL_TRY(empty_part(d, err));
            r.outcome = FLI_HTTP_BROKEN;
        }
        if (!fli_http_again(&r, &failures)) return explain(d, &r, s, err);
    }
    return FL_OK;
}

static bool checksum_is_right(const download *d) {
    char text[FL_SHA_TEXT];
    fl_sha_text(&d->sha, text);
    return strcmp(text, d->file->etag) == 0;
}

static fl_status fetch_checked(download *d, const char *commit, fl_err *err) {
    for (int attempt = 0; attempt < 2; attempt++) {
        FL_TRY(fetch(d, commit, err));
        if (checksum_is_right(d)) return FL_OK;
        fl_warn("%s: the checksum is wrong%s", d->file->path,
                attempt ? "" : "; downloading it once more");
        FL_TRY(empty_part(d, err));
    }
    return fl_fail(err, FL_ERR_FORMAT,
                   "%s: what %s sends does not have the checksum it promises (%.12s..)",
                   d->file->path, fli_hub_host(d->hub), d->file->etag);
}

/* With the lock held. */
static fl_status fetch_blob(download *d, const char *commit, const char *blob, fl_err *err) {
    if (fl_path_bytes(blob) == d->file->bytes) return FL_OK;  // another process was faster
    snprintf(d->path, sizeof d->path, "%.4080s.incomplete", blob);
    d->fd = -1;
    fl_status s = open_part(d, err);
    if (s == FL_OK) s = fetch_checked(d, commit, err);
    if (s == FL_OK && fsync(d->fd) != 0) s = part_error(d, err);
    if (d->fd >= 0) close(d->fd);
    if (s == FL_OK && rename(d->path, blob) != 0) s = part_error(d, err);
    return s;
}

fl_status fli_blob_fetch(fli_hub *h, const char *commit, const fli_file *f, fl_err *err) {
    char blob[FL_PATH_MAX], dir[FL_PATH_MAX];
    download d = {.hub = h, .file = f};
    int held = -1;
    FL_TRY(fl_path_join(dir, h->dir, "blobs", err));
    FL_TRY(fl_dir_make(dir, err));
    FL_TRY(fli_cache_blob(blob, h, f->etag, err));
    FL_TRY(lock(h, f->etag, &held, err));
    fl_status s = fetch_blob(&d, commit, blob, err);
    close(held);  // which unlocks
    return s == FL_OK ? fl_dir_sync(dir, err) : s;
}
