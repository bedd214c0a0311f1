/* exec.c - statements.
 *
 * Scopes are Jinja's: a loop's body is one per turn, and so is what a macro, call, filter, with,
 * generation or set block holds; `set` writes to the innermost. `if` is none. */
#include "token/jinja/jinja.h"

typedef enum { NEXT, BREAK, CONTINUE } flow;

/* A running loop. Items are filtered when they are reached, for the filter may depend on what the
 * body did before; only looking ahead (loop.last, nextitem, length) reaches further. */
struct fli_loop {
    const fli_list *source;
    size_t next;
    const fli_node *filter;  // NULL: none, or all that is left has passed
    const fli_node *target;
    fli_scope *outer;
    fli_val before, current, after;
    bool has_after;
    int64_t index0;
    fli_val changed;  // what loop.changed saw last
};

static flow exec_list(fli_run *r, fli_scope *scope, const fli_node *n);

static void emit(fli_run *r, const char *s, size_t n) {
    const size_t most = r->captures ? r->memory : r->output;
    if (r->status != FL_OK) return;
    if (n > most || r->out->n > most - n) {
        fli_fail(r, "the template makes more than %zu bytes of text: it is stopped", most);
        return;
    }
    fl_text_append(r->out, s, n);
    if (r->out->failed) r->status = fl_text_ok(r->out, r->err);
    if (r->captures) r->memory -= n;
    fli_work(r, n / 64);
}

fli_val fli_capture(fli_run *r, fli_scope *scope, const fli_node *body) {
    fl_text text = {0}, *outside = r->out;
    r->out = &text;
    r->captures++;
    exec_list(r, scope, body);
    r->captures--;
    r->out = outside;
    return fli_text_end(r, &text);
}

/* In the arena, because a macro that is defined in it may outlive the block. */
static fli_scope *scope_new(fli_run *r, fli_scope *outer) {
    fli_scope *scope = FLI_NEW(r, fli_scope, 1);
    if (scope) scope->outer = outer;
    return scope;
}

static void print_value(fli_run *r, fli_val v) {
    const fli_val s = fli_to_str(r, v);
    if (r->status == FL_OK) emit(r, s.as.s, s.n);
}

/* ---- assignment ---- */

static void unpack(fli_run *r, fli_scope *scope, const fli_node *targets, fli_val v) {
    const fli_list *items = fli_items(r, v);
    size_t i = 0;
    const fli_node *t = targets;
    for (; t && i < items->n; t = t->next) fli_assign(r, scope, t, items->item[i++]);
    if (t || i < items->n)
        fli_fail(r, "a %s of %zu values is not as many as there are names", fli_kind_name(v),
                 items->n);
}

static void assign_attribute(fli_run *r, fli_scope *scope, const fli_node *target, fli_val v) {
    const fli_val name = target->value, of = fli_eval(r, scope, target->a);
    if (r->status != FL_OK) return;
    if (of.kind != FLI_NAMESPACE)
        fli_fail(r, "only a namespace's attributes can be set, not a %s's", fli_kind_name(of));
    else if (name.n && *name.as.s == '_')
        fli_fail(r, "a namespace's attribute cannot begin with '_'");
    else fli_put(r, of, name, v);
}

void fli_assign(fli_run *r, fli_scope *scope, const fli_node *target, fli_val v) {
    if (r->status != FL_OK) return;
    if (target->kind == FLI_NAME) fli_scope_set(r, scope, target->value, v);
    else if (target->kind == FLI_MAKE_TUPLE) unpack(r, scope, target->args, v);
    else assign_attribute(r, scope, target, v);
}

static flow exec_set(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_assign(r, scope, n->a, fli_eval(r, scope, n->b));
    return NEXT;
}

/* The filters of a block, innermost first, over its text. */
static fli_val filter_text(fli_run *r, fli_scope *scope, const fli_node *filter, fli_val text) {
    if (!filter) return text;
    return fli_call_node(r, scope, filter, filter_text(r, scope, filter->a, text));
}

static fli_val filtered_body(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_scope *inner = scope_new(r, scope);
    return inner ? filter_text(r, scope, n->b, fli_capture(r, inner, n->body)) : fli_none();
}

static flow exec_set_block(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_assign(r, scope, n->a, filtered_body(r, scope, n));
    return NEXT;
}

