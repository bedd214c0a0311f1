/* gemm - drives an engine over the tiles of a matrix product (gemm.h says how and in what order).
 */
#include "backend/cpu/gemm.h"

#include "backend/cpu/whole.h"
#include "base/assert.h"

int64_t fli_panel_count(const fli_engine *e, int64_t n) {
    return ceil_div(n, e->nr);
}

size_t fli_panel_bytes(const fli_engine *e, int64_t k) {
    return (size_t)(round_up(k, e->kr) * e->nr) * fl_dtype_bytes(e->dtype);
}

size_t fli_panels_bytes(const fli_engine *e, int64_t k, int64_t n) {
    return (size_t)fli_panel_count(e, n) * fli_panel_bytes(e, k);
}

/* Of K, in a task that packs all panels: a multiple of every kr. */
enum { PACK_ROWS = 128 };

static bool lies_along_k(const fli_mat *b) {
    return b->rs == 1;
}

/* m from row r, column c on. */
static fli_mat part(const fli_mat *m, int64_t r, int64_t c) {
    const size_t skipped = (size_t)(r * m->rs + c * m->cs) * fl_dtype_bytes(m->dtype);
    return (fli_mat){(const char *)m->data + skipped, m->dtype, m->rs, m->cs};
}

int64_t fli_panels_tasks(const fli_engine *e, const fli_mat *b, int64_t k, int64_t n) {
    return lies_along_k(b) ? fli_panel_count(e, n) : ceil_div(k, PACK_ROWS);
}

/* Rows [k0, k1) of columns [n0, n1) of b into their places. */
static void pack_panels(const fli_engine *e, char *dst, const fli_mat *b, int64_t k, int64_t n,
                        int64_t k0, int64_t k1, int64_t n0, int64_t n1) {
    const size_t bytes = fli_panel_bytes(e, k), skipped = fli_panel_bytes(e, k0);
    const fli_mat rows = part(b, k0, 0);
    for (int64_t at = n0; at < n1; at += e->nr)
        e->pack_b(dst + (size_t)(at / e->nr) * bytes + skipped, &rows, k1 - k0, n, at);
}

void fli_panels_pack(const fli_engine *e, void *dst, const fli_mat *b, int64_t k, int64_t n,
                     int64_t begin, int64_t end) {
    if (lies_along_k(b)) {
        pack_panels(e, dst, b, k, n, 0, k, begin * e->nr, imin(end * e->nr, n));
        return;
    }
    for (int64_t k0 = begin * PACK_ROWS, k1; k0 < imin(end * PACK_ROWS, k); k0 = k1) {
        k1 = imin(k0 + PACK_ROWS, k);
        pack_panels(e, dst, b, k, n, k0, k1, 0, n);
    }
}

/* Rows of A that lie a multiple of this apart share so few sets of the first-level cache that the
 * mr rows of a block push one another out. */
enum { CONFLICT = 4096 };

static bool rows_conflict(const fli_engine *e, const fli_mat *a) {
    return e->strip > 0 && a->rs * (int64_t)fl_dtype_bytes(a->dtype) % CONFLICT == 0;
}

/* A can be multiplied where it lies. */
static bool a_is_direct(const fli_engine *e, const fli_gemm *g) {
    return g->a.dtype == e->dtype && g->a.cs == 1 && g->k % e->kr == 0 && !rows_conflict(e, &g->a);
}

/* Results may be summed in C itself instead of in scratch. */
static bool c_is_direct(const fli_gemm *g) {
    return g->c_dtype == FL_F32 && !g->bias && g->alpha == 1.0f;
}

/* The engine's tile, halved until there is work for a few threads; a packed A wants wide tiles,
 * because each tile packs its own. */
void fli_gemm_tile(const fli_engine *e, fli_gemm *g) {
    enum { ENOUGH = 12 };
    g->mc = imin(e->mc, round_up(g->m, e->mr));
    const int64_t widest = g->nc ? g->nc : a_is_direct(e, g) ? e->nc : 4 * e->nc;
    g->nc = imin(widest, round_up(g->n, e->nr));
    while (fli_gemm_tiles(g) < ENOUGH) {
        const int64_t half_m = round_up(g->mc / 2, e->mr), half_n = round_up(g->nc / 2, e->nr);
        if (half_m < g->mc && g->mc >= 4 * e->mr) g->mc = half_m;
        else if (half_n < g->nc && g->nc >= 2 * e->nr) g->nc = half_n;
        else break;
    }
}

