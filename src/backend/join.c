/* join.c - products of one input (q, k and v; gate and up) that run as one job.
 *
 * Handing a job to the pool and waiting for the last worker costs microseconds, and as long as the
 * slowest task; a small model decodes a token in hundreds of such jobs. The tasks of joined steps
 * are those they have alone, so the results are too; but what weights of one format want of the
 * input is made once. */
#include "backend/plan.h"

static bool is_product(const fli_plan *p, const fli_step *s) {
    const fl_op_id op = fli_step_node(p, s)->op;
    return (op == FL_OP_LINEAR || op == FL_OP_EXPERT_LINEAR) && s->kernel && !s->kernel->rounds &&
           s->onto[0] < 0;
}

/* s may run beside the `n` products from `first` on. */
static bool joins(const fli_plan *p, const fli_step *first, int n, const fli_step *s) {
    if (!is_product(p, s) || s->in[0] != first->in[0]) return false;
    for (int i = 0; i < n; i++) {
        for (int k = 1; k < s->call.n_in; k++)
            if (s->in[k] == first[i].out[0]) return false;
    }
    return true;
}

/* By one of the `n` steps from `first` on, if it does for s as well. */
static void share_x(const fli_step *first, int n, fli_step *s) {
    for (int i = 0; i < n && s->kernel->prepares_x && !s->prepared; i++) {
        const fli_step *by = &first[i];
        if (by->kernel != s->kernel || by->call.in[1].dtype != s->call.in[1].dtype) continue;
        s->workspace = by->workspace;
        s->prepared = true;
    }
}

void fli_join(fli_plan *p) {
    for (int i = 0; i < p->n_steps; i += p->step[i].job) {
        fli_step *s = &p->step[i];
        s->job = 1;
        while (is_product(p, s) && i + s->job < p->n_steps && joins(p, s, s->job, s + s->job)) {
            share_x(s, s->job, s + s->job);
            (s + s->job++)->job = 0;
        }
    }
}
