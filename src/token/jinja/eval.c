/* eval.c - expressions: one function per kind of node. */
#include "token/jinja/jinja.h"

/* ---- names ---- */

fli_val *fli_scope_find(const fli_scope *scope, fli_val name) {
    for (; scope; scope = scope->outer)
        for (size_t i = 0; i < scope->n; i++)
            if (fli_same_text(scope->name[i], name)) return &scope->value[i];
    return NULL;
}

void fli_scope_set(fli_run *r, fli_scope *scope, fli_val name, fli_val v) {
    const fli_scope only = {.name = scope->name, .value = scope->value, .n = scope->n};
    fli_val *there = fli_scope_find(&only, name);
    if (there) {
        *there = v;
        return;
    }
    if (scope->n == scope->cap) {
        const size_t cap = scope->cap ? 2 * scope->cap : 4;
        fli_val *room = FLI_NEW(r, fli_val, 2 * cap);
        if (!room) return;
        for (size_t i = 0; i < scope->n; i++) {
            room[i] = scope->name[i];
            room[cap + i] = scope->value[i];
        }
        scope->name = room;
        scope->value = room + cap;
        scope->cap = cap;
    }
    scope->name[scope->n] = name;
    scope->value[scope->n++] = v;
}

static fli_val eval_name(fli_run *r, fli_scope *scope, const fli_node *n) {
    (void)r;
    const fli_val *v = fli_scope_find(scope, n->value);
    if (!v) v = fli_get_name(r->variables, n->value.as.s, n->value.n);
    if (v) return *v;
    const fli_native *row = fli_native_find(fli_functions, n->value);
    if (row) return (fli_val){.kind = FLI_FUNCTION, .as.function = row};
    return fli_undefined((fli_val){0}, n->value.as.s, n->value.n);
}

/* ---- making values ---- */

static fli_val eval_const(fli_run *r, fli_scope *scope, const fli_node *n) {
    (void)r, (void)scope;
    return n->value;
}

static fli_val eval_items(fli_run *r, fli_scope *scope, const fli_node *n, fli_kind kind) {
    fli_val list = fli_list_new(r, kind);
    for (const fli_node *i = n->args; i && r->status == FL_OK; i = i->next)
        fli_push(r, list, fli_eval(r, scope, i));
    return list;
}

static fli_val eval_list(fli_run *r, fli_scope *scope, const fli_node *n) {
    return eval_items(r, scope, n, FLI_LIST);
}

static fli_val eval_tuple(fli_run *r, fli_scope *scope, const fli_node *n) {
    return eval_items(r, scope, n, FLI_TUPLE);
}

static fli_val eval_dict(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_val dict = fli_dict_new(r, FLI_DICT);
    for (const fli_node *i = n->args; i && r->status == FL_OK; i = i->next) {
        const fli_val key = fli_eval(r, scope, i->a);
        fli_put(r, dict, key, fli_eval(r, scope, i->b));
    }
    return dict;
}

/* ---- parts of values ---- */

static fli_val eval_attribute(fli_run *r, fli_scope *scope, const fli_node *n) {
    return fli_attribute(r, fli_eval(r, scope, n->a), n->value);
}

static fli_val eval_item(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_val of = fli_eval(r, scope, n->a);
    return fli_item(r, of, fli_eval(r, scope, n->b));
}

static fli_val eval_or_none(fli_run *r, fli_scope *scope, const fli_node *n) {
    return n ? fli_eval(r, scope, n) : fli_none();
}

static fli_val eval_slice(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_val of = fli_eval(r, scope, n->a), from = eval_or_none(r, scope, n->b),
                  to = eval_or_none(r, scope, n->c);
    return fli_slice(r, of, from, to, eval_or_none(r, scope, n->d));
}

/* ---- calls ---- */

static fli_val eval_call(fli_run *r, fli_scope *scope, const fli_node *n) {
    return fli_call_node(r, scope, n, fli_eval(r, scope, n->a));
}

/* ---- operators ---- */

static fli_val eval_not(fli_run *r, fli_scope *scope, const fli_node *n) {
    return fli_bool(!fli_true(fli_eval(r, scope, n->a)));
}

static fli_val eval_negative(fli_run *r, fli_scope *scope, const fli_node *n) {
    return fli_negative(r, fli_eval(r, scope, n->a));
}

static fli_val eval_positive(fli_run *r, fli_scope *scope, const fli_node *n) {
    return fli_negative(r, eval_negative(r, scope, n));
}

static fli_val eval_and(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_val a = fli_eval(r, scope, n->a);
    return fli_true(a) ? fli_eval(r, scope, n->b) : a;
}

static fli_val eval_or(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_val a = fli_eval(r, scope, n->a);
    return fli_true(a) ? a : fli_eval(r, scope, n->b);
}

static fli_val eval_concat(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_val a = fli_to_str(r, fli_eval(r, scope, n->a));
    fli_val b = fli_to_str(r, fli_eval(r, scope, n->b));
    a.safe = b.safe = false;
    return fli_arithmetic(r, '+', a, b);
}

static fli_val eval_arithmetic(fli_run *r, fli_scope *scope, const fli_node *n) {
    const fli_val a = fli_eval(r, scope, n->a);
    return fli_arithmetic(r, n->op, a, fli_eval(r, scope, n->b));
}

/* a < b < c is a < b and b < c. */
static fli_val eval_compare(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_val left = fli_eval(r, scope, n->a);
    for (const fli_node *o = n->args; o && r->status == FL_OK; o = o->next) {
        const fli_val right = fli_eval(r, scope, o->a);
        if (!fli_compare(r, o->op, left, right)) return fli_bool(false);
        left = right;
    }
    return fli_bool(true);
}

static fli_val eval_condition(fli_run *r, fli_scope *scope, const fli_node *n) {
    if (fli_true(fli_eval(r, scope, n->a))) return fli_eval(r, scope, n->b);
    return n->c ? fli_eval(r, scope, n->c) : fli_undefined((fli_val){0}, "if without else", 15);
}

/* ---- all ---- */

static fli_val (*const evaluate[FLI_N_NODES])(fli_run *, fli_scope *, const fli_node *) = {
    [FLI_CONST] = eval_const,       [FLI_NAME] = eval_name,
    [FLI_MAKE_LIST] = eval_list,    [FLI_MAKE_TUPLE] = eval_tuple,
    [FLI_MAKE_DICT] = eval_dict,    [FLI_ATTRIBUTE] = eval_attribute,
    [FLI_ITEM] = eval_item,         [FLI_SLICE] = eval_slice,
    [FLI_CALL] = eval_call,         [FLI_FILTER] = eval_call,
    [FLI_TEST] = eval_call,         [FLI_NOT] = eval_not,
    [FLI_NEGATIVE] = eval_negative, [FLI_POSITIVE] = eval_positive,
    [FLI_AND] = eval_and,           [FLI_OR] = eval_or,
    [FLI_CONCAT] = eval_concat,     [FLI_ARITHMETIC] = eval_arithmetic,
    [FLI_COMPARE] = eval_compare,   [FLI_CONDITION] = eval_condition,
};

fli_val fli_eval(fli_run *r, fli_scope *scope, const fli_node *n) {
    if (!fli_deeper(r)) return fli_none();
    const fli_val v = evaluate[n->kind](r, scope, n);
    r->depth++;
    return r->status == FL_OK ? v : fli_none();
}
