/* op.h - what an operation is, independent of where it runs.
 *
 * An fl_op row holds everything about an operation that is not arithmetic: its name,
 * its shape rule, its gradient rule, what it costs, and how to make test inputs for it.
 * The arithmetic is a kernel, one per backend, in that backend's table
 * (backend/backend.h). graph/ops.def lists the rows with their shapes. */
#ifndef FL_GRAPH_OP_H
#define FL_GRAPH_OP_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_MAX_IN = 8, FL_MAX_OUT = 4 };
enum { FL_PAGE_STEP = 16 };  // a page of a cache has a multiple of this many rows

typedef enum {
#define FL_OP(ID, name) FL_OP_##ID,
#include "graph/ops.def"
#undef FL_OP
    FL_OP_COUNT
} fl_op_id;

/* X(ID, name): the elementwise functions of FL_OP_UNARY and FL_OP_GATED. The last three have a
 * cap c: c tanh(x / c); y sigmoid(1.702 y) of y = min(x, c); and 1 + x, x held within -c and c. */
#define FL_UNARY_LIST(X)                                                            \
    X(GELU_TANH, "gelu_tanh")                                                       \
    X(GELU_ERF, "gelu_erf")                                                         \
    X(SILU, "silu")                                                                 \
    X(RELU, "relu")                                                                 \
    X(RELU2, "relu2")                                                               \
    X(TANH, "tanh")                                                                 \
    X(SIGMOID, "sigmoid")                                                           \
    X(EXP, "exp") X(LOG, "log") X(LOG_SIGMOID, "log_sigmoid") X(SOFTCAP, "softcap") \
        X(CLIPPED_GELU_QUICK, "clipped gelu_quick") X(CLIPPED_PLUS_ONE, "1 + clip")

typedef enum {
#define X(id, name) FL_UNARY_##id,
    FL_UNARY_LIST(X)
#undef X
        FL_UNARY_COUNT
} fl_unary;

/* How a router chooses experts from their scores (graph/op/route.c). */
typedef struct {
    int64_t n_chosen;                 // experts a token goes to
    int64_t n_groups, groups_chosen;  // only experts of the best groups may be chosen; 0: of all
    bool sigmoid;                     // scores of single experts; else a softmax over all
    bool group_pair;                  // a group is as good as its two best together; else its best
    bool normalise;                   // weights of the chosen sum to 1 (before scale)
    float scale;                      // of the weights; 0: 1
} fl_routing;

/* The constants of one application. An operation reads only the fields its line in
 * ops.def names; the others stay zero. Values that change between runs are inputs instead. */
typedef struct {
    fl_dtype dtype;  // of the result, where the operation lets the caller choose
    fl_unary unary;
    float eps;          // norms
    float offset;       // rms_norm: the gain is offset + w
    float scale;        // attention: of q.k, 0 means 1/sqrt(D); scale: the factor; rope: of the
                        // rotated numbers, 0 means 1
    float softcap;      // c tanh(x / c); 0 means none; unary, gated: the cap
    float alpha, beta;  // axpby; matmul: alpha
    int64_t window;     // attention: keys visible, itself included; 0 means all
    bool causal;
    bool trans_a, trans_b;  // matmul
    bool inverse;           // rope: rotate back
    bool interleaved;       // rope: pairs (2i, 2i+1); else (i, i + D/2) as Hugging Face does
    fl_routing routing;     // route
    bool accumulate;        // out k += result k, for the outputs the row says accumulate: parameter
                            // gradients
    int rank;               // reshape, sum_to, broadcast: the wanted shape
    int64_t dim[FL_MAX_RANK];
} fl_attr;

/* One application of an operation: inputs, attributes, and room for the results. An absent
 * optional input or an unwanted output has rank 0. */
typedef struct {
    int n_in, n_out;
    fl_tensor in[FL_MAX_IN];
    fl_tensor out[FL_MAX_OUT];
    fl_attr attr;
    const void *packed;  // in[1] repacked by the kernel's own `pack`, or NULL
    void *workspace;     // shared by all tasks of the call: fl_kernel.workspace bytes
    int64_t round;       // which of fl_kernel.rounds this is
} fl_call;

typedef struct fl_graph fl_graph;
typedef struct {
    int32_t id;
} fl_val;  // a value of a graph; id < 0 is "none"
#define FL_NONE ((fl_val){-1})

/* What a gradient rule sees: the node's own values and the gradients of its outputs
 * (FL_NONE where nothing depends on that output). It sets din[i] for the inputs where want[i]. */
typedef struct {
    fl_graph *g;
    const fl_attr *attr;
    int n_in, n_out;
    fl_val in[FL_MAX_IN], out[FL_MAX_OUT], dout[FL_MAX_OUT];
    bool want[FL_MAX_IN];
    fl_val din[FL_MAX_IN];
} fl_grad;

/* Shapes and attributes of one test case; filled with small random numbers by the tests. */
typedef struct {
    fl_call call;                  // dims, dtypes and attributes; data NULL
    int64_t int_below[FL_MAX_IN];  // an i32 input is drawn from [int_min, int_below)
    int64_t int_min[FL_MAX_IN];
    bool positive[FL_MAX_IN];   // draw from (0.1, 1.1) instead of (-1, 1)
    bool ascending[FL_MAX_IN];  // an i32 input that must not decrease along its last dim (segments)
    bool distinct[FL_MAX_IN];   // an i32 input without repetitions (pages that are written)
} fl_sample;

typedef struct {
    double flops, bytes;  // least possible work: each operand moved once
} fl_cost;

typedef struct {
    const char *name;
    int min_in, max_in, n_out;

    /* Check the inputs (shape and dtype) and set dtype, rank and dim of every out. Touches no
     * data. */
    fl_status (*shape)(fl_call *call, fl_err *err);

    /* Check what a shape cannot promise: that ids are rows of the table, that a cache has room. Run
     * before the kernel each time, so that a kernel never fails. NULL: nothing to check. */
    fl_status (*values)(const fl_call *call, fl_err *err);

    /* Append the nodes that compute the gradients of the inputs from dout[0]: further outputs
     * (statistics) carry no gradient. NULL: not differentiable. */
    void (*grad)(fl_grad *d);

    /* The i-th case worth testing, or false when there are no more. */
    bool (*sample)(int i, fl_sample *out);

    fl_cost (*cost)(const fl_call *call);  // NULL: bytes of all operands, no flops

    int8_t alias[FL_MAX_OUT];  // out k is written over in[alias[k] - 1]; 0 means its own memory
    bool view;                 // no kernel: out is in[0] seen in another shape
    int8_t
        in_place[FL_MAX_OUT];  // out k may lie in the memory of in[in_place[k] - 1], if both have
                               // the same bytes: element i is read before element i is written
    bool accumulates[FL_MAX_OUT];  // out k honours attr.accumulate: parameter gradients
    bool no_recompute;             // in-place or state: never run twice

    /* Mixed precision worth testing besides all-f32: bit i of `in` makes in[i] bf16, `out` makes
     * attr.dtype bf16. {0, false} ends the list. */
    struct {
        uint8_t in;
        bool out;
    } mix[4];

    /* Largest error against the reference, relative to 1 + |want|, in units of 1e-6, for f32
     * results and for bf16 ones. It sits beside the operation, not in the test. */
    int tolerance_ppm, tolerance_bf16_ppm;
} fl_op;

extern const fl_op *const fl_ops[FL_OP_COUNT];
fl_cost fl_call_cost(fl_op_id op, const fl_call *call);
const char *fl_unary_name(fl_unary f);

#ifdef __cplusplus
}
#endif

#endif
