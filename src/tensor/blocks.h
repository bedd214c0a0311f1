/* blocks.h - how the block formats of ggml lie in memory.
 *
 * A block is a run of elements of one row with a scale of its own. Field names are ggml's, so that
 * its documentation can be read beside them: d scale, m or dmin minimum, qs the low bits of the
 * numbers, qh or hmask the high ones. `half` is the bits of an f16. In a super-block of 256, groups
 * of 16 or 32 elements have scales that are small integers times d. What the bits mean is said
 * where each format is unpacked, in tensor/quant/. */
#ifndef FL_TENSOR_BLOCKS_H
#define FL_TENSOR_BLOCKS_H

#include <assert.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint16_t fl_half;

typedef struct {
    fl_half d;
    uint8_t qs[16];
} fl_block_q4_0, fl_block_iq4_nl;

typedef struct {
    fl_half d, m;
    uint8_t qs[16];
} fl_block_q4_1;

typedef struct {
    fl_half d;
    uint8_t qh[4], qs[16];
} fl_block_q5_0;

typedef struct {
    fl_half d, m;
    uint8_t qh[4], qs[16];
} fl_block_q5_1;

typedef struct {
    fl_half d;
    int8_t qs[32];
} fl_block_q8_0;

typedef struct {
    uint8_t scales[16], qs[64];
    fl_half d, dmin;
} fl_block_q2_k;

typedef struct {
    uint8_t hmask[32], qs[64], scales[12];
    fl_half d;
} fl_block_q3_k;

typedef struct {
    fl_half d, dmin;
    uint8_t scales[12], qs[128];
} fl_block_q4_k;

typedef struct {
    fl_half d, dmin;
    uint8_t scales[12], qh[32], qs[128];
} fl_block_q5_k;

typedef struct {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    fl_half d;
} fl_block_q6_k;

typedef struct {
    fl_half d;
    uint16_t scales_h;
    uint8_t scales_l[4], qs[128];
} fl_block_iq4_xs;

typedef struct {
    uint8_t e, qs[16];  // e: a power of two, E8M0
} fl_block_mxfp4;

typedef struct {
    uint8_t d[4], qs[32];  // d: one per 16 elements, unsigned E4M3
} fl_block_nvfp4;

typedef struct {
    fl_half d;
    uint16_t qs[32];
} fl_block_iq2_xxs;

typedef struct {
    fl_half d;
    uint16_t qs[32];
    uint8_t scales[8];
} fl_block_iq2_xs;

typedef struct {
    fl_half d;
    uint8_t qs[32], signs[32], qh[8], scales[8];
} fl_block_iq2_s;

typedef struct {
    fl_half d;
    uint8_t qs[64], signs[32];
} fl_block_iq3_xxs;

typedef struct {
    fl_half d;
    uint8_t qs[64], qh[8], signs[32], scales[4];
} fl_block_iq3_s;

typedef struct {
    fl_half d;
    uint8_t qs[32];
    uint16_t qh[8];
} fl_block_iq1_s;

typedef struct {
    uint8_t qs[32], qh[16];
    uint16_t scales[4];
} fl_block_iq1_m;

typedef struct {
    uint8_t qs[48], qh[4];
    fl_half d;
} fl_block_tq1_0;

typedef struct {
    uint8_t qs[64];
    fl_half d;
} fl_block_tq2_0;

typedef struct {
    fl_half d;
    uint8_t qs[16];
} fl_block_q1_0, fl_block_q2_0;

#define X(id, name, ggml, block, bytes) \
    static_assert(sizeof(fl_block_##name) == (bytes), #name ": size of a block");
FL_BLOCK_DTYPE_LIST(X)
#undef X

#ifdef __cplusplus
}
#endif

#endif
