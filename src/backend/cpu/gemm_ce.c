/* gemm_ce - cross-entropy fused with the output projection, and its gradient, on every row of
 * engines.
 *
 *   z = x w^T (never whole), nll = log sum exp z - z[target],
 *   dz = g (softmax z - onehot target),  dx = dz w,  dw += dz^T x
 *
 * Rows are worked through in groups (rounds) whose exponentials fit E_BYTES, so logits are made
 * once and no more of them exists than that. Phases of a round:
 *
 *   0 prepare   panels of x, and of w where the executor has not packed it
 *   1 logits    tiles of z -> max, sum, e = exp(z - max) per row and tile of V
 *   2 spans     V is cut into spans; each turns its e into dz and adds its
 *               rows of dw                              e is read while it is in cache
 *   3 dx        tiles of dx, each over all of V
 *
 * The loss alone needs phases 0 and 1 without e, and the logarithm of the sums. */
#include "backend/cpu/gemm_ce.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/whole.h"

/* E_BYTES holds 1024 rows of GPT-2's vocabulary: every further round reads and writes all of dw. */
enum {
    ROWS = 128,  // of a tile of logits, at most
    SPANS = 16,
    LOSSES = 16,  // rows a task
    E_BYTES = 112 << 20
};

typedef struct {
    const fl_call *call;
    const fli_engine *e;
    const fli_ce_rows *ops;
    bool grad;
    int64_t n, c, v;                   // rows of x, columns, vocabulary
    int64_t group, r0, rows;           // rows of a group; this round's first and how many
    int64_t span, n_spans;             // columns of a span
    const char *w_t, *w;               // panels of w^T and of w, packed by the executor or in
    char *own_w_t, *own_w, *x_panels;  // the workspace
    fli_ce h;
    size_t workspace;  // bytes
} head;

/* The next `bytes` of the workspace, or of nothing when only its size is asked for. */
static void *take(head *t, size_t bytes) {
    void *p = past(t->call->workspace, t->workspace);
    t->workspace += (size_t)round_up((int64_t)bytes, FLI_LINE);
    return p;
}

static void cut(head *t) {
    const int64_t row_bytes = round_up(t->v, FLI_CE_PAD) * (int64_t)fl_dtype_bytes(t->e->dtype);
    const int64_t most = t->grad ? imax(E_BYTES / row_bytes, FLI_CE_PAD) : t->n;
    t->group = imin(round_up(ceil_div(t->n, ceil_div(t->n, most)), FLI_CE_PAD), t->n);
    t->r0 = t->call->round * t->group;
    t->rows = imin(t->group, t->n - t->r0);
    t->span = round_up(ceil_div(t->v, SPANS), FLI_CE_TILE);
    t->n_spans = ceil_div(t->v, t->span);
}

static void lay_out(head *t) {
    const char *packed = t->call->packed;
    const size_t bytes_w_t = fli_panels_bytes(t->e, t->c, t->v),
                 bytes_w = fli_panels_bytes(t->e, t->v, t->c);
    if (!packed) t->own_w_t = take(t, bytes_w_t);
    if (!packed && t->grad) t->own_w = take(t, bytes_w);
    t->w_t = packed ? packed : t->own_w_t;
    t->w = packed ? past(packed, bytes_w_t) : t->own_w;
    t->h.max = take(t, (size_t)(t->group * t->h.n_tiles) * sizeof(float));
    t->h.sum = take(t, (size_t)(t->group * t->h.n_tiles) * sizeof(float));
    t->h.at_target = take(t, (size_t)t->group * sizeof(float));
    if (!t->grad) return;
    t->x_panels = take(t, fli_panels_bytes(t->e, t->group, t->c));
    t->h.lde = round_up(t->v, FLI_CE_PAD) + FLI_CE_PAD;  // not a power of two
    t->h.e = take(t, (size_t)(t->group * t->h.lde) * fl_dtype_bytes(t->h.e_dtype));
}

static head open_head(const fli_gemm_row *row, const fl_call *c, bool grad) {
    const fli_engine *e = fli_engine_of(row, c);
    head t = {.call = c, .e = e, .ops = row->ce, .grad = grad};
    t.n = fl_tensor_rows(&c->in[0]);
    t.c = fl_tensor_cols(&c->in[0]);
    t.v = c->in[1].dim[0];
    t.h = (fli_ce){.n_v = t.v,
                   .n_tiles = ceil_div(t.v, FLI_CE_TILE),
                   .softcap = c->attr.softcap,
                   .e_dtype = e->dtype};
    cut(&t);
    lay_out(&t);
    t.h.rows = t.rows;
    t.h.target = (const int32_t *)c->in[2].data + t.r0;
    return t;
}

