/* expert_linear - rows multiplied by the weight of the expert they were sent to, and both
 * gradients.
 *
 *   expert_linear     y (.., k, N)  = x w[id]^T + bias[id]
 *   expert_linear_dx  dx (.., k, K) = dy w[id]
 *   expert_linear_dw  dw[e] (N, K)  = dy^T x, summed over the slots whose id is e
 *
 * Without ids, slot j of a row belongs to expert j: a weight for each head. With w in blocks
 * expert_linear takes x in 8 bits, as linear does. */
#include "graph/rule.h"

enum { X, W, IDS, BIAS };

/* One row a slot, or one for all choices of a row. */
static bool feeds(const fl_tensor *x, const fl_tensor *ids) {
    const int64_t rows = fl_tensor_rows(x);
    return rows == fl_tensor_count(ids) || rows == fl_tensor_rows(ids);
}

/* The dims before the last of a tensor with a row for each slot. */
static fl_tensor slots_of(const fl_call *c) {
    if (fli_present(c, IDS)) return c->in[IDS];
    return fl_tensor_of(NULL, FL_I32, c->in[X].rank - 1, c->in[X].dim);
}

static void with_cols(fl_call *c, int64_t cols) {
    const fl_tensor slots = slots_of(c);
    int64_t dim[FL_MAX_RANK];
    for (int i = 0; i < slots.rank; i++) dim[i] = slots.dim[i];
    dim[slots.rank] = cols;
    fli_out(c, 0, c->attr.dtype, slots.rank + 1, dim);
}

static fl_status check_operands(fl_call *c, int along, const char *op, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 1u << IDS, 1u << W, op, err);
    const fl_tensor *x = &c->in[X], *w = &c->in[W], *ids = &c->in[IDS];
    FLI_WANT(w->rank == 3 && w->dim[along] == fl_tensor_cols(x), c, op,
             along == 2 ? "w must be (E, N, K), K the columns of x"
                        : "w must be (E, N, K), N the columns of dy",
             err);
    FLI_WANT(ids->rank < FL_MAX_RANK, c, op, "ids have too many dims", err);
    FLI_WANT(fli_present(c, IDS) || (x->rank >= 2 && x->dim[x->rank - 2] == w->dim[0]), c, op,
             "without ids x must be (.., E, K)", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, op, "the result must be a float format", err);
    return FL_OK;
}

static fl_status expert_linear_shape(fl_call *c, fl_err *err) {
    FL_TRY(check_operands(c, 2, "expert_linear", err));
    const fl_tensor *w = &c->in[W], *bias = &c->in[BIAS];
    FLI_WANT(!fli_present(c, IDS) || feeds(&c->in[X], &c->in[IDS]), c, "expert_linear",
             "x must have a row for each of ids, or for each of its rows", err);
    FLI_WANT(!fli_present(c, BIAS) || (fli_present(c, IDS) && bias->rank == 2 &&
                                       bias->dim[0] == w->dim[0] && bias->dim[1] == w->dim[1]),
             c, "expert_linear", "bias must be (E, N), and needs ids", err);
    with_cols(c, w->dim[1]);
    return FL_OK;
}

static fl_status ids_of_experts(const fl_call *c, fl_err *err) {
    if (!fli_present(c, IDS)) return FL_OK;
    return fli_check_range(c, IDS, 0, c->in[W].dim[0], "expert_linear", err);
}

/* The gradient of x from that of its slots. */
static fl_val over_choices(fl_grad *d, fl_val dx) {
    const fl_tensor *x = &fl_value_get(d->g, d->in[X])->t, *slots = &fl_value_get(d->g, dx)->t;
    if (fl_tensor_rows(x) != fl_tensor_rows(slots)) dx = fl_combine(d->g, dx, FL_NONE, x->dtype);
    return fl_reshape(d->g, dx, x->rank, x->dim);
}

static void expert_linear_grad(fl_grad *d) {
    const fl_val dy = d->dout[0], x = d->in[X], w = d->in[W], ids = d->in[IDS];
    if (d->want[X]) {
        const fl_attr attr = {.dtype = fl_value_get(d->g, x)->t.dtype};
        d->din[X] = over_choices(d, fl_apply(d->g, FL_OP_EXPERT_LINEAR_DX, &attr, 3,
                                             (fl_val[]){dy, w, ids}));
    }
    if (d->want[W]) {
        d->din[W] = fl_apply(d->g, FL_OP_EXPERT_LINEAR_DW, &(fl_attr){0}, 4,
                             (fl_val[]){dy, x, ids, w});
    }
    if (d->n_in > BIAS && d->want[BIAS]) {  // rows of the bias were picked as an embedding's are
        d->din[BIAS] = fl_apply(d->g, FL_OP_EMBEDDING_GRAD, &(fl_attr){0}, 3,
                                (fl_val[]){ids, dy, d->in[BIAS]});
    }
}

