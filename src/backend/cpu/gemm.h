/* gemm.h - dense matrix products: C = alpha A B (+ bias) (+ C), the engine under linear, matmul and
 * the head.
 *
 * A problem (fli_gemm) says what is multiplied; an engine (fli_engine) says how, on one instruction
 * set in one format; fli_gemm_* bring them together and know neither.
 *
 * B is packed into panels of `nr` columns, each holding all of K in the order the inner loop reads
 * it. A is read where it lies when it is row-major in the engine's format, else copied slab by slab
 * into scratch: into rows, or, stored transposed, into the strips of an engine that has them. C is
 * cut into tiles, one task each:
 *
 *     for every slab of `depth` along K             A: mc x depth stays in L2
 *         for every panel of the tile
 *             for every block of `kc` of the slab   B: kc x nr stays in L1
 *                 for every mr rows of the tile     C: mr x nr in registers
 *
 * An element of C is summed in an order that depends on K and the engine alone, not on M, N, its
 * place in a tile or the number of threads: a row of a batch has the same bytes as the row alone.
 */
#ifndef FL_BACKEND_CPU_GEMM_H
#define FL_BACKEND_CPU_GEMM_H

#include "backend/backend.h"

#define FLI_LINE 64  // bytes of a cache line, and of every alignment here

typedef struct {  // element (r, c) is data[r * rs + c * cs]; one of rs and cs is 1
    const void *data;
    fl_dtype dtype;
    int64_t rs, cs;
} fli_mat;

typedef struct {
    int64_t m, n, k;
    fli_mat a, b;        // (m, k), (k, n)
    const void *panels;  // b packed by the engine
    void *c;             // (m, n), f32 or bf16, rows ldc apart
    fl_dtype c_dtype;
    int64_t ldc;
    const fl_tensor *bias;  // (n), or NULL
    float alpha;
    bool accumulate;
    int64_t mc, nc;  // rows and columns of a tile: fli_gemm_tile
} fli_gemm;

/* rows x cols of C from a finished f32 block: alpha, bias (f32, or NULL), format, accumulation. */
typedef void fli_store(void *c, fl_dtype dtype, int64_t ldc, const float *block, int64_t ldb,
                       int rows, int cols, float alpha, const float *bias, bool accumulate);
extern fli_store fli_store_portable, fli_store_avx2, fli_store_avx512;

/* A weight as linear, linear_dx and linear_ce_grad want it. */
enum { FLI_OF_W_TRANSPOSED, FLI_OF_W, FLI_OF_BOTH, FLI_LAYOUTS };

typedef struct {
    const char *layout[FLI_LAYOUTS];  // names of its panels of a weight
    fl_dtype dtype;                   // of A and of the panels
    int mr, nr, kr;     // register block; K of a panel is padded with zeros to a multiple of kr
    int64_t kc, depth;  // blocks and slabs of K; kr divides kc divides depth
    int64_t mc, nc;     // largest tile; multiples of mr and nr

    void (*begin)(void);  // before and after a range of tasks (tile configuration); NULL: nothing
    void (*end)(void);

    /* Columns [n0, n0 + nr) of b (k x n, padded with zeros) into one panel. */
    void (*pack_b)(void *panel, const fli_mat *b, int64_t k, int64_t n, int64_t n0);

    /* rows x cols of A from (m0, k0), zeros up to a multiple of kr columns, row-major with `ld`. */
    void (*pack_a)(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0, int64_t rows,
                   int64_t cols);

    /* c (rows x nr) = or += a (rows x k, row-major) times k rows of a panel. rows <= mr, kr divides
     * k. */
    void (*block)(const void *a, int64_t lda, const void *panel, int64_t k, float *c, int64_t ldc,
                  int rows, bool add);

    /* Engines that broadcast single elements of A have strips: `strip` >= mr places for each of K,
     * so that those of mr rows are neighbours. 0: none.
     *
     * rows x cols of A from (m0, k0), stored transposed in the engine's format, into strips `ld`
     * elements apart; zeros up to a multiple of kr columns. */
    int strip;
    void (*pack_strips)(void *dst, int64_t ld, const fli_mat *a, int64_t m0, int64_t k0,
                        int64_t rows, int64_t cols);
    void (*block_strip)(const void *strip, const void *panel, int64_t k, float *c, int64_t ldc,
                        int rows, bool add);

    fli_store *store;
} fli_engine;

/* The panels of a whole matrix, one after the other, and the tasks that pack them: of a panel each,
 * or of some rows of b for all panels, whichever reads b along memory. */
int64_t fli_panel_count(const fli_engine *e, int64_t n);
size_t fli_panels_bytes(const fli_engine *e, int64_t k, int64_t n);
size_t fli_panel_bytes(const fli_engine *e, int64_t k);
int64_t fli_panels_tasks(const fli_engine *e, const fli_mat *b, int64_t k, int64_t n);
void fli_panels_pack(const fli_engine *e, void *dst, const fli_mat *b, int64_t k, int64_t n,
                     int64_t begin, int64_t end);

/* Choose the tile (mc, nc; an nc that is set is the widest wanted), then run tiles [begin, end) of
 * fli_gemm_tiles. */
void fli_gemm_tile(const fli_engine *e, fli_gemm *g);
int64_t fli_gemm_tiles(const fli_gemm *g);
size_t fli_gemm_scratch(const fli_engine *e, const fli_gemm *g);
void fli_gemm_run(const fli_engine *e, const fli_gemm *g, int64_t begin, int64_t end,
                  void *scratch);

/* One tile: rows [m0, m1), columns [n0, n1), n0 a multiple of nr. Between begin and end of the
 * engine. */
void fli_gemm_one(const fli_engine *e, const fli_gemm *g, int64_t m0, int64_t m1, int64_t n0,
                  int64_t n1, void *scratch);

extern const fli_engine fli_gemm_f32_portable, fli_gemm_f32_avx2, fli_gemm_f32_avx512;
extern const fli_engine fli_gemm_bf16_portable, fli_gemm_bf16_avx2;  // f32 arithmetic
extern const fli_engine fli_gemm_bf16_avx512, fli_gemm_bf16_amx;

/* The engines of one row of the CPU backend. */
typedef struct {
    const fli_engine *f32, *bf16;
    const struct fli_ce_rows *ce;
} fli_gemm_row;
extern const fli_gemm_row fli_gemm_portable, fli_gemm_avx2, fli_gemm_avx512, fli_gemm_amx;

/* The engine for in[0]'s format, which both operands take. */
const fli_engine *fli_engine_of(const fli_gemm_row *row, const fl_call *c);

#endif
