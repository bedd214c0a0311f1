/* parse_expression.c - expressions, by recursive descent over a table of binary operators.
 *
 * Loosest first: if-else, or, and, not, comparisons, + -, ~, * / // %, **, unary + and -; then what
 * follows a value: .name [..] (..), then |filter and `is` test. Where Jinja is odd it is odd here:
 * -x|abs is abs(-x), ** groups to the left, and -2**2 is 4. */
#include <string.h>

#include "token/jinja/jinja.h"

enum {
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_ADD,
    LEVEL_CONCAT,
    LEVEL_MULTIPLY,
    LEVEL_POWER,
    LEVEL_UNARY
};

static const struct {
    uint8_t level, kind;
    uint16_t op;
    const char *word;  // where the operator is one
} binary[] = {
    {LEVEL_OR, FLI_OR, 0, "or"},
    {LEVEL_AND, FLI_AND, 0, "and"},
    {LEVEL_ADD, FLI_ARITHMETIC, '+', NULL},
    {LEVEL_ADD, FLI_ARITHMETIC, '-', NULL},
    {LEVEL_CONCAT, FLI_CONCAT, '~', NULL},
    {LEVEL_MULTIPLY, FLI_ARITHMETIC, '*', NULL},
    {LEVEL_MULTIPLY, FLI_ARITHMETIC, '/', NULL},
    {LEVEL_MULTIPLY, FLI_ARITHMETIC, FLI_FLOOR, NULL},
    {LEVEL_MULTIPLY, FLI_ARITHMETIC, '%', NULL},
    {LEVEL_POWER, FLI_ARITHMETIC, FLI_POWER, NULL},
};
enum { N_BINARY = sizeof binary / sizeof *binary };

static const uint16_t comparisons[] = {FLI_EQ, FLI_NE, FLI_LE, FLI_GE, '<', '>'};
enum { N_COMPARISONS = sizeof comparisons / sizeof *comparisons };

static fli_node *parse_level(fli_parser *p, int level);
static fli_node *parse_unary(fli_parser *p, bool filters);

static bool is_const(const fli_parser *p) {
    return p->at->kind == FLI_LEX_CONST;
}

static bool is_string(const fli_parser *p) {
    return is_const(p) && p->at->value.kind == FLI_STR;
}

/* ---- primaries ---- */

/* "a" 'b' is one string, as in Python. */
static fli_node *parse_const(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_CONST, p->at->line);
    if (!n) return NULL;
    const fli_lexeme *first = p->at;
    size_t bytes = 0;
    if (!is_string(p)) {
        n->value = (p->at++)->value;
        return n;
    }
    for (; is_string(p); p->at++) bytes += p->at->value.n;
    char *s = FL_NEW(p->arena, char, bytes + 1);
    if (!s) return fli_parse_fail(p, n->line, "out of memory");
    n->value = fli_view(s, bytes);
    for (const fli_lexeme *l = first; l < p->at; s += l->value.n, l++)
        memcpy(s, l->value.as.s, l->value.n);
    return n;
}

static fli_node *parse_name(fli_parser *p) {
    static const struct {
        const char *name;
        unsigned uses;
    } implicit[] = {{"varargs", FLI_USES_VARARGS},
                    {"kwargs", FLI_USES_KWARGS},
                    {"caller", FLI_USES_CALLER}};
    fli_node *n = fli_node_new(p, FLI_NAME, p->at->line);
    if (!n) return NULL;
    const fli_val name = n->value = (p->at++)->value;
    const bool is_true = fli_is(name, "true") || fli_is(name, "True");
    if (is_true || fli_is(name, "false") || fli_is(name, "False")) n->value = fli_bool(is_true);
    if (fli_is(name, "none") || fli_is(name, "None")) n->value = fli_none();
    if (n->value.kind != FLI_STR) n->kind = FLI_CONST;
    for (int i = 0; i < 3; i++)
        if (fli_is(name, implicit[i].name)) p->uses |= implicit[i].uses;
    return n;
}

static fli_node *parse_list(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_MAKE_LIST, p->at->line);
    if (!n) return NULL;
    p->at++;
    for (fli_node **last = &n->args; !fli_accept_op(p, ']'); last = &(*last)->next) {
        if (n->args && !fli_expect_op(p, ',')) return NULL;
        if (n->args && fli_accept_op(p, ']')) break;
        *last = fli_parse_expression(p, 0);
        if (!*last) return NULL;
    }
    return n;
}

