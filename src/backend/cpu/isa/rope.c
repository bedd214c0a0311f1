/* rope - rotary position embedding (Su et al., 2021, "RoFormer") of the first 2 x half numbers of
 * a head.
 *
 * Angles are formed and reduced in double, so that position 100000 is as exact as position 1; the
 * table of cosines and sines of a token is made once and used by all its heads. */
#include "backend/cpu/isa/flow.h"

enum { TOKENS = 16 };  // of a task

/* cos and sin of position * freq[i]. angle = q pi/2 + r, |r| <= pi/4; q chooses which of +-sin,
 * +-cos. */
static void rotations(float *cosine, float *sine, const float *freq, int64_t n, double position) {
    for (int64_t i = 0; i < n; i++) {
        const double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
        double angle = position * (double)freq[i];
        double whole = (angle * 0.63661977236758134 + shift) - shift;
        float r = (float)(angle - whole * 1.5707963267948966), z = r * r;
        int q = (int)(int64_t)whole & 3;
        float s = ((-1.958798358e-4f * z + 8.332748881e-3f) * z - 0.1666666467f) * z * r + r;
        float c = ((2.454801517e-5f * z - 1.388830353e-3f) * z + 4.166666466e-2f) * z * z -
                  0.5f * z + 1.0f;
        float a = q & 1 ? s : c, b = q & 1 ? c : s;
        cosine[i] = (q + 1) & 2 ? -a : a;
        sine[i] = q & 2 ? -b : b;
    }
}

/* Pairs (i, i + half). */
static void rotate_halves(float *y, const float *x, const float *cosine, const float *sine,
                          int64_t half) {
    FL_EACH(i, half) {
        vf a = v_get(x, i, half), b = v_get(x + half, i, half);
        vf c = v_get(cosine, i, half), s = v_get(sine, i, half);
        v_put(y, i, half, v_fma(a, c, -b * s));
        v_put(y + half, i, half, v_fma(b, c, a * s));
    }
}

/* The table for neighbours: every number twice, sines with the sign they are added with. */
static void spread(float *cosine, float *sine, int64_t half) {
    for (int64_t i = half; i-- > 0;) {
        const float c = cosine[i], s = sine[i];
        cosine[2 * i] = cosine[2 * i + 1] = c;
        sine[2 * i] = -s;
        sine[2 * i + 1] = s;
    }
}

#define PARTNER(h, j) ((j) ^ (h))

/* Pairs (2i, 2i + 1), n numbers in all. */
static void rotate_neighbours(float *y, const float *x, const float *cosine, const float *sine,
                              int64_t n) {
    FL_EACH(i, n) {
        const vf a = v_get(x, i, n), b = __builtin_shufflevector(a, a, V_ALL(PARTNER, 1));
        v_put(y, i, n, v_fma(a, v_get(cosine, i, n), b * v_get(sine, i, n)));
    }
}

static int64_t rope_tasks(const fl_call *c) {
    return ceil_div(c->in[0].dim[0] * c->in[0].dim[1], TOKENS);
}

static size_t rope_scratch(const fl_call *c) {
    return (size_t)(4 * ceil_div(c->in[0].dim[3], 16) * 16) * sizeof(float);
}

static void rope_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *x = &c->in[0], *y = &c->out[0];
    const int32_t *position = c->in[1].data;
    int64_t H = x->dim[2], D = x->dim[3], half = c->in[2].dim[0], tokens = x->dim[0] * x->dim[1];
    size_t rest = (size_t)(D - 2 * half) * sizeof(float);
    float scale = c->attr.scale != 0 ? c->attr.scale : 1, back = c->attr.inverse ? -scale : scale;
    float *cosine = scratch, *sine = cosine + 2 * half, *room = sine + 2 * half;
    for (int64_t t = begin * TOKENS; t < min_i64(end * TOKENS, tokens); t++) {
        rotations(cosine, sine, c->in[2].data, half, position[t]);
        for (int64_t i = 0; i < half; i++) {
            cosine[i] *= scale;
            sine[i] *= back;
        }
        if (c->attr.interleaved) spread(cosine, sine, half);
        for (int64_t h = 0; h < H; h++) {
            int64_t at = (t * H + h) * D;
            const float *in = flow_in(x, at, D, room);
            float *out = flow_out(y, at, room + D);
            if (c->attr.interleaved) rotate_neighbours(out, in, cosine, sine, 2 * half);
            else rotate_halves(out, in, cosine, sine, half);
            if (rest && out != in) memcpy(out + 2 * half, in + 2 * half, rest);
            flow_done(y, at, D, out);
        }
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_rope) = {.phase = {{rope_tasks, rope_run}},
                                               .supports = flow_floats_and_indices,
                                               .scratch = rope_scratch};
