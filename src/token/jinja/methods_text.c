/* methods_text.c - the methods of strings, as Python has them. */
#include <string.h>

#include "token/jinja/jinja.h"

/* ---- stripping ---- */

typedef enum { LEFT = 1, RIGHT = 2, BOTH = 3 } sides;

static size_t last_char(const char *s, size_t n) {
    size_t at = n - 1;
    while (at && ((uint8_t)s[at] & 0xC0) == 0x80) at--;
    return at;
}

/* Without white space, or without any of the given characters, at these sides. */
static fli_val strip(fli_run *r, fli_val s, bool chars_given, fli_val chars, sides at) {
    const char *p = s.as.s;
    size_t n = s.n;
    if (!chars_given || chars.kind == FLI_NONE) {
        if (at & RIGHT) n = fli_rstrip(p, n);
        const size_t left = at & LEFT ? fli_spaces(p, n) : 0;
        return fli_work(r, s.n / 64) ? fli_view(p + left, n - left) : fli_none();
    }
    if (!fli_want_str(r, chars, "what is stripped")) return fli_none();
    for (size_t k; at & LEFT && n && fli_work(r, 1); p += k, n -= k) {
        k = fli_char_len(p);
        if (fli_find(chars.as.s, chars.n, p, k) == chars.n) break;
    }
    for (size_t end; at & RIGHT && n && fli_work(r, 1); n = end) {
        end = last_char(p, n);
        if (fli_find(chars.as.s, chars.n, p + end, n - end) == chars.n) break;
    }
    return fli_view(p, n);
}

static fli_val m_strip(fli_run *r, fli_args *a) {
    return strip(r, a->self, fli_given(a, 0), a->v[0], BOTH);
}

static fli_val m_lstrip(fli_run *r, fli_args *a) {
    return strip(r, a->self, fli_given(a, 0), a->v[0], LEFT);
}

static fli_val m_rstrip(fli_run *r, fli_args *a) {
    return strip(r, a->self, fli_given(a, 0), a->v[0], RIGHT);
}

static bool begins(fli_val s, fli_val with) {
    return with.n <= s.n && memcmp(s.as.s, with.as.s, with.n) == 0;
}

static bool ends(fli_val s, fli_val with) {
    return with.n <= s.n && memcmp(s.as.s + s.n - with.n, with.as.s, with.n) == 0;
}

/* Of one string or of any in a tuple. */
static fli_val affix(fli_run *r, fli_args *a, bool (*is)(fli_val s, fli_val with)) {
    if (a->v[0].kind != FLI_TUPLE)
        return fli_bool(fli_want_str(r, a->v[0], "a prefix or suffix") && is(a->self, a->v[0]));
    const fli_list *l = a->v[0].as.list;
    for (size_t i = 0; i < l->n && fli_want_str(r, l->item[i], "a prefix or suffix"); i++)
        if (is(a->self, l->item[i])) return fli_bool(true);
    return fli_bool(false);
}

static fli_val m_startswith(fli_run *r, fli_args *a) {
    return affix(r, a, begins);
}

static fli_val m_endswith(fli_run *r, fli_args *a) {
    return affix(r, a, ends);
}

static fli_val m_removeprefix(fli_run *r, fli_args *a) {
    const fli_val s = a->self, cut = a->v[0];
    if (!fli_want_str(r, cut, "a prefix") || !begins(s, cut)) return s;
    return fli_view(s.as.s + cut.n, s.n - cut.n);
}

static fli_val m_removesuffix(fli_run *r, fli_args *a) {
    const fli_val s = a->self, cut = a->v[0];
    if (!fli_want_str(r, cut, "a suffix") || !ends(s, cut)) return s;
    return fli_view(s.as.s, s.n - cut.n);
}

/* ---- splitting ---- */

/* Reversed in place: what is split from the right is found last first. */
static void reverse(fli_list *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        const fli_val v = l->item[i];
        l->item[i] = l->item[l->n - 1 - i];
        l->item[l->n - 1 - i] = v;
    }
}

static size_t find_last(const char *s, size_t n, fli_val what) {
    for (size_t at = n < what.n ? 0 : n - what.n + 1; at-- > 0;)
        if (memcmp(s + at, what.as.s, what.n) == 0) return at;
    return n;
}

