/* imatrix - importance matrices, read, written and looked up. What is kept are means and counts, by
 * tensor, sorted. */
#include "compress/imatrix.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "format/gguf.h"

typedef struct {
    const char *tensor;
    int64_t rows, cols;
    float *mean;   // (rows, cols)
    float *count;  // (rows)
} entry;

struct fl_imatrix {
    fl_arena arena;
    entry *entry;
    int n, room;
    fl_imatrix_text text;
};

static const char SUMS[] = ".in_sum2", COUNTS[] = ".counts";

/* ---- making ---- */

static fl_status no_memory(fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "the importance matrix");
}

fl_imatrix *fl_imatrix_new(void) {
    fl_imatrix *im = fl_alloc(sizeof *im);
    if (!im) return NULL;
    *im = (fl_imatrix){.text = {.name = ""}};
    fl_arena_init(&im->arena, 1 << 16);
    return im;
}

void fl_imatrix_free(fl_imatrix *im) {
    if (!im) return;
    fl_arena_free(&im->arena);
    fl_dealloc(im);
}

static const char *keep(fl_imatrix *im, const char *s, size_t n) {
    char *copy = FL_NEW(&im->arena, char, n + 1);
    if (copy && n) memcpy(copy, s, n);
    return copy;
}

fl_status fl_imatrix_set_text(fl_imatrix *im, const fl_imatrix_text *text, fl_err *err) {
    const char *name = keep(im, text->name, strlen(text->name));
    if (!name) return no_memory(err);
    im->text = *text;
    im->text.name = name;
    return FL_OK;
}

/* The first entry that does not come before `tensor`. */
static int place_of(const fl_imatrix *im, const char *tensor) {
    int low = 0, high = im->n;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (strcmp(im->entry[middle].tensor, tensor) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool holds(const fl_imatrix *im, int place, const char *tensor) {
    return place < im->n && strcmp(im->entry[place].tensor, tensor) == 0;
}

static entry *insert(fl_imatrix *im, int place) {
    if (im->n == im->room) {
        entry *more = FL_NEW(&im->arena, entry, (size_t)(im->room = 2 * im->room + 64));
        if (!more) return NULL;
        if (im->n) memcpy(more, im->entry, (size_t)im->n * sizeof *more);
        im->entry = more;
    }
    entry *e = &im->entry[place];
    memmove(e + 1, e, (size_t)(im->n++ - place) * sizeof *e);
    return e;
}

static float float_at(const void *p, int64_t i) {
    float x;
    memcpy(&x, (const char *)p + i * (int64_t)sizeof x, sizeof x);
    return x;
}

static fl_status take_means(entry *e, const void *sum, const void *count, fl_err *err) {
    for (int64_t i = 0; i < e->rows * e->cols; i++) {
        const float n = e->count[i / e->cols] = float_at(count, i / e->cols);
        const double mean = n > 0 ? (double)float_at(sum, i) / (double)n : 0;
        if (!(mean >= 0) || mean > 1e30)
            return fl_fail(err, FL_ERR_FORMAT, "%s: %g is no mean of squares", e->tensor, mean);
        e->mean[i] = (float)mean;
    }
    return FL_OK;
}

fl_status fl_imatrix_put(fl_imatrix *im, const char *tensor, int64_t rows, int64_t cols,
                         const void *sum, const void *count, fl_err *err) {
    const int place = place_of(im, tensor);
    if (holds(im, place, tensor)) return fl_fail(err, FL_ERR_FORMAT, "%s is there twice", tensor);
    entry e = {.tensor = keep(im, tensor, strlen(tensor)), .rows = rows, .cols = cols};
    e.mean = FL_NEW(&im->arena, float, (size_t)(rows * cols));
    e.count = FL_NEW(&im->arena, float, (size_t)rows);
    if (!e.tensor || !e.mean || !e.count) return no_memory(err);
    FL_TRY(take_means(&e, sum, count, err));
    entry *at = insert(im, place);
    if (!at) return no_memory(err);
    *at = e;
    return FL_OK;
}

/* ---- looking up ---- */

int fl_imatrix_count(const fl_imatrix *im) {
    return im->n;
}

fl_imatrix_text fl_imatrix_text_of(const fl_imatrix *im) {
    return im->text;
}

/* One count may be for all experts: the older kind of file has no other. */
const float *fl_imatrix_find(const fl_imatrix *im, const char *tensor, int64_t cols, int64_t expert,
                             int64_t experts) {
    const int place = place_of(im, tensor);
    if (!holds(im, place, tensor)) return NULL;
    const entry *e = &im->entry[place];
    if (e->rows * e->cols != cols * experts || (e->rows != 1 && e->rows != experts)) return NULL;
    return e->count[e->rows == 1 ? 0 : expert] > 0 ? e->mean + expert * cols : NULL;
}

/* ---- GGUF ---- */

static fl_status read_entry(fl_imatrix *im, const fl_gguf_file *f, const fl_stored_tensor *sums,
                            fl_err *err) {
    char tensor[128], counts[160];
    snprintf(tensor, sizeof tensor, "%.*s", (int)(strlen(sums->name) - strlen(SUMS)), sums->name);
    snprintf(counts, sizeof counts, "%s%s", tensor, COUNTS);
    const fl_stored_tensor *c = fl_gguf_tensor(f, counts);
    const int64_t rows = fl_tensor_rows(&sums->t);
    if (!c || c->t.dtype != FL_F32 || sums->t.dtype != FL_F32 || fl_tensor_count(&c->t) != rows)
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected f32, and %s with one number a row",
                       sums->name, counts);
    return fl_imatrix_put(im, tensor, rows, fl_tensor_cols(&sums->t), sums->t.data, c->t.data, err);
}

static fl_status read_text(fl_imatrix *im, const fl_gguf_file *f, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, "imatrix.datasets");
    fl_imatrix_text *text = &im->text;
    if (k && k->is_array && k->type == FL_GGUF_STRING && k->n &&
        !(text->name = keep(im, k->strings[0].bytes, k->strings[0].n)))
        return no_memory(err);
    FL_TRY(fl_gguf_get_int(f, "imatrix.chunk_count", &text->chunks, err));
    return fl_gguf_get_int(f, "imatrix.chunk_size", &text->chunk_size, err);
}

