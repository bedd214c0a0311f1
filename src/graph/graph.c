/* graph.c - building: values and nodes appended in execution order, checked as they come. */
#include "graph/graph.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "graph/graph_impl.h"
#include "graph/rule.h"

/* --- lists of things that never move --- */

/* Run r holds FLI_FIRST_RUN << r elements; they start at FLI_FIRST_RUN * (2^r - 1). */
static int run_of(int i, int *within) {
    int r = 0, start = 0;
    while (i >= start + (FLI_FIRST_RUN << r)) start += FLI_FIRST_RUN << r++;
    *within = i - start;
    return r;
}

static void *element(const fli_list *l, size_t size, int i) {
    FL_ASSERT(i >= 0 && i < l->count);
    int within;
    const int r = run_of(i, &within);
    return (char *)l->run[r] + (size_t)within * size;
}

static void *append(fl_graph *g, fli_list *l, size_t size) {
    int within;
    const int r = run_of(l->count, &within);
    if (r >= FLI_MAX_RUNS) return NULL;
    if (within == 0) {
        l->run[r] = fl_arena_alloc(&g->arena, (size_t)FLI_FIRST_RUN << r, size, FL_ALIGN);
        if (!l->run[r]) return NULL;
    }
    l->count++;
    return element(l, size, l->count - 1);
}

fl_value_info *fli_value(const fl_graph *g, fl_val v) {
    return element(&g->values, sizeof(fl_value_info), v.id);
}

fl_node *fli_node(const fl_graph *g, int i) {
    return element(&g->nodes, sizeof(fl_node), i);
}

static const char **scope_at(const fl_graph *g, int i) {
    return element(&g->scopes, sizeof(char *), i);
}

/* --- a graph and its errors --- */

fl_graph *fl_graph_new(void) {
    fl_graph *g = fl_alloc(sizeof *g);
    if (!g) return NULL;
    memset(g, 0, sizeof *g);
    fl_arena_init(&g->arena, 64 << 10);
    fl_graph_scope(g, "");
    if (fli_ok(g)) return g;
    fl_graph_free(g);
    return NULL;
}

void fl_graph_free(fl_graph *g) {
    if (!g) return;
    fl_arena_free(&g->arena);
    fl_dealloc(g);
}

static void fail_memory(fl_graph *g) {
    if (fli_ok(g)) (void)fl_fail(&g->err, FL_ERR_NOMEM, "a graph of %d nodes", g->nodes.count);
}

static const char *copy_text(fl_graph *g, const char *s) {
    const size_t n = strlen(s) + 1;
    char *copy = FL_NEW(&g->arena, char, n);
    if (!copy) {
        fail_memory(g);
        return "";
    }
    return memcpy(copy, s, n);
}

static fl_val new_value(fl_graph *g, fl_value_kind kind, fl_tensor t) {
    fl_value_info *v = append(g, &g->values, sizeof *v);
    if (!v) {
        fail_memory(g);
        return FL_NONE;
    }
    *v = (fl_value_info){.name = "", .kind = kind, .t = t, .node = -1, .grad = FL_NONE};
    return (fl_val){g->values.count - 1};
}

/* --- leaves --- */

fl_val fl_input(fl_graph *g, const char *name, fl_dtype dtype, int rank, const int64_t *dim) {
    if (!fli_ok(g)) return FL_NONE;
    const fl_val v = new_value(g, FL_VALUE_INPUT, fl_tensor_of(NULL, dtype, rank, dim));
    fl_graph_name(g, v, name);
    return v;
}

fl_val fl_extern(fl_graph *g, const char *name, fl_tensor t, bool trainable) {
    if (!fli_ok(g)) return FL_NONE;
    if (!t.data || !fl_tensor_contiguous(&t)) {
        (void)fl_fail(&g->err, FL_ERR_ARG, "%s: memory of the caller must be given, and contiguous",
                      name);
        return FL_NONE;
    }
    const fl_val v = new_value(g, FL_VALUE_EXTERN, t);
    if (v.id >= 0) fli_value(g, v)->trainable = trainable;
    fl_graph_name(g, v, name);
    return v;
}

void fl_graph_bind_grad(fl_graph *g, fl_val param, void *f32_data) {
    if (!fli_ok(g)) return;
    fl_value_info *v = fli_value(g, param);
    FL_ASSERT(v->kind == FL_VALUE_EXTERN && v->trainable && v->grad.id < 0);
    v->grad_data = f32_data;
}

void fl_graph_output(fl_graph *g, fl_val v) {
    if (fli_ok(g) && v.id >= 0) fli_value(g, v)->is_output = true;
}

void fl_graph_name(fl_graph *g, fl_val v, const char *name) {
    if (fli_ok(g) && v.id >= 0) fli_value(g, v)->name = copy_text(g, name);
}

void fl_graph_scope(fl_graph *g, const char *name) {
    if (!fli_ok(g)) return;
    const char *copy = copy_text(g, name), **scope = append(g, &g->scopes, sizeof *scope);
    if (scope) *scope = copy;
    else fail_memory(g);
}

/* --- nodes --- */

