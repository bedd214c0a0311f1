/* tensor.h - a typed, strided window onto memory.
 *
 * Two types, one rule. fl_buffer owns bytes and is reference counted. fl_tensor is
 * a plain value that says how to read some bytes; it owns nothing, is copied by
 * assignment, and is valid while those bytes are. Reshape and slice make a new
 * fl_tensor and touch no memory.
 *
 * Number formats are rows of two lists, plain ones and those in blocks; everything that depends on
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

/* X(ID, name, safetensors name, ggml number, bytes); -1: ggml has none. F64 is for gradient checks.
 */
#define FL_PLAIN_DTYPE_LIST(X)     \
    X(F32, "f32", "F32", 0, 4)     \
    X(F16, "f16", "F16", 1, 2)     \
    X(BF16, "bf16", "BF16", 30, 2) \
    X(F64, "f64", "F64", 28, 8)    \
    X(I32, "i32", "I32", 26, 4)    \
    X(I64, "i64", "I64", 27, 8)    \
    X(I8, "i8", "I8", 24, 1)       \
    X(U8, "u8", "U8", -1, 1)

/* X(ID, name, ggml number, elements in a block, bytes of a block): see tensor/quant.h. */
#define FL_BLOCK_DTYPE_LIST(X)       \
    X(Q4_0, q4_0, 2, 32, 18)         \
    X(Q4_1, q4_1, 3, 32, 20)         \
    X(Q5_0, q5_0, 6, 32, 22)         \
    X(Q5_1, q5_1, 7, 32, 24)         \
    X(Q8_0, q8_0, 8, 32, 34)         \
    X(Q2_K, q2_k, 10, 256, 84)       \
    X(Q3_K, q3_k, 11, 256, 110)      \
    X(Q4_K, q4_k, 12, 256, 144)      \
    X(Q5_K, q5_k, 13, 256, 176)      \
    X(Q6_K, q6_k, 14, 256, 210)      \
    X(IQ4_NL, iq4_nl, 20, 32, 18)    \
    X(IQ4_XS, iq4_xs, 23, 256, 136)  \
    X(MXFP4, mxfp4, 39, 32, 17)      \
    X(NVFP4, nvfp4, 40, 64, 36)      \
    X(IQ2_XXS, iq2_xxs, 16, 256, 66) \
    X(IQ2_XS, iq2_xs, 17, 256, 74)   \
    X(IQ2_S, iq2_s, 22, 256, 82)     \
    X(IQ3_XXS, iq3_xxs, 18, 256, 98) \
    X(IQ3_S, iq3_s, 21, 256, 110)    \
    X(IQ1_S, iq1_s, 19, 256, 50)     \
    X(IQ1_M, iq1_m, 29, 256, 56)     \
    X(TQ1_0, tq1_0, 34, 256, 54)     \
    X(TQ2_0, tq2_0, 35, 256, 66)     \
    X(Q1_0, q1_0, 41, 128, 18)       \
    X(Q2_0, q2_0, 42, 64, 18)

typedef enum {
#define X(id, ...) FL_##id,
    FL_PLAIN_DTYPE_LIST(X) FL_BLOCK_DTYPE_LIST(X)
#undef X
        FL_DTYPE_COUNT,
    FL_BLOCK_DTYPE_FIRST = FL_Q4_0
} fl_dtype;

const char *fl_dtype_name(fl_dtype t);     // "bf16", "q4_k"
const char *fl_dtype_hf_name(fl_dtype t);  // "BF16"; NULL: safetensors has no such format
int fl_dtype_ggml(fl_dtype t);             // its number in GGUF files; -1: ggml has none
bool fl_dtype_from_name(fl_dtype *out, const char *name);  // in any case; false if unknown
bool fl_dtype_from_ggml(fl_dtype *out, uint32_t number);   // false if unknown

/* Elements of a block format only exist in blocks along a row: memory is counted in rows. A row of
 * `n` elements must hold whole blocks. */
bool fl_dtype_is_block(fl_dtype t);
int64_t fl_dtype_block(fl_dtype t);                // elements in a block; 1 for plain formats
size_t fl_dtype_row_bytes(fl_dtype t, int64_t n);  // of n elements
size_t fl_dtype_bytes(fl_dtype t);                 // of one element; plain formats only

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

/* Row r, rows as fl_tensor_rows counts them. The tensor is contiguous. */
void *fl_tensor_row(const fl_tensor *t, int64_t r);

/* One element by row-major index, in any numeric format. Slow: for references and tests. A block
 * format can be read (its tensor is contiguous), not set. */
double fl_tensor_get(const fl_tensor *t, int64_t i);
void fl_tensor_set(const fl_tensor *t, int64_t i, double v);  // rounds to nearest even

/* Convert `n` contiguous elements between float formats; rounds to nearest even, keeps NaN. Block
 * formats are read, and written without importance weights (tensor/quant.h has those); n is whole
 * blocks of both. `src` may lie at any address. */
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
