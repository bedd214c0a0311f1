/* safetensors.h - the Hugging Face tensor file: reading by mapping, writing by streaming.
 *
 *     fl_safetensors *st;
 *     if (fl_safetensors_open(&st, "models/tales", &err) != FL_OK) ...
 *     const fl_stored_tensor *w = fl_safetensors_find(st, "lm_head.weight");
 *     ... read w->t.data, which lives in the mapping ...
 *     fl_safetensors_close(st);
 *
 *   u64 header bytes
 *   {"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...}   padded with spaces
 *   data
 *
 * A model is one file, or several named by model.safetensors.index.json. A header is trusted only
 * after every tensor's type, shape, bytes and place were checked: tensors cover the data exactly,
 * without overlap or gap. Files written here are byte for byte those of the `safetensors` package:
 * tensors ordered by element size, largest first, then by name.
 *
 * The data is little-endian, and so must the machine be. Reading is thread safe once open. */
#ifndef FL_FORMAT_SAFETENSORS_H
#define FL_FORMAT_SAFETENSORS_H

#include <stdio.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;
    fl_tensor t;       // borrowed from the mapping, read-only; may be unaligned for its type
    const char *file;  // that holds it, for messages
} fl_stored_tensor;

typedef struct fl_safetensors fl_safetensors;

/* A .safetensors file, an index.json, or a folder that holds model.safetensors or its index. */
FL_MUST_USE fl_status fl_safetensors_open(fl_safetensors **out, const char *path, fl_err *err);
void fl_safetensors_close(fl_safetensors *st);  // NULL is allowed

int fl_safetensors_count(const fl_safetensors *st);
const fl_stored_tensor *fl_safetensors_at(const fl_safetensors *st, int i);  // sorted by name
const fl_stored_tensor *fl_safetensors_find(const fl_safetensors *st,
                                            const char *name);  // NULL: none

/* Check one file already in memory; what the reader and the fuzzer share. */
FL_MUST_USE fl_status fl_safetensors_parse(fl_safetensors **out, const void *data, size_t bytes,
                                           const char *file, fl_err *err);

/* A tensor to write: its elements are asked for row by row (rows as in fl_tensor_rows of `dim`) and
 * converted. */
typedef struct fl_write_tensor fl_write_tensor;
struct fl_write_tensor {
    const char *name;
    fl_dtype dtype;  // in the file
    int rank;
    int64_t dim[FL_MAX_RANK];
    void (*row)(const fl_write_tensor *w, int64_t row, float *out);  // NULL: `source` is contiguous
    const void *source;
    fl_dtype source_dtype;  // of `source`, when row is NULL

    /* Instead of `row`: n rows from `row` on as they are stored. What is slow to make is made many
     * rows at a time. An error ends the writing. */
    fl_status (*stored)(const fl_write_tensor *w, int64_t row, int64_t n, void *out, fl_err *err);
};

FL_MUST_USE fl_status fl_safetensors_save(const char *path, const fl_write_tensor *tensors, int n,
                                          fl_err *err);

/* Write one tensor's bytes in its format. Used by every writer of weights. */
FL_MUST_USE fl_status fl_write_tensor_data(const fl_write_tensor *w, FILE *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
