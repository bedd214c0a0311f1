/* tests.c - what may follow `is`. */
#include "token/jinja/jinja.h"

#define TEST(name, condition)                          \
    static fli_val t_##name(fli_run *r, fli_args *a) { \
        const fli_val v = a->self;                     \
        (void)r;                                       \
        return fli_bool(condition);                    \
    }

TEST(defined, v.kind != FLI_UNDEFINED)
TEST(undefined, v.kind == FLI_UNDEFINED)
TEST(none, v.kind == FLI_NONE)
TEST(boolean, v.kind == FLI_BOOL)
TEST(true, v.kind == FLI_BOOL && v.as.b)
TEST(false, v.kind == FLI_BOOL && !v.as.b)
TEST(integer, v.kind == FLI_INT)
TEST(float, v.kind == FLI_REAL)
TEST(number, fli_is_number(v))
TEST(string, v.kind == FLI_STR)
TEST(mapping, v.kind == FLI_DICT)
TEST(iterable, v.kind == FLI_UNDEFINED || (v.kind >= FLI_STR && v.kind <= FLI_DICT))
TEST(sequence, v.kind == FLI_UNDEFINED || v.kind == FLI_STR || v.kind == FLI_LIST ||
                   v.kind == FLI_TUPLE || v.kind == FLI_DICT)
TEST(callable, v.kind >= FLI_LOOP || v.kind == FLI_UNDEFINED)
TEST(sameas, v.kind == a->v[0].kind && fli_equal(r, v, a->v[0]))
TEST(eq, fli_equal(r, v, a->v[0]))
TEST(ne, !fli_equal(r, v, a->v[0]))
TEST(lt, fli_compare(r, '<', v, a->v[0]))
TEST(le, fli_compare(r, FLI_LE, v, a->v[0]))
TEST(gt, fli_compare(r, '>', v, a->v[0]))
TEST(ge, fli_compare(r, FLI_GE, v, a->v[0]))
TEST(in, fli_contains(r, a->v[0], v))
TEST(filter, fli_native_find(fli_filters, v) != NULL)
TEST(test, fli_native_find(fli_tests, v) != NULL)

static fli_val remainder_is(fli_run *r, fli_val v, fli_val by, int64_t want) {
    return fli_bool(fli_equal(r, fli_arithmetic(r, '%', v, by), fli_int(want)));
}

static fli_val t_odd(fli_run *r, fli_args *a) {
    return remainder_is(r, a->self, fli_int(2), 1);
}

static fli_val t_even(fli_run *r, fli_args *a) {
    return remainder_is(r, a->self, fli_int(2), 0);
}

static fli_val t_divisibleby(fli_run *r, fli_args *a) {
    return remainder_is(r, a->self, a->v[0], 0);
}

/* Letters of this case only, and at least one that has a case. */
static fli_val is_cased(fli_run *r, fli_val v, fli_case how, fli_case other) {
    const fli_val s = fli_to_str(r, v);
    if (r->status != FL_OK) return fli_none();
    return fli_bool(fli_equal(r, s, fli_cased(r, s, how)) &&
                    !fli_equal(r, s, fli_cased(r, s, other)));
}

static fli_val t_lower(fli_run *r, fli_args *a) {
    return is_cased(r, a->self, FLI_LOWER, FLI_UPPER);
}

static fli_val t_upper(fli_run *r, fli_args *a) {
    return is_cased(r, a->self, FLI_UPPER, FLI_LOWER);
}

const fli_native fli_tests[] = {
    {"defined", "", 0, t_defined},
    {"undefined", "", 0, t_undefined},
    {"none", "", 0, t_none},
    {"boolean", "", 0, t_boolean},
    {"true", "", 0, t_true},
    {"false", "", 0, t_false},
    {"integer", "", 0, t_integer},
    {"float", "", 0, t_float},
    {"number", "", 0, t_number},
    {"string", "", 0, t_string},
    {"mapping", "", 0, t_mapping},
    {"iterable", "", 0, t_iterable},
    {"sequence", "", 0, t_sequence},
    {"callable", "", 0, t_callable},
    {"lower", "", 0, t_lower},
    {"upper", "", 0, t_upper},
    {"odd", "", 0, t_odd},
    {"even", "", 0, t_even},
    {"divisibleby", "num", 1, t_divisibleby},
    {"sameas", "other", 1, t_sameas},
    {"eq", "other", 1, t_eq},
    {"equalto", "other", 1, t_eq},
    {"==", "other", 1, t_eq},
    {"ne", "other", 1, t_ne},
    {"!=", "other", 1, t_ne},
    {"lt", "other", 1, t_lt},
    {"lessthan", "other", 1, t_lt},
    {"<", "other", 1, t_lt},
    {"le", "other", 1, t_le},
    {"<=", "other", 1, t_le},
    {"gt", "other", 1, t_gt},
    {"greaterthan", "other", 1, t_gt},
    {">", "other", 1, t_gt},
    {"ge", "other", 1, t_ge},
    {">=", "other", 1, t_ge},
    {"in", "seq", 1, t_in},
    {"filter", "", 0, t_filter},
    {"test", "", 0, t_test},
    {NULL, NULL, 0, NULL},
};
