/* jinja.h - the template language inside: values, the syntax tree, a run.
 *
 * chars.c    characters: white space, case, counting
 * lexer.c    source -> lexemes, white space trimmed as Jinja trims it
 * parse.c    lexemes -> tree: statements; parse_expression.c: expressions
 * run.c      limits, and the error a run ends with
 * exec.c     statements; eval.c: expressions; call.c: arguments, macros
 * value.c    values; ops.c: operators; attribute.c: a.b, a[b], a[b:c]
 * print.c    values as text; tojson.c: as JSON; format.c: "%s" and "{}"
 * methods_*.c, filters*.c, tests.c, functions.c: tables of what templates may call
 *
 * Errors stick to the run: whoever fails writes the message once, everybody after returns early
 * with any value, and the caller looks once, at the end. Values live in the run's arena and are
 * never freed one by one. Strings are UTF-8 that was checked on the way in. */
#ifndef FL_TOKEN_JINJA_JINJA_H
#define FL_TOKEN_JINJA_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"

/* ---- values ---- */

typedef enum {
    FLI_UNDEFINED,
    FLI_NONE,
    FLI_BOOL,
    FLI_INT,
    FLI_REAL,
    FLI_STR,
    FLI_LIST,
    FLI_TUPLE,
    FLI_VIEW,  // of a dict: has a length, cannot be indexed
    FLI_ITER,  // what select, map, .. give: read once, has no length
    FLI_DICT,
    FLI_NAMESPACE,
    FLI_LOOP,
    FLI_FUNCTION,
    FLI_METHOD,  // a function and the value before its dot
    FLI_MACRO,
    FLI_N_KINDS
} fli_kind;

typedef struct fli_list fli_list;
typedef struct fli_dict fli_dict;
typedef struct fli_loop fli_loop;
typedef struct fli_macro fli_macro;
typedef struct fli_method fli_method;
typedef struct fli_native fli_native;

typedef struct {
    uint8_t kind;
    uint8_t of;  // of an undefined value: the kind of what lacked it; FLI_UNDEFINED: a variable
    bool safe;   // a string that `safe` or `escape` gave: what is joined to it is escaped
    uint32_t n;  // bytes of a string, or of the name of what is undefined
    union {
        bool b;
        int64_t i;
        double r;
        const char *s;   // not NUL-terminated
        fli_list *list;  // of LIST, TUPLE, VIEW, ITER
        fli_dict *dict;  // of DICT, NAMESPACE
        fli_loop *loop;
        const fli_native *function;
        const fli_method *method;
        const fli_macro *macro;
    } as;
} fli_val;

struct fli_list {
    fli_val *item;
    size_t n, cap;
    size_t read;        // of an ITER: items taken
    const char *label;  // how a VIEW or an ITER prints
};

/* In the order of insertion. A thousand keys are many in a chat, so look-up is linear, and counted
 * as steps. */
struct fli_dict {
    fli_val *key, *value;
    size_t n, cap;
};

struct fli_method {
    fli_val self;
    const fli_native *function;
};

/* ---- syntax tree ---- */

typedef enum {
    // statements
    FLI_TEXT,          // value
    FLI_PRINT,         // a
    FLI_SET,           // a = b
    FLI_SET_BLOCK,     // a = body, through the filters b
    FLI_IF,            // a, body, orelse
    FLI_FOR,           // a in b if c: body, orelse
    FLI_WITH,          // args: SETs; body
    FLI_MACRO_DEF,     // value: name; args: PARAMs; body
    FLI_CALL_BLOCK,    // args: PARAMs of the caller; a: the CALL; body
    FLI_FILTER_BLOCK,  // body, through the filters b
    FLI_GENERATION,    // body
    FLI_BREAK,
    FLI_CONTINUE,
    // expressions
    FLI_CONST,       // value
    FLI_NAME,        // value
    FLI_MAKE_LIST,   // args
    FLI_MAKE_TUPLE,  // args
    FLI_MAKE_DICT,   // args: PAIRs
    FLI_ATTRIBUTE,   // a.value
    FLI_ITEM,        // a[b]
    FLI_SLICE,       // a[b:c:d], each may be NULL
    FLI_CALL,        // a(args)
    FLI_FILTER,      // a | native(args); NULL a: what the block made
    FLI_TEST,        // a is native(args)
    FLI_NOT,
    FLI_NEGATIVE,
    FLI_POSITIVE,
    FLI_AND,
    FLI_OR,
    FLI_CONCAT,      // a ~ b
    FLI_ARITHMETIC,  // a op b
    FLI_COMPARE,     // a, args: OPERANDs
    FLI_CONDITION,   // b if a else c (NULL: undefined)
    // parts
    FLI_PARAM,    // value: name; a: default
    FLI_ARG,      // a; value: its keyword, or none; op: '*' or FLI_POWER where it is spread
    FLI_PAIR,     // a: b
    FLI_OPERAND,  // op a
    FLI_N_NODES
} fli_node_kind;

