/* attribute.c - parts of values: a.b, a[b], a[b:c:d].
 *
 * As in Jinja, a.b is the method b before it is the item 'b', and a['b'] the item before the
 * method; what is neither is undefined, and only a part of something undefined is an error. */
#include <string.h>

#include "token/jinja/jinja.h"

static fli_val method_of(fli_run *r, fli_val of, fli_val name) {
    static const fli_native *const tables[FLI_N_KINDS] = {[FLI_STR] = fli_str_methods,
                                                          [FLI_LIST] = fli_list_methods,
                                                          [FLI_TUPLE] = fli_list_methods,
                                                          [FLI_DICT] = fli_dict_methods,
                                                          [FLI_LOOP] = fli_loop_methods};
    const fli_native *row = tables[of.kind] ? fli_native_find(tables[of.kind], name) : NULL;
    return row ? fli_method_new(r, of, row) : fli_undefined(of, name.as.s, name.n);
}

/* a.grouper and a.list of what groupby gives. */
static fli_val part_of_group(fli_val of, fli_val name) {
    const fli_list *l = of.as.list;
    if (fli_is(name, "grouper")) return l->item[0];
    return fli_is(name, "list") ? l->item[1] : fli_undefined(of, name.as.s, name.n);
}

fli_val fli_attribute(fli_run *r, fli_val of, fli_val name) {
    if (!fli_work(r, 1)) return fli_none();
    if (of.kind == FLI_UNDEFINED) return fli_cannot(r, of, "have attributes");
    fli_val v = method_of(r, of, name);
    if (v.kind != FLI_UNDEFINED) return v;
    if (of.kind == FLI_LOOP) return fli_loop_attribute(r, of.as.loop, name);
    if (of.kind == FLI_TUPLE && of.as.list->label == fli_group_label)
        return part_of_group(of, name);
    if (of.kind != FLI_DICT && of.kind != FLI_NAMESPACE) return v;
    const fli_val *item = fli_get(r, of.as.dict, name);
    return item ? *item : v;
}

static fli_val missing(fli_run *r, fli_val of, fli_val key) {
    const fli_val name = fli_to_str(r, key);
    return fli_undefined(of, r->status == FL_OK ? name.as.s : "", name.n);
}

static fli_val char_of(fli_val s, int64_t i) {
    s.as.s += fli_char_at(s.as.s, s.n, (size_t)i);
    s.n = (uint32_t)fli_char_len(s.as.s);
    return s;
}

static fli_val element(fli_run *r, fli_val of, fli_val key) {
    int64_t i, n = fli_length(r, of);
    if (!fli_want_int(r, key, "an index", &i)) return fli_none();
    if (i < 0) i += n;
    if (i < 0 || i >= n) return missing(r, of, key);
    return of.kind == FLI_STR ? char_of(of, i) : of.as.list->item[i];
}

fli_val fli_item(fli_run *r, fli_val of, fli_val key) {
    if (!fli_work(r, 1)) return fli_none();
    const bool sequence = of.kind == FLI_STR || of.kind == FLI_LIST || of.kind == FLI_TUPLE;
    if (sequence && (key.kind == FLI_INT || key.kind == FLI_BOOL)) return element(r, of, key);
    if (of.kind == FLI_DICT) {
        const fli_val *v = fli_get(r, of.as.dict, key);
        if (v) return *v;
    }
    if (of.kind == FLI_UNDEFINED || key.kind == FLI_STR) return fli_attribute(r, of, key);
    return missing(r, of, key);
}

fli_val fli_path(fli_run *r, fli_val of, fli_val path) {
    if (path.kind != FLI_STR) return fli_item(r, of, path);
    for (size_t i = 0; i <= path.n && r->status == FL_OK;) {
        const size_t n = fli_find(path.as.s + i, path.n - i, ".", 1);
        fli_val part = fli_view(path.as.s + i, n);
        size_t digits = 0;
        int64_t index = 0;
        while (digits < n && digits < 9 && fli_char_is(part.as.s[digits], FLI_DIGIT))
            index = index * 10 + part.as.s[digits++] - '0';
        if (n && digits == n) part = fli_int(index);
        of = fli_item(r, of, part);
        i += n + 1;
    }
    return of;
}

/* ---- slices ---- */

/* A bound as an index in [low, high]; `none` where it is not given. */
static int64_t bound(fli_run *r, fli_val v, int64_t n, int64_t low, int64_t high, int64_t none) {
    int64_t i;
    if (v.kind == FLI_NONE) return none;
    if (!fli_want_int(r, v, "a bound of a slice", &i)) return none;
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static fli_val slice_string(fli_run *r, fli_val of, int64_t from, int64_t to, int64_t step) {
    if (step == 1) {
        const size_t begin = fli_char_at(of.as.s, of.n, (size_t)from);
        const size_t n = to > from ? (size_t)(to - from) : 0;
        return fli_view(of.as.s + begin, fli_char_at(of.as.s + begin, of.n - begin, n));
    }
    const fli_list *chars = fli_items(r, of);
    fl_text t = {0};
    for (int64_t i = from; chars->n && (step > 0 ? i < to : i > to) && fli_work(r, 1); i += step)
        fli_append(r, &t, chars->item[i].as.s, chars->item[i].n);
    return fli_text_end(r, &t);
}

fli_val fli_slice(fli_run *r, fli_val of, fli_val from, fli_val to, fli_val step_value) {
    int64_t step = 1;
    if (r->status != FL_OK) return fli_none();
    if (of.kind != FLI_STR && of.kind != FLI_LIST && of.kind != FLI_TUPLE)
        return fli_cannot(r, of, "be sliced");
    if (step_value.kind != FLI_NONE && !fli_want_int(r, step_value, "a slice's step", &step))
        return fli_none();
    const int64_t n = fli_length(r, of);
    if (step == 0) return fli_fail(r, "a slice's step is zero");
    if (step > n + 1) step = n + 1;
    if (step < -n - 1) step = -n - 1;
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    const int64_t begin = bound(r, from, n, low, high, step > 0 ? low : high);
    const int64_t end = bound(r, to, n, low, high, step > 0 ? high : low);
    if (r->status != FL_OK) return fli_none();
    if (of.kind == FLI_STR) {
        fli_val part = slice_string(r, of, begin, end, step);
        part.safe = of.safe;
        return part;
    }
    fli_val out = fli_list_new(r, (fli_kind)of.kind);
    for (int64_t i = begin; step > 0 ? i < end : i > end; i += step)
        fli_push(r, out, of.as.list->item[i]);
    return out;
}
