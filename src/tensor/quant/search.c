/* search - the search for whatever instruction set this machine has, and what all of them share. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "tensor/quant/search_lanes.h"

/* Round to nearest even by pushing the fraction out of the mantissa; |v| < 2^22. */
static int round_int(float v) {
    const float shifted = v + 0x1.8p23f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

int fli_clamp_round(float v, int lo, int hi) {
    if (!(v > (float)lo)) return lo;
    return v >= (float)hi ? hi : round_int(v);
}

fl_half fli_half_of(float v) {
    const float most = 65504;
    return fl_f32_to_f16(v > most ? most : v < -most ? -most : v);
}

void fli_search_portable(fli_found *out, const fli_layout *f, const float *x, const float *weight) {
    search(out, f, x, weight);
}

void fli_search(fli_found *out, const fli_layout *f, const float *x, const float *weight) {
#if defined(__x86_64__)
    const fl_cpu *cpu = fl_cpu_get();
    if (cpu->avx512) fli_search_avx512(out, f, x, weight);
    else if (cpu->avx2) fli_search_avx2(out, f, x, weight);
    else
#endif
        fli_search_portable(out, f, x, weight);
}
