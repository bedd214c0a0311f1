/* softmax - over the last dim, in f32: for sampling and reports. Training goes through linear_ce
 * and attention, which keep their own; that is why there is no gradient rule. */
#include "graph/rule.h"

static fl_status softmax_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 0, "softmax", err);
    fli_out_like(c, 0, &c->in[0], fli_wide(c->in[0].dtype));
    return FL_OK;
}

static bool softmax_sample(int i, fl_sample *s) {
    const fl_tensor x[] = {FLI_T(FL_F32, 1), FLI_T(FL_F32, 3, 7), FLI_T(FL_F32, 2, 2, 130)};
    if (i >= FLI_COUNT(x)) return false;
    *s = (fl_sample){.call = {.n_in = 1, .in = {x[i]}}};
    return true;
}

const fl_op fl_op_softmax = {
    .name = "softmax",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .shape = softmax_shape,
    .sample = softmax_sample,
    .mix = {{1, false}},
    .tolerance_ppm = 3,
    .tolerance_bf16_ppm = 3,
};
