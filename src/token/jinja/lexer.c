/* lexer.c - a template's source as lexemes.
 *
 * Outside of tags is data. White space around tags goes as in a Jinja environment with trim_blocks
 * and lstrip_blocks, which is what transformers sets up:
 *   - line ends are made "\n"; one at the very end of the source is dropped;
 *   - "{%-", "{{-", "{#-" take all white space before them, "-%}", "-}}", "-#}" all after;
 *   - else "{%" and "{#" take the spaces before them where only spaces begin the line, and "%}" and
 *     "#}" one line end after; "{%+" and "+%}" do not;
 *   - {% raw %} takes none after it.
 * Inside, brackets are counted, so that the "}}" of {{ {'a': {}} }} is two brackets first. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"
#include "token/jinja/jinja.h"

enum { BRACKETS_MAX = 256 };

typedef struct {
    const char *s;
    size_t n, i;
    size_t counted;  // line is that of s[counted]
    int32_t line;
    char open[BRACKETS_MAX];  // the closing brackets that are due
    int n_open;
    fl_arena *arena;
    fli_lexemes *out;
    fl_err *err;
} lexer;

static int32_t line_at(lexer *x, size_t at) {
    if (at < x->counted) x->counted = 0, x->line = 1;
    for (; x->counted < at; x->counted++) x->line += x->s[x->counted] == '\n';
    return x->line;
}

#define FAIL(x, at, ...) fail_at(x, fl_fail((x)->err, FL_ERR_FORMAT, __VA_ARGS__), at)

static fl_status fail_at(lexer *x, fl_status s, size_t at) {
    return fl_context(x->err, s, "line %d", line_at(x, at));
}

static fl_status put(lexer *x, fli_lex_kind kind, uint16_t op, fli_val v, size_t at) {
    fli_lexemes *l = x->out;
    if (!fli_grow((void **)&l->lexeme, &l->cap, l->n + 1, sizeof *l->lexeme))
        return fl_fail(x->err, FL_ERR_NOMEM, "a template's lexemes");
    l->lexeme[l->n++] =
        (fli_lexeme){.kind = (uint8_t)kind, .op = op, .line = line_at(x, at), .value = v};
    return FL_OK;
}

static bool looking_at(const lexer *x, size_t at, const char *what) {
    const size_t n = strlen(what);
    return at + n <= x->n && memcmp(x->s + at, what, n) == 0;
}

static size_t skip_spaces(const lexer *x, size_t at) {
    return at + fli_spaces(x->s + at, x->n - at);
}

static size_t skip_sign(const lexer *x, size_t at) {
    return at + (looking_at(x, at, "-") || looking_at(x, at, "+"));
}

/* The end of a tag, such as "%}", with its sign: where the text goes on, 0 if it is not here. */
static size_t tag_end(const lexer *x, size_t at, const char *end) {
    const bool block = *end != '}';
    const char sign = at < x->n ? x->s[at] : 0;
    if ((sign == '-' || (sign == '+' && block)) && looking_at(x, at + 1, end))
        return sign == '-' ? skip_spaces(x, at + 3) : at + 3;
    if (!looking_at(x, at, end)) return 0;
    return at + 2 + (block && looking_at(x, at + 2, "\n"));
}

/* ---- data ---- */

/* Where data [from, to) ends when a tag with this sign begins at `to`. */
static size_t data_end(const lexer *x, size_t from, size_t to, char sign, bool block) {
    if (sign == '-') return from + fli_rstrip(x->s + from, to - from);
    if (sign == '+' || !block) return to;
    size_t line = to;
    while (line > from && x->s[line - 1] != '\n') line--;
    const bool begins_line = line > from || from == 0 || x->s[from - 1] == '\n';
    return begins_line && skip_spaces(x, line) >= to ? line : to;
}

static fl_status put_data(lexer *x, size_t from, size_t to, char sign, bool block) {
    const size_t end = data_end(x, from, to, sign, block);
    if (end == from) return FL_OK;
    return put(x, FLI_LEX_DATA, 0, fli_view(x->s + from, end - from), from);
}