static fli_node *parse_pair(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_PAIR, p->at->line);
    if (!n || !(n->a = fli_parse_expression(p, 0)) || !fli_expect_op(p, ':') ||
        !(n->b = fli_parse_expression(p, 0)))
        return NULL;
    return n;
}

static fli_node *parse_dict(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_MAKE_DICT, p->at->line);
    if (!n) return NULL;
    p->at++;
    for (fli_node **last = &n->args; !fli_accept_op(p, '}'); last = &(*last)->next) {
        if (n->args && !fli_expect_op(p, ',')) return NULL;
        if (n->args && fli_accept_op(p, '}')) break;
        *last = parse_pair(p);
        if (!*last) return NULL;
    }
    return n;
}

static fli_node *parse_parentheses(fli_parser *p) {
    const int line = (p->at++)->line;
    if (fli_accept_op(p, ')')) return fli_node_new(p, FLI_MAKE_TUPLE, line);
    fli_node *n = fli_parse_expression(p, FLI_PARSE_TUPLE);
    return n && fli_expect_op(p, ')') ? n : NULL;
}

static fli_node *parse_primary(fli_parser *p) {
    if (p->at->kind == FLI_LEX_NAME) return parse_name(p);
    if (is_const(p)) return parse_const(p);
    if (fli_is_op(p, '(')) return parse_parentheses(p);
    if (fli_is_op(p, '[')) return parse_list(p);
    if (fli_is_op(p, '{')) return parse_dict(p);
    fli_expect_name(p, NULL);
    return NULL;
}

/* ---- what follows a value ---- */

/* *list and **dict spread a value over the arguments. */
static fli_node *parse_argument(fli_parser *p) {
    fli_node *n = fli_node_new(p, FLI_ARG, p->at->line);
    if (!n) return NULL;
    n->op = fli_accept_op(p, '*') ? '*' : fli_accept_op(p, FLI_POWER) ? FLI_POWER : 0;
    const bool named = !n->op && p->at->kind == FLI_LEX_NAME && p->at[1].kind == FLI_LEX_OP &&
                       p->at[1].op == '=';
    if (named) {
        n->value = p->at->value;
        p->at += 2;
    }
    n->a = fli_parse_expression(p, 0);
    return n->a ? n : NULL;
}

/* Behind the opening bracket, past the closing one. */
static bool parse_arguments(fli_parser *p, fli_node **list) {
    bool named = false;
    for (fli_node **last = list; !fli_accept_op(p, ')'); last = &(*last)->next) {
        if (*list && !fli_expect_op(p, ',')) return false;
        if (*list && fli_accept_op(p, ')')) break;
        fli_node *n = *last = parse_argument(p);
        if (!n) return false;
        const bool plain = !n->op && n->value.kind != FLI_STR;
        if (plain && named)
            return fli_parse_fail(p, n->line, "a positional argument after a named one") != NULL;
        named |= !plain;
    }
    return true;
}

static bool at_subscript_end(const fli_parser *p) {
    return fli_is_op(p, ']') || fli_is_op(p, ',') || fli_is_op(p, ':');
}

static fli_node *parse_subscript(fli_parser *p, fli_node *of) {
    fli_node *n = fli_node_new(p, FLI_ITEM, (p->at++)->line);
    if (!n) return NULL;
    n->a = of;
    fli_node **part[] = {&n->b, &n->c, &n->d};
    if (!fli_is_op(p, ':') && !(n->b = fli_parse_expression(p, FLI_PARSE_TUPLE))) return NULL;
    for (int i = 1; i < 3 && fli_accept_op(p, ':'); i++) {
        n->kind = FLI_SLICE;
        if (!at_subscript_end(p) && !(*part[i] = fli_parse_expression(p, 0))) return NULL;
    }
    return fli_expect_op(p, ']') ? n : NULL;
}

static fli_node *parse_dot(fli_parser *p, fli_node *of) {
    fli_node *n = fli_node_new(p, FLI_ATTRIBUTE, (p->at++)->line);
    if (!n) return NULL;
    n->a = of;
    if (is_const(p) && p->at->value.kind == FLI_INT) {
        n->kind = FLI_ITEM;
        n->b = parse_const(p);
        return n->b ? n : NULL;
    }
    return fli_expect_name(p, &n->value) ? n : NULL;
}

static fli_node *parse_call(fli_parser *p, fli_node *of) {
    fli_node *n = fli_node_new(p, FLI_CALL, (p->at++)->line);
    if (!n) return NULL;
    n->a = of;
    return parse_arguments(p, &n->args) ? n : NULL;
}

