/* safetensors_write - writing tensors: the bytes of one, and a safetensors file of many. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"

enum { CHUNK = 1 << 14, BATCH_BYTES = 1 << 22 };  // elements converted, bytes made at a time

static fl_tensor shape_of(const fl_write_tensor *w) {
    return fl_tensor_of(NULL, w->dtype, w->rank, w->dim);
}

/* ---- one tensor ---- */

static fl_status write_contiguous(const fl_write_tensor *w, int64_t count, FILE *out, fl_err *err) {
    if (w->source_dtype == w->dtype) {
        fwrite(w->source, 1, fl_dtype_row_bytes(w->dtype, count), out);
        return FL_OK;
    }
    void *buffer = fl_alloc(fl_dtype_row_bytes(w->dtype, CHUNK));
    if (!buffer) return fl_fail(err, FL_ERR_NOMEM, "writing tensor %s", w->name);
    const char *from = w->source;
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        fl_convert(buffer, w->dtype, from + fl_dtype_row_bytes(w->source_dtype, at),
                   w->source_dtype, n);
        fwrite(buffer, 1, fl_dtype_row_bytes(w->dtype, n), out);
    }
    fl_dealloc(buffer);
    return FL_OK;
}

static fl_status write_rows(const fl_write_tensor *w, int64_t rows, int64_t cols, FILE *out,
                            fl_err *err) {
    float *row = fl_alloc((size_t)cols * sizeof *row);
    const size_t bytes = fl_dtype_row_bytes(w->dtype, cols);
    void *stored = fl_alloc(bytes);
    fl_status s = row && stored ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "writing tensor %s", w->name);
    for (int64_t i = 0; s == FL_OK && i < rows; i++) {
        w->row(w, i, row);
        fl_convert(stored, w->dtype, row, FL_F32, cols);
        fwrite(stored, 1, bytes, out);
    }
    fl_dealloc(row);
    fl_dealloc(stored);
    return s;
}

static fl_status write_stored(const fl_write_tensor *w, int64_t rows, int64_t cols, FILE *out,
                              fl_err *err) {
    const size_t bytes = fl_dtype_row_bytes(w->dtype, cols);
    const int64_t batch = bytes < BATCH_BYTES ? (int64_t)(BATCH_BYTES / bytes) : 1;
    char *buffer = fl_alloc((size_t)batch * bytes);
    if (!buffer) return fl_fail(err, FL_ERR_NOMEM, "writing tensor %s", w->name);
    fl_status s = FL_OK;
    for (int64_t r = 0; s == FL_OK && r < rows; r += batch) {
        const int64_t n = rows - r < batch ? rows - r : batch;
        s = w->stored(w, r, n, buffer, err);
        if (s == FL_OK) fwrite(buffer, 1, (size_t)n * bytes, out);
    }
    fl_dealloc(buffer);
    return s;
}

/* A failed write sticks to the stream and is reported when the file is committed. */
fl_status fl_write_tensor_data(const fl_write_tensor *w, FILE *out, fl_err *err) {
    fl_tensor shape = shape_of(w);
    if (w->stored) return write_stored(w, fl_tensor_rows(&shape), fl_tensor_cols(&shape), out, err);
    if (w->row) return write_rows(w, fl_tensor_rows(&shape), fl_tensor_cols(&shape), out, err);
    return write_contiguous(w, fl_tensor_count(&shape), out, err);
}

/* ---- safetensors ---- */

/* The reference orders by its enum of formats, largest first; of ours that is this order. */
static int format_order(fl_dtype t) {
    static const int order[FL_DTYPE_COUNT] = {
        [FL_I64] = 0,  [FL_F64] = 1, [FL_F32] = 2, [FL_I32] = 3,
        [FL_BF16] = 4, [FL_F16] = 5, [FL_I8] = 6,  [FL_U8] = 7,
    };
    return order[t];
}

static int by_file_order(const void *a, const void *b) {
    const fl_write_tensor *x = *(const fl_write_tensor *const *)a,
                          *y = *(const fl_write_tensor *const *)b;
    int p = format_order(x->dtype), q = format_order(y->dtype);
    return p != q ? p - q : strcmp(x->name, y->name);
}

static void put_entry(fl_text *t, const fl_write_tensor *w, size_t begin, size_t end) {
    fl_text_printf(t, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", w->name, fl_dtype_hf_name(w->dtype));
    for (int i = 0; i < w->rank; i++)
        fl_text_printf(t, "%s%lld", i ? "," : "", (long long)w->dim[i]);
    fl_text_printf(t, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

/* Names are ours (letters, digits, dots, underscores): nothing in them needs escaping. */
static fl_status make_header(fl_text *t, const fl_write_tensor *const *sorted, int n, fl_err *err) {
    fl_text_puts(t, "{\"__metadata__\":{\"format\":\"pt\"}");
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        FL_ASSERT(!strpbrk(sorted[i]->name, "\"\\"));
        if (!fl_dtype_hf_name(sorted[i]->dtype))
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "tensor %s: safetensors has no number format %s; GGUF has",
                           sorted[i]->name, fl_dtype_name(sorted[i]->dtype));
        fl_tensor shape = shape_of(sorted[i]);
        size_t end = at + fl_tensor_bytes(&shape);
        put_entry(t, sorted[i], at, end);
        at = end;
    }
    fl_text_puts(t, "}");
    while (t->n % 8 != 0 && !t->failed) fl_text_puts(t, " ");
    return fl_text_ok(t, err);
}

static fl_status save_sorted(const char *path, const fl_write_tensor *const *sorted, int n,
                             fl_err *err) {
    fl_text header = {0};
    fl_outfile *file = NULL;
    fl_status s = make_header(&header, sorted, n, err);
    if (s == FL_OK) s = fl_outfile_open(&file, path, err);
    if (s == FL_OK) {
        uint64_t bytes = header.n;
        fwrite(&bytes, sizeof bytes, 1, fl_outfile_stream(file));
        fwrite(header.data, 1, header.n, fl_outfile_stream(file));
    }
    for (int i = 0; s == FL_OK && i < n; i++)
        s = fl_write_tensor_data(sorted[i], fl_outfile_stream(file), err);
    fl_text_clear(&header);
    if (s == FL_OK) return fl_outfile_commit(file, err);
    fl_outfile_abort(file);
    return s;
}

fl_status fl_safetensors_save(const char *path, const fl_write_tensor *tensors, int n,
                              fl_err *err) {
    const fl_write_tensor **sorted = fl_alloc(((size_t)n + 1) * sizeof *sorted);
    if (!sorted) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    for (int i = 0; i < n; i++) sorted[i] = &tensors[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_file_order);
    fl_status s = save_sorted(path, sorted, n, err);
    fl_dealloc(sorted);
    return s;
}
