/* guard.h - steps not worth taking: a loss or a gradient that is not a number, or far outside the
 * recent ones.
 *
 * The guard keeps the last losses and gradient norms of the steps that were taken, and calls a step
 * a spike when either lies more than `sigma` standard deviations above their mean. The update of a
 * spike is skipped. */
#ifndef FL_TRAIN_GUARD_H
#define FL_TRAIN_GUARD_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_GUARD_WINDOW = 64 };

typedef struct {
    double sigma;  // 0: only what is not a number is a spike
    int64_t most;  // spikes in a row before giving up
    int64_t n_seen, n_skipped, n_in_a_row;
    double loss[FL_GUARD_WINDOW], norm[FL_GUARD_WINDOW];  // rings; n_seen counts what was put in
} fl_guard;

typedef enum { FL_GUARD_TAKE, FL_GUARD_SKIP, FL_GUARD_GIVE_UP } fl_guard_verdict;
fl_guard_verdict fl_guard_judge(fl_guard *g, double loss, double grad_norm);

json_t *fl_guard_state(const fl_guard *g);  // NULL on no memory
FL_MUST_USE fl_status fl_guard_restore(fl_guard *g, const json_t *state, const char *where,
                                       fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
