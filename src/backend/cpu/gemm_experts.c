/* gemm_experts - products of rows with the weights of the experts they were sent to, on every row
 * of engines.
 *
 * Slots are ordered by expert and cut into blocks (slots.h); a block is an ordinary product whose
 * rows are gathered from where they lie and whose result is scattered to where it belongs:
 *
 *     phase 0   panels of every expert's weight, where the executor has not packed them
 *     phase 1   the order: slots by expert (a counting sort), and the blocks
 *     phase 2   blocks x tiles of columns; only chosen experts are read
 *
 * The gradient of the weights needs no weight: phase 0 orders, phase 1 packs each expert's rows of
 * x, phase 2 multiplies tiles of each dw[e].
 *
 * An element is summed as gemm.h says, in an order that depends on K alone; an element of dw[e] in
 * the order of e's slots. */
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/slots.h"
#include "backend/cpu/whole.h"

enum { X, W, IDS, BIAS };      // expert_linear, expert_linear_dx (x is dy)
enum { DW_DY, DW_X, DW_IDS };  // expert_linear_dw

/* Columns [col, col + cols) of the rows of t that `count` slots read, side by side. A row of t is
 * shared by `share` slots. */
static void gather(void *dst, const fl_tensor *t, const int32_t *slot, int64_t count, int64_t share,
                   int64_t col, int64_t cols) {
    const size_t es = fl_dtype_bytes(t->dtype), bytes = (size_t)cols * es;
    for (int64_t i = 0; i < count; i++) {
        const int64_t from = slot[i] / share * fl_tensor_cols(t) + col;
        memcpy((char *)dst + (size_t)i * bytes, (const char *)t->data + (size_t)from * es, bytes);
    }
}

/* --- y = x w[id]^T + bias[id], and dx = dy w[id] --- */

typedef struct {
    fli_gemm g;  // a block of as many rows as there may be, and all columns; tiled
    int64_t slots, E, share;
    bool transposed;  // the weight is (n, k), else (k, n)
} grouped;

static grouped describe(const fli_engine *e, const fl_call *c, bool transposed) {
    const fl_tensor *x = &c->in[X], *w = &c->in[W];
    grouped p = {.slots = fl_tensor_rows(&c->out[0]), .E = w->dim[0], .transposed = transposed};
    p.share = p.slots / fl_tensor_rows(x);
    p.g = (fli_gemm){.m = p.slots,
                     .n = w->dim[transposed ? 1 : 2],
                     .k = w->dim[transposed ? 2 : 1],
                     .c_dtype = c->out[0].dtype,
                     .alpha = 1.0f};
    p.g.a = (fli_mat){.dtype = x->dtype, .rs = p.g.k, .cs = 1};
    fli_gemm_tile(e, &p.g);
    return p;
}

static grouped expert_linear(const fli_engine *e, const fl_call *c) {
    return describe(e, c, true);
}
static grouped expert_linear_dx(const fli_engine *e, const fl_call *c) {
    return describe(e, c, false);
}

typedef grouped (*problem)(const fli_engine *e, const fl_call *c);

static fli_mat weight_of(const grouped *p, const fl_call *c, int64_t expert) {
    const fl_tensor *w = &c->in[W];
    const size_t at = (size_t)(expert * p->g.n * p->g.k) * fl_dtype_bytes(w->dtype);
    fli_mat m = {.data = (const char *)w->data + at, .dtype = w->dtype, .rs = w->dim[2], .cs = 1};
    if (p->transposed) m.rs = 1, m.cs = w->dim[2];
    return m;
}

static bool is_real(const fl_tensor *t) {
    return (t->dtype == FL_F32 || t->dtype == FL_BF16) && fl_tensor_contiguous(t);
}

static bool supports(const fl_call *c) {
    for (int i = 0; i < c->n_in; i++) {
        const bool known = c->in[i].dtype == FL_I32 || is_real(&c->in[i]);
        if (c->in[i].rank && !known) return false;
    }
    return is_real(&c->out[0]);
}

static size_t expert_panel_bytes(const fli_engine *e, const grouped *p) {
    return fli_panels_bytes(e, p->g.k, p->g.n);
}

static int64_t expert_panel_tasks(const fli_engine *e, const grouped *p, const fl_call *c) {
    const fli_mat b = weight_of(p, c, 0);
    return fli_panels_tasks(e, &b, p->g.k, p->g.n);
}

