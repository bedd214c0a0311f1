/* gemm - the f32 engine, and the way results leave every engine, at one instruction set.
 *
 * A block of C is MR x two vectors in registers: 28 of 32 on AVX-512, 12 of 16 elsewhere. A panel
 * holds, for each k, the nr values of its columns; A is read along its rows and broadcast. */
#include "backend/cpu/gemm.h"
#include "backend/cpu/isa/isa.h"
#include "backend/cpu/whole.h"
#include "base/simd.h"

#define TEXT2(x)    #x
#define TEXT(x)     TEXT2(x)
#define FL_ISA_TEXT TEXT(FL_ISA)

enum { MR = FL_LANES == 16 ? 14 : 6, NR = 2 * FL_LANES, STRIP = MR + 2 };

FL_INLINE float at(const fli_mat *x, int64_t i, bool round) {
    if (x->dtype != FL_F32) return s_from_bf16(((const uint16_t *)x->data)[i]);
    const float v = ((const float *)x->data)[i];
    return round ? s_from_bf16(fl_f32_to_bf16(v)) : v;
}

/* With `round`, values become bf16 on the way. */
FL_INLINE void pack_panel(float *dst, const fli_mat *b, int64_t k, int64_t n, int64_t n0,
                          bool round) {
    enum { STEP = 16 };  // rows of the panel that stay in L1 while columns are scattered into them
    const int64_t cols = imin(NR, n - n0);
    for (int64_t k0 = 0; k0 < k; k0 += STEP) {
        const int64_t k1 = imin(k0 + STEP, k);
        if (b->rs == 1) {
            for (int64_t j = 0; j < cols; j++) {
                for (int64_t i = k0; i < k1; i++)
                    dst[i * NR + j] = at(b, (n0 + j) * b->cs + i, round);
            }
        } else {
            for (int64_t i = k0; i < k1; i++) {
                for (int64_t j = 0; j < cols; j++)
                    dst[i * NR + j] = at(b, i * b->rs + n0 + j, round);
            }
        }
        for (int64_t i = k0; i < k1; i++) {
            for (int64_t j = cols; j < NR; j++) dst[i * NR + j] = 0.0f;
        }
    }
}

static void pack_b(void *panel, const fli_mat *b, int64_t k, int64_t n, int64_t n0) {
    pack_panel(panel, b, k, n, n0, false);
}

static void pack_a(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0, int64_t rows,
                   int64_t cols) {
    enum { STEP = 16 };
    float *to = dst;
    for (int64_t i0 = 0; i0 < rows; i0 += STEP) {
        const int64_t i1 = imin(i0 + STEP, rows);
        if (a->cs == 1) {
            for (int64_t i = i0; i < i1; i++) {
                const size_t from = (size_t)((m0 + i) * a->rs + k0) * fl_dtype_bytes(a->dtype);
                fl_convert(to + i * ld, FL_F32, (const char *)a->data + from, a->dtype, cols);
            }
        } else {
            for (int64_t k = 0; k < cols; k++) {
                for (int64_t i = i0; i < i1; i++)
                    to[i * ld + k] = at(a, (k0 + k) * a->cs + m0 + i, false);
            }
        }
    }
}

/* A stored transposed: each row of it gives one of K to every strip. Places past the last row are
 * never read. */
static void pack_strips(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0,
                        int64_t rows, int64_t cols) {
    const float *from = (const float *)a->data + m0 * a->rs + k0 * a->cs;
    float *to = dst;
    for (int64_t k = 0; k < cols; k++, from += a->cs, to += STRIP) {
        float *strip = to;
        int64_t m = 0;
        for (; m + MR <= rows; m += MR, strip += ld) memcpy(strip, from + m, MR * sizeof *from);
        memcpy(strip, from + m, (size_t)(rows - m) * sizeof *from);
    }
}

/* A panel comes from memory or a far cache when it is met first, then from L2: it is asked for in
 * time for either. */
FL_INLINE void prefetch_panel(const float *at) {
    enum { NEAR = 4096, FAR = 20480 };
    for (size_t i = 0; i < NR * sizeof *at; i += FLI_LINE) {
        __builtin_prefetch((const char *)at + NEAR + i, 0, 3);
        __builtin_prefetch((const char *)at + FAR + i, 0, 2);
    }
}

/* rows is a constant wherever this is expanded. Element (i, p) of A is at a + i * ra + p * pa; one
 * of ra and pa is a constant too. */
FL_INLINE void block_rows(int rows, const float *a, int64_t ra, int64_t pa, const float *panel,
                          int64_t k, float *c, int64_t ldc, bool add) {
    vf acc[MR][2];
    for (int i = 0; i < rows; i++) {
        acc[i][0] = add ? v_load(c + i * ldc) : v_set(0.0f);
        acc[i][1] = add ? v_load(c + i * ldc + FL_LANES) : v_set(0.0f);
    }
    for (int64_t p = 0; p < k; p++, a += pa, panel += NR) {
        const vf b0 = v_load(panel), b1 = v_load(panel + FL_LANES);
        prefetch_panel(panel);
        for (int i = 0; i < rows; i++) {
            const vf x = v_set(a[i * ra]);
            acc[i][0] = v_fma(x, b0, acc[i][0]);
            acc[i][1] = v_fma(x, b1, acc[i][1]);
        }
    }
    for (int i = 0; i < rows; i++) {
        v_store(c + i * ldc, acc[i][0]);
        v_store(c + i * ldc + FL_LANES, acc[i][1]);
    }
}

