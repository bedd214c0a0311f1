/* place.c - kernels chosen, and memory shared by slots that are never alive together.
 *
 * A slot lies in another's memory when it is a view of it, is written over it by its operation's
 * rule, adds onto it, or when the operation may work in place and nobody reads its input
 * afterwards. What is left gets offsets greedily: the largest first, each into the lowest gap among
 * those whose lives overlap its own (Pisarchyk and Lee, "Efficient memory management for deep
 * neural net inference", 2020). */
#include <stdlib.h>
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"
#include "base/assert.h"

/* --- kernels --- */

/* Below this a step is done before another thread has woken. */
static const double INLINE_SECONDS = 4e-6, CORE_FLOPS = 4e10, CORE_BYTES = 1e10;

static size_t most(size_t (*bytes)(const fl_call *), const fl_call *c) {
    return bytes ? bytes(c) : 0;
}

static fl_status add_workspace(fli_plan *p, fli_step *s, fl_err *err) {
    size_t bytes = most(s->kernel->workspace, &s->call);
    if (s->head) {  // the flag changes from run to run
        fl_call other = s->call;
        other.attr.accumulate = false;
        const size_t b = most(s->kernel->workspace, &other);
        bytes = b > bytes ? b : bytes;
    }
    if (bytes > INT64_MAX)
        return fl_fail(err, FL_ERR_NOMEM, "%s asks for %zu bytes", fli_step_op(p, s)->name, bytes);
    if (!bytes) return FL_OK;
    s->workspace = p->n_slots;
    p->slot[p->n_slots] = (fli_slot){.t = fl_tensor_of(NULL, FL_U8, 1, (int64_t[]){(int64_t)bytes}),
                                     .kind = FL_VALUE_COMPUTED,
                                     .value = -1,
                                     .root = p->n_slots,
                                     .wanted = true};
    p->n_slots++;
    return FL_OK;
}

static bool is_packed(const fli_plan *p, const fli_step *s) {
    return s->in[1] >= 0 && p->slot[s->in[1]].kind == FL_VALUE_EXTERN && s->kernel->pack_id &&
           s->kernel->pack_id(&s->call);
}

fl_status fli_choose(fli_plan *p, const fl_backend *from, fl_err *err) {
    for (int i = 0; i < p->n_steps; i++) {
        fli_step *s = &p->step[i];
        const fl_node *n = fli_step_node(p, s);
        const fl_op *op = fl_ops[n->op];
        for (int k = 0; k < s->call.n_in; k++) {
            if (s->in[k] >= 0) s->call.in[k] = p->slot[s->in[k]].t;
        }
        for (int k = 0; k < s->call.n_out; k++) {
            const fli_slot *out = &p->slot[s->out[k]];
            s->call.out[k] = out->wanted ? out->t : (fl_tensor){0};
            if (op->alias[k]) s->call.out[k].data = s->call.in[op->alias[k] - 1].data;
        }
        if (op->view) {  // of the caller's memory: the same memory
            const fli_slot *x = &p->slot[s->in[0]];
            if (x->kind == FL_VALUE_EXTERN)
                p->slot[s->out[0]].kind = x->kind, p->slot[s->out[0]].t.data = x->t.data;
            continue;
        }
        s->call.attr.accumulate |= s->head;
        s->backend = fli_backend_for(from, n->op, &s->call);
        s->kernel = s->backend->kernel[n->op];
        s->values = op->values;
        if (is_packed(p, s))
            s->call.packed = &p->slot[s->in[1]];  // any address: asked before there is one
        s->cost = fl_call_cost(n->op, &s->call);
        s->work = s->cost.flops / CORE_FLOPS + s->cost.bytes / CORE_BYTES;
        s->inline_ = s->work < INLINE_SECONDS;
        const size_t scratch = most(s->kernel->scratch, &s->call);
        if (scratch > p->scratch_bytes) p->scratch_bytes = scratch;
        FL_TRY(add_workspace(p, s, err));
    }
    return FL_OK;
}

/* --- lives --- */

static int root_of(const fli_plan *p, int slot) {
    while (p->slot[slot].root != slot) slot = p->slot[slot].root;
    return slot;
}

static void merge(fli_plan *p, int slot, int into) {
    const int r = root_of(p, into);
    fli_slot *a = &p->slot[r], *b = &p->slot[slot];
    FL_ASSERT(b->root == slot && r != slot);
    b->root = r;
    a->keep |= b->keep;
    a->lasts |= b->lasts;
    if (b->first < a->first) a->first = b->first;
    if (b->last > a->last) a->last = b->last;
}

/* The slot is in use during the steps of a job. */
static void touch(fli_plan *p, int slot, int first, int last) {
    if (slot < 0) return;
    fli_slot *s = &p->slot[slot];
    if (first < s->first) s->first = first;
    if (last > s->last) s->last = last;
}

