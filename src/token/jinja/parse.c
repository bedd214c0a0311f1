/* parse.c - statements, one row and one function per tag. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "token/jinja/jinja.h"

enum { DEPTH_MAX = 200, NAME_SHOWN = 40 };

/* ---- the parser's tools ---- */

fli_node *fli_parse_fail(fli_parser *p, int line, const char *fmt, ...) {
    char what[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    fl_fail(p->err, FL_ERR_FORMAT, "line %d: %s", line, what);
    return NULL;
}

fli_node *fli_node_new(fli_parser *p, fli_node_kind kind, int line) {
    fli_node *n = FL_NEW(p->arena, fli_node, 1);
    if (!n) {
        fl_fail(p->err, FL_ERR_NOMEM, "line %d: a template's syntax tree", line);
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->line = line;
    return n;
}

bool fli_enter(fli_parser *p) {
    if (++p->depth <= DEPTH_MAX) return true;
    fli_parse_fail(p, p->at->line, "nested deeper than %d", DEPTH_MAX);
    return false;
}

bool fli_is_op(const fli_parser *p, uint16_t op) {
    return p->at->kind == FLI_LEX_OP && p->at->op == op;
}

bool fli_is_name(const fli_parser *p, const char *name) {
    return p->at->kind == FLI_LEX_NAME && fli_is(p->at->value, name);
}

bool fli_accept_op(fli_parser *p, uint16_t op) {
    const bool is = fli_is_op(p, op);
    p->at += is;
    return is;
}

bool fli_accept_name(fli_parser *p, const char *name) {
    const bool is = fli_is_name(p, name);
    p->at += is;
    return is;
}

static const char *describe(const fli_lexeme *l, char out[NAME_SHOWN + 8]) {
    static const char *const words[FLI_LEX_OP + 1] =
        {[FLI_LEX_END] = "the template ends",   [FLI_LEX_DATA] = "text follows",
         [FLI_LEX_BLOCK_BEGIN] = "{% follows",  [FLI_LEX_BLOCK_END] = "%} follows",
         [FLI_LEX_PRINT_BEGIN] = "{{ follows",  [FLI_LEX_PRINT_END] = "}} follows",
         [FLI_LEX_CONST] = "a constant follows"};
    if (words[l->kind]) return words[l->kind];
    const int shown = l->value.n < NAME_SHOWN ? (int)l->value.n : NAME_SHOWN;
    if (l->kind == FLI_LEX_NAME)
        snprintf(out, NAME_SHOWN + 8, "'%.*s' follows", shown - 8 > 0 ? shown - 8 : shown,
                 l->value.as.s);
    else
        snprintf(out, NAME_SHOWN + 8, "'%c%.1s' follows", l->op & 0xFF,
                 l->op >> 8 ? (char[]){(char)(l->op >> 8), 0} : "");
    return out;
}

bool fli_expect_op(fli_parser *p, uint16_t op) {
    char found[NAME_SHOWN + 8];
    if (fli_accept_op(p, op)) return true;
    fli_parse_fail(p, p->at->line, "'%c' is due, but %s", op, describe(p->at, found));
    return false;
}

bool fli_expect_name(fli_parser *p, fli_val *out) {
    char found[NAME_SHOWN + 8];
    if (p->at->kind == FLI_LEX_NAME && out) {
        *out = (p->at++)->value;
        return true;
    }
    fli_parse_fail(p, p->at->line, "%s is due, but %s", out ? "a name" : "an expression",
                   describe(p->at, found));
    return false;
}

static bool expect(fli_parser *p, fli_lex_kind kind, const char *what) {
    char found[NAME_SHOWN + 8];
    if (p->at->kind == kind) {
        p->at++;
        return true;
    }
    fli_parse_fail(p, p->at->line, "%s is due, but %s", what, describe(p->at, found));
    return false;
}

static bool expect_word(fli_parser *p, const char *word) {
    char found[NAME_SHOWN + 8];
    if (fli_accept_name(p, word)) return true;
    fli_parse_fail(p, p->at->line, "'%s' is due, but %s", word, describe(p->at, found));
    return false;
}

/* ---- bodies ---- */

static fli_node *parse_statement(fli_parser *p);

/* At "{% word": is the word one of "else|endfor"? */
static bool at_end_tag(const fli_parser *p, const char *ends) {
    if (p->at->kind != FLI_LEX_BLOCK_BEGIN || p->at[1].kind != FLI_LEX_NAME) return false;
    char word[16] = "";
    const fli_val name = p->at[1].value;
    if (name.n >= sizeof word) return false;
    memcpy(word, name.as.s, name.n);
    return fl_is_choice(ends, word);
}

static fli_node *parse_print(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_PRINT, (p->at++)->line);
    if (!n || !(n->a = fli_parse_expression(p, FLI_PARSE_TUPLE))) return NULL;
    return expect(p, FLI_LEX_PRINT_END, "}}") ? n : NULL;
}

static fli_node *parse_data(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_TEXT, p->at->line);
    if (n) n->value = p->at->value;
    p->at++;
    return n;
}

