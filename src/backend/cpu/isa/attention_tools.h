/* attention_tools.h - visibility, and moving tiles between the tensors and the engines' layouts. */
#ifndef FL_BACKEND_CPU_ISA_ATTENTION_TOOLS_H
#define FL_BACKEND_CPU_ISA_ATTENTION_TOOLS_H

#include "backend/cpu/isa/attention.h"
#include "backend/cpu/isa/cache.h"
#include "backend/cpu/isa/math.h"

/* bf16 engines exist where there is an instruction for them. */
#if defined(__AVX512BF16__)
enum { FL_HAS_PAIRS = 1 };
#else
enum { FL_HAS_PAIRS = 0 };
#endif

FL_INLINE int64_t padded(int64_t n) {
    return ceil_div(n, FLI_PAD) * FLI_PAD;
}

/* Inputs of the call: q, k, v from q_at on; segment and start where they are, or -1; a table of
 * pages and sinks after start. */
static inline fli_attention attention_of(const fl_call *c, int q_at, int segment_at, int start_at) {
    const fl_tensor *q = &c->in[q_at], *k = q + 1;
    fli_attention p = {q, k, k + 1, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 0, 0};
    p.B = q->dim[0], p.T = q->dim[1], p.H = q->dim[2], p.D = q->dim[3];
    p.S = k->dim[1], p.K = k->dim[2];
    p.causal = c->attr.causal, p.window = c->attr.window;
    p.scale = c->attr.scale, p.cap = c->attr.softcap;
    if (segment_at < c->n_in && c->in[segment_at].rank)
        p.segment = (const int32_t *)c->in[segment_at].data;
    if (start_at >= 0 && start_at < c->n_in && c->in[start_at].rank)
        p.start = (const int32_t *)c->in[start_at].data;
    if (start_at >= 0 && start_at + 1 < c->n_in && c->in[start_at + 1].rank) {
        p.table = &c->in[start_at + 1];
        p.S *= p.table->dim[1];
    }
    if (start_at >= 0 && start_at + 2 < c->n_in && c->in[start_at + 2].rank)
        p.sink = (const float *)c->in[start_at + 2].data;
    p.G = p.H / p.K;
    p.DP = padded(p.D);
    if (p.scale == 0) p.scale = 1.0f / sqrtf((float)p.D);
    return p;
}

/* A softmax before its first key: the largest score, in powers of two, and the sum of
 * 2^(score - max). */
typedef struct {
    float max, sum;
} softmax_start;

/* Nothing yet, or the sink of the head, whose value is zero. */
FL_INLINE softmax_start softmax_start_of(const fli_attention *p, int64_t head, float nothing) {
    if (!p->sink) return (softmax_start){nothing, 0};
    float sink = 1.44269504f * p->sink[head];
    return (softmax_start){sink < nothing ? nothing : sink, 1};
}

/* do . o of one query and head, whose D numbers begin at `at`; `room` for 2 FL_PIECE floats. */
enum { FL_PIECE = 64 };
static inline float delta_at(const fl_tensor *dout, const fl_tensor *o, int64_t at, float *room) {
    float sum = 0;
    for (int64_t d = 0, n, D = o->dim[3]; d < D; d += n) {
        n = min_i64(FL_PIECE, D - d);
        const float *x = flow_in(dout, at + d, n, room),
                    *y = flow_in(o, at + d, n, room + FL_PIECE);
        vf s = {0};
        FL_EACH(i, n) s = v_fma(v_get(x, i, n), v_get(y, i, n), s);
        sum += v_sum(s);
    }
    return sum;
}

/* ---- visibility ---- */

typedef enum { SEES_NONE, SEES_SOME, SEES_ALL } sight;

static inline sight segment_sight(const int32_t *segment, int64_t q0, int64_t q1, int64_t k0,
                                  int64_t k1) {
    int32_t q_min = segment[q0], q_max = q_min, k_min = segment[k0], k_max = k_min;
    for (int64_t i = q0; i < q1; i++) {
        q_min = segment[i] < q_min ? segment[i] : q_min;
        q_max = segment[i] > q_max ? segment[i] : q_max;
    }
    for (int64_t i = k0; i < k1; i++) {
        k_min = segment[i] < k_min ? segment[i] : k_min;
        k_max = segment[i] > k_max ? segment[i] : k_max;
    }
    if (q_max < k_min || k_max < q_min) return SEES_NONE;
    return q_min == q_max && k_min == k_max ? SEES_ALL : SEES_SOME;
}

