/* schema_pattern - a regular expression as the grammar of the characters of a JSON string.
 *
 * Of ECMA-262: characters, \ before what stands for itself, \d \D \w \W \s \n \r \t \f \v \xHH
 * \uHHHH, . [..] [^..] | ( ) (?: ) ? * + {m} {m,} {m,n}, and ^ and $ at the ends of the
 * alternatives of the whole. Without them anything may stand before or after, as a match anywhere
 * counts. \D, \W and \s match less here than they might: ASCII only. What must be escaped in JSON
 * is. Anything else is refused. */
#include <string.h>

#include "base/alloc.h"
#include "infer/schema_write.h"

enum { MAX_RANGES = 256, MAX_DEPTH = 60 };

typedef struct {
    int32_t low, high;
} range;

typedef struct {
    range r[MAX_RANGES];
    int n;
    bool others;  // all characters but these
} chars;

typedef struct {
    const char *at, *end, *whole;
    fl_text *out;
} parser;

static fl_status refuse(const parser *p, const char *what, fl_err *err) {
    return fl_fail(err, FL_ERR_UNSUPPORTED, "pattern %.60s: %s, at character %d", p->whole, what,
                   (int)(p->at - p->whole) + 1);
}

static bool take(parser *p, char c) {
    if (p->at == p->end || *p->at != c) return false;
    p->at++;
    return true;
}

/* --- sets of characters ----------------------------------------------------------------------- */

static bool set_has(const chars *s, int32_t c) {
    for (int i = 0; i < s->n; i++) {
        if (c >= s->r[i].low && c <= s->r[i].high) return !s->others;
    }
    return s->others;
}

static bool set_add(chars *s, int32_t low, int32_t high) {
    if (s->n == MAX_RANGES) return false;
    s->r[s->n++] = (range){low, high};
    return true;
}

static void write_range(fl_text *out, int32_t low, int32_t high) {
    fl_text_printf(out, "\\U%08X-\\U%08X", (unsigned)low, (unsigned)high);
}

/* What is in the ranges and may stand in a JSON string as it is: in the gaps between those that may
 * not. */
static bool write_raw(fl_text *out, const chars *s) {
    static const range raw[] = {{' ', '!'},
                                {'#', '['},
                                {']', '~'},
                                {0x80, 0xD7FF},
                                {0xE000, 0x10FFFF}};
    bool any = false;
    for (int i = 0; i < s->n; i++) {
        for (size_t k = 0; k < sizeof raw / sizeof *raw; k++) {
            int32_t low = s->r[i].low > raw[k].low ? s->r[i].low : raw[k].low;
            int32_t high = s->r[i].high < raw[k].high ? s->r[i].high : raw[k].high;
            if (low > high) continue;
            fl_text_puts(out, any ? "" : "[");
            write_range(out, low, high);
            any = true;
        }
    }
    if (any) fl_text_puts(out, "]");
    return any;
}

static fl_status write_set(const parser *p, const chars *s, fl_err *err) {
    static const char plain[] = "\"\\\b\f\n\r\t", *const written[] = {"\\\\\\\"", "\\\\\\\\",
                                                                      "\\\\b",    "\\\\f",
                                                                      "\\\\n",    "\\\\r",
                                                                      "\\\\t"};
    bool any = s->others;
    fl_text_puts(p->out, "(");
    if (s->others) {
        fl_text_puts(p->out, "[^\"\\\\\\x00-\\x1F\\x7F");
        for (int i = 0; i < s->n; i++) write_range(p->out, s->r[i].low, s->r[i].high);
        fl_text_puts(p->out, "]");
    } else {
        any = write_raw(p->out, s);
    }
    for (int i = 0; plain[i]; i++) {
        if (!set_has(s, plain[i])) continue;
        fl_text_printf(p->out, "%s\"%s\"", any ? " | " : "", written[i]);
        any = true;
    }
    fl_text_puts(p->out, ")");
    return any ? FL_OK : refuse(p, "characters that a string cannot hold", err);
}

/* --- escapes and classes ---------------------------------------------------------------------- */

