/* tfevents - TensorBoard event files. The format is in the header. */
#include "format/tfevents.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { RECORD_MAX = 1024, TAG_MAX = 256 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct fl_tfevents {
    FILE *file;
    int error;  // errno of the first write that failed
    char path[FL_PATH_MAX];
};

/* ---- bytes ---- */

/* Castagnoli's polynomial, reflected; a bit at a time: records are small and rare. */
static uint32_t crc32c(const uint8_t *p, size_t n) {
    uint32_t c = 0xffffffffu;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    }
    return ~c;
}

static uint32_t masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

typedef struct {
    uint8_t *out;
    size_t n, max;
    bool full;
} writer;

static void put(writer *w, const void *bytes, size_t n) {
    w->full = w->full || n > w->max - w->n;
    if (w->full) return;
    memcpy(w->out + w->n, bytes, n);
    w->n += n;
}

static void put_varint(writer *w, uint64_t v) {
    for (; v >= 0x80; v >>= 7) put(w, &(uint8_t){(uint8_t)(v | 0x80)}, 1);
    put(w, &(uint8_t){(uint8_t)v}, 1);
}

static void put_key(writer *w, unsigned field, unsigned wire) {
    put_varint(w, field << 3 | wire);
}

static void put_bytes(writer *w, unsigned field, const void *bytes, size_t n) {
    put_key(w, field, WIRE_BYTES);
    put_varint(w, n);
    put(w, bytes, n);
}

static void put_double(writer *w, unsigned field, double v) {
    put_key(w, field, WIRE_64);
    put(w, &v, sizeof v);
}

static size_t written(const writer *w) {
    return w->full ? 0 : w->n;
}

/* ---- messages ---- */

size_t fl_tfevents_encode_version(uint8_t *out, size_t max, double wall_time) {
    static const char version[] = "brain.Event:2";
    writer w = {out, 0, max, false};
    put_double(&w, 1, wall_time);
    put_bytes(&w, 3, version, sizeof version - 1);
    return written(&w);
}

size_t fl_tfevents_encode_scalar(uint8_t *out, size_t max, double wall_time, int64_t step,
                                 const char *tag, float v) {
    uint8_t value_room[TAG_MAX + 16], summary_room[TAG_MAX + 32];
    writer value = {value_room, 0, sizeof value_room, false};
    put_bytes(&value, 1, tag, strlen(tag));
    put_key(&value, 2, WIRE_32);
    put(&value, &v, sizeof v);

    writer summary = {summary_room, 0, sizeof summary_room, value.full};
    put_bytes(&summary, 1, value_room, value.n);

    writer event = {out, 0, max, summary.full};
    put_double(&event, 1, wall_time);
    put_key(&event, 2, WIRE_VARINT);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary_room, summary.n);
    return written(&event);
}

size_t fl_tfevents_frame(uint8_t *out, size_t max, const void *bytes, size_t n) {
    writer w = {out, 0, max, false};
    uint64_t length = n;
    uint8_t length_bytes[sizeof length];
    memcpy(length_bytes, &length, sizeof length);
    uint32_t length_crc = masked(crc32c(length_bytes, sizeof length)),
             crc = masked(crc32c(bytes, n));
    put(&w, length_bytes, sizeof length);
    put(&w, &length_crc, sizeof length_crc);
    put(&w, bytes, n);
    put(&w, &crc, sizeof crc);
    return written(&w);
}

/* ---- the file ---- */

static double wall_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void append(fl_tfevents *ev, const uint8_t *event, size_t n) {
    uint8_t record[RECORD_MAX];
    size_t bytes = fl_tfevents_frame(record, sizeof record, event, n);
    if (ev->error || !n || !bytes) return;
    bool good = fwrite(record, 1, bytes, ev->file) == bytes && fflush(ev->file) == 0;
    if (!good) ev->error = errno ? errno : EIO;
}

fl_status fl_tfevents_open(fl_tfevents **out, const char *dir, fl_err *err) {
    fl_tfevents *ev = fl_alloc(sizeof *ev);
    if (!ev) return fl_fail(err, FL_ERR_NOMEM, "opening an event file in %s", dir);
    *ev = (fl_tfevents){0};
    char host[64] = "host", name[192];
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "events.out.tfevents.%lld.%s.%ld", (long long)time(NULL), host,
             (long)getpid());
    fl_status s = fl_path_join(ev->path, dir, name, err);
    if (s == FL_OK && !(ev->file = fopen(ev->path, "wbe")))
        s = fl_fail(err, FL_ERR_IO, "%s: cannot create it: %s", ev->path, strerror(errno));
    if (s != FL_OK) {
        fl_dealloc(ev);
        return s;
    }
    uint8_t event[RECORD_MAX];
    append(ev, event, fl_tfevents_encode_version(event, sizeof event, wall_time()));
    *out = ev;
    return FL_OK;
}

void fl_tfevents_scalar(fl_tfevents *ev, const char *tag, int64_t step, double value) {
    uint8_t event[RECORD_MAX - 16];
    if (ev)
        append(ev, event,
               fl_tfevents_encode_scalar(event, sizeof event, wall_time(), step, tag,
                                         (float)value));
}

fl_status fl_tfevents_close(fl_tfevents *ev, fl_err *err) {
    if (!ev) return FL_OK;
    int error = fclose(ev->file) != 0 && !ev->error ? errno : ev->error;
    fl_status s = error
                      ? fl_fail(err, FL_ERR_IO, "%s: writing failed: %s", ev->path, strerror(error))
                      : FL_OK;
    fl_dealloc(ev);
    return s;
}
