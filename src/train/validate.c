/* validate - the objective and bits per byte over held-out text, always from its beginning. */
#include <math.h>

#include "train/trainer.h"

typedef struct {
    double sum, count, nll, n_targets, n_bytes;
} totals;

static fl_status add_batch(fl_stepper *s, const fl_objective *objective, const fl_batch *b, totals *t,
                           fl_err *err) {
    double sum, nll;
    FL_TRY(fl_stepper_score(s, b, &sum, &nll, err));
    t->sum += sum;
    t->nll += nll;
    t->count += objective->count(b);
    t->n_targets += b->n_targets;
    t->n_bytes += b->n_bytes;
    return FL_OK;
}

fl_status fl_validate(fl_stepper *s, const fl_objective *objective, fl_source *val, fl_batch *b,
                      double most_tokens, fl_val_score *out, fl_err *err) {
    totals t = {0};
    json_t *start = json_pack("{si}", "row", 0);
    fl_status st = start ? val->row->seek(val, start, err) : fl_fail(err, FL_ERR_NOMEM, "validation");
    json_decref(start);
    while (st == FL_OK && (most_tokens <= 0 || t.n_targets < most_tokens)) {
        st = val->row->next(val, b, err);
        if (st != FL_OK || b->n_targets == 0) break;
        st = add_batch(s, objective, b, &t, err);
    }
    if (st != FL_OK) return fl_context(err, st, "validation");
    if (t.count <= 0) return fl_fail(err, FL_ERR_ARG, "validation: the held-out text is empty");
    *out = (fl_val_score){.loss = t.sum / t.count,
                          .nll = t.nll / t.n_targets,
                          .bits_per_byte = t.n_bytes > 0 ? t.nll / log(2) / t.n_bytes : NAN,
                          .n_targets = t.n_targets,
                          .n_bytes = t.n_bytes};
    return FL_OK;
}
