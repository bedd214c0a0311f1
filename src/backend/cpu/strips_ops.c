/* strips_ops - linear and linear_ce with weights in blocks, on every engine of strips, and the rows
 * of the CPU that have them.
 *
 * Phase 0 copies x into panels; phase 1 multiplies, a task a tile; the loss then takes the
 * logarithms in phase 2. Where the executor has not packed w, a task is all rows of a few strips,
 * which it packs into its scratch: w is read where it lies, and the bytes are the same. A row of
 * the CPU stands right behind the row of dense products of its instruction set, which declines
 * weights in blocks. */
#include "backend/cpu/rows.h"
#include "backend/cpu/strips.h"
#include "backend/cpu/whole.h"
#include "base/cpu.h"

/* Of a tile. Rows are whole panels; columns those of a tile of logits, or half as many. */
enum { TILE_ROWS = 8 * FLI_STRIP_ROWS, TILE_STRIPS = 8, CE_STRIPS = FLI_CE_TILE / FLI_STRIP };
enum { LOSSES = 16 };  // rows a task

typedef struct {
    const fl_call *call;
    fli_strip_product p;
    fli_strip_x *own_x;  // in the workspace
    fli_ce h;            // of the loss
    size_t workspace;    // bytes
} work;

static int64_t strips_of(const work *t) {
    return ceil_div(t->p.n, FLI_STRIP);
}

static int64_t panels_of(const work *t) {
    return ceil_div(t->p.m, FLI_STRIP_ROWS);
}

/* The next `bytes` of the workspace, or of nothing when only its size is asked for. */
static void *take(work *t, size_t bytes) {
    void *at = past(t->call->workspace, t->workspace);
    t->workspace += (bytes + FLI_LINE - 1) / FLI_LINE * FLI_LINE;
    return at;
}

static size_t strip_bytes(const work *t) {
    return fli_strip_bytes(t->p.f, t->p.k);
}

static void lay_out_loss(work *t) {
    t->h = (fli_ce){.rows = t->p.m,
                    .n_v = t->p.n,
                    .n_tiles = ceil_div(t->p.n, FLI_CE_TILE),
                    .softcap = t->call->attr.softcap,
                    .target = t->call->in[2].data};
    t->h.max = take(t, (size_t)(t->p.m * t->h.n_tiles) * sizeof(float));
    t->h.sum = take(t, (size_t)(t->p.m * t->h.n_tiles) * sizeof(float));
    t->h.at_target = take(t, (size_t)t->p.m * sizeof(float));
}

static work work_of(const fli_strip_engine *e, const fl_call *c, bool loss) {
    const fl_tensor *x = &c->in[0], *w = &c->in[1];
    work t = {.call = c,
              .p = {.e = e,
                    .f = fli_strip_format_of(w->dtype),
                    .dtype = w->dtype,
                    .m = fl_tensor_rows(x),
                    .n = w->dim[0],
                    .k = w->dim[1]}};
    const int64_t blocks = t.p.k / FL_X_GROUP;
    t.own_x = take(&t, (size_t)(panels_of(&t) * FLI_STRIP_ROWS * blocks) * sizeof *t.own_x);
    t.p.x = t.own_x;
    t.p.w = c->packed;
    if (loss) lay_out_loss(&t);
    return t;
}

static bool is_few(const work *t) {
    return t->call->packed && t->p.m <= FLI_STRIP_ROWS;
}

/* Where a walk over few rows begins nobody has asked memory for anything, and the processor needs
 * some lines to see one: the first ones are asked for at once. */
static void ask_for(const work *t, int64_t strip) {
    enum { BYTES = 8 << 10 };
    if (!is_few(t)) return;
    const int64_t bytes = (int64_t)strip_bytes(t);
    const uint8_t *w = t->p.w + strip * bytes;
    for (int64_t i = 0; i < imin(BYTES, (strips_of(t) - strip) * bytes); i += FLI_LINE)
        __builtin_prefetch(w + i, 0, 2);
}

