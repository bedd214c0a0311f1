/* ref_experts - routing tokens to experts, products with the chosen ones, their weighted sum; see
 * ref.c. */
#include <math.h>

#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

/* --- the router --- */

/* Scores, keys to choose by, keys of those that may be chosen, and the chosen. */
size_t fli_ref_route_scratch(const fl_call *c) {
    return 4 * (size_t)fl_tensor_cols(&c->in[0]) * sizeof(double);
}

static void scores(const fl_call *c, int64_t row, double *s) {
    const bool sigmoid = c->attr.routing.sigmoid;
    const int64_t E = fl_tensor_cols(&c->in[0]);
    double most = -INFINITY, sum = 0;
    fli_ref_row(&c->in[0], row, FL_F64, s);
    for (int64_t e = 0; e < E; e++) most = fmax(most, s[e]);
    for (int64_t e = 0; e < E; e++) {
        s[e] = sigmoid ? 1 / (1 + exp(-s[e])) : exp(s[e] - most);
        sum += s[e];
    }
    for (int64_t e = 0; e < E && !sigmoid; e++) s[e] /= sum;
}

static int64_t best(const double *key, int64_t n) {
    int64_t b = 0;
    for (int64_t i = 1; i < n; i++) b = key[i] > key[b] ? i : b;
    return b;
}

static double group_score(const double *key, int64_t size, bool pair) {
    const int64_t first = best(key, size);
    double second = -INFINITY;
    for (int64_t i = 0; i < size; i++) second = i == first ? second : fmax(second, key[i]);
    return pair ? key[first] + second : key[first];
}

/* Whether fewer groups than may be chosen are better than this one, or as good and before it. */
static bool is_open(const fl_routing *r, const double *key, int64_t E, int64_t group) {
    if (!r->n_groups) return true;
    const int64_t size = E / r->n_groups;
    const double own = group_score(key + group * size, size, r->group_pair);
    int64_t before = 0;
    for (int64_t g = 0; g < r->n_groups; g++) {
        const double other = group_score(key + g * size, size, r->group_pair);
        before += other > own || (other == own && g < group);
    }
    return before < r->groups_chosen;
}

static double factor(const fl_routing *r) {
    return r->scale != 0 ? (double)r->scale : 1;
}

static double sum_of(const double *s, const double *chosen, int64_t k) {
    double sum = 1e-20;
    for (int64_t j = 0; j < k; j++) sum += s[(int64_t)chosen[j]];
    return sum;
}

void fli_ref_route(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_routing *r = &c->attr.routing;
    const int64_t E = fl_tensor_cols(&c->in[0]), k = r->n_chosen;
    const int64_t size = r->n_groups ? E / r->n_groups : E;
    const bool biased = c->n_in > 1 && c->in[1].rank;
    double *s = scratch, *key = s + E, *open = key + E, *chosen = open + E;
    for (int64_t row = 0, rows = fl_tensor_rows(&c->in[0]); row < rows; row++) {
        scores(c, row, s);
        for (int64_t e = 0; e < E; e++) key[e] = s[e] + (biased ? fl_tensor_get(&c->in[1], e) : 0);
        for (int64_t e = 0; e < E; e++) open[e] = is_open(r, key, E, e / size) ? key[e] : -INFINITY;
        for (int64_t j = 0; j < k; j++) {
            chosen[j] = (double)best(open, E);
            open[(int64_t)chosen[j]] = -INFINITY;
        }
        const double scale = factor(r) / (r->normalise ? sum_of(s, chosen, k) : 1);
        for (int64_t j = 0; j < k; j++) {
            fli_ref_put(c, 0, row * k + j, scale * s[(int64_t)chosen[j]], false);
            fli_ref_put(c, 1, row * k + j, chosen[j], false);
        }
    }
}

/* w_j = f s_j / S, S = sum of s_j or 1:  ds_j = f (dw_j - [normalised] sum dw_l s_l / S) / S, and
 * then through the softmax, dz = s (ds - sum ds s), or the sigmoid, dz = s (1 - s) ds. */
void fli_ref_route_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_routing *r = &c->attr.routing;
    const int64_t E = fl_tensor_cols(&c->in[0]), k = r->n_chosen;
    double *s = scratch, *ds = s + E, *chosen = ds + E, *dw = chosen + E;
    for (int64_t row = 0, rows = fl_tensor_rows(&c->in[0]); row < rows; row++) {
        scores(c, row, s);
        fli_ref_row(&c->in[1], row, FL_F64, chosen);
        fli_ref_row(&c->in[2], row, FL_F64, dw);
        const double S = r->normalise ? sum_of(s, chosen, k) : 1;
        double mean = 0, inner = 0;
        for (int64_t j = 0; j < k && r->normalise; j++) mean += dw[j] * s[(int64_t)chosen[j]] / S;
        for (int64_t e = 0; e < E; e++) ds[e] = 0;
        for (int64_t j = 0; j < k; j++) ds[(int64_t)chosen[j]] += factor(r) * (dw[j] - mean) / S;
        for (int64_t e = 0; e < E && !r->sigmoid; e++) inner += ds[e] * s[e];
        for (int64_t e = 0; e < E; e++)
            fli_ref_put(c, 0, row * E + e, s[e] * (r->sigmoid ? (1 - s[e]) * ds[e] : ds[e] - inner),
                        false);
    }
}

