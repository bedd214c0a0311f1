/* graph.h - a computation written down, differentiated and checked before it is run.
 *
 *     fl_graph *g = fl_graph_new();
 *     fl_val x = fl_input(g, "x", FL_F32, 2, (int64_t[]){8, 64});
 *     fl_val w = fl_extern(g, "w", weight_tensor, true);       // trainable
 *     fl_val y = fl_linear(g, x, w, FL_NONE, FL_F32);
 *     fl_val loss = fl_sum_to(g, y, 1, (int64_t[]){1});
 *     fl_graph_backward(g, loss);                              // appends gradient nodes
 *     fl_graph_output(g, loss);
 *     if (fl_graph_check(g, &err) != FL_OK) ...                // the first error, if any
 *     fl_program *p; fl_program_new(&p, g, &opts, &err);       // backend/program.h
 *
 * A value is one tensor; a node applies one operation to values and makes values. Nodes are
 * kept in execution order. Everything lives in the graph's arena and dies with it. Errors
 * stick: after the first one every builder returns FL_NONE, and fl_graph_check reports it.
 * One thread per graph.
 *
 * Gradients. The gradient of a value has its format; that of a trainable extern is f32 (f64 for
 * f64). The contributions to one parameter are nodes whose operation can accumulate: the first
 * writes, each later one is put `onto` the one before, in the same memory, so a tied weight costs
 * no extra pass. */
#ifndef FL_GRAPH_GRAPH_H
#define FL_GRAPH_GRAPH_H

#include <stdio.h>

#include "graph/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FL_VALUE_INPUT,    // filled by the caller before each run
    FL_VALUE_EXTERN,   // memory the caller owns: weights, gradients, optimizer state, caches
    FL_VALUE_COMPUTED  // made by a node; memory planned
} fl_value_kind;

typedef struct {
    const char *name;  // "" when unnamed
    fl_value_kind kind;
    fl_tensor t;   // data is set for FL_VALUE_EXTERN only
    int32_t node;  // that makes it, -1 if none
    int8_t out_index;
    bool trainable;   // EXTERN only: fl_graph_backward makes its gradient
    bool is_output;   // kept readable after a run
    fl_val grad;      // its gradient after fl_graph_backward, else FL_NONE
    void *grad_data;  // EXTERN trainable: where its f32 gradient goes (fl_graph_bind_grad), or NULL
} fl_value_info;

typedef struct {
    fl_op_id op;
    fl_attr attr;
    int n_in, n_out;
    fl_val in[FL_MAX_IN], out[FL_MAX_OUT];
    fl_val onto[FL_MAX_OUT];  // out[k] is added to this value, in its memory (attr.accumulate);
                              // else FL_NONE
    int scope;      // index into the graph's scopes: "layer 3" - for printing and recomputation
    bool backward;  // appended by fl_graph_backward
} fl_node;

fl_graph *fl_graph_new(void);  // NULL when memory is exhausted
void fl_graph_free(fl_graph *g);
FL_MUST_USE fl_status fl_graph_check(const fl_graph *g,
                                     fl_err *err);  // sticky error, then invariants

/* Leaves. Names are copied. */
fl_val fl_input(fl_graph *g, const char *name, fl_dtype dtype, int rank, const int64_t *dim);
fl_val fl_extern(fl_graph *g, const char *name, fl_tensor t, bool trainable);
void fl_graph_bind_grad(fl_graph *g, fl_val param, void *f32_data);  // before fl_graph_backward
void fl_graph_output(fl_graph *g, fl_val v);
void fl_graph_name(fl_graph *g, fl_val v, const char *name);
void fl_graph_scope(fl_graph *g, const char *name);  // nodes from here on belong to it ("layer 3")

/* Apply `op`. Returns the first output; fl_graph_node_out gives the others. Absent optional
 * inputs are FL_NONE. All named builders below are this call. */
fl_val fl_apply(fl_graph *g, fl_op_id op, const fl_attr *attr, int n_in, const fl_val *in);
fl_val fl_out(const fl_graph *g, fl_val first, int k);  // output k of the node that made `first`

/* Append gradient nodes for every trainable extern that `loss` (f32, one element) depends on. */
void fl_graph_backward(fl_graph *g, fl_val loss);
fl_val fl_graph_grad(const fl_graph *g, fl_val param);  // FL_NONE if the loss does not depend on it

