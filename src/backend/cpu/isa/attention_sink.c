/* attention_sink - the gradient of attention's sinks: -sum of exp(sink - lse) (do . o).
 *
 * A task is QUERIES queries of one row of the batch, for all heads: it leaves a sum for each head
 * in the workspace, and the second phase adds those in order, in double. */
#include "backend/cpu/isa/attention_tools.h"

enum { QUERIES = 256, DO = 0, O, LSE, SINK };

static int64_t chunks_of(const fl_call *c) {
    return ceil_div(c->in[O].dim[1], QUERIES);
}

static int64_t sink_grad_tasks(const fl_call *c) {
    return c->in[O].dim[0] * chunks_of(c);
}

static float head_sum(const fl_call *c, int64_t b, int64_t h, int64_t t0, float *room) {
    const fl_tensor *o = &c->in[O];
    const int64_t T = o->dim[1], H = o->dim[2], D = o->dim[3];
    const float *lse = (const float *)c->in[LSE].data + (b * H + h) * T;
    const float sink = ((const float *)c->in[SINK].data)[h];
    float sum = 0;
    for (int64_t t = t0; t < min_i64(t0 + QUERIES, T); t++) {
        float delta = delta_at(&c->in[DO], o, ((b * T + t) * H + h) * D, room);
        sum -= expf(sink - lse[t]) * delta;
    }
    return sum;
}

static void sink_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const int64_t H = c->in[O].dim[2], chunks = chunks_of(c);
    for (int64_t task = begin; task < end; task++) {
        float *part = (float *)c->workspace + task * H;
        for (int64_t h = 0; h < H; h++)
            part[h] = head_sum(c, task / chunks, h, task % chunks * QUERIES, scratch);
    }
}

static void sink_grad_join(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)begin, (void)end, (void)scratch;
    const int64_t H = c->in[O].dim[2], tasks = sink_grad_tasks(c);
    const float *part = c->workspace;
    float *out = c->out[0].data;
    for (int64_t h = 0; h < H; h++) {
        double sum = c->attr.accumulate ? (double)out[h] : 0;
        for (int64_t task = 0; task < tasks; task++) sum += (double)part[task * H + h];
        out[h] = (float)sum;
    }
}

static size_t sink_grad_scratch(const fl_call *c) {
    (void)c;
    return 2 * FL_PIECE * sizeof(float);
}

static size_t sink_grad_workspace(const fl_call *c) {
    return (size_t)(sink_grad_tasks(c) * c->in[O].dim[2]) * sizeof(float);
}

static bool sink_grad_supports(const fl_call *c) {
    return flow_floats(c) && c->in[LSE].dtype == FL_F32 && c->in[SINK].dtype == FL_F32 &&
           c->out[0].dtype == FL_F32;
}

const fl_kernel FL_ISA_NAME(fl_kernel_attention_sink_grad) = {
    .phase = {{sink_grad_tasks, sink_grad_run}, {NULL, sink_grad_join}},
    .supports = sink_grad_supports,
    .scratch = sink_grad_scratch,
    .workspace = sink_grad_workspace,
};
