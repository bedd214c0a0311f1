/* cpu.h - what this processor can do, found once. */
#ifndef FL_BASE_CPU_H
#define FL_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool avx2;    // with fma and f16c
    bool avx512;  // F, BW, DQ, VL
    bool avx512_bf16;
    bool avx512_vnni;
    bool amx_bf16;  // tiles usable: the kernel has granted this process the state
    int cores;      // this process may run on
    size_t l1_bytes, l2_bytes, l3_bytes;  // of one core (l3: shared); 0 if unknown
    char name[64];
} fl_cpu;

const fl_cpu *fl_cpu_get(void);

#ifdef __cplusplus
}
#endif

#endif
