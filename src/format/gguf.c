/* gguf - reading GGUF and refusing what lies. The layout is drawn in the header.
 *
 * One cursor walks the head of a mapped file. Whatever is taken from it is first asked for
 * (`take`), so nothing is read past the end; every count is held against the bytes that are left
 * before memory is asked for. Tensors are then sorted by place, which finds overlaps. A split model
 * is its files one after the other: the keys of the first, the tensors of all. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/file.h"
#include "format/gguf.h"

enum {
    OLDEST = 2,
    NEWEST = 3,
    ALIGNMENT = 32,
    ALIGNMENT_MAX = 1 << 20,
    KEY_MAX_BYTES = 65535,
    NAME_MAX_BYTES = 64,
    KEY_LEAST_BYTES = 8 + 1 + 4 + 1,  // the shortest key and tensor info there can be
    INFO_LEAST_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
    SPLITS_MAX = 99999
};

struct fl_gguf_file {
    fl_arena arena;
    fl_gguf_key *key;
    fl_stored_tensor *tensor;
    const fl_gguf_key **key_by_name;
    const fl_stored_tensor **tensor_by_name;
    int n_keys, n_tensors;
    fl_map *map;  // one per file
    int n_maps;
};

/* ---- the cursor ---- */

typedef struct {
    fl_gguf_file *f;
    const char *file;  // for messages
    const uint8_t *begin, *at, *end;
    uint64_t alignment;
    fl_err *err;
} cursor;

static fl_status fail(const cursor *c, const char *what) {
    return fl_fail(c->err, FL_ERR_FORMAT, "%s: byte %zu: %s", c->file, (size_t)(c->at - c->begin),
                   what);
}

static fl_status no_memory(const char *file, fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "%s: its table of keys and tensors", file);
}

static uint64_t left(const cursor *c) {
    return (uint64_t)(c->end - c->at);
}

static fl_status take(cursor *c, void *out, size_t n) {
    if (left(c) < n) return fail(c, "the file ends here; is it truncated?");
    memcpy(out, c->at, n);
    c->at += n;
    return FL_OK;
}

static fl_status take_string(cursor *c, fl_gguf_string *out) {
    uint64_t n = 0;
    FL_TRY(take(c, &n, sizeof n));
    if (n > left(c)) return fail(c, "a string is longer than the file; truncated?");
    *out = (fl_gguf_string){(const char *)c->at, (size_t)n};
    c->at += n;
    return FL_OK;
}

/* A name as a C string of at most `most` bytes. */
static fl_status take_name(cursor *c, size_t most, const char **out) {
    fl_gguf_string s = {0};
    FL_TRY(take_string(c, &s));
    if (s.n == 0 || s.n > most || memchr(s.bytes, '\0', s.n))
        return fl_fail(c->err, FL_ERR_FORMAT,
                       "%s: byte %zu: a name of %zu bytes; expected 1 to %zu without a zero byte",
                       c->file, (size_t)((const uint8_t *)s.bytes - c->begin), s.n, most);
    char *copy = FL_NEW(&c->f->arena, char, s.n + 1);
    if (!copy) return no_memory(c->file, c->err);
    memcpy(copy, s.bytes, s.n);
    *out = copy;
    return FL_OK;
}

/* ---- keys ---- */

/* A copy with a zero byte after it, so that it can be handed out as a C string. */
static fl_status keep_text(cursor *c, fl_gguf_string *s) {
    char *copy = FL_NEW(&c->f->arena, char, s->n + 1);
    if (!copy) return no_memory(c->file, c->err);
    memcpy(copy, s->bytes, s->n);
    s->bytes = copy;
    return FL_OK;
}

static fl_status take_strings(cursor *c, fl_gguf_key *k) {
    if (k->n > left(c) / sizeof(uint64_t))
        return fail(c, "an array is longer than the file; truncated?");
    fl_gguf_string *s = FL_NEW(&c->f->arena, fl_gguf_string, (size_t)k->n + 1);
    if (!s) return no_memory(c->file, c->err);
    for (uint64_t i = 0; i < k->n; i++) FL_TRY(take_string(c, &s[i]));
    k->strings = s;
    return k->is_array ? FL_OK : keep_text(c, s);
}

static fl_status take_plain(cursor *c, const fl_gguf_key *k) {
    const size_t bytes = fl_gguf_type_bytes(k->type);
    if (k->n > left(c) / bytes) return fail(c, "a value is longer than the file; truncated?");
    if (k->type == FL_GGUF_BOOL)
        for (uint64_t i = 0; i < k->n; i++)
            if (c->at[i] > 1) return fail(c, "a boolean is neither 0 nor 1");
    c->at += (size_t)k->n * bytes;
    return FL_OK;
}

