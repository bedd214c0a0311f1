/* grammar_parse - GBNF text to code, in one pass.
 *
 *   grammar     = { name "::=" alternatives newline }
 *   alternatives = sequence { "|" sequence }
 *   sequence    = { item [ "?" | "*" | "+" | "{" .. "}" ] }
 *   item        = string | class | "." | name | "(" alternatives ")"
 *
 * Code is written as the text is read; where a later character shows that something must stand
 * before what is written (a choice, a repetition), it is inserted there. */
#include <string.h>

#include "base/alloc.h"
#include "infer/grammar_code.h"

enum { MAX_TEXT = 1 << 20, MAX_DEPTH = 200, MAX_RANGES = 1 << 12, MAX_NAME = 256 };

typedef struct {
    const char *text, *at, *end;
    fl_grammar *g;
    fli_range *ranges;  // of the class being read, MAX_RANGES
} parser;

static fl_status fail(const parser *p, fl_err *err, const char *what) {
    int line = 1;
    const char *begin = p->text;
    for (const char *c = p->text; c < p->at; c++) {
        if (*c != '\n') continue;
        line++;
        begin = c + 1;
    }
    int n = 0;
    while (n < 24 && p->at + n < p->end && p->at[n] != '\n') n++;
    return fl_fail(err, FL_ERR_ARG, "grammar line %d, column %d: %s, at \"%.*s\"", line,
                   (int)(p->at - begin) + 1, what, n, p->at);
}

static bool is_at(const parser *p, const char *s) {
    size_t n = strlen(s);
    return (size_t)(p->end - p->at) >= n && memcmp(p->at, s, n) == 0;
}

static bool take(parser *p, const char *s) {
    if (!is_at(p, s)) return false;
    p->at += strlen(s);
    return true;
}

static void skip_space(parser *p, bool lines) {
    while (p->at < p->end) {
        if (*p->at == '#') {
            while (p->at < p->end && *p->at != '\n') p->at++;
        } else if (*p->at == ' ' || *p->at == '\t' ||
                   (lines && (*p->at == '\n' || *p->at == '\r'))) {
            p->at++;
        } else {
            return;
        }
    }
}

/* --- characters ------------------------------------------------------------------------------- */

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static fl_status hex_read(parser *p, int digits, int32_t *out, fl_err *err) {
    int64_t v = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        if (p->at == p->end || hex(*p->at) < 0) return fail(p, err, "expected a hexadecimal digit");
        v = v * 16 + hex(*p->at);
    }
    if (v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF)) {
        return fail(p, err, "no character has the number before");
    }
    *out = (int32_t)v;
    return FL_OK;
}

static fl_status escape_read(parser *p, int32_t *out, fl_err *err) {
    static const char names[] = "nrt\\\"[]-/", means[] = "\n\r\t\\\"[]-/";
    p->at++;
    if (take(p, "x")) return hex_read(p, 2, out, err);
    if (take(p, "u")) return hex_read(p, 4, out, err);
    if (take(p, "U")) return hex_read(p, 8, out, err);
    const char *known = p->at < p->end && *p->at ? strchr(names, *p->at) : NULL;
    if (!known)
        return fail(p, err,
                    "an unknown escape; want \\\\ \\\" \\n \\r \\t \\[ \\] \\xHH \\uHHHH "
                    "\\UHHHHHHHH");
    *out = means[known - names];
    p->at++;
    return FL_OK;
}

static fl_status char_read(parser *p, int32_t *out, fl_err *err) {
    if (p->at == p->end) return fail(p, err, "the text ends inside a string or class");
    if (*p->at == '\\') return escape_read(p, out, err);
    int n;
    *out = fl_utf8_decode((const uint8_t *)p->at, (size_t)(p->end - p->at), &n);
    if (*out < 0) return fail(p, err, "not UTF-8");
    p->at += n;
    return FL_OK;
}

static fl_status string_read(parser *p, fl_err *err) {
    for (p->at++; !take(p, "\"");) {
        int32_t c;
        char bytes[4];
        if (p->at < p->end && *p->at == '\n') return fail(p, err, "the line ends inside a string");
        FL_TRY(char_read(p, &c, err));
        int n = fl_utf8_encode(c, bytes);
        for (int i = 0; i < n; i++) FL_TRY(fli_code_add_byte(p->g, (uint8_t)bytes[i], err));
    }
    return FL_OK;
}

