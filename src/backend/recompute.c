/* recompute.c - trade time for memory: the forward steps of a scope run again right before its
 * backward (Chen et al., "Training deep nets with sublinear memory cost", 2016).
 *
 * What a scope hands to later scopes stays in memory; so everything inside can be made again from
 * what it was given. Repeated steps are the same kernels on the same numbers, so results do not
 * change. */
#include <string.h>

#include "backend/plan.h"
#include "base/assert.h"

static bool is_forward_of(const fli_plan *p, const fli_step *s, int scope) {
    const fl_node *n = fli_step_node(p, s);
    return !n->backward && !s->repeated && n->scope == scope;
}

static bool is_backward(const fli_plan *p, const fli_step *s) {
    return fli_step_node(p, s)->backward;
}

/* The i-th scope with a name and forward steps that something backward reads, or -1. */
static int nth_scope(const fli_plan *p, int wanted) {
    int last = -1, n = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const fl_node *node = fli_step_node(p, &p->step[i]);
        if (node->backward || p->step[i].repeated || node->scope <= last) continue;
        last = node->scope;
        if (*fl_graph_scope_name(p->g, last) && n++ == wanted) return last;
    }
    return -1;
}

int fli_n_scopes_to_recompute(const fli_plan *p) {
    bool any_backward = false;
    for (int i = 0; i < p->n_steps; i++) any_backward |= is_backward(p, &p->step[i]);
    int n = 0;
    while (any_backward && nth_scope(p, n) >= 0) n++;
    return n;
}

enum { INSIDE = 1, STAYS = 2, NEEDED = 4 };  // of a slot, about the scope at hand

/* INSIDE: made by the scope. STAYS: also read by later forward steps, or after the run. NEEDED:
 * read by backward steps, or to make what is. Returns the first backward reader of a slot to be
 * made again. */
static int mark(const fli_plan *p, int scope, uint8_t *is) {
    memset(is, 0, (size_t)p->n_slots);
    int first = -1;
    for (int i = 0; i < p->n_steps; i++) {
        const fli_step *s = &p->step[i];
        const bool own = is_forward_of(p, s, scope), again = !fli_step_op(p, s)->no_recompute;
        for (int k = 0; k < s->call.n_out && own; k++) {
            is[s->out[k]] |= (uint8_t)(INSIDE | (p->slot[s->out[k]].keep || !again ? STAYS : 0));
        }
        for (int k = 0; k < s->call.n_in; k++) {
            if (s->in[k] < 0 || !(is[s->in[k]] & INSIDE) || own) continue;
            is[s->in[k]] |= is_backward(p, s) || s->repeated ? NEEDED : STAYS;
        }
    }
    for (int i = p->n_steps - 1; i >= 0; i--) {
        const fli_step *s = &p->step[i];
        for (int k = 0; k < s->call.n_in && is_backward(p, s); k++) {
            if (s->in[k] >= 0 && (is[s->in[k]] & (INSIDE | STAYS | NEEDED)) == (INSIDE | NEEDED))
                first = i;
        }
    }
    return first;
}

static bool makes_again(const fli_step *s, const uint8_t *is) {
    for (int k = 0; k < s->call.n_out; k++) {
        if ((is[s->out[k]] & (NEEDED | STAYS)) == NEEDED) return true;
    }
    return false;
}

/* What is needed to make a needed slot again is needed too. */
static void close_over(const fli_plan *p, int scope, uint8_t *is) {
    for (int i = p->n_steps - 1; i >= 0; i--) {
        const fli_step *s = &p->step[i];
        if (!is_forward_of(p, s, scope) || !makes_again(s, is)) continue;
        for (int k = 0; k < s->call.n_in; k++) {
            if (s->in[k] >= 0 && is[s->in[k]] & INSIDE) is[s->in[k]] |= NEEDED;
        }
    }
}

/* A second step over new slots; `again` maps the old ones. */
static fli_step repeat(fli_plan *p, const fli_step *s, const uint8_t *is, int *again) {
    fli_step r = *s;
    r.repeated = true;
    for (int k = 0; k < s->call.n_in; k++) {
        if (s->in[k] >= 0 && again[s->in[k]] >= 0) r.in[k] = again[s->in[k]];
    }
    for (int k = 0; k < s->call.n_out; k++) {
        fli_slot *slot = &p->slot[p->n_slots];
        *slot = p->slot[s->out[k]];
        slot->root = p->n_slots;
        slot->wanted = (is[s->out[k]] & (NEEDED | STAYS)) == NEEDED;
        slot->keep = false;
        again[s->out[k]] = slot->wanted ? p->n_slots : -1;
        r.out[k] = p->n_slots++;
    }
    return r;
}

static fl_status recompute_scope(fli_plan *p, int scope, fl_err *err) {
    const size_t n_slots = (size_t)p->n_slots;
    const fl_mark before = fl_arena_mark(p->arena);
    uint8_t *is = FL_NEW(p->arena, uint8_t, n_slots);
    int *again = FL_NEW(p->arena, int, n_slots);
    fli_step *copy = FL_NEW(p->arena, fli_step, (size_t)p->n_steps);
    if (!is || !again || !copy) return fl_fail(err, FL_ERR_NOMEM, "planning");
    for (size_t i = 0; i < n_slots; i++) again[i] = -1;

    const int at = mark(p, scope, is);
    if (at >= 0) {
        close_over(p, scope, is);
        int n = 0;
        for (int i = 0; i < at; i++) {
            const fli_step *s = &p->step[i];
            if (is_forward_of(p, s, scope) && makes_again(s, is))
                copy[n++] = repeat(p, s, is, again);
        }
        memmove(&p->step[at + n], &p->step[at], (size_t)(p->n_steps - at) * sizeof *copy);
        memcpy(&p->step[at], copy, (size_t)n * sizeof *copy);
        p->n_steps += n;
        for (int i = at + n; i < p->n_steps; i++) {
            for (int k = 0; k < p->step[i].call.n_in; k++) {
                const int in = p->step[i].in[k];
                if (in >= 0 && (size_t)in < n_slots && again[in] >= 0) p->step[i].in[k] = again[in];
            }
        }
        for (int i = 0; i < n; i++) p->n_repeated += !fli_step_op(p, &copy[i])->view;
    }
    fl_arena_rewind(p->arena, before);
    return FL_OK;
}

fl_status fli_recompute(fli_plan *p, int n_scopes, fl_err *err) {
    for (int i = 0; i < n_scopes; i++) FL_TRY(recompute_scope(p, nth_scope(p, i), err));
    return FL_OK;
}