static fl_status take_type(cursor *c, bool inside, fl_gguf_type *out) {
    uint32_t type = 0;
    FL_TRY(take(c, &type, sizeof type));
    if (type >= FL_GGUF_TYPE_COUNT) return fail(c, "a value of unknown type");
    if (inside && type == FL_GGUF_ARRAY) return fail(c, "an array of arrays; no model needs them");
    *out = (fl_gguf_type)type;
    return FL_OK;
}

static fl_status take_key(cursor *c, fl_gguf_key *k) {
    *k = (fl_gguf_key){.n = 1};
    FL_TRY(take_name(c, KEY_MAX_BYTES, &k->name));
    FL_TRY(take_type(c, false, &k->type));
    k->value = c->at;
    k->is_array = k->type == FL_GGUF_ARRAY;
    if (k->is_array) {
        FL_TRY(take_type(c, true, &k->type));
        FL_TRY(take(c, &k->n, sizeof k->n));
    }
    const uint8_t *first = c->at;
    FL_TRY(k->type == FL_GGUF_STRING ? take_strings(c, k) : take_plain(c, k));
    k->value_bytes = (size_t)(c->at - (const uint8_t *)k->value);
    if (!k->is_array) k->value = first;
    return FL_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(const fl_gguf_key *const *)a)->name, (*(const fl_gguf_key *const *)b)->name);
}

static fl_status index_keys(cursor *c) {
    fl_gguf_file *f = c->f;
    f->key_by_name = FL_NEW(&f->arena, const fl_gguf_key *, (size_t)f->n_keys + 1);
    if (!f->key_by_name) return no_memory(c->file, c->err);
    for (int i = 0; i < f->n_keys; i++) f->key_by_name[i] = &f->key[i];
    if (f->n_keys) qsort(f->key_by_name, (size_t)f->n_keys, sizeof *f->key_by_name, by_key);
    for (int i = 1; i < f->n_keys; i++)
        if (strcmp(f->key_by_name[i - 1]->name, f->key_by_name[i]->name) == 0)
            return fl_fail(c->err, FL_ERR_FORMAT, "%s: key %.80s is there twice", c->file,
                           f->key_by_name[i]->name);
    return FL_OK;
}

static fl_status take_keys(cursor *c, uint64_t n) {
    if (n > left(c) / KEY_LEAST_BYTES || n > INT32_MAX)
        return fail(c, "more keys are promised than the file has room for");
    c->f->key = FL_NEW(&c->f->arena, fl_gguf_key, (size_t)n + 1);
    if (!c->f->key) return no_memory(c->file, c->err);
    c->f->n_keys = (int)n;
    for (uint64_t i = 0; i < n; i++) FL_TRY(take_key(c, &c->f->key[i]));
    FL_TRY(index_keys(c));
    int64_t alignment = ALIGNMENT;
    FL_TRY(fl_gguf_get_int(c->f, "general.alignment", &alignment, c->err));
    if (alignment < 1 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)))
        return fl_fail(c->err, FL_ERR_FORMAT,
                       "%s: general.alignment is %lld; expected a power of two up to %d", c->file,
                       (long long)alignment, ALIGNMENT_MAX);
    c->alignment = (uint64_t)alignment;
    return FL_OK;
}

/* ---- tensors ---- */

static fl_status tensor_fail(const cursor *c, const char *name, const char *what) {
    return fl_fail(c->err, FL_ERR_FORMAT, "%s: tensor %.80s: %s", c->file, name, what);
}

static fl_status take_shape(cursor *c, const char *name, int *rank, int64_t dim[FL_MAX_RANK]) {
    uint32_t n = 0;
    uint64_t count = 1;
    FL_TRY(take(c, &n, sizeof n));
    if (n < 1 || n > FL_MAX_RANK)
        return fl_fail(c->err, FL_ERR_FORMAT,
                       "%s: tensor %.80s has %u dimensions, expected 1 to %d", c->file, name,
                       (unsigned)n, FL_MAX_RANK);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t d = 0;
        FL_TRY(take(c, &d, sizeof d));
        if (d == 0 || d > (uint64_t)INT64_MAX / 8 / count)
            return tensor_fail(c, name, "its shape is empty or overflows");
        count *= d;
        dim[n - 1 - i] = (int64_t)d;
    }
    *rank = (int)n;
    return FL_OK;
}