static fli_mat rows_of(const fl_tensor *t, int64_t r0) {
    const int64_t cols = fl_tensor_cols(t);
    return (fli_mat){past(t->data, (size_t)(r0 * cols) * fl_dtype_bytes(t->dtype)), t->dtype, cols,
                     1};
}

static fli_mat transposed(fli_mat m) {
    return (fli_mat){m.data, m.dtype, m.cs, m.rs};
}

static bool wanted(const fl_call *c, int k) {
    return c->out[k].rank > 0;
}

/* ---- prepare: panels of x, then of w^T, then of w ---- */

static int64_t w_t_tasks(const head *t) {
    const fli_mat m = rows_of(&t->call->in[1], 0), m_t = transposed(m);
    return fli_panels_tasks(t->e, &m_t, t->c, t->v);
}

static int64_t w_tasks(const head *t) {
    const fli_mat m = rows_of(&t->call->in[1], 0);
    return w_t_tasks(t) + (t->grad ? fli_panels_tasks(t->e, &m, t->v, t->c) : 0);
}

static int64_t x_tasks(const head *t) {
    const fli_mat x = rows_of(&t->call->in[0], t->r0);
    return t->grad ? fli_panels_tasks(t->e, &x, t->rows, t->c) : 0;
}

static int64_t prepare_tasks(const head *t) {
    const bool w = !t->call->packed && t->call->round == 0;
    return x_tasks(t) + (w ? w_tasks(t) : 0);
}

static void pack_w(const head *t, char *w_t, char *w, int64_t task) {
    const fli_mat m = rows_of(&t->call->in[1], 0), m_t = transposed(m);
    const int64_t n = w_t_tasks(t);
    if (task < n) fli_panels_pack(t->e, w_t, &m_t, t->c, t->v, task, task + 1);
    else fli_panels_pack(t->e, w, &m, t->v, t->c, task - n, task - n + 1);
}

static void prepare(const head *t, int64_t begin, int64_t end) {
    const fli_mat x = rows_of(&t->call->in[0], t->r0);
    const int64_t n_x = x_tasks(t);
    for (int64_t i = begin; i < end; i++) {
        if (i < n_x) fli_panels_pack(t->e, t->x_panels, &x, t->rows, t->c, i, i + 1);
        else pack_w(t, t->own_w_t, t->own_w, i - n_x);
    }
}

/* ---- logits: tiles run down the rows, which share the panels of w ---- */

/* Rows of a tile: whole blocks of the engine. */
static int64_t tile_rows(const head *t) {
    return ROWS / t->e->mr * t->e->mr;
}

static int64_t row_tiles(const head *t) {
    return ceil_div(t->rows, tile_rows(t));
}

static fli_gemm logits_of(const head *t, int64_t r0, int64_t v0, float *z) {
    const size_t skipped = (size_t)(v0 / t->e->nr) * fli_panel_bytes(t->e, t->c);
    return (fli_gemm){.m = imin(tile_rows(t), t->rows - r0),
                      .n = imin(FLI_CE_TILE, t->v - v0),
                      .k = t->c,
                      .a = rows_of(&t->call->in[0], t->r0 + r0),
                      .panels = past(t->w_t, skipped),
                      .alpha = 1.0f,
                      .c = z,
                      .c_dtype = FL_F32,
                      .ldc = FLI_CE_TILE,
                      .mc = ROWS,
                      .nc = FLI_CE_TILE};
}

static void logits(const head *t, int64_t begin, int64_t end, void *scratch) {
    float *z = scratch;
    void *rest = z + ROWS * FLI_CE_TILE;
    if (t->e->begin) t->e->begin();
    for (int64_t i = begin; i < end; i++) {
        const int64_t r0 = i % row_tiles(t) * tile_rows(t), tile = i / row_tiles(t);
        const fli_gemm g = logits_of(t, r0, tile * FLI_CE_TILE, z);
        fli_gemm_one(t->e, &g, 0, g.m, 0, g.n, rest);
        t->ops->tile(&t->h, z, r0, g.m, tile);
    }
    if (t->e->end) t->e->end();
}

/* ---- spans ---- */

/* dz is the larger operand by far: tiles as wide as dx read it once. */
static fli_gemm dx_of(const head *t) {
    const fl_tensor *dx = &t->call->out[0];
    fli_gemm g = {.m = t->rows,
                  .n = t->c,
                  .k = round_up(t->v, t->e->kr),
                  .a = {t->h.e, t->e->dtype, t->h.lde, 1},
                  .panels = t->w,
                  .c = past(dx->data, (size_t)(t->r0 * t->c) * fl_dtype_bytes(dx->dtype)),
                  .c_dtype = dx->dtype,
                  .ldc = t->c,
                  .alpha = 1.0f,
                  .nc = 4 * t->e->nc};
    fli_gemm_tile(t->e, &g);
    return g;
}

