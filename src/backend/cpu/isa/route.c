/* route - scores, the best experts of each row, their weights; and the way back to the logits.
 *
 * Rows are independent: a row's experts and weights have the same bytes whoever shares its
 * batch. */
#include "backend/cpu/isa/softmax.h"

static int64_t route_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->in[0]), flow_rows(fl_tensor_cols(&c->in[0])));
}

/* Logits, bias and weights in f32: few numbers, and choices should not hang on a rounding. */
static bool route_supports(const fl_call *c) {
    bool ok = c->out[0].dtype == FL_F32;
    for (int i = 0; i < c->n_in; i++) {
        ok = ok && (!c->in[i].rank || (c->in[i].dtype != FL_BF16 && flow_takes(&c->in[i], true)));
    }
    return ok;
}

/* --- choosing --- */

static void score(float *s, const float *logits, int64_t E, const fl_routing *r) {
    if (r->sigmoid) {
        FL_EACH(i, E) v_put(s, i, E, v_sigmoid(v_get(logits, i, E)));
    } else {
        softmax_row(s, logits, E);
    }
}

/* The k largest of n keys, the best first, of equals the earlier one. */
static void top(int32_t *id, int64_t k, const float *key, int64_t n) {
    int64_t have = 0;
    for (int64_t i = 0; i < n; i++) {
        if (have == k && !(key[i] > key[id[k - 1]])) continue;
        int64_t at = have < k ? have++ : k - 1;
        for (; at > 0 && key[i] > key[id[at - 1]]; at--) id[at] = id[at - 1];
        id[at] = (int32_t)i;
    }
}

static float group_key(const float *key, int64_t size, bool pair) {
    int32_t best[2];
    top(best, pair ? 2 : 1, key, size);
    return pair ? key[best[0]] + key[best[1]] : key[best[0]];
}

/* Keys of experts outside the best groups become -infinity. `group` and `id` are room. */
static void close_groups(float *key, int64_t E, const fl_routing *r, float *group, int32_t *id) {
    const int64_t size = E / r->n_groups;
    for (int64_t g = 0; g < r->n_groups; g++)
        group[g] = group_key(key + g * size, size, r->group_pair);
    top(id, r->groups_chosen, group, r->n_groups);
    for (int64_t g = 0; g < r->n_groups; g++) {
        bool open = false;
        for (int64_t j = 0; j < r->groups_chosen; j++) open |= id[j] == g;
        for (int64_t e = g * size; !open && e < (g + 1) * size; e++) key[e] = -INFINITY;
    }
}

static float factor(const fl_routing *r) {
    return r->scale != 0 ? r->scale : 1.0f;
}

static float sum_of(const float *s, const int32_t *id, int64_t k) {
    float sum = 1e-20f;
    for (int64_t j = 0; j < k; j++) sum += s[id[j]];
    return sum;
}

/* Scores, keys, groups, ids: E each. */
static size_t route_scratch(const fl_call *c) {
    return 4 * (size_t)fl_tensor_cols(&c->in[0]) * sizeof(float);
}

static void route_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_routing *r = &c->attr.routing;
    int64_t E = fl_tensor_cols(&c->in[0]), k = r->n_chosen, rows = fl_tensor_rows(&c->in[0]),
            per = flow_rows(E);
    const float *bias = c->n_in > 1 && c->in[1].rank ? c->in[1].data : NULL;
    float *s = scratch, *key = s + E, *group = key + E;
    int32_t *id = (int32_t *)(void *)(group + E);
    for (int64_t row = begin * per; row < min_i64(end * per, rows); row++) {
        score(s, (const float *)c->in[0].data + row * E, E, r);
        for (int64_t e = 0; e < E; e++) key[e] = bias ? s[e] + bias[e] : s[e];
        if (r->n_groups) close_groups(key, E, r, group, id);
        top(id, k, key, E);
        float scale = r->normalise ? factor(r) / sum_of(s, id, k) : factor(r);
        for (int64_t j = 0; j < k; j++) ((float *)c->out[0].data)[row * k + j] = scale * s[id[j]];
        if (c->out[1].rank) memcpy((int32_t *)c->out[1].data + row * k, id, (size_t)k * sizeof *id);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_route) = {.phase = {{route_tasks, route_run}},
                                                .supports = route_supports,
                                                .scratch = route_scratch};

/* --- the way back; the formulas stand in ref_experts.c --- */

static void score_grad(float *ds, const float *s, const int32_t *id, const float *dw, int64_t E,
                       const fl_routing *r) {
    int64_t k = r->n_chosen;
    float sum = r->normalise ? sum_of(s, id, k) : 1.0f, mean = 0;
    for (int64_t j = 0; j < k && r->normalise; j++) mean += dw[j] * (s[id[j]] / sum);
    memset(ds, 0, (size_t)E * sizeof *ds);
    for (int64_t j = 0; j < k; j++) ds[id[j]] += factor(r) * (dw[j] - mean) / sum;
}

static void route_grad_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_routing *r = &c->attr.routing;
    int64_t E = fl_tensor_cols(&c->in[0]), k = r->n_chosen, rows = fl_tensor_rows(&c->in[0]),
            per = flow_rows(E);
    float *s = scratch, *ds = s + E;
    for (int64_t row = begin * per; row < min_i64(end * per, rows); row++) {
        const int32_t *id = (const int32_t *)c->in[1].data + row * k;
        float *dz = (float *)c->out[0].data + row * E, inner = 0;
        score(s, (const float *)c->in[0].data + row * E, E, r);
        score_grad(ds, s, id, (const float *)c->in[2].data + row * k, E, r);
        for (int64_t e = 0; e < E && !r->sigmoid; e++) inner += ds[e] * s[e];
        for (int64_t e = 0; e < E; e++)
            dz[e] = s[e] * (r->sigmoid ? (1 - s[e]) * ds[e] : ds[e] - inner);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_route_grad) = {.phase = {{route_tasks, route_grad_run}},
                                                     .supports = route_supports,
                                                     .scratch = route_scratch};