int64_t fli_gemm_tiles(const fli_gemm *g) {
    return ceil_div(g->m, g->mc) * ceil_div(g->n, g->nc);
}

static bool a_is_for_strips(const fli_engine *e, const fli_gemm *g) {
    return e->strip > 0 && g->a.dtype == e->dtype && g->a.cs != 1;
}

/* Rows, or strips, of packed A are a cache line longer than a slab, so that they do not meet in the
 * same cache sets. */
static int64_t packed_ld(const fli_engine *e, const fli_gemm *g) {
    const int64_t line = FLI_LINE / (int64_t)fl_dtype_bytes(e->dtype);
    const int64_t depth = round_up(imin(e->depth, round_up(g->k, e->kr)), line);
    return (a_is_for_strips(e, g) ? depth * e->strip : depth) + line;
}

static size_t packed_bytes(const fli_engine *e, const fli_gemm *g) {
    if (a_is_direct(e, g)) return 0;
    const int64_t n = a_is_for_strips(e, g) ? ceil_div(g->mc, e->mr) : g->mc;
    return (size_t)round_up(n * packed_ld(e, g) * (int64_t)fl_dtype_bytes(e->dtype), FLI_LINE);
}

/* Sums kept outside C: of one panel's columns, or of the whole tile when K has several slabs. */
static bool sums_are_tile(const fli_engine *e, const fli_gemm *g) {
    return g->k > e->depth;
}

size_t fli_gemm_scratch(const fli_engine *e, const fli_gemm *g) {
    const int64_t cols = sums_are_tile(e, g) ? g->nc : e->nr;
    return packed_bytes(e, g) + (size_t)(g->mc * cols) * sizeof(float);
}

/* nr values of the bias from column n on, as f32. */
static const float *bias_at(const fl_tensor *bias, int64_t n, int cols, float *buffer) {
    if (!bias) return NULL;
    const char *from = (const char *)bias->data + (size_t)n * fl_dtype_bytes(bias->dtype);
    fl_convert(buffer, FL_F32, from, bias->dtype, cols);
    return buffer;
}

typedef struct {  // a slab of K of one tile
    const fli_engine *e;
    const fli_gemm *g;
    const char *a;  // (m0, k0)
    int64_t lda, m0, m1, k0, k1;
    bool strips;  // at a, lda elements apart
    float *sums;
} slab;

/* Finished sums leave while they are in L1; this overlaps with the next block's products. */
static void finish(const slab *s, int64_t m, int rows, int64_t n, const float *sums, int64_t ld,
                   const float *bias) {
    const fli_gemm *g = s->g;
    const int cols = (int)imin(s->e->nr, g->n - n);
    char *c = (char *)g->c + (size_t)(m * g->ldc + n) * fl_dtype_bytes(g->c_dtype);
    s->e->store(c, g->c_dtype, g->ldc, sums, ld, rows, cols, g->alpha, bias, g->accumulate);
}

/* C is wanted when the block is done: ask for its lines while the products run. */
static void prefetch(const fli_gemm *g, int64_t m, int rows, int64_t n, int64_t cols) {
    const size_t es = fl_dtype_bytes(g->c_dtype);
    const char *c = (const char *)g->c + (size_t)(m * g->ldc + n) * es;
    for (int i = 0; i < rows; i++, c += (size_t)g->ldc * es) {
        for (size_t at = 0; at < (size_t)cols * es; at += FLI_LINE) __builtin_prefetch(c + at, 1);
    }
}

/* Rows [m, m + rows) times K [k, k + depth) of a panel. */
static void run_block(const slab *s, int64_t m, int rows, int64_t k, int64_t depth,
                      const char *panel, float *c, int64_t ldc, bool add) {
    const fli_engine *e = s->e;
    const size_t es = fl_dtype_bytes(e->dtype);
    const char *from = panel + (size_t)(k * e->nr) * es;
    if (s->strips) {
        const int64_t at = (m - s->m0) / e->mr * s->lda + (k - s->k0) * e->strip;
        e->block_strip(s->a + (size_t)at * es, from, depth, c, ldc, rows, add);
    } else {
        const int64_t at = (m - s->m0) * s->lda + k - s->k0;
        e->block(s->a + (size_t)at * es, s->lda, from, depth, c, ldc, rows, add);
    }
}

