/* filters.c - the table of filters, and those over lists and dicts. */
#include "token/jinja/filters.h"

#include <string.h>

const fli_native fli_filters[] = {
#define X(fn, name, params, required) {name, params, required, fli_filter_##fn},
    FLI_FILTERS(X)
#undef X
        {NULL, NULL, 0, NULL},
};

/* ---- one value ---- */

fli_val fli_filter_default(fli_run *r, fli_args *a) {
    (void)r;
    const bool falsy = fli_given(a, 1) && fli_true(a->v[1]) && !fli_true(a->self);
    if (a->self.kind != FLI_UNDEFINED && !falsy) return a->self;
    return fli_given(a, 0) ? a->v[0] : fli_view("", 0);
}

fli_val fli_filter_length(fli_run *r, fli_args *a) {
    return fli_int(fli_length(r, a->self));
}

static fli_val list_of(fli_list *l, fli_kind kind) {
    return (fli_val){.kind = (uint8_t)kind, .as.list = l};
}

fli_val fli_filter_list(fli_run *r, fli_args *a) {
    return list_of(fli_items(r, a->self), FLI_LIST);
}

fli_val fli_filter_first(fli_run *r, fli_args *a) {
    if (a->self.kind == FLI_ITER && a->self.as.list->read < a->self.as.list->n)
        return a->self.as.list->item[a->self.as.list->read++];
    const fli_list *l = fli_items(r, a->self);
    return l->n ? l->item[0] : fli_undefined(a->self, "first", 5);
}

fli_val fli_filter_last(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->self);
    return l->n ? l->item[l->n - 1] : fli_undefined(a->self, "last", 4);
}

static fli_val iter_new(fli_run *r) {
    return fli_list_new(r, FLI_ITER);
}

fli_val fli_filter_reverse(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->self);
    fli_val out = iter_new(r);
    for (size_t i = l->n; i-- > 0;) fli_push(r, out, l->item[i]);
    if (a->self.kind != FLI_STR || r->status != FL_OK) return out;
    fl_text t = {0};
    for (size_t i = 0; i < l->n; i++)
        fli_append(r, &t, out.as.list->item[i].as.s, out.as.list->item[i].n);
    return fli_text_end(r, &t);
}

fli_val fli_filter_items(fli_run *r, fli_args *a) {
    fli_val out = iter_new(r);
    if (a->self.kind == FLI_UNDEFINED) return out;
    if (a->self.kind != FLI_DICT) return fli_fail(r, "items of a %s", fli_kind_name(a->self));
    const fli_dict *d = a->self.as.dict;
    for (size_t i = 0; i < d->n && r->status == FL_OK; i++)
        fli_push(r, out, fli_pair(r, d->key[i], d->value[i]));
    return out;
}

/* ---- an attribute of each ---- */

static fli_val attribute_of(fli_run *r, fli_val item, bool given, fli_val path) {
    return given && path.kind != FLI_NONE ? fli_path(r, item, path) : item;
}

fli_val fli_filter_join(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->self);
    const fli_val between = fli_given(a, 0) ? fli_to_str(r, a->v[0]) : fli_view("", 0);
    fl_text t = {0};
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        if (i) fli_append(r, &t, between.as.s, between.n);
        fli_print(r, &t, attribute_of(r, l->item[i], fli_given(a, 1), a->v[1]));
    }
    return fli_text_end(r, &t);
}

fli_val fli_filter_sum(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->self);
    fli_val sum = fli_given(a, 1) ? a->v[1] : fli_int(0);
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++)
        sum = fli_arithmetic(r, '+', sum, attribute_of(r, l->item[i], fli_given(a, 0), a->v[0]));
    return sum;
}

/* Strings in one case, for orders that do not tell cases apart. */
static fli_val fold(fli_run *r, fli_val v, bool case_sensitive) {
    return v.kind == FLI_STR && !case_sensitive ? fli_cased(r, v, FLI_LOWER) : v;
}

static fli_val key_of(fli_run *r, fli_val item, bool given, fli_val path, bool case_sensitive) {
    return fold(r, attribute_of(r, item, given, path), case_sensitive);
}