static bool add_named(chars *s, char name) {
    static const struct {
        char name;
        range r[6];
    } sets[] = {
        {'d', {{'0', '9'}}},
        {'D', {{' ', '/'}, {':', '~'}}},
        {'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
        {'W', {{' ', '/'}, {':', '@'}, {'[', '^'}, {'`', '`'}, {'{', '~'}}},
        {'s', {{' ', ' '}, {'\t', '\n'}, {'\f', '\r'}}},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (sets[i].name != name) continue;
        for (int k = 0; k < 6 && sets[i].r[k].high; k++)
            set_add(s, sets[i].r[k].low, sets[i].r[k].high);
        return true;
    }
    return false;
}

static fl_status hex_read(parser *p, int digits, int32_t *c, fl_err *err) {
    *c = 0;
    for (int i = 0; i < digits; i++) {
        const char *known = "0123456789abcdefABCDEF",
                   *at = p->at < p->end && *p->at ? strchr(known, *p->at) : NULL;
        if (!at) return refuse(p, "expected a hexadecimal digit", err);
        int v = (int)(at - known);
        *c = *c * 16 + (v < 16 ? v : v - 6);
        p->at++;
    }
    if (*c >= 0xD800 && *c <= 0xDFFF) return refuse(p, "half a surrogate pair", err);
    return FL_OK;
}

/* After the backslash: one character, or *set says that a named set was added. */
static fl_status escape_read(parser *p, chars *s, int32_t *c, bool *set, fl_err *err) {
    static const char names[] = "nrtfv", means[] = "\n\r\t\f\v",
                      itself[] = "^$\\.*+?()[]{}|/-\"'@#%&,:;<=>_~!` ";
    if (p->at == p->end) return refuse(p, "ends with a backslash", err);
    char e = *p->at;
    *set = add_named(s, e);
    const char *named = e ? strchr(names, e) : NULL;
    if (!*set && !named && e != 'x' && e != 'u' && (!e || !strchr(itself, e))) {
        return refuse(p, "an escape that is not supported", err);
    }
    p->at++;
    if (e == 'x' || e == 'u') return hex_read(p, e == 'x' ? 2 : 4, c, err);
    *c = named ? means[named - names] : e;
    return FL_OK;
}

static fl_status char_read(parser *p, chars *s, int32_t *c, bool *set, fl_err *err) {
    *set = false;
    if (take(p, '\\')) return escape_read(p, s, c, set, err);
    int n;
    *c = fl_utf8_decode((const uint8_t *)p->at, (size_t)(p->end - p->at), &n);
    if (*c < 0) return refuse(p, "not UTF-8", err);
    p->at += n;
    return FL_OK;
}

static fl_status class_read(parser *p, fl_err *err) {
    chars s = {.n = 0};
    s.others = take(p, '^');
    while (!take(p, ']')) {
        int32_t low, high;
        bool set, other_set;
        if (p->at == p->end) return refuse(p, "a class without ]", err);
        if (s.n > MAX_RANGES - 8) return refuse(p, "a class of too many parts", err);
        FL_TRY(char_read(p, &s, &low, &set, err));
        if (set && s.others) return refuse(p, "a named set in a class of all others", err);
        if (set) continue;
        high = low;
        if (p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            FL_TRY(char_read(p, &s, &high, &other_set, err));
            if (other_set || high < low) return refuse(p, "a range that is none", err);
        }
        set_add(&s, low, high);
    }
    if (!s.n && !s.others) return refuse(p, "an empty class", err);
    return write_set(p, &s, err);
}

/* --- expressions ------------------------------------------------------------------------------ */

static fl_status alternatives(parser *p, int depth, fl_err *err);

static fl_status group(parser *p, int depth, fl_err *err) {
    if (depth == MAX_DEPTH) return refuse(p, "groups nested too deep", err);
    if (take(p, '?') && !take(p, ':'))
        return refuse(p, "look-around and named groups are not supported", err);
    fl_text_puts(p->out, "(");
    FL_TRY(alternatives(p, depth + 1, err));
    fl_text_puts(p->out, ")");
    return take(p, ')') ? FL_OK : refuse(p, "a group without )", err);
}

static fl_status atom(parser *p, int depth, fl_err *err) {
    chars s = {.n = 0};
    int32_t c;
    bool set;
    if (strchr("*+?{}])", *p->at)) return refuse(p, "nothing to repeat or close", err);
    if (*p->at == '^' || *p->at == '$') return refuse(p, "^ or $ inside the expression", err);
    if (take(p, '(')) return group(p, depth, err);
    if (take(p, '[')) return class_read(p, err);
    if (take(p, '.')) {
        s = (chars){.r = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}, .n = 3, .others = true};
        return write_set(p, &s, err);
    }
    FL_TRY(char_read(p, &s, &c, &set, err));
    if (!set) set_add(&s, c, c);
    return write_set(p, &s, err);
}

/* {m,n} is GBNF's too; lazy ones match the same strings. */
static fl_status postfix(parser *p, fl_err *err) {
    if (p->at == p->end || !*p->at || !strchr("*+?{", *p->at)) return FL_OK;
    const char *from = p->at++;
    if (*from == '{') {
        p->at += strspn(p->at, "0123456789");
        if (p->at == from + 1) return refuse(p, "a { that repeats nothing", err);
        if (take(p, ',')) p->at += strspn(p->at, "0123456789");
        if (!take(p, '}')) return refuse(p, "a repetition without }", err);
    }
    fl_text_append(p->out, from, (size_t)(p->at - from));
    take(p, '?');
    if (p->at < p->end && *p->at && strchr("*+?{", *p->at))
        return refuse(p, "a repetition repeated", err);
    return FL_OK;
}

static fl_status alternative(parser *p, int depth, fl_err *err) {
    bool whole = depth == 0;
    if (whole && !take(p, '^')) fl_text_puts(p->out, "char* ");
    fl_text_puts(p->out, "\"\"");
    while (p->at < p->end && *p->at != '|' && *p->at != ')') {
        if (whole && *p->at == '$' && (p->at + 1 == p->end || p->at[1] == '|')) {
            p->at++;
            return FL_OK;
        }
        fl_text_puts(p->out, " ");
        FL_TRY(atom(p, depth, err));
        FL_TRY(postfix(p, err));
    }
    if (whole) fl_text_puts(p->out, " char*");
    return FL_OK;
}

static fl_status alternatives(parser *p, int depth, fl_err *err) {
    FL_TRY(alternative(p, depth, err));
    while (take(p, '|')) {
        fl_text_puts(p->out, " | ");
        FL_TRY(alternative(p, depth, err));
    }
    return FL_OK;
}

fl_status fli_schema_pattern(fl_text *out, const char *pattern, fl_err *err) {
    parser p = {.at = pattern, .end = pattern + strlen(pattern), .whole = pattern, .out = out};
    FL_TRY(alternatives(&p, 0, err));
    return p.at == p.end ? FL_OK : refuse(&p, "a ) too many", err);
}
