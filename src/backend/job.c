/* job - one kernel run on its own: scratch for every worker, workspace, and the packed in[1]. */
#include "backend/job.h"

#include "base/alloc.h"

struct fl_job {
    const fl_kernel *kernel;
    fl_call call;
    fl_pool *pool;
    fl_buffer *scratch, *workspace, *pack;
    size_t scratch_bytes;  // of one worker
};

typedef struct {
    const fl_job *job;
    const fl_phase *phase;
} phase_run;

static void run_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    const phase_run *r = ctx;
    char *scratch = fl_buffer_data(r->job->scratch);
    r->phase->run(&r->job->call, begin, end, scratch + (size_t)worker * r->job->scratch_bytes);
}

static void pack_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    const fl_job *j = ctx;
    (void)worker;
    j->kernel->pack(&j->call, fl_buffer_data(j->pack), begin, end);
}

void fl_job_pack(fl_job *j) {
    if (!j->pack) return;
    const int64_t n = j->kernel->pack_tasks ? j->kernel->pack_tasks(&j->call) : 1;
    fl_pool_run(j->pool, n, 0, pack_tasks, j);
}

void fl_job_run(fl_job *j) {
    const int64_t rounds = j->kernel->rounds ? j->kernel->rounds(&j->call) : 1;
    for (j->call.round = 0; j->call.round < rounds; j->call.round++) {
        for (int i = 0; i < FL_MAX_PHASES && j->kernel->phase[i].run; i++) {
            phase_run r = {j, &j->kernel->phase[i]};
            fl_pool_run(j->pool, r.phase->tasks ? r.phase->tasks(&j->call) : 1, 1, run_tasks, &r);
        }
    }
}

static fl_status take(fl_job *j, bool packed, fl_err *err) {
    const fl_kernel *k = j->kernel;
    const size_t line = FL_ALIGN, workers = (size_t)fl_pool_size(j->pool);
    j->scratch_bytes = ((k->scratch ? k->scratch(&j->call) : 0) + line - 1) / line * line;
    FL_TRY(fl_buffer_new(&j->scratch, j->scratch_bytes * workers + line, err));
    if (packed && k->pack_id && k->pack_id(&j->call)) {
        FL_TRY(fl_buffer_new(&j->pack, k->pack_bytes(&j->call) + line, err));
        fl_job_pack(j);
        j->call.packed = fl_buffer_data(j->pack);
    }
    FL_TRY(fl_buffer_new(&j->workspace, (k->workspace ? k->workspace(&j->call) : 0) + line, err));
    j->call.workspace = fl_buffer_data(j->workspace);
    return FL_OK;
}

fl_status fl_job_new(fl_job **out, const fl_kernel *k, const fl_call *call, bool packed,
                     fl_pool *pool, fl_err *err) {
    fl_job *j = fl_alloc(sizeof *j);
    if (!j) return fl_fail(err, FL_ERR_NOMEM, "running a kernel");
    *j = (fl_job){.kernel = k, .call = *call, .pool = pool};
    const fl_status status = take(j, packed, err);
    if (status != FL_OK) {
        fl_job_free(j);
        return status;
    }
    *out = j;
    return FL_OK;
}

void fl_job_free(fl_job *j) {
    if (!j) return;
    fl_buffer_unref(j->scratch);
    fl_buffer_unref(j->workspace);
    fl_buffer_unref(j->pack);
    fl_dealloc(j);
}