/* The keys by which items are compared. */
static fli_val keys_of(fli_run *r, const fli_list *l, bool given, fli_val path, bool sensitive) {
    fli_val keys = fli_list_new(r, FLI_LIST);
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++)
        fli_push(r, keys, key_of(r, l->item[i], given, path, sensitive));
    return keys;
}

/* The same where "a,b" names several attributes: tuples, which are equal where both lack one. */
static fli_val tuples_of(fli_run *r, const fli_list *l, fli_val path, bool sensitive) {
    fli_val keys = fli_list_new(r, FLI_LIST);
    if (path.kind != FLI_STR) return keys_of(r, l, true, path, sensitive);
    for (size_t k = 0; k < l->n && r->status == FL_OK; k++) {
        fli_val tuple = fli_list_new(r, FLI_TUPLE);
        for (size_t i = 0, n; i <= path.n && r->status == FL_OK; i += n + 1) {
            n = fli_find(path.as.s + i, path.n - i, ",", 1);
            const fli_val part = fli_view(path.as.s + i, n);
            fli_push(r, tuple, key_of(r, l->item[k], true, part, sensitive));
        }
        fli_push(r, keys, tuple);
    }
    return keys;
}

/* ---- order ---- */

/* Merge the halves [0, n/2) and [n/2, n) of an index into `to`. */
static void merge(fli_run *r, const fli_val *key, const size_t *from, size_t *to, size_t n,
                  bool reverse) {
    size_t left = 0, right = n / 2;
    for (size_t i = 0; i < n && fli_work(r, 1); i++) {
        bool take_left = right == n;
        if (!take_left && left < n / 2) {
            const int c = fli_order(r, key[from[left]], key[from[right]]);
            take_left = reverse ? c >= 0 : c <= 0;
        }
        to[i] = from[take_left ? left++ : right++];
    }
}

/* Stable, by merging; `spare` is as large as `index`. */
static void sort_index(fli_run *r, const fli_val *key, size_t *index, size_t *spare, size_t n,
                       bool reverse) {
    if (n < 2 || r->status != FL_OK) return;
    sort_index(r, key, index, spare, n / 2, reverse);
    sort_index(r, key, index + n / 2, spare, n - n / 2, reverse);
    merge(r, key, index, spare, n, reverse);
    if (r->status == FL_OK) memcpy(index, spare, n * sizeof *index);
}

/* The items in the order of their keys. */
static fli_val sorted(fli_run *r, const fli_list *items, const fli_list *keys, bool reverse) {
    fli_val out = fli_list_new(r, FLI_LIST);
    size_t *index = FLI_NEW(r, size_t, 2 * items->n);
    if (!index) return out;
    for (size_t i = 0; i < items->n; i++) index[i] = i;
    sort_index(r, keys->item, index, index + items->n, items->n, reverse);
    for (size_t i = 0; i < items->n && r->status == FL_OK; i++)
        fli_push(r, out, items->item[index[i]]);
    return out;
}

fli_val fli_filter_sort(fli_run *r, fli_args *a) {
    const bool reverse = fli_given(a, 0) && fli_true(a->v[0]);
    const bool sensitive = fli_given(a, 1) && fli_true(a->v[1]);
    const fli_list *l = fli_items(r, a->self);
    const bool several = fli_given(a, 2) && a->v[2].kind != FLI_NONE;
    const fli_val keys = several ? tuples_of(r, l, a->v[2], sensitive)
                                 : keys_of(r, l, false, fli_none(), sensitive);
    return r->status == FL_OK ? sorted(r, l, keys.as.list, reverse) : fli_none();
}

fli_val fli_filter_dictsort(fli_run *r, fli_args *a) {
    const bool sensitive = fli_given(a, 0) && fli_true(a->v[0]);
    const bool reverse = fli_given(a, 2) && fli_true(a->v[2]);
    const fli_val by = fli_given(a, 1) ? a->v[1] : fli_view("key", 3);
    if (a->self.kind != FLI_DICT) return fli_fail(r, "dictsort of a %s", fli_kind_name(a->self));
    if (!fli_is(by, "key") && !fli_is(by, "value")) return fli_fail(r, "dictsort by key or value");
    const fli_val pairs = fli_filter_items(r, a);
    if (r->status != FL_OK) return fli_none();
    const fli_val keys = keys_of(r, pairs.as.list, true, fli_int(fli_is(by, "value")), sensitive);
    return r->status == FL_OK ? sorted(r, pairs.as.list, keys.as.list, reverse) : fli_none();
}

