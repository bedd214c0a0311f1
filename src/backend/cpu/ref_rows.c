/* ref_rows - operations on the rows of a tensor; see ref.c. */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref.h"
#include "tensor/quant.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

void fli_ref_embedding(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t cols = fl_tensor_cols(&c->in[1]);
    for (int64_t r = 0, rows = fl_tensor_count(&c->in[0]); r < rows; r++) {
        const int64_t id = (int64_t)fl_tensor_get(&c->in[0], r);
        for (int64_t i = 0; i < cols; i++) {
            fl_tensor_set(&c->out[0], r * cols + i, fl_tensor_get(&c->in[1], id * cols + i));
        }
    }
}

size_t fli_ref_embedding_grad_scratch(const fl_call *c) {
    return (size_t)fl_tensor_count(&c->in[2]) * sizeof(double);
}

void fli_ref_embedding_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double *dw = scratch;
    const int64_t cols = fl_tensor_cols(&c->in[2]), n = fl_tensor_count(&c->in[2]);
    memset(dw, 0, (size_t)n * sizeof *dw);
    for (int64_t r = 0, rows = fl_tensor_count(&c->in[0]); r < rows; r++) {
        const int64_t id = (int64_t)fl_tensor_get(&c->in[0], r);
        for (int64_t i = 0; i < cols; i++)
            dw[id * cols + i] += fl_tensor_get(&c->in[1], r * cols + i);
    }
    for (int64_t i = 0; i < n; i++) fli_ref_put(c, 0, i, dw[i], c->attr.accumulate);
}

/* Four rows of doubles: x, dy, dw, db. */
size_t fli_ref_norm_scratch(const fl_call *c) {
    return 4 * (size_t)fl_tensor_cols(&c->in[0]) * sizeof(double);
}

void fli_ref_layer_norm(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double *x = scratch;
    const int64_t rows = fl_tensor_rows(&c->in[0]), cols = fl_tensor_cols(&c->in[0]);
    const bool has_bias = c->n_in > 2 && c->in[2].rank;
    for (int64_t r = 0; r < rows; r++) {
        fli_ref_row(&c->in[0], r, FL_F64, x);
        double mean = 0, var = 0;
        for (int64_t i = 0; i < cols; i++) mean += x[i] / (double)cols;
        for (int64_t i = 0; i < cols; i++) var += (x[i] - mean) * (x[i] - mean) / (double)cols;
        const double rstd = 1 / sqrt(var + (double)c->attr.eps);
        for (int64_t i = 0; i < cols; i++) {
            const double b = has_bias ? fl_tensor_get(&c->in[2], i) : 0;
            fl_tensor_set(&c->out[0], r * cols + i,
                          (x[i] - mean) * rstd * fl_tensor_get(&c->in[1], i) + b);
        }
        fli_ref_put(c, 1, 2 * r, mean, false);
        fli_ref_put(c, 1, 2 * r + 1, rstd, false);
    }
}

/* Of input `in`, column i: what rms_norm multiplies by. */
static double gain(const fl_call *c, int in, int64_t i) {
    return (double)c->attr.offset + fl_tensor_get(&c->in[in], i);
}

void fli_ref_rms_norm(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double *x = scratch;
    const int64_t rows = fl_tensor_rows(&c->in[0]), cols = fl_tensor_cols(&c->in[0]);
    for (int64_t r = 0; r < rows; r++) {
        fli_ref_row(&c->in[0], r, FL_F64, x);
        const double rstd = 1 / sqrt(fli_ref_dot(x, x, cols) / (double)cols + (double)c->attr.eps);
        for (int64_t i = 0; i < cols; i++) {
            fl_tensor_set(&c->out[0], r * cols + i, x[i] * rstd * gain(c, 1, i));
        }
        fli_ref_put(c, 1, r, rstd, false);
    }
}

/* With xhat the normalised row and u = dy w:  dx = rstd (u - [mean(u)] - xhat mean(u xhat)); the
 * bracket only where the mean was taken off. dw sums dy xhat, db sums dy. */
static void norm_grad(const fl_call *c, bool centred, void *scratch) {
    const fl_tensor *stats = &c->in[3];
    const int64_t rows = fl_tensor_rows(&c->in[0]), cols = fl_tensor_cols(&c->in[0]);
    double *xhat = scratch, *dy = xhat + cols, *dw = dy + cols, *db = dw + cols;
    memset(dw, 0, 2 * (size_t)cols * sizeof *dw);
    for (int64_t r = 0; r < rows; r++) {
        const double mean = centred ? fl_tensor_get(stats, 2 * r) : 0;
        const double rstd = fl_tensor_get(stats, centred ? 2 * r + 1 : r);
        fli_ref_row(&c->in[0], r, FL_F64, dy);
        fli_ref_row(&c->in[1], r, FL_F64, xhat);
        double mean_u = 0, mean_ux = 0;
        for (int64_t i = 0; i < cols; i++) {
            xhat[i] = (xhat[i] - mean) * rstd;
            const double u = dy[i] * gain(c, 2, i);
            if (centred) mean_u += u / (double)cols;
            mean_ux += u * xhat[i] / (double)cols;
            dw[i] += dy[i] * xhat[i];
            db[i] += dy[i];
        }
        for (int64_t i = 0; i < cols; i++) {
            const double u = dy[i] * gain(c, 2, i);
            fli_ref_put(c, 0, r * cols + i, rstd * (u - mean_u - xhat[i] * mean_ux), false);
        }
    }
    for (int64_t i = 0; i < cols; i++) {
        fli_ref_put(c, 1, i, dw[i], c->attr.accumulate);
        if (centred) fli_ref_put(c, 2, i, db[i], c->attr.accumulate);
    }
}

