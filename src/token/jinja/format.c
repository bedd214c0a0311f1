/* format.c - "%s" % x and "{}".format(x).
 *
 * Of Python's little languages what templates may want: flags, width, precision; s r d i f e g x o
 * c and % behind a percent sign; positions, names, parts (.b, [b]), and [[fill]align][sign][#][0]
 * [width][,][.precision][type] in braces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/jinja/jinja.h"

enum { WIDTH_MAX = 10000, PRECISION_MAX = 100 };

typedef struct {
    char fill[5];
    char align;  // '<', '>', '^', '=' or 0: by type
    char sign;   // '+', ' ' or 0
    bool alternate, comma;
    int width, precision;  // -1: not given
    char type;             // 0: by value
} spec;

static bool read_count(const char *s, size_t n, size_t *i, int most, int *out) {
    long v = 0;
    for (; *i < n && s[*i] >= '0' && s[*i] <= '9'; ++*i) {
        v = v * 10 + s[*i] - '0';
        if (v > most) return false;
    }
    *out = (int)v;
    return true;
}

/* ---- one value ---- */

/* Padded to the width of characters. */
static void put_padded(fli_run *r, fl_text *t, const spec *o, const char *s, size_t n, char align) {
    int need = o->width - (int)fli_count_chars(s, n), left = align == '^' ? need / 2 : need;
    const size_t sign = align == '=' && n && strchr("+-", *s) ? 1 : 0;
    fli_append(r, t, s, sign);
    if (align == '<') left = 0;
    for (int i = 0; i < left; i++) fli_append(r, t, o->fill, strlen(o->fill));
    fli_append(r, t, s + sign, n - sign);
    for (int i = left > 0 ? left : 0; i < need; i++) fli_append(r, t, o->fill, strlen(o->fill));
}

/* Commas into the digits before the point of text, which has room. */
static void put_commas(char *text) {
    char *digits = text + strspn(text, "+- ");
    size_t n = strspn(digits, "0123456789");
    while (n > 3) {
        n -= 3;
        memmove(digits + n + 1, digits + n, strlen(digits + n) + 1);
        digits[n] = ',';
    }
}

static void print_int(char *text, size_t size, const spec *o, int64_t v) {
    const char *sign = v < 0 ? "-" : o->sign == '+' ? "+" : o->sign == ' ' ? " " : "";
    const unsigned long long u = v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v;
    const char *prefix = !o->alternate    ? ""
                         : o->type == 'x' ? "0x"
                         : o->type == 'X' ? "0X"
                         : o->type == 'o' ? "0o"
                                          : "";
    snprintf(text, size,
             o->type == 'x'   ? "%s%s%llx"
             : o->type == 'X' ? "%s%s%llX"
             : o->type == 'o' ? "%s%s%llo"
                              : "%s%s%llu",
             sign, prefix, u);
}

static void print_real(char *text, size_t size, const spec *o, double v) {
    const int digits = o->precision < 0 ? 6 : o->precision;
    if (o->sign && v >= 0) *text++ = o->sign, size--;
    switch (o->type) {
    case 'e': snprintf(text, size, "%.*e", digits, v); break;
    case 'E': snprintf(text, size, "%.*E", digits, v); break;
    case 'g': snprintf(text, size, "%.*g", digits, v); break;
    case 'G': snprintf(text, size, "%.*G", digits, v); break;
    case '%': snprintf(text, size, "%.*f%%", digits, 100 * v); break;
    default: snprintf(text, size, "%.*f", digits, v); break;
    }
}

static void put_number(fli_run *r, fl_text *t, const spec *o, fli_val v) {
    char text[512];
    const bool real = v.kind == FLI_REAL || strchr("eEfFgG%", o->type ? o->type : 'd');
    if (real && !o->type && o->precision < 0) {
        fl_text plain = {0};
        fli_print_real(r, &plain, v.as.r);
        snprintf(text, sizeof text, "%s%s", o->sign && v.as.r >= 0 ? (char[]){o->sign, 0} : "",
                 fl_text_str(&plain));
        fl_text_clear(&plain);
    } else if (real) {
        spec general = *o;
        if (!o->type) general.type = 'g';
        print_real(text, sizeof text - 160, &general, fli_number(v));
    } else {
        print_int(text, sizeof text - 160, o, v.kind == FLI_BOOL ? v.as.b : v.as.i);
    }
    if (o->comma) put_commas(text);
    put_padded(r, t, o, text, strlen(text), o->align ? o->align : '>');
}

static void put_str(fli_run *r, fl_text *t, const spec *o, fli_val v) {
    const fli_val s = fli_to_str(r, v);
    if (r->status != FL_OK) return;
    const size_t n = o->precision < 0 ? s.n : fli_char_at(s.as.s, s.n, (size_t)o->precision);
    put_padded(r, t, o, s.as.s, n, o->align && o->align != '=' ? o->align : '<');
}

