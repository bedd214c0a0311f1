/* filters_text.c - filters over strings and numbers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/jinja/filters.h"

/* ---- shared with the methods of strings ---- */

fli_val fli_replace(fli_run *r, fli_val s, fli_val from, fli_val to, int64_t most) {
    fl_text t = {0};
    size_t i = 0;
    if (!fli_work(r, s.n / 16)) return fli_none();
    for (; most != 0 && fli_work(r, 1); most--) {
        const size_t at = fli_find(s.as.s + i, s.n - i, from.as.s, from.n);
        if (from.n ? at == s.n - i : i > s.n) break;
        fli_append(r, &t, s.as.s + i, at);
        fli_append(r, &t, to.as.s, to.n);
        i += at + from.n;
        if (from.n) continue;  // between all characters, and at both ends
        const size_t step = i < s.n ? fli_char_len(s.as.s + i) : 1;
        if (i < s.n) fli_append(r, &t, s.as.s + i, step);
        i += step;
    }
    if (i < s.n) fli_append(r, &t, s.as.s + i, s.n - i);
    return fli_text_end(r, &t);
}

/* Bytes of the line end at s: of "\r\n", or of any of the characters that end lines in Python. */
static size_t line_end(const char *s, size_t n) {
    int len;
    if (n > 1 && s[0] == '\r' && s[1] == '\n') return 2;
    const int32_t c = fl_utf8_decode((const uint8_t *)s, n, &len);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    return ends ? (size_t)len : 0;
}

fli_val fli_lines(fli_run *r, fli_val s, bool keep_ends) {
    fli_val out = fli_list_new(r, FLI_LIST);
    size_t from = 0;
    if (!fli_work(r, s.n / 16)) return out;
    for (size_t i = 0; i < s.n;) {
        const size_t end = line_end(s.as.s + i, s.n - i);
        if (end) fli_push(r, out, fli_view(s.as.s + from, i - from + (keep_ends ? end : 0)));
        i += end ? end : fli_char_len(s.as.s + i);
        if (end) from = i;
    }
    if (from < s.n) fli_push(r, out, fli_view(s.as.s + from, s.n - from));
    return out;
}

/* ---- text ---- */

/* The method of this name on what is filtered, as text. */
static fli_val by_method(fli_run *r, fli_args *a, const char *name) {
    a->self = fli_to_str(r, a->self);
    if (r->status != FL_OK) return fli_none();
    const fli_native *row = fli_native_find(fli_str_methods, fli_literal(name));
    return fli_call_value(r, fli_method_new(r, a->self, row), a);
}

fli_val fli_filter_trim(fli_run *r, fli_args *a) {
    return by_method(r, a, "strip");
}

fli_val fli_filter_upper(fli_run *r, fli_args *a) {
    return by_method(r, a, "upper");
}

fli_val fli_filter_lower(fli_run *r, fli_args *a) {
    return by_method(r, a, "lower");
}

fli_val fli_filter_capitalize(fli_run *r, fli_args *a) {
    return by_method(r, a, "capitalize");
}

fli_val fli_filter_center(fli_run *r, fli_args *a) {
    fli_val width = fli_given(a, 0) ? a->v[0] : fli_int(80);
    fli_args centered = {.self = a->self, .list = &width, .n = 1};
    return by_method(r, &centered, "center");
}

/* Jinja's own title: words begin after white space and after - ( { [ <, not after an apostrophe. */
fli_val fli_filter_title(fli_run *r, fli_args *a) {
    const fli_val s = fli_to_str(r, a->self);
    fl_text t = {0};
    for (size_t i = 0; i < s.n && r->status == FL_OK;) {
        size_t end = i;
        bool breaks = false;
        while (end < s.n && !breaks) {
            breaks = fli_space(s.as.s + end, s.n - end) || strchr("-({[<", s.as.s[end]);
            end += fli_char_len(s.as.s + end);
        }
        const fli_val word = fli_cased(r, fli_view(s.as.s + i, end - i), FLI_CAPITALIZE);
        if (r->status == FL_OK) fli_append(r, &t, word.as.s, word.n);
        i = end;
    }
    return fli_text_end(r, &t);
}

fli_val fli_filter_string(fli_run *r, fli_args *a) {
    return fli_to_str(r, a->self);
}

