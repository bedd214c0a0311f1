/* math.h - exp, log, tanh, erfc of a vector of floats, each within about 2 units in the last place.
 *
 * Coefficients were fitted here by minimax on the reduced range. NaN comes out as NaN. */
#ifndef FL_BACKEND_CPU_ISA_MATH_H
#define FL_BACKEND_CPU_ISA_MATH_H

#include "base/simd.h"

/* x = n ln 2 + r, |r| <= ln 2 / 2; e^x = 2^n e^r. ln 2 in two parts so that r is exact. */
FL_INLINE vf v_exp(vf x) {
    vf clamped = v_min(v_set(89.0f), v_max(v_set(-104.0f), x));
    vf n = v_round(clamped * 1.44269504f);
    vf r = v_fma(n, v_set(-0.693145752f), clamped);
    r = v_fma(n, v_set(-1.42860677e-6f), r);
    vf p = v_set(0.001394111521f);
    p = v_fma(p, r, v_set(0.00836317636f));
    p = v_fma(p, r, v_set(0.04166637523f));
    p = v_fma(p, r, v_set(0.16666577f));
    p = v_fma(p, r, v_set(0.5000000027f));
    p = v_fma(p, r * r, r + 1.0f);
    return v_scalef(p, n);
}

/* x = 2^e m, m in [sqrt 1/2, sqrt 2); log m = 2 artanh s with s = (m - 1) / (m + 1), |s| <
 * 0.1716. */
FL_INLINE vf v_log(vf x) {
    vm tiny = v_lt(x, v_set(1.17549435e-38f));
    vi bits = (vi)v_select(tiny, x * 8388608.0f, x);
    vi e = (bits - 0x3f3504f3) >> 23;
    vf m = (vf)(bits - (e << 23));
    vf exponent = __builtin_convertvector(e, vf) - v_select(tiny, v_set(23.0f), v_set(0.0f));
    vf s = (m - 1.0f) / (m + 1.0f), z = s * s;
    vf p = v_fma(z, v_set(2.0f / 9), v_set(2.0f / 7));
    p = v_fma(z, p, v_set(2.0f / 5));
    p = v_fma(z, p, v_set(2.0f / 3));
    p = v_fma(s * z, p, s + s);
    p = v_fma(exponent, v_set(0.693147181f), p);
    p = v_select(v_lt(v_set(3.4028234e38f), x), x, p);  // inf
    p = v_select(v_lt(x, v_set(0.0f)), v_set(NAN), p);
    return v_select(v_lt(v_abs(x), v_set(1e-45f)), v_set(-INFINITY), p + (x - x));
}

/* 2^x: to 5e-6, which is ample for what becomes bf16, or to 2e-7. Very negative x gives 0. */
FL_INLINE vf v_exp2(vf x, const bool rough) {
#if !defined(__AVX512F__)
    vm gone = v_lt(x, v_set(-126.0f));
    x = v_max(v_set(-126.0f), x);
#endif
    vf n = v_round(x), r = x - n, p;
    if (rough) {
        p = v_fma(v_set(0.009676042372f), r, v_set(0.05583833277f));
        p = v_fma(p, r, v_set(0.2402216765f));
        p = v_fma(p, r, v_set(0.6931367277f));
    } else {
        p = v_fma(v_set(0.001340043608f), r, v_set(0.009666372954f));
        p = v_fma(p, r, v_set(0.05550333182f));
        p = v_fma(p, r, v_set(0.2402234895f));
        p = v_fma(p, r, v_set(0.6931471955f));
    }
    p = v_scalef(v_fma(p, r, v_set(1.0f)), n);
#if !defined(__AVX512F__)
    p = v_select(gone, v_set(0.0f), p);
#endif
    return p;
}

/* 1 / (1 + 2^-t), t = x / ln 2: absolute error 2e-7. Clamped to where 2^t is a float. */
FL_INLINE vf v_sigmoid(vf x) {
    vf t = v_min(v_set(120.0f), v_max(v_set(-120.0f), -1.44269504f * x));
    return v_recip(1.0f + v_exp2(t, false));
}

/* A polynomial near zero, where 1 - 2 / (e^2x + 1) would cancel. */
FL_INLINE vf v_tanh(vf x) {
    vf z = x * x, a = v_abs(x);
    vf p = v_set(-0.006113196355f);
    p = v_fma(p, z, v_set(0.0210100856f));
    p = v_fma(p, z, v_set(-0.05385407096f));
    p = v_fma(p, z, v_set(0.1333279456f));
    p = v_fma(p, z, v_set(-0.3333332925f));
    p = v_fma(p * z, x, x);
    vf far = v_fma(v_set(-2.0f), v_recip(v_exp(v_min(v_set(30.0f), a + a)) + 1.0f), v_set(1.0f));
    far = v_select(v_lt(x, v_set(0.0f)), -far, far);
    return v_select(v_lt(a, v_set(0.625f)), p, far);
}

/* erfc(x) for x >= 0: t exp(-x^2 + P(t)), t = 1 / (1 + x / 2). Relative error 2e-7 wherever it is
 * not tiny. */
FL_INLINE vf v_erfc_positive(vf x) {
    vf t = v_recip(v_fma(v_min(v_set(1e6f), x), v_set(0.5f), v_set(1.0f)));
    vf p = v_set(0.1539512673f);
    p = v_fma(p, t, v_set(-0.7301441621f));
    p = v_fma(p, t, v_set(1.273261896f));
    p = v_fma(p, t, v_set(-0.8520010548f));
    p = v_fma(p, t, v_set(0.04907938255f));
    p = v_fma(p, t, v_set(-0.0677276072f));
    p = v_fma(p, t, v_set(0.05814365496f));
    p = v_fma(p, t, v_set(0.3817057153f));
    p = v_fma(p, t, v_set(0.9992071341f));
    p = v_fma(p, t, v_set(-1.265476172f));
    return t * v_exp(v_fma(-x, x, p));
}

/* The normal distribution function, from the tail on its own side so that neither end cancels. */
FL_INLINE vf v_normal_cdf(vf x) {
    vf tail = 0.5f * v_erfc_positive(v_abs(x) * 0.707106781f);
    return v_select(v_lt(x, v_set(0.0f)), tail, 1.0f - tail);
}

#endif
