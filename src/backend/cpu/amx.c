/* amx - the row of AMX with bf16, and AVX-512. */
#if defined(__x86_64__)

#include "backend/cpu/isa/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"
#include "base/cpu.h"

#define KERNEL(ID, name)  [FL_OP_##ID] = &fl_kernel_##name##_avx512,
#define PRODUCT(ID, name) [FL_OP_##ID] = &fl_kernel_##name##_amx,

static bool available(void) {
    return fl_cpu_get()->amx_bf16 && fl_backend_avx512.available();
}

const fl_backend fl_backend_amx = {
    .name = "amx",
    .needs = "AMX with bf16, and AVX-512",
    .available = available,
    .kernel = {FLI_ISA_KERNELS(KERNEL) FLI_ATTENTION_KERNELS(PRODUCT) FLI_GEMM_KERNELS(PRODUCT)},
};

#endif
