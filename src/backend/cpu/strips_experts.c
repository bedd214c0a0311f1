/* strips_experts - expert_linear with weights in blocks, on every engine of strips.
 *
 *     phase 0   rows of x in 8 bits
 *     phase 1   the order of slots (slots.h)
 *     phase 2   blocks of slots x tiles of strips: only chosen experts are read
 *
 * The packed weight has one expert's strips after the other's. Where the executor has not packed it
 * a task packs its tile into its scratch. A row of x is brought into 8 bits once, however many
 * slots read it; a block's rows are copied from there into panels of its own. Each element has the
 * bytes that linear gives it (strips.h). */
#include <string.h>

#include "backend/cpu/slots.h"
#include "backend/cpu/strips.h"
#include "backend/cpu/whole.h"

enum { X, W, IDS, BIAS };
enum { TILE_ROWS = 8 * FLI_STRIP_ROWS, TILE_STRIPS = 8, LD = TILE_STRIPS * FLI_STRIP };

typedef struct {
    const fl_call *call;
    const fli_strip_engine *e;
    const fli_strip_format *f;
    int64_t rows, slots, E, n, k;  // rows of x
} work;

static work work_of(const fli_strip_engine *e, const fl_call *c) {
    const fl_tensor *w = &c->in[W];
    return (work){.call = c,
                  .e = e,
                  .f = fli_strip_format_of(w->dtype),
                  .rows = fl_tensor_rows(&c->in[X]),
                  .slots = fl_tensor_rows(&c->out[0]),
                  .E = w->dim[0],
                  .n = w->dim[1],
                  .k = w->dim[2]};
}

static int64_t strips_of(const work *t) {
    return ceil_div(t->n, FLI_STRIP);
}

/* ---- the workspace: order, x ---- */

static int64_t most_blocks(const work *t) {
    return fli_slots_most_blocks(t->slots, t->E, TILE_ROWS);
}

static size_t order_bytes(const work *t) {
    return fli_slots_bytes(t->slots, t->E, most_blocks(t));
}

static size_t panel_bytes(const work *t, int64_t rows) {
    const int64_t whole = ceil_div(rows, FLI_STRIP_ROWS) * FLI_STRIP_ROWS;
    return on_line((size_t)(whole * (t->k / FL_X_GROUP)) * sizeof(fli_strip_x));
}

static fli_strip_x *x_of(const work *t) {
    return (fli_strip_x *)(void *)((char *)t->call->workspace + order_bytes(t));
}

static size_t workspace_bytes(const work *t) {
    return order_bytes(t) + panel_bytes(t, t->rows);
}

/* ---- phases 0 and 1 ---- */

static int64_t prepare_tasks(const work *t) {
    return ceil_div(t->rows, FLI_STRIP_ROWS);
}

static void prepare(const work *t, int64_t begin, int64_t end) {
    const int64_t blocks = t->k / FL_X_GROUP;
    for (int64_t i = begin; i < end; i++) {
        const int64_t r0 = i * FLI_STRIP_ROWS, rows = imin(FLI_STRIP_ROWS, t->rows - r0);
        t->e->take_x(x_of(t) + r0 * blocks, &t->call->in[X], r0, rows, t->f);
    }
}

static fli_slots slots_of(const work *t) {
    return fli_slots_at(t->call->workspace, t->slots, t->E);
}

static void make_order(const work *t) {
    const fli_slots s = slots_of(t);
    fli_slots_sort(&s, &t->call->in[IDS], t->slots, t->E);
    fli_slots_cut(&s, t->E, TILE_ROWS);
}

/* ---- phase 2 ---- */

/* Where experts have few rows a task is only as much of w as keeps a stream from memory going. */
static int64_t tile_strips(const work *t) {
    enum { STREAM = 16 << 10 };
    if (t->slots > FLI_STRIP_ROWS * imin(t->E, t->slots)) return TILE_STRIPS;
    const int64_t strips = STREAM / (int64_t)fli_strip_bytes(t->f, t->k);
    return strips < 1 ? 1 : imin(strips, TILE_STRIPS);
}

static int64_t tiles_across(const work *t) {
    return ceil_div(strips_of(t), tile_strips(t));
}

