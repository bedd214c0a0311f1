/* tensor.h - a typed, strided window onto memory.
 *
 * Two types, one rule. fl_buffer owns bytes and is reference counted. fl_tensor is
 * a plain value that says how to read some bytes; it owns nothing, is copied by
 * assignment, and is valid while those bytes are. Reshape and slice make a new
 * fl_tensor and touch no memory.
 *
 * Number formats are rows of one table (FL_DTYPE_LIST); everything that depends on
 * the format - size, name in a file, conversion - is read from there. */
#ifndef FL_TENSOR_TENSOR_H
#define FL_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_MAX_RANK = 4 };

/* X(ID, name, safetensors name, bytes). F64 exists for gradient checks only. */
#define FL_DTYPE_LIST(X)       \
    X(F32, "f32", "F32", 4)    \
    X(F16, "f16", "F16", 2)    \
    X(BF16, "bf16", "BF16", 2) \
    X(F64, "f64", "F64", 8)    \
    X(I32, "i32", "I32", 4)    \
    X(I64, "i64", "I64", 8)    \
    X(I8, "i8", "I8", 1)       \
    X(U8, "u8", "U8", 1)

typedef enum {
#define X(id, name, hf, bytes) FL_##id,
    FL_DTYPE_LIST(X)
#undef X
        FL_DTYPE_COUNT
} fl_dtype;

const char *fl_dtype_name(fl_dtype t);     // "bf16"
const char *fl_dtype_hf_name(fl_dtype t);  // "BF16", as safetensors writes it
size_t fl_dtype_bytes(fl_dtype t);
bool fl_dtype_from_name(fl_dtype *out, const char *name);  // either spelling; false if unknown

typedef struct {
    void *data;  // first element; borrowed
    fl_dtype dtype;
    int rank;                     // 1..FL_MAX_RANK
    int64_t dim[FL_MAX_RANK];     // outermost first; unused dims are 1
    int64_t stride[FL_MAX_RANK];  // in elements; 0 along a broadcast dim
} fl_tensor;

/* Row-major tensor over `data`, which may be NULL while only the shape is known. */
fl_tensor fl_tensor_of(void *data, fl_dtype dtype, int rank, const int64_t *dim);
int64_t fl_tensor_count(const fl_tensor *t);  // elements
size_t fl_tensor_bytes(const fl_tensor *t);   // of a contiguous copy
bool fl_tensor_contiguous(const fl_tensor *t);
bool fl_tensor_same_shape(const fl_tensor *a, const fl_tensor *b);  // rank and dims; not dtype
int64_t fl_tensor_rows(const fl_tensor *t);  // product of all dims but the last
int64_t fl_tensor_cols(const fl_tensor *t);  // last dim

/* "(4, 256, 768)" for messages. Returns `out`. */
enum { FL_SHAPE_TEXT = 96 };
const char *fl_tensor_shape_text(const fl_tensor *t, char out[FL_SHAPE_TEXT]);

/* One element by row-major index, in any numeric format. Slow: for references and tests. */
double fl_tensor_get(const fl_tensor *t, int64_t i);
void fl_tensor_set(const fl_tensor *t, int64_t i, double v);  // rounds to nearest even

/* Convert `n` contiguous elements between float formats; rounds to nearest even, keeps NaN. */
void fl_convert(void *dst, fl_dtype dst_type, const void *src, fl_dtype src_type, int64_t n);

float fl_bf16_to_f32(uint16_t h);
uint16_t fl_f32_to_bf16(float f);
float fl_f16_to_f32(uint16_t h);
uint16_t fl_f32_to_f16(float f);

/* Buffers: large, aligned to FL_ALIGN, asked for in huge pages, zeroed by the system. */
typedef struct fl_buffer fl_buffer;
FL_MUST_USE fl_status fl_buffer_new(fl_buffer **out, size_t bytes, fl_err *err);
fl_buffer *fl_buffer_ref(fl_buffer *b);  // returns b
void fl_buffer_unref(fl_buffer *b);      // NULL is allowed
void *fl_buffer_data(const fl_buffer *b);
size_t fl_buffer_bytes(const fl_buffer *b);

#ifdef __cplusplus
}
#endif

#endif
