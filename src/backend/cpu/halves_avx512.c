/* halves_avx512 - linear on weights of 16 bits where they lie, without a packed copy.
 *
 * A task is COLS rows of w. For few rows of x, as in a step of decoding, squares of 16 rows of w by
 * 32 of their elements, a line of memory each, are turned in registers and used at once, while the
 * next 16 rows are asked for along memory, which the walk over these is not: w streams at 85 % of
 * what one core can read and 89 % of what two can (Zen 4, 2048 elements a row), without at 67 and
 * 70, and at 70 when squares straddle lines, as GGUF lays tensors. For many rows the task
 * packs its rows of w into a panel in scratch, which all rows of x meet.
 *
 * bf16 weights are multiplied with bf16 activations by vdpbf16ps. f16 weights are widened to f32,
 * which holds them exactly, and multiplied in f32, whatever the activations are. Either way sums
 * are those of gemm.h's engines, in their order: the bytes of a row depend neither on how many rows
 * there are nor on whether a weight was packed. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "backend/cpu/gemm_vnni.h"
#include "backend/cpu/halves.h"
#include "backend/cpu/isa/unroll.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/transpose_avx512.h"
#include "backend/cpu/whole.h"
#include "base/cpu.h"

enum {
    HALF = 16,
    COLS = FLI_HALVES_COLS,
    DEPTH = 32,
    FEW = FLI_HALVES_FEW,
    SOME = 4 * FEW,  // up to them nothing is packed
    LINE = FLI_LINE / sizeof(uint16_t)
};

typedef int32_t int32_any __attribute__((aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))

const fli_engine *fli_halves_engine(fl_dtype w) {
    return w == FL_F16 ? &fli_gemm_f32_avx512 : &fli_gemm_bf16_avx512;
}

static const fli_engine *engine_of(const fl_call *c) {
    return fli_halves_engine(c->in[1].dtype);
}

/* ---- rows of x ---- */

/* Rows of x as the engine reads them: copied where they are in another format, or where several lie
 * so far apart that they meet in the same sets of the cache (gemm.c). */
static bool is_copied(const fl_call *c) {
    enum { CONFLICT = 4096, MANY = 4 };
    const fl_tensor *x = &c->in[0];
    const size_t row = fl_dtype_row_bytes(x->dtype, fl_tensor_cols(x));
    return x->dtype != engine_of(c)->dtype || (fl_tensor_rows(x) > MANY && row % CONFLICT == 0);
}

static fli_mat rows_of(const fl_call *c) {
    const fl_tensor *x = &c->in[0];
    const fl_dtype dtype = engine_of(c)->dtype;
    const int64_t K = fl_tensor_cols(x);
    if (!is_copied(c)) return (fli_mat){.data = x->data, .dtype = dtype, .rs = K, .cs = 1};
    const int64_t line = FLI_LINE / (int64_t)fl_dtype_bytes(dtype);
    return (fli_mat){.data = c->workspace, .dtype = dtype, .rs = K + line, .cs = 1};
}

static size_t workspace(const fl_call *c) {
    const fli_mat a = rows_of(c);
    if (!is_copied(c)) return 0;
    return (size_t)(fl_tensor_rows(&c->in[0]) * a.rs) * fl_dtype_bytes(a.dtype);
}

static int64_t copy_tasks(const fl_call *c) {
    return is_copied(c) ? (fl_tensor_rows(&c->in[0]) + FEW - 1) / FEW : 0;
}

static void copy(const fl_call *c, int64_t begin, int64_t end, void *unused) {
    const fl_tensor *x = &c->in[0];
    const fli_mat a = rows_of(c);
    const int64_t K = fl_tensor_cols(x);
    (void)unused;
    for (int64_t i = begin * FEW; i < imin(end * FEW, fl_tensor_rows(x)); i++) {
        char *to = (char *)c->workspace + (size_t)(i * a.rs) * fl_dtype_bytes(a.dtype);
        fl_convert(to, a.dtype, fl_tensor_row(x, i), x->dtype, K);
    }
}

/* ---- the part of a task ---- */

