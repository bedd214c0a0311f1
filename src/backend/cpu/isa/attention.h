/* attention.h - what the attention kernels share: the problem, who sees whom, and the engines that
 * multiply.
 *
 * Scores are kept transposed, a row per key and a lane per query: maxima and sums over keys are
 * then vertical, and so are the rescaling of the output (kept transposed too, a row per channel)
 * and the row terms lse and delta.
 *
 * An engine multiplies small matrices held in cache:  C (m, n) f32 = or += A (m, k) B (k, n).
 *   A: rows of elements.   B: "paired": `pair` rows of k lie interleaved, B[k / pair][n][k % pair].
 * f32 engines have pair 1 and plain B. bf16 engines have pair 2, the layout of vdpbf16ps and of AMX
 * tiles. Dimensions are padded with zeros to multiples of FLI_PAD. */
#ifndef FL_BACKEND_CPU_ISA_ATTENTION_H
#define FL_BACKEND_CPU_ISA_ATTENTION_H

#include "backend/cpu/isa/isa.h"

enum { FLI_PAD = 32 };

typedef struct {
    int64_t m, n, k;
    const void *a, *b;
    float *c;
    int64_t lda, ldb, ldc;  // elements; for B: columns
    bool add;
} fli_product;

typedef struct {
    int64_t pair, bytes;  // of an element
    void (*begin)(void);  // around all products of a task; NULL: nothing to do
    void (*end)(void);
    void (*multiply)(const fli_product *p);
} fli_engine;

extern const fli_engine fli_engine_f32_portable, fli_engine_f32_avx2, fli_engine_f32_avx512;
extern const fli_engine fli_engine_bf16_avx512, fli_engine_bf16_amx;

/* The kernels' bodies for a given engine; the rows choose the engine. */
#define FLI_DECLARE(level)                                                                         \
    void fli_attention_run_##level(const fl_call *, int64_t, int64_t, void *, const fli_engine *); \
    size_t fli_attention_scratch_##level(const fl_call *, const fli_engine *);                     \
    int64_t fli_attention_tasks_##level(const fl_call *);                                          \
    size_t fli_attention_workspace_##level(const fl_call *);                                       \
    int64_t fli_attention_join_tasks_##level(const fl_call *);                                     \
    void fli_attention_join_run_##level(const fl_call *, int64_t, int64_t, void *);                \
    bool fli_attention_supports_##level(const fl_call *);                                          \
    void fli_attention_blocks_run_##level(const fl_call *, int64_t, int64_t, void *,               \
                                          const fli_engine *);                                     \
    size_t fli_attention_blocks_scratch_##level(const fl_call *, const fli_engine *);              \
    int64_t fli_attention_blocks_tasks_##level(const fl_call *);                                   \
    void fli_attention_grad_run_##level(const fl_call *, int64_t, int64_t, void *,                 \
                                        const fli_engine *);                                       \
    size_t fli_attention_grad_scratch_##level(const fl_call *, const fli_engine *);                \
    int64_t fli_attention_grad_tasks_##level(const fl_call *);                                     \
    size_t fli_attention_grad_workspace_##level(const fl_call *);                                  \
    int64_t fli_attention_gather_tasks_##level(const fl_call *);                                   \
    void fli_attention_gather_run_##level(const fl_call *, int64_t, int64_t, void *);              \
    bool fli_attention_grad_supports_##level(const fl_call *);
FLI_DECLARE(portable)
FLI_DECLARE(avx2)
FLI_DECLARE(avx512)
#undef FLI_DECLARE

/* The two rows of a level: `any` does what no bf16 engine can, `bf16` the rest (they may be one).
 * The second phase joins what tasks of the first did apart, where they did. */
#define FLI_ATTENTION_ROWS(row, level, any, bf16)                                                  \
    static const fli_engine *engine_of(const fl_call *c, int n) {                                  \
        return fli_attention_is_bf16(c, n) ? &bf16 : &any;                                         \
    }                                                                                              \
    static void forward(const fl_call *c, int64_t begin, int64_t end, void *scratch) {             \
        fli_attention_run_##level(c, begin, end, scratch, engine_of(c, 3));                        \
    }                                                                                              \
    static size_t forward_scratch(const fl_call *c) {                                              \
        return fli_attention_scratch_##level(c, engine_of(c, 3));                                  \
    }                                                                                              \
    static void backward(const fl_call *c, int64_t begin, int64_t end, void *scratch) {            \
        fli_attention_grad_run_##level(c, begin, end, scratch, engine_of(c, 5));                   \
    }                                                                                              \
    static size_t backward_scratch(const fl_call *c) {                                             \
        return fli_attention_grad_scratch_##level(c, engine_of(c, 5));                             \
    }                                                                                              \
    const fl_kernel fl_kernel_attention_##row = {.phase = {{fli_attention_tasks_##level, forward}, \
                                                           {fli_attention_join_tasks_##level,      \
                                                            fli_attention_join_run_##level}},      \
                                                 .supports = fli_attention_supports_##level,       \
                                                 .uneven = true,                                   \
                                                 .scratch = forward_scratch,                       \
                                                 .workspace = fli_attention_workspace_##level};    \
    const fl_kernel fl_kernel_attention_grad_##row =                                               \
        {.phase = {{fli_attention_grad_tasks_##level, backward},                                   \
                   {fli_attention_gather_tasks_##level, fli_attention_gather_run_##level}},        \
         .supports = fli_attention_grad_supports_##level,                                          \
         .scratch = backward_scratch,                                                              \
         .workspace = fli_attention_grad_workspace_##level}

/* Whether the first `n_floats` operands are bf16, or of a cache in fewer bits, so that a bf16
 * engine may do the products. */
static inline bool fli_attention_is_bf16(const fl_call *c, int n_floats) {
    bool is = true;
    for (int i = 0; i < n_floats; i++) {
        const fl_dtype t = c->in[i].dtype;
        is = is && (t == FL_BF16 || (i > 0 && (t == FL_F16 || fl_dtype_is_block(t))));
    }
    return is;
}

typedef struct {
    const fl_tensor *q, *k, *v, *table;  // table NULL when absent, as the next two
    const int32_t *segment, *start;
    const float *sink;  // (H), or NULL
    int64_t B, T, S, H, K, D;
    int64_t G, DP;  // heads that share a key head; D padded
    int64_t window;
    bool causal;
    float scale, cap;
} fli_attention;

#endif