static fli_gemm dw_of(const head *t, int64_t v0, int64_t v1) {
    const size_t es = fl_dtype_bytes(t->e->dtype);
    fli_gemm g = {.m = v1 - v0,
                  .n = t->c,
                  .k = t->rows,
                  .c_dtype = FL_F32,
                  .ldc = t->c,
                  .alpha = 1.0f,
                  .panels = t->x_panels,
                  .accumulate = t->call->attr.accumulate || t->call->round > 0};
    g.a = (fli_mat){past(t->h.e, (size_t)v0 * es), t->e->dtype, 1, t->h.lde};
    g.c = past(t->call->out[1].data, (size_t)(v0 * t->c) * sizeof(float));
    g.mc = round_up(imin(t->e->mc, v1 - v0), t->e->mr);
    g.nc = round_up(t->c, t->e->nr);
    return g;
}

/* e -> dz for one span; the first span also writes the losses. */
static void span_gradient(const head *t, int64_t v0, int64_t v1) {
    const float *g = t->call->in[3].data;
    for (int64_t r = 0; r < t->rows; r++) {
        const bool counts = t->h.target[r] >= 0;
        const float lse = t->ops->lse(&t->h, r);
        t->ops->gradient(&t->h, r, v0, v1, lse, counts ? g[t->r0 + r] : 0.0f);
        if (v0 == 0 && wanted(t->call, 2)) {
            ((float *)t->call->out[2].data)[t->r0 + r] = counts ? lse - t->h.at_target[r] : 0.0f;
        }
    }
}

static void spans(const head *t, int64_t begin, int64_t end, void *scratch) {
    for (int64_t i = begin; i < end; i++) {
        const int64_t v0 = i * t->span, v1 = imin(v0 + t->span, t->v);
        span_gradient(t, v0, v1);
        const fli_gemm dw = dw_of(t, v0, v1);
        if (wanted(t->call, 1)) fli_gemm_run(t->e, &dw, 0, fli_gemm_tiles(&dw), scratch);
    }
}

static void input_gradient(const head *t, int64_t begin, int64_t end, void *scratch) {
    const fli_gemm dx = dx_of(t);
    fli_gemm_run(t->e, &dx, begin, end, scratch);
}

static void losses(const head *t, int64_t begin, int64_t end) {
    float *nll = t->call->out[0].data;
    for (int64_t r = begin * LOSSES; r < imin(end * LOSSES, t->rows); r++) {
        nll[r] = t->h.target[r] < 0 ? 0.0f : t->ops->lse(&t->h, r) - t->h.at_target[r];
    }
}

/* ---- kernels ---- */

static bool is_real(const fl_tensor *t) {
    return (t->dtype == FL_F32 || t->dtype == FL_BF16) && fl_tensor_contiguous(t);
}

static bool supports(const fl_call *c) {
    for (int i = 0; i < c->n_in; i++) {
        if (i == 2 ? c->in[i].dtype != FL_I32 : !is_real(&c->in[i])) return false;
        if (i == 3 && c->in[i].dtype != FL_F32) return false;
    }
    for (int i = 0; i < c->n_out; i++) {
        if (c->out[i].rank && !is_real(&c->out[i])) return false;
    }
    return c->in[1].dim[0] > 0;
}

static size_t scratch_of(const fli_gemm_row *row, const fl_call *c, bool grad) {
    const head t = open_head(row, c, grad);
    const fli_gemm z = logits_of(&t, 0, 0, NULL);
    const size_t tile = (size_t)(ROWS * FLI_CE_TILE) * sizeof(float) + fli_gemm_scratch(t.e, &z);
    if (!grad) return tile;
    const fli_gemm dx = dx_of(&t), dw = dw_of(&t, 0, imin(t.span, t.v));
    const size_t a = fli_gemm_scratch(t.e, &dx), b = fli_gemm_scratch(t.e, &dw);
    return tile > a && tile > b ? tile : a > b ? a : b;
}

static int64_t rounds_of(const fli_gemm_row *row, const fl_call *c) {
    const head t = open_head(row, c, true);
    return ceil_div(t.n, t.group);
}

static int64_t tasks_of(const fli_gemm_row *row, const fl_call *c, bool grad, int phase) {
    const head t = open_head(row, c, grad);
    switch (phase) {
    case 0: return prepare_tasks(&t);
    case 1: return row_tiles(&t) * t.h.n_tiles;
    case 2: return grad ? t.n_spans : ceil_div(t.rows, LOSSES);
    default: break;
    }
    if (!wanted(c, 0)) return 0;
    const fli_gemm dx = dx_of(&t);
    return fli_gemm_tiles(&dx);
}

