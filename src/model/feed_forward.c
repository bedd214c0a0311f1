/* feed_forward - what a layer does to each token alone: DOWN (f(GATE n) * UP n) when there is a
 * gate, DOWN f(UP n) when there is none. */
#include "model/builder.h"

fl_val fli_feed_forward(const fli_builder *b, fl_val n) {
    fl_unary f = b->c->arch->activation;
    fl_val up = fli_linear(b, n, FL_SLOT_UP, FL_SLOT_UP_B), x;
    if (fli_slot(b, FL_SLOT_GATE))
        x = fl_gated(b->g, f, fli_linear(b, n, FL_SLOT_GATE, FL_SLOT_GATE_B), up);
    else x = fl_unary_of(b->g, f, up);
    return fli_linear(b, x, FL_SLOT_DOWN, FL_SLOT_DOWN_B);
}