static fl_status class_read(parser *p, fl_err *err) {
    int32_t n = 0;
    p->at++;
    bool others = take(p, "^");
    while (!take(p, "]")) {
        fli_range r;
        if (n == MAX_RANGES) return fail(p, err, "a class of too many characters");
        FL_TRY(char_read(p, &r.low, err));
        r.high = r.low;
        if (is_at(p, "-") && p->at + 1 < p->end && p->at[1] != ']') {
            p->at++;
            FL_TRY(char_read(p, &r.high, err));
            if (r.high < r.low) return fail(p, err, "a range that ends before it begins");
        }
        p->ranges[n++] = r;
    }
    if (!n && !others) return fail(p, err, "an empty class");
    return fli_code_add_class(p->g, p->ranges, n, others, err);
}

/* --- repetition ------------------------------------------------------------------------------- */

/* The item from `from` on, optional: SPLIT over it. */
static fl_status emit_optional(fl_grammar *g, int32_t from, fl_err *err) {
    return fli_code_insert(g, from, FLI_SPLIT, g->n_code - from + 1, err);
}

/* Any number of times: SPLIT over it, and a JUMP back. */
static fl_status emit_any(fl_grammar *g, int32_t from, fl_err *err) {
    int32_t n = g->n_code - from;
    FL_TRY(fli_code_insert(g, from, FLI_SPLIT, n + 2, err));
    return fli_code_add(g, FLI_JUMP, -(n + 1), err);
}

/* At least `least` times and, unless most < 0, at most `most` times. A SPLIT leaves from each that
 * may be the last, straight to the end. */
static fl_status emit_times(fl_grammar *g, int32_t from, int64_t least, int64_t most, fl_err *err) {
    int64_t n = g->n_code - from, times = most < 0 ? least : most;
    if (times * (n + 1) > FLI_MAX_CODE) {
        return fl_fail(err, FL_ERR_ARG, "the grammar is too large: %lld times %lld instructions",
                       (long long)times, (long long)n);
    }
    if (most < 0 && least == 0) return emit_any(g, from, err);
    if (most == 0) {
        g->n_code = from;
        return FL_OK;
    }
    for (int64_t i = 1; i < least; i++) FL_TRY(fli_code_copy(g, from, (int32_t)n, err));
    if (most < 0) return fli_code_add(g, FLI_SPLIT, (int32_t)-n, err);
    int64_t optional = most - least;
    if (least == 0) {
        FL_TRY(fli_code_insert(g, from, FLI_SPLIT, (int32_t)(optional * (n + 1)), err));
        from++;
        optional--;
    }
    for (; optional > 0; optional--) {
        FL_TRY(fli_code_add(g, FLI_SPLIT, (int32_t)(optional * (n + 1)), err));
        FL_TRY(fli_code_copy(g, from, (int32_t)n, err));
    }
    return FL_OK;
}

static fl_status number_read(parser *p, int64_t *out, fl_err *err) {
    int64_t v = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        v = v * 10 + (*p->at - '0');
        if (v > FLI_MAX_CODE) return fail(p, err, "a repetition of too many times");
    }
    *out = v;
    return FL_OK;
}

/* {m} {m,} {m,n} {,n} */
static fl_status braces_read(parser *p, int32_t from, fl_err *err) {
    int64_t least = 0, most = -1;
    const char *begin = p->at;
    FL_TRY(number_read(p, &least, err));
    bool said = p->at > begin;
    skip_space(p, false);
    if (take(p, ",")) {
        skip_space(p, false);
        begin = p->at;
        FL_TRY(number_read(p, &most, err));
        if (p->at == begin) most = -1;
        said = said || p->at > begin;
    } else {
        most = least;
    }
    skip_space(p, false);
    if (!said || !take(p, "}")) return fail(p, err, "expected {m}, {m,}, {m,n} or {,n}");
    if (most >= 0 && most < least) return fail(p, err, "a repetition that ends before it begins");
    return emit_times(p->g, from, least, most, err);
}

static fl_status postfix_read(parser *p, int32_t from, fl_err *err) {
    if (take(p, "?")) return emit_optional(p->g, from, err);
    if (take(p, "*")) return emit_any(p->g, from, err);
    if (take(p, "+")) return emit_times(p->g, from, 1, -1, err);
    if (take(p, "{")) return braces_read(p, from, err);
    return FL_OK;
}

/* --- rules ------------------------------------------------------------------------------------ */