static int64_t tasks(const work *t) {
    return most_blocks(t) * tiles_across(t);
}

/* Panels of a block, sums, and strips where w is not packed. */
static size_t scratch_bytes(const work *t) {
    const size_t strips = (size_t)tile_strips(t) * fli_strip_bytes(t->f, t->k);
    return panel_bytes(t, TILE_ROWS) + TILE_ROWS * LD * sizeof(float) + strips;
}

static int64_t pack_tasks(const work *t) {
    return t->E * strips_of(t);
}

/* Strips [begin, end) of all experts'. */
static void pack(const work *t, uint8_t *to, int64_t begin, int64_t end) {
    const fl_tensor *w = &t->call->in[W];
    const size_t bytes = fli_strip_bytes(t->f, t->k);
    for (int64_t i = begin; i < end; i++, to += bytes) {
        char *from = fl_tensor_row(w, i / strips_of(t) * t->n);
        const fl_tensor one = fl_tensor_of(from, w->dtype, 2, w->dim + 1);
        t->e->pack(to, &one, i % strips_of(t));
    }
}

/* Strips [s0, s1) of an expert's. */
static const uint8_t *strips_in(const work *t, int64_t expert, int64_t s0, int64_t s1,
                                uint8_t *own) {
    const int64_t first = expert * strips_of(t);
    const uint8_t *packed = t->call->packed;
    if (packed) return packed + (size_t)(first + s0) * fli_strip_bytes(t->f, t->k);
    pack(t, own, first + s0, first + s1);
    return own;
}

/* The rows that a block's slots read, and zeros up to fli_strip_rows. */
static void gather(const work *t, const fli_slot_block *b, const int32_t *slot, fli_strip_x *out) {
    const int64_t blocks = t->k / FL_X_GROUP, share = t->slots / t->rows;
    const fli_strip_x *x = x_of(t);
    for (int64_t i0 = 0; i0 < b->count; i0 += FLI_STRIP_ROWS, out += FLI_STRIP_ROWS * blocks) {
        const int64_t n = imin(FLI_STRIP_ROWS, b->count - i0);
        for (int64_t i = 0; i < fli_strip_rows(n); i++) {
            const int64_t row = i < n ? slot[i0 + i] / share : 0, in_panel = row % FLI_STRIP_ROWS;
            const fli_strip_x *from = x + (row - in_panel) * blocks + in_panel;
            for (int64_t k = 0; k < blocks; k++)
                out[k * FLI_STRIP_ROWS + i] = i < n ? from[k * FLI_STRIP_ROWS] : (fli_strip_x){0};
        }
    }
}

/* Strips [s0, s1) of the block's expert times its rows, which `x` has. */
static void run_tile(const work *t, const fli_slot_block *b, const int32_t *slot, int64_t s0,
                     int64_t s1, const fli_strip_x *x, float *sums) {
    const fl_call *c = t->call;
    const fli_strip_product p = {.e = t->e,
                                 .f = t->f,
                                 .dtype = c->in[W].dtype,
                                 .m = b->count,
                                 .n = t->n,
                                 .k = t->k,
                                 .x = x,
                                 .w = strips_in(t, b->expert, s0, s1,
                                                (uint8_t *)(sums + TILE_ROWS * LD))};
    const int64_t n0 = s0 * FLI_STRIP, cols = imin(s1 * FLI_STRIP, t->n) - n0;
    const fl_tensor *y = &c->out[0], *bias = &c->in[BIAS];
    const bool has_bias = c->n_in > BIAS && bias->rank;
    float room[LD];
    if (has_bias) {
        const char *from = fl_tensor_row(bias, b->expert);
        fl_convert(room, FL_F32, from + fl_dtype_row_bytes(bias->dtype, n0), bias->dtype, cols);
    }
    fli_strips_multiply(&p, 0, b->count, 0, s1 - s0, sums, LD);
    for (int64_t i = 0; i < b->count; i++) {
        char *to = fl_tensor_row(y, slot[i]);
        t->e->store(to + fl_dtype_row_bytes(y->dtype, n0), y->dtype, t->n, sums + i * LD, LD, 1,
                    cols, has_bias ? room : NULL);
    }
}