/* What queries [q0, q0 + nq) of row b see of keys [k0, k0 + nk): a bound that is exact except for
 * segments. */
static inline sight attention_sight(const fli_attention *p, int64_t b, int64_t q0, int64_t nq,
                                    int64_t k0,
                                    int64_t nk) {  // lint: allow args
    int64_t q1 = min_i64(q0 + nq, p->T), k1 = min_i64(k0 + nk, p->S),
            shift = p->start ? p->start[b] : 0;
    if (q0 >= q1 || k0 >= k1) return SEES_NONE;
    int64_t first = shift + q0, last = shift + q1 - 1;
    if (p->causal && k0 > last) return SEES_NONE;
    if (p->window && first - (k1 - 1) >= p->window) return SEES_NONE;
    sight s = p->segment ? segment_sight(p->segment + b * p->T, q0, q1, k0, k1) : SEES_ALL;
    if (s != SEES_ALL) return s;
    bool all = k0 + nk <= p->S && !(p->causal && k1 - 1 > first) &&
               !(p->window && last - k0 >= p->window);
    return all ? SEES_ALL : SEES_SOME;
}

/* FL_LANES queries as vectors, to ask of each key which of them see it. */
typedef struct {
    vi position, segment;
} viewers;

FL_INLINE viewers viewers_at(const fli_attention *p, int64_t b, int64_t q) {
    int32_t position[FL_LANES], segment[FL_LANES] = {0};
    int64_t shift = p->start ? p->start[b] : 0;
    for (int i = 0; i < FL_LANES; i++) {
        position[i] = (int32_t)(shift + q + i);
        if (p->segment && q + i < p->T) segment[i] = p->segment[b * p->T + q + i];
    }
    viewers v;
    memcpy(&v.position, position, sizeof v.position);
    memcpy(&v.segment, segment, sizeof v.segment);
    return v;
}

FL_INLINE vf hide_unseen(const fli_attention *p, int64_t b, viewers who, int64_t key, vf score,
                         float hidden) {
    const vf none = v_set(hidden);
    if (key >= p->S) return none;
    int32_t s = (int32_t)key;
    if (p->causal) score = v_select(v_lti(who.position, v_seti(s)), none, score);
    if (p->window)
        score = v_select(v_lti(who.position, v_seti(s + (int32_t)p->window)), score, none);
    if (p->segment)
        score = v_select(v_eqi(who.segment, v_seti(p->segment[b * p->T + s])), score, none);
    return score;
}

/* ---- layouts ---- */

/* dst (m, n) = transposed src (n, m) of 32-bit words, both multiples of 16. */
static inline void transpose_words(float *dst, int64_t ldd, const float *src, int64_t lds,
                                   int64_t n, int64_t m) {
    for (int64_t i = 0; i < n; i += FL_LANES) {
        for (int64_t j = 0; j < m; j += FL_LANES) {
            vf r[FL_LANES];
            for (int k = 0; k < FL_LANES; k++) r[k] = v_load(src + (i + k) * lds + j);
            v_transpose(r);
            for (int k = 0; k < FL_LANES; k++) v_store(dst + (j + k) * ldd + i, r[k]);
        }
    }
}

static inline void widen_row(float *to, const fl_tensor *t, int64_t at, int64_t n) {
    const float *from = cache_in(t, at, n, to);
    if (from != to) memcpy(to, from, (size_t)n * sizeof *to);
}

static inline void narrow_row(uint16_t *to, const fl_tensor *t, int64_t at, int64_t n) {
    float room[64];
    for (int64_t i = 0; i < n; i += 64) {
        const int64_t len = min_i64(64, n - i);
        narrow(to + i, cache_in(t, at + i, len, room), len);
    }
}

/* n rows from `row` on of one head of t (.., rows, heads, D) as A: (n_padded, DP) elements of
 * `pair`'s format. */