static void find_lives(fli_plan *p) {
    for (int v = 0; v < p->n_slots; v++) {
        p->slot[v].first = p->n_steps;
        p->slot[v].last = -1;
    }
    for (int i = 0, first = 0; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        if (s->job) first = i;
        const int last = first + p->step[first].job - 1;
        for (int k = 0; k < FL_MAX_IN; k++) touch(p, s->in[k], first, last);
        for (int k = 0; k < FL_MAX_OUT; k++) {
            if (s->out[k] >= 0 && p->slot[s->out[k]].wanted) touch(p, s->out[k], first, last);
        }
        touch(p, s->workspace, first, last);
    }
}

/* Views, results written over inputs, and sums onto earlier ones. */
static void merge_by_rule(fli_plan *p) {
    for (int i = 0; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        const fl_op *op = fli_step_op(p, s);
        for (int k = 0; k < s->call.n_out; k++) {
            const int in = op->view       ? s->in[0]
                           : op->alias[k] ? s->in[op->alias[k] - 1]
                                          : s->onto[k];
            if (in >= 0) merge(p, s->out[k], in);
        }
    }
}

static bool may_overwrite(const fli_plan *p, const fli_step *s, int i, int k, int in) {
    const fli_slot *out = &p->slot[s->out[k]], *x = &p->slot[s->in[in]];
    const int root = root_of(p, s->in[in]);
    if (!out->wanted || out->root != s->out[k] || out->kind != FL_VALUE_COMPUTED) return false;
    if (p->slot[root].kind != FL_VALUE_COMPUTED || p->slot[root].keep || p->slot[root].last != i)
        return false;
    if (fl_dtype_bytes(out->t.dtype) != fl_dtype_bytes(x->t.dtype)) return false;
    if (fl_tensor_bytes(&out->t) != fl_tensor_bytes(&x->t) || s->head) return false;
    for (int j = 0; j < s->call.n_in; j++) {  // another input in the same memory, seen otherwise
        if (j != in && s->in[j] >= 0 && root_of(p, s->in[j]) == root) return false;
    }
    return true;
}

static void merge_in_place(fli_plan *p) {
    for (int i = 0; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        const fl_op *op = fli_step_op(p, s);
        for (int k = 0; k < s->call.n_out; k++) {
            const int in = op->in_place[k] - 1;
            if (in >= 0 && may_overwrite(p, s, i, k, in)) merge(p, s->out[k], s->in[in]);
        }
    }
}

/* --- offsets --- */

static bool planned(const fli_plan *p, int v) {
    const fli_slot *s = &p->slot[v];
    return s->root == v && s->kind != FL_VALUE_EXTERN && (s->last >= 0 || s->keep || s->lasts);
}

static bool alive_together(const fli_slot *a, const fli_slot *b) {
    return a->first <= b->last && b->first <= a->last;
}

static int larger_first(const void *a, const void *b) {
    const fli_slot *const *x = a, *const *y = b;
    if ((*x)->bytes != (*y)->bytes) return (*x)->bytes > (*y)->bytes ? -1 : 1;
    return (*x < *y) ? -1 : 1;  // by position: the order must not depend on the sort
}

/* The lowest gap that is wide enough; `placed` is sorted by offset. Returns where to insert. */
static int find_gap(fli_slot *const *placed, int n, fli_slot *s) {
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        if (!alive_together(placed[i], s)) continue;
        if (placed[i]->offset >= end + s->bytes) break;
        const size_t after = placed[i]->offset + placed[i]->bytes;
        if (after > end) end = after;
    }
    s->offset = end;
    int at = n;
    while (at > 0 && placed[at - 1]->offset > end) at--;
    return at;
}

/* No two slots alive together may overlap. */
#ifndef NDEBUG
static bool places_are_sound(fli_slot *const *placed, int n) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            const fli_slot *a = placed[i], *b = placed[j];
            if (alive_together(a, b) && a->offset < b->offset + b->bytes &&
                b->offset < a->offset + a->bytes) {
                return false;
            }
        }
    }
    return true;
}
#endif

static int collect(fli_plan *p, fli_slot **list) {
    int n = 0;
    for (int v = 0; v < p->n_slots; v++) {
        fli_slot *s = &p->slot[v];
        if (!planned(p, v)) continue;
        s->bytes = fli_round_up(fl_tensor_bytes(&s->t), FL_ALIGN);
        if (s->lasts) s->first = 0;
        if (s->lasts || s->keep) s->last = p->n_steps;
        p->unshared_bytes += s->bytes;
        list[n++] = s;
    }
    return n;
}

fl_status fli_place(fli_plan *p, fl_err *err) {
    find_lives(p);
    merge_by_rule(p);
    merge_in_place(p);
    fli_slot **order = FL_NEW(p->arena, fli_slot *, (size_t)p->n_slots);
    fli_slot **placed = FL_NEW(p->arena, fli_slot *, (size_t)p->n_slots);
    if (!order || !placed) return fl_fail(err, FL_ERR_NOMEM, "planning");
    const int n = collect(p, order);
    qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int i = 0; i < n; i++) {
        const int at = find_gap(placed, i, order[i]);
        memmove(placed + at + 1, placed + at, (size_t)(i - at) * sizeof *placed);
        placed[at] = order[i];
        const size_t end = order[i]->offset + order[i]->bytes;
        if (end > p->bytes) p->bytes = end;
    }
    FL_ASSERT(places_are_sound(placed, n));
    return FL_OK;
}
