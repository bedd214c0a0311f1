/* search_lanes.h - the search of search.h, compiled once for each instruction set.
 *
 * A pass tries sixteen scales (and minima) of a group at once, one in each lane: x is rounded by
 * all of them, which gives their errors and, for each, the scale and the minimum that are best for
 * these q's: a least squares problem of a few sums. The next pass tries those.
 *
 * First every group for itself: a row of candidates for the step between two q's around the one
 * that just reaches the largest element, for a few passes. Then the group scales become small
 * integers times d. Then, alternately, every group takes the best of the integers around its own,
 * which is one pass, and d and dmin are solved for with everything else fixed, as long as the error
 * falls.
 *
 * Sums go in an order that does not depend on the width of a vector, and nothing is contracted:
 * every instruction set makes the same bytes. */
#ifndef FL_TENSOR_QUANT_SEARCH_LANES_H
#define FL_TENSOR_QUANT_SEARCH_LANES_H

#include <math.h>
#include <string.h>

#include "base/simd.h"
#include "tensor/quant/search.h"

enum { TRIES = 16 };
static const float STEP = 0.2f;  // of one q, between candidates
static const float NOTHING = 1e-30f;

/* Scales and minima, one a lane. */
typedef struct {
    float scale[TRIES], min[TRIES], error[TRIES];
} tries;

/* What q can be where that is a table, and where each of them ends. */
typedef struct {
    float value[16], end[16];
} grid;

typedef struct {
    const fli_layout *f;
    const grid *table;
    const float *x, *w;  // w NULL: 1 for all
    float sum_w, sum_wx;
} group;

typedef struct {
    float scale, min;
} fit;

/* ---- a pass ---- */

typedef struct {
    bool weighted, with_min, table, solve;
} kind;

/* The nearest of what q can be: halves up in a table, to even among lo..hi. */
FL_INLINE vf v_nearest(const group *g, vf v, bool table) {
    if (!table) return v_round(v_min(v_max(v, v_set((float)g->f->lo)), v_set((float)g->f->hi)));
    vi at = v_seti(0);
    for (int step = 8; step; step /= 2)
        at += v_seti(step) & ~(vi)(v < v_pick16(g->table->end, at + (step - 1)));
    return v_pick16(g->table->value, at);
}

/* The scale and minimum of least error for q's with these weighted sums of q, q^2 and x q. */
FL_INLINE void solve_group(const group *g, vf q, vf qq, vf xq, bool with_min, float *scale,
                           float *min) {
    vf m = v_set(0);
    if (with_min) {
        const vf det = g->sum_w * qq - q * q;
        const vm both = v_lt(1e-5f * g->sum_w * qq, det);
        m = v_select(both, (q * xq - qq * g->sum_wx) / det, m);
        if (g->f->min_hi > 1) m = v_max(m, v_set(0));
    }
    v_store(min, m);
    v_store(scale, v_select(v_lt(v_set(0), qq), (xq + m * q) / qq, v_set(0)));
}

FL_INLINE void pass_of_kind(const group *g, tries *t, tries *next, kind k) {
    for (int l = 0; l < TRIES; l += FL_LANES) {
        const vf scale = v_load(t->scale + l), min = v_load(t->min + l);
        const vf inverse = v_select(v_lt(v_set(NOTHING), v_abs(scale)), 1 / scale, v_set(0));
        vf error = v_set(0), sum_q = error, sum_qq = error, sum_xq = error;
        for (int i = 0; i < g->f->group; i++) {
            const vf x = v_set(g->x[i]), shifted = k.with_min ? x + min : x;
            const vf q = v_nearest(g, shifted * inverse, k.table), off = scale * q - shifted;
            const vf wq = k.weighted ? g->w[i] * q : q;
            error += k.weighted ? g->w[i] * (off * off) : off * off;
            if (k.with_min) sum_q += wq;
            sum_qq += wq * q;
            sum_xq += wq * x;
        }
        v_store(t->error + l, error);
        if (k.solve)
            solve_group(g, sum_q, sum_qq, sum_xq, k.with_min, next->scale + l, next->min + l);
    }
}

/* The errors of t; into `next`, unless it is NULL, what is best for the q's. Each kind is compiled
 * by itself. */
