/* call.c - calling: arguments, rows of the tables, macros. */
#include <string.h>

#include "token/jinja/jinja.h"

struct fli_macro {
    const fli_node *def;  // a MACRO_DEF or a CALL_BLOCK
    fli_scope *scope;     // where it stands, and whose names it sees
};

const fli_native *fli_native_find(const fli_native *table, fli_val name) {
    for (; table->name; table++)
        if (fli_is(name, table->name)) return table;
    return NULL;
}

const fli_native *fli_filter_find(fli_val name) {
    return fli_native_find(fli_filters, name);
}

/* ---- arguments ---- */

static void spread_named(fli_run *r, fli_val named, fli_val v) {
    if (v.kind != FLI_DICT) fli_fail(r, "** wants a dict, not a %s", fli_kind_name(v));
    for (size_t i = 0; r->status == FL_OK && i < v.as.dict->n; i++)
        if (fli_want_str(r, v.as.dict->key[i], "a keyword"))
            fli_put(r, named, v.as.dict->key[i], v.as.dict->value[i]);
}

/* Evaluate a call's arguments: *list and *named are new. */
static void eval_arguments(fli_run *r, fli_scope *scope, const fli_node *args, fli_val *list,
                           fli_val *named) {
    *list = fli_list_new(r, FLI_LIST);
    *named = fli_dict_new(r, FLI_DICT);
    for (; args && r->status == FL_OK; args = args->next) {
        const fli_val v = fli_eval(r, scope, args->a);
        if (args->op == FLI_POWER) {
            spread_named(r, *named, v);
        } else if (args->op == '*') {
            const fli_list *items = fli_items(r, v);
            for (size_t i = 0; i < items->n; i++) fli_push(r, *list, items->item[i]);
        } else if (args->value.kind == FLI_STR) {
            fli_put(r, *named, args->value, v);
        } else {
            fli_push(r, *list, v);
        }
    }
}

static fli_args arguments(fli_val self, fli_val list, fli_val named) {
    return (fli_args){.self = self,
                      .list = list.as.list->item,
                      .n = list.as.list->n,
                      .named = named.as.dict};
}

/* The index of a name among "width first blank"; -1. */
static int param_index(const char *params, fli_val name) {
    int i = 0;
    for (const char *p = params; *p; p += strcspn(p, " "), p += *p == ' ', i++)
        if (strcspn(p, " ") == name.n && memcmp(p, name.as.s, name.n) == 0) return i;
    return -1;
}

static int count_params(const char *params) {
    int n = *params != 0;
    for (; *params; params++) n += *params == ' ';
    return n;
}

static bool bind(fli_run *r, const fli_native *row, fli_args *a) {
    const size_t most = (size_t)count_params(row->params);
    if (a->n > most) {
        fli_fail(r, "%s takes at most %zu arguments, not %zu", row->name, most, a->n);
        return false;
    }
    a->given = 0;
    for (size_t i = 0; i < a->n; i++) {
        a->v[i] = a->list[i];
        a->given |= 1U << i;
    }
    for (size_t i = 0; a->named && i < a->named->n; i++) {
        const fli_val name = a->named->key[i];
        const int at = param_index(row->params, name);
        const int shown = name.n < 40 ? (int)name.n : 40;
        if (at < 0 || fli_given(a, at)) {
            fli_fail(r, "%s: %s '%.*s'", row->name, at < 0 ? "no parameter" : "passed twice is",
                     shown, name.as.s);
            return false;
        }
        a->v[at] = a->named->value[i];
        a->given |= 1U << at;
    }
    for (int i = 0; i < row->required; i++)
        if (!fli_given(a, i)) {
            fli_fail(r, "%s wants %d argument%s", row->name, row->required,
                     row->required > 1 ? "s" : "");
            return false;
        }
    return true;
}

fli_val fli_call_native(fli_run *r, const fli_native *row, fli_args *a) {
    if (!fli_work(r, 1)) return fli_none();
    if (*row->params != '*' && !bind(r, row, a)) return fli_none();
    return row->fn(r, a);
}

/* ---- macros ---- */

const fli_macro *fli_macro_new(fli_run *r, const fli_scope *scope, const fli_node *def) {
    fli_macro *m = FLI_NEW(r, fli_macro, 1);
    if (m) *m = (fli_macro){.def = def, .scope = (fli_scope *)scope};
    return m;
}

static bool takes(const fli_macro *m, fli_val name) {
    for (const fli_node *p = m->def->args; p; p = p->next)
        if (fli_same_text(p->value, name)) return true;
    return m->def->op & FLI_USES_CALLER && fli_is(name, "caller");
}

/* What the macro does not declare goes to varargs and kwargs where its body mentions them. */
static void bind_extras(fli_run *r, const fli_macro *m, fli_scope *scope, const fli_args *a,
                        size_t n_params) {
    const fli_val name = m->def->value;
    fli_val more = fli_list_new(r, FLI_TUPLE), named = fli_dict_new(r, FLI_DICT);
    for (size_t i = n_params; i < a->n; i++) fli_push(r, more, a->list[i]);
    for (size_t i = 0; a->named && i < a->named->n; i++)
        if (!takes(m, a->named->key[i])) fli_put(r, named, a->named->key[i], a->named->value[i]);
    if (r->status != FL_OK) return;
    if (m->def->op & FLI_USES_VARARGS) fli_scope_set(r, scope, fli_view("varargs", 7), more);
    else if (more.as.list->n)
        fli_fail(r, "macro '%.*s' takes at most %zu arguments, not %zu", (int)name.n, name.as.s,
                 n_params, a->n);
    if (m->def->op & FLI_USES_KWARGS) fli_scope_set(r, scope, fli_view("kwargs", 6), named);
    else if (named.as.dict->n)
        fli_fail(r, "macro '%.*s' has no parameter '%.*s'", (int)name.n, name.as.s,
                 (int)named.as.dict->key[0].n, named.as.dict->key[0].as.s);
}

