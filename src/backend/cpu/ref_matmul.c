/* ref_matmul - products; operands take the format of in[0], sums are in double. See ref.c. */
#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

/* Room for all of in[1], as doubles, and a row of in[0] and of the result. */
size_t fli_ref_product_scratch(const fl_call *c) {
    const int64_t n = fl_tensor_count(&c->in[1]) + fl_tensor_cols(&c->in[0]) +
                      fl_tensor_cols(&c->in[1]);
    return (size_t)n * sizeof(double);
}

static void load(const fl_tensor *t, fl_dtype as, double *out) {
    for (int64_t r = 0, rows = fl_tensor_rows(t); r < rows; r++) {
        fli_ref_row(t, r, as, out + r * fl_tensor_cols(t));
    }
}

void fli_ref_linear(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t rows = fl_tensor_rows(&c->in[0]), n = c->in[1].dim[0], k = c->in[1].dim[1];
    const bool has_bias = c->n_in > 2 && c->in[2].rank;
    double *w = scratch, *x = w + n * k;
    load(&c->in[1], c->in[0].dtype, w);
    for (int64_t r = 0; r < rows; r++) {
        fli_ref_x_row(c, r, x);
        for (int64_t j = 0; j < n; j++) {
            const double bias = has_bias ? fl_tensor_get(&c->in[2], j) : 0;
            fl_tensor_set(&c->out[0], r * n + j, fli_ref_dot(x, w + j * k, k) + bias);
        }
    }
}

void fli_ref_linear_dx(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t rows = fl_tensor_rows(&c->in[0]), n = c->in[1].dim[0], k = c->in[1].dim[1];
    double *w = scratch, *dy = w + n * k, *dx = dy + n;
    load(&c->in[1], c->in[0].dtype, w);
    for (int64_t r = 0; r < rows; r++) {
        fli_ref_row(&c->in[0], r, FL_F64, dy);
        for (int64_t i = 0; i < k; i++) dx[i] = 0;
        for (int64_t j = 0; j < n; j++) {
            for (int64_t i = 0; i < k; i++) dx[i] += dy[j] * w[j * k + i];
        }
        for (int64_t i = 0; i < k; i++) fl_tensor_set(&c->out[0], r * k + i, dx[i]);
    }
}

void fli_ref_linear_dw(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t rows = fl_tensor_rows(&c->in[0]);
    const int64_t n = fl_tensor_cols(&c->in[0]), k = fl_tensor_cols(&c->in[1]);
    double *x = scratch, *dw = x + rows * k;
    load(&c->in[1], c->in[0].dtype, x);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < k; i++) dw[i] = 0;
        for (int64_t r = 0; r < rows; r++) {
            const double dy = fl_tensor_get(&c->in[0], r * n + j);
            for (int64_t i = 0; i < k; i++) dw[i] += dy * x[r * k + i];
        }
        for (int64_t i = 0; i < k; i++) fli_ref_put(c, 0, j * k + i, dw[i], c->attr.accumulate);
    }
}

size_t fli_ref_matmul_scratch(const fl_call *c) {
    return (size_t)(fl_tensor_count(&c->in[0]) + fl_tensor_count(&c->in[1])) * sizeof(double);
}

void fli_ref_matmul(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const bool ta = c->attr.trans_a, tb = c->attr.trans_b;
    const int64_t m = c->out[0].dim[0], n = c->out[0].dim[1], k = c->in[0].dim[ta ? 0 : 1];
    double *a = scratch, *b = a + m * k;
    load(&c->in[0], FL_F64, a);
    load(&c->in[1], c->in[0].dtype, b);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) {
                sum += a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
            }
            fl_tensor_set(&c->out[0], i * n + j, (double)c->attr.alpha * sum);
        }
    }
}