/* A row of x for all choices, one for each, or one for each expert, without ids. */
typedef enum { SHARED, OWN, BY_HEAD } feeding;

/* Experts without a row, with one, with several tiles; K in several slabs. */
static const struct {
    int64_t rows, k, experts, n, width;
    feeding x;
} cases[] = {
    {1, 1, 1, 1, 1, SHARED},     {1, 2, 4, 5, 7, SHARED},     {3, 2, 3, 18, 33, OWN},
    {2, 4, 60, 16, 32, SHARED},  {40, 2, 4, 48, 32, SHARED},  {33, 3, 5, 65, 130, OWN},
    {9, 2, 2, 40, 1700, SHARED}, {400, 2, 3, 70, 36, SHARED}, {5, 8, 16, 130, 64, OWN},
    {6, 1, 1, 9, 17, BY_HEAD},   {7, 4, 4, 24, 40, BY_HEAD},  {30, 3, 3, 65, 33, BY_HEAD},
    {60, 2, 3, 1, 40, SHARED},   {25, 1, 2, 1, 700, OWN},
};

/* After them, w in each block format and in f16. */
static bool block_sample(int i, fl_sample *s) {
    const int format = i + FL_BLOCK_DTYPE_FIRST;
    if (format > FL_DTYPE_COUNT) return false;
    const fl_dtype dtype = format == FL_DTYPE_COUNT ? FL_F16 : (fl_dtype)format;
    *s = (fl_sample){.call = {.n_in = i % 3 == BY_HEAD || i % 2 ? 3 : 4,
                              .in = {i % 3 == SHARED ? FLI_T(FL_F32, 11, 512)
                                                     : FLI_T(FL_F32, 11, 3, 512),
                                     FLI_T(dtype, 3, 33, 512), FLI_T(FL_I32, 11, 3),
                                     FLI_T(FL_F32, 3, 33)}},
                     .int_below = {[IDS] = 3}};
    if (i % 3 == BY_HEAD) s->call.in[IDS] = (fl_tensor){0};
    return true;
}

static bool expert_linear_sample(int i, fl_sample *s) {
    if (i >= FLI_COUNT(cases)) return block_sample(i - FLI_COUNT(cases), s);
    const int64_t r = cases[i].rows, k = cases[i].k, E = cases[i].experts, n = cases[i].n,
                  width = cases[i].width;
    *s = (fl_sample){.call = {.n_in = i % 2 && cases[i].x != BY_HEAD ? 4 : 3,
                              .in = {cases[i].x == SHARED ? FLI_T(FL_F32, r, width)
                                                          : FLI_T(FL_F32, r, k, width),
                                     FLI_T(FL_F32, E, n, width), FLI_T(FL_I32, r, k),
                                     FLI_T(FL_F32, E, n)}},
                     .int_below = {[IDS] = E}};
    if (cases[i].x == BY_HEAD) s->call.in[IDS] = (fl_tensor){0};
    return true;
}

static fl_cost product_cost(const fl_call *c) {  // only the weights of chosen experts are read
    const fl_tensor *w = &c->in[W];
    const double slots = (double)fl_tensor_rows(&c->out[0]), E = (double)w->dim[0],
                 one = (double)(w->dim[1] * w->dim[2]), read = slots < E ? slots / E : 1;
    return (fl_cost){2 * slots * one, fli_call_bytes(c) - (1 - read) * (double)fl_tensor_bytes(w)};
}

