/* kernels.h - the kernels of the CPU rows that are not made once per instruction set by isa/.
 *
 * X(ID, name): the matrix products (gemm_ops.c, gemm_ce.c, gemm_experts.c). A row lists those of
 * its own engines. */
#ifndef FL_BACKEND_CPU_KERNELS_H
#define FL_BACKEND_CPU_KERNELS_H

#include "backend/backend.h"

#define FLI_GEMM_KERNELS(X)                                                                   \
    X(LINEAR, linear)                                                                         \
    X(LINEAR_DX, linear_dx)                                                                   \
    X(LINEAR_DW, linear_dw)                                                                   \
    X(MATMUL, matmul)                                                                         \
    X(LINEAR_CE, linear_ce) X(LINEAR_CE_GRAD, linear_ce_grad) X(EXPERT_LINEAR, expert_linear) \
        X(EXPERT_LINEAR_DX, expert_linear_dx) X(EXPERT_LINEAR_DW, expert_linear_dw)

#define DECLARE(ID, name)                                                        \
    extern const fl_kernel fl_kernel_##name##_portable, fl_kernel_##name##_avx2, \
        fl_kernel_##name##_avx512, fl_kernel_##name##_amx;
FLI_GEMM_KERNELS(DECLARE)
#undef DECLARE

#endif
