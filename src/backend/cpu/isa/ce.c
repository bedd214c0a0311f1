/* ce - the rows of the fused head: what softmax does to a tile of logits, at one instruction set
 * (gemm_ce.h). */
#include "backend/cpu/gemm_ce.h"
#include "backend/cpu/isa/isa.h"
#include "backend/cpu/isa/math.h"
#include "backend/cpu/whole.h"

FL_INLINE vf load_any(const void *from, fl_dtype dtype, int64_t at) {
    return dtype == FL_F32 ? v_load((const float *)from + at)
                           : v_load_bf16((const uint16_t *)from + at);
}

FL_INLINE void store_any(void *to, fl_dtype dtype, int64_t at, vf v) {
    if (dtype == FL_F32) v_store((float *)to + at, v);
    else v_store_bf16((uint16_t *)to + at, v);
}

static float row_max(const float *z, int64_t n) {
    const int64_t whole = n - n % FL_LANES;
    vf most = v_set(-INFINITY);
    for (int64_t j = 0; j < whole; j += FL_LANES) most = v_max(most, v_load(z + j));
    float max = v_max_all(most);
    for (int64_t j = whole; j < n; j++) max = z[j] > max ? z[j] : max;
    return max;
}

/* e = exp(z - max), times the slope of the cap where it is stored; returns the sum without the
 * slope. */
FL_INLINE float row_exp(const float *z, int64_t n, float max, float cap, void *e, fl_dtype dtype) {
    vf sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j += FL_LANES) {
        const vf v = v_load(z + j);
        vf p = v_exp(v - max);
        sum += p;
        if (!e) continue;
        if (cap > 0) p *= 1.0f - (v / cap) * (v / cap);
        store_any(e, dtype, j, p);
    }
    return v_sum(sum);
}

static void tile(const fli_ce *h, float *z, int64_t r0, int64_t rows, int64_t t) {
    enum { FAR_BELOW = 200 };  // exp(-FAR_BELOW) is zero: columns past the end count for nothing
    const int64_t v0 = t * FLI_CE_TILE, n = imin(FLI_CE_TILE, h->n_v - v0);
    const int64_t padded = (n + FLI_CE_PAD - 1) / FLI_CE_PAD * FLI_CE_PAD;
    for (int64_t r = r0; r < r0 + rows; r++, z += FLI_CE_TILE) {
        const float cap = h->softcap;
        for (int64_t j = 0; cap > 0 && j < n; j += FL_LANES)
            v_store(z + j, cap * v_tanh(v_load(z + j) / cap));
        const float max = row_max(z, n);
        for (int64_t j = n; j < padded; j++) z[j] = max - (float)FAR_BELOW;
        float sum;
        if (!h->e) sum = row_exp(z, padded, max, cap, NULL, FL_F32);
        else if (h->e_dtype == FL_F32)
            sum = row_exp(z, padded, max, cap, (float *)h->e + r * h->lde + v0, FL_F32);
        else sum = row_exp(z, padded, max, cap, (uint16_t *)h->e + r * h->lde + v0, FL_BF16);
        h->max[r * h->n_tiles + t] = max;
        h->sum[r * h->n_tiles + t] = sum;
        const int64_t target = h->target[r] - v0;
        if (target >= 0 && target < n) h->at_target[r] = z[target];
    }
}

static float lse(const fli_ce *h, int64_t row) {
    const float *max = h->max + row * h->n_tiles, *sum = h->sum + row * h->n_tiles;
    const float most = row_max(max, h->n_tiles);
    const int64_t whole = h->n_tiles - h->n_tiles % FL_LANES;
    vf total = v_set(0.0f);
    for (int64_t t = 0; t < whole; t += FL_LANES)
        total += v_load(sum + t) * v_exp(v_load(max + t) - most);
    float rest = v_sum(total);
    for (int64_t t = whole; t < h->n_tiles; t++) rest += sum[t] * expf(max[t] - most);
    return most + logf(rest);
}

FL_INLINE void scale(void *e, fl_dtype dtype, int64_t n, float by) {
    for (int64_t j = 0; j < n; j += FL_LANES) store_any(e, dtype, j, by * load_any(e, dtype, j));
}

/* The target's own entry is made anew: softmax - 1 may be tiny, and e was rounded. */
static void gradient(const fli_ce *h, int64_t row, int64_t v0, int64_t v1, float lse_, float g) {
    const size_t es = fl_dtype_bytes(h->e_dtype);
    char *e = (char *)h->e + (size_t)(row * h->lde) * es;
    for (int64_t v = v0, end; v < v1; v = end) {
        const int64_t t = v / FLI_CE_TILE;
        end = imin((t + 1) * FLI_CE_TILE, v1);
        const float by = g == 0 ? 0 : g * expf(h->max[row * h->n_tiles + t] - lse_);
        const int64_t n = (end - v + FLI_CE_PAD - 1) / FLI_CE_PAD * FLI_CE_PAD;
        if (h->e_dtype == FL_F32) scale(e + (size_t)v * es, FL_F32, n, by);
        else scale(e + (size_t)v * es, FL_BF16, n, by);
    }
    const int64_t target = h->target[row];
    if (target < v0 || target >= v1) return;
    const float z = h->at_target[row], u = h->softcap > 0 ? z / h->softcap : 0.0f;
    const float own = g * (expf(z - lse_) - 1.0f) * (1.0f - u * u);
    if (h->e_dtype == FL_F32) ((float *)(void *)e)[target] = own;
    else ((uint16_t *)(void *)e)[target] = fl_f32_to_bf16(own);
}

const fli_ce_rows FL_ISA_NAME(fli_ce_rows) = {tile, lse, gradient};
