/* feed_forward - what a layer does to each token alone: a dense block, or experts. */
#include "model/builder.h"

fl_val fli_gated(const fli_builder *b, fl_val gate, fl_val up) {
    const float limit = (float)b->c->swiglu_limit;
    return limit > 0 ? fl_gated_clipped(b->g, gate, up, limit)
                     : fl_gated(b->g, b->c->arch->activation, gate, up);
}

fl_val fli_dense_block(const fli_builder *b, fl_val n, const fli_dense_slots *at) {
    fl_unary f = b->c->arch->activation;
    fl_val up = fli_linear(b, n, at->up, at->up_bias), x;
    if (fli_slot(b, at->gate)) x = fli_gated(b, fli_linear(b, n, at->gate, at->gate_bias), up);
    else x = fl_unary_of(b->g, f, up);
    return fli_linear(b, x, at->down, at->down_bias);
}

fl_val fli_feed_forward(const fli_builder *b, fl_val n) {
    static const fli_dense_slots at = {.gate = FL_SLOT_GATE,
                                       .gate_bias = FL_SLOT_GATE_B,
                                       .up = FL_SLOT_UP,
                                       .up_bias = FL_SLOT_UP_B,
                                       .down = FL_SLOT_DOWN,
                                       .down_bias = FL_SLOT_DOWN_B};
    return fli_slot(b, FL_SLOT_ROUTER) ? fli_experts(b, n) : fli_dense_block(b, n, &at);
}
