/* route - which experts a token goes to, and how much each counts.
 *
 *   s = softmax(logits) or sigmoid(logits)
 *   chosen: the k with the largest s + bias, among the best groups where there are groups; of
 * equals the one with the lower id weights = scale s[chosen] / (sum of s[chosen], if normalised,
 * else 1)
 *
 * Softmax, normalised, is Mixtral's router, and gpt-oss's softmax over the chosen logits, which is
 * the same number. Sigmoid with bias and groups by their two best is DeepSeek-V3's (2024, eq. 12 to
 * 16); the bias only chooses, so no gradient goes to it. */
#include "graph/rule.h"

static fl_status check_routing(const fl_call *c, const char *op, fl_err *err) {
    const fl_routing *r = &c->attr.routing;
    const int64_t E = fl_tensor_cols(&c->in[0]), groups = r->n_groups ? r->n_groups : 1;
    FLI_WANT(groups > 0 && E % groups == 0, c, op, "groups must divide the experts", err);
    FLI_WANT(!r->n_groups || (r->groups_chosen > 0 && r->groups_chosen <= groups), c, op,
             "groups chosen must be 1 to all groups", err);
    FLI_WANT(!r->group_pair || E / groups >= 2, c, op, "a group needs two experts", err);
    const int64_t open = r->n_groups ? E / groups * r->groups_chosen : E;
    FLI_WANT(r->n_chosen > 0 && r->n_chosen <= open, c, op,
             "experts chosen must be 1 to all that may be", err);
    return FL_OK;
}

static fl_status route_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "route", err);
    FL_TRY(check_routing(c, "route", err));
    const fl_tensor *logits = &c->in[0];
    FLI_WANT(!fli_present(c, 1) ||
                 (c->in[1].rank == 1 && c->in[1].dim[0] == fl_tensor_cols(logits)),
             c, "route", "bias must be (E)", err);
    fl_tensor chosen = *logits;
    chosen.dim[chosen.rank - 1] = c->attr.routing.n_chosen;
    fli_out_like(c, 0, &chosen, fli_wide(logits->dtype));
    fli_out_like(c, 1, &chosen, FL_I32);
    return FL_OK;
}

static void route_grad(fl_grad *d) {
    const fl_val in[] = {d->in[0], d->out[1], d->dout[0]};
    if (d->want[0]) d->din[0] = fl_apply(d->g, FL_OP_ROUTE_GRAD, d->attr, 3, in);
}

static bool route_sample(int i, fl_sample *s) {
    static const struct {
        int64_t rows, experts;
        bool bias;
        fl_routing how;
    } cases[] = {
        {1, 1, false, {.n_chosen = 1}},
        {5, 8, false, {.n_chosen = 2, .normalise = true}},
        {3, 17, false, {.n_chosen = 4}},
        {9, 60, false, {.n_chosen = 4, .scale = 2.5f}},
        {300, 128, false, {.n_chosen = 8, .normalise = true}},
        {4, 32, true, {.n_chosen = 4, .normalise = true}},
        {7, 12, false, {.n_chosen = 3, .n_groups = 4, .groups_chosen = 2}},
        {6,
         32,
         true,
         {.n_chosen = 4,
          .n_groups = 8,
          .groups_chosen = 3,
          .sigmoid = true,
          .group_pair = true,
          .normalise = true,
          .scale = 2.5f}},
        {5, 24, true, {.n_chosen = 24, .sigmoid = true}},
    };
    if (i >= FLI_COUNT(cases)) return false;
    const int64_t E = cases[i].experts;
    *s = (fl_sample){.call = {.n_in = cases[i].bias ? 2 : 1,
                              .in = {FLI_T(FL_F32, cases[i].rows, E), FLI_T(FL_F32, E)},
                              .attr = {.routing = cases[i].how}}};
    return true;
}

const fl_op fl_op_route = {
    .name = "route",
    .min_in = 1,
    .max_in = 2,
    .n_out = 2,
    .shape = route_shape,
    .grad = route_grad,
    .sample = route_sample,
    .tolerance_ppm = 3,
};

static fl_status route_grad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 1u << 1, "route_grad", err);
    FL_TRY(check_routing(c, "route_grad", err));
    const fl_tensor *logits = &c->in[0], *ids = &c->in[1], *dweights = &c->in[2];
    FLI_WANT(fl_tensor_rows(ids) == fl_tensor_rows(logits) &&
                 fl_tensor_cols(ids) == c->attr.routing.n_chosen,
             c, "route_grad", "ids must be (.., k)", err);
    FLI_WANT(fl_tensor_same_shape(ids, dweights), c, "route_grad",
             "ids and dweights must have one shape", err);
    fli_out_like(c, 0, logits, fli_wide(logits->dtype));
    return FL_OK;
}

static fl_status route_grad_values(const fl_call *c, fl_err *err) {
    return fli_check_range(c, 1, 0, fl_tensor_cols(&c->in[0]), "route_grad", err);
}

static bool route_grad_sample(int i, fl_sample *s) {
    if (!route_sample(i, s)) return false;
    fl_call *c = &s->call;
    const int64_t rows = c->in[0].dim[0], k = c->attr.routing.n_chosen;
    c->n_in = 3;
    c->in[1] = FLI_T(FL_I32, rows, k);
    c->in[2] = FLI_T(FL_F32, rows, k);
    s->int_below[1] = fl_tensor_cols(&c->in[0]);
    return true;
}

const fl_op fl_op_route_grad = {
    .name = "route_grad",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape = route_grad_shape,
    .values = route_grad_values,
    .sample = route_grad_sample,
    .tolerance_ppm = 5,
};
