/* grammar_code.h - the inside of a compiled grammar: instructions over bytes.
 *
 * Code runs on to the next instruction; places are relative, so that code can be moved and copied.
 *
 *   SET s    a byte of set s
 *   SPLIT d  go on here, and d instructions further
 *   JUMP d   go on d instructions further
 *   CALL r   rule r, then go on here
 *   TAIL r   rule r, then return: a call with nothing after it
 *   RETURN   the rule has ended */
#ifndef FL_INFER_GRAMMAR_CODE_H
#define FL_INFER_GRAMMAR_CODE_H

#include "infer/grammar.h"

enum { FLI_MAX_CODE = 1 << 20, FLI_MAX_RULES = 1 << 15, FLI_MAX_SETS = 1 << 12 };

typedef enum { FLI_SET, FLI_SPLIT, FLI_JUMP, FLI_CALL, FLI_TAIL, FLI_RETURN } fli_op;

typedef struct {
    fli_op op;
    int32_t arg;
} fli_instruction;

typedef struct {
    uint64_t word[4];
} fli_set;  // of bytes

typedef struct {
    char *name;
    int32_t entry;  // -1: not defined (yet)
} fli_rule;

struct fl_grammar {
    fli_instruction *code;
    int32_t n_code, cap_code;
    fli_set *sets;
    int32_t n_sets, cap_sets;
    fli_rule *rules;
    int32_t n_rules, cap_rules;
    int32_t *order;  // of the rules' names
    int32_t cap_order;
    int32_t root;
    int32_t byte_set[256];    // 1 + the set of this byte alone; 0: there is none
    uint8_t byte_class[256];  // bytes that no set tells apart
    uint8_t class_byte[256];  // one of each class
    int32_t n_classes;
};

/* Inclusive, of code points. */
typedef struct {
    int32_t low, high;
} fli_range;

static inline bool fli_set_has(const fli_set *s, uint8_t byte) {
    return s->word[byte >> 6] >> (byte & 63) & 1;
}

/* --- writing code
 * ------------------------------------------------------------------------------ */

FL_MUST_USE fl_status fli_code_add(fl_grammar *g, fli_op op, int32_t arg, fl_err *err);
/* At `at`, moving what stands there on. */
FL_MUST_USE fl_status fli_code_insert(fl_grammar *g, int32_t at, fli_op op, int32_t arg,
                                      fl_err *err);
/* The code from `from` on, once more. */
FL_MUST_USE fl_status fli_code_copy(fl_grammar *g, int32_t from, int32_t n, fl_err *err);
FL_MUST_USE fl_status fli_code_add_byte(fl_grammar *g, uint8_t byte, fl_err *err);
/* One character out of n ranges (in any order, overlapping or not), or out of all others. */
FL_MUST_USE fl_status fli_code_add_class(fl_grammar *g, fli_range *ranges, int32_t n, bool others,
                                         fl_err *err);
/* The number of a rule, new or known. */
FL_MUST_USE fl_status fli_rule_named(fl_grammar *g, const char *name, size_t n, int32_t *out,
                                     fl_err *err);

/* All rules are there, none begins with itself; then what the matcher needs besides. */
FL_MUST_USE fl_status fli_grammar_finish(fl_grammar *g, fl_err *err);

/* --- running it
 * -------------------------------------------------------------------------------- */

/* Pairs of integers, each once, numbered in the order they came. */
typedef struct {
    int32_t (*pair)[2];
    int32_t n, cap;
    int32_t *slot;  // hash table of numbers, -1 is free
    int32_t n_slots;
} fli_pairs;
void fli_pairs_clear(fli_pairs *p);   // frees
void fli_pairs_forget(fli_pairs *p);  // all of them
/* The number of (a, b), or -1 when memory is exhausted. */
int32_t fli_pairs_add(fli_pairs *p, int32_t a, int32_t b);

/* States of a matcher. 0 is where no parse is left. */
typedef struct fli_states fli_states;
FL_MUST_USE fl_status fli_states_new(fli_states **out, const fl_grammar *g, fl_err *err);
void fli_states_free(fli_states *s);
FL_MUST_USE fl_status fli_states_begin(fli_states *s, int32_t *state, fl_err *err);
/* The state after a byte of this class. */
FL_MUST_USE fl_status fli_states_next(fli_states *s, int32_t state, int byte_class, int32_t *next,
                                      fl_err *err);
/* The same for what was asked before, states x n_classes; -1: it was not. Valid until the next
 * call. */
const int32_t *fli_states_table(const fli_states *s);
bool fli_states_ends(const fli_states *s, int32_t state);
/* Forget all but *state, which gets a new number, if there are many; whether it did. */
FL_MUST_USE fl_status fli_states_trim(fli_states *s, int32_t *state, bool *trimmed, fl_err *err);

#endif
