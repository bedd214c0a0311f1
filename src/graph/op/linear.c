/* linear - products with a weight w (N, K), and matmul of two plain matrices.
 *
 *   linear     y (.., N) = x (.., K) w^T + bias
 *   linear_dx  dx (.., K) = dy (.., N) w
 *   linear_dw  dw (N, K)  = dy^T x, summed over all rows
 *
 * w may be in a block format or f16. Its numbers then count as they are stored: they are not
 * rounded to the format of x, as those of a float weight are. With w in blocks linear takes x in 8
 * bits (fl_quantize_x), so that it is a product of integers, on every backend alike. */
#include "graph/rule.h"

static fl_status with_cols(fl_call *c, const fl_tensor *x, int64_t cols) {
    int64_t dim[FL_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = cols;
    fli_out(c, 0, c->attr.dtype, x->rank, dim);
    return FL_OK;
}

static fl_status linear_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 0, 1u << 1, "linear", err);
    const fl_tensor *x = &c->in[0], *w = &c->in[1];
    FLI_WANT(w->rank == 2 && w->dim[1] == fl_tensor_cols(x), c, "linear",
             "w must be (N, K), K the columns of x", err);
    FLI_WANT(!fli_present(c, 2) || (c->in[2].rank == 1 && c->in[2].dim[0] == w->dim[0]), c,
             "linear", "bias must be (N)", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, "linear", "the result must be a float format", err);
    return with_cols(c, x, w->dim[0]);
}

static void linear_grad(fl_grad *d) {
    const fl_val dy = d->dout[0], x = d->in[0], w = d->in[1];
    if (d->want[0]) {
        const fl_attr attr = {.dtype = fl_value_get(d->g, x)->t.dtype};
        d->din[0] = fl_apply(d->g, FL_OP_LINEAR_DX, &attr, 2, (fl_val[]){dy, w});
    }
    if (d->want[1]) {
        d->din[1] = fl_apply(d->g, FL_OP_LINEAR_DW, &(fl_attr){0}, 2, (fl_val[]){dy, x});
    }
    if (d->n_in > 2 && d->want[2]) {
        const fl_tensor *b = &fl_value_get(d->g, d->in[2])->t;
        d->din[2] = fl_sum_to(d->g, dy, b->rank, b->dim);
    }
}

/* M, N, K around tile and vector sizes, one row included. */
static const int64_t product[][3] = {
    {1, 1, 1},     {1, 5, 7},    {3, 2, 33},    {17, 18, 19},  {64, 48, 32},   {1, 96, 128},
    {33, 65, 130}, {8, 130, 64}, {130, 67, 96}, {5, 40, 1700}, {20, 300, 800}, {900, 20, 33},
};

/* After them, w (n, k) in each block format and in f16: one row, and more than a tile of
 * everything. */
static bool block_sample(int i, int64_t m_n_k[3], fl_dtype *dtype) {
    static const int64_t sizes[][3] = {{1, 5, 256}, {19, 33, 768}};
    const int format = i / FLI_COUNT(sizes) + FL_BLOCK_DTYPE_FIRST;
    if (format > FL_DTYPE_COUNT) return false;
    for (int d = 0; d < 3; d++) m_n_k[d] = sizes[i % FLI_COUNT(sizes)][d];
    *dtype = format == FL_DTYPE_COUNT ? FL_F16 : (fl_dtype)format;
    return true;
}

static bool linear_sample(int i, fl_sample *s) {
    int64_t size[3];
    fl_dtype format;
    if (i >= FLI_COUNT(product)) {
        if (!block_sample(i - FLI_COUNT(product), size, &format)) return false;
        *s = (fl_sample){.call = {.n_in = i % 2 ? 3 : 2,
                                  .in = {FLI_T(FL_F32, size[0], size[2]),
                                         FLI_T(format, size[1], size[2]), FLI_T(FL_F32, size[1])}}};
        return true;
    }
    const int64_t m = product[i][0], n = product[i][1], k = product[i][2];
    *s = (fl_sample){.call = {.n_in = i % 2 ? 3 : 2,
                              .in = {FLI_T(FL_F32, m, k), FLI_T(FL_F32, n, k), FLI_T(FL_F32, n)}}};
    return true;
}

static fl_cost product_cost(const fl_call *c) {  // each output row takes one pass over w
    const double rows = (double)fl_tensor_rows(&c->in[0]);
    return (fl_cost){2 * rows * (double)fl_tensor_count(&c->in[1]), fli_call_bytes(c)};
}

const fl_op fl_op_linear = {
    .name = "linear",
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .shape = linear_shape,
    .grad = linear_grad,
    .sample = linear_sample,
    .cost = product_cost,
    .mix = {{1, true}, {1, false}, {3, true}, {2, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 8000,
};

static fl_status linear_dx_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 0, 1u << 1, "linear_dx", err);
    const fl_tensor *dy = &c->in[0], *w = &c->in[1];
    FLI_WANT(w->rank == 2 && w->dim[0] == fl_tensor_cols(dy), c, "linear_dx",
             "w must be (N, K), N the columns of dy", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, "linear_dx", "the result must be a float format", err);
    return with_cols(c, dy, w->dim[1]);
}