/* Looking. */
const fl_value_info *fl_value_get(const fl_graph *g, fl_val v);
int fl_graph_n_values(const fl_graph *g);
int fl_graph_n_nodes(const fl_graph *g);
const fl_node *fl_graph_node(const fl_graph *g, int i);
const char *fl_graph_scope_name(const fl_graph *g, int scope);
void fl_graph_print(const fl_graph *g, FILE *out);  // one line a node; diffs well

/* Builders, one per operation; shapes in ops.def. `dt` is the format of the result. */
fl_val fl_add(fl_graph *g, fl_val a, fl_val b);
fl_val fl_mul(fl_graph *g, fl_val a, fl_val b);
fl_val fl_scale(fl_graph *g, fl_val x, float factor);
fl_val fl_cast(fl_graph *g, fl_val x, fl_dtype dt);  // returns x itself when it already has it
fl_val fl_reshape(fl_graph *g, fl_val x, int rank, const int64_t *dim);
fl_val fl_slice(fl_graph *g, fl_val x, int64_t at, int64_t n);    // columns [at, at + n)
fl_val fl_pad(fl_graph *g, fl_val x, int64_t at, int64_t width);  // zeros but x from column at on
fl_val fl_sum_to(fl_graph *g, fl_val x, int rank, const int64_t *dim);
fl_val fl_broadcast(fl_graph *g, fl_val x, int rank, const int64_t *dim);
fl_val fl_unary_of(fl_graph *g, fl_unary f, fl_val x);
fl_val fl_softcap(fl_graph *g, fl_val x, float cap);
fl_val fl_gated(fl_graph *g, fl_unary f, fl_val gate, fl_val up);
fl_val fl_gated_clipped(fl_graph *g, fl_val gate, fl_val up, float limit);  // gpt-oss's SwiGLU
fl_val fl_embedding(fl_graph *g, fl_val ids, fl_val w, fl_dtype dt);
fl_val fl_layer_norm(fl_graph *g, fl_val x, fl_val w, fl_val b, float eps, fl_dtype dt);
fl_val fl_rms_norm(fl_graph *g, fl_val x, fl_val w, float eps, fl_dtype dt);
fl_val fl_rms_norm_offset(fl_graph *g, fl_val x, fl_val w, float offset, float eps, fl_dtype dt);
fl_val fl_rope(fl_graph *g, fl_val x, fl_val position, fl_val inv_freq, bool interleaved);
fl_val fl_rope_scaled(fl_graph *g, fl_val x, fl_val position, fl_val inv_freq, bool interleaved,
                      float scale);
fl_val fl_softmax(fl_graph *g, fl_val x);
fl_val fl_linear(fl_graph *g, fl_val x, fl_val w, fl_val bias, fl_dtype dt);
fl_val fl_matmul(fl_graph *g, fl_val a, fl_val b, bool trans_a, bool trans_b, float alpha);
/* Weights of the chosen experts (.., k); fl_out(g, .., 1) are their ids. In the products ids may be
 * FL_NONE: a weight for each head. */
fl_val fl_route(fl_graph *g, fl_val logits, fl_val bias, const fl_routing *how);
fl_val fl_expert_linear(fl_graph *g, fl_val x, fl_val w, fl_val ids, fl_val bias, fl_dtype dt);
fl_val fl_expert_linear_dx(fl_graph *g, fl_val dy, fl_val w, fl_val ids, fl_dtype dt);
fl_val fl_combine(fl_graph *g, fl_val x, fl_val weights, fl_dtype dt);
fl_val fl_cache_append(fl_graph *g, fl_val cache, fl_val x, fl_val start, fl_val table);
fl_val fl_linear_ce(fl_graph *g, fl_val x, fl_val w, fl_val target, float softcap);

typedef struct {
    fl_val q, k, v;
    fl_val segment, start, sink;  // FL_NONE when not used; note that {0} is not FL_NONE
    bool causal;
    int64_t window;
    float scale, softcap;
} fl_attention_args;
fl_val fl_attention(fl_graph *g, const fl_attention_args *a);
/* The same over caches in pages. */
fl_val fl_attention_paged(fl_graph *g, const fl_attention_args *a, fl_val table);

#ifdef __cplusplus
}
#endif

#endif