/* --- products --- */

/* Which row of x slot i reads: its own, or the one that all choices of its row share. */
static int64_t row_of(const fl_tensor *x, int64_t slots, int64_t i) {
    return i / (slots / fl_tensor_rows(x));
}

/* Without ids, slot j of a row is expert j's. */
static int64_t expert_of(const fl_tensor *ids, int64_t E, int64_t i) {
    return ids->rank ? (int64_t)fl_tensor_get(ids, i) : i % E;
}

/* A row of each operand, and one of the result. */
size_t fli_ref_expert_linear_scratch(const fl_call *c) {
    const int64_t cols = fl_tensor_cols(&c->in[0]) + fl_tensor_cols(&c->in[1]) +
                         fl_tensor_cols(&c->out[0]);
    return (size_t)cols * sizeof(double);
}

void fli_ref_expert_linear(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *x = &c->in[0], *w = &c->in[1], *ids = &c->in[2];
    const bool has_bias = c->n_in > 3 && c->in[3].rank;
    const int64_t n = w->dim[1], k = w->dim[2];
    double *row = scratch, *weight = row + k;
    for (int64_t i = 0, slots = fl_tensor_rows(&c->out[0]); i < slots; i++) {
        const int64_t e = expert_of(ids, w->dim[0], i);
        fli_ref_x_row(c, row_of(x, slots, i), row);
        for (int64_t j = 0; j < n; j++) {
            fli_ref_row(w, e * n + j, x->dtype, weight);
            const double bias = has_bias ? fl_tensor_get(&c->in[3], e * n + j) : 0;
            fl_tensor_set(&c->out[0], i * n + j, fli_ref_dot(row, weight, k) + bias);
        }
    }
}

void fli_ref_expert_linear_dx(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *dy = &c->in[0], *w = &c->in[1], *ids = &c->in[2];
    const int64_t n = w->dim[1], k = w->dim[2];
    double *row = scratch, *weight = row + n, *dx = weight + k;
    for (int64_t i = 0, slots = fl_tensor_rows(dy); i < slots; i++) {
        fli_ref_row(dy, i, FL_F64, row);
        for (int64_t l = 0; l < k; l++) dx[l] = 0;
        for (int64_t j = 0; j < n; j++) {
            fli_ref_row(w, expert_of(ids, w->dim[0], i) * n + j, dy->dtype, weight);
            for (int64_t l = 0; l < k; l++) dx[l] += row[j] * weight[l];
        }
        for (int64_t l = 0; l < k; l++) fl_tensor_set(&c->out[0], i * k + l, dx[l]);
    }
}

void fli_ref_expert_linear_dw(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *dy = &c->in[0], *x = &c->in[1], *ids = &c->in[2];
    const int64_t n = fl_tensor_cols(dy), k = fl_tensor_cols(x);
    double *row = scratch, *dw = row + k;
    for (int64_t ej = 0; ej < c->out[0].dim[0] * n; ej++) {
        for (int64_t l = 0; l < k; l++) dw[l] = 0;
        for (int64_t i = 0, slots = fl_tensor_rows(dy); i < slots; i++) {
            if (expert_of(ids, c->out[0].dim[0], i) != ej / n) continue;
            fli_ref_row(x, row_of(x, slots, i), dy->dtype, row);
            const double d = fl_tensor_get(dy, i * n + ej % n);
            for (int64_t l = 0; l < k; l++) dw[l] += d * row[l];
        }
        for (int64_t l = 0; l < k; l++) fli_ref_put(c, 0, ej * k + l, dw[l], c->attr.accumulate);
    }
}

/* --- the sum --- */

void fli_ref_combine(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *x = &c->in[0];
    const bool weighted = c->n_in > 1 && c->in[1].rank;
    const int64_t k = x->dim[x->rank - 2], C = fl_tensor_cols(x);
    for (int64_t i = 0, n = fl_tensor_count(&c->out[0]); i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            const int64_t slot = i / C * k + j;
            const double weight = weighted ? fl_tensor_get(&c->in[1], slot) : 1;
            sum += weight * fl_tensor_get(x, slot * C + i % C);
        }
        fl_tensor_set(&c->out[0], i, sum);
    }
}

void fli_ref_combine_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *dy = &c->in[0], *x = &c->in[1];
    const bool weighted = c->n_in > 2 && c->in[2].rank;
    const int64_t k = x->dim[x->rank - 2], C = fl_tensor_cols(x);
    for (int64_t slot = 0, slots = fl_tensor_rows(x); slot < slots; slot++) {
        const double weight = weighted ? fl_tensor_get(&c->in[2], slot) : 1;
        double sum = 0;
        for (int64_t i = 0; i < C; i++) {
            const double d = fl_tensor_get(dy, slot / k * C + i);
            sum += d * fl_tensor_get(x, slot * C + i);
            fli_ref_put(c, 0, slot * C + i, weight * d, false);
        }
        fli_ref_put(c, 1, slot, sum, false);
    }
}
