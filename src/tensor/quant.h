/* quant.h - numbers in blocks: the quantized formats of ggml.
 *
 *     fl_quantize(blocks, FL_Q4_K, x, NULL, 4096);
 *     fl_dequantize(y, FL_Q4_K, blocks, 4096);
 *
 * Every format is one row: how to take a block apart and, unless it is only read here, how to make
 * one. A block taken apart is small integers q in groups that share a scale and a minimum:
 *
 *     x[i] = scale[g] q[i] - min[g],    g = i / group
 *
 * which is all that dequantizing and integer dot products need. Values are bit for bit ggml's;
 * quantizing searches for the scales with the least error, weighted by an importance per column
 * where one is given (how strongly the inputs of that column vary).
 *
 * Blocks may lie at any address. Everything here is thread safe. */
#ifndef FL_TENSOR_QUANT_H
#define FL_TENSOR_QUANT_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_BLOCK_MAX = 256, FL_GROUPS_MAX = 16 };

typedef struct {
    int8_t q[FL_BLOCK_MAX];
    float scale[FL_GROUPS_MAX], min[FL_GROUPS_MAX];
} fl_unpacked;

typedef struct {
    int group;  // elements that share a scale
    bool has_min;
    void (*unpack)(fl_unpacked *out, const void *block);

    /* One block from fl_dtype_block elements and their weights (all 1 where none are given). NULL:
     * the format is only read. */
    void (*quantize)(void *block, const float *x, const float *weight);

    const int8_t *values;  // the sixteen numbers that q may be; NULL: any
} fl_quant;

const fl_quant *fl_quant_of(fl_dtype t);  // t is a block format
bool fl_dtype_is_writable(fl_dtype t);    // plain, or a block format with `quantize`

void fl_dequantize(float *out, fl_dtype t, const void *blocks, int64_t n);

/* `importance` has n numbers >= 0, or is NULL. x is finite. */
void fl_quantize(void *blocks, fl_dtype t, const float *x, const float *importance, int64_t n);

/* What weights in blocks are multiplied by: x in 8 bits, each FL_X_GROUP elements with a scale of
 * their own, the largest of them 127, rounded to nearest even. A group with none above
 * FL_X_SMALLEST counts as zeros; where the largest is not finite, neither is the scale. n is whole
 * groups. */
enum { FL_X_GROUP = 32 };
#define FL_X_SMALLEST 1e-30f
void fl_quantize_x(int8_t *q, float *scale, const float *x, int64_t n);

/* Without a search: the largest element of a block sets its scale. For what is quantized while a
 * model runs, keys and values. Only some formats: q8_0 and q4_0. */
bool fl_dtype_is_quick(fl_dtype t);
void fl_quantize_quick(void *blocks, fl_dtype t, const float *x, int64_t n);

/* The reference of integer dot products: n elements of a row with activations in 8 bits, of which
 * each 32 share a scale: sum over groups of scale_a (scale sum(q a) - min sum(a)), the inner sums
 * in integers, the outer one in double. */
double fl_quant_dot(fl_dtype t, const void *blocks, const int8_t *a, const float *a_scale,
                    int64_t n);

#ifdef __cplusplus
}
#endif

#endif
