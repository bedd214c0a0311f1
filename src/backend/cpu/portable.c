/* portable - the row of any CPU. */
#include "backend/cpu/isa/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"

#define KERNEL(ID, name) [FL_OP_##ID] = &fl_kernel_##name##_portable,

static bool available(void) {
    return true;
}

const fl_backend fl_backend_portable = {
    .name = "portable",
    .needs = "any CPU",
    .available = available,
    .kernel = {FLI_ISA_KERNELS(KERNEL) FLI_ATTENTION_KERNELS(KERNEL) FLI_GEMM_KERNELS(KERNEL)},
};
