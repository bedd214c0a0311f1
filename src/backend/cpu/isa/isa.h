/* isa.h - names for what is compiled once per instruction set.
 *
 * Every file in this folder is compiled with -DFL_ISA=portable, avx2, avx512, ... and the flags of
 * that instruction set (CMakeLists.txt). FL_ISA_NAME(fl_kernel_add) is then fl_kernel_add_avx512,
 * and so on. */
#ifndef FL_BACKEND_CPU_ISA_ISA_H
#define FL_BACKEND_CPU_ISA_ISA_H

#include "backend/backend.h"

#define FLI_JOIN2(a, b) a##_##b
#define FLI_JOIN(a, b)  FLI_JOIN2(a, b)

#ifdef FL_ISA
#define FL_ISA_NAME(base) FLI_JOIN(base, FL_ISA)
#endif

/* X(ID, name): the operations this folder has a kernel for, at every level. */
// clang-format off
#define FLI_ISA_KERNELS(X) \
    X(ADD, add) X(MUL, mul) X(SCALE, scale) X(CAST, cast) X(AXPBY, axpby) X(SUM_TO, sum_to) \
    X(BROADCAST, broadcast) X(SUM_SQUARES, sum_squares) X(RSQRT_SCALE, rsqrt_scale) \
    X(UNARY, unary) X(UNARY_GRAD, unary_grad) X(GATED, gated) X(GATED_GRAD, gated_grad) \
    X(EMBEDDING, embedding) X(EMBEDDING_GRAD, embedding_grad) X(CACHE_APPEND, cache_append) \
    X(LAYER_NORM, layer_norm) X(LAYER_NORM_GRAD, layer_norm_grad) X(RMS_NORM, rms_norm) \
    X(RMS_NORM_GRAD, rms_norm_grad) X(ROPE, rope) X(SOFTMAX, softmax) \
    X(ATTENTION_SINK_GRAD, attention_sink_grad) X(SLICE, slice) X(PAD, pad) X(ROUTE, route) \
    X(ROUTE_GRAD, route_grad) X(COMBINE, combine) X(COMBINE_GRAD, combine_grad) X(ADAMW, adamw) \
    X(MUON_MOMENTUM, muon_momentum) X(MUON_APPLY, muon_apply)
// clang-format on

/* Likewise, and with rows of their own for AMX. */
#define FLI_ATTENTION_KERNELS(X) X(ATTENTION, attention) X(ATTENTION_GRAD, attention_grad)

#define FLI_DECLARE(ID, name)                           \
    extern const fl_kernel fl_kernel_##name##_portable; \
    extern const fl_kernel fl_kernel_##name##_avx2;     \
    extern const fl_kernel fl_kernel_##name##_avx512;
FLI_ISA_KERNELS(FLI_DECLARE)
FLI_ATTENTION_KERNELS(FLI_DECLARE)
extern const fl_kernel fl_kernel_attention_amx, fl_kernel_attention_grad_amx;
#undef FLI_DECLARE

#endif
