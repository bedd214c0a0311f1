/* rule.h - small tools for the rows in op/: formats, shape checks, test samples. */
#ifndef FL_GRAPH_RULE_H
#define FL_GRAPH_RULE_H

#include "graph/graph.h"

static inline bool fli_is_float(fl_dtype t) {
    return t == FL_F32 || t == FL_BF16 || t == FL_F16 || t == FL_F64;
}

/* What sums and statistics of `t` are kept in: f32, or f64 in a gradient check. */
static inline fl_dtype fli_wide(fl_dtype t) {
    return t == FL_F64 ? FL_F64 : FL_F32;
}

static inline bool fli_present(const fl_call *c, int i) {
    return i < c->n_in && c->in[i].rank > 0;
}

/* Shape errors all read alike: "linear: why; given (2, 3) f32, (4, 5) bf16". */
fl_status fli_reject(const fl_call *c, fl_err *err, const char *op, const char *why);

/* Every present input but those in the bit mask `ints` is a float, those are i32. Those in `blocks`
 * may also be in a block format: weights that are multiplied as they are stored. */
fl_status fli_check_dtypes(const fl_call *c, unsigned ints, unsigned blocks, const char *op,
                           fl_err *err);

/* A shape rule begins by checking formats, then lists what must hold. */
#define FLI_DTYPES(c, ints, op, err) FL_TRY(fli_check_dtypes((c), (ints), 0, (op), (err)))
#define FLI_DTYPES_OR_BLOCKS(c, ints, blocks, op, err) \
    FL_TRY(fli_check_dtypes((c), (ints), (blocks), (op), (err)))
#define FLI_WANT(cond, c, op, why, err)                          \
    do {                                                         \
        if (!(cond)) return fli_reject((c), (err), (op), (why)); \
    } while (0)

/* in[i] (i32) lies in [least, below) everywhere: the body of a `values` rule. */
fl_status fli_check_range(const fl_call *c, int i, int64_t least, int64_t below, const char *op,
                          fl_err *err);

void fli_out(fl_call *c, int k, fl_dtype dtype, int rank, const int64_t *dim);
void fli_out_like(fl_call *c, int k, const fl_tensor *t, fl_dtype dtype);

/* Whether the dims of `small` are the last dims of `big`. */
bool fli_is_trailing(const fl_tensor *big, const fl_tensor *small);

/* Bytes of every operand, each moved once: the cost of whatever only moves. */
double fli_call_bytes(const fl_call *c);

/* A tensor of a sample: FLI_T(FL_F32, 3, 7) is f32 (3, 7). */
#define FLI_T(dtype, ...)                                                                  \
    fl_tensor_of(NULL, (dtype), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                 (int64_t[]){__VA_ARGS__})
#define FLI_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

#endif