static fli_val extreme(fli_run *r, fli_args *a, int sign) {
    const fli_list *l = fli_items(r, a->self);
    const bool sensitive = fli_given(a, 0) && fli_true(a->v[0]);
    const fli_val keys = keys_of(r, l, fli_given(a, 1), a->v[1], sensitive);
    size_t best = 0;
    for (size_t i = 1; i < l->n && r->status == FL_OK; i++)
        if (sign * fli_order(r, keys.as.list->item[i], keys.as.list->item[best]) > 0) best = i;
    return l->n && r->status == FL_OK ? l->item[best] : fli_undefined(a->self, "elements", 8);
}

fli_val fli_filter_min(fli_run *r, fli_args *a) {
    return extreme(r, a, -1);
}

fli_val fli_filter_max(fli_run *r, fli_args *a) {
    return extreme(r, a, 1);
}

fli_val fli_filter_unique(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->self);
    const bool sensitive = fli_given(a, 0) && fli_true(a->v[0]);
    fli_val out = iter_new(r), seen = fli_dict_new(r, FLI_DICT);
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        const fli_val key = key_of(r, l->item[i], fli_given(a, 1), a->v[1], sensitive);
        if (r->status == FL_OK && !fli_get(r, seen.as.dict, key)) fli_push(r, out, l->item[i]);
        fli_put(r, seen, key, fli_none());
    }
    return out;
}

const char fli_group_label[] = "group";

/* Items sorted by the attribute, those with the same in one (grouper, list). */
fli_val fli_filter_groupby(fli_run *r, fli_args *a) {
    const bool sensitive = fli_given(a, 2) && fli_true(a->v[2]);
    fli_list *l = fli_items(r, a->self);
    fli_val keys = fli_list_new(r, FLI_LIST), out = fli_list_new(r, FLI_LIST), group = fli_none();
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        fli_val key = fli_path(r, l->item[i], a->v[0]);
        if (key.kind == FLI_UNDEFINED && fli_given(a, 1)) key = a->v[1];
        fli_push(r, keys, fli_pair(r, fold(r, key, sensitive), key));
        l->item[i] = fli_pair(r, key, l->item[i]);
    }
    const fli_val folded = keys_of(r, r->status == FL_OK ? keys.as.list : l, true, fli_int(0),
                                   true);
    const fli_val pairs = r->status == FL_OK ? sorted(r, l, folded.as.list, false) : fli_none();
    fli_val last = fli_undefined(group, "", 0);
    for (size_t i = 0; r->status == FL_OK && i < pairs.as.list->n; i++) {
        const fli_val *pair = pairs.as.list->item[i].as.list->item;
        const fli_val key = fold(r, pair[0], sensitive);
        if (!i || !fli_equal(r, key, last)) {
            group = fli_pair(r, pair[0], fli_list_new(r, FLI_LIST));
            if (r->status != FL_OK) break;
            group.as.list->label = fli_group_label;
            fli_push(r, out, group);
        }
        last = key;
        fli_push(r, group.as.list->item[1], pair[1]);
    }
    return out;
}

/* ---- pieces ---- */

fli_val fli_filter_batch(fli_run *r, fli_args *a) {
    int64_t n;
    const fli_list *l = fli_items(r, a->self);
    if (!fli_want_int(r, a->v[0], "the size of a batch", &n)) return fli_none();
    if (n < 1) return fli_fail(r, "a batch of %lld", (long long)n);
    fli_val out = iter_new(r), batch = fli_none();
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        if (i % (size_t)n == 0) fli_push(r, out, batch = fli_list_new(r, FLI_LIST));
        if (r->status == FL_OK) fli_push(r, batch, l->item[i]);
    }
    const bool fill = fli_given(a, 1) && a->v[1].kind != FLI_NONE && batch.kind == FLI_LIST;
    while (fill && r->status == FL_OK && batch.as.list->n < (size_t)n) fli_push(r, batch, a->v[1]);
    return out;
}

