/* guard - mean and deviation over two short rings, and the verdict. */
#include "train/guard.h"

#include <math.h>

/* A deviation below this share of the mean is noise of a quiet stretch, not a scale to judge by.
 * Norms of small batches double now and then; losses do not. */
static const double LEAST_OF_LOSS = 0.05, LEAST_OF_NORM = 0.25;

static int64_t filled(const fl_guard *g) {
    return g->n_seen < FL_GUARD_WINDOW ? g->n_seen : FL_GUARD_WINDOW;
}

static bool is_spike(const fl_guard *g, const double *ring, double x, double least) {
    const int64_t n = filled(g);
    double mean = 0, squares = 0;
    if (!isfinite(x)) return true;
    if (g->sigma <= 0 || n < FL_GUARD_WINDOW / 2) return false;
    for (int64_t i = 0; i < n; i++) mean += ring[i] / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (ring[i] - mean) * (ring[i] - mean) / (double)n;
    const double deviation = fmax(sqrt(squares), least * fabs(mean));
    return x > mean + g->sigma * deviation;
}

fl_guard_verdict fl_guard_judge(fl_guard *g, double loss, double grad_norm) {
    if (is_spike(g, g->loss, loss, LEAST_OF_LOSS) ||
        is_spike(g, g->norm, grad_norm, LEAST_OF_NORM)) {
        g->n_skipped++;
        g->n_in_a_row++;
        return g->n_in_a_row >= g->most ? FL_GUARD_GIVE_UP : FL_GUARD_SKIP;
    }
    g->loss[g->n_seen % FL_GUARD_WINDOW] = loss;
    g->norm[g->n_seen % FL_GUARD_WINDOW] = grad_norm;
    g->n_seen++;
    g->n_in_a_row = 0;
    return FL_GUARD_TAKE;
}

static json_t *ring_state(const fl_guard *g, const double *ring) {
    json_t *a = json_array();
    for (int64_t i = 0; a && i < filled(g); i++) {
        if (json_array_append_new(a, json_real(ring[i])) != 0) {
            json_decref(a);
            return NULL;
        }
    }
    return a;
}

json_t *fl_guard_state(const fl_guard *g) {
    return json_pack("{sIsIsIsoso}", "n_seen", (json_int_t)g->n_seen, "n_skipped",
                     (json_int_t)g->n_skipped, "n_in_a_row", (json_int_t)g->n_in_a_row, "loss",
                     ring_state(g, g->loss), "norm", ring_state(g, g->norm));
}

static fl_status ring_restore(double *ring, const json_t *a, const char *where, fl_err *err) {
    if (!json_is_array(a) || json_array_size(a) > FL_GUARD_WINDOW)
        return fl_fail(err, FL_ERR_FORMAT, "%s: guard: expected at most %d numbers", where,
                       FL_GUARD_WINDOW);
    for (size_t i = 0; i < json_array_size(a); i++)
        ring[i] = json_number_value(json_array_get(a, i));
    return FL_OK;
}

fl_status fl_guard_restore(fl_guard *g, const json_t *state, const char *where, fl_err *err) {
    fl_guard r = {.sigma = g->sigma, .most = g->most};
    FL_TRY(fl_json_int(state, "n_seen", &r.n_seen, where, err));
    FL_TRY(fl_json_int(state, "n_skipped", &r.n_skipped, where, err));
    FL_TRY(fl_json_int(state, "n_in_a_row", &r.n_in_a_row, where, err));
    if (r.n_seen < 0) return fl_fail(err, FL_ERR_FORMAT, "%s: guard: n_seen < 0", where);
    FL_TRY(ring_restore(r.loss, json_object_get(state, "loss"), where, err));
    FL_TRY(ring_restore(r.norm, json_object_get(state, "norm"), where, err));
    *g = r;
    return FL_OK;
}