static fli_node *parse_postfix(fli_parser *p, fli_node *n) {
    while (n) {
        if (fli_is_op(p, '.')) n = parse_dot(p, n);
        else if (fli_is_op(p, '[')) n = parse_subscript(p, n);
        else if (fli_is_op(p, '(')) n = parse_call(p, n);
        else break;
    }
    return n;
}

fli_node *fli_parse_filters(fli_parser *p, fli_node *of, bool first_has_no_bar) {
    while (first_has_no_bar || fli_accept_op(p, '|')) {
        first_has_no_bar = false;
        fli_node *n = fli_node_new(p, FLI_FILTER, p->at->line);
        if (!n || !fli_expect_name(p, &n->value)) return NULL;
        n->a = of;
        n->native = fli_filter_find(n->value);
        if (fli_accept_op(p, '(') && !parse_arguments(p, &n->args)) return NULL;
        of = n;
    }
    return of;
}

/* The one argument that a test may have without brackets: x is divisibleby 3. */
static bool parse_bare_argument(fli_parser *p, fli_node **list) {
    const bool word = p->at->kind == FLI_LEX_NAME && !fli_is_name(p, "else") &&
                      !fli_is_name(p, "or") && !fli_is_name(p, "and");
    if (!word && !is_const(p) && !fli_is_op(p, '[') && !fli_is_op(p, '{')) return true;
    if (fli_is_name(p, "is"))
        return fli_parse_fail(p, p->at->line, "tests cannot be chained: use `and`") != NULL;
    fli_node *n = *list = fli_node_new(p, FLI_ARG, p->at->line);
    return n && (n->a = parse_postfix(p, parse_primary(p))) != NULL;
}

static fli_node *parse_test(fli_parser *p, fli_node *of) {
    fli_node *n = fli_node_new(p, FLI_TEST, p->at->line), *outer = n;
    const bool negated = fli_accept_name(p, "not");
    if (!n || !fli_expect_name(p, &n->value)) return NULL;
    n->a = of;
    n->native = fli_native_find(fli_tests, n->value);
    if (!(fli_accept_op(p, '(') ? parse_arguments(p, &n->args) : parse_bare_argument(p, &n->args)))
        return NULL;
    if (negated && (outer = fli_node_new(p, FLI_NOT, n->line))) outer->a = n;
    return outer;
}

static fli_node *parse_filters_and_tests(fli_parser *p, fli_node *n) {
    while (n) {
        if (fli_is_op(p, '|')) n = fli_parse_filters(p, n, false);
        else if (fli_accept_name(p, "is")) n = parse_test(p, n);
        else if (fli_is_op(p, '(')) n = parse_call(p, n);
        else break;
    }
    return n;
}

/* ---- operators ---- */

static fli_node *parse_sign(fli_parser *p) {
    fli_node *n = fli_node_new(p, fli_is_op(p, '-') ? FLI_NEGATIVE : FLI_POSITIVE, p->at->line);
    if (!n || !fli_enter(p)) return NULL;
    p->at++;
    n->a = parse_unary(p, false);
    p->depth--;
    return n->a ? n : NULL;
}

static fli_node *parse_unary(fli_parser *p, bool filters) {
    fli_node *n = fli_is_op(p, '-') || fli_is_op(p, '+') ? parse_sign(p) : parse_primary(p);
    n = parse_postfix(p, n);
    return filters ? parse_filters_and_tests(p, n) : n;
}

/* The comparison here, 0 if there is none; past it. */
static uint16_t accept_comparison(fli_parser *p) {
    for (int i = 0; i < N_COMPARISONS; i++)
        if (fli_accept_op(p, comparisons[i])) return comparisons[i];
    if (fli_accept_name(p, "in")) return FLI_IN;
    const bool not_in = fli_is_name(p, "not") && p->at[1].kind == FLI_LEX_NAME &&
                        fli_is(p->at[1].value, "in");
    if (not_in) p->at += 2;
    return not_in ? FLI_NOT_IN : 0;
}

static fli_node *parse_compare(fli_parser *p) {
    fli_node *left = parse_level(p, LEVEL_ADD), *n = NULL, **last = NULL;
    for (uint16_t op; left && (op = accept_comparison(p)) != 0; last = &(*last)->next) {
        if (!n) {
            if (!(n = fli_node_new(p, FLI_COMPARE, left->line))) return NULL;
            n->a = left;
            last = &n->args;
        }
        if (!(*last = fli_node_new(p, FLI_OPERAND, p->at->line))) return NULL;
        (*last)->op = op;
        if (!((*last)->a = parse_level(p, LEVEL_ADD))) return NULL;
    }
    return n ? n : left;
}

