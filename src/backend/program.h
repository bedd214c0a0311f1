/* program.h - a graph planned for a backend: memory laid out, kernels chosen, ready to run many
 * times.
 *
 * A program owns the memory of every computed value. Inputs are written and outputs read through
 * fl_program_tensor; extern values stay where the caller put them. A program may be run from one
 * thread at a time; it uses the pool it was made with. The graph must outlive it. */
#ifndef FL_BACKEND_PROGRAM_H
#define FL_BACKEND_PROGRAM_H

#include "backend/backend.h"
#include "base/thread.h"
#include "graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_program fl_program;

/* Packed copies of weights, shared by programs over the same weights, which stay where they are
 * while these are used. */
typedef struct fl_packs fl_packs;
fl_packs *fl_packs_new(void);
void fl_packs_free(fl_packs *p);
void fl_packs_changed(fl_packs *p);  // weights were written: pack again before the next run
void fl_packs_lock(fl_packs *p);     // keep copies made from now on in memory (fl_memory_lock)
size_t fl_packs_bytes(const fl_packs *p);

/* Make copies that programs do without at first: none is begun after that many seconds, INFINITY
 * makes all. Every run begins with half the time that the one before it took. */
void fl_packs_work(fl_packs *p, fl_pool *pool, double seconds);

typedef struct {
    const fl_backend *backend;  // NULL: fl_backend_pick
    fl_pool *pool;              // NULL: the process pool
    fl_packs *packs;            // NULL: the program keeps its own
    size_t memory_limit;        // bytes for computed values: above, layers are recomputed; 0: none
    bool validate;              // run ref beside every kernel and compare (FLEDGE_VALIDATE=1)
} fl_program_opts;

FL_MUST_USE fl_status fl_program_new(fl_program **out, fl_graph *g, const fl_program_opts *opts,
                                     fl_err *err);
void fl_program_free(fl_program *p);
fl_tensor fl_program_tensor(const fl_program *p, fl_val v);

/* Run every node. With `accumulate` the gradients of trainable externs are added to what their
 * memory holds (micro-batches after the first), else they replace it. */
FL_MUST_USE fl_status fl_program_run(fl_program *p, bool accumulate, fl_err *err);

typedef struct {
    size_t values_bytes;    // computed values, after sharing memory
    size_t unshared_bytes;  // what they would take without
    size_t scratch_bytes, packs_bytes;
    int n_recomputed;     // nodes run twice to fit memory_limit
    double flops, bytes;  // of one run, from the ops' cost rules
} fl_program_stats;
void fl_program_stats_get(const fl_program *p, fl_program_stats *out);
void fl_program_print(const fl_program *p, FILE *out);  // kernel, places, tasks: a line a step

/* Time per operation, summed over runs since profiling was switched on. */
typedef struct {
    const char *op, *backend;
    int64_t n_calls;
    double seconds, flops, bytes;
} fl_profile_row;
void fl_program_profile(fl_program *p, bool on);
int fl_program_profile_rows(const fl_program *p, fl_profile_row *rows, int max);  // longest first

#ifdef __cplusplus
}
#endif

#endif
