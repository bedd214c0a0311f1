/* lower.c - from nodes to steps: parameter gradients bound to their memory, the loss fused with its
 * gradient, dead steps dropped. */
#include <string.h>

#include "backend/plan.h"
#include "base/assert.h"

/* Every node may be repeated once, and every step may have a workspace. */
static fl_status reserve(fli_plan *p, fl_err *err) {
    const size_t n_nodes = (size_t)fl_graph_n_nodes(p->g),
                 n_values = (size_t)fl_graph_n_values(p->g);
    p->step = FL_NEW(p->arena, fli_step, 2 * n_nodes);
    p->slot = FL_NEW(p->arena, fli_slot, 2 * n_values + 2 * n_nodes);
    p->slot_of = FL_NEW(p->arena, int, n_values);
    if (p->step && p->slot && p->slot_of) return FL_OK;
    return fl_fail(err, FL_ERR_NOMEM, "planning a graph of %zu nodes", n_nodes);
}

static void add_slots(fli_plan *p) {
    for (int v = 0; v < fl_graph_n_values(p->g); v++) {
        const fl_value_info *info = fl_value_get(p->g, (fl_val){v});
        p->slot[p->n_slots] = (fli_slot){.t = info->t,
                                         .kind = info->kind,
                                         .value = v,
                                         .root = p->n_slots,
                                         .keep = info->is_output,
                                         .lasts = info->kind == FL_VALUE_INPUT};
        p->slot_of[v] = p->n_slots++;
    }
}

static int slot_of(const fli_plan *p, fl_val v) {
    return v.id < 0 ? -1 : p->slot_of[v.id];
}

static void add_steps(fli_plan *p) {
    for (int i = 0; i < fl_graph_n_nodes(p->g); i++) {
        const fl_node *n = fl_graph_node(p->g, i);
        fli_step *s = &p->step[p->n_steps++];
        *s = (fli_step){.node = i,
                        .workspace = -1,
                        .call = {.n_in = n->n_in, .n_out = n->n_out, .attr = n->attr}};
        for (int k = 0; k < FL_MAX_IN; k++) s->in[k] = slot_of(p, n->in[k]);
        for (int k = 0; k < FL_MAX_OUT; k++) {
            s->out[k] = slot_of(p, n->out[k]);
            s->onto[k] = slot_of(p, n->onto[k]);
        }
    }
}

/* The links of a parameter's gradient, last to first, lie in one memory: the caller's if it gave
 * some. */
static void bind_gradients(fli_plan *p) {
    for (int v = 0; v < fl_graph_n_values(p->g); v++) {
        const fl_value_info *info = fl_value_get(p->g, (fl_val){v});
        if (!info->trainable || info->grad.id < 0) continue;
        int at = slot_of(p, info->grad);
        p->slot[at].keep = true;
        for (;;) {
            fli_step *s = &p->step[fl_value_get(p->g, (fl_val){p->slot[at].value})->node];
            const int k = fl_value_get(p->g, (fl_val){p->slot[at].value})->out_index;
            if (s->onto[k] < 0) {
                s->head = true;
                break;
            }
            at = s->onto[k];
        }
        p->slot[at].lasts = true;
        if (!info->grad_data) continue;
        p->slot[at].kind = FL_VALUE_EXTERN;
        p->slot[at].t.data = info->grad_data;
    }
}

/* --- the loss and its gradient --- */

static bool reads(const fli_step *s, int slot) {
    for (int k = 0; k < FL_MAX_IN; k++) {
        if (s->in[k] == slot) return true;
    }
    for (int k = 0; k < FL_MAX_OUT; k++) {
        if (s->onto[k] == slot) return true;
    }
    return false;
}

static bool reads_marked(const fli_step *s, const bool *mark) {
    for (int k = 0; k < FL_MAX_IN; k++) {
        if (s->in[k] >= 0 && mark[s->in[k]]) return true;
    }
    for (int k = 0; k < FL_MAX_OUT; k++) {
        if (s->onto[k] >= 0 && mark[s->onto[k]]) return true;
    }
    return false;
}

static void mark_inputs(const fli_step *s, bool *mark) {
    for (int k = 0; k < FL_MAX_IN; k++) {
        if (s->in[k] >= 0) mark[s->in[k]] = true;
    }
    for (int k = 0; k < FL_MAX_OUT; k++) {
        if (s->onto[k] >= 0) mark[s->onto[k]] = true;
    }
}

static bool makes_marked(const fli_step *s, const bool *mark) {
    for (int k = 0; k < FL_MAX_OUT; k++) {
        if (s->out[k] >= 0 && mark[s->out[k]]) return true;
    }
    return false;
}

static bool writes_in_place(const fli_plan *p, const fli_step *s) {
    const fl_op *op = fli_step_op(p, s);
    for (int k = 0; k < op->n_out; k++) {
        if (op->alias[k]) return true;
    }
    return false;
}

/* The gradient step of the loss at `f`, if nothing it needs depends on the loss itself. */
static int find_gradient(const fli_plan *p, int f, bool *mark) {
    const fli_step *loss = &p->step[f];
    memset(mark, 0, (size_t)p->n_slots * sizeof *mark);
    mark[loss->out[0]] = true;
    for (int i = f + 1; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        const bool depends = reads_marked(s, mark);
        if (fli_step_node(p, s)->op == FL_OP_LINEAR_CE_GRAD &&
            memcmp(s->in, loss->in, 3 * sizeof *s->in) == 0 &&
            s->call.attr.softcap == loss->call.attr.softcap) {
            return depends ? -1 : i;
        }
        if (writes_in_place(p, s)) return -1;  // order matters to those
        for (int k = 0; depends && k < FL_MAX_OUT; k++) {
            if (s->out[k] >= 0) mark[s->out[k]] = true;
        }
    }
    return -1;
}