/* Tasks [begin, end) of packing all experts, one expert after the other. */
static void pack_experts(const fli_engine *e, problem of, const fl_call *c, void *dst,
                         int64_t begin, int64_t end) {
    const grouped p = of(e, c);
    const int64_t each = expert_panel_tasks(e, &p, c);
    for (int64_t i = begin; i < end; i++) {
        const fli_mat b = weight_of(&p, c, i / each);
        char *to = (char *)dst + (size_t)(i / each) * expert_panel_bytes(e, &p);
        fli_panels_pack(e, to, &b, p.g.k, p.g.n, i % each, i % each + 1);
    }
}

static size_t order_room(const grouped *p) {
    return fli_slots_bytes(p->slots, p->E, fli_slots_most_blocks(p->slots, p->E, p->g.mc));
}

static void *panels_in(const grouped *p, const fl_call *c) {
    return (char *)c->workspace + order_room(p);
}

static int64_t pack_tasks(const fli_engine *e, problem of, const fl_call *c) {
    const grouped p = of(e, c);
    return p.E * expert_panel_tasks(e, &p, c);
}

static size_t workspace(const fli_engine *e, problem of, const fl_call *c) {
    const grouped p = of(e, c);
    return order_room(&p) + (c->packed ? 0 : (size_t)p.E * expert_panel_bytes(e, &p));
}

static void make_order(const fli_engine *e, problem of, const fl_call *c) {
    const grouped p = of(e, c);
    const fli_slots o = fli_slots_at(c->workspace, p.slots, p.E);
    fli_slots_sort(&o, &c->in[IDS], p.slots, p.E);
    fli_slots_cut(&o, p.E, p.g.mc);
}

/* Gathered rows, the tile's result, and what the engine asks for. */
static size_t rows_bytes(const grouped *p) {
    return on_line((size_t)(p->g.mc * p->g.k) * fl_dtype_bytes(p->g.a.dtype));
}
static size_t tile_bytes(const grouped *p) {
    return on_line((size_t)(p->g.mc * p->g.nc) * fl_dtype_bytes(p->g.c_dtype));
}

static size_t scratch_bytes(const fli_engine *e, problem of, const fl_call *c) {
    const grouped p = of(e, c);
    return rows_bytes(&p) + tile_bytes(&p) + fli_gemm_scratch(e, &p.g);
}

static int64_t n_tiles(const fli_engine *e, problem of, const fl_call *c) {
    const grouped p = of(e, c);
    return fli_slots_most_blocks(p.slots, p.E, p.g.mc) * ceil_div(p.g.n, p.g.nc);
}

/* Columns [n0, n1) of a block: rows stand at the head of `scratch`. */
static void run_tile(const fli_engine *e, const grouped *p, const fl_call *c,
                     const fli_slot_block *b, const int32_t *slot, int64_t n0, int64_t n1,
                     char *scratch) {
    const fl_tensor *out = &c->out[0];
    const size_t es = fl_dtype_bytes(out->dtype), bytes = (size_t)(n1 - n0) * es;
    char *tile = scratch + rows_bytes(p);
    const char *panels = c->packed ? c->packed : panels_in(p, c);
    fli_gemm g = p->g;
    g.m = b->count;
    g.n = n1 - n0;
    g.a.data = scratch;
    g.panels = panels + (size_t)b->expert * expert_panel_bytes(e, p) +
               (size_t)(n0 / e->nr) * fli_panel_bytes(e, g.k);
    g.c = tile;
    g.ldc = n1 - n0;
    fl_tensor bias = {0};
    if (c->n_in > BIAS && c->in[BIAS].rank) {
        const fl_tensor *all = &c->in[BIAS];
        const size_t at = (size_t)(b->expert * p->g.n + n0) * fl_dtype_bytes(all->dtype);
        bias = fl_tensor_of((char *)all->data + at, all->dtype, 1, &g.n);
        g.bias = &bias;
    }
    fli_gemm_one(e, &g, 0, g.m, 0, g.n, tile + tile_bytes(p));
    for (int64_t i = 0; i < b->count; i++)
        memcpy((char *)out->data + (size_t)(slot[i] * p->g.n + n0) * es, tile + (size_t)i * bytes,
               bytes);
}