/* Operators: one or two characters. */
#define FLI_OP(a, b) ((uint16_t)((a) | (b) << 8))
enum {
    FLI_POWER = FLI_OP('*', '*'),
    FLI_FLOOR = FLI_OP('/', '/'),
    FLI_EQ = FLI_OP('=', '='),
    FLI_NE = FLI_OP('!', '='),
    FLI_LE = FLI_OP('<', '='),
    FLI_GE = FLI_OP('>', '='),
    FLI_IN = FLI_OP('i', 'n'),
    FLI_NOT_IN = FLI_OP('n', 'i')
};

typedef struct fli_node fli_node;
struct fli_node {
    uint8_t kind;  // fli_node_kind
    uint16_t op;   // operator; of a MACRO_DEF and a CALL_BLOCK: enum fli_uses
    int32_t line;
    fli_val value;
    const fli_native *native;  // of FILTER and TEST; NULL: there is none of that name
    fli_node *a, *b, *c, *d;
    fli_node *args, *body, *orelse;  // lists
    fli_node *next;                  // in the list this is in
};

/* Which implicit names a macro's body mentions: whether it takes more than it declares. */
enum fli_uses { FLI_USES_VARARGS = 1, FLI_USES_KWARGS = 2, FLI_USES_CALLER = 4 };

typedef enum {
    FLI_LEX_END,
    FLI_LEX_DATA,
    FLI_LEX_BLOCK_BEGIN,
    FLI_LEX_BLOCK_END,
    FLI_LEX_PRINT_BEGIN,
    FLI_LEX_PRINT_END,
    FLI_LEX_NAME,
    FLI_LEX_CONST,
    FLI_LEX_OP
} fli_lex_kind;

typedef struct {
    uint8_t kind;  // fli_lex_kind
    uint16_t op;
    int32_t line;
    fli_val value;
} fli_lexeme;

typedef struct {
    fli_lexeme *lexeme;  // ends with FLI_LEX_END
    size_t n, cap;
} fli_lexemes;  // zero is empty

/* Of a template in UTF-8. Strings go to the arena; the lexemes are freed by clear. */
FL_MUST_USE fl_status fli_lex(fli_lexemes *out, fl_arena *arena, const char *source, size_t n,
                              fl_err *err);
void fli_lexemes_clear(fli_lexemes *l);

typedef struct {
    const fli_lexeme *at;
    fl_arena *arena;
    int depth;
    int loops;      // around here, in this macro
    unsigned uses;  // enum fli_uses of the macro being parsed
    fl_err *err;
} fli_parser;

/* Parsing gives NULL where it failed, with the error written. */
fli_node *fli_parse_template(fli_parser *p);  // the statements as a list; never NULL on success
enum { FLI_PARSE_TUPLE = 1, FLI_PARSE_NO_CONDITION = 2 };
fli_node *fli_parse_expression(fli_parser *p, unsigned flags);
fli_node *fli_parse_filters(fli_parser *p, fli_node *of, bool first_has_no_bar);
fli_node *fli_parse_target(fli_parser *p, bool attributes);

/* What both files of the parser use. */
fli_node *fli_node_new(fli_parser *p, fli_node_kind kind, int line);
fli_node *fli_parse_fail(fli_parser *p, int line, const char *fmt, ...) FL_PRINTF(3, 4);
bool fli_is_op(const fli_parser *p, uint16_t op);
bool fli_is_name(const fli_parser *p, const char *name);
bool fli_accept_op(fli_parser *p, uint16_t op);
bool fli_accept_name(fli_parser *p, const char *name);
bool fli_expect_op(fli_parser *p, uint16_t op);
bool fli_expect_name(fli_parser *p, fli_val *out);  // any
bool fli_enter(fli_parser *p);  // one level deeper, or fails; leave by p->depth--

/* ---- a run ---- */

typedef struct fli_scope fli_scope;
struct fli_scope {
    const fli_scope *outer;
    fli_val *name, *value;
    size_t n, cap;
};

