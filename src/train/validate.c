/* validate - the objective and bits per byte over held-out text, always from its beginning. */
#include <math.h>

#include "train/trainer.h"

typedef struct {
    double sum, count, nll, n_targets, n_bytes;
} totals;

static fl_status add_batch(const fl_validation *v, totals *t, fl_err *err) {
    double sum, nll;
    FL_TRY(fl_stepper_score(v->stepper, v->batch, &sum, &nll, err));
    t->sum += sum;
    t->nll += nll;
    t->count += v->objective->count(v->batch);
    t->n_targets += v->batch->n_targets;
    t->n_bytes += v->batch->n_bytes;
    return FL_OK;
}

fl_status fl_validate(const fl_validation *v, fl_val_score *out, fl_err *err) {
    totals t = {0};
    fl_status s = v->val->row->seek(v->val, v->start, err);
    while (s == FL_OK && (v->most_tokens <= 0 || t.n_targets < v->most_tokens)) {
        s = v->val->row->next(v->val, v->batch, err);
        if (s != FL_OK || v->batch->n_targets == 0) break;
        s = add_batch(v, &t, err);
    }
    if (s != FL_OK) return fl_context(err, s, "validation");
    if (t.count <= 0) return fl_fail(err, FL_ERR_ARG, "validation: the held-out text is empty");
    *out = (fl_val_score){.loss = t.sum / t.count,
                          .nll = t.nll / t.n_targets,
                          .bits_per_byte = t.n_bytes > 0 ? t.nll / log(2) / t.n_bytes : NAN,
                          .n_targets = t.n_targets,
                          .n_bytes = t.n_bytes};
    return FL_OK;
}
