/* ref_loss - cross-entropy of a linear head, one row of logits at a time; see ref.c. */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

typedef struct {
    double *w, *x, *z, *dx, *dw;  // (V, C), (C), (V), (C), (V, C)
} rows;

static rows lay_out(const fl_call *c, double *at) {
    const int64_t v = c->in[1].dim[0], n = c->in[1].dim[1];
    return (rows){at, at + v * n, at + v * n + n, at + v * n + n + v, at + v * n + 2 * n + v};
}

size_t fli_ref_linear_ce_scratch(const fl_call *c) {
    const int64_t v = c->in[1].dim[0], n = c->in[1].dim[1];
    return (size_t)(v * n + 2 * n + v) * sizeof(double);
}

size_t fli_ref_linear_ce_grad_scratch(const fl_call *c) {
    return fli_ref_linear_ce_scratch(c) + (size_t)fl_tensor_count(&c->in[1]) * sizeof(double);
}

static void load_w(const fl_call *c, double *w) {
    const int64_t n = c->in[1].dim[1];
    for (int64_t v = 0; v < c->in[1].dim[0]; v++)
        fli_ref_row(&c->in[1], v, c->in[0].dtype, w + v * n);
}

/* Capped logits of row r into m->z; returns log of the sum of their exponentials. */
static double logits(const fl_call *c, int64_t r, const rows *m) {
    const int64_t n_v = c->in[1].dim[0], n = c->in[1].dim[1];
    const double cap = (double)c->attr.softcap;
    fli_ref_x_row(c, r, m->x);
    double max = -INFINITY, sum = 0;
    for (int64_t v = 0; v < n_v; v++) {
        m->z[v] = fli_ref_dot(m->x, m->w + v * n, n);
        if (cap > 0) m->z[v] = cap * tanh(m->z[v] / cap);
        max = fmax(max, m->z[v]);
    }
    for (int64_t v = 0; v < n_v; v++) sum += exp(m->z[v] - max);
    return max + log(sum);
}

void fli_ref_linear_ce(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const rows m = lay_out(c, scratch);
    load_w(c, m.w);
    for (int64_t r = 0, n = fl_tensor_rows(&c->in[0]); r < n; r++) {
        const int64_t target = (int64_t)fl_tensor_get(&c->in[2], r);
        fli_ref_put(c, 0, r, target < 0 ? 0 : logits(c, r, &m) - m.z[target], false);
    }
}

/* dz = g (softmax(z) - onehot(target)), through the cap;  dx = dz w,  dw += dz^T x. */
static void row_grad(const fl_call *c, int64_t r, int64_t target, const rows *m) {
    const int64_t n_v = c->in[1].dim[0], n = c->in[1].dim[1];
    const double g = fl_tensor_get(&c->in[3], r), lse = logits(c, r, m),
                 cap = (double)c->attr.softcap;
    fli_ref_put(c, 2, r, lse - m->z[target], false);
    for (int64_t v = 0; v < n_v; v++) {
        const double capped = cap > 0 ? m->z[v] / cap : 0;
        const double dz = g * (exp(m->z[v] - lse) - (v == target)) * (1 - capped * capped);
        for (int64_t i = 0; i < n; i++) {
            m->dx[i] += dz * m->w[v * n + i];
            m->dw[v * n + i] += dz * m->x[i];
        }
    }
}

void fli_ref_linear_ce_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const rows m = lay_out(c, scratch);
    const int64_t n = c->in[1].dim[1], n_w = fl_tensor_count(&c->in[1]);
    load_w(c, m.w);
    memset(m.dw, 0, (size_t)n_w * sizeof *m.dw);
    for (int64_t r = 0, n_rows = fl_tensor_rows(&c->in[0]); r < n_rows; r++) {
        const int64_t target = (int64_t)fl_tensor_get(&c->in[2], r);
        memset(m.dx, 0, (size_t)n * sizeof *m.dx);
        if (target < 0) fli_ref_put(c, 2, r, 0, false);
        else row_grad(c, r, target, &m);
        for (int64_t i = 0; i < n; i++) fli_ref_put(c, 0, r * n + i, m.dx[i], false);
    }
    for (int64_t i = 0; i < n_w; i++) fli_ref_put(c, 1, i, m.dw[i], c->attr.accumulate);
}
