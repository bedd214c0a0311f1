/* gemm_amx - bf16 matrix products on tile registers.
 *
 * A block of C is 32 x 32 in four tiles (0..3), a step of 32 along K two tiles of A (4, 5: rows as
 * they lie) and two of the panel (6, 7): four products of 16 x 16 x 32 for four loads. Fewer rows
 * are fewer rows of the tiles of A and C, so a single row is summed exactly as it would be
 * among 32. */
#include <immintrin.h>

#include "backend/cpu/gemm_vnni.h"

enum { MR = 32, ROW = 64 /* bytes of a tile's row */ };

typedef struct {  // as ldtilecfg reads it
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static _Thread_local int configured;  // rows of C the tiles are set for; 0: not in use

static void configure(int rows) {
    if (rows == configured) return;
    configured = rows;
    const uint8_t upper = (uint8_t)(rows < 16 ? rows : 16),
                  lower = (uint8_t)(rows > 16 ? rows - 16 : 1);
    const tile_config config = {
        .palette = 1,
        .row_bytes = {ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW},
        .rows = {upper, upper, lower, lower, upper, lower, 16, 16},
    };
    // gcc's intrinsic claims to read only 8 bytes of it
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

static void begin(void) {
    configure(MR);
}
static void end(void) {
    _tile_release();
    configured = 0;
}

static void block_32(const uint16_t *a, int64_t lda, const uint16_t *panel, int64_t k, float *c,
                     int64_t ldc, bool add) {
    const size_t a_row = (size_t)lda * sizeof *a, c_row = (size_t)ldc * sizeof *c;
    const uint16_t *a1 = a + 16 * lda;
    float *c1 = c + 16 * ldc;
    if (add) {
        _tile_loadd(0, c, c_row);
        _tile_loadd(1, c + 16, c_row);
        _tile_loadd(2, c1, c_row);
        _tile_loadd(3, c1 + 16, c_row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t k0 = 0; k0 < k; k0 += FLI_VNNI_KR, panel += 2 * FLI_VNNI_BLOCK) {
        _tile_loadd(6, panel, ROW);
        _tile_loadd(4, a + k0, a_row);
        _tile_loadd(7, panel + FLI_VNNI_BLOCK, ROW);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1 + k0, a_row);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, c_row);
    _tile_stored(1, c + 16, c_row);
    _tile_stored(2, c1, c_row);
    _tile_stored(3, c1 + 16, c_row);
}

/* Up to 16 rows: the upper tiles alone. */
static void block_16(const uint16_t *a, int64_t lda, const uint16_t *panel, int64_t k, float *c,
                     int64_t ldc, bool add) {
    const size_t a_row = (size_t)lda * sizeof *a, c_row = (size_t)ldc * sizeof *c;
    if (add) {
        _tile_loadd(0, c, c_row);
        _tile_loadd(1, c + 16, c_row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int64_t k0 = 0; k0 < k; k0 += FLI_VNNI_KR, panel += 2 * FLI_VNNI_BLOCK) {
        _tile_loadd(4, a + k0, a_row);
        _tile_loadd(6, panel, ROW);
        _tile_loadd(7, panel + FLI_VNNI_BLOCK, ROW);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, c, c_row);
    _tile_stored(1, c + 16, c_row);
}

static void block(const void *a, int64_t lda, const void *panel, int64_t k, float *c, int64_t ldc,
                  int rows, bool add) {
    configure(rows);
    (rows > 16 ? block_32 : block_16)(a, lda, panel, k, c, ldc, add);
}

const fli_engine fli_gemm_bf16_amx = {
    .layout = FLI_VNNI_LAYOUT,
    .dtype = FL_BF16,
    .mr = MR,
    .nr = FLI_VNNI_NR,
    .kr = FLI_VNNI_KR,
    .kc = 256,
    .depth = 1024,
    .mc = 256,
    .nc = 256,
    .begin = begin,
    .end = end,
    .pack_b = fli_vnni_pack_b,
    .pack_a = fli_vnni_pack_a,
    .block = block,
    .store = fli_store_avx512,
};