/* Statements up to one of the end tags (NULL: the end of the template), whose word is then next. */
static bool parse_until(fli_parser *p, const char *ends, const char *tag, int line,
                        fli_node **list) {
    fli_node **last = list;
    while (p->at->kind != FLI_LEX_END) {
        if (ends && at_end_tag(p, ends)) {
            p->at++;
            return true;
        }
        if (p->at->kind == FLI_LEX_DATA) *last = parse_data(p);
        else if (p->at->kind == FLI_LEX_PRINT_BEGIN) *last = parse_print(p);
        else *last = parse_statement(p);
        if (!*last) return false;
        last = &(*last)->next;
    }
    if (ends) fli_parse_fail(p, line, "{%% %s %%} is not ended by {%% %s %%}", tag, ends);
    return !ends;
}

/* The rest of the opening tag, then its body. */
static bool parse_body(fli_parser *p, const char *ends, fli_node *n, const char *tag,
                       fli_node **list) {
    fli_accept_op(p, ':');
    return expect(p, FLI_LEX_BLOCK_END, "%}") && parse_until(p, ends, tag, n->line, list);
}

static bool parse_body_to(fli_parser *p, const char *end, fli_node *n, const char *tag) {
    return parse_body(p, end, n, tag, &n->body) && expect_word(p, end);
}

/* ---- tags: behind the word, up to the %} ---- */

static bool parse_if(fli_parser *p, fli_node *n) {
    if (!(n->a = fli_parse_expression(p, FLI_PARSE_TUPLE | FLI_PARSE_NO_CONDITION)) ||
        !parse_body(p, "elif|else|endif", n, "if", &n->body))
        return false;
    if (fli_is_name(p, "elif")) {  // a chain of ifs, made without recursion: chains may be long
        for (fli_node *last = n; fli_is_name(p, "elif"); last = last->orelse) {
            fli_node *next = last->orelse = fli_node_new(p, FLI_IF, (p->at++)->line);
            if (next) next->op = 1;  // the same statement, not one in its else
            if (!next ||
                !(next->a = fli_parse_expression(p, FLI_PARSE_TUPLE | FLI_PARSE_NO_CONDITION)) ||
                !parse_body(p, "elif|else|endif", next, "elif", &next->body))
                return false;
            if (fli_accept_name(p, "else"))
                return parse_body(p, "endif", next, "else", &next->orelse) &&
                       expect_word(p, "endif");
        }
    } else if (fli_accept_name(p, "else") && !parse_body(p, "endif", n, "else", &n->orelse)) {
        return false;
    }
    return expect_word(p, "endif");
}

static bool parse_for(fli_parser *p, fli_node *n) {
    if (!(n->a = fli_parse_target(p, false)) || !expect_word(p, "in") ||
        !(n->b = fli_parse_expression(p, FLI_PARSE_TUPLE | FLI_PARSE_NO_CONDITION)))
        return false;
    if (fli_accept_name(p, "if") && !(n->c = fli_parse_expression(p, 0))) return false;
    if (fli_is_name(p, "recursive"))
        return fli_parse_fail(p, n->line, "recursive loops are not supported: use a macro") != NULL;
    p->loops++;
    if (!parse_body(p, "else|endfor", n, "for", &n->body)) return false;
    p->loops--;
    if (fli_accept_name(p, "else") && !parse_body(p, "endfor", n, "else", &n->orelse)) return false;
    return expect_word(p, "endfor");
}

static bool parse_set(fli_parser *p, fli_node *n) {
    if (!(n->a = fli_parse_target(p, true))) return false;
    if (fli_accept_op(p, '=')) return (n->b = fli_parse_expression(p, FLI_PARSE_TUPLE)) != NULL;
    n->kind = FLI_SET_BLOCK;
    if (fli_is_op(p, '|') && !(n->b = fli_parse_filters(p, NULL, false))) return false;
    return parse_body_to(p, "endset", n, "set");
}

static bool parse_with(fli_parser *p, fli_node *n) {
    for (fli_node **last = &n->args; p->at->kind != FLI_LEX_BLOCK_END; last = &(*last)->next) {
        if (n->args && !fli_expect_op(p, ',')) return false;
        fli_node *set = *last = fli_node_new(p, FLI_SET, p->at->line);
        if (!set || !(set->a = fli_parse_target(p, false)) || !fli_expect_op(p, '=') ||
            !(set->b = fli_parse_expression(p, 0)))
            return false;
    }
    return parse_body_to(p, "endwith", n, "with");
}