/* ---- percent ---- */

typedef struct {
    fli_val args;
    size_t next;  // of a tuple
} source;

static fli_val next_value(fli_run *r, source *from) {
    const bool tuple = from->args.kind == FLI_TUPLE;
    const size_t n = tuple ? from->args.as.list->n : 1;
    if (from->next >= n) return fli_fail(r, "the format wants more than %zu values", n);
    const size_t i = from->next++;
    return tuple ? from->args.as.list->item[i] : from->args;
}

/* The value of %(name)s. */
static fli_val named_value(fli_run *r, fli_val f, size_t *i, source *from) {
    const size_t n = fli_find(f.as.s + *i, f.n - *i, ")", 1);
    const fli_val name = fli_view(f.as.s + *i, n);
    if (n == f.n - *i) return fli_fail(r, "the format has %%( without )");
    *i += n + 1;
    const fli_val *v = from->args.kind == FLI_DICT ? fli_get(r, from->args.as.dict, name) : NULL;
    from->next = 1;
    return v ? *v : fli_fail(r, "the format's %%(..) names no value");
}

static bool read_percent(fli_run *r, fli_val f, size_t *i, source *from, spec *o) {
    const char *s = f.as.s;
    for (; *i < f.n && s[*i] && strchr("-+ #0", s[*i]); ++*i) {
        if (s[*i] == '-') o->align = '<';
        else if (s[*i] == '#') o->alternate = true;
        else if (s[*i] == '0' && o->align != '<') o->align = '=', *o->fill = '0';
        else if (s[*i] != '0' && o->sign != '+') o->sign = s[*i];
    }
    int64_t star;
    if (*i < f.n && s[*i] == '*') {
        ++*i;
        if (!fli_want_int(r, next_value(r, from), "a width", &star)) return false;
        if (star > WIDTH_MAX || star < 0) return false;
        o->width = (int)star;
    } else if (!read_count(s, f.n, i, WIDTH_MAX, &o->width)) {
        return false;
    }
    if (*i < f.n && s[*i] == '.') {
        ++*i;
        if (!read_count(s, f.n, i, PRECISION_MAX, &o->precision)) return false;
    }
    if (*i >= f.n) return false;
    o->type = s[(*i)++];
    return true;
}

static void put_percent(fli_run *r, fl_text *t, const spec *wanted, fli_val v) {
    spec o = *wanted;
    if (o.align == '<') *o.fill = ' ';
    if (strchr("diuxXofFeEgG", o.type)) {
        const bool real = strchr("fFeEgG", o.type) != NULL;
        if (!fli_is_number(v)) {
            fli_fail(r, "%%%c wants a number, not a %s", o.type, fli_kind_name(v));
            return;
        }
        if (strchr("diu", o.type)) o.type = 'd';
        if (!real && v.kind == FLI_REAL) v = fli_int((int64_t)v.as.r);
        put_number(r, t, &o, v);
        return;
    }
    fl_text repr = {0};
    if (o.type == 'r') {
        fli_repr(r, &repr, v);
        v = fli_text_end(r, &repr);
    } else if (o.type != 's' && o.type != 'c') {
        fli_fail(r, "%%%c is no format", o.type > ' ' ? o.type : '?');
        return;
    }
    *o.fill = ' ';
    put_str(r, t, &o, v);
}

fli_val fli_percent(fli_run *r, fli_val f, fli_val args) {
    fl_text t = {0};
    source from = {.args = args};
    for (size_t i = 0; i < f.n && fli_work(r, 1);) {
        const size_t plain = fli_find(f.as.s + i, f.n - i, "%", 1);
        fli_append(r, &t, f.as.s + i, plain);
        i += plain + 1;
        if (i > f.n) break;
        if (i < f.n && f.as.s[i] == '%') {
            fli_append(r, &t, "%", 1);
            i++;
            continue;
        }
        spec o = {.fill = " ", .precision = -1};
        fli_val v = fli_none();
        const bool named = i < f.n && f.as.s[i] == '(';
        if (named && i++) v = named_value(r, f, &i, &from);
        if (!read_percent(r, f, &i, &from, &o)) fli_fail(r, "an incomplete %% in a format");
        if (!named && r->status == FL_OK) v = next_value(r, &from);
        if (r->status == FL_OK) put_percent(r, &t, &o, v);
    }
    const size_t n = args.kind == FLI_TUPLE ? args.as.list->n : args.kind == FLI_DICT ? 0 : 1;
    if (from.next < n) fli_fail(r, "the format leaves values over");
    return fli_text_end(r, &t);
}

/* ---- braces ---- */

static bool is_align(char c) {
    return c && strchr("<>=^", c);
}