fli_val fli_filter_replace(fli_run *r, fli_args *a) {
    int64_t most = -1;
    const fli_val s = fli_to_str(r, a->self), from = fli_to_str(r, a->v[0]),
                  to = fli_to_str(r, a->v[1]);
    if (fli_given(a, 2) && a->v[2].kind != FLI_NONE &&
        !fli_want_int(r, a->v[2], "the number of replacements", &most))
        return fli_none();
    return r->status == FL_OK ? fli_replace(r, s, from, to, most) : fli_none();
}

static fli_val marked_safe(fli_val s) {
    s.safe = s.kind == FLI_STR;
    return s;
}

fli_val fli_escape(fli_run *r, fli_val s) {
    static const char *const entities[128] =
        {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['\''] = "&#39;", ['"'] = "&#34;"};
    if (s.safe) return s;
    fl_text t = {0};
    for (size_t i = 0; i < s.n && r->status == FL_OK; i++) {
        const uint8_t c = (uint8_t)s.as.s[i];
        const char *entity = c < 128 ? entities[c] : NULL;
        fli_append(r, &t, entity ? entity : s.as.s + i, entity ? strlen(entity) : 1);
    }
    return marked_safe(fli_text_end(r, &t));
}

fli_val fli_filter_escape(fli_run *r, fli_args *a) {
    return fli_escape(r, fli_to_str(r, a->self));
}

fli_val fli_filter_safe(fli_run *r, fli_args *a) {
    return marked_safe(fli_to_str(r, a->self));
}

/* The width of one level: a number of spaces, or the text itself. */
static fli_val indent_text(fli_run *r, fli_val width) {
    if (width.kind == FLI_STR) return width;
    int64_t n;
    if (!fli_want_int(r, width, "an indent", &n)) return fli_view("", 0);
    return fli_arithmetic(r, '*', fli_view(" ", 1), fli_int(n));
}

fli_val fli_filter_indent(fli_run *r, fli_args *a) {
    const fli_val by = indent_text(r, fli_given(a, 0) ? a->v[0] : fli_int(4));
    const bool first = fli_given(a, 1) && fli_true(a->v[1]);
    const bool blank = fli_given(a, 2) && fli_true(a->v[2]);
    if (!fli_want_str(r, a->self, "what is indented")) return fli_none();
    const fli_val s = fli_arithmetic(r, '+', fli_to_str(r, a->self), fli_view("\n", 1));
    if (r->status != FL_OK) return fli_none();
    const fli_val lines = fli_lines(r, s, false);
    fl_text t = {0};
    for (size_t i = 0; r->status == FL_OK && i < lines.as.list->n; i++) {
        const fli_val line = lines.as.list->item[i];
        if (i) fli_append(r, &t, "\n", 1);
        if (i ? blank || line.n : first) fli_append(r, &t, by.as.s, by.n);
        fli_append(r, &t, line.as.s, line.n);
    }
    return fli_text_end(r, &t);
}

/* Runs of letters, digits and underscores. */
fli_val fli_filter_wordcount(fli_run *r, fli_args *a) {
    const fli_val s = fli_to_str(r, a->self);
    int64_t words = 0;
    bool inside = false;
    int len;
    for (size_t i = 0; r->status == FL_OK && i < s.n && fli_work(r, 1); i += (size_t)len) {
        const int32_t c = fl_utf8_decode((const uint8_t *)s.as.s + i, s.n - i, &len);
        const bool word = c == '_' || fli_char_is(c, FLI_ALPHA) || fli_char_is(c, FLI_DIGIT);
        words += word && !inside;
        inside = word;
    }
    return fli_int(words);
}

/* ---- numbers ---- */

/* Text that holds a number and spaces around it: an integer, a real one, or none. */
static fli_val read_number(fli_run *r, fli_val s, int base) {
    char text[64], *end;
    const size_t skip = fli_spaces(s.as.s, s.n), n = fli_rstrip(s.as.s, s.n);
    if (n <= skip || n - skip >= sizeof text) return fli_none();
    memcpy(text, s.as.s + skip, n - skip);
    text[n - skip] = 0;
    errno = 0;
    const long long i = strtoll(text, &end, base);
    if (!*end && errno) return fli_fail(r, "%s is an integer beyond 64 bits", text);
    if (!*end) return fli_int(i);
    const double v = strtod(text, &end);
    return *end || strpbrk(text, "xX") ? fli_none() : fli_real(v);
}

