/* hostile.h - spoilt files by the thousand: what is tried on each, and what must hold.
 *
 *     hostile_kind = (hostile_row){"m.gguf", "m.gguf", NULL, open_model};
 *     hostile_binary(data, n, places, n_places);     truncated, numbers replaced, bits flipped
 *     hostile_json("config.json", folder);           every value replaced by what it is not
 *
 * For each input: it is opened, or refused with a message that names the file and says something a
 * terminal can show; neither takes long nor more memory than the process may have; and what was
 * opened can be used. Nothing is random but by a fixed seed. FLEDGE_HOSTILE=N does N times as many. */
#ifndef FL_TESTS_HOSTILE_H
#define FL_TESTS_HOSTILE_H

#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng.h"
#include "check.h"
#include "folder.h"

/* Opens the file (or the folder it is in) as a user would, uses it a little, closes it. */
typedef fl_status (*hostile_open)(const char *path, fl_err *err);

typedef struct {
    const char *file;    // inside the test's folder
    const char *named;   // what every message must contain; NULL: nothing in particular
    const char *opened;  // what is given to `open`; NULL: the file itself
    hostile_open open;
} hostile_row;

static hostile_row hostile_kind;
static int hostile_refused, hostile_accepted;
static double hostile_slowest;

enum { HOSTILE_SECONDS = 4, HOSTILE_MEMORY = 1 << 30 };

/* So that a size that was believed is "no memory" and not a machine that stands still. */
static inline void hostile_limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const struct rlimit most = {HOSTILE_MEMORY, HOSTILE_MEMORY};
    if (setrlimit(RLIMIT_DATA, &most) != 0) printf("SKIP limit of memory: setrlimit\n");
#endif
}

static inline bool hostile_is_text(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') return false;
    return true;
}

static inline void hostile_judge(fl_status s, const fl_err *err, double took, const char *what,
                                 long detail) {
    if (s == FL_OK) hostile_accepted++;
    else hostile_refused++;
    if (took > hostile_slowest) hostile_slowest = took;
    CHECKF(took < HOSTILE_SECONDS, "%s, %s %ld: %.1f s", hostile_kind.file, what, detail, took);
    if (s == FL_OK) return;
    CHECKF(s != FL_ERR_NOMEM, "%s, %s %ld: %s", hostile_kind.file, what, detail, err->msg);
    CHECKF(err->msg[0] && hostile_is_text(err->msg), "%s, %s %ld: \"%s\"", hostile_kind.file, what,
           detail, err->msg);
    CHECKF(!hostile_kind.named || strstr(err->msg, hostile_kind.named),
           "%s, %s %ld: \"%s\" does not name %s", hostile_kind.file, what, detail, err->msg,
           hostile_kind.named);
}

/* One input. */
static inline void hostile_try(const void *data, size_t n, const char *what, long detail) {
    char path[FL_PATH_MAX];
    fl_err err = {0};
    snprintf(path, sizeof path, "%s", folder_file(hostile_kind.file));
    unlink(path);  // a new file each time: rewriting one makes some file systems wait for the disk
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) {
        printf("%s: cannot be written\n", path);
        exit(EXIT_FAILURE);
    }
    const clock_t begin = clock();
    const fl_status s =
        hostile_kind.open(hostile_kind.opened ? folder_file(hostile_kind.opened) : path, &err);
    hostile_judge(s, &err, (double)(clock() - begin) / CLOCKS_PER_SEC, what, detail);
}

/* ---- bytes ---- */

static inline int hostile_rounds(void) {
    const char *n = getenv("FLEDGE_HOSTILE");
    return n && atoi(n) > 0 ? atoi(n) : 1;
}

static inline void hostile_cut(const uint8_t *data, size_t n) {
    for (size_t k = 0; k < n; k += k < 256 || n - k <= 16 ? 1 : 1 + n / 200)
        hostile_try(data, k, "cut at", (long)k);
}

static const uint64_t hostile_numbers[] = {0,
                                           1,
                                           3,
                                           9,
                                           INT32_MAX,
                                           (uint64_t)INT32_MAX + 1,
                                           UINT32_MAX,
                                           (uint64_t)UINT32_MAX + 1,
                                           INT64_MAX / 8 + 1,
                                           INT64_MAX,
                                           (uint64_t)INT64_MAX + 1,
                                           UINT64_MAX - 31,
                                           UINT64_MAX};
enum { HOSTILE_NUMBERS = sizeof hostile_numbers / sizeof *hostile_numbers };

static inline void hostile_replace(uint8_t *work, size_t n, size_t at) {
    uint8_t was[8];
    for (size_t width = 4; width <= 8 && at + width <= n; width += 4)
        for (int i = 0; i < HOSTILE_NUMBERS; i++) {
            memcpy(was, work + at, width);
            memcpy(work + at, &hostile_numbers[i], width);
            if (memcmp(was, work + at, width) != 0) hostile_try(work, n, "number at", (long)at);
            memcpy(work + at, was, width);
        }
}

/* A few bits of [0, among), a piece cut out, or a piece doubled. */
static inline void hostile_shuffle(uint8_t *work, const uint8_t *data, size_t n, size_t among,
                                   fl_rng *r) {
    memcpy(work, data, n);
    const size_t at = fl_rng_below(r, among), k = 1 + fl_rng_below(r, 24);
    size_t now = n;
    switch (fl_rng_below(r, 3)) {
    case 0:
        for (uint64_t i = 1 + fl_rng_below(r, 3); i; i--)
            work[fl_rng_below(r, among)] ^= (uint8_t)(1u << fl_rng_below(r, 8));
        break;
    case 1:
        if (at + k > n) break;
        memmove(work + at, work + at + k, n - at - k);
        now = n - k;
        break;
    default:
        if (at + k > n) break;
        memmove(work + at + k, work + at, n - at);
        now = n + k;
    }
    hostile_try(work, now, "shuffled around", (long)at);
}

