/* strips.h - products with weights in blocks, in integers: the engine under linear, linear_ce and
 * expert_linear.
 *
 * Every format is one row of facts about the same thing. The numbers of a block are codes c of a
 * few bits; with x in 8 bits (tensor/quant.h) an element of y = x w^T is
 *
 *     sum over groups of   x_scale (w_scale (sum(c x) - zero sum(x)) - w_min sum(x))
 *
 * the inner sums in integers. x is the signed operand, c the unsigned one, as vpdpbusd wants them.
 *
 * w is packed into strips of FLI_STRIP rows of it, which are columns of y. A strip is a run of
 * units of FLI_UNIT blocks of 32 along K, the last one perhaps shorter:
 *
 *     unit    head: the scales of its blocks, those of the 16 columns side by side; zeros up to a
 *                   whole line
 *             then for every block the planes of its codes: the low bits, the high bits
 *     plane   of b bits is b lines. A line has 4 codes along K of each of the 16 columns, 8 / b
 *             times over, one above the other: line j % b holds the codes [4 j, 4 j + 4) in the
 *             bits from b (j / b) on
 *
 * so that memory is walked from one end to the other, at the size the file has, and four codes of
 * 16 columns are one register after a shift and a mask.
 *
 * x is copied into panels of FLI_STRIP_ROWS rows, in the order they are read: for every block of
 * 32, the rows of the panel. Each element of y is one sum in f32 over the blocks in their order,
 * whatever the rows, the columns, the threads and the instruction set: equal bytes. */
#ifndef FL_BACKEND_CPU_STRIPS_H
#define FL_BACKEND_CPU_STRIPS_H

#include "backend/cpu/gemm_ce.h"
#include "tensor/blocks.h"
#include "tensor/quant.h"

enum { FLI_STRIP = 16, FLI_UNIT = 8, FLI_STRIP_ROWS = 12 };

/* Where a format has its scales, and how a head keeps them: halves as in the file, or the small
 * integers of super-blocks in a byte each. */
typedef enum {
    FLI_HALF,         // of every block: d
    FLI_HALF_MIN,     // of every block: d, m; the minimum is -m
    FLI_EXPONENT,     // of every block: e, E8M0
    FLI_SMALL,        // of the unit: d; of every group of 32: a signed byte
    FLI_SMALL_MIN,    // of the unit: d, dmin; of every group of 32: scale, minimum
    FLI_SMALL_16,     // as FLI_SMALL, of every group of 16
    FLI_SMALL_MIN_16  // of the unit: d, dmin; of every group of 16: scale in the low four bits,
                      // minimum in the high ones
} fli_strip_scales;

/* How the bits of a plane lie in a field of the file's block. */
typedef enum {
    FLI_SIXTEEN,  // of every 32 elements 16 bytes: byte i has elements i and i + 16
    FLI_TURNS,  // byte i of 32 has element i of as many blocks as fit, the first in the lowest bits
    FLI_CROSSED,  // likewise of two blocks, which are not neighbours: the first and the third of
                  // four, the second and the fourth
    FLI_WORD      // bit i of 32 is of element i
} fli_strip_order;

typedef struct {
    int low, high;  // bits of a code's planes
    int zero;       // of the codes
    fli_strip_scales scales;
    bool has_values;    // codes stand for numbers of a table (fl_quant.values), zero added
    int d_at, dmin_at;  // bytes into a block of the file
    fli_strip_order low_order, high_order;
    int low_at, high_at;
} fli_strip_format;

/* X(ID, name, low, high, zero, scales, has_values, field of d, field of the minimum, order and
 * field of the low bits, of the high bits) */
#define FLI_STRIP_FORMATS(X)                                                            \
    X(Q4_0, q4_0, 4, 0, 8, FLI_HALF, false, d, d, FLI_SIXTEEN, qs, 0, qs)               \
    X(Q4_1, q4_1, 4, 0, 0, FLI_HALF_MIN, false, d, m, FLI_SIXTEEN, qs, 0, qs)           \
    X(Q5_0, q5_0, 4, 1, 16, FLI_HALF, false, d, d, FLI_SIXTEEN, qs, FLI_WORD, qh)       \
    X(Q5_1, q5_1, 4, 1, 0, FLI_HALF_MIN, false, d, m, FLI_SIXTEEN, qs, FLI_WORD, qh)    \
    X(Q8_0, q8_0, 8, 0, 128, FLI_HALF, false, d, d, FLI_TURNS, qs, 0, qs)               \
    X(Q2_K, q2_k, 2, 0, 0, FLI_SMALL_MIN_16, false, d, dmin, FLI_TURNS, qs, 0, qs)      \
    X(Q3_K, q3_k, 2, 1, 4, FLI_SMALL_16, false, d, d, FLI_TURNS, qs, FLI_TURNS, hmask)  \
    X(Q4_K, q4_k, 4, 0, 0, FLI_SMALL_MIN, false, d, dmin, FLI_TURNS, qs, 0, qs)         \
    X(Q5_K, q5_k, 4, 1, 0, FLI_SMALL_MIN, false, d, dmin, FLI_TURNS, qs, FLI_TURNS, qh) \
    X(Q6_K, q6_k, 4, 2, 32, FLI_SMALL_16, false, d, d, FLI_CROSSED, ql, FLI_TURNS, qh)  \
    X(IQ4_NL, iq4_nl, 4, 0, 128, FLI_HALF, true, d, d, FLI_SIXTEEN, qs, 0, qs)          \
    X(IQ4_XS, iq4_xs, 4, 0, 128, FLI_SMALL, true, d, d, FLI_SIXTEEN, qs, 0, qs)         \
    X(MXFP4, mxfp4, 4, 0, 12, FLI_EXPONENT, true, e, e, FLI_SIXTEEN, qs, 0, qs)

