/* elementwise - add, mul, scale, cast, axpby, rsqrt_scale: one pass over memory each. */
#include "backend/cpu/isa/flow.h"

/* y = OP(a, b), b repeated. */
#define BINARY(name, OP)                                                                  \
    static void name##_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) { \
        float *room = scratch;                                                            \
        const fl_tensor *y = &c->out[0];                                                  \
        FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(y)) {                            \
            const float *a = flow_in(&c->in[0], at, n, room);                             \
            const float *b = flow_repeated(&c->in[1], at, n, room + FL_CHUNK);            \
            float *out = flow_out(y, at, room + 2 * FL_CHUNK);                            \
            FL_EACH(i, n) v_put(out, i, n, OP(v_get(a, i, n), v_get(b, i, n)));           \
            flow_done(y, at, n, out);                                                     \
        }                                                                                 \
    }

#define SUM(a, b)      ((a) + (b))
#define PRODUCT(a, b)  ((a) * (b))
#define WEIGHTED(a, b) v_fma(v_set(c->attr.alpha), a, c->attr.beta *(b))
BINARY(add, SUM)
BINARY(mul, PRODUCT)
BINARY(axpby, WEIGHTED)

/* y = factor * x, in whatever formats they have; added to y if that is asked (and then y is
 * f32). */
static void multiply(const fl_call *c, int64_t begin, int64_t end, float *room, float factor) {
    const fl_tensor *y = &c->out[0];
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(y)) {
        const float *x = flow_in(&c->in[0], at, n, room);
        float *out = flow_out(y, at, room + FL_CHUNK);
        if (c->attr.accumulate) {
            FL_EACH(i, n) v_put(out, i, n, v_fma(v_set(factor), v_get(x, i, n), v_get(out, i, n)));
        } else {
            FL_EACH(i, n) v_put(out, i, n, factor * v_get(x, i, n));
        }
        flow_done(y, at, n, out);
    }
}

static void scale_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    multiply(c, begin, end, scratch, c->attr.scale);
}

static void cast_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    multiply(c, begin, end, scratch, 1.0f);
}

static void rsqrt_scale_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float room[1], s = *flow_in(&c->in[1], 0, 1, room);
    multiply(c, begin, end, scratch, 1.0f / (sqrtf(s) + c->attr.eps));
}

#define ROW(name)                                                                         \
    const fl_kernel FL_ISA_NAME(fl_kernel_##name) = {.phase = {{flow_tasks, name##_run}}, \
                                                     .supports = flow_floats,             \
                                                     .scratch = flow_scratch}
ROW(add);
ROW(mul);
ROW(axpby);
ROW(scale);
ROW(cast);
ROW(rsqrt_scale);