/* ---- phase 0: panels of x ---- */

static void prepare(const work *t, int64_t begin, int64_t end) {
    const int64_t blocks = t->p.k / FL_X_GROUP;
    for (int64_t i = begin; i < end; i++) {
        const int64_t r0 = i * FLI_STRIP_ROWS, rows = imin(FLI_STRIP_ROWS, t->p.m - r0);
        t->p.e->take_x(t->own_x + r0 * blocks, &t->call->in[0], r0, rows, t->p.f);
    }
}

/* ---- phase 1 ---- */

static void pack(const work *t, uint8_t *w, int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; s++)
        t->p.e->pack(w + (size_t)(s - begin) * strip_bytes(t), &t->call->in[1], s);
}

/* Few rows: a task is only as much of w as keeps a stream from memory going. */
static int64_t tile_strips(const work *t) {
    enum { STREAM = 16 << 10 };
    if (t->p.m > FLI_STRIP_ROWS) return TILE_STRIPS;
    const int64_t strips = STREAM / (int64_t)strip_bytes(t);
    return strips < 1 ? 1 : imin(strips, TILE_STRIPS);
}

static int64_t row_tiles(const work *t) {
    return ceil_div(t->p.m, TILE_ROWS);
}

/* The share of y of a task, or of several in a row. */
typedef struct {
    int64_t m0, m1, s0, s1;  // rows, strips
    fli_strip_product p;     // its w are these strips alone
} tile;

static int64_t tile_tasks(const work *t, int64_t strips) {
    return (t->call->packed ? row_tiles(t) : 1) * ceil_div(strips_of(t), strips);
}

/* `n` tasks from i on, more than one only where tasks_at_once allows. Tiles of packed strips run
 * down the rows, which share them. */
static tile tile_of(const work *t, int64_t i, int64_t n, int64_t strips, uint8_t *own) {
    const bool packed = t->call->packed;
    const int64_t down = packed ? row_tiles(t) : 1, m0 = i % down * TILE_ROWS,
                  s0 = i / down * strips;
    tile a = {.m0 = m0,
              .m1 = packed ? imin(m0 + TILE_ROWS, t->p.m) : t->p.m,
              .s0 = s0,
              .s1 = imin(s0 + n * strips, strips_of(t)),
              .p = t->p};
    if (!packed) pack(t, own, a.s0, a.s1);
    a.p.w = packed ? t->p.w + (size_t)s0 * strip_bytes(t) : own;
    return a;
}

/* Columns of sums, of many rows and of few. */
enum { LINEAR_LD = TILE_STRIPS * FLI_STRIP, FEW_LD = TILE_ROWS / FLI_STRIP_ROWS * LINEAR_LD };

/* Tasks of few rows that follow one another are one walk over their strips, as far as there is room
 * for sums: what is done once a task would keep memory waiting. */
static int64_t tasks_at_once(const work *t, int64_t strips) {
    return is_few(t) ? FEW_LD / FLI_STRIP / strips : 1;
}

static void linear_rows(const work *t, const tile *a, int64_t m0, const float *bias, float *sums) {
    const int64_t m1 = imin(m0 + TILE_ROWS, a->m1), n0 = a->s0 * FLI_STRIP;
    const int64_t ld = a->s1 - a->s0 > TILE_STRIPS ? FEW_LD : LINEAR_LD;
    const fl_tensor *y = &t->call->out[0];
    fli_strips_multiply(&a->p, m0, m1, 0, a->s1 - a->s0, sums, ld);
    t->p.e->store(past(y->data, fl_dtype_row_bytes(y->dtype, m0 * t->p.n + n0)), y->dtype, t->p.n,
                  sums, ld, m1 - m0, imin(a->s1 * FLI_STRIP, t->p.n) - n0, bias);
}

