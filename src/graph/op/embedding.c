/* embedding - rows of w (V, C) picked by ids, and the sum of gradients back into those rows. */
#include "graph/rule.h"

static fl_status embedding_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 1, 1u << 1, "embedding", err);
    const fl_tensor *ids = &c->in[0], *w = &c->in[1];
    FLI_WANT(w->rank == 2, c, "embedding", "w must be (V, C)", err);
    FLI_WANT(ids->rank < FL_MAX_RANK, c, "embedding", "ids have too many dims", err);
    FLI_WANT(fli_is_float(c->attr.dtype), c, "embedding", "the result must be a float format", err);
    int64_t dim[FL_MAX_RANK];
    for (int i = 0; i < ids->rank; i++) dim[i] = ids->dim[i];
    dim[ids->rank] = w->dim[1];
    fli_out(c, 0, c->attr.dtype, ids->rank + 1, dim);
    return FL_OK;
}

static fl_status embedding_values(const fl_call *c, fl_err *err) {
    return fli_check_range(c, 0, 0, c->in[1].dim[0], "embedding", err);
}

static void embedding_grad(fl_grad *d) {
    const fl_val in[] = {d->in[0], d->dout[0], d->in[1]};
    if (d->want[1]) d->din[1] = fl_apply(d->g, FL_OP_EMBEDDING_GRAD, &(fl_attr){0}, 3, in);
}

static bool float_sample(int i, fl_sample *s) {
    static const int64_t rows[] = {1, 5, 40, 9}, vocab[] = {1, 11, 300, 6},
                         cols[] = {3, 17, 64, 150};
    if (i >= FLI_COUNT(rows)) return false;
    *s = (fl_sample){.call = {.n_in = 2,
                              .in = {FLI_T(FL_I32, 2, rows[i]), FLI_T(FL_F32, vocab[i], cols[i])}},
                     .int_below = {vocab[i]}};
    return true;
}

/* After them, w in each block format. */
static bool embedding_sample(int i, fl_sample *s) {
    int n = 0;
    if (float_sample(i, s)) return true;
    while (float_sample(n, s)) n++;
    const int format = i - n + FL_BLOCK_DTYPE_FIRST;
    if (format >= FL_DTYPE_COUNT) return false;
    *s = (fl_sample){.call = {.n_in = 2,
                              .in = {FLI_T(FL_I32, 2, 3), FLI_T((fl_dtype)format, 7, 512)}},
                     .int_below = {7}};
    return true;
}

static fl_cost embedding_cost(const fl_call *c) {
    return (fl_cost){
        .bytes = (double)(2 * fl_tensor_bytes(&c->out[0]) + fl_tensor_bytes(&c->in[0]))};
}

const fl_op fl_op_embedding = {
    .name = "embedding",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape = embedding_shape,
    .values = embedding_values,
    .grad = embedding_grad,
    .sample = embedding_sample,
    .cost = embedding_cost,
    .mix = {{0, true}, {2, true}, {2, false}},
};

static fl_status embedding_grad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 1, "embedding_grad", err);
    const fl_tensor *ids = &c->in[0], *dy = &c->in[1], *w = &c->in[2];
    FLI_WANT(w->rank == 2 && fl_tensor_cols(dy) == w->dim[1], c, "embedding_grad",
             "dy must have the columns of w", err);
    FLI_WANT(fl_tensor_rows(dy) == fl_tensor_count(ids), c, "embedding_grad",
             "dy must have one row an id", err);
    fli_out_like(c, 0, w, fli_wide(dy->dtype));
    return FL_OK;
}

static fl_status embedding_grad_values(const fl_call *c, fl_err *err) {
    return fli_check_range(c, 0, 0, c->in[2].dim[0], "embedding_grad", err);
}

static bool embedding_grad_sample(int i, fl_sample *s) {
    if (!float_sample(i, s)) return false;
    const fl_tensor w = s->call.in[1];
    s->call.n_in = 3;
    s->call.in[2] = w;
    s->call.in[1] = FLI_T(FL_F32, 2, s->call.in[0].dim[1], w.dim[1]);
    return true;
}

const fl_op fl_op_embedding_grad = {
    .name = "embedding_grad",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape = embedding_grad_shape,
    .values = embedding_grad_values,
    .sample = embedding_grad_sample,
    .accumulates = {true},
    .mix = {{2, false}, {6, false}},
    .tolerance_ppm = 5,
    .tolerance_bf16_ppm = 5,
};
