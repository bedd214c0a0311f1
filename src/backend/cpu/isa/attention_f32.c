/* attention_f32 - the f32 engine of attention: small products by vector multiply-add. */
#include "backend/cpu/isa/attention.h"
#include "base/simd.h"

enum { ROWS = FL_LANES == 16 ? 8 : 4, COLS = 2 * FL_LANES };  // of C held in registers

FL_INLINE void tile(const fli_product *p, int64_t i, int64_t j) {
    const float *a = (const float *)p->a + i * p->lda, *b = (const float *)p->b + j;
    float *c = p->c + i * p->ldc + j;
    vf sum[ROWS][2];
    for (int r = 0; r < ROWS; r++) {
        sum[r][0] = p->add ? v_load(c + r * p->ldc) : v_set(0.0f);
        sum[r][1] = p->add ? v_load(c + r * p->ldc + FL_LANES) : v_set(0.0f);
    }
    for (int64_t k = 0; k < p->k; k++) {
        vf b0 = v_load(b + k * p->ldb), b1 = v_load(b + k * p->ldb + FL_LANES);
        for (int r = 0; r < ROWS; r++) {
            vf x = v_set(a[r * p->lda + k]);
            sum[r][0] = v_fma(x, b0, sum[r][0]);
            sum[r][1] = v_fma(x, b1, sum[r][1]);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        v_store(c + r * p->ldc, sum[r][0]);
        v_store(c + r * p->ldc + FL_LANES, sum[r][1]);
    }
}

static void multiply(const fli_product *p) {
    for (int64_t j = 0; j < p->n; j += COLS) {
        for (int64_t i = 0; i < p->m; i += ROWS) tile(p, i, j);
    }
}

const fli_engine FL_ISA_NAME(fli_engine_f32) = {.pair = 1,
                                                .bytes = sizeof(float),
                                                .multiply = multiply};