static void split_at(fli_run *r, fli_val out, fli_val s, fli_val sep, int64_t most, bool right) {
    const char *p = s.as.s;
    size_t n = s.n;
    for (; most != 0 && fli_work(r, 1); most--) {
        const size_t at = right ? find_last(p, n, sep) : fli_find(p, n, sep.as.s, sep.n);
        if (at == n) break;
        const size_t after = at + sep.n;
        fli_push(r, out, right ? fli_view(p + after, n - after) : fli_view(p, at));
        if (!right) p += after;
        n = right ? at : n - after;
    }
    fli_push(r, out, fli_view(p, n));
}

static size_t word_begin(const char *s, size_t n) {
    while (n) {
        const size_t at = last_char(s, n);
        if (fli_space(s + at, n - at)) break;
        n = at;
    }
    return n;
}

static size_t word_end(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && !fli_space(s + i, n - i)) i += fli_char_len(s + i);
    return i;
}

/* Words; what is left after `most` of them keeps its other spaces. */
static void split_words(fli_run *r, fli_val out, fli_val s, int64_t most, bool right) {
    const char *p = s.as.s;
    size_t n = s.n;
    while (fli_work(r, 1)) {
        if (right) {
            n = fli_rstrip(p, n);
        } else {
            const size_t skip = fli_spaces(p, n);
            p += skip;
            n -= skip;
        }
        if (!n) break;
        if (most-- == 0) {
            fli_push(r, out, fli_view(p, n));
            break;
        }
        const size_t at = right ? word_begin(p, n) : word_end(p, n);
        fli_push(r, out, right ? fli_view(p + at, n - at) : fli_view(p, at));
        if (!right) p += at;
        n = right ? at : n - at;
    }
}

static fli_val split(fli_run *r, fli_args *a, bool right) {
    int64_t most = -1;
    const bool words = !fli_given(a, 0) || a->v[0].kind == FLI_NONE;
    if (!fli_work(r, a->self.n / 16)) return fli_none();
    if (!words && !fli_want_str(r, a->v[0], "a separator")) return fli_none();
    if (!words && !a->v[0].n) return fli_fail(r, "a separator is empty");
    if (fli_given(a, 1) && !fli_want_int(r, a->v[1], "the number of splits", &most))
        return fli_none();
    fli_val out = fli_list_new(r, FLI_LIST);
    if (words) split_words(r, out, a->self, most, right);
    else split_at(r, out, a->self, a->v[0], most, right);
    if (right && r->status == FL_OK) reverse(out.as.list);
    return out;
}

static fli_val m_split(fli_run *r, fli_args *a) {
    return split(r, a, false);
}

static fli_val m_rsplit(fli_run *r, fli_args *a) {
    return split(r, a, true);
}

static fli_val m_splitlines(fli_run *r, fli_args *a) {
    return fli_lines(r, a->self, fli_given(a, 0) && fli_true(a->v[0]));
}

/* (before, separator, after); without it the whole is the first, or from the right the last. */
static fli_val partition(fli_run *r, fli_args *a, bool right) {
    const fli_val s = a->self, sep = a->v[0], none = fli_view("", 0);
    if (!fli_want_str(r, sep, "a separator")) return fli_none();
    if (!sep.n) return fli_fail(r, "a separator is empty");
    const size_t at = right ? find_last(s.as.s, s.n, sep) : fli_find(s.as.s, s.n, sep.as.s, sep.n);
    const bool found = at < s.n;
    const size_t after = at + sep.n;
    fli_val out = fli_list_new(r, FLI_TUPLE);
    fli_push(r, out, found ? fli_view(s.as.s, at) : right ? none : s);
    fli_push(r, out, found ? sep : none);
    fli_push(r, out, found ? fli_view(s.as.s + after, s.n - after) : right ? s : none);
    return out;
}

static fli_val m_partition(fli_run *r, fli_args *a) {
    return partition(r, a, false);
}

static fli_val m_rpartition(fli_run *r, fli_args *a) {
    return partition(r, a, true);
}

/* ---- case ---- */

static fli_val m_upper(fli_run *r, fli_args *a) {
    return fli_cased(r, a->self, FLI_UPPER);
}

static fli_val m_lower(fli_run *r, fli_args *a) {
    return fli_cased(r, a->self, FLI_LOWER);
}

static fli_val m_title(fli_run *r, fli_args *a) {
    return fli_cased(r, a->self, FLI_TITLE);
}

static fli_val m_capitalize(fli_run *r, fli_args *a) {
    return fli_cased(r, a->self, FLI_CAPITALIZE);
}