static void multiply(const fli_engine *e, problem of, const fl_call *c, int64_t begin, int64_t end,
                     void *scratch) {
    const grouped p = of(e, c);
    const fli_slots o = fli_slots_at(c->workspace, p.slots, p.E);
    const int64_t across = ceil_div(p.g.n, p.g.nc);
    int64_t gathered = -1;
    if (e->begin) e->begin();
    for (int64_t t = begin; t < imin(end, *o.n_blocks * across); t++) {
        const fli_slot_block *b = &o.blocks[t / across];
        const int64_t n0 = t % across * p.g.nc;
        const int32_t *slot = o.slot + b->first;
        if (gathered != t / across) gather(scratch, &c->in[X], slot, b->count, p.share, 0, p.g.k);
        gathered = t / across;
        run_tile(e, &p, c, b, slot, n0, imin(n0 + p.g.nc, p.g.n), scratch);
    }
    if (e->end) e->end();
}

/* --- dw[e] = dy^T x over the slots of e --- */

typedef struct {
    fli_gemm g;  // dw of an expert that has all slots; tiled
    int64_t slots, E, share;
} weight_grad;

static weight_grad describe_dw(const fli_engine *e, const fl_call *c) {
    const fl_tensor *dy = &c->in[DW_DY], *x = &c->in[DW_X], *dw = &c->out[0];
    weight_grad p = {.slots = fl_tensor_rows(dy), .E = dw->dim[0]};
    p.share = p.slots / fl_tensor_rows(x);
    p.g = (fli_gemm){.m = dw->dim[1],
                     .n = dw->dim[2],
                     .k = p.slots,
                     .c_dtype = dw->dtype,
                     .ldc = dw->dim[2],
                     .alpha = 1.0f,
                     .accumulate = c->attr.accumulate};
    p.g.a = (fli_mat){.dtype = dy->dtype, .rs = 1, .cs = p.g.m};
    fli_gemm_tile(e, &p.g);
    return p;
}

/* Where the panels of expert `at` begin: those before it are padded to whole steps of K. */
static size_t panels_before(const fli_engine *e, const weight_grad *p, const fli_slots *o,
                            int64_t at) {
    size_t bytes = 0;
    for (int64_t i = 0; i < at; i++) bytes += fli_panel_bytes(e, o->first[i + 1] - o->first[i]);
    return bytes * (size_t)fli_panel_count(e, p->g.n);
}

static size_t dw_workspace(const fli_engine *e, const fl_call *c) {
    const weight_grad p = describe_dw(e, c);
    const int64_t padded = p.slots + imin(p.E, p.slots) * (e->kr - 1);
    return fli_slots_bytes(p.slots, p.E, 0) + fli_panels_bytes(e, padded, p.g.n);
}

static void dw_make_order(const fl_call *c) {
    const int64_t slots = fl_tensor_rows(&c->in[DW_DY]), E = c->out[0].dim[0];
    const fli_slots o = fli_slots_at(c->workspace, slots, E);
    fli_slots_sort(&o, &c->in[DW_IDS], slots, E);
}

static int64_t dw_panel_tasks(const fli_engine *e, const fl_call *c) {
    return c->out[0].dim[0] * fli_panel_count(e, c->out[0].dim[2]);
}

/* Gathered columns of x, or of dy with what the engine asks for. */
static size_t columns_bytes(const fl_tensor *t, int64_t slots, int64_t cols) {
    return on_line((size_t)(slots * cols) * fl_dtype_bytes(t->dtype));
}

/* One column of dy lies as a row does, and may be multiplied where it lies; but whether it is
 * depends on how many slots an expert has, so the room is for one that must be packed. */
static size_t product_scratch(const fli_engine *e, const weight_grad *p) {
    fli_gemm packed = p->g;
    packed.a.cs = 1;
    packed.k += packed.k % e->kr == 0 && e->kr > 1;
    const size_t row = fli_gemm_scratch(e, &packed), column = fli_gemm_scratch(e, &p->g);
    return row > column ? row : column;
}

static size_t dw_scratch(const fli_engine *e, const fl_call *c) {
    const weight_grad p = describe_dw(e, c);
    const size_t packing = columns_bytes(&c->in[DW_X], p.slots, e->nr);
    const size_t product = columns_bytes(&c->in[DW_DY], p.slots, p.g.mc) + product_scratch(e, &p);
    return packing > product ? packing : product;
}