static bool parse_params(fli_parser *p, fli_node *n) {
    if (!fli_expect_op(p, '(')) return false;
    bool defaults = false;
    for (fli_node **last = &n->args; !fli_accept_op(p, ')'); last = &(*last)->next) {
        if (n->args && !fli_expect_op(p, ',')) return false;
        fli_node *param = *last = fli_node_new(p, FLI_PARAM, p->at->line);
        if (!param || !fli_expect_name(p, &param->value)) return false;
        if (fli_accept_op(p, '=')) {
            if (!(param->a = fli_parse_expression(p, 0))) return false;
            defaults = true;
        } else if (defaults) {
            return fli_parse_fail(p, param->line, "a parameter without default after one with") !=
                   NULL;
        }
    }
    return true;
}

/* A body that becomes a function of its own: what implicit names it mentions is kept in n->op. */
static bool parse_function_body(fli_parser *p, const char *end, fli_node *n, const char *tag) {
    const unsigned outside = p->uses;
    const int loops = p->loops;
    p->uses = 0;
    p->loops = 0;
    const bool ok = parse_body_to(p, end, n, tag);
    n->op = (uint16_t)p->uses;
    p->uses = outside;
    p->loops = loops;
    return ok;
}

static bool parse_macro(fli_parser *p, fli_node *n) {
    return fli_expect_name(p, &n->value) && parse_params(p, n) &&
           parse_function_body(p, "endmacro", n, "macro");
}

static bool parse_call_block(fli_parser *p, fli_node *n) {
    if (fli_is_op(p, '(') && !parse_params(p, n)) return false;
    n->value = fli_literal("caller");
    n->a = fli_parse_expression(p, 0);
    if (!n->a) return false;
    if (n->a->kind != FLI_CALL)
        return fli_parse_fail(p, n->line, "{%% call %%} is not followed by a call") != NULL;
    return parse_function_body(p, "endcall", n, "call");
}

static bool parse_filter_block(fli_parser *p, fli_node *n) {
    return (n->b = fli_parse_filters(p, NULL, true)) && parse_body_to(p, "endfilter", n, "filter");
}

static bool parse_generation(fli_parser *p, fli_node *n) {
    return parse_function_body(p, "endgeneration", n, "generation");
}

static bool parse_leave(fli_parser *p, fli_node *n) {
    if (!p->loops) fli_parse_fail(p, n->line, "a break or continue that is in no loop");
    return p->loops > 0;
}

static const struct {
    const char *word;
    fli_node_kind kind;
    bool (*parse)(fli_parser *p, fli_node *n);
} tags[] = {
    {"if", FLI_IF, parse_if},
    {"for", FLI_FOR, parse_for},
    {"set", FLI_SET, parse_set},
    {"with", FLI_WITH, parse_with},
    {"macro", FLI_MACRO_DEF, parse_macro},
    {"call", FLI_CALL_BLOCK, parse_call_block},
    {"filter", FLI_FILTER_BLOCK, parse_filter_block},
    {"generation", FLI_GENERATION, parse_generation},
    {"break", FLI_BREAK, parse_leave},
    {"continue", FLI_CONTINUE, parse_leave},
};

static fli_node *parse_tag(fli_parser *p) {
    const fli_lexeme *word = ++p->at;
    char found[NAME_SHOWN + 8];
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!fli_accept_name(p, tags[i].word)) continue;
        fli_node *n = fli_node_new(p, tags[i].kind, word->line);
        return n && tags[i].parse(p, n) && expect(p, FLI_LEX_BLOCK_END, "%}") ? n : NULL;
    }
    if (word->kind != FLI_LEX_NAME)
        return fli_parse_fail(p, word->line, "a tag's name is due, but %s", describe(word, found));
    const bool end = word->value.n > 3 && memcmp(word->value.as.s, "end", 3) == 0;
    return fli_parse_fail(p, word->line, "the tag '%.*s' %s",
                          word->value.n < NAME_SHOWN ? (int)word->value.n : NAME_SHOWN,
                          word->value.as.s,
                          end || fli_is(word->value, "else") || fli_is(word->value, "elif")
                              ? "ends nothing here"
                              : "is not known");
}

static fli_node *parse_statement(fli_parser *p) {
    if (!fli_enter(p)) return NULL;
    fli_node *n = parse_tag(p);
    p->depth--;
    return n;
}

fli_node *fli_parse_template(fli_parser *p) {
    fli_node *all = NULL;
    if (!parse_until(p, NULL, NULL, 1, &all)) return NULL;
    return all ? all : fli_node_new(p, FLI_TEXT, 1);
}