/* So many lists, the first ones longer by one where it does not come out even. */
fli_val fli_filter_slice(fli_run *r, fli_args *a) {
    int64_t n;
    const fli_list *l = fli_items(r, a->self);
    if (!fli_want_int(r, a->v[0], "the number of slices", &n)) return fli_none();
    if (n < 1) return fli_fail(r, "%lld slices", (long long)n);
    fli_val out = iter_new(r);
    const size_t each = l->n / (size_t)n, longer = l->n % (size_t)n;
    for (size_t i = 0, at = 0; i < (size_t)n && r->status == FL_OK; i++) {
        fli_val part = fli_list_new(r, FLI_LIST);
        fli_push(r, out, part);
        for (size_t k = each + (i < longer); k > 0 && r->status == FL_OK; k--)
            fli_push(r, part, l->item[at++]);
        const bool fill = fli_given(a, 1) && a->v[1].kind != FLI_NONE && i >= longer;
        if (fill && r->status == FL_OK) fli_push(r, part, a->v[1]);
    }
    return out;
}

/* ---- a test or a filter on each ---- */

/* The row that the first argument from `at` names, applied to v with the arguments after it. */
static fli_val apply(fli_run *r, const fli_native *table, const fli_args *a, size_t at, fli_val v) {
    const fli_val name = a->list[at];
    const fli_native *row = fli_native_find(table, name);
    if (!row)
        return fli_fail(r, "there is no %s '%.*s'", table == fli_tests ? "test" : "filter",
                        name.kind == FLI_STR && name.n < 40 ? (int)name.n : 0, name.as.s);
    fli_args inner = {.self = v, .list = a->list + at + 1, .n = a->n - at - 1, .named = a->named};
    return fli_call_native(r, row, &inner);
}

/* These filters take what is false, none too, for no items. */
static const fli_list *some_items(fli_run *r, fli_val v) {
    return fli_items(r, fli_true(v) ? v : fli_undefined(v, "", 0));
}

/* Items of which (the attribute `list[0]`, or the item) passes the test, or is true, == want. */
static fli_val chosen(fli_run *r, fli_args *a, bool attribute, bool want) {
    const fli_list *l = some_items(r, a->self);
    fli_val out = iter_new(r);
    if (attribute && !a->n) return fli_fail(r, "selectattr wants the name of an attribute");
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        const fli_val v = attribute ? fli_path(r, l->item[i], a->list[0]) : l->item[i];
        const fli_val passed = a->n > attribute ? apply(r, fli_tests, a, attribute, v) : v;
        if (fli_true(passed) == want) fli_push(r, out, l->item[i]);
    }
    return out;
}

fli_val fli_filter_select(fli_run *r, fli_args *a) {
    return chosen(r, a, false, true);
}

fli_val fli_filter_reject(fli_run *r, fli_args *a) {
    return chosen(r, a, false, false);
}

fli_val fli_filter_selectattr(fli_run *r, fli_args *a) {
    return chosen(r, a, true, true);
}

fli_val fli_filter_rejectattr(fli_run *r, fli_args *a) {
    return chosen(r, a, true, false);
}

/* map(attribute="name", default=..) or map("filter", ..). */
fli_val fli_filter_map(fli_run *r, fli_args *a) {
    const fli_list *l = some_items(r, a->self);
    const fli_val *path = a->named && !a->n ? fli_get_name(a->named, "attribute", 9) : NULL;
    const fli_val *fallback = path ? fli_get_name(a->named, "default", 7) : NULL;
    fli_val out = iter_new(r);
    if (!path && !a->n) return fli_fail(r, "map wants a filter's name or attribute=");
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        fli_val v = path ? fli_path(r, l->item[i], *path) : apply(r, fli_filters, a, 0, l->item[i]);
        if (fallback && v.kind == FLI_UNDEFINED) v = *fallback;
        fli_push(r, out, v);
    }
    return out;
}
