/* ops.c - operators: arithmetic as Python's, joining, repeating, comparing. */
#include <math.h>
#include <string.h>

#include "token/jinja/jinja.h"

bool fli_compare(fli_run *r, uint16_t op, fli_val a, fli_val b) {
    switch (op) {
    case FLI_EQ: return fli_equal(r, a, b);
    case FLI_NE: return !fli_equal(r, a, b);
    case FLI_IN: return fli_contains(r, b, a);
    case FLI_NOT_IN: return !fli_contains(r, b, a);
    default: break;
    }
    const int c = fli_order(r, a, b);
    const bool nan = fli_is_number(a) && fli_is_number(b) &&
                     (isnan(fli_number(a)) || isnan(fli_number(b)));
    if (nan) return false;
    return op == '<' ? c < 0 : op == '>' ? c > 0 : op == FLI_LE ? c <= 0 : c >= 0;
}

static fli_val int_arithmetic(fli_run *r, uint16_t op, int64_t a, int64_t b) {
    int64_t v = 0;
    bool over = false;
    if ((op == FLI_FLOOR || op == '%') && b == 0) return fli_fail(r, "division by zero");
    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &v); break;
    case '-': over = __builtin_sub_overflow(a, b, &v); break;
    case '*': over = __builtin_mul_overflow(a, b, &v); break;
    case FLI_FLOOR:
    case '%':
        if (b == -1) return int_arithmetic(r, '-', 0, op == '%' ? 0 : a);
        v = op == '%' ? a % b : a / b;
        if (a % b != 0 && (a < 0) != (b < 0)) v += op == '%' ? b : -1;  // towards minus infinity
        break;
    case FLI_POWER:
        for (v = 1; b > 0 && !over && fli_work(r, 1); b--) over = __builtin_mul_overflow(v, a, &v);
        break;
    default: break;
    }
    return over ? fli_fail(r, "an integer beyond 64 bits") : fli_int(v);
}

/* Quotient and remainder as Python's: the remainder has the divisor's sign, and the quotient is
 * what is left when it is taken away. */
static fli_val real_division(uint16_t op, double a, double b) {
    double m = fmod(a, b);
    if (m != 0 && (m < 0) != (b < 0)) m += b;
    if (m == 0) m = copysign(0, b);
    if (op == '%') return fli_real(m);
    const double q = (a - m) / b;
    const double whole = floor(q);
    return fli_real(q == 0 ? copysign(0, a / b) : q - whole > 0.5 ? whole + 1 : whole);
}

static fli_val real_arithmetic(fli_run *r, uint16_t op, double a, double b) {
    if ((op == '/' || op == FLI_FLOOR || op == '%') && b == 0)
        return fli_fail(r, "division by zero");
    switch (op) {
    case '+': return fli_real(a + b);
    case '-': return fli_real(a - b);
    case '*': return fli_real(a * b);
    case '/': return fli_real(a / b);
    case FLI_FLOOR:
    case '%': return real_division(op, a, b);
    default: return fli_real(pow(a, b));
    }
}

static bool is_integer(fli_val v) {
    return v.kind == FLI_INT || v.kind == FLI_BOOL;
}

static int64_t integer(fli_val v) {
    return v.kind == FLI_BOOL ? v.as.b : v.as.i;
}

static fli_val number_arithmetic(fli_run *r, uint16_t op, fli_val a, fli_val b) {
    const bool real = !is_integer(a) || !is_integer(b) || op == '/';
    const int64_t x = real ? 0 : integer(a), y = real ? 0 : integer(b);
    if (!real && !(op == FLI_POWER && y < 0)) return int_arithmetic(r, op, x, y);
    return real_arithmetic(r, op, fli_number(a), fli_number(b));
}

/* To a safe string the other is escaped, although transformers' environment escapes nothing else:
 * templates that say "text"|safe + name get &lt; for < there, so they do here. */
static fli_val join_strings(fli_run *r, fli_val a, fli_val b) {
    const bool safe = a.safe || b.safe;
    if (safe && a.n) a = fli_escape(r, a);
    if (safe && b.n) b = fli_escape(r, b);
    char *s = FLI_NEW(r, char, (size_t)a.n + b.n);
    if (!s || !fli_work(r, ((size_t)a.n + b.n) / 64)) return fli_none();
    memcpy(s, a.as.s, a.n);
    memcpy(s + a.n, b.as.s, b.n);
    fli_val out = fli_view(s, (size_t)a.n + b.n);
    out.safe = safe;
    return out;
}

static fli_val join_lists(fli_run *r, fli_val a, fli_val b) {
    fli_val out = fli_list_new(r, (fli_kind)a.kind);
    for (size_t i = 0; i < a.as.list->n; i++) fli_push(r, out, a.as.list->item[i]);
    for (size_t i = 0; i < b.as.list->n; i++) fli_push(r, out, b.as.list->item[i]);
    return out;
}

static fli_val repeat(fli_run *r, fli_val v, int64_t times) {
    if (v.kind == FLI_STR) {
        fl_text t = {0};
        for (; times > 0 && v.n && fli_work(r, 1); times--) fli_append(r, &t, v.as.s, v.n);
        fli_val out = fli_text_end(r, &t);
        out.safe = v.safe;
        return out;
    }
    fli_val out = fli_list_new(r, (fli_kind)v.kind);
    for (; times > 0 && v.as.list->n && fli_work(r, 1); times--)
        for (size_t i = 0; i < v.as.list->n; i++) fli_push(r, out, v.as.list->item[i]);
    return out;
}

static bool is_sequence(fli_val v) {
    return v.kind == FLI_STR || v.kind == FLI_LIST || v.kind == FLI_TUPLE;
}

static const char *operator_name(uint16_t op) {
    return op == '+'         ? "added to"
           : op == '-'       ? "lessened by"
           : op == '*'       ? "multiplied by"
           : op == '%'       ? "taken modulo"
           : op == FLI_POWER ? "raised to"
                             : "divided by";
}

fli_val fli_arithmetic(fli_run *r, uint16_t op, fli_val a, fli_val b) {
    if (!fli_work(r, 1)) return fli_none();
    if (fli_is_number(a) && fli_is_number(b)) return number_arithmetic(r, op, a, b);
    if (op == '+' && a.kind == FLI_STR && b.kind == FLI_STR) return join_strings(r, a, b);
    if (op == '+' && is_sequence(a) && a.kind == b.kind) return join_lists(r, a, b);
    if (op == '*' && is_sequence(a) && is_integer(b)) return repeat(r, a, integer(b));
    if (op == '*' && is_integer(a) && is_sequence(b)) return repeat(r, b, integer(a));
    if (op == '%' && a.kind == FLI_STR) return fli_percent(r, a, b);
    if (a.kind == FLI_UNDEFINED || b.kind == FLI_UNDEFINED)
        return fli_cannot(r, a.kind == FLI_UNDEFINED ? a : b, "be used");
    return fli_fail(r, "a %s cannot be %s a %s", fli_kind_name(a), operator_name(op),
                    fli_kind_name(b));
}

fli_val fli_negative(fli_run *r, fli_val v) {
    if (v.kind == FLI_REAL) return fli_real(-v.as.r);
    if (is_integer(v)) return int_arithmetic(r, '-', 0, integer(v));
    return fli_cannot(r, v, "be negated");
}