static void pass(const group *g, tries *t, tries *next) {
    const bool weighted = g->w, with_min = g->f->min_hi, table = g->f->values, solve = next;
#define KIND(W, M, T, S)                                            \
    if (weighted == W && with_min == M && table == T && solve == S) \
        pass_of_kind(g, t, next, (kind){W, M, T, S});
#define KINDS(W, S) KIND(W, false, false, S) KIND(W, true, false, S) KIND(W, false, true, S)
    KINDS(false, false)
    KINDS(false, true)
    KINDS(true, false)
    KINDS(true, true)
#undef KINDS
#undef KIND
}

/* ---- one group ---- */

/* The first lane of the least error. */
static int least_of(const tries *t) {
    vf low = v_load(t->error);
    for (int l = FL_LANES; l < TRIES; l += FL_LANES) low = v_min(low, v_load(t->error + l));
    const float least = -v_max_all(-low);
    int at = 0;
    for (int i = TRIES - 1; i > 0; i--) at = t->error[i] > least ? at : i;
    return t->error[0] > least ? at : 0;
}

/* Each lane keeps the best that it comes across. */
static void settle(const group *g, tries *t, tries *best) {
    tries next[2];
    /* Two numbers take longer to agree. Looking up in a table takes long, and what the block does
     * afterwards is enough for it. */
    const int passes = g->f->min_hi ? 3 : g->f->values ? 1 : 2;
    for (int n = 0; n < passes; n++) {
        tries *to = &next[n % 2];
        pass(g, t, n + 1 < passes ? to : NULL);
        for (int l = 0; l < TRIES; l += FL_LANES) {
            const vf error = v_load(t->error + l), least = v_load(best->error + l);
            const vm better = v_lt(error, least);
            v_store(best->error + l, v_select(better, error, least));
            v_store(best->scale + l,
                    v_select(better, v_load(t->scale + l), v_load(best->scale + l)));
            v_store(best->min + l, v_select(better, v_load(t->min + l), v_load(best->min + l)));
        }
        t = to;
    }
}

static float distance(const fli_layout *f) {  // between neighbouring q's, about
    return f->values ? (float)(f->hi - f->lo) / 15 : 1;
}

/* Scales that bring `size` near the number `end` of the q's. */
static void candidates(const fli_layout *f, float size, int end, float min, tries *t) {
    const float step = STEP * distance(f);
    for (int k = 0; k < TRIES; k++) {
        t->scale[k] = size / ((float)end + step * (float)(k - TRIES / 2));
        t->min[k] = min;
    }
}

static void nothing_yet(tries *best, float min) {
    for (int k = 0; k < TRIES; k++) {
        best->scale[k] = 0;
        best->min[k] = min;
        best->error[k] = INFINITY;
    }
}

/* The least and the largest element. */
static void ends_of(const group *g, float *least, float *most) {
    vf up = v_load(g->x), down = -up;
    for (int i = FL_LANES; i < g->f->group; i += FL_LANES) {
        const vf x = v_load(g->x + i);
        up = v_max(up, x);
        down = v_max(down, -x);
    }
    *most = v_max_all(up);
    *least = -v_max_all(down);
}

/* The largest element comes to lie near either end of the q's. */
static void fit_centred(const group *g, tries *best) {
    float least, most;
    ends_of(g, &least, &most);
    if (most < -least) most = least;
    nothing_yet(best, 0);
    if (fabsf(most) < NOTHING) return;
    tries t;
    candidates(g->f, most, g->f->lo, 0, &t);
    settle(g, &t, best);
    candidates(g->f, most, g->f->hi, 0, &t);
    settle(g, &t, best);
}

static void fit_with_min(const group *g, tries *best) {
    float least, most;
    ends_of(g, &least, &most);
    if (g->f->min_hi > 1 && least > 0) least = 0;  // where a minimum cannot be negative
    nothing_yet(best, -least);
    if (most - least < NOTHING) return;
    tries t;
    candidates(g->f, most - least, g->f->hi, -least, &t);
    settle(g, &t, best);
}

/* ---- the block ---- */

/* Sums over a group go in as many lanes on every machine, and are added in pairs. */
enum { SUMS = 16 };