static void dw_pack(const fli_engine *e, const fl_call *c, int64_t begin, int64_t end,
                    void *scratch) {
    const weight_grad p = describe_dw(e, c);
    const fli_slots o = fli_slots_at(c->workspace, p.slots, p.E);
    const fl_tensor *x = &c->in[DW_X];
    char *panels = (char *)c->workspace + fli_slots_bytes(p.slots, p.E, 0);
    const int64_t each = fli_panel_count(e, p.g.n);
    for (int64_t t = begin; t < end; t++) {
        const int64_t expert = t / each, first = o.first[expert], k = o.first[expert + 1] - first;
        const int64_t n0 = t % each * e->nr, cols = imin(e->nr, p.g.n - n0);
        if (!k) continue;
        gather(scratch, x, o.slot + first, k, p.share, n0, cols);
        const fli_mat b = {.data = scratch, .dtype = x->dtype, .rs = cols, .cs = 1};
        e->pack_b(panels + panels_before(e, &p, &o, expert) +
                      (size_t)(t % each) * fli_panel_bytes(e, k),
                  &b, k, cols, 0);
    }
}

static int64_t dw_tiles(const fli_engine *e, const fl_call *c) {
    const weight_grad p = describe_dw(e, c);
    return p.E * fli_gemm_tiles(&p.g);
}

/* An expert that nothing was sent to. */
static void clear_tile(const fli_gemm *g, float *dw, int64_t m0, int64_t m1, int64_t n0,
                       int64_t n1) {
    for (int64_t m = m0; m < m1 && !g->accumulate; m++)
        memset(dw + m * g->ldc + n0, 0, (size_t)(n1 - n0) * sizeof *dw);
}

static void dw_multiply(const fli_engine *e, const fl_call *c, int64_t begin, int64_t end,
                        void *scratch) {
    const weight_grad p = describe_dw(e, c);
    const fli_slots o = fli_slots_at(c->workspace, p.slots, p.E);
    const fl_tensor *dy = &c->in[DW_DY];
    const char *panels = (const char *)c->workspace + fli_slots_bytes(p.slots, p.E, 0);
    char *room = (char *)scratch + columns_bytes(dy, p.slots, p.g.mc);
    const int64_t across = ceil_div(p.g.n, p.g.nc), each = fli_gemm_tiles(&p.g);
    if (e->begin) e->begin();
    for (int64_t t = begin; t < end; t++) {
        const int64_t expert = t / each, first = o.first[expert];
        const int64_t m0 = t % each / across * p.g.mc, m1 = imin(m0 + p.g.mc, p.g.m);
        const int64_t n0 = t % across * p.g.nc, n1 = imin(n0 + p.g.nc, p.g.n);
        float *dw = (float *)c->out[0].data + expert * p.g.m * p.g.n;
        fli_gemm g = p.g;
        g.k = o.first[expert + 1] - first;
        if (!g.k) {
            clear_tile(&g, dw, m0, m1, n0, n1);
            continue;
        }
        gather(scratch, dy, o.slot + first, g.k, 1, m0, m1 - m0);
        g.m = m1 - m0;
        g.a = (fli_mat){.data = scratch, .dtype = dy->dtype, .rs = 1, .cs = g.m};
        g.panels = panels + panels_before(e, &p, &o, expert);
        g.c = dw + m0 * g.ldc;
        fli_gemm_one(e, &g, 0, g.m, n0, n1, room);
    }
    if (e->end) e->end();
}

/* --- the kernels --- */

/* A kernel is functions of the call alone, so each operation needs its own on each row of engines.
 */
