/* value.c - values: making them, what is true, equal, less, inside another. */
#include <string.h>

#include "token/jinja/jinja.h"

/* ---- making ---- */

fli_val fli_undefined(fli_val of, const char *name, size_t n) {
    return (fli_val){.kind = FLI_UNDEFINED, .of = of.kind, .n = (uint32_t)n, .as.s = name};
}

fli_val fli_none(void) {
    return (fli_val){.kind = FLI_NONE};
}

fli_val fli_bool(bool b) {
    return (fli_val){.kind = FLI_BOOL, .as.b = b};
}

fli_val fli_int(int64_t i) {
    return (fli_val){.kind = FLI_INT, .as.i = i};
}

fli_val fli_real(double r) {
    return (fli_val){.kind = FLI_REAL, .as.r = r};
}

fli_val fli_view(const char *s, size_t n) {
    return (fli_val){.kind = FLI_STR, .n = (uint32_t)n, .as.s = s};
}

fli_val fli_literal(const char *s) {
    return fli_view(s, strlen(s));
}

fli_val fli_str(fli_run *r, const char *s, size_t n) {
    if (!fli_work(r, n / 64)) return fli_none();
    char *copy = n ? FLI_NEW(r, char, n) : NULL;
    if (copy) memcpy(copy, s, n);
    return fli_view(copy ? copy : "", copy ? n : 0);
}

void fli_append(fli_run *r, fl_text *t, const char *s, size_t n) {
    if (!fli_work(r, n / 64)) return;
    if (t->n + n > r->memory) {
        fli_fail(r, "a string of more than %zu bytes: it is stopped", r->memory);
        return;
    }
    fl_text_append(t, s, n);
    if (t->failed && r->status == FL_OK) r->status = fl_text_ok(t, r->err);
}

fli_val fli_text_end(fli_run *r, fl_text *t) {
    fli_val v = fli_str(r, fl_text_str(t), t->n);
    fl_text_clear(t);
    return v;
}

fli_val fli_list_new(fli_run *r, fli_kind kind) {
    fli_list *list = FLI_NEW(r, fli_list, 1);
    if (!list) return fli_none();
    list->label = kind == FLI_ITER ? "generator object" : "";
    return (fli_val){.kind = (uint8_t)kind, .as.list = list};
}

/* Twice the room in the arena; the old is left there. */
static bool grow(fli_run *r, fli_val **p, size_t n, size_t cap) {
    fli_val *more = FLI_NEW(r, fli_val, cap);
    if (!more) return false;
    if (n) memcpy(more, *p, n * sizeof *more);
    *p = more;
    return true;
}

void fli_push(fli_run *r, fli_val list, fli_val item) {
    if (!fli_work(r, 1)) return;
    fli_list *l = list.as.list;
    const size_t cap = l->cap ? 2 * l->cap : 4;
    if (l->n == l->cap) {
        if (!grow(r, &l->item, l->n, cap)) return;
        l->cap = cap;
    }
    l->item[l->n++] = item;
}

fli_val fli_pair(fli_run *r, fli_val a, fli_val b) {
    fli_val pair = fli_list_new(r, FLI_TUPLE);
    fli_push(r, pair, a);
    fli_push(r, pair, b);
    return pair;
}

fli_val fli_dict_new(fli_run *r, fli_kind kind) {
    fli_dict *d = FLI_NEW(r, fli_dict, 1);
    return d ? (fli_val){.kind = (uint8_t)kind, .as.dict = d} : fli_none();
}

fli_val *fli_get_name(const fli_dict *d, const char *name, size_t n) {
    for (size_t i = 0; i < d->n; i++) {
        const fli_val k = d->key[i];
        if (k.kind == FLI_STR && k.n == n && memcmp(k.as.s, name, n) == 0) return &d->value[i];
    }
    return NULL;
}

fli_val *fli_get(fli_run *r, const fli_dict *d, fli_val key) {
    if (!fli_work(r, 1 + d->n / 8)) return NULL;
    if (key.kind == FLI_STR) return fli_get_name(d, key.as.s, key.n);
    for (size_t i = 0; i < d->n; i++)
        if (d->key[i].kind != FLI_STR && fli_equal(r, d->key[i], key)) return &d->value[i];
    return NULL;
}

bool fli_want_key(fli_run *r, fli_val key) {
    if (key.kind > FLI_STR && key.kind != FLI_TUPLE)
        fli_fail(r, "a %s cannot be a key", fli_kind_name(key));
    return r->status == FL_OK;
}