static bool linear_dx_sample(int i, fl_sample *s) {
    int64_t size[3];
    fl_dtype format;
    if (i >= FLI_COUNT(product)) {
        if (!block_sample(i - FLI_COUNT(product), size, &format)) return false;
        *s = (fl_sample){
            .call = {.n_in = 2,
                     .in = {FLI_T(FL_F32, size[0], size[1]), FLI_T(format, size[1], size[2])}}};
        return true;
    }
    const int64_t m = product[i][0], n = product[i][1], k = product[i][2];
    *s = (fl_sample){.call = {.n_in = 2, .in = {FLI_T(FL_F32, m, n), FLI_T(FL_F32, n, k)}}};
    return true;
}

const fl_op fl_op_linear_dx = {
    .name = "linear_dx",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = linear_dx_shape,
    .sample = linear_dx_sample,
    .cost = product_cost,
    .mix = {{1, true}, {1, false}, {3, true}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 8000,
};

static fl_status linear_dw_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "linear_dw", err);
    const fl_tensor *dy = &c->in[0], *x = &c->in[1];
    FLI_WANT(fl_tensor_rows(dy) == fl_tensor_rows(x), c, "linear_dw",
             "dy and x must have the same rows", err);
    fli_out(c, 0, fli_wide(x->dtype), 2, (int64_t[]){fl_tensor_cols(dy), fl_tensor_cols(x)});
    return FL_OK;
}

static bool linear_dw_sample(int i, fl_sample *s) {
    if (i >= FLI_COUNT(product)) return false;
    const int64_t m = product[i][0], n = product[i][1], k = product[i][2];
    *s = (fl_sample){.call = {.n_in = 2, .in = {FLI_T(FL_F32, m, n), FLI_T(FL_F32, m, k)}}};
    return true;
}

static fl_cost linear_dw_cost(const fl_call *c) {
    const double n = (double)fl_tensor_cols(&c->in[0]);
    return (fl_cost){2 * n * (double)fl_tensor_count(&c->in[1]), fli_call_bytes(c)};
}

const fl_op fl_op_linear_dw = {
    .name = "linear_dw",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = linear_dw_shape,
    .sample = linear_dw_sample,
    .cost = linear_dw_cost,
    .accumulates = {true},
    .mix = {{3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 30,  // bf16 operands, but f32 sums and an f32 result
};

/* --- matmul --- */

static int64_t stored(const fl_tensor *t, bool trans, int dim) {
    return t->dim[trans ? 1 - dim : dim];
}

static fl_status matmul_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "matmul", err);
    const fl_tensor *a = &c->in[0], *b = &c->in[1];
    const bool ta = c->attr.trans_a, tb = c->attr.trans_b;
    FLI_WANT(a->rank == 2 && b->rank == 2, c, "matmul", "both must be matrices", err);
    FLI_WANT(stored(a, ta, 1) == stored(b, tb, 0), c, "matmul", "inner dims must agree", err);
    fli_out(c, 0, a->dtype, 2, (int64_t[]){stored(a, ta, 0), stored(b, tb, 1)});
    return FL_OK;
}

/* C = alpha op(A) op(B):  d op(A) = alpha dC op(B)^T,  d op(B) = alpha op(A)^T dC; stored
 * transposed when the operand is. */
static void matmul_grad(fl_grad *d) {
    const fl_val a = d->in[0], b = d->in[1], dc = d->dout[0];
    const bool ta = d->attr->trans_a, tb = d->attr->trans_b;
    const float alpha = d->attr->alpha;
    if (d->want[0]) {
        d->din[0] = ta ? fl_matmul(d->g, b, dc, tb, true, alpha)
                       : fl_matmul(d->g, dc, b, false, !tb, alpha);
    }
    if (d->want[1]) {
        d->din[1] = tb ? fl_matmul(d->g, dc, a, true, ta, alpha)
                       : fl_matmul(d->g, a, dc, !ta, false, alpha);
    }
}

static bool matmul_sample(int i, fl_sample *s) {
    if (i >= 4 * FLI_COUNT(product)) return false;
    const int64_t *p = product[i / 4], m = p[0], n = p[1], k = p[2];
    const bool ta = i & 1, tb = i & 2;
    *s = (fl_sample){.call = {.n_in = 2,
                              .in = {ta ? FLI_T(FL_F32, k, m) : FLI_T(FL_F32, m, k),
                                     tb ? FLI_T(FL_F32, n, k) : FLI_T(FL_F32, k, n)},
                              .attr = {.trans_a = ta, .trans_b = tb, .alpha = 0.75f}}};
    return true;
}

static fl_cost matmul_cost(const fl_call *c) {
    const double n = (double)c->out[0].dim[1];
    return (fl_cost){2 * n * (double)fl_tensor_count(&c->in[0]), fli_call_bytes(c)};
}

const fl_op fl_op_matmul = {
    .name = "matmul",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = matmul_shape,
    .grad = matmul_grad,
    .sample = matmul_sample,
    .cost = matmul_cost,
    .mix = {{3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 8000,
};
