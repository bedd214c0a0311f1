/* resident - weights brought into memory before they are used, and kept there. */
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "model/model.h"

typedef struct {
    const fl_model *m;
    bool fits, lock;
} job;

/* All of a weight is used but for an embedding that is no head too: of that, single rows. */
static bool is_used(const fl_model *m, const fl_param *p) {
    return p->role != FL_ROLE_EMBEDDING || m->config.tie_word_embeddings;
}

/* Whether the weights can be in memory twice: as they are, and packed. */
static bool fits(const fl_model *m) {
    const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double bytes = 0;
    for (int i = 0; i < m->n_params; i++) bytes += (double)fl_tensor_bytes(&m->param[i].data);
    return 2 * bytes < memory;
}

static void settle(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const fl_param *p = &j->m->param[i];
        const size_t bytes = fl_tensor_bytes(&p->data);
        if (j->fits && is_used(j->m, p)) fl_map_want(p->data.data, bytes);
        if (j->lock) fl_memory_lock(p->data.data, bytes);
    }
}

void fl_model_want(const fl_model *m, fl_pool *pool, bool lock) {
    job j = {m, fits(m), lock};
    fl_pool_run(pool ? pool : fl_pool_default(), m->n_params, 1, settle, &j);
}