typedef struct {
    fl_arena arena;
    const fli_dict *variables;  // the outermost names
    int64_t steps;              // left
    int depth;                  // left
    size_t memory;              // left
    size_t output;              // most bytes of `out`
    fl_text *out;               // where text goes now
    int captures;               // blocks around whose text is a value, not output
    fl_text *spans;             // of fl_span
    size_t n_unplaced;
    int64_t now;
    int line;  // of the statement being run
    fl_status status;
    fl_err *err;
} fli_run;

fli_val fli_fail(fli_run *r, const char *fmt, ...) FL_PRINTF(2, 3);
/* Count work; false when the run has failed, of this or before. */
bool fli_work(fli_run *r, size_t steps);
/* Into a node or a container, out of it by r->depth++; bounded, as lists can hold themselves. */
bool fli_deeper(fli_run *r);
void *fli_take(fli_run *r, size_t count, size_t size);  // zeroed; NULL and failed beyond the limit
#define FLI_NEW(r, T, count) ((T *)fli_take((r), (count), sizeof(T)))

void fli_exec(fli_run *r, const fli_node *statements);  // of the whole template
fli_val fli_eval(fli_run *r, fli_scope *scope, const fli_node *n);
/* The body's text as a value. */
fli_val fli_capture(fli_run *r, fli_scope *scope, const fli_node *body);
void fli_assign(fli_run *r, fli_scope *scope, const fli_node *target, fli_val v);

fli_val *fli_scope_find(const fli_scope *scope, fli_val name);  // in this scope or around it
void fli_scope_set(fli_run *r, fli_scope *scope, fli_val name, fli_val v);

/* ---- calls ---- */

enum { FLI_PARAMS_MAX = 6 };

typedef struct {
    fli_val self;               // what is filtered or tested, or stands before the dot
    fli_val v[FLI_PARAMS_MAX];  // by parameter; see fli_given
    unsigned given;             // bit i: v[i] was passed
    const fli_val *list;        // all positional ones, as passed
    size_t n;
    const fli_dict *named;  // all keywords, NULL: none
} fli_args;

struct fli_native {
    const char *name;
    const char *params;  // "width first blank"; "*": anything, taken from list and named
    int required;        // how many must be given
    fli_val (*fn)(fli_run *r, fli_args *a);
};

static inline bool fli_given(const fli_args *a, int i) {
    return a->given >> i & 1;
}

/* Call a row: bind list and named to its parameters, or fail. */
fli_val fli_call_native(fli_run *r, const fli_native *row, fli_args *a);
fli_val fli_method_new(fli_run *r, fli_val self, const fli_native *function);
fli_val fli_call_value(fli_run *r, fli_val f, fli_args *a);
fli_val fli_call_node(fli_run *r, fli_scope *scope, const fli_node *n, fli_val self);
const fli_macro *fli_macro_new(fli_run *r, const fli_scope *scope, const fli_node *def);
fli_val fli_call_block(fli_run *r, fli_scope *scope, const fli_node *n);

extern const fli_native fli_filters[], fli_tests[], fli_functions[];
extern const fli_native fli_str_methods[], fli_list_methods[], fli_dict_methods[],
    fli_loop_methods[];
extern const char fli_group_label[];  // of the tuples that groupby makes
/* The row of this name, NULL. A table ends with a NULL name. */
const fli_native *fli_native_find(const fli_native *table, fli_val name);
const fli_native *fli_filter_find(fli_val name);

/* ---- values ---- */

fli_val fli_undefined(fli_val of, const char *name, size_t n);
fli_val fli_none(void);
fli_val fli_bool(bool b);
fli_val fli_int(int64_t i);
fli_val fli_real(double r);
fli_val fli_view(const char *s, size_t n);  // a string that outlives the run
fli_val fli_literal(const char *s);
fli_val fli_str(fli_run *r, const char *s, size_t n);  // a copy
/* Build a string: appending counts and is bounded; end copies it into the arena and frees. */
void fli_append(fli_run *r, fl_text *t, const char *s, size_t n);
fli_val fli_text_end(fli_run *r, fl_text *t);

