/* ref_optimizer - one step of the optimizers, one element at a time; see ref.c. */
#include <math.h>

#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

typedef struct {
    double lr, beta1, beta2, eps, weight_decay, grad_scale, correction1, correction2;
} hyper;

static hyper read_hyper(const fl_tensor *t) {
    return (hyper){fl_tensor_get(t, 0), fl_tensor_get(t, 1), fl_tensor_get(t, 2),
                   fl_tensor_get(t, 3), fl_tensor_get(t, 4), fl_tensor_get(t, 5),
                   fl_tensor_get(t, 6), fl_tensor_get(t, 7)};
}

void fli_ref_sum_squares(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    double sum = 0;
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        sum += fl_tensor_get(&c->in[0], i) * fl_tensor_get(&c->in[0], i);
    }
    fl_tensor_set(&c->out[0], 0, sum);
}

void fli_ref_rsqrt_scale(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const double by = 1 / (sqrt(fl_tensor_get(&c->in[1], 0)) + (double)c->attr.eps);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        fl_tensor_set(&c->out[0], i, by * fl_tensor_get(&c->in[0], i));
    }
}

void fli_ref_adamw(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const hyper h = read_hyper(&c->in[4]);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        const double g = h.grad_scale * fl_tensor_get(&c->in[3], i),
                     w = fl_tensor_get(&c->in[0], i);
        const double m = h.beta1 * fl_tensor_get(&c->in[1], i) + (1 - h.beta1) * g;
        const double v = h.beta2 * fl_tensor_get(&c->in[2], i) + (1 - h.beta2) * g * g;
        const double update = m / h.correction1 / (sqrt(v / h.correction2) + h.eps);
        fl_tensor_set(&c->out[0], i, w * (1 - h.lr * h.weight_decay) - h.lr * update);
        fl_tensor_set(&c->out[1], i, m);
        fl_tensor_set(&c->out[2], i, v);
    }
}

void fli_ref_muon_momentum(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const hyper h = read_hyper(&c->in[2]);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        const double g = h.grad_scale * fl_tensor_get(&c->in[1], i);
        const double m = h.beta1 * fl_tensor_get(&c->in[0], i) + g;
        fl_tensor_set(&c->out[0], i, m);
        fli_ref_put(c, 1, i, g + h.beta1 * m, false);
    }
}

void fli_ref_muon_apply(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const hyper h = read_hyper(&c->in[2]);
    for (int64_t i = 0, n = fl_tensor_count(&c->in[0]); i < n; i++) {
        const double w = fl_tensor_get(&c->in[0], i), u = fl_tensor_get(&c->in[1], i);
        fl_tensor_set(&c->out[0], i,
                      w * (1 - h.lr * h.weight_decay) - h.lr * (double)c->attr.scale * u);
    }
}