/* Where {% raw %} ends that begins at `at`; 0: it is another tag. */
static size_t raw_begin(const lexer *x, size_t at) {
    if (!looking_at(x, at, "{%")) return 0;
    at = skip_spaces(x, skip_sign(x, at + 2));
    if (!looking_at(x, at, "raw")) return 0;
    at = skip_spaces(x, at + 3);
    if (looking_at(x, at, "-%}")) return skip_spaces(x, at + 3);
    return looking_at(x, at, "%}") ? at + 2 : 0;
}

static size_t raw_end(const lexer *x, size_t at) {
    at = skip_spaces(x, skip_sign(x, at + 2));
    return looking_at(x, at, "endraw") ? tag_end(x, skip_spaces(x, at + 6), "%}") : 0;
}

static fl_status lex_raw(lexer *x, size_t begin, size_t from) {
    for (size_t at = from; at < x->n; at++) {
        at += fli_find(x->s + at, x->n - at, "{%", 2);
        const size_t end = at < x->n ? raw_end(x, at) : 0;
        if (!end) continue;
        x->i = end;
        return put_data(x, from, at, x->s[at + 2], true);
    }
    return FAIL(x, begin, "{%% raw %%} is not ended by {%% endraw %%}");
}

static fl_status lex_comment(lexer *x, size_t begin, size_t from) {
    size_t at = from + fli_find(x->s + from, x->n - from, "#}", 2);
    if (at >= x->n) return FAIL(x, begin, "a comment is not ended by #}");
    const bool sign = at > from && (x->s[at - 1] == '-' || x->s[at - 1] == '+');
    x->i = tag_end(x, at - sign, "#}");
    return FL_OK;
}

/* ---- inside a tag ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (uint8_t)c >= 0x80;
}

/* Past digits with single underscores between them. */
static size_t skip_digits(const lexer *x, size_t at, const char *digits) {
    for (; at < x->n; at++) {
        const char *c = x->s + at;
        const bool between = *c == '_' && at + 1 < x->n && c[1] && strchr(digits, c[1]);
        if (!between && !(*c && strchr(digits, *c))) break;
    }
    return at;
}

static const char decimal[] = "0123456789";

/* Past a real number; `at` itself where none is there. */
static size_t skip_real(const lexer *x, size_t at) {
    if (at > 0 && x->s[at - 1] == '.') return at;
    size_t end = skip_digits(x, at, decimal);
    bool real = false;
    if (looking_at(x, end, ".") && end + 1 < x->n && is_digit(x->s[end + 1])) {
        end = skip_digits(x, end + 1, decimal);
        real = true;
    }
    if (looking_at(x, end, "e") || looking_at(x, end, "E")) {
        const size_t digits = skip_sign(x, end + 1);
        if (digits < x->n && is_digit(x->s[digits])) return skip_digits(x, digits, decimal);
    }
    return real ? end : at;
}

static fl_status put_number(lexer *x, size_t begin, size_t end, int base, bool real) {
    char text[64];
    size_t n = 0;
    for (size_t i = begin + (base != 10 ? 2 : 0); i < end; i++) {
        if (x->s[i] == '_') continue;
        if (n + 1 == sizeof text) return FAIL(x, begin, "a number of too many digits");
        text[n++] = x->s[i];
    }
    text[n] = 0;
    fli_val v = real ? fli_real(strtod(text, NULL)) : fli_int(0);
    for (size_t i = 0; !real && i < n; i++) {
        const int digit = is_digit(text[i]) ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10;
        if (v.as.i > (INT64_MAX - digit) / base)
            return FAIL(x, begin, "%s is too large for 64 bits", text);
        v.as.i = v.as.i * base + digit;
    }
    x->i = end;
    return put(x, FLI_LEX_CONST, 0, v, begin);
}

static fl_status lex_number(lexer *x) {
    static const struct {
        char letter;
        int base;
        const char *digits;
    } prefixes[] = {{'b', 2, "01"}, {'o', 8, "01234567"}, {'x', 16, "0123456789abcdefABCDEF"}};
    const size_t at = x->i, end = skip_real(x, at);
    if (end > at) return put_number(x, at, end, 10, true);
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
        const bool here = x->s[at] == '0' && at + 1 < x->n &&
                          (x->s[at + 1] | 0x20) == prefixes[k].letter;
        const size_t stop = here ? skip_digits(x, at + 2, prefixes[k].digits) : at + 2;
        if (stop > at + 2) return put_number(x, at, stop, prefixes[k].base, false);
    }
    return put_number(x, at, skip_digits(x, at, x->s[at] == '0' ? "0" : decimal), 10, false);
}