/* The tensors of the call, and its result shapes by the operation's rule. */
static fl_status describe_call(const fl_graph *g, fl_op_id op, const fl_attr *attr, int n_in,
                               const fl_val *in, fl_call *c, fl_err *err) {  // lint: allow args
    const fl_op *row = fl_ops[op];
    FL_ASSERT(n_in >= row->min_in && n_in <= row->max_in);
    *c = (fl_call){.n_in = n_in, .n_out = row->n_out, .attr = *attr};
    for (int i = 0; i < n_in; i++) {
        if (in[i].id >= 0) c->in[i] = fli_value(g, in[i])->t;
        else if (i < row->min_in)
            return fl_fail(err, FL_ERR_ARG, "%s: in[%d] is missing", row->name, i);
    }
    return row->shape(c, err);
}

#ifndef NDEBUG
static fl_status check_node(const fl_graph *g, int i, fl_err *err);
#endif

static fl_val append_node(fl_graph *g, fl_op_id op, const fl_attr *attr, const fl_call *c,
                          const fl_val *in) {
    fl_node *n = append(g, &g->nodes, sizeof *n);
    if (!n) {
        fail_memory(g);
        return FL_NONE;
    }
    *n = (fl_node){.op = op,
                   .attr = *attr,
                   .n_in = c->n_in,
                   .n_out = c->n_out,
                   .scope = g->scopes.count - 1,
                   .backward = g->in_backward};
    for (int i = 0; i < FL_MAX_IN; i++) n->in[i] = i < c->n_in ? in[i] : FL_NONE;
    for (int k = 0; k < FL_MAX_OUT; k++) n->out[k] = n->onto[k] = FL_NONE;
    for (int k = 0; k < c->n_out; k++) {
        n->out[k] = new_value(g, FL_VALUE_COMPUTED, c->out[k]);
        if (!fli_ok(g)) return FL_NONE;
        fli_value(g, n->out[k])->node = g->nodes.count - 1;
        fli_value(g, n->out[k])->out_index = (int8_t)k;
    }
    FL_ASSERT(check_node(g, g->nodes.count - 1, NULL) == FL_OK);
    return n->out[0];
}

fl_val fl_apply(fl_graph *g, fl_op_id op, const fl_attr *attr, int n_in, const fl_val *in) {
    if (!fli_ok(g)) return FL_NONE;
    fl_call c;
    if (describe_call(g, op, attr, n_in, in, &c, &g->err) != FL_OK) {
        const char *scope = fl_graph_scope_name(g, g->scopes.count - 1);
        if (*scope) (void)fl_context(&g->err, g->err.code, "%s", scope);
        return FL_NONE;
    }
    return append_node(g, op, attr, &c, in);
}

fl_val fl_out(const fl_graph *g, fl_val first, int k) {
    if (!fli_ok(g) || first.id < 0) return FL_NONE;
    const fl_value_info *v = fli_value(g, first);
    FL_ASSERT(v->node >= 0 && k < fli_node(g, v->node)->n_out);
    return fli_node(g, v->node)->out[k];
}

/* --- looking --- */

const fl_value_info *fl_value_get(const fl_graph *g, fl_val v) {
    static const fl_value_info none = {.name = "",
                                       .node = -1,
                                       .grad = {-1},
                                       .t = {.rank = 1, .dim = {1, 1, 1, 1}}};
    return v.id < 0 ? &none : fli_value(g, v);  // after a failure builders look at FL_NONE
}

fl_val fl_graph_grad(const fl_graph *g, fl_val param) {
    return fl_value_get(g, param)->grad;
}

int fl_graph_n_values(const fl_graph *g) {
    return g->values.count;
}

int fl_graph_n_nodes(const fl_graph *g) {
    return g->nodes.count;
}

const fl_node *fl_graph_node(const fl_graph *g, int i) {
    return fli_node(g, i);
}

const char *fl_graph_scope_name(const fl_graph *g, int scope) {
    return *scope_at(g, scope);
}

/* --- checking --- */

static fl_status bad_node(const fl_graph *g, int i, const char *why, fl_err *err) {
    return fl_fail(err, FL_ERR_ARG, "node %d (%s): %s", i, fl_ops[fli_node(g, i)->op]->name, why);
}

/* Inputs are made before they are read, and the shape rule still gives the recorded shapes. */
static fl_status check_node(const fl_graph *g, int i, fl_err *err) {
    const fl_node *n = fli_node(g, i);
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k].id >= 0 && fli_value(g, n->in[k])->node >= i) {
            return bad_node(g, i, "an input is made later", err);
        }
    }
    fl_call c;
    FL_TRY(describe_call(g, n->op, &n->attr, n->n_in, n->in, &c, err));
    for (int k = 0; k < n->n_out; k++) {
        const fl_value_info *v = fli_value(g, n->out[k]);
        if (v->node != i || v->out_index != k)
            return bad_node(g, i, "an output names another node", err);
        if (!fl_tensor_same_shape(&v->t, &c.out[k]) || v->t.dtype != c.out[k].dtype) {
            return bad_node(g, i, "an output has not the shape of its rule", err);
        }
        if (n->onto[k].id < 0) continue;
        const fl_value_info *onto = fli_value(g, n->onto[k]);
        if (!n->attr.accumulate || !fl_ops[n->op]->accumulates[k] || onto->node >= i ||
            fl_tensor_bytes(&onto->t) != fl_tensor_bytes(&v->t)) {
            return bad_node(g, i, "it cannot add onto what it names", err);
        }
    }
    return FL_OK;
}

fl_status fl_graph_check(const fl_graph *g, fl_err *err) {
    if (!fli_ok(g)) return fl_fail(err, g->err.code, "%s", g->err.msg);
    for (int i = 0; i < g->nodes.count; i++) FL_TRY(check_node(g, i, err));
    return FL_OK;
}
