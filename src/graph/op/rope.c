/* rope - rotary positions (Su et al., 2021): pair i of a head turns by position * inv_freq[i].
 *
 * R = 2 x the number of frequencies are rotated, the rest of the head stays. Pairs are (i, i +
 * R/2), as Hugging Face stores weights, or (2i, 2i + 1) when attr.interleaved. attr.scale lengthens
 * what was rotated (YaRN). The gradient is the rotation back, scaled alike. */
#include "graph/rule.h"

static fl_status rope_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 2, "rope", err);
    const fl_tensor *x = &c->in[0], *position = &c->in[1], *freq = &c->in[2];
    FLI_WANT(x->rank == 4, c, "rope", "x must be (B, T, H, D)", err);
    FLI_WANT(position->rank == 2 && position->dim[0] == x->dim[0] && position->dim[1] == x->dim[1],
             c, "rope", "position must be (B, T)", err);
    FLI_WANT(freq->rank == 1 && freq->dim[0] <= x->dim[3] / 2, c, "rope",
             "inv_freq must be (R/2), R at most D", err);
    fli_out_like(c, 0, x, x->dtype);
    return FL_OK;
}

static void rope_grad(fl_grad *d) {
    fl_attr back = *d->attr;
    back.inverse = !back.inverse;
    const fl_val in[] = {d->dout[0], d->in[1], d->in[2]};
    if (d->want[0]) d->din[0] = fl_apply(d->g, FL_OP_ROPE, &back, 3, in);
}

static bool rope_sample(int i, fl_sample *s) {
    static const int64_t dims[][5] = {{1, 1, 1, 2, 1},   {2, 3, 2, 6, 3},   {1, 5, 3, 64, 32},
                                      {2, 7, 2, 48, 24}, {2, 3, 3, 80, 10}, {1, 4, 2, 24, 1},
                                      {1, 2, 2, 9, 4},   {1, 20, 1, 64, 16}};
    if (i >= 2 * FLI_COUNT(dims)) return false;
    const int64_t *n = dims[i / 2];
    *s = (fl_sample){.call = {.n_in = 3,
                              .in = {FLI_T(FL_F32, n[0], n[1], n[2], n[3]),
                                     FLI_T(FL_I32, n[0], n[1]), FLI_T(FL_F32, n[4])},
                              .attr = {.interleaved = i % 2,
                                       .inverse = i / 2 % 2,
                                       .scale = i % 3 ? 0 : 1.25f}},
                     .int_below = {[1] = 2000},
                     .positive = {[2] = true}};
    return true;
}

const fl_op fl_op_rope = {
    .name = "rope",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape = rope_shape,
    .grad = rope_grad,
    .sample = rope_sample,
    .in_place = {1},
    .mix = {{1, false}},
    .tolerance_ppm = 250,
    .tolerance_bf16_ppm = 8000,  // an f32 angle near 2000 is known to 1.2e-4
};