static fli_val m_swapcase(fli_run *r, fli_args *a) {
    return fli_cased(r, a->self, FLI_SWAPCASE);
}

/* ---- searching ---- */

static fli_val m_replace(fli_run *r, fli_args *a) {
    int64_t most = -1;
    if (!fli_want_str(r, a->v[0], "what is replaced") || !fli_want_str(r, a->v[1], "a replacement"))
        return fli_none();
    if (fli_given(a, 2) && !fli_want_int(r, a->v[2], "the number of replacements", &most))
        return fli_none();
    return fli_replace(r, a->self, a->v[0], a->v[1], most);
}

/* The byte where it is, s.n + 1 where it is not. */
static size_t search(fli_run *r, fli_args *a, bool right) {
    const fli_val s = a->self, what = a->v[0];
    if (!fli_want_str(r, what, "what is looked for") || !fli_work(r, s.n / 16)) return s.n + 1;
    if (!what.n) return right ? s.n : 0;
    const size_t at = right ? find_last(s.as.s, s.n, what)
                            : fli_find(s.as.s, s.n, what.as.s, what.n);
    return at < s.n ? at : s.n + 1;
}

static fli_val position(fli_run *r, fli_args *a, bool right, bool must) {
    const size_t at = search(r, a, right);
    if (at <= a->self.n) return fli_int((int64_t)fli_count_chars(a->self.as.s, at));
    return must ? fli_fail(r, "index: it is not in the string") : fli_int(-1);
}

static fli_val m_find(fli_run *r, fli_args *a) {
    return position(r, a, false, false);
}

static fli_val m_rfind(fli_run *r, fli_args *a) {
    return position(r, a, true, false);
}

static fli_val m_index(fli_run *r, fli_args *a) {
    return position(r, a, false, true);
}

static fli_val m_count(fli_run *r, fli_args *a) {
    const fli_val s = a->self, what = a->v[0];
    if (!fli_want_str(r, what, "what is counted") || !fli_work(r, s.n / 16)) return fli_none();
    if (!what.n) return fli_int((int64_t)fli_count_chars(s.as.s, s.n) + 1);
    int64_t n = 0;
    for (size_t i = 0, at; (at = fli_find(s.as.s + i, s.n - i, what.as.s, what.n)) < s.n - i; n++)
        i += at + what.n;
    return fli_int(n);
}

/* ---- classes ---- */

static bool all_chars(fli_val s, bool (*is)(int32_t c)) {
    int len;
    for (size_t i = 0; i < s.n; i += (size_t)len)
        if (!is(fl_utf8_decode((const uint8_t *)s.as.s + i, s.n - i, &len))) return false;
    return s.n > 0;
}

static bool is_alpha(int32_t c) {
    return fli_char_is(c, FLI_ALPHA);
}

static bool is_digit(int32_t c) {
    return fli_char_is(c, FLI_DIGIT);
}

static bool is_alnum(int32_t c) {
    return is_alpha(c) || is_digit(c);
}

static bool is_space(int32_t c) {
    return fli_char_is(c, FLI_SPACE);
}

static fli_val m_isalpha(fli_run *r, fli_args *a) {
    return fli_bool(fli_work(r, a->self.n / 16) && all_chars(a->self, is_alpha));
}

static fli_val m_isdigit(fli_run *r, fli_args *a) {
    return fli_bool(fli_work(r, a->self.n / 16) && all_chars(a->self, is_digit));
}

static fli_val m_isalnum(fli_run *r, fli_args *a) {
    return fli_bool(fli_work(r, a->self.n / 16) && all_chars(a->self, is_alnum));
}

static fli_val m_isspace(fli_run *r, fli_args *a) {
    return fli_bool(fli_work(r, a->self.n / 16) && all_chars(a->self, is_space));
}

static fli_val m_islower(fli_run *r, fli_args *a) {
    return fli_call_native(r, fli_native_find(fli_tests, fli_literal("lower")), a);
}

static fli_val m_isupper(fli_run *r, fli_args *a) {
    return fli_call_native(r, fli_native_find(fli_tests, fli_literal("upper")), a);
}

/* ---- making ---- */

static fli_val m_join(fli_run *r, fli_args *a) {
    const fli_list *l = fli_items(r, a->v[0]);
    fl_text t = {0};
    for (size_t i = 0; i < l->n && fli_want_str(r, l->item[i], "what is joined"); i++) {
        if (i) fli_append(r, &t, a->self.as.s, a->self.n);
        fli_append(r, &t, l->item[i].as.s, l->item[i].n);
    }
    return fli_text_end(r, &t);
}

