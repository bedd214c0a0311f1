/* gguf_write - writing GGUF version 3. The layout is drawn in the header. */
#include "format/gguf.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/text.h"

enum { VERSION = 3, ALIGNMENT = 32, NAME_MAX_BYTES = 63 };

struct fl_gguf {
    fl_text keys, names;  // names: of the keys, each with its zero byte
    uint64_t n_keys;
};

fl_gguf *fl_gguf_new(void) {
    fl_gguf *g = fl_alloc(sizeof *g);
    if (g) *g = (fl_gguf){0};
    return g;
}

void fl_gguf_free(fl_gguf *g) {
    if (!g) return;
    fl_text_clear(&g->keys);
    fl_text_clear(&g->names);
    fl_dealloc(g);
}

/* ---- keys ---- */

static void put_u32(fl_text *t, uint32_t v) {
    fl_text_append(t, &v, sizeof v);
}

static void put_u64(fl_text *t, uint64_t v) {
    fl_text_append(t, &v, sizeof v);
}

static void put_string(fl_text *t, const char *bytes, size_t n) {
    put_u64(t, n);
    fl_text_append(t, bytes, n);
}

static void put_key(fl_gguf *g, const char *key, uint32_t type) {
    put_string(&g->keys, key, strlen(key));
    put_u32(&g->keys, type);
    fl_text_append(&g->names, key, strlen(key) + 1);
    g->n_keys++;
}

bool fl_gguf_has(const fl_gguf *g, const char *key) {
    for (size_t at = 0; at < g->names.n; at += strlen(g->names.data + at) + 1)
        if (strcmp(g->names.data + at, key) == 0) return true;
    return false;
}

static void put_array(fl_gguf *g, const char *key, uint32_t type, size_t n) {
    put_key(g, key, FL_GGUF_ARRAY);
    put_u32(&g->keys, type);
    put_u64(&g->keys, n);
}

void fl_gguf_u32(fl_gguf *g, const char *key, uint32_t v) {
    put_key(g, key, FL_GGUF_U32);
    put_u32(&g->keys, v);
}

void fl_gguf_f32(fl_gguf *g, const char *key, float v) {
    put_key(g, key, FL_GGUF_F32);
    fl_text_append(&g->keys, &v, sizeof v);
}

void fl_gguf_bool(fl_gguf *g, const char *key, bool v) {
    put_key(g, key, FL_GGUF_BOOL);
    fl_text_append(&g->keys, v ? "\1" : "\0", 1);
}

void fl_gguf_str(fl_gguf *g, const char *key, const char *v) {
    put_key(g, key, FL_GGUF_STRING);
    put_string(&g->keys, v, strlen(v));
}

void fl_gguf_i32_array(fl_gguf *g, const char *key, const int32_t *v, size_t n) {
    put_array(g, key, FL_GGUF_I32, n);
    fl_text_append(&g->keys, v, n * sizeof *v);
}

void fl_gguf_u8_array(fl_gguf *g, const char *key, const uint8_t *v, size_t n) {
    put_array(g, key, FL_GGUF_U8, n);
    fl_text_append(&g->keys, v, n);
}

void fl_gguf_f32_array(fl_gguf *g, const char *key, const float *v, size_t n) {
    put_array(g, key, FL_GGUF_F32, n);
    fl_text_append(&g->keys, v, n * sizeof *v);
}

void fl_gguf_copy(fl_gguf *g, const fl_gguf_key *k) {
    if (strcmp(k->name, "general.alignment") == 0 || strncmp(k->name, "split.", 6) == 0) return;
    if (k->type == FL_GGUF_STRING && !k->is_array) {
        put_key(g, k->name, FL_GGUF_STRING);
        put_string(&g->keys, k->strings->bytes, k->strings->n);
        return;
    }
    put_key(g, k->name, k->is_array ? FL_GGUF_ARRAY : k->type);
    fl_text_append(&g->keys, k->value, k->value_bytes);
}

void fl_gguf_strings_begin(fl_gguf *g, const char *key, size_t n) {
    put_array(g, key, FL_GGUF_STRING, n);
}

void fl_gguf_strings_add(fl_gguf *g, const char *bytes, size_t n) {
    put_string(&g->keys, bytes, n);
}

/* ---- the file ---- */

static uint64_t aligned(uint64_t n) {
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t data_bytes(const fl_write_tensor *w) {
    fl_tensor shape = fl_tensor_of(NULL, w->dtype, w->rank, w->dim);
    return fl_tensor_bytes(&shape);
}

static fl_status put_info(fl_text *t, const fl_write_tensor *w, uint64_t offset, fl_err *err) {
    if (fl_dtype_ggml(w->dtype) < 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "tensor %s: GGUF has no number format %s", w->name,
                       fl_dtype_name(w->dtype));
    if (w->dim[w->rank - 1] % fl_dtype_block(w->dtype))
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "tensor %s: rows of %lld elements are not whole blocks of %s", w->name,
                       (long long)w->dim[w->rank - 1], fl_dtype_name(w->dtype));
    if (strlen(w->name) > NAME_MAX_BYTES)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "tensor %s: GGUF allows names of %d bytes", w->name,
                       NAME_MAX_BYTES);
    put_string(t, w->name, strlen(w->name));
    put_u32(t, (uint32_t)w->rank);
    for (int i = w->rank - 1; i >= 0; i--) put_u64(t, (uint64_t)w->dim[i]);
    put_u32(t, (uint32_t)fl_dtype_ggml(w->dtype));
    put_u64(t, offset);
    return FL_OK;
}

static fl_status make_head(fl_text *t, const fl_gguf *g, const fl_write_tensor *tensors, int n,
                           fl_err *err) {
    fl_text_puts(t, "GGUF");
    put_u32(t, VERSION);
    put_u64(t, (uint64_t)n);
    put_u64(t, g->n_keys);
    fl_text_append(t, g->keys.data, g->keys.n);
    uint64_t offset = 0;
    for (int i = 0; i < n; i++) {
        FL_TRY(put_info(t, &tensors[i], offset, err));
        offset = aligned(offset + data_bytes(&tensors[i]));
    }
    FL_TRY(fl_text_ok(&g->keys, err));
    FL_TRY(fl_text_ok(&g->names, err));
    return fl_text_ok(t, err);
}

static void pad(uint64_t n, FILE *out) {
    static const char zeros[ALIGNMENT];
    fwrite(zeros, 1, (size_t)(aligned(n) - n), out);
}

fl_status fl_gguf_save(fl_gguf *g, const char *path, const fl_write_tensor *tensors, int n,
                       fl_err *err) {
    fl_text head = {0};
    fl_outfile *file = NULL;
    fl_status s = make_head(&head, g, tensors, n, err);
    if (s == FL_OK) s = fl_outfile_open(&file, path, err);
    if (s == FL_OK) {
        fwrite(head.data, 1, head.n, fl_outfile_stream(file));
        pad(head.n, fl_outfile_stream(file));
    }
    for (int i = 0; s == FL_OK && i < n && !ferror(fl_outfile_stream(file)); i++) {
        if (fl_interrupted()) s = fl_fail(err, FL_ERR_IO, "interrupted");
        else s = fl_write_tensor_data(&tensors[i], fl_outfile_stream(file), err);
        pad(data_bytes(&tensors[i]), fl_outfile_stream(file));
    }
    fl_text_clear(&head);
    if (s == FL_OK) return fl_outfile_commit(file, err);
    fl_outfile_abort(file);
    return s;
}
