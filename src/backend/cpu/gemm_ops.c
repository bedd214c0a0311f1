/* gemm_ops - linear, its two gradients and matmul as matrix products, on every row of engines.
 *
 * Phase 0 packs the right-hand side where the executor has not (it has, for weights); phase 1
 * multiplies. */
#include "backend/cpu/gemm_ce.h"
#include "backend/cpu/kernels.h"

const fli_engine *fli_engine_of(const fli_gemm_row *row, const fl_call *c) {
    return c->in[0].dtype == FL_BF16 ? row->bf16 : row->f32;
}

static fli_mat by_rows(const fl_tensor *t) {
    return (fli_mat){.data = t->data, .dtype = t->dtype, .rs = fl_tensor_cols(t), .cs = 1};
}
static fli_mat by_cols(const fl_tensor *t) {
    return (fli_mat){.data = t->data, .dtype = t->dtype, .rs = 1, .cs = fl_tensor_cols(t)};
}

static fli_gemm product(const fl_call *c, int64_t m, int64_t n, int64_t k, fli_mat a, fli_mat b) {
    const fl_tensor *out = &c->out[0];
    return (fli_gemm){.m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .b = b,
                      .panels = c->packed ? c->packed : c->workspace,
                      .alpha = 1.0f,
                      .c = out->data,
                      .c_dtype = out->dtype,
                      .ldc = n};
}

static fli_gemm linear(const fl_call *c) {
    const fl_tensor *x = &c->in[0], *w = &c->in[1];  // (M, K), (N, K)
    fli_gemm g = product(c, fl_tensor_rows(x), w->dim[0], w->dim[1], by_rows(x), by_cols(w));
    if (c->n_in > 2 && c->in[2].rank) g.bias = &c->in[2];
    return g;
}

static fli_gemm linear_dx(const fl_call *c) {
    const fl_tensor *dy = &c->in[0], *w = &c->in[1];  // (M, N), (N, K)
    return product(c, fl_tensor_rows(dy), w->dim[1], w->dim[0], by_rows(dy), by_rows(w));
}

static fli_gemm linear_dw(const fl_call *c) {
    const fl_tensor *dy = &c->in[0], *x = &c->in[1];  // (M, N), (M, K)
    fli_gemm g = product(c, fl_tensor_cols(dy), fl_tensor_cols(x), fl_tensor_rows(x), by_cols(dy),
                         by_rows(x));
    g.accumulate = c->attr.accumulate;
    return g;
}

static fli_gemm matmul(const fl_call *c) {
    const fl_tensor *a = &c->in[0], *b = &c->in[1];
    const int64_t m = a->dim[c->attr.trans_a], k = a->dim[!c->attr.trans_a],
                  n = b->dim[!c->attr.trans_b];
    fli_gemm g = product(c, m, n, k, c->attr.trans_a ? by_cols(a) : by_rows(a),
                         c->attr.trans_b ? by_cols(b) : by_rows(b));
    g.alpha = c->attr.alpha;
    return g;
}

typedef fli_gemm (*problem)(const fl_call *c);

static bool is_real(const fl_tensor *t) {
    return t->dtype == FL_F32 || t->dtype == FL_BF16;
}

static bool supports(const fl_call *c) {
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i].rank && !(is_real(&c->in[i]) && fl_tensor_contiguous(&c->in[i]))) return false;
    }
    return is_real(&c->out[0]) && fl_tensor_contiguous(&c->out[0]);
}

static int64_t pack_tasks(const fli_gemm_row *row, problem p, const fl_call *c) {
    const fli_gemm g = p(c);
    return fli_panels_tasks(fli_engine_of(row, c), &g.b, g.k, g.n);
}

static int64_t prepare_tasks(const fli_gemm_row *row, problem p, const fl_call *c) {
    return c->packed ? 0 : pack_tasks(row, p, c);
}

static size_t pack_bytes(const fli_gemm_row *row, problem p, const fl_call *c) {
    const fli_gemm g = p(c);
    return fli_panels_bytes(fli_engine_of(row, c), g.k, g.n);
}

static size_t workspace(const fli_gemm_row *row, problem p, const fl_call *c) {
    return c->packed ? 0 : pack_bytes(row, p, c);
}

static void pack(const fli_gemm_row *row, problem p, const fl_call *c, void *dst, int64_t begin,
                 int64_t end) {
    const fli_gemm g = p(c);
    fli_panels_pack(fli_engine_of(row, c), dst, &g.b, g.k, g.n, begin, end);
}

static fli_gemm tiled(const fli_gemm_row *row, problem p, const fl_call *c) {
    fli_gemm g = p(c);
    fli_gemm_tile(fli_engine_of(row, c), &g);
    return g;
}

static int64_t tiles(const fli_gemm_row *row, problem p, const fl_call *c) {
    const fli_gemm g = tiled(row, p, c);
    return fli_gemm_tiles(&g);
}