void fli_ref_layer_norm_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    norm_grad(c, true, scratch);
}

void fli_ref_rms_norm_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    norm_grad(c, false, scratch);
}

void fli_ref_rope(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *x = &c->in[0];
    const int64_t heads = x->dim[2], size = x->dim[3], half = c->in[2].dim[0];
    const double scale = c->attr.scale != 0 ? (double)c->attr.scale : 1;
    for (int64_t r = 0, rows = fl_tensor_rows(x); r < rows; r++) {
        const double position = fl_tensor_get(&c->in[1], r / heads);
        for (int64_t i = 2 * half; i < size; i++)
            fl_tensor_set(&c->out[0], r * size + i, fl_tensor_get(x, r * size + i));
        for (int64_t i = 0; i < half; i++) {
            const int64_t first = r * size + (c->attr.interleaved ? 2 * i : i);
            const int64_t second = c->attr.interleaved ? first + 1 : first + half;
            const double angle = position * fl_tensor_get(&c->in[2], i) *
                                 (c->attr.inverse ? -1 : 1);
            const double a = scale * fl_tensor_get(x, first), b = scale * fl_tensor_get(x, second);
            fl_tensor_set(&c->out[0], first, a * cos(angle) - b * sin(angle));
            fl_tensor_set(&c->out[0], second, b * cos(angle) + a * sin(angle));
        }
    }
}

size_t fli_ref_softmax_scratch(const fl_call *c) {
    return (size_t)fl_tensor_cols(&c->in[0]) * sizeof(double);
}

void fli_ref_softmax(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double *x = scratch;
    const int64_t cols = fl_tensor_cols(&c->in[0]);
    for (int64_t r = 0, rows = fl_tensor_rows(&c->in[0]); r < rows; r++) {
        fli_ref_row(&c->in[0], r, FL_F64, x);
        double max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < cols; i++) max = fmax(max, x[i]);
        for (int64_t i = 0; i < cols; i++) sum += exp(x[i] - max);
        for (int64_t i = 0; i < cols; i++)
            fl_tensor_set(&c->out[0], r * cols + i, exp(x[i] - max) / sum);
    }
}

/* n elements of x from x_at on as blocks, at element to_at. */
static void put_blocks(const fl_tensor *to, int64_t to_at, const fl_tensor *x, int64_t x_at,
                       int64_t n) {
    const int64_t block = fl_dtype_block(to->dtype);
    char *out = (char *)to->data + fl_dtype_row_bytes(to->dtype, to_at);
    for (int64_t i = 0; i < n; i += block, out += fl_dtype_row_bytes(to->dtype, block)) {
        float v[FL_BLOCK_MAX];
        for (int64_t k = 0; k < block; k++) v[k] = (float)fl_tensor_get(x, x_at + i + k);
        fl_quantize_quick(out, to->dtype, v, block);
    }
}

void fli_ref_cache_append(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *cache = &c->in[0], *x = &c->in[1];
    const fl_tensor *table = c->n_in > 3 && c->in[3].rank ? &c->in[3] : NULL;
    const int64_t T = x->dim[1], n = x->dim[2] * x->dim[3];
    for (int64_t row = 0; row < x->dim[0] * T; row++) {
        const int64_t b = row / T, s = (int64_t)fl_tensor_get(&c->in[2], b) + row % T;
        const int64_t to = fli_ref_cache_row(cache, table, b, s);
        if (fl_dtype_is_block(cache->dtype)) {
            put_blocks(&c->out[0], to * n, x, row * n, n);
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            fl_tensor_set(&c->out[0], to * n + i, fl_tensor_get(x, row * n + i));
    }
}

void fli_ref_slice(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t C = fl_tensor_cols(&c->in[0]), n = fl_tensor_cols(&c->out[0]);
    for (int64_t i = 0; i < fl_tensor_count(&c->out[0]); i++) {
        fl_tensor_set(&c->out[0], i, fl_tensor_get(&c->in[0], i / n * C + c->attr.dim[0] + i % n));
    }
}

void fli_ref_pad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t n = fl_tensor_cols(&c->in[0]), C = fl_tensor_cols(&c->out[0]);
    for (int64_t i = 0; i < fl_tensor_count(&c->out[0]); i++) {
        const int64_t at = i % C - c->attr.dim[0];
        fl_tensor_set(&c->out[0], i,
                      at >= 0 && at < n ? fl_tensor_get(&c->in[0], i / C * n + at) : 0);
    }
}
