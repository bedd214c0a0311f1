/* avx512 - the row of AVX-512 with VNNI and bf16. */
#if defined(__x86_64__)

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"
#include "base/cpu.h"

#define KERNEL(ID, name) [FL_OP_##ID] = &fl_kernel_##name##_avx512,

static bool available(void) {
    return fl_cpu_get()->avx512 && fl_cpu_get()->avx512_bf16 && fl_cpu_get()->avx512_vnni;
}

const fl_backend fl_backend_avx512 = {
    .name = "avx512",
    .needs = "AVX-512 with VNNI and bf16",
    .available = available,
    .kernel = {FLI_ISA_KERNELS(KERNEL) FLI_ATTENTION_KERNELS(KERNEL) FLI_GEMM_KERNELS(KERNEL)},
};

#endif