#define FLI_STRIP_FACTS(name, low, high, zero, scales, has_values, d, dmin, low_order, low_field, \
                        high_order, high_field)                                                   \
    {                                                                                             \
        low, high, zero, scales, has_values, (int)offsetof(fl_block_##name, d),                   \
            (int)offsetof(fl_block_##name, dmin), low_order, high_order,                          \
            (int)offsetof(fl_block_##name, low_field), (int)offsetof(fl_block_##name, high_field) \
    }

const fli_strip_format *fli_strip_format_of(fl_dtype t);  // NULL: blocks.c has it

static inline bool fli_strip_has_min(const fli_strip_format *f) {
    return f->scales == FLI_HALF_MIN || f->scales == FLI_SMALL_MIN || f->scales == FLI_SMALL_MIN_16;
}

static inline bool fli_strip_is_in_16(const fli_strip_format *f) {
    return f->scales == FLI_SMALL_16 || f->scales == FLI_SMALL_MIN_16;
}

/* Where the small integers of a head begin, and the bytes of a head of n blocks. */
static inline int64_t fli_strip_small_at(const fli_strip_format *f) {
    return fli_strip_has_min(f) ? 64 : 32;
}

static inline int64_t fli_strip_head_bytes(const fli_strip_format *f, int64_t n) {
    int64_t bytes = fli_strip_small_at(f);
    switch (f->scales) {
    case FLI_HALF: bytes = 32 * n; break;
    case FLI_HALF_MIN: bytes = 64 * n; break;
    case FLI_EXPONENT: bytes = 16 * n; break;
    case FLI_SMALL: bytes += 8 * 16; break;
    default: bytes += 16 * 16; break;
    }
    return (bytes + FLI_LINE - 1) / FLI_LINE * FLI_LINE;
}

/* Rows are worked on in one of these numbers, rounded up. */
#define FLI_STRIP_EACH_ROWS(X) X(1) X(2) X(3) X(4) X(6) X(8) X(12)

static inline int64_t fli_strip_rows(int64_t n) {
#define ROUND_UP(rows) \
    if (n <= (rows)) return rows;
    FLI_STRIP_EACH_ROWS(ROUND_UP)
#undef ROUND_UP
    return n;
}

static inline int64_t fli_strip_block_bytes(const fli_strip_format *f) {
    return (f->low + f->high) * FLI_LINE;
}

/* A unit of n blocks, and a whole strip of K. */
static inline int64_t fli_strip_unit_bytes(const fli_strip_format *f, int64_t n) {
    return fli_strip_head_bytes(f, n) + n * fli_strip_block_bytes(f);
}
size_t fli_strip_bytes(const fli_strip_format *f, int64_t k);

/* 32 elements of a row of x. */
typedef struct {
    int8_t q[FL_X_GROUP];
    float scale;
    union {                 // of both halves where groups are 16, else [0] of all 32:
        int32_t offset[2];  // -zero sum(q): what the integer sum starts with
        float sum[2];       // scale sum(q), for formats that have minima
    };
} fli_strip_x;

/* What differs between instruction sets. */
typedef struct {
    /* Strip s of w: its rows from FLI_STRIP s on, zeros where it has no more. */
    void (*pack)(uint8_t *strip, const fl_tensor *w, int64_t s);

    /* Rows [r0, r0 + rows) of x into a panel, and zeros up to fli_strip_rows. */
    void (*take_x)(fli_strip_x *panel, const fl_tensor *x, int64_t r0, int64_t rows,
                   const fli_strip_format *f);

    /* sums (rows x FLI_STRIP, ld apart) = or += rows of a panel times `n` blocks of a strip, both
     * from the first block of a unit on. fli_strip_rows are read and written. */
    void (*multiply)(fl_dtype t, const fli_strip_x *panel, const uint8_t *units, int64_t n,
                     float *sums, int64_t ld, int64_t rows, bool add);

    /* rows x cols of y, f32 or bf16, from sums and bias (NULL: none). */
    void (*store)(void *y, fl_dtype dtype, int64_t ldy, const float *sums, int64_t ld, int64_t rows,
                  int64_t cols, const float *bias);

    const fli_ce_rows *ce;
} fli_strip_engine;

extern const fli_strip_engine fli_strips_avx2, fli_strips_avx512;  // isa/strips.c
extern const fl_kernel fli_strips_expert_linear_avx2, fli_strips_expert_linear_avx512;
void fli_strip_pack_avx2(uint8_t *strip, const fl_tensor *w, int64_t s);
void fli_strip_pack_avx512(uint8_t *strip, const fl_tensor *w, int64_t s);

/* y (m, n) = x w^T, cut into tiles of rows and strips. */
typedef struct {
    const fli_strip_engine *e;
    const fli_strip_format *f;
    fl_dtype dtype;  // of w
    int64_t m, n, k;
    const fli_strip_x *x;
    const uint8_t *w;
} fli_strip_product;

/* sums (m1 - m0 rounded up to whole panels, ld) of rows [m0, m1) and strips [s0, s1); m0 begins a
 * panel. */
void fli_strips_multiply(const fli_strip_product *p, int64_t m0, int64_t m1, int64_t s0, int64_t s1,
                         float *sums, int64_t ld);

#endif