static void bind_params(fli_run *r, const fli_macro *m, fli_scope *scope, const fli_args *a) {
    size_t i = 0;
    for (const fli_node *p = m->def->args; p && r->status == FL_OK; p = p->next, i++) {
        const fli_val *named = a->named ? fli_get_name(a->named, p->value.as.s, p->value.n) : NULL;
        fli_val v = fli_undefined((fli_val){0}, p->value.as.s, p->value.n);
        if (i < a->n) v = a->list[i];
        else if (named) v = *named;
        else if (p->a) v = fli_eval(r, scope, p->a);
        if (i < a->n && named)
            fli_fail(r, "'%.*s' is passed twice", (int)p->value.n, p->value.as.s);
        fli_scope_set(r, scope, p->value, v);
    }
    if (m->def->op & FLI_USES_CALLER && m->def->kind == FLI_MACRO_DEF) {
        const fli_val *caller = a->named ? fli_get_name(a->named, "caller", 6) : NULL;
        fli_scope_set(r, scope, fli_view("caller", 6),
                      caller ? *caller : fli_undefined((fli_val){0}, "caller", 6));
    }
    bind_extras(r, m, scope, a, i);
}

static fli_val call_macro(fli_run *r, const fli_macro *m, const fli_args *a) {
    const int line = r->line;
    fli_scope *scope = FLI_NEW(r, fli_scope, 1);
    if (!scope) return fli_none();
    scope->outer = m->scope;
    bind_params(r, m, scope, a);
    const fli_val text = fli_capture(r, scope, m->def->body);
    r->line = line;
    return text;
}

/* ---- calls ---- */

fli_val fli_method_new(fli_run *r, fli_val self, const fli_native *function) {
    fli_method *m = FLI_NEW(r, fli_method, 1);
    if (!m) return fli_none();
    *m = (fli_method){.self = self, .function = function};
    return (fli_val){.kind = FLI_METHOD, .as.method = m};
}

/* A method of a safe string escapes its arguments' strings, and what it gives is safe again. */
static fli_val call_safe_method(fli_run *r, const fli_native *row, fli_args *a) {
    fli_val list = fli_list_new(r, FLI_LIST);
    for (size_t i = 0; i < a->n && r->status == FL_OK; i++) {
        const fli_val v = a->list[i];
        fli_push(r, list, v.kind == FLI_STR ? fli_escape(r, v) : v);
    }
    if (r->status != FL_OK) return fli_none();
    a->list = list.as.list->item;
    fli_val out = fli_call_native(r, row, a);
    out.safe = out.kind == FLI_STR;
    const bool parts = out.kind == FLI_LIST || out.kind == FLI_TUPLE;
    for (size_t i = 0; parts && i < out.as.list->n; i++)
        out.as.list->item[i].safe = out.as.list->item[i].kind == FLI_STR;
    return out;
}

static fli_val call_method(fli_run *r, const fli_method *m, fli_args *a) {
    a->self = m->self;
    if (m->self.kind == FLI_STR && m->self.safe) return call_safe_method(r, m->function, a);
    return fli_call_native(r, m->function, a);
}

fli_val fli_call_value(fli_run *r, fli_val f, fli_args *a) {
    switch ((fli_kind)f.kind) {
    case FLI_FUNCTION: return fli_call_native(r, f.as.function, a);
    case FLI_METHOD: return call_method(r, f.as.method, a);
    case FLI_MACRO: return call_macro(r, f.as.macro, a);
    default: return fli_cannot(r, f, "be called");
    }
}

/* A CALL of self, or a FILTER or TEST of self. */
fli_val fli_call_node(fli_run *r, fli_scope *scope, const fli_node *n, fli_val self) {
    fli_val list, named;
    eval_arguments(r, scope, n->args, &list, &named);
    if (r->status != FL_OK) return fli_none();
    fli_args a = arguments(self, list, named);
    if (n->kind == FLI_CALL) return fli_call_value(r, self, &a);
    if (n->native) return fli_call_native(r, n->native, &a);
    return fli_fail(r, "there is no %s '%.*s'", n->kind == FLI_TEST ? "test" : "filter",
                    n->value.n < 40 ? (int)n->value.n : 40, n->value.as.s);
}

fli_val fli_call_block(fli_run *r, fli_scope *scope, const fli_node *n) {
    fli_val list, named;
    const fli_val f = fli_eval(r, scope, n->a->a);
    const fli_macro *caller = fli_macro_new(r, scope, n);
    eval_arguments(r, scope, n->a->args, &list, &named);
    fli_put(r, named, fli_view("caller", 6), (fli_val){.kind = FLI_MACRO, .as.macro = caller});
    if (r->status != FL_OK) return fli_none();
    fli_args a = arguments(fli_none(), list, named);
    return fli_call_value(r, f, &a);
}
