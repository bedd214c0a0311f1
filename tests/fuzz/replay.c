/* replay - the main of a fuzzer without libFuzzer: every file of the corpus, then mutations of
 * them.
 *
 * The mutations are drawn from a fixed seed, so a run is repeatable; they are shallow (libFuzzer
 * digs deeper), but they run under every compiler and sanitizer as an ordinary test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"

enum { MUTATIONS = 2000, MAX_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Overwrite, cut, repeat or insert a few bytes. Returns the new length, at most `cap`. */
static size_t mutate(fl_rng *r, uint8_t *data, size_t n, size_t cap) {
    static const char *const words[] = {"\0",    "\xff", "{",
                                        "}",     "[",    "\"",
                                        ":",     "-1",   "18446744073709551615",
                                        "1e999", "\n",   "\\u0000"};
    for (uint64_t times = 1 + fl_rng_below(r, 4); times; times--) {
        size_t at = fl_rng_below(r, n + 1), k = fl_rng_below(r, 16);
        const char *word = words[fl_rng_below(r, sizeof words / sizeof *words)];
        size_t word_bytes = *word ? strlen(word) : 1;
        switch (fl_rng_below(r, 5)) {
        case 0:
            if (at < n) data[at] = (uint8_t)fl_rng_u32(r);
            break;
        case 1:
            if (at < n) data[at] ^= (uint8_t)(1u << fl_rng_below(r, 8));
            break;
        case 2: n = at; break;
        case 3:
            if (at + k > n) k = n - at;
            memmove(data + at, data + at + k, n - at - k);
            n -= k;
            break;
        default:
            if (n + word_bytes > cap) break;
            memmove(data + at + word_bytes, data + at, n - at);
            memcpy(data + at, word, word_bytes);
            n += word_bytes;
        }
    }
    return n;
}

/* The parser gets a block of exactly n bytes, so that a sanitizer sees it read one too many. */
static void feed(const uint8_t *data, size_t n) {
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact) abort();
    if (n) memcpy(exact, data, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static int replay(const char *path, uint64_t seed) {
    char *text;
    size_t n;
    fl_err err;
    if (fl_file_read(path, MAX_BYTES, &text, &n, &err) != FL_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 0;
    }
    feed((const uint8_t *)text, n);
    size_t cap = n + 256;
    uint8_t *work = malloc(cap);
    if (!work) abort();
    fl_rng r = {.seed = seed, .stream = fl_rng_stream("fuzz")};
    int rounds = n > 4096 ? MUTATIONS / 10 : MUTATIONS;
    for (int i = 0; i < rounds; i++) {
        if (n) memcpy(work, text, n);
        feed(work, mutate(&r, work, n, cap));
    }
    free(work);
    fl_dealloc(text);
    return 1;
}

int main(int argc, char **argv) {
    char **names, path[FL_PATH_MAX];
    size_t n;
    fl_err err;
    if (argc != 2 || fl_dir_list(argv[1], &names, &n, &err) != FL_OK) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return EXIT_FAILURE;
    }
    int done = 0;
    for (size_t i = 0; i < n; i++)
        if (fl_path_join(path, argv[1], names[i], &err) == FL_OK) done += replay(path, i);
    fl_dealloc(names);
    printf("%zu files, %d failed\n", n, (int)n - done);
    return n && done == (int)n ? EXIT_SUCCESS : EXIT_FAILURE;
}