static fli_node *parse_not(fli_parser *p) {
    if (!fli_is_name(p, "not")) return parse_compare(p);
    fli_node *n = fli_node_new(p, FLI_NOT, (p->at++)->line);
    if (!n || !fli_enter(p)) return NULL;
    n->a = parse_not(p);
    p->depth--;
    return n->a ? n : NULL;
}

static fli_node *accept_binary(fli_parser *p, int level) {
    for (int i = 0; i < N_BINARY; i++) {
        if (binary[i].level != level) continue;
        const int line = p->at->line;
        if (binary[i].word ? !fli_accept_name(p, binary[i].word) : !fli_accept_op(p, binary[i].op))
            continue;
        fli_node *n = fli_node_new(p, (fli_node_kind)binary[i].kind, line);
        if (n) n->op = binary[i].op;
        return n;
    }
    return NULL;
}

static fli_node *parse_level(fli_parser *p, int level) {
    if (level == LEVEL_NOT) return parse_not(p);
    if (level == LEVEL_UNARY) return parse_unary(p, true);
    fli_node *left = parse_level(p, level + 1);
    for (fli_node *n; left && (n = accept_binary(p, level)); left = n) {
        n->a = left;
        n->b = parse_level(p, level + 1);
        if (!n->b) return NULL;
    }
    return left;
}

static fli_node *parse_condition(fli_parser *p) {
    fli_node *then = parse_level(p, LEVEL_OR);
    while (then && fli_is_name(p, "if")) {
        fli_node *n = fli_node_new(p, FLI_CONDITION, (p->at++)->line);
        if (!n || !(n->a = parse_level(p, LEVEL_OR))) return NULL;
        n->b = then;
        if (fli_accept_name(p, "else") && !(n->c = fli_parse_expression(p, 0))) return NULL;
        then = n;
    }
    return then;
}

static fli_node *parse_one(fli_parser *p, unsigned flags) {
    return flags & FLI_PARSE_NO_CONDITION ? parse_level(p, LEVEL_OR) : parse_condition(p);
}

static bool at_tuple_end(const fli_parser *p) {
    return p->at->kind == FLI_LEX_PRINT_END || p->at->kind == FLI_LEX_BLOCK_END ||
           fli_is_op(p, ')') || fli_is_op(p, ']') || fli_is_op(p, '=') || fli_is_name(p, "in");
}

/* first, .. as a tuple; `first` itself where no comma follows. */
static fli_node *parse_rest(fli_parser *p, fli_node *first,
                            fli_node *(*one)(fli_parser *p, unsigned flags), unsigned flags) {
    if (!first || !fli_is_op(p, ',')) return first;
    fli_node *n = fli_node_new(p, FLI_MAKE_TUPLE, first->line);
    if (!n) return NULL;
    n->args = first;
    for (fli_node *last = first; fli_accept_op(p, ',') && !at_tuple_end(p); last = last->next)
        if (!(last->next = one(p, flags))) return NULL;
    return n;
}

fli_node *fli_parse_expression(fli_parser *p, unsigned flags) {
    if (!fli_enter(p)) return NULL;
    fli_node *n = parse_one(p, flags);
    if (flags & FLI_PARSE_TUPLE) n = parse_rest(p, n, parse_one, flags);
    p->depth--;
    return n;
}

/* ---- targets ---- */

enum { ATTRIBUTES = 1 };

/* A name, namespace.name, or such in brackets. */
static fli_node *parse_one_target(fli_parser *p, unsigned flags) {
    const int line = p->at->line;
    if (fli_accept_op(p, '(')) {
        if (!fli_enter(p)) return NULL;
        fli_node *n = parse_rest(p, parse_one_target(p, flags), parse_one_target, flags);
        p->depth--;
        return n && fli_expect_op(p, ')') ? n : NULL;
    }
    if (p->at->kind != FLI_LEX_NAME) return fli_parse_fail(p, line, "a name to assign to is due");
    fli_node *n = parse_name(p);
    if (n && n->kind != FLI_NAME)
        return fli_parse_fail(p, line, "a constant cannot be assigned to");
    return n && flags & ATTRIBUTES && fli_is_op(p, '.') ? parse_dot(p, n) : n;
}

fli_node *fli_parse_target(fli_parser *p, bool attributes) {
    const unsigned flags = attributes ? ATTRIBUTES : 0;
    return parse_rest(p, parse_one_target(p, flags), parse_one_target, flags);
}