/* All rows of x times the rows of w that task `t` has. */
static fli_gemm part_of(const fl_call *c, int64_t t) {
    const fl_tensor *w = &c->in[1], *y = &c->out[0];
    const int64_t K = w->dim[1], n0 = t * COLS;
    const fli_engine *e = engine_of(c);
    fli_gemm g = {.m = fl_tensor_rows(&c->in[0]),
                  .n = imin(COLS, w->dim[0] - n0),
                  .k = K,
                  .a = rows_of(c),
                  .b = {.dtype = w->dtype, .rs = 1, .cs = K},
                  .alpha = 1,
                  .c = (char *)y->data + (size_t)n0 * fl_dtype_bytes(y->dtype),
                  .c_dtype = y->dtype,
                  .ldc = w->dim[0],
                  .nc = COLS};
    g.b.data = (const char *)w->data + (size_t)(n0 * K) * sizeof(uint16_t);
    g.mc = imin(e->mc, (g.m + e->mr - 1) / e->mr * e->mr);
    return g;
}

/* The part's bias, as f32, in `room`. */
static fl_tensor bias_of(const fl_call *c, int64_t t, const fli_gemm *g, float room[COLS]) {
    const bool is_there = c->n_in > 2 && c->in[2].rank;
    if (!is_there) return (fl_tensor){0};
    const fl_tensor *b = &c->in[2];
    const char *from = (const char *)b->data + (size_t)(t * COLS) * fl_dtype_bytes(b->dtype);
    fl_convert(room, FL_F32, from, b->dtype, g->n);
    return fl_tensor_of(room, FL_F32, 1, &g->n);
}

/* ---- squares ---- */

/* Elements [k, k + n) of `rows` rows of w, k elements apart, as pairs: r[p] is 2p and 2p + 1 of
 * each row. What is not there is zero. */
INLINE void load_square(const uint16_t *w, int64_t K, int64_t rows, int64_t n, __m512i r[16]) {
    const __mmask32 here = n >= DEPTH ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
    for (int i = 0; i < HALF; i++)
        r[i] = i < rows ? _mm512_maskz_loadu_epi16(here, w + i * K) : _mm512_setzero_si512();
    fli_transpose(r);
}

/* The two f16 of every pair as f32. */
INLINE void widen(__m512i pairs, __m512 *even, __m512 *odd) {
    const __m512i apart = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3,
                                           1, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4,
                                           2, 0);
    const __m512i both = _mm512_permutexvar_epi16(apart, pairs);
    *even = _mm512_cvtph_ps(_mm512_castsi512_si256(both));
    *odd = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1));
}

/* ---- few rows of x ---- */

/* sum + a pair of x, in memory, times pairs of w (isa/strips.c, add_dots). */
INLINE __m512 add_pair(__m512 sum, const uint16_t *x, __m512i w) {
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0"
            : "+v"(sum)
            : "v"(w), "m"(*(const int32_any *)(const void *)x));
    return sum;
}

/* sum[i] += row i of x times the first `pairs` pairs of 16 rows of w. */
INLINE void add_bf16(int rows, const uint16_t *x, int64_t ld, const __m512i w[16], int pairs,
                     __m512 *sum) {
    UNROLL
    for (int p = 0; p < pairs; p++) {
        UNROLL
        for (int i = 0; i < rows; i++) sum[i] = add_pair(sum[i], x + i * ld + 2 * p, w[p]);
    }
}

INLINE void add_f16(int rows, const float *x, int64_t ld, const __m512i w[16], int pairs,
                    __m512 *sum) {
    UNROLL
    for (int p = 0; p < pairs; p++) {
        __m512 even, odd;
        widen(w[p], &even, &odd);
        UNROLL
        for (int i = 0; i < rows; i++) {
            sum[i] = _mm512_fmadd_ps(_mm512_set1_ps(x[i * ld + 2 * p]), even, sum[i]);
            sum[i] = _mm512_fmadd_ps(_mm512_set1_ps(x[i * ld + 2 * p + 1]), odd, sum[i]);
        }
    }
}