/* `place`: where numbers stand that say how long, how many, what kind. `among`: how much of the
 * file is shuffled. */
static inline void hostile_binary(const uint8_t *data, size_t n, const size_t *place, int n_places,
                                  size_t among, int shuffles) {
    uint8_t *work = malloc(n + 64);
    fl_rng r = {.seed = 7, .stream = fl_rng_stream(hostile_kind.file)};
    memcpy(work, data, n);
    hostile_cut(data, n);
    for (int i = 0; i < n_places; i++) hostile_replace(work, n, place[i]);
    for (int i = 0; i < shuffles * hostile_rounds(); i++)
        hostile_shuffle(work, data, n, among < n ? among : n, &r);
    free(work);
}

/* ---- JSON ---- */

/* As text, as it stands between the brackets of a document. */
static const char *const hostile_values[] = {"null",
                                             "true",
                                             "-1",
                                             "0",
                                             "1.5",
                                             "1e308",
                                             "7",
                                             "2147483648",
                                             "9223372036854775807",
                                             "99999999999999999999",
                                             "\"\"",
                                             "\"x\"",
                                             "\"\\u0000\"",
                                             "\"\\ud800\"",
                                             "[]",
                                             "{}",
                                             "[[[1]]]",
                                             "{\"type\": \"x\"}",
                                             "[-1, \"a\"]",
                                             "1e999",
                                             "NaN",
                                             "\"\xff\""};
enum { HOSTILE_VALUES = sizeof hostile_values / sizeof *hostile_values, HOSTILE_CHILDREN = 10 };

typedef void (*hostile_sink)(const char *text, size_t n, const char *what, long detail);

static inline void hostile_print(const json_t *root, const char *value, hostile_sink sink,
                                 long detail) {
    static const char mark[] = "\"@hostile@\"";
    fl_text text = {0}, out = {0};
    fl_json_print(&text, root, 1);
    const char *at = strstr(fl_text_str(&text), mark);
    if (at) {
        fl_text_append(&out, text.data, (size_t)(at - text.data));
        fl_text_puts(&out, value);
        fl_text_puts(&out, at + strlen(mark));
        sink(fl_text_str(&out), out.n, value, detail);
    }
    fl_text_clear(&text);
    fl_text_clear(&out);
}

static inline void hostile_walk(const json_t *root, json_t *v, hostile_sink sink, long *detail);

static inline void hostile_member(const json_t *root, json_t *parent, const char *key, size_t i,
                                  hostile_sink sink, long *detail) {
    json_t *mark = json_string("@hostile@"),
           *was = json_incref(key ? json_object_get(parent, key) : json_array_get(parent, i));
    if (key) json_object_set(parent, key, mark);
    else json_array_set(parent, i, mark);
    for (int k = 0; k < HOSTILE_VALUES; k++)
        hostile_print(root, hostile_values[k], sink, ++*detail);
    if (key) json_object_set(parent, key, was);
    else json_array_set(parent, i, was);
    hostile_walk(root, was, sink, detail);
    json_decref(mark);
    json_decref(was);
}

/* Every value in turn, of long lists the first. */
static inline void hostile_walk(const json_t *root, json_t *v, hostile_sink sink, long *detail) {
    if (json_is_array(v))
        for (size_t i = 0; i < json_array_size(v) && i < HOSTILE_CHILDREN / 8; i++)
            hostile_member(root, v, NULL, i, sink, detail);
    if (!json_is_object(v)) return;
    const char *keys[HOSTILE_CHILDREN], *key;
    json_t *unused;
    size_t n = 0;
    json_object_foreach(v, key, unused)
        if (n < HOSTILE_CHILDREN) keys[n++] = key;
    for (size_t i = 0; i < n; i++) hostile_member(root, v, keys[i], 0, sink, detail);
}

static inline void hostile_as_it_is(const char *text, size_t n, const char *what, long detail) {
    hostile_try(text, n, what, detail);
}

/* Nested deeper than any stack should follow. */
static inline void hostile_nest(hostile_sink sink) {
    static const char *const open[] = {"[", "{\"a\":", "{\"model\":{\"a\":["};
    for (int k = 0; k < 3; k++) {
        fl_text text = {0};
        for (int i = 0; i < 100000; i++) fl_text_puts(&text, open[k]);
        sink(fl_text_str(&text), text.n, "nested", k);
        fl_text_clear(&text);
    }
}

static inline void hostile_json(const char *source, hostile_sink sink) {
    json_t *root = NULL;
    char *text = NULL;
    size_t n = 0;
    long detail = 0;
    if (fl_json_load(&root, source, NULL) != FL_OK ||
        fl_file_read(source, 1 << 20, &text, &n, NULL) != FL_OK) {
        CHECKF(false, "%s", source);
        return;
    }
    hostile_walk(root, root, sink, &detail);
    for (size_t k = 0; k < n; k += 1 + n / 60) sink(text, k, "cut at", (long)k);
    hostile_nest(sink);
    json_decref(root);
    fl_dealloc(text);
}

#endif