FL_INLINE float total(vf part[SUMS / FL_LANES]) {
    for (int w = SUMS / FL_LANES / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) part[i] += part[i + w];
    return v_sum(part[0]);
}

typedef struct {
    float error, q, qq, xq;  // weighted sums, of q, q^2 and x q
} sums;

typedef struct {
    const fli_layout *f;
    grid table;
    group at[FL_GROUPS_MAX];
    sums of[FL_GROUPS_MAX];
    float q[FL_BLOCK_MAX];
} block;

static void open_table(const int8_t *q, grid *out) {
    for (int k = 0; k < 16; k++) {
        out->value[k] = (float)q[k];
        out->end[k] = k < 15 ? (float)(q[k] + q[k + 1]) / 2 : INFINITY;
    }
}

static group open_group(const fli_layout *f, const grid *table, const float *x, const float *w) {
    vf sum[SUMS / FL_LANES], sum_x[SUMS / FL_LANES];
    for (int l = 0; l < SUMS / FL_LANES; l++) {
        sum[l] = sum_x[l] = v_set(0);
        for (int i = l * FL_LANES; i < f->group; i += SUMS) {
            const vf now = w ? v_load(w + i) : v_set(1);
            sum[l] += now;
            sum_x[l] += now * v_load(x + i);
        }
    }
    return (group){f, table, x, w, total(sum), total(sum_x)};
}

static void open_block(block *b, const fli_layout *f, const float *x, const float *w) {
    b->f = f;
    if (f->values) open_table(f->values, &b->table);
    for (int g = 0; g < f->groups; g++, x += f->group) {
        b->at[g] = open_group(f, &b->table, x, w);
        if (w) w += f->group;
    }
}

FL_INLINE void round_group(const group *g, float scale, float min, float *q, sums *out,
                           bool table) {
    const float inverse = fabsf(scale) > NOTHING ? 1 / scale : 0;
    vf error[SUMS / FL_LANES], sum_q[SUMS / FL_LANES], sum_qq[SUMS / FL_LANES],
        sum_xq[SUMS / FL_LANES];
    for (int l = 0; l < SUMS / FL_LANES; l++) {
        error[l] = sum_q[l] = sum_qq[l] = sum_xq[l] = v_set(0);
        for (int i = l * FL_LANES; i < g->f->group; i += SUMS) {
            const vf x = v_load(g->x + i), shifted = x + min;
            const vf now = v_nearest(g, shifted * inverse, table), off = scale * now - shifted;
            const vf w = g->w ? v_load(g->w + i) : v_set(1), wq = w * now;
            v_store(q + i, now);
            error[l] += w * (off * off);
            sum_q[l] += wq;
            sum_qq[l] += wq * now;
            sum_xq[l] += wq * x;
        }
    }
    *out = (sums){total(error), total(sum_q), total(sum_qq), total(sum_xq)};
}

/* Round all with the block's numbers as they are stored. Returns the error. */
static float round_block(block *b, const fli_found *t) {
    const float d = fl_f16_to_f32(t->d), dmin = fl_f16_to_f32(t->dmin);
    float error = 0;
    for (int i = 0; i < b->f->groups; i++) {
        const group *g = &b->at[i];
        const float scale = d * (float)t->scale[i], min = dmin * (float)t->min[i];
        float *q = b->q + i * b->f->group;
        if (b->f->values) round_group(g, scale, min, q, &b->of[i], true);
        else round_group(g, scale, min, q, &b->of[i], false);
        error += b->of[i].error;
    }
    return error;
}

/* d and dmin of least error for given scales, minima and q's. */
static void solve_block(const block *b, fli_found *t) {
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int g = 0; g < b->f->groups; g++) {
        const double s = t->scale[g], m = b->f->min_hi ? t->min[g] : 0;
        aa += s * s * (double)b->of[g].qq;
        ab -= s * m * (double)b->of[g].q;
        bb += m * m * (double)b->at[g].sum_w;
        ax += s * (double)b->of[g].xq;
        bx -= m * (double)b->at[g].sum_wx;
    }
    const double det = aa * bb - ab * ab;
    double dmin = (double)fl_f16_to_f32(t->dmin);
    if (det > 1e-6 * aa * bb) dmin = (aa * bx - ab * ax) / det;
    if (b->f->min_hi > 1 && dmin < 0) dmin = 0;
    if (aa > 0) t->d = fli_half_of((float)((ax - dmin * ab) / aa));
    t->dmin = fli_half_of((float)dmin);
}