/* A panel against all rows of the tile: kc of K at a time, so that this much of the panel stays in
 * L1. `sums` are those of (m0, n), in C or outside. */
static void run_panel(const slab *s, int64_t n, float *sums, int64_t ld, bool in_c,
                      const float *bias) {
    const fli_engine *e = s->e;
    const char *panel = (const char *)s->g->panels +
                        (size_t)(n / e->nr) * fli_panel_bytes(e, s->g->k);
    for (int64_t k = s->k0, next; k < s->k1; k = next) {
        next = s->k1 - k <= e->kc * 3 / 2 ? s->k1 : k + e->kc;  // no short block at the end
        const int64_t depth = round_up(next - k, e->kr);
        const bool add = k > 0 || (in_c && s->g->accumulate), last = next == s->g->k;
        for (int64_t m = s->m0; m < s->m1; m += e->mr) {
            const int rows = (int)imin(e->mr, s->m1 - m);
            float *block = sums + (m - s->m0) * ld;
            if (in_c ? k == s->k0 : last) prefetch(s->g, m, rows, n, e->nr);
            run_block(s, m, rows, k, depth, panel, block, ld, add);
            if (last && !in_c) finish(s, m, rows, n, block, ld, bias);
        }
    }
}

static void run_slab(const slab *s, int64_t n0, int64_t n1) {
    enum { MAX_NR = 64 };
    const fli_engine *e = s->e;
    const fli_gemm *g = s->g;
    const bool tile = sums_are_tile(e, g);
    float buffer[MAX_NR];
    for (int64_t n = n0; n < n1; n += e->nr) {
        const int cols = (int)imin(e->nr, g->n - n);
        if (c_is_direct(g) && cols == e->nr) {
            run_panel(s, n, (float *)g->c + s->m0 * g->ldc + n, g->ldc, true, NULL);
        } else {
            const float *bias = bias_at(g->bias, n, cols, buffer);
            run_panel(s, n, s->sums + (tile ? n - n0 : 0), tile ? g->nc : e->nr, false, bias);
        }
    }
}

/* Rows of a tile that one panel meets before the next panel comes: all of them, so that the panel
 * stays in L1; or one block, when A is the larger operand and is better read and written along its
 * rows. */
static int64_t rows_at_once(const fli_engine *e, const fli_gemm *g) {
    const bool along = a_is_direct(e, g) && g->m > g->n && g->k <= e->depth;
    return along ? e->mr : g->mc;
}

void fli_gemm_one(const fli_engine *e, const fli_gemm *g, int64_t m0, int64_t m1, int64_t n0,
                  int64_t n1, void *scratch) {
    const bool direct = a_is_direct(e, g);
    const size_t es = fl_dtype_bytes(e->dtype);
    slab s = {.e = e, .g = g, .strips = a_is_for_strips(e, g)};
    s.sums = (float *)(void *)((char *)scratch + packed_bytes(e, g));
    s.lda = direct ? g->a.rs : packed_ld(e, g);
    for (s.m0 = m0; s.m0 < m1; s.m0 = s.m1) {
        s.m1 = imin(s.m0 + rows_at_once(e, g), m1);
        for (s.k0 = 0; s.k0 < g->k; s.k0 = s.k1) {
            s.k1 = imin(s.k0 + e->depth, g->k);
            s.a = direct ? (const char *)g->a.data + (size_t)(s.m0 * g->a.rs + s.k0) * es : scratch;
            if (!direct)
                (s.strips ? e->pack_strips : e->pack_a)(scratch, s.lda, &g->a, s.m0, s.k0,
                                                        s.m1 - s.m0, s.k1 - s.k0);
            run_slab(&s, n0, n1);
        }
    }
}

/* Neighbouring tiles share their part of the larger operand, so that it comes from memory once. */
void fli_gemm_run(const fli_engine *e, const fli_gemm *g, int64_t begin, int64_t end,
                  void *scratch) {
    const int64_t down = ceil_div(g->m, g->mc), across = ceil_div(g->n, g->nc);
    if (e->begin) e->begin();
    for (int64_t t = begin; t < end; t++) {
        const int64_t m0 = (g->m > g->n ? t / across : t % down) * g->mc;
        const int64_t n0 = (g->m > g->n ? t % across : t / down) * g->nc;
        fli_gemm_one(e, g, m0, imin(m0 + g->mc, g->m), n0, imin(n0 + g->nc, g->n), scratch);
    }
    if (e->end) e->end();
}