static fli_val m_format(fli_run *r, fli_args *a) {
    return fli_format(r, a->self, a);
}

/* Padded to a width of characters by `fill` before and after. */
static fli_val pad(fli_run *r, fli_args *a, bool before, bool after) {
    int64_t width;
    const fli_val s = a->self, fill = fli_given(a, 1) ? a->v[1] : fli_view(" ", 1);
    if (!fli_want_int(r, a->v[0], "a width", &width) || !fli_want_str(r, fill, "what pads"))
        return fli_none();
    if (fli_count_chars(fill.as.s, fill.n) != 1) return fli_fail(r, "what pads is one character");
    const int64_t need = width - (int64_t)fli_count_chars(s.as.s, s.n);
    if (need <= 0) return s;
    int64_t left = before && after ? need / 2 + (need & width & 1) : before ? need : 0;
    fl_text t = {0};
    for (int64_t i = 0; i < left && fli_work(r, 1); i++) fli_append(r, &t, fill.as.s, fill.n);
    fli_append(r, &t, s.as.s, s.n);
    for (; left < need && fli_work(r, 1); left++) fli_append(r, &t, fill.as.s, fill.n);
    return fli_text_end(r, &t);
}

static fli_val m_center(fli_run *r, fli_args *a) {
    return pad(r, a, true, true);
}

static fli_val m_ljust(fli_run *r, fli_args *a) {
    return pad(r, a, false, true);
}

static fli_val m_rjust(fli_run *r, fli_args *a) {
    return pad(r, a, true, false);
}

static fli_val m_zfill(fli_run *r, fli_args *a) {
    const bool sign = a->self.n && (*a->self.as.s == '-' || *a->self.as.s == '+');
    int64_t width;
    if (!fli_want_int(r, a->v[0], "a width", &width)) return fli_none();
    fli_args digits = {.self = fli_view(a->self.as.s + sign, a->self.n - sign),
                       .given = 3,
                       .v = {fli_int(width - sign), fli_view("0", 1)}};
    const fli_val padded = pad(r, &digits, true, false);
    if (r->status != FL_OK) return fli_none();
    return fli_arithmetic(r, '+', fli_view(a->self.as.s, sign), padded);
}

const fli_native fli_str_methods[] = {
    {"strip", "chars", 0, m_strip},
    {"lstrip", "chars", 0, m_lstrip},
    {"rstrip", "chars", 0, m_rstrip},
    {"startswith", "prefix", 1, m_startswith},
    {"endswith", "suffix", 1, m_endswith},
    {"removeprefix", "prefix", 1, m_removeprefix},
    {"removesuffix", "suffix", 1, m_removesuffix},
    {"split", "sep maxsplit", 0, m_split},
    {"rsplit", "sep maxsplit", 0, m_rsplit},
    {"splitlines", "keepends", 0, m_splitlines},
    {"partition", "sep", 1, m_partition},
    {"rpartition", "sep", 1, m_rpartition},
    {"upper", "", 0, m_upper},
    {"lower", "", 0, m_lower},
    {"casefold", "", 0, m_lower},
    {"title", "", 0, m_title},
    {"capitalize", "", 0, m_capitalize},
    {"swapcase", "", 0, m_swapcase},
    {"replace", "old new count", 2, m_replace},
    {"find", "sub", 1, m_find},
    {"rfind", "sub", 1, m_rfind},
    {"index", "sub", 1, m_index},
    {"count", "sub", 1, m_count},
    {"isalpha", "", 0, m_isalpha},
    {"isdigit", "", 0, m_isdigit},
    {"isnumeric", "", 0, m_isdigit},
    {"isdecimal", "", 0, m_isdigit},
    {"isalnum", "", 0, m_isalnum},
    {"isspace", "", 0, m_isspace},
    {"islower", "", 0, m_islower},
    {"isupper", "", 0, m_isupper},
    {"join", "iterable", 1, m_join},
    {"format", "*", 0, m_format},
    {"center", "width fillchar", 1, m_center},
    {"ljust", "width fillchar", 1, m_ljust},
    {"rjust", "width fillchar", 1, m_rjust},
    {"zfill", "width", 1, m_zfill},
    {NULL, NULL, 0, NULL},
};
