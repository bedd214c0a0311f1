/* filters.h - the filters, by the names templates call them: one row each.
 *
 * FLI_FILTERS(X): X(function, "name", "parameters", how many must be given) */
#ifndef FL_TOKEN_JINJA_FILTERS_H
#define FL_TOKEN_JINJA_FILTERS_H

#include "token/jinja/jinja.h"

#define FLI_FILTERS(X)                                                 \
    X(abs, "abs", "", 0)                                               \
    X(batch, "batch", "linecount fill_with", 1)                        \
    X(capitalize, "capitalize", "", 0)                                 \
    X(center, "center", "width", 0)                                    \
    X(default, "default", "default_value boolean", 0)                  \
    X(default, "d", "default_value boolean", 0)                        \
    X(dictsort, "dictsort", "case_sensitive by reverse", 0)            \
    X(escape, "escape", "", 0)                                         \
    X(escape, "e", "", 0)                                              \
    X(first, "first", "", 0)                                           \
    X(float, "float", "default", 0)                                    \
    X(format, "format", "*", 0)                                        \
    X(groupby, "groupby", "attribute default case_sensitive", 1)       \
    X(indent, "indent", "width first blank", 0)                        \
    X(int, "int", "default base", 0)                                   \
    X(items, "items", "", 0)                                           \
    X(join, "join", "d attribute", 0)                                  \
    X(last, "last", "", 0)                                             \
    X(length, "length", "", 0)                                         \
    X(length, "count", "", 0)                                          \
    X(list, "list", "", 0)                                             \
    X(lower, "lower", "", 0)                                           \
    X(map, "map", "*", 0)                                              \
    X(max, "max", "case_sensitive attribute", 0)                       \
    X(min, "min", "case_sensitive attribute", 0)                       \
    X(reject, "reject", "*", 0)                                        \
    X(rejectattr, "rejectattr", "*", 0)                                \
    X(replace, "replace", "old new count", 2)                          \
    X(reverse, "reverse", "", 0)                                       \
    X(round, "round", "precision method", 0)                           \
    X(safe, "safe", "", 0)                                             \
    X(select, "select", "*", 0)                                        \
    X(selectattr, "selectattr", "*", 0)                                \
    X(slice, "slice", "slices fill_with", 1)                           \
    X(sort, "sort", "reverse case_sensitive attribute", 0)             \
    X(string, "string", "", 0)                                         \
    X(sum, "sum", "attribute start", 0)                                \
    X(title, "title", "", 0)                                           \
    X(tojson, "tojson", "ensure_ascii indent separators sort_keys", 0) \
    X(trim, "trim", "chars", 0)                                        \
    X(unique, "unique", "case_sensitive attribute", 0)                 \
    X(upper, "upper", "", 0)                                           \
    X(wordcount, "wordcount", "", 0)

#define X(fn, name, params, required) fli_val fli_filter_##fn(fli_run *r, fli_args *a);
FLI_FILTERS(X)
#undef X

#endif