/* The data pointer is the offset for now: where the data begins is known after the last info. */
static fl_status take_info(cursor *c, fl_stored_tensor *t) {
    int rank = 0;
    int64_t dim[FL_MAX_RANK];
    uint32_t type = 0;
    uint64_t offset = 0;
    fl_dtype dtype;
    FL_TRY(take_name(c, NAME_MAX_BYTES, &t->name));
    FL_TRY(take_shape(c, t->name, &rank, dim));
    FL_TRY(take(c, &type, sizeof type));
    FL_TRY(take(c, &offset, sizeof offset));
    if (!fl_dtype_from_ggml(&dtype, type))
        return fl_fail(c->err, FL_ERR_UNSUPPORTED,
                       "%s: tensor %.80s: ggml's number format %u is not supported", c->file,
                       t->name, (unsigned)type);
    if (dim[rank - 1] % fl_dtype_block(dtype))
        return fl_fail(c->err, FL_ERR_FORMAT,
                       "%s: tensor %.80s: rows of %lld elements are not whole blocks of %s",
                       c->file, t->name, (long long)dim[rank - 1], fl_dtype_name(dtype));
    if (offset % c->alignment)
        return tensor_fail(c, t->name, "its place is not a multiple of general.alignment");
    if (offset > (uint64_t)(c->end - c->begin))
        return tensor_fail(c, t->name, "it begins after the end of the file; truncated?");
    t->file = c->file;
    t->t = fl_tensor_of((void *)(uintptr_t)offset, dtype, rank, dim);
    return FL_OK;
}

static int by_place(const void *a, const void *b) {
    const fl_stored_tensor *x = *(const fl_stored_tensor *const *)a,
                           *y = *(const fl_stored_tensor *const *)b;
    const uintptr_t p = (uintptr_t)x->t.data, q = (uintptr_t)y->t.data;
    return p == q ? strcmp(x->name, y->name) : p < q ? -1 : 1;
}

/* Every tensor ends before the next begins, and the last with the file or before. */
static fl_status check_places(cursor *c, fl_stored_tensor *t, int n, uint64_t bytes) {
    const fl_stored_tensor **order = fl_alloc(((size_t)n + 1) * sizeof *order);
    if (!order) return no_memory(c->file, c->err);
    for (int i = 0; i < n; i++) order[i] = &t[i];
    if (n) qsort(order, (size_t)n, sizeof *order, by_place);
    fl_status s = FL_OK;
    for (int i = 0; i < n && s == FL_OK; i++) {
        const uint64_t begin = (uint64_t)(uintptr_t)order[i]->t.data;
        const uint64_t end = i + 1 < n ? (uint64_t)(uintptr_t)order[i + 1]->t.data : bytes;
        if (begin > bytes || fl_tensor_bytes(&order[i]->t) > bytes - begin)
            s = tensor_fail(c, order[i]->name, "it ends after the end of the file; truncated?");
        else if (fl_tensor_bytes(&order[i]->t) > end - begin)
            s = fl_fail(c->err, FL_ERR_FORMAT, "%s: tensors %.80s and %.80s overlap", c->file,
                        order[i]->name, order[i + 1]->name);
    }
    fl_dealloc(order);
    return s;
}

static fl_status take_tensors(cursor *c, uint64_t n) {
    fl_gguf_file *f = c->f;
    if (n > left(c) / INFO_LEAST_BYTES || n > (uint64_t)(INT32_MAX - f->n_tensors))
        return fail(c, "more tensors are promised than the file has room for");
    fl_stored_tensor *all = FL_NEW(&f->arena, fl_stored_tensor, (size_t)f->n_tensors + n + 1);
    if (!all) return no_memory(c->file, c->err);
    if (f->n_tensors) memcpy(all, f->tensor, (size_t)f->n_tensors * sizeof *all);
    fl_stored_tensor *fresh = all + f->n_tensors;
    for (uint64_t i = 0; i < n; i++) FL_TRY(take_info(c, &fresh[i]));
    const uint64_t head = (uint64_t)(c->at - c->begin), file_bytes = (uint64_t)(c->end - c->begin);
    const uint64_t data = (head + c->alignment - 1) / c->alignment * c->alignment;
    FL_TRY(check_places(c, fresh, (int)n, data < file_bytes ? file_bytes - data : 0));
    for (uint64_t i = 0; i < n; i++)
        fresh[i].t.data = (void *)(uintptr_t)(c->begin + data + (uintptr_t)fresh[i].t.data);
    f->tensor = all;
    f->n_tensors += (int)n;
    return FL_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const fl_stored_tensor *const *)a)->name,
                  (*(const fl_stored_tensor *const *)b)->name);
}

