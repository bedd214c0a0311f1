/* attention_amx - the bf16 engine of attention for AMX, and the rows that use it.
 *
 * Four accumulators of 16 x 16, two tiles of A and two of B: each loaded tile is used twice. */
#include <immintrin.h>

#include "backend/cpu/isa/attention.h"

enum { TILE = 16, DEPTH = 32 };  // rows and columns of C; k of one tile product

/* Static: compilers do not see that ldtilecfg reads all of it, and drop stores to a local. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE},
};
_Static_assert(sizeof config == 64, "the layout of ldtilecfg");

static void begin(void) {
    _tile_loadconfig(&config);
}
static void end(void) {
    _tile_release();
}

static inline __attribute__((always_inline)) void square(const fli_product *p, int64_t i,
                                                         int64_t j) {
    const uint16_t *a = (const uint16_t *)p->a + i * p->lda, *b = (const uint16_t *)p->b + 2 * j;
    float *c = p->c + i * p->ldc + j, *below = c + TILE * p->ldc;
    const size_t lda = (size_t)p->lda * 2, ldb = (size_t)p->ldb * 4, ldc = (size_t)p->ldc * 4;
    if (p->add) {
        _tile_loadd(0, c, ldc);
        _tile_loadd(1, c + TILE, ldc);
        _tile_loadd(2, below, ldc);
        _tile_loadd(3, below + TILE, ldc);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t k = 0; k < p->k; k += DEPTH, a += DEPTH, b += DEPTH * p->ldb) {
        _tile_loadd(4, a, lda);
        _tile_loadd(6, b, ldb);
        _tile_loadd(5, a + TILE * p->lda, lda);
        _tile_loadd(7, b + 2 * TILE, ldb);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, ldc);
    _tile_stored(1, c + TILE, ldc);
    _tile_stored(2, below, ldc);
    _tile_stored(3, below + TILE, ldc);
}

static void multiply(const fli_product *p) {
    for (int64_t j = 0; j < p->n; j += 2 * TILE) {
        for (int64_t i = 0; i < p->m; i += 2 * TILE) square(p, i, j);
    }
}

const fli_engine fli_engine_bf16_amx = {.pair = 2,
                                        .bytes = sizeof(uint16_t),
                                        .begin = begin,
                                        .end = end,
                                        .multiply = multiply};

FLI_ATTENTION_ROWS(amx, avx512, fli_engine_f32_avx512, fli_engine_bf16_amx);
