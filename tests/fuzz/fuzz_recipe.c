/* fuzz_recipe - any bytes as a recipe: refused with a message, or settings that are written and
 * read back the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* In memory where there is such a folder: saving syncs, which a disk takes its time for. */
static char path[64];

static void make_file(void) {
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/fledge-fuzz-recipe-XXXXXX", dir);
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0) abort();
}

static void forget_file(void) {
    unlink(path);
}

static void put_file(const uint8_t *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) abort();
}

/* The recipe in the file, or NULL where it was refused. */
static fl_recipe *load(void) {
    fl_recipe *r;
    fl_err err = {0};
    if (fl_recipe_new(&r, &err) != FL_OK) abort();
    if (fl_recipe_load(r, path, &err) == FL_OK) return r;
    if (!err.msg[0]) abort();
    fl_recipe_free(r);
    return NULL;
}

static char *saved(const fl_recipe *r) {
    char *text;
    fl_err err;
    if (fl_recipe_save(r, path, &err) != FL_OK) abort();
    if (fl_file_read(path, 1 << 24, &text, NULL, &err) != FL_OK) abort();
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!path[0]) {
        make_file();
        if (atexit(forget_file) != 0) abort();
    }
    put_file(data, n);
    fl_recipe *r = load();
    if (!r) return 0;
    char *first = saved(r);
    fl_recipe *again = load();
    if (!again) abort();
    char *second = saved(again);
    if (strcmp(first, second) != 0) abort();
    fl_dealloc(second);
    fl_dealloc(first);
    fl_recipe_free(again);
    fl_recipe_free(r);
    return 0;
}