static fl_status index_tensors(fl_gguf_file *f, const char *file, fl_err *err) {
    f->tensor_by_name = FL_NEW(&f->arena, const fl_stored_tensor *, (size_t)f->n_tensors + 1);
    if (!f->tensor_by_name) return no_memory(file, err);
    for (int i = 0; i < f->n_tensors; i++) f->tensor_by_name[i] = &f->tensor[i];
    if (f->n_tensors)
        qsort(f->tensor_by_name, (size_t)f->n_tensors, sizeof *f->tensor_by_name, by_name);
    for (int i = 1; i < f->n_tensors; i++)
        if (strcmp(f->tensor_by_name[i - 1]->name, f->tensor_by_name[i]->name) == 0)
            return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %.80s is there twice", file,
                           f->tensor_by_name[i]->name);
    return FL_OK;
}

/* ---- one file ---- */

static fl_status check_version(cursor *c) {
    char magic[4];
    uint32_t version = 0;
    if (!left(c)) return fail(c, "the file is empty");
    if (left(c) < sizeof magic || memcmp(c->at, "GGUF", sizeof magic))
        return fail(c, "not a GGUF file: it does not begin with \"GGUF\"");
    FL_TRY(take(c, magic, sizeof magic));
    FL_TRY(take(c, &version, sizeof version));
    if (version >= OLDEST && version <= NEWEST) return FL_OK;
    if (version && !(version & 0xffff)) return fail(c, "a big-endian GGUF file; convert it first");
    return fl_fail(c->err, FL_ERR_UNSUPPORTED, "%s: GGUF version %u; versions %d and %d are read",
                   c->file, (unsigned)version, OLDEST, NEWEST);
}

/* Append a file's tensors to f, and take its keys in place of those that are there. */
static fl_status add_file(fl_gguf_file *f, const void *data, size_t bytes, const char *file,
                          fl_err *err) {
    size_t n = strlen(file) + 1;
    char *name = FL_NEW(&f->arena, char, n);
    if (!name) return no_memory(file, err);
    memcpy(name, file, n);
    const uint8_t *begin = data;
    cursor c = {f, name, begin, begin, begin + bytes, ALIGNMENT, err};
    uint64_t n_tensors = 0, n_keys = 0;
    FL_TRY(check_version(&c));
    FL_TRY(take(&c, &n_tensors, sizeof n_tensors));
    FL_TRY(take(&c, &n_keys, sizeof n_keys));
    FL_TRY(take_keys(&c, n_keys));
    return take_tensors(&c, n_tensors);
}

static fl_gguf_file *table_new(int n_maps) {
    fl_gguf_file *f = fl_alloc(sizeof *f);
    if (!f) return NULL;
    *f = (fl_gguf_file){0};
    fl_arena_init(&f->arena, 1 << 16);
    f->map = FL_NEW(&f->arena, fl_map, (size_t)n_maps);
    if (f->map) return f;
    fl_gguf_close(f);
    return NULL;
}

fl_status fl_gguf_parse(fl_gguf_file **out, const void *data, size_t bytes, const char *file,
                        fl_err *err) {
    fl_gguf_file *f = table_new(1);
    if (!f) return no_memory(file, err);
    fl_status s = add_file(f, data, bytes, file, err);
    if (s == FL_OK) s = index_tensors(f, file, err);
    if (s != FL_OK) {
        fl_gguf_close(f);
        return s;
    }
    *out = f;
    return FL_OK;
}

void fl_gguf_close(fl_gguf_file *f) {
    if (!f) return;
    for (int i = 0; i < f->n_maps; i++) fl_map_close(&f->map[i]);
    fl_arena_free(&f->arena);
    fl_dealloc(f);
}

/* ---- several files ---- */

static fl_status map_file(fl_gguf_file *f, const char *path, fl_err *err) {
    fl_map *m = &f->map[f->n_maps];
    FL_TRY(fl_map_open(m, path, err));
    f->n_maps++;
    return add_file(f, m->data, m->bytes, path, err);
}

/* What a file says about being one of several. */
static fl_status split_of(const fl_gguf_file *f, int64_t *no, int64_t *count, fl_err *err) {
    *no = 0;
    *count = 1;
    FL_TRY(fl_gguf_get_int(f, "split.no", no, err));
    FL_TRY(fl_gguf_get_int(f, "split.count", count, err));
    if (*count == 0) *count = 1;
    if (*count < 1 || *count > SPLITS_MAX || *no < 0 || *no >= *count)
        return fl_fail(err, FL_ERR_FORMAT, "split.no is %lld and split.count %lld", (long long)*no,
                       (long long)*count);
    return FL_OK;
}