static void linear_tile(const work *t, const tile *a, float *sums) {
    const int64_t n0 = a->s0 * FLI_STRIP, cols = imin(a->s1 * FLI_STRIP, t->p.n) - n0;
    const fl_tensor *b = &t->call->in[2];
    const bool has_bias = t->call->n_in > 2 && b->rank;
    float bias[FEW_LD];
    if (has_bias)
        fl_convert(bias, FL_F32, past(b->data, fl_dtype_row_bytes(b->dtype, n0)), b->dtype, cols);
    for (int64_t m0 = a->m0; m0 < a->m1; m0 += TILE_ROWS)
        linear_rows(t, a, m0, has_bias ? bias : NULL, sums);
}

static void linear_tiles(const work *t, int64_t begin, int64_t end, float *sums) {
    const int64_t strips = tile_strips(t), at_once = tasks_at_once(t, strips);
    ask_for(t, begin * strips);
    for (int64_t i = begin; i < end; i += at_once) {
        const tile a = tile_of(t, i, imin(at_once, end - i), strips,
                               (uint8_t *)(sums + TILE_ROWS * LINEAR_LD));
        linear_tile(t, &a, sums);
    }
}

static void logits_tile(const work *t, int64_t i, float *z) {
    const tile a = tile_of(t, i, 1, CE_STRIPS, (uint8_t *)(z + TILE_ROWS * FLI_CE_TILE));
    for (int64_t m0 = a.m0; m0 < a.m1; m0 += TILE_ROWS) {
        const int64_t m1 = imin(m0 + TILE_ROWS, a.m1);
        fli_strips_multiply(&a.p, m0, m1, 0, a.s1 - a.s0, z, FLI_CE_TILE);
        t->p.e->ce->tile(&t->h, z, m0, m1 - m0, a.s0 / CE_STRIPS);
    }
}

/* ---- phase 2 ---- */

static void losses(const work *t, int64_t begin, int64_t end) {
    float *nll = t->call->out[0].data;
    for (int64_t r = begin * LOSSES; r < imin(end * LOSSES, t->p.m); r++)
        nll[r] = t->h.target[r] < 0 ? 0.0f : t->p.e->ce->lse(&t->h, r) - t->h.at_target[r];
}

/* ---- kernels ---- */

static bool is_real(const fl_tensor *t) {
    return (t->dtype == FL_F32 || t->dtype == FL_BF16) && fl_tensor_contiguous(t);
}

static bool supports(const fl_call *c) {
    return fli_strip_format_of(c->in[1].dtype) && fl_tensor_contiguous(&c->in[1]) &&
           is_real(&c->in[0]) && is_real(&c->out[0]);
}

static bool linear_supports(const fl_call *c) {
    return supports(c) && (c->n_in < 3 || !c->in[2].rank || is_real(&c->in[2]));
}

static const char *pack_id(const fl_call *c) {
    (void)c;
    return "strips of 16 columns";
}

/* Sums, and strips where w is not packed. */
static size_t scratch_of(const fli_strip_engine *e, const fl_call *c, bool loss) {
    const work t = work_of(e, c, loss);
    const int64_t strips = loss ? CE_STRIPS : tile_strips(&t);
    const size_t sums = loss ? TILE_ROWS * FLI_CE_TILE : TILE_ROWS * LINEAR_LD;
    return sums * sizeof(float) + (size_t)strips * strip_bytes(&t);
}

static int64_t tasks_of(const fli_strip_engine *e, const fl_call *c, bool loss, int phase) {
    const work t = work_of(e, c, loss);
    if (phase == 0) return panels_of(&t);
    if (phase == 1) return tile_tasks(&t, loss ? CE_STRIPS : tile_strips(&t));
    return ceil_div(t.p.m, LOSSES);
}

static void run(const fli_strip_engine *e, const fl_call *c, bool loss, int phase, int64_t begin,
                int64_t end, void *scratch) {
    const work t = work_of(e, c, loss);
    if (phase == 0) prepare(&t, begin, end);
    if (phase == 2) losses(&t, begin, end);
    if (phase == 1 && !loss) linear_tiles(&t, begin, end, scratch);
    for (int64_t i = begin; phase == 1 && loss && i < end; i++) logits_tile(&t, i, scratch);
}

