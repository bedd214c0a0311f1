/* arch_text - an architecture in words, made from its row: what the table of supported models
 * says. */
#include <stddef.h>

#include "model/arch.h"

/* The row's weight at a slot, NULL if it has none. */
static const fl_weight_row *weight(const fl_arch *a, fl_slot slot) {
    for (const fl_weight_row *row = a->weights; row->hf; row++)
        if (row->slot == slot) return row;
    return NULL;
}

static bool has_field(const fl_arch *a, size_t offset) {
    for (const fl_config_key *k = a->keys; k->key; k++)
        if (k->offset == offset) return true;
    return false;
}

static void say(fl_text *out, const char *words) {
    if (out->n) fl_text_puts(out, ", ");
    fl_text_puts(out, words);
}

static void describe_norms(const fl_arch *a, fl_text *out) {
    bool before = weight(a, FL_SLOT_ATTN_NORM), after = weight(a, FL_SLOT_ATTN_POST_NORM);
    say(out, a->norm == FL_NORM_RMS ? "RMSNorm" : "LayerNorm");
    if (a->norm_plus_one) fl_text_puts(out, " (1 + w)");
    if (after) fl_text_puts(out, before ? " before and after blocks" : " after blocks");
}

static void describe_positions(const fl_arch *a, fl_text *out) {
    if (a->position == FL_POSITION_LEARNED) say(out, "learned positions");
    else
        say(out,
            a->rope.share_key ? "rotary positions in a part of each head" : "rotary positions");
    if (a->rope.local_theta != 0) fl_text_puts(out, ", others where there is a window");
}

static void describe_attention(const fl_arch *a, fl_text *out) {
    const fl_weight_row *bias = weight(a, FL_SLOT_Q_B);
    if (has_field(a, offsetof(fl_config, num_key_value_heads))) say(out, "grouped queries");
    if (weight(a, FL_SLOT_Q_NORM)) say(out, "q and k normalised by head");
    if (weight(a, FL_SLOT_Q_NORM_WIDE)) say(out, "q and k normalised");
    if (bias) say(out, bias->has ? "q, k, v biases if asked for" : "q, k, v biases");
    if (has_field(a, offsetof(fl_config, attn_softcap))) say(out, "soft caps");
    if (weight(a, FL_SLOT_SINK)) say(out, "sinks");
    if (a->window == FL_WINDOW_ALL) say(out, "window");
    if (a->window == FL_WINDOW_UPPER) say(out, "window in upper layers");
    if (a->window == FL_WINDOW_ALTERNATE) {
        say(out, "window");
        fl_text_printf(out, " in %d of %d layers", (int)a->full_every - 1, (int)a->full_every);
    }
}

static void describe_blocks(const fl_arch *a, fl_text *out) {
    bool experts = weight(a, FL_SLOT_ROUTER);
    say(out, experts || weight(a, FL_SLOT_GATE) ? "gated " : "");
    fl_text_puts(out, fl_unary_name(a->activation));
    if (experts) say(out, "experts");
    if (weight(a, FL_SLOT_EXPERT_GATE_B)) fl_text_puts(out, " with biases");
    if (weight(a, FL_SLOT_SHARED_UP)) say(out, "a shared expert");
    if (has_field(a, offsetof(fl_config, parallel_residual))) say(out, "parallel blocks");
    if (a->embed_scaled) say(out, "scaled embeddings");
}

void fl_arch_describe(const fl_arch *a, fl_text *out) {
    describe_norms(a, out);
    describe_positions(a, out);
    describe_attention(a, out);
    describe_blocks(a, out);
}