/* Elements [k, k + n) of HALF rows of w. */
INLINE void add_square(int rows, bool f16, const fli_gemm *g, const uint16_t *w, int64_t k, int n,
                       __m512 *sum) {
    __m512i r[16];
    load_square(w + k, g->k, HALF, n, r);
    if (f16) add_f16(rows, (const float *)g->a.data + k, g->a.rs, r, n / 2, sum);
    else add_bf16(rows, (const uint16_t *)g->a.data + k, g->a.rs, r, n / 2, sum);
}

/* Elements of w before the first line of memory begins; none if that would part a pair. */
static int to_line(const uint16_t *w) {
    const size_t bytes = -(uintptr_t)w % FLI_LINE;
    return bytes % 4 ? 0 : (int)(bytes / sizeof *w);
}

INLINE void ask_for(const uint16_t *at, int64_t n) {
    for (int64_t i = 0; i < n; i += LINE) __builtin_prefetch(at + i, 0, 2);
}

/* sums (rows, HALF of COLS) = x times HALF whole rows of w; meanwhile what begins at `next` and is
 * as long is asked for, or nothing (NULL). A square is a line of each row. rows and f16 are
 * constants wherever this is expanded. */
INLINE void multiply_few(int rows, bool f16, const fli_gemm *g, const uint16_t *w,
                         const uint16_t *next, float *sums) {
    __m512 sum[FEW];
    int64_t k = to_line(w);
    UNROLL
    for (int i = 0; i < rows; i++) sum[i] = _mm512_setzero_ps();
    if (k) add_square(rows, f16, g, w, 0, (int)k, sum);
    for (; k + DEPTH <= g->k; k += DEPTH) {
        if (next) ask_for(next + k * HALF, DEPTH * HALF);
        add_square(rows, f16, g, w, k, DEPTH, sum);
    }
    if (k < g->k) add_square(rows, f16, g, w, k, (int)(g->k - k), sum);
    UNROLL
    for (int i = 0; i < rows; i++) _mm512_storeu_ps(sums + i * COLS, sum[i]);
}

#define EACH_ROWS(R) R(1) R(2) R(3) R(4) R(5) R(6) R(7) R(8) R(9) R(10) R(11) R(12)

static void few_rows(bool f16, const fli_gemm *g, const uint16_t *w, const uint16_t *next,
                     float *sums) {
    switch (f16 ? g->m + FEW : g->m) {
#define ROWS(r)                                              \
    case r: multiply_few(r, false, g, w, next, sums); break; \
    case r + FEW: multiply_few(r, true, g, w, next, sums); break;
        EACH_ROWS(ROWS)
#undef ROWS
    }
}

/* At most FEW rows times a part of COLS columns, in two halves. */
static void multiply_part(const fli_gemm *g, const uint16_t *next, float *sums) {
    const bool f16 = g->b.dtype == FL_F16;
    const uint16_t *w = g->b.data, *second = w + HALF * g->k;
    few_rows(f16, g, w, second, sums);
    few_rows(f16, g, second, next, sums + HALF);
    fli_store_avx512(g->c, g->c_dtype, g->ldc, sums, COLS, (int)g->m, COLS, 1,
                     g->bias ? g->bias->data : NULL, false);
}

/* FEW rows after FEW. By then w is in L2, and to turn it again costs less than to write it down:
 * 16 to 48 rows are multiplied in two thirds of the time. */
static void some_rows(const fli_gemm *part, const uint16_t *next, float *sums) {
    const size_t a_row = (size_t)part->a.rs * fl_dtype_bytes(part->a.dtype);
    const size_t c_row = (size_t)part->ldc * fl_dtype_bytes(part->c_dtype);
    fli_gemm g = *part;
    for (int64_t m0 = 0; m0 < part->m; m0 += FEW) {
        g.m = imin(FEW, part->m - m0);
        g.a.data = (const char *)part->a.data + (size_t)m0 * a_row;
        g.c = (char *)part->c + (size_t)m0 * c_row;
        multiply_part(&g, m0 ? NULL : next, sums);
    }
}

static bool is_for_some(const fli_gemm *g) {
    return g->m <= SOME && g->n == COLS && g->k % DEPTH == 0;
}

/* ---- many ---- */