static flow exec_filter_block(fli_run *r, fli_scope *scope, const fli_node *n) {
    print_value(r, filtered_body(r, scope, n));
    return NEXT;
}

/* ---- loops ---- */

static bool passes(fli_run *r, const fli_loop *l, fli_val item) {
    if (!l->filter) return true;
    fli_scope scope = {.outer = l->outer};
    fli_assign(r, &scope, l->target, item);
    return fli_true(fli_eval(r, &scope, l->filter));
}

static bool fetch(fli_run *r, fli_loop *l, fli_val *out) {
    while (l->next < l->source->n && fli_work(r, 1)) {
        *out = l->source->item[l->next++];
        if (passes(r, l, *out)) return r->status == FL_OK;
    }
    return false;
}

static bool look_ahead(fli_run *r, fli_loop *l) {
    if (!l->has_after) l->has_after = fetch(r, l, &l->after);
    return l->has_after;
}

static bool advance(fli_run *r, fli_loop *l) {
    l->before = l->current;
    if (!look_ahead(r, l)) return false;
    l->current = l->after;
    l->has_after = false;
    l->index0++;
    return true;
}

/* How many items are still to come. Filters all of them now. */
static int64_t left(fli_run *r, fli_loop *l) {
    fli_val rest = fli_list_new(r, FLI_LIST), item;
    while (l->filter && fetch(r, l, &item)) fli_push(r, rest, item);
    if (l->filter && r->status == FL_OK) {
        l->source = rest.as.list;
        l->next = 0;
        l->filter = NULL;
    }
    return (int64_t)(l->source->n - l->next) + l->has_after;
}

fli_val fli_loop_attribute(fli_run *r, fli_loop *l, fli_val name) {
    const int64_t i = l->index0;
    if (fli_is(name, "index")) return fli_int(i + 1);
    if (fli_is(name, "index0")) return fli_int(i);
    if (fli_is(name, "first")) return fli_bool(i == 0);
    if (fli_is(name, "last")) return fli_bool(!look_ahead(r, l));
    if (fli_is(name, "length")) return fli_int(left(r, l) + i + 1);
    if (fli_is(name, "revindex")) return fli_int(left(r, l) + 1);
    if (fli_is(name, "revindex0")) return fli_int(left(r, l));
    if (fli_is(name, "previtem")) return l->before;
    if (fli_is(name, "nextitem") && look_ahead(r, l)) return l->after;
    if (fli_is(name, "depth")) return fli_int(1);
    if (fli_is(name, "depth0")) return fli_int(0);
    return fli_undefined((fli_val){.kind = FLI_LOOP}, name.as.s, name.n);
}

static fli_val loop_cycle(fli_run *r, fli_args *a) {
    if (!a->n) return fli_fail(r, "loop.cycle has nothing to choose from");
    return a->list[(size_t)a->self.as.loop->index0 % a->n];
}

static fli_val loop_changed(fli_run *r, fli_args *a) {
    fli_loop *l = a->self.as.loop;
    fli_val seen = fli_list_new(r, FLI_TUPLE);
    for (size_t i = 0; i < a->n; i++) fli_push(r, seen, a->list[i]);
    const bool same = r->status == FL_OK && fli_equal(r, l->changed, seen);
    l->changed = seen;
    return fli_bool(!same);
}

const fli_native fli_loop_methods[] = {{"cycle", "*", 0, loop_cycle},
                                       {"changed", "*", 0, loop_changed},
                                       {NULL, NULL, 0, NULL}};

/* One turn, with a scope of its own. */
static flow turn(fli_run *r, fli_loop *l, const fli_node *body) {
    fli_scope *scope = scope_new(r, l->outer);
    if (!scope) return BREAK;
    fli_assign(r, scope, l->target, l->current);
    fli_scope_set(r, scope, fli_view("loop", 4), (fli_val){.kind = FLI_LOOP, .as.loop = l});
    return exec_list(r, scope, body);
}