/* Integers around a group's own, lo..hi. */
static void around(int own, const float *by, int lo, int hi, float *out) {
    for (int i = 0; i < TRIES; i += FL_LANES) {
        const vf v = v_load(by + i) + (float)own;
        v_store(out + i, v_min(v_max(v, v_set((float)lo)), v_set((float)hi)));
    }
}

static void times(float *out, float d, const float *v) {
    for (int i = 0; i < TRIES; i += FL_LANES) v_store(out + i, d * v_load(v + i));
}

/* Every group takes the best of the scales and minima around its own: fifteen scales, or five with
 * three minima each. */
static void choose_integers(const block *b, fli_found *t) {
    static const float alone[] = {0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8};
    static const float paired[] = {0, -1, 1, -2, 2, 0, -1, 1, -2, 2, 0, -1, 1, -2, 2, 0};
    static const float minima[] = {0, 0, 0, 0, 0, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 0};
    const fli_layout *f = b->f;
    const float d = fl_f16_to_f32(t->d), dmin = fl_f16_to_f32(t->dmin);
    for (int g = 0; g < f->groups; g++) {
        float scale[TRIES], min[TRIES];
        tries of;
        around(t->scale[g], f->min_hi ? paired : alone, f->scale_lo, f->scale_hi, scale);
        around(t->min[g], minima, 0, f->min_hi, min);
        times(of.scale, d, scale);
        times(of.min, dmin, min);
        pass(&b->at[g], &of, NULL);
        const int best = least_of(&of);
        t->scale[g] = (int)scale[best];
        t->min[g] = (int)min[best];
    }
}

/* Group scales as integers: the largest takes the end of their range. */
static void split_scales(const fli_layout *f, const fit *fits, fli_found *t) {
    float scale = 0, min = 0;
    for (int g = 0; g < f->groups; g++) {
        if (fabsf(fits[g].scale) > fabsf(scale)) scale = fits[g].scale;
        if (fabsf(fits[g].min) > fabsf(min)) min = fits[g].min;
    }
    const int end = f->scale_lo < 0 ? f->scale_lo : f->scale_hi;
    t->d = fli_half_of(scale / (float)end);
    t->dmin = f->min_hi ? fli_half_of(min / (float)f->min_hi) : 0;
    const float d = fl_f16_to_f32(t->d), dmin = fl_f16_to_f32(t->dmin);
    for (int g = 0; g < f->groups; g++) {
        t->scale[g] = fli_clamp_round(d != 0 ? fits[g].scale / d : 0, f->scale_lo, f->scale_hi);
        t->min[g] = fli_clamp_round(dmin != 0 ? fits[g].min / dmin : 0, f->min_hi == 1, f->min_hi);
    }
}

static void fit_groups(const block *b, fit *fits) {
    for (int g = 0; g < b->f->groups; g++) {
        tries best;
        (b->f->min_hi ? fit_with_min : fit_centred)(&b->at[g], &best);
        const int i = least_of(&best);
        fits[g] = (fit){best.scale[i], best.min[i]};
    }
}

static void search(fli_found *out, const fli_layout *f, const float *x, const float *weight) {
    block b;
    fit fits[FL_GROUPS_MAX];
    fli_found t;
    float best = INFINITY;
    memset(&t, 0, sizeof t);
    open_block(&b, f, x, weight);
    fit_groups(&b, fits);
    split_scales(f, fits, &t);
    const int rounds = f->min_hi ? 5 : 2;
    for (int round = 0; round < rounds; round++) {
        if (f->groups > 1) choose_integers(&b, &t);
        const float error = round_block(&b, &t);
        if (round && !(error < best)) return;
        best = error;
        for (int i = 0; i < f->groups * f->group; i++) t.q[i] = (int8_t)b.q[i];
        *out = t;
        solve_block(&b, &t);
    }
}

#endif