static fl_status read_gguf(fl_imatrix *im, const fl_gguf_file *f, fl_err *err) {
    const char *type = NULL;
    FL_TRY(fl_gguf_get_str(f, "general.type", &type, err));
    if (!type || strcmp(type, "imatrix") != 0)
        return fl_fail(err, FL_ERR_FORMAT, "general.type is %s, expected imatrix",
                       type ? type : "missing");
    FL_TRY(read_text(im, f, err));
    for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        if (fl_path_has_suffix(t->name, SUMS)) FL_TRY(read_entry(im, f, t, err));
    }
    return im->n ? FL_OK : fl_fail(err, FL_ERR_FORMAT, "no tensor is called NAME%s", SUMS);
}

/* ---- the older kind ---- */

enum { NAME_MAX_BYTES = 512 };

typedef struct {
    const uint8_t *at;
    size_t left;
} cursor;

static const void *take(cursor *c, size_t n) {
    if (n > c->left) return NULL;
    const void *p = c->at;
    c->at += n;
    c->left -= n;
    return p;
}

/* -1 also where the file ends. */
static int32_t take_int(cursor *c) {
    int32_t v = -1;
    const void *p = take(c, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static fl_status read_old_entry(fl_imatrix *im, cursor *c, fl_err *err) {
    char tensor[NAME_MAX_BYTES];
    const int32_t n = take_int(c);
    const void *name = n > 0 && n < NAME_MAX_BYTES ? take(c, (size_t)n) : NULL;
    const float calls = (float)take_int(c);
    const int32_t cols = take_int(c);
    const void *sum = cols > 0 ? take(c, (size_t)cols * sizeof(float)) : NULL;
    if (!name || !sum)
        return fl_fail(err, FL_ERR_FORMAT,
                       "entry %d is cut or damaged, if this is an importance matrix", im->n + 1);
    snprintf(tensor, sizeof tensor, "%.*s", (int)n, (const char *)name);
    return fl_imatrix_put(im, tensor, 1, cols, sum, &calls, err);
}

static fl_status read_old(fl_imatrix *im, cursor c, fl_err *err) {
    const int32_t n = take_int(&c);
    if (n < 1)
        return fl_fail(err, FL_ERR_FORMAT,
                       "neither GGUF nor an importance matrix of the older kind");
    for (int32_t i = 0; i < n; i++) FL_TRY(read_old_entry(im, &c, err));
    const int32_t chunks = take_int(&c), n_name = take_int(&c);
    const char *name = n_name > 0 ? take(&c, (size_t)n_name) : NULL;
    if (name && !(im->text.name = keep(im, name, (size_t)n_name))) return no_memory(err);
    if (chunks > 0) im->text.chunks = chunks;
    return FL_OK;
}

/* ---- files ---- */

static fl_status read_map(fl_imatrix *im, const fl_map *m, const char *path, fl_err *err) {
    fl_gguf_file *f;
    if (m->bytes < 4 || memcmp(m->data, "GGUF", 4) != 0)
        return read_old(im, (cursor){m->data, m->bytes}, err);
    FL_TRY(fl_gguf_parse(&f, m->data, m->bytes, path, err));
    const fl_status s = read_gguf(im, f, err);
    fl_gguf_close(f);
    return s;
}

fl_status fl_imatrix_load(fl_imatrix **out, const char *path, fl_err *err) {
    fl_map m;
    FL_TRY(fl_map_open(&m, path, err));
    fl_imatrix *im = fl_imatrix_new();
    const fl_status s = im ? read_map(im, &m, path, err) : no_memory(err);
    fl_map_close(&m);
    if (s != FL_OK) {
        fl_imatrix_free(im);
        return fl_context(err, s, "%s", path);
    }
    *out = im;
    return FL_OK;
}

/* Sums again. */
static void sum_row(const fl_write_tensor *w, int64_t row, float *out) {
    const entry *e = w->source;
    for (int64_t i = 0; i < e->cols; i++) out[i] = e->mean[row * e->cols + i] * e->count[row];
}

typedef struct {
    char sums[128], counts[128];
} names;

static void describe(fl_write_tensor w[2], names *name, const entry *e) {
    snprintf(name->sums, sizeof name->sums, "%s%s", e->tensor, SUMS);
    snprintf(name->counts, sizeof name->counts, "%s%s", e->tensor, COUNTS);
    w[0] = (fl_write_tensor){.name = name->sums,
                             .rank = 2,
                             .dim = {e->rows, e->cols},
                             .source = e,
                             .row = sum_row};
    w[1] =
        (fl_write_tensor){.name = name->counts, .rank = 2, .dim = {e->rows, 1}, .source = e->count};
}

static void put_keys(fl_gguf *g, const fl_imatrix_text *text) {
    fl_gguf_str(g, "general.type", "imatrix");
    fl_gguf_strings_begin(g, "imatrix.datasets", 1);
    fl_gguf_strings_add(g, text->name, strlen(text->name));
    fl_gguf_u32(g, "imatrix.chunk_count", (uint32_t)text->chunks);
    fl_gguf_u32(g, "imatrix.chunk_size", (uint32_t)text->chunk_size);
}

fl_status fl_imatrix_save(const fl_imatrix *im, const char *path, fl_err *err) {
    const size_t n = (size_t)im->n;
    fl_gguf *g = fl_gguf_new();
    fl_write_tensor *w = fl_alloc((2 * n + 1) * sizeof *w);
    names *name = fl_alloc((n + 1) * sizeof *name);
    fl_status s = g && w && name ? FL_OK : no_memory(err);
    for (size_t i = 0; s == FL_OK && i < n; i++) describe(w + 2 * i, name + i, &im->entry[i]);
    if (s == FL_OK) {
        put_keys(g, &im->text);
        s = fl_gguf_save(g, path, w, 2 * im->n, err);
    }
    fl_gguf_free(g);
    fl_dealloc(w);
    fl_dealloc(name);
    return s;
}
