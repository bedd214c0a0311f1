/* safetensors - reading and checking Hugging Face tensor files.
 *
 * A file is mapped, its header parsed, and each entry checked on its own (type, shape, bytes). Then
 * the entries are sorted by place: each must begin where the one before it ended and the last must
 * end with the file, which rules out overlaps, gaps and truncation at once. Only then are they
 * handed out. */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/json.h"

enum {
    LENGTH_BYTES = 8,
    HEADER_MAX = 100 * 1000 * 1000,  // the reference implementation's limit
    SHARDS_MAX = 10000
};

static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json";

struct fl_safetensors {
    fl_arena arena;            // names and the table
    fl_stored_tensor *tensor;  // sorted by name
    int n;
    fl_map *map;  // one per file
    int n_maps;
};

static fl_status no_memory(const char *file, fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "%s: its table of tensors", file);
}

static const char *keep_text(fl_safetensors *st, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = FL_NEW(&st->arena, char, n);
    return copy ? memcpy(copy, text, n) : NULL;
}

/* ---- one entry ---- */

typedef struct {
    const char *file;
    const uint8_t *data;  // after the header
    uint64_t bytes;
} body;

static fl_status entry_fail(const body *b, const char *name, const char *what, fl_err *err) {
    return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %.80s: %s", b->file, name, what);
}

/* Element count without overflow: false when it does not fit in int64. */
static bool count_elements(const int64_t *dim, int rank, uint64_t *count) {
    uint64_t n = 1;
    for (int i = 0; i < rank; i++) {
        uint64_t d = (uint64_t)dim[i];
        if (d && n > (uint64_t)INT64_MAX / 8 / d) return false;
        n *= d;
    }
    *count = n;
    return true;
}

/* [] is a tensor of one element, which here has the shape (1). */
static fl_status read_shape(const body *b, const char *name, const json_t *shape, int *rank,
                            int64_t dim[FL_MAX_RANK], fl_err *err) {
    if (!json_is_array(shape)) return entry_fail(b, name, "shape is not an array", err);
    size_t n = json_array_size(shape);
    if (n > FL_MAX_RANK)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: tensor %.80s has %zu dimensions, at most %d are supported", b->file,
                       name, n, FL_MAX_RANK);
    dim[0] = 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return entry_fail(b, name, "a dimension is not a whole number >= 0", err);
        dim[i] = json_integer_value(d);
    }
    *rank = n ? (int)n : 1;
    return FL_OK;
}

static fl_status read_place(const body *b, const char *name, const json_t *offsets, uint64_t want,
                            uint64_t *begin, fl_err *err) {
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return entry_fail(b, name, "data_offsets is not a pair of whole numbers", err);
    int64_t from = json_integer_value(first), to = json_integer_value(last);
    if (from < 0 || to < from) return entry_fail(b, name, "data_offsets run backwards", err);
    if ((uint64_t)to > b->bytes)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: tensor %.80s ends at byte %lld of the data, which ends at %llu: "
                       "is the file truncated?",
                       b->file, name, (long long)to, (unsigned long long)b->bytes);
    if ((uint64_t)(to - from) != want)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: tensor %.80s: its shape takes %llu bytes, data_offsets give %lld",
                       b->file, name, (unsigned long long)want, (long long)(to - from));
    *begin = (uint64_t)from;
    return FL_OK;
}

static fl_status read_entry(const body *b, const char *name, const json_t *entry, fl_tensor *out,
                            fl_err *err) {
    if (!json_is_object(entry)) return entry_fail(b, name, "is not described by an object", err);
    const char *dtype_name = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype_name) return entry_fail(b, name, "dtype is not a string", err);
    fl_dtype dtype;
    if (!fl_dtype_from_name(&dtype, dtype_name) || !fl_dtype_hf_name(dtype) ||
        strcmp(fl_dtype_hf_name(dtype), dtype_name) != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: tensor %.80s: dtype %.20s is not supported",
                       b->file, name, dtype_name);
    int rank = 0;
    int64_t dim[FL_MAX_RANK];
    uint64_t count, begin = 0;
    FL_TRY(read_shape(b, name, json_object_get(entry, "shape"), &rank, dim, err));
    if (!count_elements(dim, rank, &count)) return entry_fail(b, name, "its shape overflows", err);
    FL_TRY(read_place(b, name, json_object_get(entry, "data_offsets"),
                      count * fl_dtype_bytes(dtype), &begin, err));
    *out = fl_tensor_of((void *)(uintptr_t)(b->data + begin), dtype, rank, dim);
    return FL_OK;
}

/* ---- one file ---- */

static int by_place(const void *a, const void *b) {
    const fl_stored_tensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->t.data, q = (uintptr_t)y->t.data;
    if (p != q) return p < q ? -1 : 1;
    size_t m = fl_tensor_bytes(&x->t), n = fl_tensor_bytes(&y->t);  // empty ones first
    return m == n ? strcmp(x->name, y->name) : m < n ? -1 : 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const fl_stored_tensor *)a)->name, ((const fl_stored_tensor *)b)->name);
}

