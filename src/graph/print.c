/* print.c - a graph as text, one line a node, made to be diffed:
 *
 *     %5 f32 (8, 32), %6 f32 (8, 1) = rms_norm(%1, %3) eps=1e-05   # layer 0 */
#include <string.h>

#include "graph/graph_impl.h"

static void print_value(const fl_graph *g, fl_val v, FILE *out) {
    char shape[FL_SHAPE_TEXT];
    const fl_value_info *info = fli_value(g, v);
    fprintf(out, "%%%d %s %s", v.id, fl_dtype_name(info->t.dtype),
            fl_tensor_shape_text(&info->t, shape));
    if (*info->name) fprintf(out, " \"%s\"", info->name);
    if (info->is_output) fprintf(out, " output");
}

static void print_reference(const fl_graph *g, fl_val v, FILE *out) {
    if (v.id < 0) fprintf(out, "none");
    else if (*fli_value(g, v)->name) fprintf(out, "%%%d:%s", v.id, fli_value(g, v)->name);
    else fprintf(out, "%%%d", v.id);
}

static void print_attr(const fl_node *n, FILE *out) {
    const fl_attr *a = &n->attr;
    const bool has_unary = n->op == FL_OP_UNARY || n->op == FL_OP_UNARY_GRAD ||
                           n->op == FL_OP_GATED || n->op == FL_OP_GATED_GRAD;
    const struct {
        const char *name;
        double v;
    } numbers[] = {{"eps", (double)a->eps},
                   {"scale", (double)a->scale},
                   {"softcap", (double)a->softcap},
                   {"alpha", (double)a->alpha},
                   {"beta", (double)a->beta},
                   {"window", (double)a->window},
                   {"chosen", (double)a->routing.n_chosen},
                   {"groups", (double)a->routing.n_groups},
                   {"groups_chosen", (double)a->routing.groups_chosen},
                   {"weight_scale", (double)a->routing.scale}};
    const struct {
        const char *name;
        bool on;
    } flags[] = {{"causal", a->causal},
                 {"trans_a", a->trans_a},
                 {"trans_b", a->trans_b},
                 {"inverse", a->inverse},
                 {"interleaved", a->interleaved},
                 {"accumulate", a->accumulate},
                 {"sigmoid", a->routing.sigmoid},
                 {"group_pair", a->routing.group_pair},
                 {"normalise", a->routing.normalise}};
    if (has_unary) fprintf(out, " %s", fl_unary_name(a->unary));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].v != 0) fprintf(out, " %s=%g", numbers[i].name, numbers[i].v);
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (flags[i].on) fprintf(out, " %s", flags[i].name);
    }
}

static void print_node(const fl_graph *g, const fl_node *n, FILE *out) {
    for (int k = 0; k < n->n_out; k++) {
        if (k) fprintf(out, ", ");
        print_value(g, n->out[k], out);
        if (n->onto[k].id >= 0) fprintf(out, " onto %%%d", n->onto[k].id);
    }
    fprintf(out, " = %s(", fl_ops[n->op]->name);
    for (int k = 0; k < n->n_in; k++) {
        if (k) fprintf(out, ", ");
        print_reference(g, n->in[k], out);
    }
    fprintf(out, ")");
    print_attr(n, out);
    const char *scope = fl_graph_scope_name(g, n->scope);
    if (*scope || n->backward) fprintf(out, "   # %s%s", scope, n->backward ? " backward" : "");
    fprintf(out, "\n");
}

void fl_graph_print(const fl_graph *g, FILE *out) {
    for (int v = 0; v < fl_graph_n_values(g); v++) {
        const fl_value_info *info = fli_value(g, (fl_val){v});
        if (info->kind == FL_VALUE_COMPUTED) continue;
        print_value(g, (fl_val){v}, out);
        fprintf(out, " = %s%s\n", info->kind == FL_VALUE_INPUT ? "input" : "extern",
                info->trainable ? " trainable" : "");
    }
    for (int i = 0; i < fl_graph_n_nodes(g); i++) print_node(g, fli_node(g, i), out);
}