/* What is to become a number; none where it cannot. */
static fli_val number_of(fli_run *r, fli_val v, int base) {
    if (v.kind == FLI_UNDEFINED) return fli_cannot(r, v, "be a number");
    if (v.kind == FLI_STR) return read_number(r, v, base);
    return fli_is_number(v) ? v : fli_none();
}

fli_val fli_filter_int(fli_run *r, fli_args *a) {
    const fli_val fallback = fli_given(a, 0) ? a->v[0] : fli_int(0);
    int64_t base = 10;
    if (fli_given(a, 1) && !fli_want_int(r, a->v[1], "a base", &base)) return fli_none();
    if (base < 2 || base > 36) return fallback;
    const fli_val v = number_of(r, a->self, (int)base);
    if (v.kind == FLI_INT) return v;
    if (v.kind == FLI_NONE || isnan(fli_number(v))) return fallback;
    if (!(fabs(fli_number(v)) < 0x1p63)) return fli_fail(r, "an integer beyond 64 bits");
    return fli_int((int64_t)fli_number(v));
}

fli_val fli_filter_float(fli_run *r, fli_args *a) {
    const fli_val v = number_of(r, a->self, 10);
    if (v.kind != FLI_NONE) return fli_real(fli_number(v));
    return fli_given(a, 0) ? a->v[0] : fli_real(0);
}

fli_val fli_filter_abs(fli_run *r, fli_args *a) {
    if (!fli_is_number(a->self)) return fli_cannot(r, a->self, "have an absolute value");
    if (a->self.kind == FLI_REAL) return fli_real(fabs(a->self.as.r));
    return fli_number(a->self) < 0 ? fli_negative(r, a->self)
                                   : fli_arithmetic(r, '+', a->self, fli_int(0));
}

/* To `digits` decimals, halves to even, as the decimal digits of the number say. */
static double round_common(double v, int64_t digits) {
    char text[400];
    if (digits < 0) {
        const double scale = pow(10, (double)-digits);
        return rint(v / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", digits > 20 ? 20 : (int)digits, v);
    return strtod(text, NULL);
}

fli_val fli_filter_round(fli_run *r, fli_args *a) {
    int64_t digits = 0;
    const fli_val v = a->self, method = fli_given(a, 1) ? a->v[1] : fli_view("common", 6);
    if (!fli_is_number(v)) return fli_cannot(r, v, "be rounded");
    if (fli_given(a, 0) && !fli_want_int(r, a->v[0], "the number of decimals", &digits))
        return fli_none();
    const double scale = pow(10, (double)digits);
    if (fli_is(method, "ceil")) return fli_real(ceil(fli_number(v) * scale) / scale);
    if (fli_is(method, "floor")) return fli_real(floor(fli_number(v) * scale) / scale);
    if (!fli_is(method, "common")) return fli_fail(r, "round by common, ceil or floor");
    if (v.kind != FLI_REAL) return fli_int((int64_t)round_common(fli_number(v), digits));
    return fli_real(round_common(v.as.r, digits));
}

/* ---- formats ---- */

fli_val fli_filter_format(fli_run *r, fli_args *a) {
    fli_val tuple = fli_list_new(r, FLI_TUPLE);
    for (size_t i = 0; i < a->n; i++) fli_push(r, tuple, a->list[i]);
    if (a->named && a->named->n)
        tuple = (fli_val){.kind = FLI_DICT, .as.dict = (fli_dict *)a->named};
    return fli_percent(r, fli_to_str(r, a->self), tuple);
}

fli_val fli_filter_tojson(fli_run *r, fli_args *a) {
    fli_json_style style = {.ascii = fli_given(a, 0) && fli_true(a->v[0]),
                            .between = fli_view(", ", 2),
                            .after_key = fli_view(": ", 2)};
    if (fli_given(a, 1) && a->v[1].kind != FLI_NONE) {
        style.spread = true;
        style.indent = indent_text(r, a->v[1]);
        style.between.n = 1;
    }
    if (fli_given(a, 2) && a->v[2].kind != FLI_NONE) {
        const fli_list *parts = fli_items(r, a->v[2]);
        if (parts->n != 2 || !fli_want_str(r, parts->item[0], "a separator") ||
            !fli_want_str(r, parts->item[1], "a separator"))
            return fli_fail(r, "tojson wants two separators");
        style.between = parts->item[0];
        style.after_key = parts->item[1];
    }
    style.sort = fli_given(a, 3) && fli_true(a->v[3]);
    return fli_tojson(r, a->self, &style);
}
