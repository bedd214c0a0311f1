/* quick - blocks whose scale is the largest element's: what is quantized anew for each token has no
 * time for a search. Values are those of ggml's quantize_row_q4_0 and q8_0. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/blocks.h"
#include "tensor/quant.h"

enum { N = 32 };

bool fl_dtype_is_quick(fl_dtype t) {
    return t == FL_Q8_0 || t == FL_Q4_0;
}

/* The largest element becomes -8; the others are rounded to the nearest of -8 to 7. */
static void quick_q4_0(void *block, const float *x) {
    float most = 0;
    for (int i = 0; i < N; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    const float d = most / -8, inverse = d != 0 ? 1 / d : 0;
    fl_block_q4_0 b = {.d = fl_f32_to_f16(d)};
    for (int i = 0; i < N / 2; i++) {
        const int low = (int)(x[i] * inverse + 8.5f), high = (int)(x[i + N / 2] * inverse + 8.5f);
        b.qs[i] = (uint8_t)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
    memcpy(block, &b, sizeof b);
}

void fl_quantize_quick(void *blocks, fl_dtype t, const float *x, int64_t n) {
    FL_ASSERT(fl_dtype_is_quick(t));
    if (t == FL_Q8_0) {  // there is no search
        fl_quantize(blocks, t, x, NULL, n);
        return;
    }
    for (int64_t i = 0; i < n; i += N) quick_q4_0((fl_block_q4_0 *)blocks + i / N, x + i);
}
