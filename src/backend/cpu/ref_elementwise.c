/* ref_elementwise - one element at a time; see ref.c. */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

void fli_ref_add(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t n_b = fl_tensor_count(&c->in[1]);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i,
                      fl_tensor_get(&c->in[0], i) + fl_tensor_get(&c->in[1], i % n_b));
    }
}

void fli_ref_mul(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t n_b = fl_tensor_count(&c->in[1]);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i,
                      fl_tensor_get(&c->in[0], i) * fl_tensor_get(&c->in[1], i % n_b));
    }
}

void fli_ref_scale(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i, (double)c->attr.scale * fl_tensor_get(&c->in[0], i));
    }
}

void fli_ref_cast(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fli_ref_put(c, 0, i, fl_tensor_get(&c->in[0], i), c->attr.accumulate);
    }
}

void fli_ref_axpby(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const double alpha = (double)c->attr.alpha, beta = (double)c->attr.beta;
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        const double a = fl_tensor_get(&c->in[0], i), b = fl_tensor_get(&c->in[1], i);
        fl_tensor_set(&c->out[0], i, alpha * a + beta * b);
    }
}

void fli_ref_broadcast(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const int64_t n_x = fl_tensor_count(&c->in[0]);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i, fl_tensor_get(&c->in[0], i % n_x));
    }
}

size_t fli_ref_sum_to_scratch(const fl_call *c) {
    return (size_t)fl_tensor_count(&c->out[0]) * sizeof(double);
}

void fli_ref_sum_to(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double *sum = scratch;
    const int64_t n_out = fl_tensor_count(&c->out[0]);
    memset(sum, 0, (size_t)n_out * sizeof *sum);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        sum[i % n_out] += fl_tensor_get(&c->in[0], i);
    }
    for (int64_t i = 0; i < n_out; i++) fli_ref_put(c, 0, i, sum[i], c->attr.accumulate);
}

/* --- f(x) and f'(x) --- */

static const double SQRT_2_OVER_PI = 0.79788456080286535588, SQRT_HALF = 0.70710678118654752440,
                    INV_SQRT_2PI = 0.39894228040143267794;

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double gelu_inner(double x) {
    return tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x));
}

static const double GELU_QUICK = 1.702;

static double gelu_quick(double x) {
    return x * sigmoid(GELU_QUICK * x);
}

static double unary(const fl_attr *a, double x) {
    switch (a->unary) {
    case FL_UNARY_GELU_TANH: return 0.5 * x * (1 + gelu_inner(x));
    case FL_UNARY_GELU_ERF: return 0.5 * x * (1 + erf(x * SQRT_HALF));
    case FL_UNARY_SILU: return x * sigmoid(x);
    case FL_UNARY_RELU: return x > 0 ? x : 0;
    case FL_UNARY_RELU2: return x > 0 ? x * x : 0;
    case FL_UNARY_TANH: return tanh(x);
    case FL_UNARY_SIGMOID: return sigmoid(x);
    case FL_UNARY_EXP: return exp(x);
    case FL_UNARY_LOG: return log(x);
    case FL_UNARY_LOG_SIGMOID: return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
    case FL_UNARY_SOFTCAP: return (double)a->softcap * tanh(x / (double)a->softcap);
    case FL_UNARY_CLIPPED_GELU_QUICK: return gelu_quick(fmin(x, (double)a->softcap));
    case FL_UNARY_CLIPPED_PLUS_ONE:
        return 1 + fmin(fmax(x, -(double)a->softcap), (double)a->softcap);
    case FL_UNARY_COUNT: break;
    }
    return NAN;
}

static double gelu_tanh_slope(double x) {
    const double t = gelu_inner(x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x);
}

static double square(double x) {
    return x * x;
}

static double unary_slope(const fl_attr *a, double x) {
    switch (a->unary) {
    case FL_UNARY_GELU_TANH: return gelu_tanh_slope(x);
    case FL_UNARY_GELU_ERF:
        return 0.5 * (1 + erf(x * SQRT_HALF)) + x * INV_SQRT_2PI * exp(-0.5 * x * x);
    case FL_UNARY_SILU: return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case FL_UNARY_RELU: return x > 0 ? 1 : 0;
    case FL_UNARY_RELU2: return x > 0 ? 2 * x : 0;
    case FL_UNARY_TANH: return 1 - square(tanh(x));
    case FL_UNARY_SIGMOID: return sigmoid(x) * (1 - sigmoid(x));
    case FL_UNARY_EXP: return exp(x);
    case FL_UNARY_LOG: return 1 / x;
    case FL_UNARY_LOG_SIGMOID: return sigmoid(-x);
    case FL_UNARY_SOFTCAP: return 1 - square(tanh(x / (double)a->softcap));
    case FL_UNARY_CLIPPED_GELU_QUICK: {
        const double s = sigmoid(GELU_QUICK * x);
        return x <= (double)a->softcap ? s + GELU_QUICK * x * s * (1 - s) : 0;
    }
    case FL_UNARY_CLIPPED_PLUS_ONE: return fabs(x) <= (double)a->softcap;
    case FL_UNARY_COUNT: break;
    }
    return NAN;
}

void fli_ref_unary(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i, unary(&c->attr, fl_tensor_get(&c->in[0], i)));
    }
}

void fli_ref_unary_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        const double x = fl_tensor_get(&c->in[0], i), dy = fl_tensor_get(&c->in[1], i);
        fl_tensor_set(&c->out[0], i, unary_slope(&c->attr, x) * dy);
    }
}

void fli_ref_gated(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        const double gate = fl_tensor_get(&c->in[0], i), up = fl_tensor_get(&c->in[1], i);
        fl_tensor_set(&c->out[0], i, unary(&c->attr, gate) * up);
    }
}

void fli_ref_gated_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        const double gate = fl_tensor_get(&c->in[0], i), up = fl_tensor_get(&c->in[1], i);
        const double dy = fl_tensor_get(&c->in[2], i);
        fli_ref_put(c, 0, i, unary_slope(&c->attr, gate) * up * dy, false);
        fli_ref_put(c, 1, i, unary(&c->attr, gate) * dy, false);
    }
}