void fli_put(fli_run *r, fli_val dict, fli_val key, fli_val value) {
    if (!fli_want_key(r, key)) return;
    fli_dict *d = dict.as.dict;
    fli_val *there = fli_get(r, d, key);
    if (there) {
        *there = value;
        return;
    }
    const size_t cap = d->cap ? 2 * d->cap : 4;
    if (d->n == d->cap) {
        if (!grow(r, &d->key, d->n, cap) || !grow(r, &d->value, d->n, cap)) return;
        d->cap = cap;
    }
    d->key[d->n] = key;
    d->value[d->n++] = value;
}

/* ---- asking ---- */

const char *fli_kind_name(fli_val v) {
    static const char *const names[FLI_N_KINDS] = {[FLI_UNDEFINED] = "undefined value",
                                                   [FLI_NONE] = "none",
                                                   [FLI_BOOL] = "boolean",
                                                   [FLI_INT] = "integer",
                                                   [FLI_REAL] = "real number",
                                                   [FLI_STR] = "string",
                                                   [FLI_LIST] = "list",
                                                   [FLI_TUPLE] = "tuple",
                                                   [FLI_VIEW] = "dict's view",
                                                   [FLI_ITER] = "generator",
                                                   [FLI_DICT] = "dict",
                                                   [FLI_NAMESPACE] = "namespace",
                                                   [FLI_LOOP] = "loop",
                                                   [FLI_FUNCTION] = "function",
                                                   [FLI_METHOD] = "method",
                                                   [FLI_MACRO] = "macro"};
    return names[v.kind];
}

/* Use of an undefined value: says what is undefined. */
static void fail_undefined(fli_run *r, fli_val v) {
    const int n = v.n < 60 ? (int)v.n : 60;
    if (v.of == FLI_UNDEFINED) fli_fail(r, "'%.*s' is undefined", n, v.as.s);
    else fli_fail(r, "a %s has no '%.*s'", fli_kind_name((fli_val){.kind = v.of}), n, v.as.s);
}

fli_val fli_cannot(fli_run *r, fli_val v, const char *what) {
    if (v.kind == FLI_UNDEFINED) fail_undefined(r, v);
    return fli_fail(r, "a %s cannot %s", fli_kind_name(v), what);
}

bool fli_want_str(fli_run *r, fli_val v, const char *what) {
    if (v.kind == FLI_STR) return r->status == FL_OK;
    if (v.kind == FLI_UNDEFINED) fail_undefined(r, v);
    fli_fail(r, "%s must be a string, not a %s", what, fli_kind_name(v));
    return false;
}

bool fli_want_int(fli_run *r, fli_val v, const char *what, int64_t *out) {
    *out = v.kind == FLI_BOOL ? v.as.b : v.as.i;
    if (v.kind == FLI_INT || v.kind == FLI_BOOL) return r->status == FL_OK;
    *out = 0;
    if (v.kind == FLI_UNDEFINED) fail_undefined(r, v);
    fli_fail(r, "%s must be an integer, not a %s", what, fli_kind_name(v));
    return false;
}

bool fli_is(fli_val v, const char *s) {
    return v.kind == FLI_STR && strlen(s) == v.n && memcmp(v.as.s, s, v.n) == 0;
}

bool fli_same_text(fli_val a, fli_val b) {
    return a.n == b.n && memcmp(a.as.s, b.as.s, a.n) == 0;
}

bool fli_true(fli_val v) {
    switch ((fli_kind)v.kind) {
    case FLI_UNDEFINED:
    case FLI_NONE: return false;
    case FLI_BOOL: return v.as.b;
    case FLI_INT: return v.as.i != 0;
    case FLI_REAL: return v.as.r != 0;
    case FLI_STR: return v.n > 0;
    case FLI_LIST:
    case FLI_TUPLE:
    case FLI_VIEW: return v.as.list->n > 0;
    case FLI_DICT: return v.as.dict->n > 0;
    default: return true;
    }
}

bool fli_is_number(fli_val v) {
    return v.kind == FLI_BOOL || v.kind == FLI_INT || v.kind == FLI_REAL;
}

double fli_number(fli_val v) {
    return v.kind == FLI_REAL ? v.as.r : v.kind == FLI_INT ? (double)v.as.i : v.as.b;
}

int64_t fli_length(fli_run *r, fli_val v) {
    switch ((fli_kind)v.kind) {
    case FLI_UNDEFINED: return 0;
    case FLI_STR: return fli_work(r, v.n / 64) ? (int64_t)fli_count_chars(v.as.s, v.n) : 0;
    case FLI_LIST:
    case FLI_TUPLE:
    case FLI_VIEW: return (int64_t)v.as.list->n;
    case FLI_DICT: return (int64_t)v.as.dict->n;
    default: fli_fail(r, "a %s has no length", fli_kind_name(v)); return -1;
    }
}

static void push_chars(fli_run *r, fli_val list, fli_val s) {
    for (size_t i = 0, len; i < s.n && r->status == FL_OK; i += len) {
        len = fli_char_len(s.as.s + i);
        fli_push(r, list, fli_view(s.as.s + i, len));
    }
}

