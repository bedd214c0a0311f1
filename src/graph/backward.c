/* backward.c - reverse-mode differentiation by appending nodes.
 *
 * Nodes are walked from last to first. When a node is reached, the gradient of its output is
 * complete, because every reader came later; its rule then appends nodes for the gradients of its
 * inputs. Several contributions to a computed value are added as they arrive. Those to a trainable
 * extern are collected and, at the end, chained: each is the output of a node that can accumulate,
 * put `onto` the previous. */
#include "base/assert.h"
#include "graph/graph_impl.h"
#include "graph/rule.h"

typedef struct contribution {
    fl_val v;
    bool direct;                // its own memory holds the parameter's gradient
    struct contribution *next;  // in order of arrival
} contribution;

typedef struct {
    fl_graph *g;
    fl_arena arena;                // dies with the walk
    int n;                         // values before the walk
    bool *active;                  // the loss depends on this value, and it on a parameter
    fl_val *sum;                   // gradient of a computed value so far
    contribution **first, **last;  // of a trainable extern
} walk;

static fl_status fail(walk *w, const char *op, const char *why) {
    if (!fli_ok(w->g)) return w->g->err.code;
    return fl_fail(&w->g->err, FL_ERR_UNSUPPORTED, "%s %s", op, why);
}

static bool has_gradient(const fl_graph *g, fl_val v) {
    return v.id >= 0 && fli_is_float(fli_value(g, v)->t.dtype);
}

/* Which values lead from a trainable extern to the loss, forwards. */
static void mark_active(walk *w) {
    for (int v = 0; v < w->n; v++) w->active[v] = fli_value(w->g, (fl_val){v})->trainable;
    for (int i = 0; i < fl_graph_n_nodes(w->g); i++) {
        const fl_node *n = fli_node(w->g, i);
        bool any = false;
        for (int k = 0; k < n->n_in; k++)
            any = any || (has_gradient(w->g, n->in[k]) && w->active[n->in[k].id]);
        if (any) w->active[n->out[0].id] = true;  // further outputs carry no gradient
    }
}

/* A contribution to the gradient of v, in any format that can be converted to the wanted one. */
static void contribute(walk *w, fl_val v, fl_val c) {
    fl_graph *g = w->g;
    if (!fli_ok(g) || c.id < 0) return;
    const fl_value_info *info = fli_value(g, v);
    FL_ASSERT(fl_tensor_same_shape(&info->t, &fli_value(g, c)->t));
    if (!info->trainable) {
        const fl_val cast = fl_cast(g, c, info->t.dtype);
        w->sum[v.id] = w->sum[v.id].id < 0 ? cast : fl_add(g, w->sum[v.id], cast);
        return;
    }
    contribution *one = FL_NEW(&w->arena, contribution, 1);
    if (!one) {
        (void)fl_fail(&g->err, FL_ERR_NOMEM, "differentiating");
        return;
    }
    one->v = c;
    if (w->last[v.id]) w->last[v.id]->next = one;
    else w->first[v.id] = one;
    w->last[v.id] = one;
}

static void differentiate(walk *w, int i) {
    fl_graph *g = w->g;
    const fl_node *n = fli_node(g, i);
    const fl_op *row = fl_ops[n->op];
    const fl_val dy = w->sum[n->out[0].id];
    if (dy.id < 0 || !w->active[n->out[0].id]) return;
    if (!row->grad) {
        (void)fail(w, row->name,
                   "has no gradient rule, but the loss depends on a parameter through it");
        return;
    }
    fl_grad d = {.g = g, .attr = &n->attr, .n_in = n->n_in, .n_out = n->n_out};
    for (int k = 0; k < FL_MAX_OUT; k++) {
        d.out[k] = n->out[k];
        d.dout[k] = k ? FL_NONE : dy;
    }
    for (int k = 0; k < FL_MAX_IN; k++) {
        d.in[k] = n->in[k];
        d.din[k] = FL_NONE;
        d.want[k] = k < n->n_in && has_gradient(g, n->in[k]) && w->active[n->in[k].id];
    }
    row->grad(&d);
    for (int k = 0; k < n->n_in && fli_ok(g); k++) {
        if (d.want[k] && d.din[k].id < 0)
            (void)fail(w, row->name, "has no gradient for an input that needs one");
        if (d.want[k]) contribute(w, n->in[k], d.din[k]);
    }
}

/* --- parameters --- */

static int count_readers(const fl_graph *g, fl_val v) {
    int readers = 0;
    for (int i = 0; i < fl_graph_n_nodes(g); i++) {
        const fl_node *n = fli_node(g, i);
        for (int k = 0; k < n->n_in; k++) readers += n->in[k].id == v.id;
    }
    return readers;
}

/* Whether v is nobody's contribution, or the first one of a parameter. */
static bool is_first_or_none(const walk *w, fl_val v) {
    for (int p = 0; p < w->n; p++) {
        for (const contribution *c = w->first[p]; c; c = c->next) {
            if (c->v.id == v.id) return c == w->first[p];
        }
    }
    return true;
}