/* `else` runs where no turn came to its end, as in Jinja: a loop left in its first turn too. */
static flow exec_for(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_list *items = fli_items(r, fli_eval(r, scope, n->b));
    fli_loop *l = FLI_NEW(r, fli_loop, 1);
    if (!l) return NEXT;
    const fli_val undefined = fli_undefined((fli_val){.kind = FLI_LOOP}, "previtem", 8);
    *l = (fli_loop){.source = items,
                    .filter = n->c,
                    .target = n->a,
                    .outer = scope,
                    .before = undefined,
                    .current = undefined,
                    .index0 = -1};
    bool ended_one = false;
    for (flow f = NEXT; f != BREAK && advance(r, l);) {
        f = turn(r, l, n->body);
        ended_one |= f == NEXT;
    }
    fli_scope *inner = ended_one || !n->orelse ? NULL : scope_new(r, scope);
    return inner ? exec_list(r, inner, n->orelse) : NEXT;
}

/* ---- the rest ---- */

static flow exec_text(fli_run *r, fli_scope *scope, const fli_node *n) {
    (void)scope;
    if (n->value.kind == FLI_STR) emit(r, n->value.as.s, n->value.n);
    return NEXT;
}

static flow exec_print(fli_run *r, fli_scope *scope, const fli_node *n) {
    print_value(r, fli_eval(r, scope, n->a));
    return NEXT;
}

static flow exec_if(fli_run *r, fli_scope *scope, const fli_node *n) {
    while (r->status == FL_OK) {
        if (fli_true(fli_eval(r, scope, n->a))) return exec_list(r, scope, n->body);
        const bool elif = n->orelse && n->orelse->kind == FLI_IF && !n->orelse->next &&
                          n->orelse->op;
        if (!elif) return exec_list(r, scope, n->orelse);
        n = n->orelse;
        r->line = n->line;
    }
    return NEXT;
}

static flow exec_with(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_scope *inner = scope_new(r, scope);
    if (!inner) return NEXT;
    for (const fli_node *set = n->args; set; set = set->next)
        fli_assign(r, inner, set->a, fli_eval(r, scope, set->b));
    return exec_list(r, inner, n->body);
}

static flow exec_macro(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_macro *macro = fli_macro_new(r, scope, n);
    if (macro) fli_scope_set(r, scope, n->value, (fli_val){.kind = FLI_MACRO, .as.macro = macro});
    return NEXT;
}

static flow exec_call_block(fli_run *r, fli_scope *scope, const fli_node *n) {
    print_value(r, fli_call_block(r, scope, n));
    return NEXT;
}

static flow exec_generation(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_scope *inner = scope_new(r, scope);
    if (!inner) return NEXT;
    const size_t span[2] = {r->out->n, 0};
    exec_list(r, inner, n->body);
    r->n_unplaced += r->captures > 0;
    if (r->captures || r->status != FL_OK) return NEXT;
    fl_text_append(r->spans, (size_t[]){span[0], r->out->n}, sizeof span);
    r->status = fl_text_ok(r->spans, r->err);
    return NEXT;
}

static flow exec_break(fli_run *r, fli_scope *scope, const fli_node *n) {
    (void)r, (void)scope;
    return n->kind == FLI_BREAK ? BREAK : CONTINUE;
}

static flow (*const execute[FLI_N_NODES])(fli_run *, fli_scope *, const fli_node *) = {
    [FLI_TEXT] = exec_text,
    [FLI_PRINT] = exec_print,
    [FLI_SET] = exec_set,
    [FLI_SET_BLOCK] = exec_set_block,
    [FLI_IF] = exec_if,
    [FLI_FOR] = exec_for,
    [FLI_WITH] = exec_with,
    [FLI_MACRO_DEF] = exec_macro,
    [FLI_CALL_BLOCK] = exec_call_block,
    [FLI_FILTER_BLOCK] = exec_filter_block,
    [FLI_GENERATION] = exec_generation,
    [FLI_BREAK] = exec_break,
    [FLI_CONTINUE] = exec_break,
};

static flow exec_list(fli_run *r, fli_scope *scope, const fli_node *n) {
    flow f = NEXT;
    if (!fli_deeper(r)) return BREAK;
    for (; n && f == NEXT && fli_work(r, 1); n = n->next) {
        r->line = n->line;
        f = execute[n->kind](r, scope, n);
    }
    r->depth++;
    return r->status == FL_OK ? f : BREAK;
}

void fli_exec(fli_run *r, const fli_node *statements) {
    fli_scope scope = {0};
    exec_list(r, &scope, statements);
}
