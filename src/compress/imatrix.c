/* imatrix - reading importance matrices. The means are made at once and kept by tensor, sorted. */
#include "compress/imatrix.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "format/gguf.h"

typedef struct {
    const char *tensor;
    int64_t cols, experts;
    float *mean;  // (experts, cols)
    bool *seen;   // (experts)
} entry;

struct fl_imatrix {
    fl_arena arena;
    entry *entry;
    int n;
    int64_t chunks;
};

static const char SUMS[] = ".in_sum2", COUNTS[] = ".counts";

static fl_status no_memory(fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "the importance matrix");
}

static fl_status find_counts(const fl_gguf_file *f, const fl_stored_tensor *sums, size_t n,
                             const fl_stored_tensor **out, fl_err *err) {
    char name[160];
    snprintf(name, sizeof name, "%.*s%s", (int)n, sums->name, COUNTS);
    const fl_stored_tensor *c = *out = fl_gguf_tensor(f, name);
    if (c && c->t.dtype == FL_F32 && sums->t.dtype == FL_F32 &&
        fl_tensor_count(&c->t) == fl_tensor_rows(&sums->t))
        return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT, "%s: expected f32, and %s with one number a row", sums->name,
                   name);
}

static fl_status add_entry(fl_imatrix *im, const fl_gguf_file *f, const fl_stored_tensor *sums,
                           fl_err *err) {
    const size_t n = strlen(sums->name) - strlen(SUMS);
    const fl_stored_tensor *counts;
    FL_TRY(find_counts(f, sums, n, &counts, err));
    entry *e = &im->entry[im->n];
    *e = (entry){.cols = fl_tensor_cols(&sums->t), .experts = fl_tensor_rows(&sums->t)};
    char *name = FL_NEW(&im->arena, char, n + 1);
    e->mean = FL_NEW(&im->arena, float, (size_t)(e->cols * e->experts));
    e->seen = FL_NEW(&im->arena, bool, (size_t)e->experts);
    if (!name || !e->mean || !e->seen) return no_memory(err);
    memcpy(name, sums->name, n);
    e->tensor = name;
    for (int64_t x = 0; x < e->experts; x++) {
        const double count = fl_tensor_get(&counts->t, x);
        e->seen[x] = count > 0;
        for (int64_t i = 0; e->seen[x] && i < e->cols; i++) {
            const double mean = fl_tensor_get(&sums->t, x * e->cols + i) / count;
            if (!(mean >= 0) || mean > 1e30)
                return fl_fail(err, FL_ERR_FORMAT, "%s: %g is no mean of squares", sums->name,
                               mean);
            e->mean[x * e->cols + i] = (float)mean;
        }
    }
    im->n++;
    return FL_OK;
}

static int by_tensor(const void *a, const void *b) {
    return strcmp(((const entry *)a)->tensor, ((const entry *)b)->tensor);
}

static fl_status read_entries(fl_imatrix *im, const fl_gguf_file *f, fl_err *err) {
    const char *type = NULL;
    FL_TRY(fl_gguf_get_str(f, "general.type", &type, err));
    if (!type || strcmp(type, "imatrix") != 0)
        return fl_fail(err, FL_ERR_FORMAT, "general.type is %s, expected imatrix",
                       type ? type : "missing");
    FL_TRY(fl_gguf_get_int(f, "imatrix.chunk_count", &im->chunks, err));
    im->entry = FL_NEW(&im->arena, entry, (size_t)fl_gguf_n_tensors(f) + 1);
    if (!im->entry) return no_memory(err);
    for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        if (fl_path_has_suffix(t->name, SUMS)) FL_TRY(add_entry(im, f, t, err));
    }
    if (im->n) qsort(im->entry, (size_t)im->n, sizeof *im->entry, by_tensor);
    return im->n ? FL_OK : fl_fail(err, FL_ERR_FORMAT, "no tensor is called NAME%s", SUMS);
}

fl_status fl_imatrix_load(fl_imatrix **out, const char *path, fl_err *err) {
    fl_gguf_file *f;
    FL_TRY(fl_gguf_open(&f, path, err));
    fl_imatrix *im = fl_alloc(sizeof *im);
    fl_status s = im ? FL_OK : no_memory(err);
    if (im) {
        *im = (fl_imatrix){0};
        fl_arena_init(&im->arena, 1 << 16);
        s = read_entries(im, f, err);
    }
    fl_gguf_close(f);
    if (s != FL_OK) {
        fl_imatrix_free(im);
        return fl_context(err, s, "%s", path);
    }
    *out = im;
    return FL_OK;
}

void fl_imatrix_free(fl_imatrix *im) {
    if (!im) return;
    fl_arena_free(&im->arena);
    fl_dealloc(im);
}

int fl_imatrix_count(const fl_imatrix *im) {
    return im->n;
}

int64_t fl_imatrix_chunks(const fl_imatrix *im) {
    return im->chunks;
}

const float *fl_imatrix_find(const fl_imatrix *im, const char *tensor, int64_t cols, int64_t expert,
                             int64_t experts) {
    const entry key = {.tensor = tensor};
    const entry *e = im->n ? bsearch(&key, im->entry, (size_t)im->n, sizeof key, by_tensor) : NULL;
    if (!e || e->cols != cols || e->experts != experts || !e->seen[expert]) return NULL;
    return e->mean + expert * cols;
}