/* Steps (f, q] reordered: what q needs, q, the rest. Step f is dropped; its readers read q's
 * nll. */
static void fuse(fli_plan *p, int f, int q, bool *mark, fli_step *tmp) {
    const int old = p->step[f].out[0], nll = p->step[q].out[2];
    memset(mark, 0, (size_t)p->n_slots * sizeof *mark);
    mark_inputs(&p->step[q], mark);
    int n_needed = 0;
    for (int i = q - 1; i > f; i--) {
        if (!makes_marked(&p->step[i], mark)) continue;
        mark_inputs(&p->step[i], mark);
        n_needed++;
    }
    int early = 0, late = n_needed + 1;
    for (int i = f + 1; i < q; i++)
        tmp[makes_marked(&p->step[i], mark) ? early++ : late++] = p->step[i];
    tmp[n_needed] = p->step[q];
    memcpy(&p->step[f], tmp, (size_t)(q - f) * sizeof *tmp);
    memmove(&p->step[q], &p->step[q + 1], (size_t)(p->n_steps - q - 1) * sizeof *tmp);
    p->n_steps--;
    for (int i = 0; i < p->n_steps; i++) {
        for (int k = 0; k < FL_MAX_IN; k++) {
            if (p->step[i].in[k] == old) p->step[i].in[k] = nll;
        }
    }
    p->slot[nll].keep |= p->slot[old].keep;
    p->slot_of[p->slot[old].value] = nll;
}

static fl_status fuse_losses(fli_plan *p, fl_err *err) {
    bool *mark = FL_NEW(p->arena, bool, (size_t)p->n_slots);
    fli_step *tmp = FL_NEW(p->arena, fli_step, (size_t)p->n_steps);
    if (!mark || !tmp) return fl_fail(err, FL_ERR_NOMEM, "planning");
    for (int f = 0; f < p->n_steps; f++) {
        if (fli_step_node(p, &p->step[f])->op != FL_OP_LINEAR_CE) continue;
        const int q = find_gradient(p, f, mark);
        if (q >= 0) fuse(p, f, q, mark, tmp);
    }
    return FL_OK;
}

/* --- dead steps --- */

/* Written for somebody outside: read after the run, or memory of the caller changed in place. */
static bool is_seen(const fli_plan *p, const fli_step *s, int k) {
    const fli_slot *out = &p->slot[s->out[k]];
    const int alias = fli_step_op(p, s)->alias[k];
    return out->keep || out->kind == FL_VALUE_EXTERN ||
           (alias && p->slot[s->in[alias - 1]].kind != FL_VALUE_COMPUTED);
}

static void drop_dead(fli_plan *p) {
    int kept = p->n_steps;
    for (int i = p->n_steps - 1; i >= 0; i--) {
        fli_step *s = &p->step[i];
        const bool whole = writes_in_place(p, s);  // state is written whole or not at all
        bool live = false;
        for (int k = 0; k < s->call.n_out; k++)
            live |= p->slot[s->out[k]].wanted || is_seen(p, s, k);
        for (int k = 0; k < s->call.n_out; k++) {
            p->slot[s->out[k]].wanted |= is_seen(p, s, k) || (live && whole);
        }
        if (!live) continue;
        for (int k = 0; k < FL_MAX_IN; k++) {
            if (s->in[k] >= 0) p->slot[s->in[k]].wanted = true;
        }
        for (int k = 0; k < FL_MAX_OUT; k++) {
            if (s->onto[k] >= 0) p->slot[s->onto[k]].wanted = true;
        }
        p->step[--kept] = *s;
    }
    memmove(p->step, p->step + kept, (size_t)(p->n_steps - kept) * sizeof *p->step);
    p->n_steps -= kept;
}

/* In-place writers must be the last to read what they overwrite. */
static fl_status check_in_place(const fli_plan *p, fl_err *err) {
    for (int i = 0; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        const fl_op *op = fli_step_op(p, s);
        for (int k = 0; k < op->n_out; k++) {
            if (!op->alias[k]) continue;
            const int over = s->in[op->alias[k] - 1];
            for (int j = i + 1; j < p->n_steps; j++) {
                if (!reads(&p->step[j], over)) continue;
                return fl_fail(err, FL_ERR_ARG,
                               "node %d (%s) overwrites a value that node %d (%s) reads later",
                               s->node, op->name, p->step[j].node,
                               fli_step_op(p, &p->step[j])->name);
            }
        }
    }
    return FL_OK;
}

fl_status fli_lower(fli_plan *p, const fl_graph *g, fl_arena *arena, fl_err *err) {
    *p = (fli_plan){.g = g, .arena = arena};
    FL_TRY(reserve(p, err));
    add_slots(p);
    add_steps(p);
    bind_gradients(p);
    FL_TRY(fuse_losses(p, err));
    drop_dead(p);
    if (!p->n_steps) return fl_fail(err, FL_ERR_ARG, "nothing to run: the graph has no output");
    return check_in_place(p, err);
}