#if defined(__AVX512F__)
#define EACH_ROWS(R) R(1) R(2) R(3) R(4) R(5) R(6) R(7) R(8) R(9) R(10) R(11) R(12) R(13) R(14)
#else
#define EACH_ROWS(R) R(1) R(2) R(3) R(4) R(5) R(6)
#endif

static void block(const void *a, int64_t lda, const void *panel, int64_t k, float *c, int64_t ldc,
                  int rows, bool add) {
    switch (rows) {
#define ROWS(r) \
    case r: block_rows(r, a, lda, 1, panel, k, c, ldc, add); break;
        EACH_ROWS(ROWS)
#undef ROWS
    }
}

static void block_strip(const void *strip, const void *panel, int64_t k, float *c, int64_t ldc,
                        int rows, bool add) {
    switch (rows) {
#define ROWS(r) \
    case r: block_rows(r, strip, 1, STRIP, panel, k, c, ldc, add); break;
        EACH_ROWS(ROWS)
#undef ROWS
    }
}

FL_INLINE vf load_any(const void *c, fl_dtype dtype, int64_t i) {
    return dtype == FL_F32 ? v_load((const float *)c + i) : v_load_bf16((const uint16_t *)c + i);
}

FL_INLINE void store_any(void *c, fl_dtype dtype, int64_t i, vf v) {
    if (dtype == FL_F32) v_store((float *)c + i, v);
    else v_store_bf16((uint16_t *)c + i, v);
}

/* A whole block. dtype and accumulate are constants wherever this is expanded. */
FL_INLINE void store_block(void *c, fl_dtype dtype, int64_t ldc, const float *sums, int64_t ldb,
                           int rows, float alpha, const float *bias, bool accumulate) {
    const vf a = v_set(alpha), b0 = v_load(bias), b1 = v_load(bias + FL_LANES);
    for (int i = 0; i < rows; i++) {
        const int64_t to = i * ldc;
        vf v0 = v_fma(a, v_load(sums + i * ldb), b0);
        vf v1 = v_fma(a, v_load(sums + i * ldb + FL_LANES), b1);
        if (accumulate) {
            v0 += load_any(c, dtype, to);
            v1 += load_any(c, dtype, to + FL_LANES);
        }
        store_any(c, dtype, to, v0);
        store_any(c, dtype, to + FL_LANES, v1);
    }
}

/* The last columns go through a whole block of their own. */
static void store_narrow(void *c, fl_dtype dtype, int64_t ldc, const float *sums, int64_t ldb,
                         int rows, int cols, float alpha, const float *bias, bool accumulate) {
    const size_t es = fl_dtype_bytes(dtype);
    float wide[NR];
    for (int i = 0; i < rows; i++) {
        char *to = (char *)c + (size_t)(i * ldc) * es;
        memset(wide, 0, sizeof wide);
        memcpy(wide, to, accumulate ? (size_t)cols * es : 0);
        if (dtype == FL_F32)
            store_block(wide, FL_F32, NR, sums + i * ldb, NR, 1, alpha, bias, accumulate);
        else store_block(wide, FL_BF16, NR, sums + i * ldb, NR, 1, alpha, bias, accumulate);
        memcpy(to, wide, (size_t)cols * es);
    }
}

void FL_ISA_NAME(fli_store)(void *c, fl_dtype dtype, int64_t ldc, const float *sums, int64_t ldb,
                            int rows, int cols, float alpha, const float *bias, bool accumulate) {
    float padded[NR] = {0};
    if (bias) memcpy(padded, bias, (size_t)cols * sizeof *bias);
    if (cols < NR) store_narrow(c, dtype, ldc, sums, ldb, rows, cols, alpha, padded, accumulate);
    else if (dtype == FL_F32 && accumulate)
        store_block(c, FL_F32, ldc, sums, ldb, rows, alpha, padded, true);
    else if (dtype == FL_F32) store_block(c, FL_F32, ldc, sums, ldb, rows, alpha, padded, false);
    else if (accumulate) store_block(c, FL_BF16, ldc, sums, ldb, rows, alpha, padded, true);
    else store_block(c, FL_BF16, ldc, sums, ldb, rows, alpha, padded, false);
}

#define ENGINE(text, pack)                                                                      \
    {                                                                                           \
        .layout = {text " of w^T " FL_ISA_TEXT, text " of w " FL_ISA_TEXT,                      \
                   text " of both " FL_ISA_TEXT},                                               \
        .dtype = FL_F32, .mr = MR, .nr = NR, .kr = 1, .kc = 1024, .depth = 1024, .mc = 10 * MR, \
        .nc = 256, .pack_b = pack, .pack_a = pack_a, .block = block, .strip = STRIP,            \
        .pack_strips = pack_strips, .block_strip = block_strip, .store = FL_ISA_NAME(fli_store) \
    }

const fli_engine FL_ISA_NAME(fli_gemm_f32) = ENGINE("f32", pack_b);

#if !defined(__AVX512BF16__)
static void pack_b_rounded(void *panel, const fli_mat *b, int64_t k, int64_t n, int64_t n0) {
    pack_panel(panel, b, k, n, n0, true);
}

const fli_engine FL_ISA_NAME(fli_gemm_bf16) = ENGINE("rounded f32", pack_b_rounded);
#endif
