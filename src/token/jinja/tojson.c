/* tojson.c - values as JSON, as Python's json.dumps writes it: transformers' tojson filter.
 *
 * Not base/json's printer: that one writes jansson's values in our own style, this one the values
 * of templates in the style that models were trained on. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "token/jinja/jinja.h"

typedef struct {
    fli_run *r;
    fl_text *t;
    const fli_json_style *style;
    int level;
} writer;

static void write_value(writer *w, fli_val v);

static void put(writer *w, const char *s, size_t n) {
    fli_append(w->r, w->t, s, n);
}

static void put_str(writer *w, const char *s) {
    put(w, s, strlen(s));
}

static void put_unit(writer *w, uint32_t unit) {
    char s[8];
    snprintf(s, sizeof s, "\\u%04x", (unsigned)unit & 0xFFFF);
    put_str(w, s);
}

static void put_char(writer *w, int32_t c, const char *bytes, size_t n) {
    static const char brief[][3] = {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
                                    ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    if (c <= '\\' && brief[c][0]) put_str(w, brief[c]);
    else if (c >= 0x20 && (c < 0x7F || !w->style->ascii)) put(w, bytes, n);
    else if (c < 0x10000) put_unit(w, (uint32_t)c);
    else {
        put_unit(w, 0xD7C0 + ((uint32_t)c >> 10));
        put_unit(w, 0xDC00 + ((uint32_t)c & 0x3FF));
    }
}

static void write_string(writer *w, fli_val s) {
    int len;
    put(w, "\"", 1);
    for (size_t i = 0; i < s.n && w->r->status == FL_OK; i += (size_t)len) {
        const int32_t c = fl_utf8_decode((const uint8_t *)s.as.s + i, s.n - i, &len);
        put_char(w, c, s.as.s + i, (size_t)len);
    }
    put(w, "\"", 1);
}

static void write_real(writer *w, double v) {
    if (isnan(v)) put_str(w, "NaN");
    else if (isinf(v)) put_str(w, v > 0 ? "Infinity" : "-Infinity");
    else fli_print_real(w->r, w->t, v);
}

static void write_scalar(writer *w, fli_val v) {
    switch ((fli_kind)v.kind) {
    case FLI_NONE: put_str(w, "null"); break;
    case FLI_BOOL: put_str(w, v.as.b ? "true" : "false"); break;
    case FLI_INT: fli_repr(w->r, w->t, v); break;
    case FLI_REAL: write_real(w, v.as.r); break;
    case FLI_STR: write_string(w, v); break;
    default: fli_fail(w->r, "a %s cannot be written as JSON", fli_kind_name(v)); break;
    }
}

static void new_line(writer *w) {
    if (!w->style->spread) return;
    put(w, "\n", 1);
    for (int i = 0; i < w->level; i++) put(w, w->style->indent.as.s, w->style->indent.n);
}

/* Before the i-th item. */
static void begin_item(writer *w, size_t i) {
    if (i) put(w, w->style->between.as.s, w->style->between.n);
    new_line(w);
}

static void write_list(writer *w, const fli_list *l) {
    put(w, "[", 1);
    w->level++;
    for (size_t i = 0; i < l->n && w->r->status == FL_OK; i++) {
        begin_item(w, i);
        write_value(w, l->item[i]);
    }
    w->level--;
    if (l->n) new_line(w);
    put(w, "]", 1);
}

/* A key that is no string is written as JSON writes it, in quotes. */
static void write_key(writer *w, fli_val key) {
    if (key.kind == FLI_STR) {
        write_string(w, key);
        return;
    }
    put(w, "\"", 1);
    write_scalar(w, key);
    put(w, "\"", 1);
}

/* The position of the i-th pair to write. Sorting by selection: keys are few, and counted. */
static size_t pair_at(writer *w, const fli_dict *d, size_t i, bool *done) {
    if (!w->style->sort) return i;
    size_t least = d->n;
    for (size_t k = 0; k < d->n && fli_work(w->r, 1); k++)
        if (!done[k] && (least == d->n || fli_order(w->r, d->key[k], d->key[least]) < 0)) least = k;
    if (least < d->n) done[least] = true;
    return least;
}

static void write_dict(writer *w, const fli_dict *d) {
    bool *done = w->style->sort ? FLI_NEW(w->r, bool, d->n) : NULL;
    put(w, "{", 1);
    w->level++;
    for (size_t i = 0; i < d->n && w->r->status == FL_OK; i++) {
        const size_t at = pair_at(w, d, i, done);
        if (at >= d->n) break;
        begin_item(w, i);
        write_key(w, d->key[at]);
        put(w, w->style->after_key.as.s, w->style->after_key.n);
        write_value(w, d->value[at]);
    }
    w->level--;
    if (d->n) new_line(w);
    put(w, "}", 1);
}

static void write_value(writer *w, fli_val v) {
    if (fli_deeper(w->r)) {
        if (v.kind == FLI_LIST || v.kind == FLI_TUPLE) write_list(w, v.as.list);
        else if (v.kind == FLI_DICT) write_dict(w, v.as.dict);
        else write_scalar(w, v);
    }
    w->r->depth++;
}

fli_val fli_tojson(fli_run *r, fli_val v, const fli_json_style *style) {
    fl_text t = {0};
    writer w = {.r = r, .t = &t, .style = style};
    write_value(&w, v);
    return fli_text_end(r, &t);
}
