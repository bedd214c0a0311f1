/* plan.h - a graph on its way to becoming a program: steps in order over slots of memory.
 *
 * A step is a node that will run; a slot is one instance of a value, so a value that is recomputed
 * has two. The graph itself is never changed. The passes, in order:
 *
 *     fli_lower      one step a node, one slot a value; loss fused with its gradient; dead steps
 *                    dropped
 *     fli_recompute  the forward steps of some scopes repeated before their backward
 *     fli_choose     a kernel for every step, and slots for their workspaces
 *     fli_join       which steps run as one job
 *     fli_place      which slots share memory, and where each lies */
#ifndef FL_BACKEND_PLAN_H
#define FL_BACKEND_PLAN_H

#include "backend/program.h"
#include "base/arena.h"

typedef struct {
    fl_tensor t;  // data is set when memory is
    fl_value_kind kind;
    int value;        // of the graph; -1: workspace
    int root;         // the slot whose memory this one lies in; itself if it has its own
    bool keep;        // readable after a run
    bool lasts;       // survives from run to run: inputs, and gradients that are added to
    bool wanted;      // somebody reads it; else the kernel is not asked for it
    int first, last;  // steps during which the memory is in use, of all that lie in it
    size_t bytes, offset;
} fli_slot;

typedef struct fli_pack fli_pack;

typedef struct {
    int node;
    fl_call call;
    int in[FL_MAX_IN], out[FL_MAX_OUT], onto[FL_MAX_OUT];  // slots, -1 for none
    int workspace;
    bool repeated;  // a second run of a forward node
    bool head;      // writes parameter gradients first: attr.accumulate is the run's flag

    const fl_backend *backend;
    const fl_kernel *kernel;                                // NULL for a view
    fli_pack *pack;                                         // call.packed, when it is ready
    fl_status (*values)(const fl_call *call, fl_err *err);  // of the operation's row, or NULL
    int64_t tasks[FL_MAX_PHASES];
    double work;    // seconds it would take one core, by its cost: for deciding how to hand it out
    bool inline_;   // too little work to wake the pool for
    int job;        // steps from this one on that run as one; 0: it runs with one before it
    bool prepared;  // one before it in the job does phase 0 for it, in a workspace of both
    fl_cost cost;
    double seconds;  // of all profiled runs
    int64_t n_calls;
} fli_step;

typedef struct {
    const fl_graph *g;
    fl_arena *arena;
    fli_step *step;
    fli_slot *slot;
    int n_steps, n_slots;
    int *slot_of;  // of each value of the graph
    size_t bytes, unshared_bytes, scratch_bytes;
    int n_repeated;
} fli_plan;

FL_MUST_USE fl_status fli_lower(fli_plan *p, const fl_graph *g, fl_arena *arena, fl_err *err);
int fli_n_scopes_to_recompute(const fli_plan *p);
FL_MUST_USE fl_status fli_recompute(fli_plan *p, int n_scopes, fl_err *err);
FL_MUST_USE fl_status fli_choose(fli_plan *p, const fl_backend *from, fl_err *err);
void fli_join(fli_plan *p);
FL_MUST_USE fl_status fli_place(fli_plan *p, fl_err *err);

static inline const fl_node *fli_step_node(const fli_plan *p, const fli_step *s) {
    return fl_graph_node(p->g, s->node);
}

static inline const fl_op *fli_step_op(const fli_plan *p, const fli_step *s) {
    return fl_ops[fli_step_node(p, s)->op];
}

static inline size_t fli_round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* backend.c: the row whose kernel fl_backend_kernel gives. */
const fl_backend *fli_backend_for(const fl_backend *from, fl_op_id op, const fl_call *call);

/* Run the step as planned, or beside the reference (validate.c). */
struct fl_program;
void fli_run_step(struct fl_program *p, fli_step *s);
FL_MUST_USE fl_status fli_run_validated(struct fl_program *p, fli_step *s, fl_err *err);
FL_MUST_USE fl_status fli_run_checked(struct fl_program *p, fli_step *s, fl_err *err);

/* packs.c */
FL_MUST_USE fl_status fli_packs_get(fli_pack **out, fl_packs *packs, const fl_kernel *k,
                                    const fl_call *c, fl_err *err);
uint64_t fli_packs_version(const fl_packs *packs);

/* A run leaves a share of its time to be spent on copies before the next one. */
void fli_packs_owe(fl_packs *packs, double run_seconds);
void fli_packs_pay(fl_packs *packs, fl_pool *pool);

/* The copy, made now if it must be; NULL while the kernel does without. */
const void *fli_pack_ready(fli_pack *e, fl_packs *packs, fl_pool *pool);

struct fl_program {
    const fl_graph *g;
    const fl_backend *backend;
    fl_pool *pool;
    fl_arena arena;
    fli_plan plan;
    fl_buffer *values, *scratch;
    fl_packs *packs;
    bool owns_packs, validate, check_finite, profile, accumulate;
    uint64_t packs_version;  // of the copies as last looked at
};

#endif