static fl_status lex_name(lexer *x) {
    const size_t at = x->i;
    while (x->i < x->n && is_name_char(x->s[x->i])) x->i++;
    return put(x, FLI_LEX_NAME, 0, fli_view(x->s + at, x->i - at), at);
}

/* The code point of `digits` hexadecimal (8 or fewer) or octal digits at *at; -1: they are not. */
static int64_t escape_digits(const lexer *x, size_t *at, size_t end, int base, int digits) {
    int64_t v = 0;
    int k = 0;
    for (; k < digits && *at < end; k++, ++*at) {
        const char c = x->s[*at];
        const char *all = "0123456789abcdef",
                   *d = c ? strchr(all, is_digit(c) ? c : c | 0x20) : NULL;
        if (!d || d - all >= base) break;
        v = v * base + (d - all);
    }
    return base == 8 || k == digits ? v : -1;
}

/* One escape, x->s[*at] behind the backslash; writes up to 4 bytes. */
static fl_status escape(lexer *x, size_t *at, size_t end, char **to) {
    static const char letters[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const char c = x->s[(*at)++];
    for (size_t k = 0; k + 1 < sizeof letters; k += 2)
        if (c == letters[k]) {
            *(*to)++ = letters[k + 1];
            return FL_OK;
        }
    if (c == '\n') return FL_OK;
    const bool octal = c >= '0' && c <= '7';
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : octal ? 3 : 0;
    if (c == 'N') return FAIL(x, *at, "\\N{..} in a string: write the character itself");
    if (!digits) {  // no escape: the backslash stays
        *(*to)++ = '\\';
        --*at;
        return FL_OK;
    }
    *at -= octal;
    const int64_t cp = escape_digits(x, at, end, octal ? 8 : 16, digits);
    if (cp < 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return FAIL(x, *at, "a string's \\%c is no character", c);
    *to += fl_utf8_encode((int32_t)cp, *to);
    return FL_OK;
}

static fl_status lex_string(lexer *x) {
    const size_t begin = x->i;
    const char quote = x->s[begin];
    size_t end = begin + 1;
    while (end < x->n && x->s[end] != quote) end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) return FAIL(x, begin, "a string is not ended by %c", quote);
    char *text = FL_NEW(x->arena, char, end - begin), *to = text;
    if (!text) return fl_fail(x->err, FL_ERR_NOMEM, "a template's string");
    for (size_t at = begin + 1; at < end;) {
        if (x->s[at] == '\\') {
            at++;
            FL_TRY(escape(x, &at, end, &to));
        } else {
            *to++ = x->s[at++];
        }
    }
    x->i = end + 1;
    return put(x, FLI_LEX_CONST, 0, fli_view(text, (size_t)(to - text)), begin);
}

static fl_status count_bracket(lexer *x, char c) {
    const char *pair = c == '(' ? "()" : c == '[' ? "[]" : c == '{' ? "{}" : NULL;
    if (pair) {
        if (x->n_open == BRACKETS_MAX)
            return FAIL(x, x->i, "more than %d open brackets", BRACKETS_MAX);
        x->open[x->n_open++] = pair[1];
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_open) return FAIL(x, x->i, "'%c' closes nothing", c);
        if (x->open[--x->n_open] != c)
            return FAIL(x, x->i, "'%c' where '%c' is due", c, x->open[x->n_open]);
    }
    return FL_OK;
}

static fl_status lex_operator(lexer *x) {
    static const char *const pairs[] = {"**", "//", "==", "!=", "<=", ">="};
    const size_t at = x->i;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        if (looking_at(x, at, pairs[k])) {
            x->i += 2;
            return put(x, FLI_LEX_OP, FLI_OP(pairs[k][0], pairs[k][1]), fli_none(), at);
        }
    const char c = x->s[at];
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) {
        if (c > ' ') return FAIL(x, at, "'%c' means nothing in a tag", c);
        return FAIL(x, at, "byte 0x%02x means nothing in a tag", (unsigned char)c);
    }
    FL_TRY(count_bracket(x, c));
    x->i++;
    return put(x, FLI_LEX_OP, (uint16_t)(uint8_t)c, fli_none(), at);
}

