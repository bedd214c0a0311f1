/* folder.h - a temporary folder with files in it, for tests of what reads files. */
#ifndef FL_TESTS_FOLDER_H
#define FL_TESTS_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"

static char folder_path[FL_PATH_MAX];

static inline void folder_make(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(folder_path, sizeof folder_path, "%s/fledge-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder_path)) {
        perror(folder_path);
        exit(EXIT_FAILURE);
    }
}

static inline void folder_remove(void) {
    if (fl_dir_remove(folder_path, NULL) != FL_OK) printf("%s: left behind\n", folder_path);
}

/* The path of a name inside; several may be in use at once. */
static inline const char *folder_file(const char *name) {
    static char paths[16][FL_PATH_MAX];
    static int next;
    char *out = paths[next++ % 16];
    snprintf(out, FL_PATH_MAX, "%.2000s/%.2000s", folder_path, name);
    return out;
}

static inline const char *folder_put(const char *name, const void *data, size_t n) {
    const char *path = folder_file(name);
    char dir[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    if (fl_dir_make(dir, NULL) != FL_OK || fl_file_write(path, data, n, NULL) != FL_OK) {
        printf("%s: cannot be written\n", path);
        exit(EXIT_FAILURE);
    }
    return path;
}

static inline const char *folder_puts(const char *name, const char *text) {
    return folder_put(name, text, strlen(text));
}

/* The same compressed; the name ends in .gz or .zst. */
static inline const char *folder_put_packed(const char *name, const void *data, size_t n) {
    size_t cap = n + n / 8 + 4096;
    void *packed = malloc(cap);
    size_t size;
    if (strstr(name, ".zst")) {
        size = ZSTD_compress(packed, cap, data, n, 3);
    } else {
        z_stream z = {.next_in = (Bytef *)(size_t)data,
                      .avail_in = (uInt)n,
                      .next_out = packed,
                      .avail_out = (uInt)cap};
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        deflate(&z, Z_FINISH);
        size = cap - z.avail_out;
        deflateEnd(&z);
    }
    const char *path = folder_put(name, packed, size);
    free(packed);
    return path;
}

#endif
