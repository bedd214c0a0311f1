/* gemm_vnni.h - what the two bf16 engines share: panels of pairs, and A copied into rows.
 *
 * A panel has 32 columns. For every 32 of K it holds two blocks of 1 KiB, 16 columns each, ready to
 * be an AMX tile: row p of a block is k = 2p and 2p + 1 of 16 columns, side by side, which is what
 * vdpbf16ps wants as well. */
#ifndef FL_BACKEND_CPU_GEMM_VNNI_H
#define FL_BACKEND_CPU_GEMM_VNNI_H

#include "backend/cpu/gemm.h"

enum { FLI_VNNI_NR = 32, FLI_VNNI_KR = 32, FLI_VNNI_BLOCK = 16 * 32 /* bf16 in a block */ };

#define FLI_VNNI_LAYOUT \
    { "bf16 pairs of w^T", "bf16 pairs of w", "bf16 pairs of both" }

void fli_vnni_pack_b(void *panel, const fli_mat *b, int64_t k, int64_t n, int64_t n0);
void fli_vnni_pack_a(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0, int64_t rows,
                     int64_t cols);

#endif