/* Rows of f16 as a panel of the f32 engine: for each k, the values of COLS columns. */
static void pack_f16(float *panel, const fli_mat *b, int64_t K, int64_t cols) {
    const uint16_t *w = b->data;
    for (int64_t k = 0; k < K; k += DEPTH) {
        for (int half = 0; half < 2; half++) {
            __m512i r[16];
            load_square(w + half * HALF * K + k, K, cols - half * HALF, K - k, r);
            for (int64_t p = 0; p < 16 && k + 2 * p < K; p++) {
                __m512 even, odd;
                float *to = panel + (k + 2 * p) * COLS + half * HALF;
                widen(r[p], &even, &odd);
                _mm512_storeu_ps(to, even);
                if (k + 2 * p + 1 < K) _mm512_storeu_ps(to + COLS, odd);
            }
        }
    }
}

static void many_rows(const fli_gemm *part, const uint16_t *next, char *scratch) {
    const fli_engine *e = fli_halves_engine(part->b.dtype);
    fli_gemm g = *part;
    if (g.b.dtype == FL_F16) pack_f16((float *)(void *)scratch, &g.b, g.k, g.n);
    else e->pack_b(scratch, &g.b, g.k, g.n, 0);
    g.panels = scratch;
    if (next) ask_for(next, g.n * g.k);
    fli_gemm_one(e, &g, 0, g.m, 0, g.n, scratch + fli_panel_bytes(e, g.k));
}

/* ---- any ---- */

void fli_halves_begin(const fli_gemm *first) {
    if (is_for_some(first)) ask_for(first->b.data, HALF * first->k);
}

void fli_halves_part(const fli_gemm *g, const void *next, void *scratch) {
    if (is_for_some(g)) some_rows(g, next, scratch);
    else many_rows(g, next, scratch);
}

/* A panel and what gemm wants; or the sums of few rows, which are less. */
size_t fli_halves_scratch(const fli_gemm *g) {
    const fli_engine *e = fli_halves_engine(g->b.dtype);
    return FEW * COLS * sizeof(float) + fli_panel_bytes(e, g->k) + fli_gemm_scratch(e, g);
}

/* ---- the kernel ---- */

bool fli_halves_take(const fl_call *c) {
    const fl_tensor *x = &c->in[0], *w = &c->in[1], *y = &c->out[0];
    const bool product = w->dtype == FL_F16
                             ? x->dtype == FL_F32 || x->dtype == FL_BF16 || x->dtype == FL_F16
                             : w->dtype == FL_BF16 && x->dtype == FL_BF16;
    return product && (y->dtype == FL_F32 || y->dtype == FL_BF16) && fl_tensor_contiguous(x) &&
           fl_tensor_contiguous(w) && fl_tensor_contiguous(y);
}

static int64_t tasks(const fl_call *c) {
    return (c->in[1].dim[0] + COLS - 1) / COLS;
}

static size_t scratch_bytes(const fl_call *c) {
    const fli_gemm g = part_of(c, 0);
    return fli_halves_scratch(&g);
}

static void run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fli_gemm first = part_of(c, begin);
    fli_halves_begin(&first);
    for (int64_t t = begin; t < end; t++) {
        float room[COLS];
        fli_gemm g = part_of(c, t);
        const fl_tensor bias = bias_of(c, t, &g, room);
        if (bias.rank) g.bias = &bias;
        const uint16_t *next = (const uint16_t *)g.b.data + COLS * g.k;
        fli_halves_part(&g, t + 1 < end ? next : NULL, scratch);
    }
}

static const fl_kernel linear = {.phase = {{copy_tasks, copy}, {tasks, run}},
                                 .supports = fli_halves_take,
                                 .scratch = scratch_bytes,
                                 .workspace = workspace,
                                 .prepares_x = true};

static bool available(void) {
    return fl_backend_avx512.available();
}

const fl_backend fl_backend_halves = {
    .name = "halves",
    .needs = "AVX-512 with VNNI and bf16",
    .available = available,
    .kernel = {[FL_OP_LINEAR] = &linear, [FL_OP_EXPERT_LINEAR] = &fli_halves_expert_linear},
};

#endif
