/* one_job.h - run one kernel on one call, for the checks of kernels. */
#ifndef FL_TESTS_ONE_JOB_H
#define FL_TESTS_ONE_JOB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job.h"

/* packed: weights are laid out ahead, as a program does with those that do not change. */
static inline void run(const fl_kernel *k, const fl_call *c, bool packed, fl_pool *pool) {
    fl_job *job;
    fl_err err;
    if (fl_job_new(&job, k, c, packed, pool, &err) != FL_OK) {
        printf("%s\n", err.msg);
        abort();
    }
    fl_job_run(job);
    fl_job_free(job);
}

static inline bool same(const fl_tensor *a, const fl_tensor *b) {
    return memcmp(a->data, b->data, fl_tensor_bytes(a)) == 0;
}

#endif