fli_list *fli_items(fli_run *r, fli_val v) {
    static fli_list nothing;
    fli_val list = fli_list_new(r, FLI_LIST);
    if (v.kind == FLI_STR) {
        push_chars(r, list, v);
    } else if (v.kind == FLI_DICT) {
        for (size_t i = 0; i < v.as.dict->n; i++) fli_push(r, list, v.as.dict->key[i]);
    } else if (v.kind >= FLI_LIST && v.kind <= FLI_ITER) {
        fli_list *from = v.as.list;
        for (size_t i = from->read; i < from->n; i++) fli_push(r, list, from->item[i]);
        if (v.kind == FLI_ITER) from->read = from->n;
    } else if (v.kind != FLI_UNDEFINED) {
        fli_fail(r, "a %s cannot be looped over", fli_kind_name(v));
    }
    return r->status == FL_OK ? list.as.list : &nothing;
}

/* ---- comparing ---- */

static bool equal_lists(fli_run *r, const fli_list *a, const fli_list *b) {
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) same = fli_equal(r, a->item[i], b->item[i]);
    return same;
}

static bool equal_dicts(fli_run *r, const fli_dict *a, const fli_dict *b) {
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        const fli_val *other = fli_get(r, b, a->key[i]);
        same = other && fli_equal(r, a->value[i], *other);
    }
    return same;
}

static bool equal_kind(fli_run *r, fli_val a, fli_val b) {
    switch ((fli_kind)a.kind) {
    case FLI_UNDEFINED:
    case FLI_NONE: return true;
    case FLI_STR: return a.n == b.n && fli_work(r, a.n / 64) && !memcmp(a.as.s, b.as.s, a.n);
    case FLI_LIST:
    case FLI_TUPLE:
    case FLI_VIEW: return equal_lists(r, a.as.list, b.as.list);
    case FLI_DICT: return equal_dicts(r, a.as.dict, b.as.dict);
    default: return a.as.list == b.as.list;  // the same object
    }
}

bool fli_equal(fli_run *r, fli_val a, fli_val b) {
    if (a.kind == FLI_INT && b.kind == FLI_INT) return a.as.i == b.as.i;
    if (fli_is_number(a) && fli_is_number(b)) return fli_number(a) == fli_number(b);
    if (a.kind != b.kind) return false;
    const bool same = fli_deeper(r) && equal_kind(r, a, b);
    r->depth++;
    return same;
}

static int order_strings(fli_run *r, fli_val a, fli_val b) {
    const uint32_t n = a.n < b.n ? a.n : b.n;
    const int c = fli_work(r, n / 64) ? memcmp(a.as.s, b.as.s, n) : 0;
    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int order_lists(fli_run *r, const fli_list *a, const fli_list *b) {
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!fli_equal(r, a->item[i], b->item[i])) return fli_order(r, a->item[i], b->item[i]);
    return a->n < b->n ? -1 : a->n > b->n;
}

int fli_order(fli_run *r, fli_val a, fli_val b) {
    if (a.kind == FLI_INT && b.kind == FLI_INT) return a.as.i < b.as.i ? -1 : a.as.i > b.as.i;
    if (fli_is_number(a) && fli_is_number(b)) {
        const double x = fli_number(a), y = fli_number(b);
        return x < y ? -1 : x > y;
    }
    if (a.kind == FLI_STR && b.kind == FLI_STR) return order_strings(r, a, b);
    if (a.kind == b.kind && (a.kind == FLI_LIST || a.kind == FLI_TUPLE)) {
        const int c = fli_deeper(r) ? order_lists(r, a.as.list, b.as.list) : 0;
        r->depth++;
        return c;
    }
    if (a.kind == FLI_UNDEFINED) fail_undefined(r, a);
    if (b.kind == FLI_UNDEFINED) fail_undefined(r, b);
    fli_fail(r, "a %s and a %s have no order", fli_kind_name(a), fli_kind_name(b));
    return 0;
}

bool fli_contains(fli_run *r, fli_val container, fli_val item) {
    if (container.kind == FLI_STR) {
        if (!fli_want_str(r, item, "what is looked for in a string")) return false;
        return fli_work(r, container.n / 16) &&
               (!item.n || fli_find(container.as.s, container.n, item.as.s, item.n) < container.n);
    }
    if (container.kind == FLI_DICT)
        return fli_want_key(r, item) && fli_get(r, container.as.dict, item) != NULL;
    if (container.kind == FLI_NONE) {
        fli_fail(r, "nothing is in none: `in` wants a string, a list or a dict");
        return false;
    }
    const fli_list *l = fli_items(r, container);
    for (size_t i = 0; i < l->n && fli_work(r, 1); i++)
        if (fli_equal(r, l->item[i], item)) return true;
    return false;
}