#define BIND(row, op, which)                                                                     \
    static const fli_engine *op##_engine_##row(const fl_call *c) {                               \
        return fli_engine_of(&fli_gemm_##row, c);                                                \
    }                                                                                            \
    static const char *op##_pack_id_##row(const fl_call *c) {                                    \
        return op##_engine_##row(c)->layout[which];                                              \
    }                                                                                            \
    static int64_t op##_pack_tasks_##row(const fl_call *c) {                                     \
        return pack_tasks(op##_engine_##row(c), op, c);                                          \
    }                                                                                            \
    static size_t op##_pack_bytes_##row(const fl_call *c) {                                      \
        const grouped p = op(op##_engine_##row(c), c);                                           \
        return (size_t)p.E * expert_panel_bytes(op##_engine_##row(c), &p);                       \
    }                                                                                            \
    static void op##_pack_##row(const fl_call *c, void *dst, int64_t begin, int64_t end) {       \
        pack_experts(op##_engine_##row(c), op, c, dst, begin, end);                              \
    }                                                                                            \
    static int64_t op##_prepare_tasks_##row(const fl_call *c) {                                  \
        return c->packed ? 0 : op##_pack_tasks_##row(c);                                         \
    }                                                                                            \
    static void op##_prepare_##row(const fl_call *c, int64_t begin, int64_t end, void *unused) { \
        (void)unused;                                                                            \
        const grouped p = op(op##_engine_##row(c), c);                                           \
        pack_experts(op##_engine_##row(c), op, c, panels_in(&p, c), begin, end);                 \
    }                                                                                            \
    static void op##_order_##row(const fl_call *c, int64_t begin, int64_t end, void *unused) {   \
        (void)begin, (void)end, (void)unused;                                                    \
        make_order(op##_engine_##row(c), op, c);                                                 \
    }                                                                                            \
    static int64_t op##_tasks_##row(const fl_call *c) {                                          \
        return n_tiles(op##_engine_##row(c), op, c);                                             \
    }                                                                                            \
    static void op##_run_##row(const fl_call *c, int64_t begin, int64_t end, void *s) {          \
        multiply(op##_engine_##row(c), op, c, begin, end, s);                                    \
    }                                                                                            \
    static size_t op##_scratch_##row(const fl_call *c) {                                         \
        return scratch_bytes(op##_engine_##row(c), op, c);                                       \
    }                                                                                            \
    static size_t op##_workspace_##row(const fl_call *c) {                                       \
        return workspace(op##_engine_##row(c), op, c);                                           \
    }

#define KERNEL(row, op, which, takes)                                                        \
    BIND(row, op, which)                                                                     \
    const fl_kernel fl_kernel_##op##_##row = {.phase = {{op##_prepare_tasks_##row,           \
                                                         op##_prepare_##row},                \
                                                        {NULL, op##_order_##row},            \
                                                        {op##_tasks_##row, op##_run_##row}}, \
                                              .supports = takes,                             \
                                              .scratch = op##_scratch_##row,                 \
                                              .workspace = op##_workspace_##row,             \
                                              .pack_id = op##_pack_id_##row,                 \
                                              .pack_bytes = op##_pack_bytes_##row,           \
                                              .pack_tasks = op##_pack_tasks_##row,           \
                                              .pack = op##_pack_##row};

#define DW_KERNEL(row)                                                                             \
    static int64_t dw_panel_tasks_##row(const fl_call *c) {                                        \
        return dw_panel_tasks(fli_engine_of(&fli_gemm_##row, c), c);                               \
    }                                                                                              \
    static int64_t dw_tiles_##row(const fl_call *c) {                                              \
        return dw_tiles(fli_engine_of(&fli_gemm_##row, c), c);                                     \
    }                                                                                              \
    static void dw_pack_##row(const fl_call *c, int64_t begin, int64_t end, void *s) {             \
        dw_pack(fli_engine_of(&fli_gemm_##row, c), c, begin, end, s);                              \
    }                                                                                              \
    static void dw_run_##row(const fl_call *c, int64_t begin, int64_t end, void *s) {              \
        dw_multiply(fli_engine_of(&fli_gemm_##row, c), c, begin, end, s);                          \
    }                                                                                              \
    static size_t dw_scratch_##row(const fl_call *c) {                                             \
        return dw_scratch(fli_engine_of(&fli_gemm_##row, c), c);                                   \
    }                                                                                              \
    static size_t dw_workspace_##row(const fl_call *c) {                                           \
        return dw_workspace(fli_engine_of(&fli_gemm_##row, c), c);                                 \
    }                                                                                              \
    const fl_kernel fl_kernel_expert_linear_dw_##row = {.phase = {{NULL, dw_order},                \
                                                                  {dw_panel_tasks_##row,           \
                                                                   dw_pack_##row},                 \
                                                                  {dw_tiles_##row, dw_run_##row}}, \
                                                        .supports = supports,                      \
                                                        .scratch = dw_scratch_##row,               \
                                                        .workspace = dw_workspace_##row};

static void dw_order(const fl_call *c, int64_t begin, int64_t end, void *unused) {
    (void)begin, (void)end, (void)unused;
    dw_make_order(c);
}

#define ROW(row, linear_takes)                                    \
    KERNEL(row, expert_linear, FLI_OF_W_TRANSPOSED, linear_takes) \
    KERNEL(row, expert_linear_dx, FLI_OF_W, supports)             \
    DW_KERNEL(row)

ROW(portable, supports)
#if defined(__x86_64__)
/* Weights of 16 bits are read where they lie: halves_experts.c. */
static bool supports_packed(const fl_call *c) {
    return supports(c) && !(c->in[X].dtype == FL_BF16 && c->in[W].dtype == FL_BF16);
}

ROW(avx2, supports)
ROW(avx512, supports_packed)
ROW(amx, supports)
#endif
