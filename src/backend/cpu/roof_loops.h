/* roof_loops.h - the loops roof.c times. Each does `n` turns and returns the operations that
 * took. */
#ifndef FL_BACKEND_CPU_ROOF_LOOPS_H
#define FL_BACKEND_CPU_ROOF_LOOPS_H

#include <stdint.h>

typedef double fli_roof_loop(int64_t n);
extern fli_roof_loop fli_roof_f32_portable, fli_roof_f32_avx2, fli_roof_f32_avx512;
extern fli_roof_loop fli_roof_bf16_avx512, fli_roof_bf16_amx, fli_roof_int8_avx512;

#endif
