/* search - scales and minima of a block with the least weighted squared error.
 *
 * First every group for itself: a row of candidates for the step between two q's around the one
 * that just reaches the largest element; for each, the q's are rounded and the best scale (and
 * minimum) for these q's is the solution of a least squares problem. Then the group scales become
 * small integers times d. Then, alternately, d and dmin are solved for with everything else fixed,
 * and every group tries the neighbouring integers, as long as the error falls. */
#include "tensor/quant/search.h"

#include <math.h>
#include <string.h>

enum { CANDIDATES = 10, SETTLE = 3, ROUNDS = 4 };
static const float STEP = 0.1f;  // of one q, between candidates
static const float NOTHING = 1e-30f;

/* Round to nearest even by pushing the fraction out of the mantissa; |v| < 2^22. */
static int round_int(float v) {
    const float shifted = v + 0x1.8p23f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

static int clamp_round(float v, int lo, int hi) {
    if (!(v > (float)lo)) return lo;
    return v >= (float)hi ? hi : round_int(v);
}

static int nearest_value(const int8_t *values, float v) {
    int a = 0, b = 15;  // values[a] <= v <= values[b], or at the end
    if (!(v > (float)values[a])) return values[a];
    if (v >= (float)values[b]) return values[b];
    while (b - a > 1) {
        const int m = (a + b) / 2;
        if (v < (float)values[m]) {
            b = m;
        } else {
            a = m;
        }
    }
    return v - (float)values[a] < (float)values[b] - v ? values[a] : values[b];
}

int fli_nearest(const fli_layout *f, float v) {
    return f->values ? nearest_value(f->values, v) : clamp_round(v, f->lo, f->hi);
}

fl_half fli_half_of(float v) {
    const float most = 65504;
    return fl_f32_to_f16(v > most ? most : v < -most ? -most : v);
}

/* ---- one group ---- */

typedef struct {
    const fli_layout *f;
    const float *x, *w;
} group;

typedef struct {
    float scale, min;
    double error;
} fit;

/* Round x to q for a given scale and minimum; returns the error. */
static double round_group(const group *g, float scale, float min, int8_t *q) {
    const float inverse = fabsf(scale) > NOTHING ? 1 / scale : 0;
    double error = 0;
    for (int i = 0; i < g->f->group; i++) {
        q[i] = (int8_t)fli_nearest(g->f, (g->x[i] + min) * inverse);
        const float off = scale * (float)q[i] - min - g->x[i];
        error += (double)(g->w[i] * off * off);
    }
    return error;
}

/* The scale and minimum of least error for given q. */
static void solve(const group *g, const int8_t *q, fit *out) {
    double w = 0, wq = 0, wqq = 0, wx = 0, wxq = 0;
    for (int i = 0; i < g->f->group; i++) {
        const double wi = (double)g->w[i], wqi = wi * q[i], x = (double)g->x[i];
        w += wi;
        wq += wqi;
        wqq += wqi * q[i];
        wx += wi * x;
        wxq += wqi * x;
    }
    const double det = w * wqq - wq * wq;
    const bool both = g->f->min_hi && det > 1e-12 * w * wqq;
    double min = both ? (wq * wxq - wqq * wx) / det : 0;
    if (g->f->min_hi > 1 && min < 0) min = 0;
    out->min = (float)min;
    out->scale = wqq > 0 ? (float)((wxq + min * wq) / wqq) : 0;
}

/* Round, solve, and keep what is better than before. */
static void settle(const group *g, float scale, float min, int rounds, fit *best) {
    int8_t q[FL_BLOCK_MAX];
    for (int i = 0; i <= rounds; i++) {
        fit now = {.scale = scale, .min = min};
        now.error = round_group(g, scale, min, q);
        if (now.error < best->error) {
            *best = now;
        } else if (i > 1) {
            return;
        }
        solve(g, q, &now);
        scale = now.scale;
        min = now.min;
    }
}

static float distance(const fli_layout *f) {  // between neighbouring q's, about
    return f->values ? (float)(f->hi - f->lo) / 15 : 1;
}

/* The largest element comes to lie near either end of the q's. */
static void fit_centred(const group *g, fit *best) {
    float most = 0;
    for (int i = 0; i < g->f->group; i++)
        if (fabsf(g->x[i]) > fabsf(most)) most = g->x[i];
    *best = (fit){.error = INFINITY};
    settle(g, 0, 0, 0, best);
    if (fabsf(most) < NOTHING) return;
    const float step = STEP * distance(g->f);
    for (int k = -CANDIDATES; k <= CANDIDATES; k++) {
        settle(g, most / ((float)g->f->lo + step * (float)k), 0, 1, best);
        settle(g, most / ((float)g->f->hi + step * (float)k), 0, 1, best);
    }
    settle(g, best->scale, 0, SETTLE, best);
}

static void fit_with_min(const group *g, fit *best) {
    float least = g->x[0], most = g->x[0];
    for (int i = 1; i < g->f->group; i++) {
        if (g->x[i] < least) least = g->x[i];
        if (g->x[i] > most) most = g->x[i];
    }
    if (g->f->min_hi > 1 && least > 0) least = 0;  // where a minimum cannot be negative
    *best = (fit){.error = INFINITY};
    settle(g, 0, -least, 0, best);
    if (most - least < NOTHING) return;
    for (int k = -CANDIDATES; k <= CANDIDATES; k++)
        settle(g, (most - least) / ((float)g->f->hi + STEP * (float)k), -least, SETTLE, best);
    settle(g, best->scale, best->min, SETTLE, best);
}

/* ---- the block ---- */

typedef struct {
    const fli_layout *f;
    const float *x, *w;
} block;

static group group_at(const block *b, int g) {
    return (group){b->f, b->x + g * b->f->group, b->w + g * b->f->group};
}

/* Round group g with the block's numbers as they are stored. */
static double round_stored(const block *b, fli_found *t, int g, int scale, int min) {
    const group at = group_at(b, g);
    return round_group(&at, fl_f16_to_f32(t->d) * (float)scale, fl_f16_to_f32(t->dmin) * (float)min,
                       t->q + g * b->f->group);
}

/* d and dmin of least error for given scales, minima and q's. */
static void solve_block(const block *b, fli_found *t) {
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int i = 0; i < b->f->groups * b->f->group; i++) {
        const int g = i / b->f->group;
        const double w = (double)b->w[i], x = (double)b->x[i];
        const double a = (double)t->scale[g] * t->q[i], m = b->f->min_hi ? -t->min[g] : 0;
        aa += w * a * a;
        ab += w * a * m;
        bb += w * m * m;
        ax += w * a * x;
        bx += w * m * x;
    }
    const double det = aa * bb - ab * ab;
    double dmin = (double)fl_f16_to_f32(t->dmin);
    if (det > 1e-12 * aa * bb) dmin = (aa * bx - ab * ax) / det;
    if (b->f->min_hi > 1 && dmin < 0) dmin = 0;
    if (aa > 0) t->d = fli_half_of((float)((ax - dmin * ab) / aa));
    t->dmin = fli_half_of((float)dmin);
}