const fl_op fl_op_expert_linear = {
    .name = "expert_linear",
    .min_in = 2,
    .max_in = 4,
    .n_out = 1,
    .shape = expert_linear_shape,
    .values = ids_of_experts,
    .grad = expert_linear_grad,
    .sample = expert_linear_sample,
    .cost = product_cost,
    .mix = {{1, true}, {1, false}, {3, true}, {2, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 8000,
};

static fl_status expert_linear_dx_shape(fl_call *c, fl_err *err) {
    FL_TRY(check_operands(c, 1, "expert_linear_dx", err));
    FLI_WANT(!fli_present(c, IDS) || fl_tensor_rows(&c->in[X]) == fl_tensor_count(&c->in[IDS]), c,
             "expert_linear_dx", "dy must have a row for each of ids", err);
    with_cols(c, c->in[W].dim[2]);
    return FL_OK;
}

static bool expert_linear_dx_sample(int i, fl_sample *s) {
    if (!expert_linear_sample(i, s)) return false;
    const fl_tensor *w = &s->call.in[W];
    s->call.n_in = 3;
    s->call.in[X] = i < FLI_COUNT(cases) ? FLI_T(FL_F32, cases[i].rows, cases[i].k, w->dim[1])
                                         : FLI_T(FL_F32, 11, 3, w->dim[1]);
    return true;
}

/* A product of its own where heads are multiplied from the other side. */
static void expert_linear_dx_grad(fl_grad *d) {
    const fl_val g = d->dout[0], x = d->in[X], w = d->in[W], ids = d->in[IDS];
    if (d->want[X])
        d->din[X] = fl_expert_linear(d->g, g, w, ids, FL_NONE, fl_value_get(d->g, x)->t.dtype);
    if (d->want[W]) {
        d->din[W] = fl_apply(d->g, FL_OP_EXPERT_LINEAR_DW, &(fl_attr){0}, 4,
                             (fl_val[]){x, g, ids, w});
    }
}

const fl_op fl_op_expert_linear_dx = {
    .name = "expert_linear_dx",
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .shape = expert_linear_dx_shape,
    .values = ids_of_experts,
    .grad = expert_linear_dx_grad,
    .sample = expert_linear_dx_sample,
    .cost = product_cost,
    .mix = {{1, true}, {1, false}, {3, true}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 8000,
};

enum { DW_DY, DW_X, DW_IDS, DW_W };

static fl_status expert_linear_dw_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 1u << DW_IDS, "expert_linear_dw", err);
    const fl_tensor *dy = &c->in[DW_DY], *x = &c->in[DW_X], *ids = &c->in[DW_IDS],
                    *w = &c->in[DW_W];
    FLI_WANT(fli_present(c, DW_W) && w->rank == 3 && w->dim[1] == fl_tensor_cols(dy) &&
                 w->dim[2] == fl_tensor_cols(x),
             c, "expert_linear_dw", "w must be (E, N, K), N the columns of dy and K those of x",
             err);
    const bool by_head = !fli_present(c, DW_IDS) && dy->rank >= 2 &&
                         dy->dim[dy->rank - 2] == w->dim[0] &&
                         fl_tensor_rows(dy) == fl_tensor_rows(x);
    FLI_WANT(by_head || (fl_tensor_rows(dy) == fl_tensor_count(ids) && feeds(x, ids)), c,
             "expert_linear_dw",
             "dy must have a row for each of ids, x as well or one for each of its rows", err);
    fli_out_like(c, 0, w, fli_wide(x->dtype));
    return FL_OK;
}

static fl_status dw_ids_of_experts(const fl_call *c, fl_err *err) {
    if (!fli_present(c, DW_IDS)) return FL_OK;
    return fli_check_range(c, DW_IDS, 0, c->in[DW_W].dim[0], "expert_linear_dw", err);
}

static bool expert_linear_dw_sample(int i, fl_sample *s) {
    if (i >= FLI_COUNT(cases) || !expert_linear_sample(i, s)) return false;
    fl_call *c = &s->call;
    const fl_tensor x = c->in[X], w = c->in[W], ids = c->in[IDS];
    *s = (fl_sample){.call = {.n_in = 4,
                              .in = {FLI_T(FL_F32, cases[i].rows, cases[i].k, cases[i].n), x, ids,
                                     w}},
                     .int_below = {[DW_IDS] = cases[i].experts}};
    return true;
}

static fl_cost expert_linear_dw_cost(const fl_call *c) {
    const fl_tensor *w = &c->in[DW_W];
    const double slots = (double)fl_tensor_rows(&c->in[DW_DY]);
    return (fl_cost){2 * slots * (double)(w->dim[1] * w->dim[2]),
                     fli_call_bytes(c) - (double)fl_tensor_bytes(w)};
}

const fl_op fl_op_expert_linear_dw = {
    .name = "expert_linear_dw",
    .min_in = 2,
    .max_in = 4,
    .n_out = 1,
    .shape = expert_linear_dw_shape,
    .values = dw_ids_of_experts,
    .sample = expert_linear_dw_sample,
    .cost = expert_linear_dw_cost,
    .accumulates = {true},
    .mix = {{3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 30,  // bf16 operands, but f32 sums and an f32 result
};
