/* thread.h - one pool of threads for the process.
 *
 * Work is a number of tasks, fewer than 2^32; workers take ranges of them. The caller is worker 0,
 * so a pool of one starts no thread. Tasks must not depend on which worker runs them or in what
 * order. */
#ifndef FL_BASE_THREAD_H
#define FL_BASE_THREAD_H

#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_pool fl_pool;

/* Do tasks [begin, end). `worker` is in [0, fl_pool_size). Never twice at once for one worker. */
typedef void (*fl_task)(void *ctx, int64_t begin, int64_t end, int worker);

/* `n` threads in all, 0: FLEDGE_THREADS or one per core this process may use. */
FL_MUST_USE fl_status fl_pool_new(fl_pool **out, int n, fl_err *err);
void fl_pool_free(fl_pool *p);  // NULL is allowed
int fl_pool_size(const fl_pool *p);

/* Run tasks [0, n), at most `grain` at a time (0: half of what a worker has left), and return when
 * all are done. */
void fl_pool_run(fl_pool *p, int64_t n, int64_t grain, fl_task task, void *ctx);

/* The pool of the process, made at first use. fl_pool_set_default_size before that sizes it. */
fl_pool *fl_pool_default(void);
void fl_pool_set_default_size(int n);

#ifdef __cplusplus
}
#endif

#endif
