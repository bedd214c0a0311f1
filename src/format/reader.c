/* reader - plain, gzip (RFC 1952) and zstd (RFC 8878) files behind one read call.
 *
 * A codec is a row: how to start, how to turn input bytes into output bytes, how to stop. The file
 * itself is read here, in one place, through one input buffer. */
#include "format/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { INPUT_BYTES = 1 << 17 };

typedef struct {
    const char *suffix;
    bool (*begin)(fl_reader *r);
    /* Decode from r->in[at..n) into out. Sets *made, moves r->at; NULL or what is wrong with the
     * bytes. */
    const char *(*decode)(fl_reader *r, void *out, size_t cap, size_t *made);
    void (*end)(fl_reader *r);
} codec_row;

struct fl_reader {
    const codec_row *codec;
    char *path;
    int fd;
    int64_t consumed;
    bool at_eof;   // the file has no more bytes
    bool inside;   // a member or frame has begun and not ended
    size_t at, n;  // unread input
    union {
        z_stream z;
        ZSTD_DStream *zstd;
    } u;
    uint8_t in[INPUT_BYTES];
};

static bool plain_begin(fl_reader *r) {
    (void)r;
    return true;
}

static const char *plain_decode(fl_reader *r, void *out, size_t cap, size_t *made) {
    *made = r->n - r->at < cap ? r->n - r->at : cap;
    memcpy(out, r->in + r->at, *made);
    r->at += *made;
    return NULL;
}

static void plain_end(fl_reader *r) {
    (void)r;
}

static bool gz_begin(fl_reader *r) {
    return inflateInit2(&r->u.z, 15 + 16) == Z_OK;  // 16: a gzip header is required
}

static const char *gz_decode(fl_reader *r, void *out, size_t cap, size_t *made) {
    z_stream *z = &r->u.z;
    z->next_in = r->in + r->at;
    z->avail_in = (uInt)(r->n - r->at);
    z->next_out = out;
    z->avail_out = (uInt)cap;
    r->inside = true;
    int rc = inflate(z, Z_NO_FLUSH);
    r->at = r->n - z->avail_in;
    *made = cap - z->avail_out;
    if (rc == Z_STREAM_END) {
        r->inside = false;
        return inflateReset(z) == Z_OK ? NULL : "gzip state";
    }
    if (rc == Z_OK || rc == Z_BUF_ERROR) return NULL;
    return z->msg ? z->msg : "not gzip data";
}

static void gz_end(fl_reader *r) {
    inflateEnd(&r->u.z);
}

static bool zst_begin(fl_reader *r) {
    r->u.zstd = ZSTD_createDStream();
    return r->u.zstd != NULL;
}

static const char *zst_decode(fl_reader *r, void *out, size_t cap, size_t *made) {
    ZSTD_inBuffer in = {r->in, r->n, r->at};
    ZSTD_outBuffer dst = {out, cap, 0};
    size_t rc = ZSTD_decompressStream(r->u.zstd, &dst, &in);
    r->at = in.pos;
    *made = dst.pos;
    r->inside = rc != 0;
    return ZSTD_isError(rc) ? ZSTD_getErrorName(rc) : NULL;
}

static void zst_end(fl_reader *r) {
    ZSTD_freeDStream(r->u.zstd);
}

/* The first row whose suffix the path has; the last has them all. */
static const codec_row codecs[] = {
    {".gz", gz_begin, gz_decode, gz_end},
    {".zst", zst_begin, zst_decode, zst_end},
    {"", plain_begin, plain_decode, plain_end},
};

static const codec_row *codec_of(const char *path) {
    size_t n = strlen(path);
    const codec_row *c = codecs;
    for (;; c++) {
        size_t k = strlen(c->suffix);
        if (n >= k && memcmp(path + n - k, c->suffix, k) == 0) return c;
    }
}

size_t fl_reader_plain_name(const char *path) {
    return strlen(path) - strlen(codec_of(path)->suffix);
}

fl_status fl_reader_open(fl_reader **out, const char *path, fl_err *err) {
    size_t path_bytes = strlen(path) + 1;
    fl_reader *r = fl_alloc(sizeof *r + path_bytes);
    if (!r) return fl_fail(err, FL_ERR_NOMEM, "%s: no memory to read it", path);
    memset(r, 0, offsetof(fl_reader, in));
    r->path = memcpy(r + 1, path, path_bytes);
    r->codec = codec_of(path);
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        fl_status st = fl_fail(err, FL_ERR_IO, "%s: %s", path, strerror(errno));
        fl_dealloc(r);
        return st;
    }
    if (!r->codec->begin(r)) {
        close(r->fd);
        fl_dealloc(r);
        return fl_fail(err, FL_ERR_NOMEM, "%s: no memory to decompress it", path);
    }
    *out = r;
    return FL_OK;
}

void fl_reader_close(fl_reader *r) {
    if (!r) return;
    r->codec->end(r);
    close(r->fd);
    fl_dealloc(r);
}

int64_t fl_reader_consumed(const fl_reader *r) {
    return r->consumed;
}

static fl_status input_fill(fl_reader *r, fl_err *err) {
    ssize_t got;
    do got = read(r->fd, r->in, sizeof r->in);
    while (got < 0 && errno == EINTR);
    if (got < 0) return fl_fail(err, FL_ERR_IO, "%s: %s", r->path, strerror(errno));
    r->at = 0;
    r->n = (size_t)got;
    r->consumed += got;
    r->at_eof = got == 0;
    return FL_OK;
}

fl_status fl_reader_read(fl_reader *r, void *buf, size_t cap, size_t *n, fl_err *err) {
    FL_ASSERT(cap > 0);
    if (cap > 1u << 30) cap = 1u << 30;  // zlib counts in 32 bits
    for (;;) {
        size_t made = 0;
        if (r->at < r->n || r->inside) {
            const char *wrong = r->codec->decode(r, buf, cap, &made);
            if (wrong) {
                return fl_fail(err, FL_ERR_FORMAT, "%s: near byte %lld: %s", r->path,
                               (long long)(r->consumed - (int64_t)(r->n - r->at)), wrong);
            }
        }
        if (made || r->at_eof) {
            if (!made && r->inside) {
                return fl_fail(err, FL_ERR_FORMAT, "%s: the compressed data ends in the middle",
                               r->path);
            }
            *n = made;
            return FL_OK;
        }
        if (r->at == r->n) FL_TRY(input_fill(r, err));
    }
}
