/* build.c - one named builder per operation: attributes packed, fl_apply called. */
#include <string.h>

#include "graph/graph_impl.h"

#define APPLY(g, op, attr, ...)                                                                 \
    fl_apply((g), FL_OP_##op, &(attr), (int)(sizeof((fl_val[]){__VA_ARGS__}) / sizeof(fl_val)), \
             (fl_val[]){__VA_ARGS__})

static const fl_attr plain;

static fl_attr shaped(int rank, const int64_t *dim) {
    fl_attr a = {.rank = rank};
    if (rank >= 1 && rank <= FL_MAX_RANK) memcpy(a.dim, dim, (size_t)rank * sizeof *dim);
    return a;
}

fl_val fl_add(fl_graph *g, fl_val a, fl_val b) {
    return APPLY(g, ADD, plain, a, b);
}

fl_val fl_mul(fl_graph *g, fl_val a, fl_val b) {
    return APPLY(g, MUL, plain, a, b);
}

fl_val fl_scale(fl_graph *g, fl_val x, float factor) {
    const fl_attr a = {.scale = factor};
    return APPLY(g, SCALE, a, x);
}

fl_val fl_cast(fl_graph *g, fl_val x, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return x.id >= 0 && fl_value_get(g, x)->t.dtype == dt ? x : APPLY(g, CAST, a, x);
}

fl_val fl_reshape(fl_graph *g, fl_val x, int rank, const int64_t *dim) {
    const fl_attr a = shaped(rank, dim);
    return APPLY(g, RESHAPE, a, x);
}

fl_val fl_slice(fl_graph *g, fl_val x, int64_t at, int64_t n) {
    const fl_attr a = {.dim = {at, n}};
    return APPLY(g, SLICE, a, x);
}

fl_val fl_pad(fl_graph *g, fl_val x, int64_t at, int64_t width) {
    const fl_attr a = {.dim = {at, width}};
    return APPLY(g, PAD, a, x);
}

fl_val fl_sum_to(fl_graph *g, fl_val x, int rank, const int64_t *dim) {
    const fl_attr a = shaped(rank, dim);
    return APPLY(g, SUM_TO, a, x);
}

fl_val fl_broadcast(fl_graph *g, fl_val x, int rank, const int64_t *dim) {
    const fl_attr a = shaped(rank, dim);
    return APPLY(g, BROADCAST, a, x);
}

fl_val fl_unary_of(fl_graph *g, fl_unary f, fl_val x) {
    const fl_attr a = {.unary = f};
    return APPLY(g, UNARY, a, x);
}

fl_val fl_softcap(fl_graph *g, fl_val x, float cap) {
    const fl_attr a = {.unary = FL_UNARY_SOFTCAP, .softcap = cap};
    return APPLY(g, UNARY, a, x);
}

fl_val fl_gated(fl_graph *g, fl_unary f, fl_val gate, fl_val up) {
    const fl_attr a = {.unary = f};
    return APPLY(g, GATED, a, gate, up);
}

fl_val fl_gated_clipped(fl_graph *g, fl_val gate, fl_val up, float limit) {
    const fl_attr of_gate = {.unary = FL_UNARY_CLIPPED_GELU_QUICK, .softcap = limit},
                  of_up = {.unary = FL_UNARY_CLIPPED_PLUS_ONE, .softcap = limit};
    return APPLY(g, GATED, of_gate, gate, APPLY(g, UNARY, of_up, up));
}

fl_val fl_embedding(fl_graph *g, fl_val ids, fl_val w, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return APPLY(g, EMBEDDING, a, ids, w);
}

fl_val fl_layer_norm(fl_graph *g, fl_val x, fl_val w, fl_val b, float eps, fl_dtype dt) {
    const fl_attr a = {.eps = eps, .dtype = dt};
    return APPLY(g, LAYER_NORM, a, x, w, b);
}

fl_val fl_rms_norm(fl_graph *g, fl_val x, fl_val w, float eps, fl_dtype dt) {
    return fl_rms_norm_offset(g, x, w, 0, eps, dt);
}

fl_val fl_rms_norm_offset(fl_graph *g, fl_val x, fl_val w, float offset, float eps, fl_dtype dt) {
    const fl_attr a = {.eps = eps, .offset = offset, .dtype = dt};
    return APPLY(g, RMS_NORM, a, x, w);
}

fl_val fl_rope(fl_graph *g, fl_val x, fl_val position, fl_val inv_freq, bool interleaved) {
    return fl_rope_scaled(g, x, position, inv_freq, interleaved, 1);
}

fl_val fl_rope_scaled(fl_graph *g, fl_val x, fl_val position, fl_val inv_freq, bool interleaved,
                      float scale) {
    const fl_attr a = {.interleaved = interleaved, .scale = scale};
    return APPLY(g, ROPE, a, x, position, inv_freq);
}

fl_val fl_softmax(fl_graph *g, fl_val x) {
    return APPLY(g, SOFTMAX, plain, x);
}

fl_val fl_linear(fl_graph *g, fl_val x, fl_val w, fl_val bias, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return APPLY(g, LINEAR, a, x, w, bias);
}

fl_val fl_matmul(fl_graph *g, fl_val a, fl_val b, bool trans_a, bool trans_b, float alpha) {
    const fl_attr attr = {.trans_a = trans_a, .trans_b = trans_b, .alpha = alpha};
    return APPLY(g, MATMUL, attr, a, b);
}

fl_val fl_route(fl_graph *g, fl_val logits, fl_val bias, const fl_routing *how) {
    const fl_attr a = {.routing = *how};
    return APPLY(g, ROUTE, a, logits, bias);
}

fl_val fl_expert_linear(fl_graph *g, fl_val x, fl_val w, fl_val ids, fl_val bias, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return APPLY(g, EXPERT_LINEAR, a, x, w, ids, bias);
}

fl_val fl_expert_linear_dx(fl_graph *g, fl_val dy, fl_val w, fl_val ids, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return APPLY(g, EXPERT_LINEAR_DX, a, dy, w, ids);
}

fl_val fl_combine(fl_graph *g, fl_val x, fl_val weights, fl_dtype dt) {
    const fl_attr a = {.dtype = dt};
    return APPLY(g, COMBINE, a, x, weights);
}

fl_val fl_cache_append(fl_graph *g, fl_val cache, fl_val x, fl_val start, fl_val table) {
    return APPLY(g, CACHE_APPEND, plain, cache, x, start, table);
}

fl_val fl_linear_ce(fl_graph *g, fl_val x, fl_val w, fl_val target, float softcap) {
    const fl_attr a = {.softcap = softcap};
    return APPLY(g, LINEAR_CE, a, x, w, target);
}

fl_val fl_attention_paged(fl_graph *g, const fl_attention_args *args, fl_val table) {
    const fl_attr a = {.causal = args->causal,
                       .window = args->window,
                       .scale = args->scale,
                       .softcap = args->softcap};
    return APPLY(g, ATTENTION, a, args->q, args->k, args->v, args->segment, args->start, table,
                 args->sink);
}

fl_val fl_attention(fl_graph *g, const fl_attention_args *args) {
    return fl_attention_paged(g, args, FL_NONE);
}