/* Whether the memory of v can be the parameter's gradient: a node that can accumulate makes it,
 * nobody else reads it. A node with several such outputs (dw and db of a norm) accumulates all or
 * none, so it will do only where each is the first contribution of its parameter. */
static bool can_own(const walk *w, fl_val v, fl_dtype wide) {
    const fl_value_info *info = fli_value(w->g, v);
    if (info->t.dtype != wide || info->node < 0 || !fli_node(w->g, info->node)->backward)
        return false;
    const fl_node *n = fli_node(w->g, info->node);
    const bool *accumulates = fl_ops[n->op]->accumulates;
    if (!accumulates[info->out_index] || n->attr.accumulate) return false;
    int n_accumulating = 0;
    for (int k = 0; k < n->n_out; k++) n_accumulating += accumulates[k];
    for (int k = 0; k < n->n_out; k++) {
        if (!accumulates[k]) continue;
        if (count_readers(w->g, n->out[k])) return false;
        if (n_accumulating > 1 && !is_first_or_none(w, n->out[k])) return false;
    }
    return true;
}

/* Add v to the sum so far. */
static fl_val link(fl_graph *g, fl_val sum, fl_val v) {
    if (!fli_ok(g) || sum.id < 0) return v;
    fl_node *n = fli_node(g, fli_value(g, v)->node);
    n->attr.accumulate = true;
    n->onto[fli_value(g, v)->out_index] = sum;
    return v;
}

/* Contributions that own their memory first, in order of arrival; then copies of the others. */
static void chain(walk *w, fl_val param) {
    fl_graph *g = w->g;
    const fl_dtype wide = fli_wide(fli_value(g, param)->t.dtype);
    fl_val sum = FL_NONE;
    for (contribution *c = w->first[param.id]; c; c = c->next) {
        c->direct = can_own(w, c->v, wide);
        if (c->direct) sum = link(g, sum, c->v);
    }
    for (const contribution *c = w->first[param.id]; c && fli_ok(g); c = c->next) {
        if (c->direct) continue;
        sum = link(g, sum, fl_apply(g, FL_OP_CAST, &(fl_attr){.dtype = wide}, 1, &c->v));
    }
    fli_value(g, param)->grad = sum;
}

static bool start(walk *w, fl_graph *g) {
    const size_t n = (size_t)fl_graph_n_values(g);
    *w = (walk){.g = g, .n = (int)n};
    fl_arena_init(&w->arena, 64 << 10);
    w->active = FL_NEW(&w->arena, bool, n);
    w->sum = FL_NEW(&w->arena, fl_val, n);
    w->first = FL_NEW(&w->arena, contribution *, n);
    w->last = FL_NEW(&w->arena, contribution *, n);
    if (!w->active || !w->sum || !w->first || !w->last) {
        (void)fl_fail(&g->err, FL_ERR_NOMEM, "differentiating a graph of %zu values", n);
        return false;
    }
    for (size_t v = 0; v < n; v++) w->sum[v] = FL_NONE;
    return true;
}

/* d loss / d loss: one, in memory of the graph's own. */
static fl_val one(fl_graph *g, const fl_tensor *like) {
    double *data = FL_NEW(&g->arena, double, 1);
    if (!data) {
        (void)fl_fail(&g->err, FL_ERR_NOMEM, "differentiating");
        return FL_NONE;
    }
    fl_tensor t = *like;
    t.data = data;
    fl_tensor_set(&t, 0, 1);
    return fl_extern(g, "one", t, false);
}

void fl_graph_backward(fl_graph *g, fl_val loss) {
    if (!fli_ok(g)) return;
    const fl_tensor *t = &fli_value(g, loss)->t;
    if (fl_tensor_count(t) != 1 || (t->dtype != FL_F32 && t->dtype != FL_F64)) {
        char shape[FL_SHAPE_TEXT];
        (void)fl_fail(&g->err, FL_ERR_SHAPE, "the loss must be one f32 number, not %s %s",
                      fl_tensor_shape_text(t, shape), fl_dtype_name(t->dtype));
        return;
    }
    walk w;
    if (start(&w, g)) {
        g->in_backward = true;
        mark_active(&w);
        const int n_forward = fl_graph_n_nodes(g), n_values = w.n;
        if (w.active[loss.id]) w.sum[loss.id] = one(g, t);
        for (int i = n_forward - 1; i >= 0 && fli_ok(g); i--) differentiate(&w, i);
        for (int v = 0; v < n_values && fli_ok(g); v++) {
            if (w.first[v]) chain(&w, (fl_val){v});
            else if (w.sum[v].id >= 0) fli_value(g, (fl_val){v})->grad = w.sum[v];
        }
        g->in_backward = false;
    }
    fl_arena_free(&w.arena);
}