/* "BASE-00002-of-00005.gguf": how long BASE is; 0 if the name is not like that. */
static size_t split_base(const char *path, int64_t no, int64_t count) {
    char end[64];
    snprintf(end, sizeof end, "-%05lld-of-%05lld.gguf", (long long)no + 1, (long long)count);
    return fl_path_has_suffix(path, end) ? strlen(path) - strlen(end) : 0;
}

static fl_status add_splits(fl_gguf_file *f, const char *path, size_t base, int64_t count,
                            fl_err *err) {
    for (int64_t i = count - 1; i >= 0; i--) {  // the first last: its keys are the model's
        char file[FL_PATH_MAX];
        int64_t no = 0, of = 0;
        snprintf(file, sizeof file, "%.*s-%05lld-of-%05lld.gguf", (int)base, path, (long long)i + 1,
                 (long long)count);
        FL_TRY(map_file(f, file, err));
        FL_TRY(split_of(f, &no, &of, err));
        if (no != i || of != count)
            return fl_fail(err, FL_ERR_FORMAT, "%s: says it is part %lld of %lld", file,
                           (long long)no + 1, (long long)of);
    }
    int64_t promised = f->n_tensors;
    FL_TRY(fl_gguf_get_int(f, "split.tensors.count", &promised, err));
    if (promised != f->n_tensors)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %lld tensors are promised, the parts have %d", path,
                       (long long)promised, f->n_tensors);
    return FL_OK;
}

static fl_status open_files(fl_gguf_file **out, const char *path, size_t base, int64_t count,
                            fl_err *err) {
    fl_gguf_file *f = table_new((int)count);
    if (!f) return no_memory(path, err);
    fl_status s = count > 1 ? add_splits(f, path, base, count, err) : map_file(f, path, err);
    if (s == FL_OK) s = index_tensors(f, path, err);
    if (s != FL_OK) {
        fl_gguf_close(f);
        return s;
    }
    *out = f;
    return FL_OK;
}

bool fl_gguf_is(const char *path) {
    char magic[4] = "";
    if (fl_path_has_suffix(path, ".gguf")) return true;
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(magic, 1, 4, f) == 4 && memcmp(magic, "GGUF", 4) == 0;
    if (f) fclose(f);
    return is;
}

fl_status fl_gguf_open(fl_gguf_file **out, const char *path, fl_err *err) {
    fl_gguf_file *one = NULL;
    int64_t no = 0, count = 1;
    FL_TRY(open_files(&one, path, 0, 1, err));
    fl_status s = split_of(one, &no, &count, err);
    if (s == FL_OK && count == 1) {
        *out = one;
        return FL_OK;
    }
    fl_gguf_close(one);
    if (s != FL_OK) return fl_context(err, s, "%s", path);
    size_t base = split_base(path, no, count);
    if (!base)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: part %lld of %lld; the others are found by names that end in "
                       "-%05lld-of-%05lld.gguf",
                       path, (long long)no + 1, (long long)count, (long long)no + 1,
                       (long long)count);
    return open_files(out, path, base, count, err);
}

/* ---- looking ---- */

int fl_gguf_n_keys(const fl_gguf_file *f) {
    return f->n_keys;
}

const fl_gguf_key *fl_gguf_key_at(const fl_gguf_file *f, int i) {
    FL_ASSERT(i >= 0 && i < f->n_keys);
    return &f->key[i];
}

const fl_gguf_key *fl_gguf_find(const fl_gguf_file *f, const char *key) {
    if (!f->n_keys) return NULL;
    const fl_gguf_key want = {.name = key}, *at = &want;
    const fl_gguf_key *const *found = bsearch(&at, f->key_by_name, (size_t)f->n_keys,
                                              sizeof *f->key_by_name, by_key);
    return found ? *found : NULL;
}

int fl_gguf_n_tensors(const fl_gguf_file *f) {
    return f->n_tensors;
}

const fl_stored_tensor *fl_gguf_tensor_at(const fl_gguf_file *f, int i) {
    FL_ASSERT(i >= 0 && i < f->n_tensors);
    return &f->tensor[i];
}

const fl_stored_tensor *fl_gguf_tensor(const fl_gguf_file *f, const char *name) {
    if (!f->n_tensors) return NULL;
    const fl_stored_tensor want = {.name = name}, *at = &want;
    const fl_stored_tensor *const *found = bsearch(&at, f->tensor_by_name, (size_t)f->n_tensors,
                                                   sizeof *f->tensor_by_name, by_name);
    return found ? *found : NULL;
}
