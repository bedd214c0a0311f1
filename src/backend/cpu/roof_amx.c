/* roof_amx - products of tiles as fast as one core can. */
#include <immintrin.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/roof_loops.h"

double fli_roof_bf16_amx(int64_t n) {
    enum { ROW = 64, FLOPS = 4 * 2 * 16 * 16 * 32 };
    _Alignas(ROW) uint16_t tiles[4][16 * 32];
    uint32_t random = 1;
    for (int i = 0; i < 4 * 16 * 32; i++) {
        random = random * 1664525u + 1013904223u;
        (&tiles[0][0])[i] = (uint16_t)(0x3d00u | (random >> 16 & 0x80ffu));  // +-(1/32 .. 1/8)
    }
    fli_gemm_bf16_amx.begin();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, tiles[0], ROW);
    _tile_loadd(5, tiles[1], ROW);
    _tile_loadd(6, tiles[2], ROW);
    _tile_loadd(7, tiles[3], ROW);
    for (int64_t k = 0; k < n; k++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    fli_gemm_bf16_amx.end();
    return (double)FLOPS * (double)n;
}