/* Every group takes the best of its scale and minimum and their neighbours. */
static double choose_integers(const block *b, fli_found *t) {
    const fli_layout *f = b->f;
    double total = 0;
    for (int g = 0; g < f->groups; g++) {
        double best = INFINITY;
        int best_scale = t->scale[g], best_min = t->min[g];
        const int s1 = best_scale < f->scale_hi ? best_scale + 1 : f->scale_hi;
        const int m1 = best_min < f->min_hi ? best_min + 1 : f->min_hi;
        for (int s = best_scale > f->scale_lo ? best_scale - 1 : f->scale_lo; s <= s1; s++) {
            for (int m = t->min[g] > (f->min_hi == 1) ? t->min[g] - 1 : t->min[g]; m <= m1; m++) {
                const double error = round_stored(b, t, g, s, m);
                if (error >= best) continue;
                best = error;
                best_scale = s;
                best_min = m;
            }
        }
        t->scale[g] = best_scale;
        t->min[g] = best_min;
        total += round_stored(b, t, g, best_scale, best_min);
    }
    return total;
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
        t->scale[g] = clamp_round(d != 0 ? fits[g].scale / d : 0, f->scale_lo, f->scale_hi);
        t->min[g] = clamp_round(dmin != 0 ? fits[g].min / dmin : 0, f->min_hi == 1, f->min_hi);
    }
}

void fli_search(fli_found *out, const fli_layout *f, const float *x, const float *weight) {
    static const float ones[FL_BLOCK_MAX] = {
#define EIGHT      1, 1, 1, 1, 1, 1, 1, 1
#define SIXTY_FOUR EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT
        SIXTY_FOUR, SIXTY_FOUR, SIXTY_FOUR, SIXTY_FOUR};
    const block b = {f, x, weight ? weight : ones};
    fit fits[FL_GROUPS_MAX];
    for (int g = 0; g < f->groups; g++) {
        const group at = group_at(&b, g);
        (f->min_hi ? fit_with_min : fit_centred)(&at, &fits[g]);
    }
    fli_found t = {0};
    split_scales(f, fits, &t);
    double best = choose_integers(&b, &t);
    *out = t;
    for (int i = 0; i < ROUNDS; i++) {
        solve_block(&b, &t);
        const double error = choose_integers(&b, &t);
        if (error >= best) return;
        best = error;
        *out = t;
    }
}