#define PHASE(name, row, loss, i)                                                              \
    static int64_t name##_tasks##i##_##row(const fl_call *c) {                                 \
        return tasks_of(&fli_strips_##row, c, loss, i);                                        \
    }                                                                                          \
    static void name##_run##i##_##row(const fl_call *c, int64_t begin, int64_t end, void *s) { \
        run(&fli_strips_##row, c, loss, i, begin, end, s);                                     \
    }

#define BIND(name, row, loss)                                                                \
    PHASE(name, row, loss, 0)                                                                \
    PHASE(name, row, loss, 1)                                                                \
    static size_t name##_workspace_##row(const fl_call *c) {                                 \
        fl_call only_shapes = *c;                                                            \
        only_shapes.workspace = NULL;                                                        \
        return work_of(&fli_strips_##row, &only_shapes, loss).workspace;                     \
    }                                                                                        \
    static size_t name##_scratch_##row(const fl_call *c) {                                   \
        return scratch_of(&fli_strips_##row, c, loss);                                       \
    }                                                                                        \
    static size_t name##_pack_bytes_##row(const fl_call *c) {                                \
        const work t = work_of(&fli_strips_##row, c, loss);                                  \
        return (size_t)strips_of(&t) * strip_bytes(&t);                                      \
    }                                                                                        \
    static int64_t name##_pack_tasks_##row(const fl_call *c) {                               \
        const work t = work_of(&fli_strips_##row, c, loss);                                  \
        return strips_of(&t);                                                                \
    }                                                                                        \
    static void name##_pack_##row(const fl_call *c, void *dst, int64_t begin, int64_t end) { \
        const work t = work_of(&fli_strips_##row, c, loss);                                  \
        pack(&t, (uint8_t *)dst + (size_t)begin * strip_bytes(&t), begin, end);              \
    }

#define STEP(name, row, i) \
    { name##_tasks##i##_##row, name##_run##i##_##row }

#define FIELDS(name, row)                                                                     \
    .scratch = name##_scratch_##row, .workspace = name##_workspace_##row, .pack_id = pack_id, \
    .pack_later = true, .pack_bytes = name##_pack_bytes_##row,                                \
    .pack_tasks = name##_pack_tasks_##row, .pack = name##_pack_##row

#define ROW(row, text, instructions)                                                              \
    BIND(linear, row, false)                                                                      \
    BIND(loss, row, true)                                                                         \
    PHASE(loss, row, true, 2)                                                                     \
    static const fl_kernel linear_##row = {.phase = {STEP(linear, row, 0), STEP(linear, row, 1)}, \
                                           .supports = linear_supports,                           \
                                           .prepares_x = true,                                    \
                                           FIELDS(linear, row)};                                  \
    static const fl_kernel loss_##row = {.phase = {STEP(loss, row, 0), STEP(loss, row, 1),        \
                                                   STEP(loss, row, 2)},                           \
                                         .supports = supports,                                    \
                                         FIELDS(loss, row)};                                      \
    static bool available_##row(void) {                                                           \
        return fl_backend_##row.available();                                                      \
    }                                                                                             \
    const fl_backend fl_backend_strips_##row = {.name = text,                                     \
                                                .needs = instructions,                            \
                                                .available = available_##row,                     \
                                                .kernel = {[FL_OP_LINEAR] = &linear_##row,        \
                                                           [FL_OP_LINEAR_CE] = &loss_##row,       \
                                                           [FL_OP_EXPERT_LINEAR] =                \
                                                               &fli_strips_expert_linear_##row}};

#if defined(__x86_64__)
ROW(avx2, "avx2-int8", "AVX2 with FMA and F16C")
ROW(avx512, "vnni", "AVX-512 with VNNI and bf16")
#endif
