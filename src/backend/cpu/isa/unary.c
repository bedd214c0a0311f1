/* unary - elementwise functions, their slopes, and the gated feed-forward built on them.
 *
 * Each function of FL_UNARY_LIST is written once, as value and slope together; what a loop does not
 * use, the compiler leaves out. Four loops are made from each: f(x), f'(x) dy, f(g) u, and the
 * gradient of f(g) u. */
#include "backend/cpu/isa/flow.h"
#include "backend/cpu/isa/math.h"

typedef struct {
    vf value, slope;
} curve;

FL_INLINE curve curve_GELU_TANH(vf x, vf cap) {
    (void)cap;
    const float k = 0.797884561f, a = 0.044715f;  // sqrt(2 / pi)
    vf xx = x * x;
    vf s = v_sigmoid((2 * k) * x *
                     v_fma(xx, v_set(a), v_set(1.0f)));  // (1 + tanh u) / 2 = sigmoid(2 u)
    vf du = (2 * k) * v_fma(xx, v_set(3 * a), v_set(1.0f));
    return (curve){x * s, v_fma(x * du, s - s * s, s)};
}

FL_INLINE curve curve_GELU_ERF(vf x, vf cap) {
    (void)cap;
    vf s = v_normal_cdf(x);
    return (curve){x * s, v_fma(x * 0.398942280f, v_exp(-0.5f * x * x), s)};
}

FL_INLINE curve curve_SILU(vf x, vf cap) {
    (void)cap;
    vf s = v_sigmoid(x);
    return (curve){x * s, v_fma(x, s - s * s, s)};
}

FL_INLINE curve curve_RELU(vf x, vf cap) {
    (void)cap;
    vm on = v_lt(v_set(0.0f), x);
    return (curve){v_select(v_lt(x, v_set(0.0f)), v_set(0.0f), x),
                   v_select(on, v_set(1.0f), v_set(0.0f))};
}

FL_INLINE curve curve_RELU2(vf x, vf cap) {
    vf r = curve_RELU(x, cap).value;
    return (curve){r * r, r + r};
}

FL_INLINE curve curve_TANH(vf x, vf cap) {
    (void)cap;
    vf t = v_tanh(x);
    return (curve){t, v_fma(-t, t, v_set(1.0f))};
}

FL_INLINE curve curve_SIGMOID(vf x, vf cap) {
    (void)cap;
    vf s = v_sigmoid(x);
    return (curve){s, s - s * s};
}

FL_INLINE curve curve_EXP(vf x, vf cap) {
    (void)cap;
    vf e = v_exp(x);
    return (curve){e, e};
}

FL_INLINE curve curve_LOG(vf x, vf cap) {
    (void)cap;
    return (curve){v_log(x), 1.0f / x};
}

/* min(x, 0) - log(1 + u), u = e^-|x|; the last term repairs what 1 + u rounded away. */
FL_INLINE curve curve_LOG_SIGMOID(vf x, vf cap) {
    (void)cap;
    vf u = v_exp(-v_abs(x)), y = 1.0f + u;
    vf log1p = v_log(y) + (u - (y - 1.0f)) / y;
    return (curve){v_min(v_set(0.0f), x) - log1p, v_sigmoid(-x)};
}

FL_INLINE curve curve_SOFTCAP(vf x, vf cap) {
    vf t = v_tanh(x / cap);
    return (curve){cap * t, v_fma(-t, t, v_set(1.0f))};
}

/* No slope beyond the cap, the one at it. */
FL_INLINE curve curve_CLIPPED_GELU_QUICK(vf x, vf cap) {
    vf y = v_min(x, cap), s = v_sigmoid(1.702f * y);
    vf slope = v_fma(1.702f * y, s - s * s, s);
    return (curve){y * s, v_select(v_lt(cap, x), v_set(0.0f), slope)};
}

FL_INLINE curve curve_CLIPPED_PLUS_ONE(vf x, vf cap) {
    vf y = v_max(v_min(x, cap), -cap);
    return (curve){1.0f + y, v_select(v_lt(cap, v_abs(x)), v_set(0.0f), v_set(1.0f))};
}

/* Loops over one piece. A piece is at most FL_CHUNK elements, so that one indirect call a piece
 * costs nothing. */
typedef struct {
    const float *x, *u, *dy;  // u: the gate's other factor
    float *y, *dx, *du;
    int64_t n;
    float cap;
} piece;