static inline void pack_run(void *dst, int64_t pair, const fl_tensor *t, int64_t head, int64_t row,
                            int64_t n, int64_t n_padded) {  // lint: allow args
    int64_t heads = t->dim[2], D = t->dim[3], DP = padded(D);
    for (int64_t i = 0; i < n_padded; i++) {
        char *to = (char *)dst + (size_t)(i * DP) * (pair == 2 ? 2 : 4);
        int64_t have = i < n ? D : 0, at = ((row + i) * heads + head) * D;
        size_t size = pair == 2 ? sizeof(uint16_t) : sizeof(float);
        if (have && t->dtype == (pair == 2 ? FL_BF16 : FL_F32))
            memcpy(to, (char *)t->data + (size_t)at * size, (size_t)D * size);
        else if (have && pair == 1) widen_row((float *)(void *)to, t, at, D);
        else if (have) narrow_row((uint16_t *)(void *)to, t, at, D);
        if (have < DP) memset(to + (size_t)have * size, 0, (size_t)(DP - have) * size);
    }
}

/* Rows [row, row + n) of row b of the batch. */
static inline void pack_rows(void *dst, int64_t pair, const fl_tensor *t, int64_t b, int64_t head,
                             int64_t row, int64_t n, int64_t n_padded) {  // lint: allow args
    pack_run(dst, pair, t, head, b * t->dim[1] + row, n, n_padded);
}

/* The same of a cache that may lie in pages; row is a multiple of FL_PAGE_STEP. */
static inline void pack_keys(void *dst, int64_t pair, const fli_attention *p, const fl_tensor *t,
                             int64_t b, int64_t head, int64_t row, int64_t n, int64_t n_padded) {
    size_t bytes = (size_t)(padded(t->dim[3])) * (pair == 2 ? 2 : 4);  // lint: allow args
    for (int64_t i = 0; i < n_padded; i += FL_PAGE_STEP) {
        int64_t have = max_i64(0, min_i64(FL_PAGE_STEP, n - i));
        int64_t at = have ? cache_row(t, p->table, b, row + i) : 0;
        pack_run((char *)dst + (size_t)i * bytes, pair, t, head, at, have, FL_PAGE_STEP);
    }
}

/* B for products along channels, (DP / pair, n) groups, from packed rows (n, DP): whole words are
 * transposed. */
FL_INLINE void pack_along_channels(void *dst, int64_t pair, const void *rows, int64_t n,
                                   int64_t DP) {
    transpose_words((float *)dst, n, (const float *)rows, DP / pair, n, DP / pair);
}

/* B for products along rows, (n / pair, DP) groups, from packed rows (n, DP). */
static inline void pack_along_rows(void *dst, int64_t pair, const void *rows, int64_t n,
                                   int64_t DP) {
    if (pair == 1) {
        memcpy(dst, rows, (size_t)(n * DP) * sizeof(float));
        return;
    }
    uint16_t *to = (uint16_t *)dst;
    const uint16_t *from = (const uint16_t *)rows;
    for (int64_t i = 0; i < n; i += 2, from += 2 * DP, to += 2 * DP) {
        for (int64_t j = 0; j < DP; j += FL_LANES) {
            vu low = (vu)v_load_bf16(from + j) >> 16, high = (vu)v_load_bf16(from + DP + j);
            vf both = (vf)(low | high);
            memcpy(to + 2 * j, &both, sizeof both);
        }
    }
}

/* A with channels for rows, (DP, n), from packed rows (n, DP); `room` as large. */
static inline void pack_columns(void *dst, int64_t pair, const void *rows, int64_t n, int64_t DP,
                                void *room) {
    const void *paired = rows;
    if (pair == 2) {
        pack_along_rows(room, pair, rows, n, DP);
        paired = room;
    }
    transpose_words((float *)dst, n / pair, (const float *)paired, DP, n / pair, DP);
}

/* Two rows of f32 as one row of bf16 pairs, or of bf16 each. */
#if defined(__AVX512BF16__)
FL_INLINE void store_pairs(uint16_t *dst, vf even, vf odd) {
    static const uint16_t zip[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
    _mm512_storeu_si512(dst, _mm512_permutexvar_epi16(_mm512_loadu_si512(zip), both));
}
#else
FL_INLINE void store_pairs(uint16_t *dst, vf even, vf odd) {
    (void)dst, (void)even, (void)odd;
}
#endif

/* Carve `bytes` from *at, on a cache line; with a NULL base this only counts. */
FL_INLINE void *carve(char *base, size_t *at, size_t bytes) {
    size_t here = *at;
    *at += (bytes + 63) / 64 * 64;
    return base ? base + here : NULL;
}

#endif
