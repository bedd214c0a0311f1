/* optimizer - AdamW and the elementwise parts of Muon: one pass over a parameter's memory.
 *
 * AdamW (Loshchilov and Hutter, 2019) reads w, m, v, g and writes w, m, v: 28 bytes a parameter and
 * hardly any arithmetic, so it runs at the speed of memory. */
#include "backend/cpu/isa/flow.h"

typedef struct {
    float lr, beta1, beta2, eps, weight_decay, grad_scale, correction1, correction2;
} hyper;  // as ops.def orders them

_Static_assert(sizeof(hyper) == 8 * sizeof(float), "hyper is f32 (8)");

static hyper hyper_of(const fl_tensor *t) {
    hyper h;
    memcpy(&h, t->data, sizeof h);
    return h;
}

static bool all_f32(const fl_call *c) {
    bool ok = flow_floats(c);
    for (int i = 0; i < c->n_in; i++) ok = ok && c->in[i].dtype == FL_F32;
    for (int i = 0; i < c->n_out; i++) ok = ok && c->out[i].dtype == FL_F32;
    return ok;
}

static void adamw_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    hyper h = hyper_of(&c->in[4]);
    const float *w = c->in[0].data, *m = c->in[1].data, *v = c->in[2].data, *g = c->in[3].data;
    float *w_out = c->out[0].data, *m_out = c->out[1].data, *v_out = c->out[2].data;
    vf keep = v_set(1.0f - h.lr * h.weight_decay), step = v_set(-h.lr / h.correction1);
    vf root = v_set(1.0f / sqrtf(h.correction2)), eps = v_set(h.eps), scale = v_set(h.grad_scale);
    vf b1 = v_set(h.beta1), b2 = v_set(h.beta2), a1 = v_set(1.0f - h.beta1),
       a2 = v_set(1.0f - h.beta2);
    int64_t n = min_i64(end * FL_TASK, fl_tensor_count(&c->in[0]));
    for (int64_t i = begin * FL_TASK; i < n; i += FL_LANES) {
        vf d = scale * v_get(g, i, n);
        vf mean = v_fma(b1, v_get(m, i, n), a1 * d);
        vf var = v_fma(b2, v_get(v, i, n), a2 * d * d);
        vf denom = v_fma(v_sqrt(var), root, eps);
        v_put(w_out, i, n, v_fma(keep, v_get(w, i, n), step * mean / denom));
        v_put(m_out, i, n, mean);
        v_put(v_out, i, n, var);
    }
}

static void muon_momentum_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    hyper h = hyper_of(&c->in[2]);
    const float *m = c->in[0].data;
    float *m_out = c->out[0].data, *room = scratch;
    const fl_tensor *u = &c->out[1];
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->in[0])) {
        const float *g = flow_in(&c->in[1], at, n, room);
        float *out = flow_out(u, at, room + FL_CHUNK);
        FL_EACH(i, n) {
            vf d = h.grad_scale * v_get(g, i, n);
            vf mean = v_fma(v_set(h.beta1), v_get(m + at, i, n), d);
            v_put(m_out + at, i, n, mean);
            v_put(out, i, n, v_fma(v_set(h.beta1), mean, d));
        }
        flow_done(u, at, n, out);
    }
}

static void muon_apply_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    hyper h = hyper_of(&c->in[2]);
    const float *w = c->in[0].data;
    float *w_out = c->out[0].data;
    vf keep = v_set(1.0f - h.lr * h.weight_decay), step = v_set(-h.lr * c->attr.scale);
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->in[0])) {
        const float *u = flow_in(&c->in[1], at, n, scratch);
        FL_EACH(i, n)
        v_put(w_out + at, i, n, v_fma(keep, v_get(w + at, i, n), step * v_get(u, i, n)));
    }
}

static bool state_f32(const fl_call *c) {
    return flow_floats(c) && c->in[0].dtype == FL_F32 && c->out[0].dtype == FL_F32;
}

const fl_kernel FL_ISA_NAME(fl_kernel_adamw) = {.phase = {{flow_tasks, adamw_run}},
                                                .supports = all_f32};
const fl_kernel FL_ISA_NAME(fl_kernel_muon_momentum) = {.phase = {{flow_tasks, muon_momentum_run}},
                                                        .supports = state_f32,
                                                        .scratch = flow_scratch};
const fl_kernel FL_ISA_NAME(fl_kernel_muon_apply) = {.phase = {{flow_tasks, muon_apply_run}},
                                                     .supports = state_f32,
                                                     .scratch = flow_scratch};