static fl_status check_cover(const body *b, fl_stored_tensor *t, int n, fl_err *err) {
    qsort(t, (size_t)n, sizeof *t, by_place);
    uint64_t at = 0;
    for (int i = 0; i < n; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)t[i].t.data - b->data);
        if (begin != at)
            return fl_fail(err, FL_ERR_FORMAT,
                           "%s: tensor %.80s begins at byte %llu of the data, expected %llu (%s)",
                           b->file, t[i].name, (unsigned long long)begin, (unsigned long long)at,
                           begin < at ? "tensors overlap" : "a gap");
        at = begin + fl_tensor_bytes(&t[i].t);
    }
    if (at != b->bytes)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %llu bytes of data belong to no tensor", b->file,
                       (unsigned long long)(b->bytes - at));
    return FL_OK;
}

/* Append the tensors of a parsed header to the table. */
static fl_status add_entries(fl_safetensors *st, const body *b, json_t *header, fl_err *err) {
    size_t room = json_object_size(header);
    fl_stored_tensor *table = FL_NEW(&st->arena, fl_stored_tensor, (size_t)st->n + room + 1);
    const char *file = keep_text(st, b->file);
    if (!table || !file) return no_memory(b->file, err);
    if (st->n) memcpy(table, st->tensor, (size_t)st->n * sizeof *table);
    fl_stored_tensor *fresh = table + st->n;
    int n = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        fl_stored_tensor *t = &fresh[n++];
        *t = (fl_stored_tensor){.name = keep_text(st, name), .file = file};
        if (!t->name) return no_memory(b->file, err);
        FL_TRY(read_entry(b, name, entry, &t->t, err));
    }
    FL_TRY(check_cover(b, fresh, n, err));
    st->tensor = table;
    st->n += n;
    return FL_OK;
}

static uint64_t read_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static fl_status add_file(fl_safetensors *st, const uint8_t *data, size_t bytes, const char *file,
                          fl_err *err) {
    if (bytes < LENGTH_BYTES)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %zu bytes, too short for a safetensors file", file,
                       bytes);
    uint64_t header_bytes = read_u64(data);
    if (header_bytes > HEADER_MAX)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: promises a header of %llu bytes (at most %d make sense): not a "
                       "safetensors file?",
                       file, (unsigned long long)header_bytes, HEADER_MAX);
    if (header_bytes > bytes - LENGTH_BYTES)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: promises a header of %llu bytes, the file ends after %zu: is it "
                       "truncated?",
                       file, (unsigned long long)header_bytes, bytes);
    body b = {file, data + LENGTH_BYTES + header_bytes, bytes - LENGTH_BYTES - header_bytes};
    json_t *header;
    fl_status s = fl_json_parse(&header, (const char *)data + LENGTH_BYTES, header_bytes, file,
                                err);
    if (s != FL_OK) return fl_context(err, s, "safetensors header");
    s = json_is_object(header)
            ? add_entries(st, &b, header, err)
            : fl_fail(err, FL_ERR_FORMAT, "%s: the header is not an object", file);
    json_decref(header);
    return s;
}

/* Sort by name; two shards may not hold the same tensor. */
static fl_status finish_table(fl_safetensors *st, fl_err *err) {
    if (st->n) qsort(st->tensor, (size_t)st->n, sizeof *st->tensor, by_name);
    for (int i = 1; i < st->n; i++)
        if (strcmp(st->tensor[i - 1].name, st->tensor[i].name) == 0)
            return fl_fail(err, FL_ERR_FORMAT, "tensor %.80s is in both %.60s and %.60s",
                           st->tensor[i].name, fl_path_base(st->tensor[i - 1].file),
                           fl_path_base(st->tensor[i].file));
    return FL_OK;
}

static fl_safetensors *table_new(int n_maps) {
    fl_safetensors *st = fl_alloc(sizeof *st);
    if (!st) return NULL;
    *st = (fl_safetensors){0};
    fl_arena_init(&st->arena, 1 << 16);
    st->map = FL_NEW(&st->arena, fl_map, (size_t)n_maps + 1);
    if (!st->map) {
        fl_safetensors_close(st);
        return NULL;
    }
    return st;
}

fl_status fl_safetensors_parse(fl_safetensors **out, const void *data, size_t bytes,
                               const char *file, fl_err *err) {
    fl_safetensors *st = table_new(0);
    if (!st) return no_memory(file, err);
    fl_status s = add_file(st, data, bytes, file, err);
    if (s == FL_OK) s = finish_table(st, err);
    if (s != FL_OK) {
        fl_safetensors_close(st);
        return s;
    }
    *out = st;
    return FL_OK;
}

/* ---- several files ---- */

