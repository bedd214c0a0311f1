/* job.h - one kernel run on its own, outside any program: for benches and tests.
 *
 *     fl_job *j;
 *     FL_TRY(fl_job_new(&j, kernel, &call, pool, err));   // call's tensors must outlive j
 *     fl_job_run(j);                                      // as often as wanted
 *     fl_job_free(j); */
#ifndef FL_BACKEND_JOB_H
#define FL_BACKEND_JOB_H

#include "backend/backend.h"
#include "base/thread.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_job fl_job;

/* Takes what the kernel asks for and, if `packed` and the kernel wants it, packs in[1] now. */
FL_MUST_USE fl_status fl_job_new(fl_job **out, const fl_kernel *k, const fl_call *call, bool packed,
                                 fl_pool *pool, fl_err *err);
void fl_job_run(fl_job *j);
void fl_job_pack(fl_job *j);  // in[1] again, as after an optimizer's step
void fl_job_free(fl_job *j);  // NULL is allowed

#ifdef __cplusplus
}
#endif

#endif