static void multiply(const work *t, int64_t begin, int64_t end, void *scratch) {
    const fli_slots s = slots_of(t);
    const int64_t across = tiles_across(t), wide = tile_strips(t);
    fli_strip_x *x = scratch;
    float *sums = (float *)(void *)((char *)scratch + panel_bytes(t, TILE_ROWS));
    int64_t gathered = -1;
    for (int64_t i = begin; i < imin(end, *s.n_blocks * across); i++) {
        const fli_slot_block *b = &s.blocks[i / across];
        const int64_t s0 = i % across * wide;
        if (gathered != i / across) gather(t, b, s.slot + b->first, x);
        gathered = i / across;
        run_tile(t, b, s.slot + b->first, s0, imin(s0 + wide, strips_of(t)), x, sums);
    }
}

/* ---- the kernels ---- */

static bool is_real(const fl_tensor *t) {
    return (t->dtype == FL_F32 || t->dtype == FL_BF16) && fl_tensor_contiguous(t);
}

static bool supports(const fl_call *c) {
    return fli_strip_format_of(c->in[W].dtype) && fl_tensor_contiguous(&c->in[W]) &&
           is_real(&c->in[X]) && is_real(&c->out[0]) &&
           (c->n_in <= BIAS || !c->in[BIAS].rank || is_real(&c->in[BIAS]));
}

static const char *pack_id(const fl_call *c) {
    (void)c;
    return "strips of 16 columns";
}

#define KERNEL(row)                                                                             \
    static int64_t prepare_tasks_##row(const fl_call *c) {                                      \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return prepare_tasks(&t);                                                               \
    }                                                                                           \
    static void prepare_##row(const fl_call *c, int64_t begin, int64_t end, void *unused) {     \
        const work t = work_of(&fli_strips_##row, c);                                           \
        (void)unused;                                                                           \
        prepare(&t, begin, end);                                                                \
    }                                                                                           \
    static void order_##row(const fl_call *c, int64_t begin, int64_t end, void *unused) {       \
        const work t = work_of(&fli_strips_##row, c);                                           \
        (void)begin, (void)end, (void)unused;                                                   \
        make_order(&t);                                                                         \
    }                                                                                           \
    static int64_t tasks_##row(const fl_call *c) {                                              \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return tasks(&t);                                                                       \
    }                                                                                           \
    static void multiply_##row(const fl_call *c, int64_t begin, int64_t end, void *scratch) {   \
        const work t = work_of(&fli_strips_##row, c);                                           \
        multiply(&t, begin, end, scratch);                                                      \
    }                                                                                           \
    static size_t scratch_##row(const fl_call *c) {                                             \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return scratch_bytes(&t);                                                               \
    }                                                                                           \
    static size_t workspace_##row(const fl_call *c) {                                           \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return workspace_bytes(&t);                                                             \
    }                                                                                           \
    static size_t pack_bytes_##row(const fl_call *c) {                                          \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return (size_t)pack_tasks(&t) * fli_strip_bytes(t.f, t.k);                              \
    }                                                                                           \
    static int64_t pack_tasks_##row(const fl_call *c) {                                         \
        const work t = work_of(&fli_strips_##row, c);                                           \
        return pack_tasks(&t);                                                                  \
    }                                                                                           \
    static void pack_##row(const fl_call *c, void *dst, int64_t begin, int64_t end) {           \
        const work t = work_of(&fli_strips_##row, c);                                           \
        pack(&t, (uint8_t *)dst + (size_t)begin * fli_strip_bytes(t.f, t.k), begin, end);       \
    }                                                                                           \
    const fl_kernel fli_strips_expert_linear_##row = {.phase = {{prepare_tasks_##row,           \
                                                                 prepare_##row},                \
                                                                {NULL, order_##row},            \
                                                                {tasks_##row, multiply_##row}}, \
                                                      .supports = supports,                     \
                                                      .scratch = scratch_##row,                 \
                                                      .workspace = workspace_##row,             \
                                                      .pack_id = pack_id,                       \
                                                      .pack_bytes = pack_bytes_##row,           \
                                                      .pack_tasks = pack_tasks_##row,           \
                                                      .pack = pack_##row};

#if defined(__x86_64__)
KERNEL(avx2)
KERNEL(avx512)
#endif
