/* search_avx2 - the search with AVX2. */
#include "tensor/quant/search_lanes.h"

void fli_search_avx2(fli_found *out, const fli_layout *f, const float *x, const float *weight) {
    search(out, f, x, weight);
}