#define LOOPS(id, text)                                                              \
    static void value_##id(const piece *p) {                                         \
        FL_EACH(i, p->n)                                                             \
        v_put(p->y, i, p->n, curve_##id(v_get(p->x, i, p->n), v_set(p->cap)).value); \
    }                                                                                \
    static void slope_##id(const piece *p) {                                         \
        FL_EACH(i, p->n) {                                                           \
            vf d = curve_##id(v_get(p->x, i, p->n), v_set(p->cap)).slope;            \
            v_put(p->dx, i, p->n, d *v_get(p->dy, i, p->n));                         \
        }                                                                            \
    }                                                                                \
    static void gate_##id(const piece *p) {                                          \
        FL_EACH(i, p->n) {                                                           \
            vf f = curve_##id(v_get(p->x, i, p->n), v_set(p->cap)).value;            \
            v_put(p->y, i, p->n, f *v_get(p->u, i, p->n));                           \
        }                                                                            \
    }                                                                                \
    static void gate_slope_##id(const piece *p) {                                    \
        FL_EACH(i, p->n) {                                                           \
            curve f = curve_##id(v_get(p->x, i, p->n), v_set(p->cap));               \
            vf dy = v_get(p->dy, i, p->n);                                           \
            v_put(p->dx, i, p->n, f.slope *v_get(p->u, i, p->n) * dy);               \
            v_put(p->du, i, p->n, f.value *dy);                                      \
        }                                                                            \
    }
FL_UNARY_LIST(LOOPS)

typedef void (*loop)(const piece *p);
#define VALUE(id, text)      [FL_UNARY_##id] = value_##id,
#define SLOPE(id, text)      [FL_UNARY_##id] = slope_##id,
#define GATE(id, text)       [FL_UNARY_##id] = gate_##id,
#define GATE_SLOPE(id, text) [FL_UNARY_##id] = gate_slope_##id,
static const loop values[FL_UNARY_COUNT] = {FL_UNARY_LIST(VALUE)};
static const loop slopes[FL_UNARY_COUNT] = {FL_UNARY_LIST(SLOPE)};
static const loop gates[FL_UNARY_COUNT] = {FL_UNARY_LIST(GATE)};
static const loop gate_slopes[FL_UNARY_COUNT] = {FL_UNARY_LIST(GATE_SLOPE)};

static void unary_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float *room = scratch;
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->out[0])) {
        piece p = {.n = n, .cap = c->attr.softcap};
        p.x = flow_in(&c->in[0], at, n, room);
        p.y = flow_out(&c->out[0], at, room + FL_CHUNK);
        values[c->attr.unary](&p);
        flow_done(&c->out[0], at, n, p.y);
    }
}

static void unary_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float *room = scratch;
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->out[0])) {
        piece p = {.n = n, .cap = c->attr.softcap};
        p.x = flow_in(&c->in[0], at, n, room);
        p.dy = flow_in(&c->in[1], at, n, room + FL_CHUNK);
        p.dx = flow_out(&c->out[0], at, room + 2 * FL_CHUNK);
        slopes[c->attr.unary](&p);
        flow_done(&c->out[0], at, n, p.dx);
    }
}

static void gated_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float *room = scratch;
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->out[0])) {
        piece p = {.n = n, .cap = c->attr.softcap};
        p.x = flow_in(&c->in[0], at, n, room);
        p.u = flow_in(&c->in[1], at, n, room + FL_CHUNK);
        p.y = flow_out(&c->out[0], at, room + 2 * FL_CHUNK);
        gates[c->attr.unary](&p);
        flow_done(&c->out[0], at, n, p.y);
    }
}

/* Either output may be unwanted; it is then computed into scratch. */
static void gated_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float *room = scratch;
    const fl_tensor *dx = &c->out[0], *du = &c->out[1];
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(&c->in[0])) {
        piece p = {.n = n, .cap = c->attr.softcap};
        p.x = flow_in(&c->in[0], at, n, room);
        p.u = flow_in(&c->in[1], at, n, room + FL_CHUNK);
        p.dy = flow_in(&c->in[2], at, n, room + 2 * FL_CHUNK);
        p.dx = dx->rank ? flow_out(dx, at, room + 3 * FL_CHUNK) : room + 3 * FL_CHUNK;
        p.du = du->rank ? flow_out(du, at, room + 4 * FL_CHUNK) : room + 4 * FL_CHUNK;
        gate_slopes[c->attr.unary](&p);
        if (dx->rank) flow_done(dx, at, n, p.dx);
        if (du->rank) flow_done(du, at, n, p.du);
    }
}

static int64_t gated_grad_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_count(&c->in[0]), FL_TASK);
}

#define ROW(name, tasks_)                                                             \
    const fl_kernel FL_ISA_NAME(fl_kernel_##name) = {.phase = {{tasks_, name##_run}}, \
                                                     .supports = flow_floats,         \
                                                     .scratch = flow_scratch}
ROW(unary, flow_tasks);
ROW(unary_grad, flow_tasks);
ROW(gated, flow_tasks);
ROW(gated_grad, gated_grad_tasks);
