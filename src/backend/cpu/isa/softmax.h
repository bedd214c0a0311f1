/* softmax.h - softmax of one row in cache. */
#ifndef FL_BACKEND_CPU_ISA_SOFTMAX_H
#define FL_BACKEND_CPU_ISA_SOFTMAX_H

#include "backend/cpu/isa/flow.h"
#include "backend/cpu/isa/math.h"

static inline float largest(const float *x, int64_t n) {
    float most = x[0];
    int64_t i = 0;
    if (n >= FL_LANES) {
        vf m = v_load(x);
        for (i = FL_LANES; i + FL_LANES <= n; i += FL_LANES) m = v_max(m, v_load(x + i));
        most = v_max_all(m);
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static inline void softmax_row(float *y, const float *x, int64_t n) {
    vf most = v_set(largest(x, n)), sum = {0};
    int64_t i = 0;
    for (; i + FL_LANES <= n; i += FL_LANES) {
        vf e = v_exp(v_load(x + i) - most);
        sum += e;
        v_store(y + i, e);
    }
    float total = v_sum(sum);
    if (i < n) v_store_n(y + i, v_exp(v_load_n(x + i, n - i) - most), n - i);
    for (; i < n; i++) total += y[i];
    vf scale = v_set(1.0f / total);
    FL_EACH(j, n) v_put(y, j, n, scale * v_get(y, j, n));
}

#endif
