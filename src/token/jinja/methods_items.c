/* methods_items.c - the methods of lists and dicts.
 *
 * transformers' sandbox lets no template change a list or a dict; others do (llama.cpp's), and
 * templates written for them use append and pop. A run changes only values of its own, so the
 * mutating methods are here. */
#include <string.h>

#include "token/jinja/jinja.h"

/* ---- lists and tuples ---- */

static bool want_list(fli_run *r, const fli_args *a) {
    if (a->self.kind != FLI_LIST) fli_fail(r, "a tuple cannot be changed");
    return r->status == FL_OK;
}

static fli_val l_append(fli_run *r, fli_args *a) {
    if (want_list(r, a)) fli_push(r, a->self, a->v[0]);
    return fli_none();
}

static fli_val l_extend(fli_run *r, fli_args *a) {
    const fli_list *items = fli_items(r, a->v[0]);
    for (size_t i = 0; want_list(r, a) && i < items->n; i++) fli_push(r, a->self, items->item[i]);
    return fli_none();
}

/* An index from the end where negative, within [0, most]. */
static int64_t within(int64_t i, size_t n, int64_t most) {
    if (i < 0) i += (int64_t)n;
    return i < 0 ? 0 : i > most ? most : i;
}

static fli_val l_insert(fli_run *r, fli_args *a) {
    int64_t at;
    if (!want_list(r, a) || !fli_want_int(r, a->v[0], "an index", &at)) return fli_none();
    fli_list *l = a->self.as.list;
    const int64_t to = within(at, l->n, (int64_t)l->n);
    fli_push(r, a->self, fli_none());
    if (r->status != FL_OK || !fli_work(r, l->n / 16)) return fli_none();
    memmove(l->item + to + 1, l->item + to, (l->n - 1 - (size_t)to) * sizeof *l->item);
    l->item[to] = a->v[1];
    return fli_none();
}

static fli_val l_pop(fli_run *r, fli_args *a) {
    int64_t at = -1;
    if (!want_list(r, a)) return fli_none();
    if (fli_given(a, 0) && !fli_want_int(r, a->v[0], "an index", &at)) return fli_none();
    fli_list *l = a->self.as.list;
    const int64_t n = (int64_t)l->n, i = at < 0 ? at + n : at;
    if (i < 0 || i >= n)
        return fli_fail(r, "pop: a list of %lld has no element %lld", (long long)n, (long long)at);
    const fli_val v = l->item[i];
    if (!fli_work(r, l->n / 16)) return fli_none();
    memmove(l->item + i, l->item + i + 1, (size_t)(n - i - 1) * sizeof *l->item);
    l->n--;
    return v;
}

static fli_val l_index(fli_run *r, fli_args *a) {
    const fli_list *l = a->self.as.list;
    for (size_t i = 0; i < l->n && fli_work(r, 1); i++)
        if (fli_equal(r, l->item[i], a->v[0])) return fli_int((int64_t)i);
    return fli_fail(r, "index: it is not in the list");
}

static fli_val l_count(fli_run *r, fli_args *a) {
    const fli_list *l = a->self.as.list;
    int64_t n = 0;
    for (size_t i = 0; i < l->n && fli_work(r, 1); i++) n += fli_equal(r, l->item[i], a->v[0]);
    return fli_int(n);
}

static fli_val l_copy(fli_run *r, fli_args *a) {
    fli_val out = fli_list_new(r, (fli_kind)a->self.kind);
    for (size_t i = 0; i < a->self.as.list->n; i++) fli_push(r, out, a->self.as.list->item[i]);
    return out;
}

const fli_native fli_list_methods[] = {
    {"append", "object", 1, l_append},
    {"extend", "iterable", 1, l_extend},
    {"insert", "index object", 2, l_insert},
    {"pop", "index", 0, l_pop},
    {"index", "value", 1, l_index},
    {"count", "value", 1, l_count},
    {"copy", "", 0, l_copy},
    {NULL, NULL, 0, NULL},
};

/* ---- dicts ---- */

static fli_val view_new(fli_run *r, const char *label) {
    fli_val view = fli_list_new(r, FLI_VIEW);
    if (r->status == FL_OK) view.as.list->label = label;
    return view;
}

static fli_val d_keys(fli_run *r, fli_args *a) {
    const fli_dict *d = a->self.as.dict;
    fli_val out = view_new(r, "dict_keys");
    for (size_t i = 0; i < d->n; i++) fli_push(r, out, d->key[i]);
    return out;
}

static fli_val d_values(fli_run *r, fli_args *a) {
    const fli_dict *d = a->self.as.dict;
    fli_val out = view_new(r, "dict_values");
    for (size_t i = 0; i < d->n; i++) fli_push(r, out, d->value[i]);
    return out;
}

static fli_val d_items(fli_run *r, fli_args *a) {
    const fli_dict *d = a->self.as.dict;
    fli_val out = view_new(r, "dict_items");
    for (size_t i = 0; i < d->n && r->status == FL_OK; i++)
        fli_push(r, out, fli_pair(r, d->key[i], d->value[i]));
    return out;
}

static fli_val fallback(const fli_args *a) {
    return fli_given(a, 1) ? a->v[1] : fli_none();
}

static fli_val d_get(fli_run *r, fli_args *a) {
    if (!fli_want_key(r, a->v[0])) return fli_none();
    const fli_val *v = fli_get(r, a->self.as.dict, a->v[0]);
    return v ? *v : fallback(a);
}

static fli_val d_pop(fli_run *r, fli_args *a) {
    fli_dict *d = a->self.as.dict;
    fli_val *there = fli_get(r, d, a->v[0]);
    if (!there) return fli_given(a, 1) ? a->v[1] : fli_fail(r, "pop: the dict has no such key");
    const fli_val v = *there;
    const size_t i = (size_t)(there - d->value), rest = (d->n - i - 1) * sizeof v;
    memmove(d->key + i, d->key + i + 1, rest);
    memmove(d->value + i, d->value + i + 1, rest);
    d->n--;
    return v;
}

static fli_val d_setdefault(fli_run *r, fli_args *a) {
    const fli_val *v = fli_get(r, a->self.as.dict, a->v[0]);
    if (v) return *v;
    fli_put(r, a->self, a->v[0], fallback(a));
    return fallback(a);
}

static void put_all(fli_run *r, fli_val to, const fli_dict *from) {
    for (size_t i = 0; from && i < from->n; i++) fli_put(r, to, from->key[i], from->value[i]);
}

static fli_val d_update(fli_run *r, fli_args *a) {
    if (a->n > 1 || (a->n && a->list[0].kind != FLI_DICT))
        return fli_fail(r, "update wants one dict, or keywords");
    put_all(r, a->self, a->n ? a->list[0].as.dict : NULL);
    put_all(r, a->self, a->named);
    return fli_none();
}

static fli_val d_copy(fli_run *r, fli_args *a) {
    fli_val out = fli_dict_new(r, FLI_DICT);
    put_all(r, out, a->self.as.dict);
    return out;
}

const fli_native fli_dict_methods[] = {
    {"keys", "", 0, d_keys},
    {"values", "", 0, d_values},
    {"items", "", 0, d_items},
    {"get", "key default", 1, d_get},
    {"pop", "key default", 1, d_pop},
    {"setdefault", "key default", 1, d_setdefault},
    {"update", "*", 0, d_update},
    {"copy", "", 0, d_copy},
    {NULL, NULL, 0, NULL},
};