static size_t name_length(const parser *p) {
    size_t n = 0;
    while (p->at + n < p->end) {
        char c = p->at[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_') break;
        n++;
    }
    return n;
}

static fl_status name_read(parser *p, int32_t *rule, fl_err *err) {
    size_t n = name_length(p);
    if (!n || n > MAX_NAME)
        return fail(p, err, n ? "a name too long" : "expected the name of a rule");
    FL_TRY(fli_rule_named(p->g, p->at, n, rule, err));
    p->at += n;
    return FL_OK;
}

static fl_status alternatives_read(parser *p, int depth, fl_err *err);

static fl_status group_read(parser *p, int depth, fl_err *err) {
    if (depth == MAX_DEPTH) return fail(p, err, "groups nested too deep");
    p->at++;
    skip_space(p, true);
    FL_TRY(alternatives_read(p, depth + 1, err));
    if (!take(p, ")")) return fail(p, err, "expected )");
    return FL_OK;
}

/* One item; *some says whether there was one. */
static fl_status item_read(parser *p, int depth, bool *some, fl_err *err) {
    char c = p->at < p->end ? *p->at : 0;
    *some = true;
    if (c == '"') return string_read(p, err);
    if (c == '[') return class_read(p, err);
    if (c == '(') return group_read(p, depth, err);
    if (c == '<' || c == '!') return fail(p, err, "tokens in a grammar are not supported");
    if (take(p, ".")) return fli_code_add_class(p->g, NULL, 0, true, err);
    *some = name_length(p) > 0;
    if (!*some) return FL_OK;
    int32_t rule;
    FL_TRY(name_read(p, &rule, err));
    return fli_code_add(p->g, FLI_CALL, rule, err);
}

static fl_status sequence_read(parser *p, int depth, fl_err *err) {
    for (;;) {
        int32_t from = p->g->n_code;
        bool some;
        FL_TRY(item_read(p, depth, &some, err));
        if (!some) return FL_OK;
        for (const char *before = NULL; before != p->at;) {
            skip_space(p, depth > 0);
            before = p->at;
            FL_TRY(postfix_read(p, from, err));
        }
    }
}

/* Each alternative but the last: SPLIT to the next, its code, JUMP to the end. JUMPs are chained by
 * their argument until the end is known. */
static fl_status alternatives_read(parser *p, int depth, fl_err *err) {
    fl_grammar *g = p->g;
    int32_t chain = -1;
    for (;;) {
        int32_t from = g->n_code;
        FL_TRY(sequence_read(p, depth, err));
        if (!take(p, "|")) break;
        FL_TRY(fli_code_insert(g, from, FLI_SPLIT, g->n_code - from + 2, err));
        FL_TRY(fli_code_add(g, FLI_JUMP, chain, err));
        chain = g->n_code - 1;
        skip_space(p, true);
    }
    while (chain >= 0) {
        int32_t before = g->code[chain].arg;
        g->code[chain].arg = g->n_code - chain;
        chain = before;
    }
    return FL_OK;
}

static fl_status rule_read(parser *p, fl_err *err) {
    int32_t rule;
    const char *begin = p->at;
    FL_TRY(name_read(p, &rule, err));
    if (p->g->rules[rule].entry >= 0) {
        p->at = begin;
        return fail(p, err, "the rule is defined twice");
    }
    skip_space(p, false);
    if (!take(p, "::=")) return fail(p, err, "expected ::= after the name of the rule");
    p->g->rules[rule].entry = p->g->n_code;
    skip_space(p, true);
    FL_TRY(alternatives_read(p, 0, err));
    if (p->at < p->end && *p->at != '\n' && *p->at != '\r') {
        return fail(p, err, "expected an item or the end of the rule");
    }
    return fli_code_add(p->g, FLI_RETURN, 0, err);
}

static fl_status rules_read(parser *p, fl_err *err) {
    for (skip_space(p, true); p->at < p->end; skip_space(p, true)) FL_TRY(rule_read(p, err));
    return fli_grammar_finish(p->g, err);
}

fl_status fl_grammar_parse(fl_grammar **out, const char *text, size_t n, fl_err *err) {
    if (n > MAX_TEXT)
        return fl_fail(err, FL_ERR_ARG, "a grammar of %zu bytes; at most %d", n, MAX_TEXT);
    parser p = {.text = text, .at = text, .end = text + n};
    p.g = fl_alloc(sizeof *p.g);
    if (p.g) *p.g = (fl_grammar){0};
    p.ranges = fl_alloc(MAX_RANGES * sizeof *p.ranges);
    fl_status st = p.g && p.ranges ? rules_read(&p, err) : fl_fail(err, FL_ERR_NOMEM, "a grammar");
    fl_dealloc(p.ranges);
    if (st == FL_OK) *out = p.g;
    else fl_grammar_free(p.g);
    return st;
}
