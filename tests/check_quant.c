/* check_quant - block formats against ggml: the same bits out of the same blocks, no more error on
 * the way in (tests/peers/quant_goldens.py made the goldens).
 *
 * Caught by it: nibbles swapped, a high bit taken from the neighbour, a scale of another group, a
 * codebook entry changed, signs of odd parity, a search that stops early, weights not looked at, an
 * instruction set that finds other blocks. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "check.h"
#include "format/safetensors.h"
#include "tensor/quant/search.h"

static fl_safetensors *golden;

static const fl_tensor *find(fl_dtype t, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", fl_dtype_name(t), what);
    const fl_stored_tensor *found = fl_safetensors_find(golden, name);
    return found ? &found->t : NULL;
}

static bool same_number(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void check_values(fl_dtype t) {
    const fl_tensor *blocks = find(t, "blocks"), *values = find(t, "values");
    CHECKF(blocks && values, "%s has no golden", fl_dtype_name(t));
    if (!blocks || !values) return;
    const int64_t n = fl_tensor_count(values);
    CHECKF((size_t)fl_tensor_count(blocks) == fl_dtype_row_bytes(t, n), "%s", fl_dtype_name(t));
    float *got = fl_alloc((size_t)n * sizeof *got), want;
    fl_dequantize(got, t, blocks->data, n);
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        memcpy(&want, (const char *)values->data + i * 4, sizeof want);
        if (!same_number(got[i], want) && bad++ == 0)
            printf("%s: element %d is %.9g, ggml's %.9g\n", fl_dtype_name(t), (int)i,
                   (double)got[i], (double)want);
    }
    CHECKF(bad == 0, "%s: %d of %d differ", fl_dtype_name(t), bad, (int)n);
    const fl_tensor tensor = fl_tensor_of(blocks->data, t, 2, (int64_t[]){2, n / 2});
    CHECK(fl_tensor_get(&tensor, n - 3) == (double)got[n - 3]);
    CHECK(fl_tensor_row(&tensor, 1) == (char *)blocks->data + fl_dtype_row_bytes(t, n / 2));
    fl_dealloc(got);
}

/* ---- quantizing ---- */

static double error_of(fl_dtype t, const fl_tensor *x, const float *importance) {
    float y[FL_BLOCK_MAX], row[FL_BLOCK_MAX];
    char blocks[2 * FL_BLOCK_MAX];
    const int64_t cols = fl_tensor_cols(x);
    double error = 0;
    for (int64_t r = 0; r < fl_tensor_rows(x); r++) {
        memcpy(row, fl_tensor_row(x, r), (size_t)cols * sizeof *row);
        fl_quantize(blocks, t, row, importance, cols);
        fl_dequantize(y, t, blocks, cols);
        for (int64_t i = 0; i < cols; i++) {
            const double off = (double)y[i] - (double)row[i];
            error += (importance ? (double)importance[i] : 1) * off * off;
        }
    }
    return error;
}

static void check_error(fl_dtype t) {
    const fl_tensor *x = &fl_safetensors_find(golden, "x")->t, *ggml = find(t, "error");
    CHECKF((ggml != NULL) == fl_dtype_is_writable(t), "%s", fl_dtype_name(t));
    if (!ggml || !fl_dtype_is_writable(t)) return;
    float importance[FL_BLOCK_MAX];
    memcpy(importance, fl_safetensors_find(golden, "importance")->t.data, sizeof importance);
    for (int weighted = 0; weighted < 2; weighted++) {
        const double ours = error_of(t, x, weighted ? importance : NULL);
        const double theirs = fl_tensor_get(ggml, weighted);
        CHECKF(ours <= theirs * (1 + 1e-9), "%s %s: %.6g, ggml %.6g", fl_dtype_name(t),
               weighted ? "weighted" : "plain", ours, theirs);
        CHECKF(ours >= 0.4 * theirs, "%s: %.6g is too good beside %.6g", fl_dtype_name(t), ours,
               theirs);
    }
}

/* What a block holds is found again exactly; nothing and extremes do not break it. */
static void check_corners(fl_dtype t) {
    if (!fl_dtype_is_writable(t)) return;
    float x[FL_BLOCK_MAX] = {0}, y[FL_BLOCK_MAX];
    char blocks[2 * FL_BLOCK_MAX];
    fl_quantize(blocks, t, x, NULL, FL_BLOCK_MAX);
    fl_dequantize(y, t, blocks, FL_BLOCK_MAX);
    CHECKF(memcmp(x, y, sizeof x) == 0 || y[0] == 0, "%s: zeros", fl_dtype_name(t));
    static const float sizes[] = {1e-42f, 1e-9f, 1e6f, 3e38f};
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < FL_BLOCK_MAX; i++) x[i] = sizes[k] * ((float)(i % 15 - 7) / 7);
        fl_quantize(blocks, t, x, NULL, FL_BLOCK_MAX);
        fl_dequantize(y, t, blocks, FL_BLOCK_MAX);
        int bad = 0;
        for (int i = 0; i < FL_BLOCK_MAX; i++) bad += !isfinite(y[i]);
        CHECKF(bad == 0, "%s of numbers up to %g: %d not finite", fl_dtype_name(t),
               (double)sizes[k], bad);
    }
}