static size_t scratch(const fli_gemm_row *row, problem p, const fl_call *c) {
    const fli_gemm g = tiled(row, p, c);
    return fli_gemm_scratch(fli_engine_of(row, c), &g);
}

static void multiply(const fli_gemm_row *row, problem p, const fl_call *c, int64_t begin,
                     int64_t end, void *scratch_) {
    const fli_gemm g = tiled(row, p, c);
    fli_gemm_run(fli_engine_of(row, c), &g, begin, end, scratch_);
}

/* A kernel is functions of the call alone, so each operation needs its own on each row of engines.
 */
#define BIND(row, op)                                                                            \
    static int64_t op##_prepare_tasks_##row(const fl_call *c) {                                  \
        return prepare_tasks(&fli_gemm_##row, op, c);                                            \
    }                                                                                            \
    static void op##_prepare_##row(const fl_call *c, int64_t begin, int64_t end, void *unused) { \
        (void)unused;                                                                            \
        pack(&fli_gemm_##row, op, c, c->workspace, begin, end);                                  \
    }                                                                                            \
    static int64_t op##_tasks_##row(const fl_call *c) {                                          \
        return tiles(&fli_gemm_##row, op, c);                                                    \
    }                                                                                            \
    static void op##_run_##row(const fl_call *c, int64_t begin, int64_t end, void *s) {          \
        multiply(&fli_gemm_##row, op, c, begin, end, s);                                         \
    }                                                                                            \
    static size_t op##_scratch_##row(const fl_call *c) {                                         \
        return scratch(&fli_gemm_##row, op, c);                                                  \
    }                                                                                            \
    static size_t op##_workspace_##row(const fl_call *c) {                                       \
        return workspace(&fli_gemm_##row, op, c);                                                \
    }

/* What the executor packs ahead: weights, not activations. */
#define BIND_PACK(row, op, which)                                                          \
    static const char *op##_pack_id_##row(const fl_call *c) {                              \
        return fli_engine_of(&fli_gemm_##row, c)->layout[which];                           \
    }                                                                                      \
    static int64_t op##_pack_tasks_##row(const fl_call *c) {                               \
        return pack_tasks(&fli_gemm_##row, op, c);                                         \
    }                                                                                      \
    static size_t op##_pack_bytes_##row(const fl_call *c) {                                \
        return pack_bytes(&fli_gemm_##row, op, c);                                         \
    }                                                                                      \
    static void op##_pack_##row(const fl_call *c, void *dst, int64_t begin, int64_t end) { \
        pack(&fli_gemm_##row, op, c, dst, begin, end);                                     \
    }

#define PHASES(row, op, takes)                                                                     \
    .phase = {{op##_prepare_tasks_##row, op##_prepare_##row}, {op##_tasks_##row, op##_run_##row}}, \
    .supports = takes, .scratch = op##_scratch_##row, .workspace = op##_workspace_##row

#define KERNEL(row, op) \
    BIND(row, op)       \
    const fl_kernel fl_kernel_##op##_##row = {PHASES(row, op, supports)};

#define PACKED_KERNEL(row, op, which, takes)                                       \
    BIND(row, op)                                                                  \
    BIND_PACK(row, op, which)                                                      \
    const fl_kernel fl_kernel_##op##_##row = {PHASES(row, op, takes),              \
                                              .pack_id = op##_pack_id_##row,       \
                                              .pack_bytes = op##_pack_bytes_##row, \
                                              .pack_tasks = op##_pack_tasks_##row, \
                                              .pack = op##_pack_##row};

#define ROW(row, linear_takes)                                    \
    PACKED_KERNEL(row, linear, FLI_OF_W_TRANSPOSED, linear_takes) \
    PACKED_KERNEL(row, linear_dx, FLI_OF_W, supports)             \
    KERNEL(row, linear_dw)                                        \
    KERNEL(row, matmul)

const fli_gemm_row fli_gemm_portable = {&fli_gemm_f32_portable, &fli_gemm_bf16_portable,
                                        &fli_ce_rows_portable};
ROW(portable, supports)

#if defined(__x86_64__)
/* Weights of 16 bits are read where they lie: halves_avx512.c. */
static bool supports_packed(const fl_call *c) {
    return supports(c) && !(c->in[0].dtype == FL_BF16 && c->in[1].dtype == FL_BF16);
}

const fli_gemm_row fli_gemm_avx2 = {&fli_gemm_f32_avx2, &fli_gemm_bf16_avx2, &fli_ce_rows_avx2};
const fli_gemm_row fli_gemm_avx512 = {&fli_gemm_f32_avx512, &fli_gemm_bf16_avx512,
                                      &fli_ce_rows_avx512};
const fli_gemm_row fli_gemm_amx = {&fli_gemm_f32_avx512, &fli_gemm_bf16_amx, &fli_ce_rows_avx512};
ROW(avx2, supports)
ROW(avx512, supports_packed)
ROW(amx, supports)
#endif