static fl_status map_file(fl_safetensors *st, const char *path, fl_err *err) {
    fl_map *m = &st->map[st->n_maps];
    FL_TRY(fl_map_open(m, path, err));
    st->n_maps++;
    return add_file(st, m->data, m->bytes, path, err);
}

/* The different file names of a weight_map, in the order of their first tensor. */
static fl_status list_shards(const json_t *weight_map, const char *index, json_t *shards,
                             fl_err *err) {
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)(uintptr_t)weight_map, name, file) {
        const char *text = json_string_value(file);
        if (!text || strchr(text, '/') || text[0] == '.' || !text[0])
            return fl_fail(err, FL_ERR_FORMAT,
                           "%s: weight_map: %.80s: expected the name of a file beside it", index,
                           name);
        if (json_object_set(shards, text, json_true()) != 0) return no_memory(index, err);
    }
    if (json_object_size(shards) > SHARDS_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %zu shards", index, json_object_size(shards));
    return FL_OK;
}

static fl_status check_weight_map(const fl_safetensors *st, const json_t *weight_map,
                                  const char *index, fl_err *err) {
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)(uintptr_t)weight_map, name, file) {
        const fl_stored_tensor *t = fl_safetensors_find(st, name);
        if (!t || strcmp(fl_path_base(t->file), json_string_value(file)) != 0)
            return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %.80s is not in %.60s as promised",
                           index, name, json_string_value(file));
    }
    for (int i = 0; i < st->n; i++)
        if (!json_object_get(weight_map, st->tensor[i].name))
            return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %.80s of %.60s is not listed", index,
                           st->tensor[i].name, fl_path_base(st->tensor[i].file));
    return FL_OK;
}

static fl_status open_shards(fl_safetensors **out, const json_t *index, json_t *shards,
                             const char *path, fl_err *err) {
    const json_t *weight_map = json_object_get(index, "weight_map");
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: weight_map: expected an object that names a file per tensor", path);
    FL_TRY(list_shards(weight_map, path, shards, err));
    fl_safetensors *st = table_new((int)json_object_size(shards));
    if (!st) return no_memory(path, err);
    char dir[FL_PATH_MAX], file[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)(fl_path_base(path) - path), path);
    fl_status s = FL_OK;
    const char *name;
    json_t *unused;
    json_object_foreach(shards, name, unused) {
        if (s == FL_OK) s = fl_path_join(file, dir[0] ? dir : ".", name, err);
        if (s == FL_OK) s = map_file(st, file, err);
    }
    if (s == FL_OK) s = finish_table(st, err);
    if (s == FL_OK) s = check_weight_map(st, weight_map, path, err);
    if (s != FL_OK) {
        fl_safetensors_close(st);
        return s;
    }
    *out = st;
    return FL_OK;
}

static fl_status open_index(fl_safetensors **out, const char *path, fl_err *err) {
    json_t *index;
    FL_TRY(fl_json_load(&index, path, err));
    json_t *shards = json_object();
    fl_status s = shards ? open_shards(out, index, shards, path, err) : no_memory(path, err);
    json_decref(shards);
    json_decref(index);
    return s;
}

static fl_status open_single(fl_safetensors **out, const char *path, fl_err *err) {
    fl_safetensors *st = table_new(1);
    if (!st) return no_memory(path, err);
    fl_status s = map_file(st, path, err);
    if (s == FL_OK) s = finish_table(st, err);
    if (s != FL_OK) {
        fl_safetensors_close(st);
        return s;
    }
    *out = st;
    return FL_OK;
}

fl_status fl_safetensors_open(fl_safetensors **out, const char *path, fl_err *err) {
    char file[FL_PATH_MAX];
    if (!fl_path_is_dir(path))
        return fl_path_has_suffix(path, ".json") ? open_index(out, path, err)
                                                 : open_single(out, path, err);
    FL_TRY(fl_path_join(file, path, SINGLE, err));
    if (fl_path_exists(file)) return open_single(out, file, err);
    FL_TRY(fl_path_join(file, path, INDEX, err));
    if (fl_path_exists(file)) return open_index(out, file, err);
    return fl_fail(err, FL_ERR_IO, "%s: neither %s nor %s is there", path, SINGLE, INDEX);
}

void fl_safetensors_close(fl_safetensors *st) {
    if (!st) return;
    for (int i = 0; i < st->n_maps; i++) fl_map_close(&st->map[i]);
    fl_arena_free(&st->arena);
    fl_dealloc(st);
}

int fl_safetensors_count(const fl_safetensors *st) {
    return st->n;
}

const fl_stored_tensor *fl_safetensors_at(const fl_safetensors *st, int i) {
    FL_ASSERT(i >= 0 && i < st->n);
    return &st->tensor[i];
}

const fl_stored_tensor *fl_safetensors_find(const fl_safetensors *st, const char *name) {
    if (!st->n) return NULL;
    fl_stored_tensor key = {.name = name};
    return bsearch(&key, st->tensor, (size_t)st->n, sizeof key, by_name);
}
