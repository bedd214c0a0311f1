/* token_data.h - the goldens of tests/data/token, and texts cut at a separator. */
#ifndef FL_TESTS_TOKEN_DATA_H
#define FL_TESTS_TOKEN_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/tokenizer.h"

enum { GOLDEN_MAX = 1 << 22 };

static inline char *golden(const char *name, size_t *n) {
    char path[FL_PATH_MAX], *data;
    fl_err err = {0};
    snprintf(path, sizeof path, "%s/token/%s", FL_TEST_DATA, name);
    if (fl_file_read(path, GOLDEN_MAX, &data, n, &err) == FL_OK) return data;
    printf("%s\n", err.msg);
    exit(EXIT_FAILURE);
}

static inline fl_tokenizer *golden_tokenizer(const char *name) {
    char path[FL_PATH_MAX];
    fl_tokenizer *t;
    fl_err err = {0};
    snprintf(path, sizeof path, "%s/token/%s", FL_TEST_DATA, name);
    fl_status st = fl_path_has_suffix(path, ".tiktoken")
                       ? fl_tokenizer_load_tiktoken(&t, path, "cl100k", &err)
                       : fl_tokenizer_load(&t, path, &err);
    if (st == FL_OK) return t;
    printf("%s\n", err.msg);
    exit(EXIT_FAILURE);
}

/* The part of data[*at..n) up to `separator` or the end, moving *at past it; false when there is no
 * more. */
static inline bool next_part(const char *data, size_t n, char separator, size_t *at,
                             const char **part, size_t *len) {
    if (*at > n) return false;
    *part = data + *at;
    for (*len = 0; *at + *len < n && (*part)[*len] != separator;) ++*len;
    *at += *len + 1;
    return true;
}

/* "1 2 3" as ids; compared with `got`. */
static inline bool same_ids(const char *line, size_t n, const fl_ids *got) {
    const char *s = line;
    size_t k = 0;
    while (s < line + n) {
        char *end;
        long id = strtol(s, &end, 10);
        if (k == got->n || got->id[k++] != id) return false;
        s = end + (end < line + n);
    }
    return k == got->n;
}

#endif