fli_val fli_list_new(fli_run *r, fli_kind kind);  // LIST, TUPLE, VIEW or ITER
void fli_push(fli_run *r, fli_val list, fli_val item);
fli_val fli_pair(fli_run *r, fli_val a, fli_val b);  // a tuple
fli_val fli_dict_new(fli_run *r, fli_kind kind);     // DICT or NAMESPACE
void fli_put(fli_run *r, fli_val dict, fli_val key, fli_val value);
fli_val *fli_get(fli_run *r, const fli_dict *d, fli_val key);  // NULL: no such key
fli_val *fli_get_name(const fli_dict *d, const char *name, size_t n);

bool fli_is(fli_val v, const char *s);     // a string of these characters
bool fli_same_text(fli_val a, fli_val b);  // of strings
bool fli_true(fli_val v);                  // as `if` takes it
bool fli_is_number(fli_val v);             // bools are numbers
double fli_number(fli_val v);
bool fli_equal(fli_run *r, fli_val a, fli_val b);
int fli_order(fli_run *r, fli_val a, fli_val b);  // < 0, 0, > 0; fails where there is none
bool fli_contains(fli_run *r, fli_val container, fli_val item);
const char *fli_kind_name(fli_val v);                         // for messages: "string"
fli_val fli_cannot(fli_run *r, fli_val v, const char *what);  // fails: "a list cannot .."
bool fli_want_str(fli_run *r, fli_val v, const char *what);
bool fli_want_key(fli_run *r, fli_val key);
bool fli_want_int(fli_run *r, fli_val v, const char *what, int64_t *out);
int64_t fli_length(fli_run *r, fli_val v);  // -1 and failed where it has none
/* The items to loop over as a list of its own: characters, keys, elements; an ITER is used up. */
fli_list *fli_items(fli_run *r, fli_val v);

fli_val fli_arithmetic(fli_run *r, uint16_t op, fli_val a, fli_val b);
fli_val fli_negative(fli_run *r, fli_val v);
bool fli_compare(fli_run *r, uint16_t op, fli_val a, fli_val b);

fli_val fli_attribute(fli_run *r, fli_val of, fli_val name);  // of.name
fli_val fli_item(fli_run *r, fli_val of, fli_val key);        // of[key]
fli_val fli_path(fli_run *r, fli_val of, fli_val path);       // "a.b.0", as filters take it
fli_val fli_slice(fli_run *r, fli_val of, fli_val from, fli_val to, fli_val step);
fli_val fli_loop_attribute(fli_run *r, fli_loop *l, fli_val name);

/* Parts of strings that methods and filters share. `most` < 0: all. */
fli_val fli_escape(fli_run *r, fli_val s);  // for HTML, unless it is safe; then it is
fli_val fli_replace(fli_run *r, fli_val s, fli_val from, fli_val to, int64_t most);
fli_val fli_lines(fli_run *r, fli_val s, bool keep_ends);  // as a list

/* As text: str() and repr() of Python. */
void fli_print(fli_run *r, fl_text *t, fli_val v);
void fli_repr(fli_run *r, fl_text *t, fli_val v);
fli_val fli_to_str(fli_run *r, fli_val v);
void fli_print_real(fli_run *r, fl_text *t, double v);

typedef struct {
    bool ascii, sort;
    bool spread;     // one item a line
    fli_val indent;  // text of one level
    fli_val between, after_key;
} fli_json_style;
fli_val fli_tojson(fli_run *r, fli_val v, const fli_json_style *style);

fli_val fli_percent(fli_run *r, fli_val format, fli_val args);      // "%s" % x
fli_val fli_format(fli_run *r, fli_val format, const fli_args *a);  // "{}".format(x)

/* ---- characters ---- */

size_t fli_space(const char *s, size_t n);   // bytes of the white space that begins s, 0: none
size_t fli_spaces(const char *s, size_t n);  // bytes of all of it
size_t fli_rstrip(const char *s, size_t n);  // what is left of n
size_t fli_char_len(const char *s);          // of the character that begins s
size_t fli_count_chars(const char *s, size_t n);
size_t fli_char_at(const char *s, size_t n, size_t index);  // its byte
bool fli_valid_utf8(const char *s, size_t n);
size_t fli_find(const char *s, size_t n, const char *what, size_t n_what);  // n: it is not there
typedef enum { FLI_UPPER, FLI_LOWER, FLI_TITLE, FLI_CAPITALIZE, FLI_SWAPCASE } fli_case;
fli_val fli_cased(fli_run *r, fli_val s, fli_case how);
typedef enum { FLI_ALPHA, FLI_DIGIT, FLI_SPACE, FLI_PRINTABLE } fli_class;
bool fli_char_is(int32_t cp, fli_class c);

#endif