static bool read_spec(fli_val f, spec *o) {
    const char *s = f.as.s;
    size_t i = 0;
    const size_t first = f.n ? fli_char_len(s) : 0;
    if (f.n > first && is_align(s[first])) {
        memcpy(o->fill, s, first);
        o->fill[first] = 0;
        o->align = s[first];
        i = first + 1;
    } else if (f.n && is_align(*s)) {
        o->align = s[i++];
    }
    if (i < f.n && s[i] && strchr("+- ", s[i])) o->sign = s[i] == '-' ? 0 : s[i], i++;
    if (i < f.n && s[i] == '#') o->alternate = true, i++;
    if (i < f.n && s[i] == '0' && !o->align) o->align = '=', *o->fill = '0', i++;
    if (!read_count(s, f.n, &i, WIDTH_MAX, &o->width)) return false;
    if (i < f.n && s[i] == ',') o->comma = true, i++;
    if (i < f.n && s[i] == '.') {
        i++;
        if (!read_count(s, f.n, &i, PRECISION_MAX, &o->precision)) return false;
    }
    if (i < f.n) o->type = s[i++];
    return i == f.n && (!o->type || strchr("sdxXofFeEgG%", o->type));
}

static void put_braced(fli_run *r, fl_text *t, fli_val v, fli_val format) {
    spec o = {.fill = " ", .precision = -1};
    if (!read_spec(format, &o)) {
        fli_fail(r, "'%.*s' is no format of a value", format.n < 20 ? (int)format.n : 20,
                 format.as.s);
        return;
    }
    const bool number = fli_is_number(v) && !(v.kind == FLI_BOOL && !o.type);
    if (number && o.type != 's') put_number(r, t, &o, v);
    else if (o.type && o.type != 's')
        fli_fail(r, "'%c' wants a number, not a %s", o.type, fli_kind_name(v));
    else put_str(r, t, &o, v);
}

/* What "0", "name", "name.part", "name[part]" or "" stands for. */
static fli_val field_value(fli_run *r, fli_val field, const fli_args *a, size_t *next) {
    size_t n = 0, digits = 0, index = 0;
    while (n < field.n && field.as.s[n] != '.' && field.as.s[n] != '[') n++;
    for (; digits < n && digits < 6 && field.as.s[digits] >= '0' && field.as.s[digits] <= '9';)
        index = index * 10 + (size_t)(field.as.s[digits++] - '0');
    fli_val v;
    if (digits == n) {
        if (!n) index = (*next)++;
        if (index >= a->n) return fli_fail(r, "the format wants more than %zu values", a->n);
        v = a->list[index];
    } else {
        const fli_val *named = a->named ? fli_get_name(a->named, field.as.s, n) : NULL;
        if (!named) return fli_fail(r, "the format names a value that is not given");
        v = *named;
    }
    if (n == field.n) return v;
    const bool bracket = field.as.s[n] == '[' && field.as.s[field.n - 1] == ']';
    return fli_path(r, v, fli_view(field.as.s + n + 1, field.n - n - 1 - bracket));
}

/* The field that begins at *i, behind the brace. */
static void put_field(fli_run *r, fl_text *t, fli_val f, size_t *i, const fli_args *a,
                      size_t *next) {
    const size_t n = fli_find(f.as.s + *i, f.n - *i, "}", 1);
    if (n == f.n - *i) {
        fli_fail(r, "the format has { without }");
        return;
    }
    const fli_val field = fli_view(f.as.s + *i, n);
    const size_t colon = fli_find(field.as.s, n, ":", 1);
    const size_t bang = fli_find(field.as.s, colon, "!", 1);
    fli_val v = field_value(r, fli_view(field.as.s, bang), a, next);
    if (bang < colon && field.as.s[bang + 1] == 'r') {
        fl_text repr = {0};
        fli_repr(r, &repr, v);
        v = fli_text_end(r, &repr);
    }
    const size_t skip = colon < n ? colon + 1 : n;
    if (r->status == FL_OK) put_braced(r, t, v, fli_view(field.as.s + skip, n - skip));
    *i += n + 1;
}

fli_val fli_format(fli_run *r, fli_val f, const fli_args *a) {
    fl_text t = {0};
    size_t next = 0;
    for (size_t i = 0; i < f.n && fli_work(r, 1);) {
        const char *s = f.as.s + i;
        const size_t rest = f.n - i, open = fli_find(s, rest, "{", 1);
        const size_t plain = fli_find(s, open, "}", 1);  // before any brace
        fli_append(r, &t, s, plain);
        i += plain;
        if (i == f.n) break;
        if (i + 1 < f.n && s[plain + 1] == s[plain]) {
            fli_append(r, &t, s + plain, 1);
            i += 2;
        } else if (s[plain] == '}') {
            fli_fail(r, "the format has } without {");
        } else {
            i++;
            put_field(r, &t, f, &i, a, &next);
        }
    }
    return fli_text_end(r, &t);
}
