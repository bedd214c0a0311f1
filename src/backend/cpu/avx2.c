/* avx2 - the row of AVX2 with FMA and F16C. */
#if defined(__x86_64__)

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"
#include "base/cpu.h"

#define KERNEL(ID, name) [FL_OP_##ID] = &fl_kernel_##name##_avx2,

static bool available(void) {
    return fl_cpu_get()->avx2;
}

const fl_backend fl_backend_avx2 = {
    .name = "avx2",
    .needs = "AVX2 with FMA and F16C",
    .available = available,
    .kernel = {FLI_ISA_KERNELS(KERNEL) FLI_ATTENTION_KERNELS(KERNEL) FLI_GEMM_KERNELS(KERNEL)},
};

#endif
