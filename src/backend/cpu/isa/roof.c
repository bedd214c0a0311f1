/* roof - multiply-adds as fast as one core can, at one instruction set (backend/roof.h). */
#include "backend/cpu/isa/isa.h"
#include "backend/cpu/roof_loops.h"
#include "base/simd.h"

double FL_ISA_NAME(fli_roof_f32)(int64_t n) {
    enum { CHAINS = 12 };  // latency 4 at two a cycle needs 8
    vf sum[CHAINS];
    for (int i = 0; i < CHAINS; i++) sum[i] = v_set(0.01f * (float)(i + 1));
    const vf x = v_set(0.99951f), y = v_set(0.00137f);
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < CHAINS; i++) sum[i] = v_fma(sum[i], x, y);
    }
    for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
    static volatile float sink;
    sink = v_sum(sum[0]);
    (void)sink;
    return 2.0 * CHAINS * FL_LANES * (double)n;
}
