/* backend.h - a place where operations can run.
 *
 * A backend is one constant row: its name, how to probe for it, and one kernel per
 * operation. A missing kernel, or one whose `supports` declines a call, means "not here":
 * the executor then asks the next row, so support is read from the table and never restated.
 *
 * A kernel is one to four phases. A phase is cut into tasks by the shapes alone, never by the
 * number of threads, and tasks of one phase do not depend on each other; the executor runs them on
 * the pool in any order and puts a barrier between phases. That is why results do not depend on the
 * thread count: reductions across tasks go through `workspace` and a later phase adds them in task
 * order. */
#ifndef FL_BACKEND_BACKEND_H
#define FL_BACKEND_BACKEND_H

#include "graph/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_MAX_PHASES = 4 };

typedef struct {
    int64_t (*tasks)(const fl_call *call);  // NULL: one task
    /* Do tasks [begin, end). `scratch` is this worker's own: fl_kernel.scratch bytes, 64-byte
     * aligned, garbage on entry. Shapes were checked by the op's rule; there is nothing left that
     * can fail. */
    void (*run)(const fl_call *call, int64_t begin, int64_t end, void *scratch);
} fl_phase;

typedef struct {
    fl_phase phase[FL_MAX_PHASES];             // run == NULL ends the list
    bool (*supports)(const fl_call *call);     // NULL: every call the shape rule allows
    size_t (*scratch)(const fl_call *call);    // bytes per worker; NULL: none
    size_t (*workspace)(const fl_call *call);  // bytes shared by the tasks; NULL: none
    bool uneven;  // tasks differ much in length: they are handed out one by one

    /* Phase 0 reads in[0] and the shape and format of in[1] alone, and is all that writes
     * workspace: products of one input that run as one job do it once. */
    bool prepares_x;

    /* All phases are run this many times in a row, `call->round` counting from 0, so that a kernel
     * can work through its rows in groups whose intermediates fit `workspace`. NULL: once. */
    int64_t (*rounds)(const fl_call *call);

    /* Kernels that want in[1] (a weight) in a layout of their own. `pack_id` names the layout this
     * call wants, NULL for none; it may look at dtypes and attributes, never at data or at the
     * number of rows. The executor packs an extern weight once and again only after it changed, and
     * shares the copy between all calls and graphs that name the same id for the same memory. */
    const char *(*pack_id)(const fl_call *call);
    size_t (*pack_bytes)(const fl_call *call);
    int64_t (*pack_tasks)(const fl_call *call);
    void (*pack)(const fl_call *call, void *dst, int64_t begin, int64_t end);

    /* Without the copy this kernel gives the same bytes, in the same workspace and scratch, in
     * somewhat more time. The executor then begins with weights as they lie, and makes the copies
     * bit by bit before later runs. */
    bool pack_later;
} fl_kernel;

typedef struct {
    const char *name;
    const char *needs;  // "AVX-512 with bf16", for messages
    bool (*available)(void);
    const fl_kernel *kernel[FL_OP_COUNT];  // NULL: not here
} fl_backend;

/* Best first, NULL last; `ref` (plain C in double, any dtype: the truth) is always there and never
 * first. */
extern const fl_backend *const fl_backends[];
const fl_backend *fl_backend_find(const char *name);  // NULL if there is no such row

/* Best available row, or the one FLEDGE_BACKEND names. */
FL_MUST_USE fl_status fl_backend_pick(const fl_backend **out, fl_err *err);

/* Of the first row from `from` on that takes this call. Never NULL: ref takes everything. `from`
 * may be a row of the caller's own (tests), which only ref follows. */
const fl_kernel *fl_backend_kernel(const fl_backend *from, fl_op_id op, const fl_call *call);

#ifdef __cplusplus
}
#endif

#endif