static void run(const fli_gemm_row *row, const fl_call *c, bool grad, int phase, int64_t begin,
                int64_t end, void *scratch) {
    const head t = open_head(row, c, grad);
    switch (phase) {
    case 0: prepare(&t, begin, end); break;
    case 1: logits(&t, begin, end, scratch); break;
    case 2: grad ? spans(&t, begin, end, scratch) : losses(&t, begin, end); break;
    default: input_gradient(&t, begin, end, scratch); break;
    }
}

static size_t workspace_of(const fli_gemm_row *row, const fl_call *c, bool grad) {
    fl_call only_shapes = *c;
    only_shapes.workspace = NULL;
    return open_head(row, &only_shapes, grad).workspace;
}

/* What the gradient wants ahead: panels of w^T, then of w. The loss alone shares those of linear.
 */
static int64_t pack_tasks_of(const fli_gemm_row *row, const fl_call *c, bool grad) {
    const head t = open_head(row, c, grad);
    return w_tasks(&t);
}

static size_t pack_bytes_of(const fli_gemm_row *row, const fl_call *c, bool grad) {
    const head t = open_head(row, c, grad);
    return fli_panels_bytes(t.e, t.c, t.v) + (grad ? fli_panels_bytes(t.e, t.v, t.c) : 0);
}

static void pack_of(const fli_gemm_row *row, const fl_call *c, bool grad, char *dst, int64_t begin,
                    int64_t end) {
    const head t = open_head(row, c, grad);
    char *w = dst + fli_panels_bytes(t.e, t.c, t.v);
    for (int64_t i = begin; i < end; i++) pack_w(&t, dst, w, i);
}

#define PHASE(name, row, grad, i)                                                              \
    static int64_t name##_tasks##i##_##row(const fl_call *c) {                                 \
        return tasks_of(&fli_gemm_##row, c, grad, i);                                          \
    }                                                                                          \
    static void name##_run##i##_##row(const fl_call *c, int64_t begin, int64_t end, void *s) { \
        run(&fli_gemm_##row, c, grad, i, begin, end, s);                                       \
    }

#define BIND(name, row, grad, id)                                                            \
    PHASE(name, row, grad, 0)                                                                \
    PHASE(name, row, grad, 1)                                                                \
    PHASE(name, row, grad, 2)                                                                \
    static size_t name##_scratch_##row(const fl_call *c) {                                   \
        return scratch_of(&fli_gemm_##row, c, grad);                                         \
    }                                                                                        \
    static size_t name##_workspace_##row(const fl_call *c) {                                 \
        return workspace_of(&fli_gemm_##row, c, grad);                                       \
    }                                                                                        \
    static const char *name##_pack_id_##row(const fl_call *c) {                              \
        return fli_engine_of(&fli_gemm_##row, c)->layout[id];                                \
    }                                                                                        \
    static int64_t name##_pack_tasks_##row(const fl_call *c) {                               \
        return pack_tasks_of(&fli_gemm_##row, c, grad);                                      \
    }                                                                                        \
    static size_t name##_pack_bytes_##row(const fl_call *c) {                                \
        return pack_bytes_of(&fli_gemm_##row, c, grad);                                      \
    }                                                                                        \
    static void name##_pack_##row(const fl_call *c, void *dst, int64_t begin, int64_t end) { \
        pack_of(&fli_gemm_##row, c, grad, dst, begin, end);                                  \
    }

#define FIELDS(name, row)                                                                       \
    .supports = supports, .scratch = name##_scratch_##row, .workspace = name##_workspace_##row, \
    .pack_id = name##_pack_id_##row, .pack_tasks = name##_pack_tasks_##row,                     \
    .pack_bytes = name##_pack_bytes_##row, .pack = name##_pack_##row

#define STEP(name, row, i) \
    { name##_tasks##i##_##row, name##_run##i##_##row }

#define ROW(row)                                                                                   \
    BIND(loss, row, false, FLI_OF_W_TRANSPOSED)                                                    \
    BIND(grad, row, true, FLI_OF_BOTH)                                                             \
    PHASE(grad, row, true, 3)                                                                      \
    static int64_t rounds_##row(const fl_call *c) {                                                \
        return rounds_of(&fli_gemm_##row, c);                                                      \
    }                                                                                              \
    const fl_kernel fl_kernel_linear_ce_##row = {.phase = {STEP(loss, row, 0), STEP(loss, row, 1), \
                                                           STEP(loss, row, 2)},                    \
                                                 FIELDS(loss, row)};                               \
    const fl_kernel fl_kernel_linear_ce_grad_##row = {.phase = {STEP(grad, row, 0),                \
                                                                STEP(grad, row, 1),                \
                                                                STEP(grad, row, 2),                \
                                                                STEP(grad, row, 3)},               \
                                                      .rounds = rounds_##row,                      \
                                                      FIELDS(grad, row)};

ROW(portable)
#if defined(__x86_64__)
ROW(avx2)
ROW(avx512)
ROW(amx)
#endif
