/* experts - a feed-forward of which each token uses a few parts.
 *
 *   weights, ids = route(ROUTER n)                        (B, T, k), in f32
 *   y = sum over k of weights EXPERT_DOWN (f(EXPERT_GATE n) * EXPERT_UP n)
 *   each of the three with its bias, where it has one
 *   plus, for every token, the shared expert: a dense block, weighed by sigmoid(SHARED_ROUTER n)
 *   where there is one */
#include "model/builder.h"

static fl_val logits(const fli_builder *b, fl_val n, fl_slot router, fl_slot bias) {
    return fl_model_linear(b->m, b->g, n, fli_slot(b, router), fli_slot(b, bias), FL_F32);
}

static fl_val value_or_none(const fli_builder *b, fl_slot slot) {
    fl_param *p = fli_slot(b, slot);
    return p ? fl_model_value(b->m, b->g, p) : FL_NONE;
}

static fl_val chosen(const fli_builder *b, fl_val n) {
    fl_routing how = b->c->arch->routing;
    how.n_chosen = b->c->experts_per_token;
    how.normalise |= b->c->norm_topk;
    how.n_groups = b->c->n_group;
    how.groups_chosen = b->c->topk_group;
    how.scale = (float)b->c->routed_scaling_factor;
    return fl_route(b->g, logits(b, n, FL_SLOT_ROUTER, FL_SLOT_ROUTER_B),
                    value_or_none(b, FL_SLOT_ROUTER_BIAS), &how);
}

/* The slot of an expert's bias follows that of its weight. */
static fl_val by_expert(const fli_builder *b, fl_val x, fl_slot weight, fl_val ids) {
    fl_val w = fl_model_value(b->m, b->g, fli_slot(b, weight));
    return fl_expert_linear(b->g, x, w, ids, value_or_none(b, weight + 1), b->f->compute);
}

static fl_val shared(const fli_builder *b, fl_val n) {
    static const fli_dense_slots at = {.gate = FL_SLOT_SHARED_GATE,
                                       .gate_bias = FL_SLOT_NONE,
                                       .up = FL_SLOT_SHARED_UP,
                                       .up_bias = FL_SLOT_NONE,
                                       .down = FL_SLOT_SHARED_DOWN,
                                       .down_bias = FL_SLOT_NONE};
    fl_val y = fli_dense_block(b, n, &at);
    if (!fli_slot(b, FL_SLOT_SHARED_ROUTER)) return y;
    fl_val weight = fl_unary_of(b->g, FL_UNARY_SIGMOID,
                                logits(b, n, FL_SLOT_SHARED_ROUTER, FL_SLOT_NONE));
    y = fl_reshape(b->g, y, 4, (int64_t[]){b->B, b->T, 1, b->c->hidden_size});
    return fl_combine(b->g, y, weight, b->f->compute);
}

fl_val fli_experts(const fli_builder *b, fl_val n) {
    fl_val weights = chosen(b, n), ids = fl_out(b->g, weights, 1);
    fl_val gate = by_expert(b, n, FL_SLOT_EXPERT_GATE, ids);
    fl_val up = by_expert(b, n, FL_SLOT_EXPERT_UP, ids);
    fl_val x = fli_gated(b, gate, up);
    fl_val y = fl_combine(b->g, by_expert(b, x, FL_SLOT_EXPERT_DOWN, ids), weights, b->f->compute);
    return fli_slot(b, FL_SLOT_SHARED_UP) ? fl_add(b->g, y, shared(b, n)) : y;
}
