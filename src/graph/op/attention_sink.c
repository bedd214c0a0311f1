/* attention_sink - the gradient of attention's sinks.
 *
 * A sink of head h takes p = exp(sink[h] - lse) of a query's softmax and gives nothing, so it moves
 * o by -p o:
 *   dsink[h] = -sum over all queries of p (do . o) */
#include "graph/rule.h"

enum { DO, O, LSE, SINK };

static fl_status attention_sink_grad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "attention_sink_grad", err);
    const fl_tensor *o = &c->in[O], *lse = &c->in[LSE], *sink = &c->in[SINK];
    FLI_WANT(o->rank == 4 && fl_tensor_same_shape(o, &c->in[DO]), c, "attention_sink_grad",
             "do and o must be (B, T, H, D)", err);
    FLI_WANT(lse->rank == 3 && lse->dim[0] == o->dim[0] && lse->dim[1] == o->dim[2] &&
                 lse->dim[2] == o->dim[1],
             c, "attention_sink_grad", "lse must be (B, H, T)", err);
    FLI_WANT(sink->rank == 1 && sink->dim[0] == o->dim[2], c, "attention_sink_grad",
             "sink must be (H)", err);
    fli_out_like(c, 0, sink, fli_wide(o->dtype));
    return FL_OK;
}

/* One query, heads that are not whole vectors, several tasks of a head. */
static bool attention_sink_grad_sample(int i, fl_sample *s) {
    static const int64_t cases[][4] = {{1, 1, 1, 2}, {2, 7, 3, 6}, {3, 70, 4, 72}, {1, 700, 2, 16}};
    if (i >= FLI_COUNT(cases)) return false;
    const int64_t *n = cases[i];
    const fl_tensor o = FLI_T(FL_F32, n[0], n[1], n[2], n[3]);
    *s = (fl_sample){
        .call = {.n_in = 4, .in = {o, o, FLI_T(FL_F32, n[0], n[2], n[1]), FLI_T(FL_F32, n[2])}}};
    return true;
}

const fl_op fl_op_attention_sink_grad = {
    .name = "attention_sink_grad",
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .shape = attention_sink_grad_shape,
    .sample = attention_sink_grad_sample,
    .accumulates = {true},
    .mix = {{3, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 30,  // bf16 operands, but f32 sums and an f32 result
};
