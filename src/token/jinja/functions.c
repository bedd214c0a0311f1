/* functions.c - what a template may call by name. */
#include <string.h>
#include <time.h>

#include "token/jinja/jinja.h"

enum { RANGE_MAX = 100000 };  // as in Jinja's sandbox

static fli_val f_range(fli_run *r, fli_args *a) {
    int64_t from = 0, to, step = 1;
    if (!fli_want_int(r, a->v[0], "a bound of range", &to)) return fli_none();
    if (fli_given(a, 1)) {
        from = to;
        if (!fli_want_int(r, a->v[1], "a bound of range", &to)) return fli_none();
    }
    if (fli_given(a, 2) && !fli_want_int(r, a->v[2], "the step of range", &step)) return fli_none();
    if (step == 0) return fli_fail(r, "the step of range is zero");
    fli_val list = fli_list_new(r, FLI_LIST);
    for (int64_t i = from; (step > 0 ? i < to : i > to) && r->status == FL_OK;) {
        if (list.as.list->n == RANGE_MAX) return fli_fail(r, "a range of more than %d", RANGE_MAX);
        fli_push(r, list, fli_int(i));
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return list;
}

/* dict(a=1), dict({..}, b=2), dict([(k, v), ..]). */
static fli_val make_dict(fli_run *r, const fli_args *a, fli_kind kind) {
    fli_val dict = fli_dict_new(r, kind);
    if (a->n > 1) return fli_fail(r, "a dict is made of one value and keywords");
    if (a->n == 1 && a->list[0].kind == FLI_DICT) {
        const fli_dict *from = a->list[0].as.dict;
        for (size_t i = 0; i < from->n; i++) fli_put(r, dict, from->key[i], from->value[i]);
    } else if (a->n == 1) {
        const fli_list *pairs = fli_items(r, a->list[0]);
        for (size_t i = 0; i < pairs->n && r->status == FL_OK; i++) {
            const fli_list *pair = fli_items(r, pairs->item[i]);
            if (pair->n != 2) return fli_fail(r, "a dict is made of pairs");
            fli_put(r, dict, pair->item[0], pair->item[1]);
        }
    }
    for (size_t i = 0; a->named && i < a->named->n; i++)
        fli_put(r, dict, a->named->key[i], a->named->value[i]);
    return dict;
}

static fli_val f_dict(fli_run *r, fli_args *a) {
    return make_dict(r, a, FLI_DICT);
}

static fli_val f_namespace(fli_run *r, fli_args *a) {
    return make_dict(r, a, FLI_NAMESPACE);
}

static fli_val f_raise(fli_run *r, fli_args *a) {
    const fli_val why = fli_to_str(r, a->v[0]);
    return fli_fail(r, "the template refuses: %.*s", why.n < 160 ? (int)why.n : 160, why.as.s);
}

/* The format is the template's: strftime writes no more than `size` whatever it says. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t format_time(char *out, size_t size, const char *format, const struct tm *tm) {
    return strftime(out, size, format, tm);
}
#pragma GCC diagnostic pop

static fli_val f_strftime_now(fli_run *r, fli_args *a) {
    char format[128], out[256];
    struct tm tm;
    const time_t now = (time_t)r->now;
    if (!fli_want_str(r, a->v[0], "a date's format")) return fli_none();
    if (a->v[0].n >= sizeof format || memchr(a->v[0].as.s, 0, a->v[0].n))
        return fli_fail(r, "a date's format is too long");
    memcpy(format, a->v[0].as.s, a->v[0].n);
    format[a->v[0].n] = 0;
    localtime_r(&now, &tm);
    const size_t n = format_time(out, sizeof out, format, &tm);
    return fli_str(r, out, fli_valid_utf8(out, n) ? n : 0);
}

const fli_native fli_functions[] = {
    {"range", "start stop step", 1, f_range},
    {"dict", "*", 0, f_dict},
    {"namespace", "*", 0, f_namespace},
    {"raise_exception", "message", 1, f_raise},
    {"strftime_now", "format", 1, f_strftime_now},
    {NULL, NULL, 0, NULL},
};