static fl_status lex_in_tag(lexer *x) {
    const char c = x->s[x->i];
    if (is_digit(c)) return lex_number(x);
    if (c == '\'' || c == '"') return lex_string(x);
    if (is_name_char(c)) return lex_name(x);
    return lex_operator(x);
}

static fl_status lex_tag(lexer *x, size_t begin, bool block) {
    const char *end = block ? "%}" : "}}";
    x->n_open = 0;
    FL_TRY(put(x, block ? FLI_LEX_BLOCK_BEGIN : FLI_LEX_PRINT_BEGIN, 0, fli_none(), begin));
    while (x->i < x->n) {
        const size_t at = x->i, after = x->n_open ? 0 : tag_end(x, at, end);
        if (after) {
            x->i = after;
            return put(x, block ? FLI_LEX_BLOCK_END : FLI_LEX_PRINT_END, 0, fli_none(), at);
        }
        const size_t spaces = fli_spaces(x->s + at, x->n - at);
        if (spaces) x->i += spaces;
        else FL_TRY(lex_in_tag(x));
    }
    if (x->n_open) return FAIL(x, begin, "a bracket is not closed by '%c'", x->open[x->n_open - 1]);
    return FAIL(x, begin, "a tag is not ended by %s", end);
}

/* ---- all ---- */

/* Where the next tag begins, n if there is none. */
static size_t next_tag(const lexer *x) {
    for (size_t at = x->i; at + 1 < x->n; at++) {
        const char *brace = memchr(x->s + at, '{', x->n - 1 - at);
        if (!brace) break;
        at = (size_t)(brace - x->s);
        if (brace[1] == '%' || brace[1] == '{' || brace[1] == '#') return at;
    }
    return x->n;
}

static fl_status lex_next(lexer *x) {
    const size_t from = x->i, at = next_tag(x);
    if (at == x->n) {
        x->i = x->n;
        return put_data(x, from, x->n, '+', false);
    }
    const char kind = x->s[at + 1];
    const size_t inside = skip_sign(x, at + 2), raw = raw_begin(x, at);
    FL_TRY(put_data(x, from, at, inside > at + 2 ? x->s[at + 2] : 0, kind != '{'));
    x->i = inside;
    if (raw) return lex_raw(x, at, raw);
    return kind == '#' ? lex_comment(x, at, inside) : lex_tag(x, at, kind == '%');
}

/* The source with "\n" for line ends, without the last one. */
static fl_status read_source(lexer *x, const char *source, size_t n) {
    char *s = FL_NEW(x->arena, char, n + 1);
    if (!s) return fl_fail(x->err, FL_ERR_NOMEM, "a template of %zu bytes", n);
    x->s = s;
    for (size_t i = 0; i < n; i++) {
        const bool cr = source[i] == '\r';
        s[x->n++] = cr ? '\n' : source[i];
        i += cr && i + 1 < n && source[i + 1] == '\n';
    }
    x->n -= x->n && s[x->n - 1] == '\n';
    if (!fli_valid_utf8(s, x->n)) return fl_fail(x->err, FL_ERR_FORMAT, "it is not UTF-8");
    return FL_OK;
}

fl_status fli_lex(fli_lexemes *out, fl_arena *arena, const char *source, size_t n, fl_err *err) {
    fli_lexemes lexemes = {0};
    lexer x = {.line = 1, .arena = arena, .out = &lexemes, .err = err};
    fl_status s = read_source(&x, source, n);
    while (s == FL_OK && x.i < x.n) s = lex_next(&x);
    if (s == FL_OK) s = put(&x, FLI_LEX_END, 0, fli_none(), x.n);
    if (s == FL_OK) *out = lexemes;
    else fli_lexemes_clear(&lexemes);
    return s;
}

void fli_lexemes_clear(fli_lexemes *l) {
    fl_dealloc(l->lexeme);
    *l = (fli_lexemes){0};
}