/* Every instruction set finds the same block. */
static void check_same(const fli_layout *f, fli_search_fn *search, const char *name) {
    enum { BLOCKS = 40 };
    float x[FL_BLOCK_MAX], w[FL_BLOCK_MAX];
    const int n = f->groups * f->group;
    fl_rng rng = {.seed = 3};
    int bad = 0;
    for (int b = 0; b < BLOCKS; b++) {
        const double size = pow(10, b % 9 - 6);
        for (int i = 0; i < n; i++) {
            x[i] = (float)(size * (fl_rng_normal(&rng) + b % 3));
            w[i] = (float)fabs(fl_rng_normal(&rng));
        }
        fli_found want = {0}, got = {0};
        fli_search_portable(&want, f, x, b % 2 ? w : NULL);
        search(&got, f, x, b % 2 ? w : NULL);
        bad += memcmp(&want, &got, sizeof got) != 0;
    }
    CHECKF(bad == 0, "%s, %d..%d: %d blocks differ", name, f->lo, f->hi, bad);
}

static void check_instruction_sets(void) {
    static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    static const fli_layout layouts[] = {{1, 32, -8, 7, NULL, 1, 1, 0},
                                         {1, 32, 0, 15, NULL, 1, 1, 1},
                                         {16, 16, 0, 3, NULL, 0, 15, 15},
                                         {16, 16, -32, 31, NULL, -128, 127, 0},
                                         {8, 32, -127, 113, table, -32, 31, 0}};
    for (int i = 0; i < 5; i++) {
#if defined(__x86_64__)
        if (fl_cpu_get()->avx2) check_same(&layouts[i], fli_search_avx2, "AVX2");
        if (fl_cpu_get()->avx512) check_same(&layouts[i], fli_search_avx512, "AVX-512");
#endif
    }
}

/* The integer product is the product of the values with a's. */
static void check_dot(fl_dtype t) {
    const fl_tensor *blocks = find(t, "blocks"), *values = find(t, "values");
    if (!blocks || !values) return;
    enum { N = 512 };
    int8_t a[N];
    float scale[N / 32];
    double want = 0, size = 0;
    for (int i = 0; i < N; i++) {
        a[i] = (int8_t)((i * 37 + 11) % 255 - 127);
        if (i % 32 == 0) scale[i / 32] = 0.01f * (float)(i / 32 + 1);
        const double term = (double)a[i] * (double)scale[i / 32] * fl_tensor_get(values, i);
        want += term;
        size += fabs(term);
    }
    const double got = fl_quant_dot(t, blocks->data, a, scale, N);
    CHECKF(fabs(got - want) <= 1e-6 * size, "%s: %.9g, want %.9g", fl_dtype_name(t), got, want);
}

static void check_sizes(void) {
    CHECK(fl_dtype_row_bytes(FL_Q4_K, 512) == 288 && fl_dtype_row_bytes(FL_BF16, 3) == 6);
    const fl_tensor t = fl_tensor_of(NULL, FL_Q6_K, 2, (int64_t[]){3, 512});
    CHECK(fl_tensor_bytes(&t) == 3 * 420);
    fl_dtype d;
    CHECK(fl_dtype_from_name(&d, "Q4_K") && d == FL_Q4_K && fl_dtype_from_name(&d, "q4_k"));
    CHECK(fl_dtype_from_ggml(&d, 39) && d == FL_MXFP4 && !fl_dtype_from_ggml(&d, 15));
    CHECK(!fl_dtype_hf_name(FL_Q8_0) && fl_dtype_ggml(FL_BF16) == 30);
}

/* Between formats: through f32, from one kind of block to another. */
static void check_convert(void) {
    float x[512], y[512], z[512];
    char a[512], b[1024];
    fl_rng rng = {.seed = 3};
    for (int i = 0; i < 512; i++) x[i] = (float)fl_rng_normal(&rng);
    fl_convert(a, FL_Q4_K, x, FL_F32, 512);
    fl_convert(y, FL_F32, a, FL_Q4_K, 512);
    fl_convert(b, FL_Q8_0, a, FL_Q4_K, 512);
    fl_convert(z, FL_F32, b, FL_Q8_0, 512);
    double off4 = 0, off8 = 0;
    for (int i = 0; i < 512; i++) {
        off4 += pow((double)(y[i] - x[i]), 2) / 512;
        off8 += pow((double)(z[i] - y[i]), 2) / 512;
    }
    CHECKF(off4 > 1e-4 && off4 < 1e-2 && off8 < 1e-4, "%g %g", off4, off8);
}

int main(void) {
    fl_err err;
    if (fl_safetensors_open(&golden, FL_TEST_DATA "/format/quant.safetensors", &err) != FL_OK) {
        printf("FAIL %s\n", err.msg);
        return 1;
    }
    for (int i = 0; i < FL_DTYPE_COUNT; i++) {
        const fl_dtype t = (fl_dtype)i;
        if (!fl_dtype_is_block(t)) continue;
        check_values(t);
        check_error(t);
        check_corners(t);
        check_dot(t);
    }
    check_instruction_sets();
    check_sizes();
    check_convert();
    fl_safetensors_close(golden);
    return check_report();
}
