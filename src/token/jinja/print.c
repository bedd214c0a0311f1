/* print.c - values as text: Python's str() and repr(). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/jinja/jinja.h"

static void puts_text(fli_run *r, fl_text *t, const char *s) {
    fli_append(r, t, s, strlen(s));
}

/* The fewest digits that read back as v; with an exponent below 1e-4 and from 1e16 on. */
void fli_print_real(fli_run *r, fl_text *t, double v) {
    char digits[40], out[64];
    if (isnan(v) || isinf(v)) {
        puts_text(r, t, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
        return;
    }
    int precision = 1;
    do snprintf(digits, sizeof digits, "%.*e", precision - 1, v);
    while (strtod(digits, NULL) != v && precision++ < 17);
    const int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        const int decimals = precision - 1 - exponent;
        snprintf(out, sizeof out, "%.*f", decimals > 1 ? decimals : 1, v);
    } else {
        snprintf(out, sizeof out, "%s", digits);
    }
    puts_text(r, t, out);
}

/* ---- repr ---- */

static void repr_char(fli_run *r, fl_text *t, int32_t c, const char *bytes, size_t n, char quote) {
    char escape[12] = "";
    if (c == '\\' || c == quote) snprintf(escape, sizeof escape, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (fli_char_is(c, FLI_PRINTABLE)) fli_append(r, t, bytes, n);
    else
        snprintf(escape, sizeof escape,
                 c < 0x100     ? "\\x%02x"
                 : c < 0x10000 ? "\\u%04x"
                               : "\\U%08x",
                 (unsigned)c);
    puts_text(r, t, escape);
}

/* In single quotes, unless that would need escapes and double ones would not. */
static void repr_string(fli_run *r, fl_text *t, fli_val s) {
    const bool single = s.n && memchr(s.as.s, '\'', s.n), both = single && memchr(s.as.s, '"', s.n);
    const char quote[2] = {single && !both ? '"' : '\'', 0};
    puts_text(r, t, quote);
    int len;
    for (size_t i = 0; i < s.n && r->status == FL_OK; i += (size_t)len) {
        const int32_t c = fl_utf8_decode((const uint8_t *)s.as.s + i, s.n - i, &len);
        repr_char(r, t, c, s.as.s + i, (size_t)len, quote[0]);
    }
    puts_text(r, t, quote);
}

static void repr_items(fli_run *r, fl_text *t, const fli_list *l) {
    for (size_t i = 0; i < l->n && r->status == FL_OK; i++) {
        if (i) puts_text(r, t, ", ");
        fli_repr(r, t, l->item[i]);
    }
}

static void repr_dict(fli_run *r, fl_text *t, const fli_dict *d) {
    puts_text(r, t, "{");
    for (size_t i = 0; i < d->n && r->status == FL_OK; i++) {
        if (i) puts_text(r, t, ", ");
        fli_repr(r, t, d->key[i]);
        puts_text(r, t, ": ");
        fli_repr(r, t, d->value[i]);
    }
    puts_text(r, t, "}");
}

static void repr_kind(fli_run *r, fl_text *t, fli_val v) {
    switch ((fli_kind)v.kind) {
    case FLI_UNDEFINED: puts_text(r, t, "Undefined"); break;
    case FLI_STR:
        if (v.safe) puts_text(r, t, "Markup(");
        repr_string(r, t, v);
        if (v.safe) puts_text(r, t, ")");
        break;
    case FLI_LIST:
        puts_text(r, t, "[");
        repr_items(r, t, v.as.list);
        puts_text(r, t, "]");
        break;
    case FLI_TUPLE:
        puts_text(r, t, "(");
        repr_items(r, t, v.as.list);
        puts_text(r, t, v.as.list->n == 1 ? ",)" : ")");
        break;
    case FLI_VIEW:
        puts_text(r, t, v.as.list->label);
        puts_text(r, t, "([");
        repr_items(r, t, v.as.list);
        puts_text(r, t, "])");
        break;
    case FLI_DICT: repr_dict(r, t, v.as.dict); break;
    case FLI_NAMESPACE:
        puts_text(r, t, "<Namespace ");
        repr_dict(r, t, v.as.dict);
        puts_text(r, t, ">");
        break;
    default:
        puts_text(r, t, "<");
        puts_text(r, t, fli_kind_name(v));
        puts_text(r, t, ">");
        break;
    }
}

void fli_repr(fli_run *r, fl_text *t, fli_val v) {
    char digits[24];
    switch ((fli_kind)v.kind) {
    case FLI_NONE: puts_text(r, t, "None"); return;
    case FLI_BOOL: puts_text(r, t, v.as.b ? "True" : "False"); return;
    case FLI_INT:
        snprintf(digits, sizeof digits, "%lld", (long long)v.as.i);
        puts_text(r, t, digits);
        return;
    case FLI_REAL: fli_print_real(r, t, v.as.r); return;
    default: break;
    }
    if (fli_deeper(r)) repr_kind(r, t, v);
    r->depth++;
}

void fli_print(fli_run *r, fl_text *t, fli_val v) {
    if (v.kind == FLI_STR) fli_append(r, t, v.as.s, v.n);
    else if (v.kind != FLI_UNDEFINED) fli_repr(r, t, v);
}

fli_val fli_to_str(fli_run *r, fli_val v) {
    if (v.kind == FLI_STR) return v;
    if (v.kind == FLI_UNDEFINED) return fli_view("", 0);
    fl_text t = {0};
    fli_print(r, &t, v);
    return fli_text_end(r, &t);
}
