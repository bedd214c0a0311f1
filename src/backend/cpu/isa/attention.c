/* attention - softmax(scale q k^T) v over the keys each query sees, in blocks that stay in cache.
 *
 * The online softmax of FlashAttention (Dao, 2023). A task is one key head of one row of the batch
 * and a chunk of its queries, all the query heads that share the key head together. It walks the
 * keys in blocks of KEYS; each is packed once and met by every block of LANES queries that sees any
 * of it. A query block keeps its running maximum, sum and unnormalised output (all transposed, see
 * attention.h) between key blocks. Blocks outside the causal triangle, the window or the segment
 * are skipped in steps of STEP keys. */
#include "backend/cpu/isa/attention_tools.h"

enum { KEYS = 128, STEP = FLI_PAD, LANES = 32, CHUNK = 512, VECTORS = LANES / FL_LANES };

/* In powers of two: what a hidden score counts for, below the first running maximum, below any
 * score. */
static const float HIDDEN = -2e20f, NOTHING_YET = -1e20f;

typedef struct {
    fli_attention p;
    const fli_engine *e;
    int64_t b, head, q0;  // row of the batch, key head, first query
    int64_t blocks;       // of queries, over all G heads
    size_t q_bytes;       // of one packed query block
    char *q, *k, *v, *prob, *room;
    float *score, *out, *max,
        *sum;  // score (KEYS, LANES); out (blocks, DP, LANES); max, sum (blocks, LANES)
} job;

/* Queries of a task: fewer where many heads share a key head, so that their outputs stay in
 * cache. */
static int64_t chunk_of(const fli_attention *p) {
    return min_i64(padded(p->T), max_i64(LANES, CHUNK / p->G / LANES * LANES));
}

static size_t lay_out(job *j, char *base) {
    size_t at = 0, DP = (size_t)j->p.DP, size = (size_t)j->e->bytes;
    j->blocks = chunk_of(&j->p) / LANES * j->p.G;
    j->q_bytes = DP * LANES * size;
    size_t n = (size_t)j->blocks;
    j->q = carve(base, &at, n * j->q_bytes);
    j->k = carve(base, &at, KEYS * DP * size);
    j->v = carve(base, &at, KEYS * DP * size);
    j->room = carve(base, &at, KEYS * DP * size);
    j->score = carve(base, &at, KEYS * LANES * sizeof(float));
    j->prob = carve(base, &at, KEYS * LANES * size);
    j->out = carve(base, &at, n * DP * LANES * sizeof(float));
    j->max = carve(base, &at, n * LANES * sizeof(float));
    j->sum = carve(base, &at, n * LANES * sizeof(float));
    return at;
}

/* What one unit of score is in powers of two. */
static float unit_of(const fli_attention *p) {
    return 1.44269504f * (p->cap > 0 ? 1.0f : p->scale);
}

static int64_t head_of(const job *j, int64_t block) {
    return j->head * j->p.G + block % j->p.G;
}
static int64_t query_of(const job *j, int64_t block) {
    return j->q0 + block / j->p.G * LANES;
}

static void start_blocks(job *j) {
    const fli_attention *p = &j->p;
    for (int64_t i = 0; i < j->blocks; i++) {
        int64_t q = query_of(j, i), n = max_i64(0, min_i64(LANES, p->T - q));
        pack_rows(j->room, j->e->pair, p->q, j->b, head_of(j, i), q, n, LANES);
        pack_along_channels(j->q + (size_t)i * j->q_bytes, j->e->pair, j->room, LANES, p->DP);
        const softmax_start start = softmax_start_of(p, head_of(j, i), NOTHING_YET);
        FL_EACH(k, LANES) {
            v_store(j->max + i * LANES + k, v_set(start.max));
            v_store(j->sum + i * LANES + k, v_set(start.sum));
        }
    }
    memset(j->out, 0, (size_t)(j->blocks * p->DP * LANES) * sizeof(float));
}

/* The cap, then the mask: score (n, LANES) for keys from k0 on. */
static void shape_scores(const job *j, int64_t q, int64_t k0, int64_t n) {
    const fli_attention *p = &j->p;
    const float hidden = HIDDEN / unit_of(p);
    if (p->cap > 0) {
        vf unit = v_set(p->scale / p->cap), cap = v_set(p->cap);
        FL_EACH(i, n * LANES) v_store(j->score + i, cap * v_tanh(unit * v_load(j->score + i)));
    }
    for (int64_t s = 0; s < n; s += STEP) {
        if (attention_sight(p, j->b, q, LANES, k0 + s, STEP) == SEES_ALL) continue;
        for (int v = 0; v < VECTORS; v++) {
            viewers who = viewers_at(p, j->b, q + v * FL_LANES);
            float *row = j->score + s * LANES + v * FL_LANES;
            for (int64_t i = 0; i < STEP; i++, row += LANES) {
                v_store(row, hide_unseen(p, j->b, who, k0 + s + i, v_load(row), hidden));
            }
        }
    }
}

/* Raise the running maximum to cover the new scores; what was summed under the old one shrinks by
 * as much. */
FL_INLINE vf raise_max(const job *j, int64_t block, int v, int64_t n, vf unit) {
    const float *row = j->score + v * FL_LANES;
    vf a = v_load(row), b = v_load(row + LANES);
    for (int64_t i = 2; i < n; i += 2) {
        a = v_max(a, v_load(row + i * LANES));
        b = v_max(b, v_load(row + (i + 1) * LANES));
    }
    float *max = j->max + block * LANES + v * FL_LANES, *sum = j->sum + (max - j->max);
    vf old = v_load(max), now = v_max(old, unit * v_max(a, b));
    if (!v_any(v_lt(old, now))) return now;
    vf shrink = v_exp2(old - now, false);
    v_store(max, now);
    v_store(sum, shrink * v_load(sum));
    float *out = j->out + block * j->p.DP * LANES + v * FL_LANES;
    for (int64_t d = 0; d < j->p.DP; d++)
        v_store(out + d * LANES, shrink * v_load(out + d * LANES));
    return now;
}

/* prob = 2^(unit score - max), as B (n keys, LANES); its column sums are added to the running
 * sums. */
FL_INLINE void exponentiate(const job *j, int64_t block, int64_t n, const int64_t pair) {
    vf unit = v_set(unit_of(&j->p));
    for (int v = 0; v < VECTORS; v++) {
        vf max = raise_max(j, block, v, n, unit), even = {0}, odd = {0};
        const float *row = j->score + v * FL_LANES;
        char *to = j->prob + (size_t)(v * FL_LANES) * sizeof(float);
        for (int64_t i = 0; i < n; i += 2, row += 2 * LANES) {
            vf a = v_exp2(v_fma(unit, v_load(row), -max), pair == 2);
            vf b = v_exp2(v_fma(unit, v_load(row + LANES), -max), pair == 2);
            even += a;
            odd += b;
            if (pair == 2) {
                store_pairs((uint16_t *)(void *)(to + (size_t)(i / 2 * LANES) * 4), a, b);
            } else {
                v_store((float *)(void *)to + i * LANES, a);
                v_store((float *)(void *)to + (i + 1) * LANES, b);
            }
        }
        float *sum = j->sum + block * LANES + v * FL_LANES;
        v_store(sum, v_load(sum) + (even + odd));
    }
}

/* Query block `block` meets keys [k0 + from, k0 + to) of the packed block at k0. */
static void meet(const job *j, int64_t block, int64_t k0, int64_t from, int64_t to) {
    int64_t DP = j->p.DP, n = to - from;
    size_t size = (size_t)j->e->bytes;
    j->e->multiply(&(fli_product){.m = n,
                                  .n = LANES,
                                  .k = DP,
                                  .a = j->k + (size_t)(from * DP) * size,
                                  .lda = DP,
                                  .b = j->q + (size_t)block * j->q_bytes,
                                  .ldb = LANES,
                                  .c = j->score,
                                  .ldc = LANES});
    shape_scores(j, query_of(j, block), k0 + from, n);
    if (FL_HAS_PAIRS && j->e->pair == 2) exponentiate(j, block, n, 2);
    else exponentiate(j, block, n, 1);
    j->e->multiply(&(fli_product){.m = DP,
                                  .n = LANES,
                                  .k = n,
                                  .a = j->v + (size_t)from * size,
                                  .lda = KEYS,
                                  .b = j->prob,
                                  .ldb = LANES,
                                  .c = j->out + block * DP * LANES,
                                  .ldc = LANES,
                                  .add = true});
}

static void meet_keys(const job *j, int64_t k0) {
    const fli_attention *p = &j->p;
    int64_t n = min_i64(KEYS, p->S - k0);
    pack_keys(j->room, j->e->pair, p, p->v, j->b, j->head, k0, n, KEYS);
    pack_columns(j->v, j->e->pair, j->room, KEYS, p->DP, j->k);
    pack_keys(j->k, j->e->pair, p, p->k, j->b, j->head, k0, n, KEYS);
    for (int64_t i = 0; i < j->blocks; i++) {
        int64_t q = query_of(j, i), from = 0, to = padded(n);
        while (from < to && !attention_sight(p, j->b, q, LANES, k0 + from, STEP)) from += STEP;
        while (to > from && !attention_sight(p, j->b, q, LANES, k0 + to - STEP, STEP)) to -= STEP;
        if (from < to) meet(j, i, k0, from, to);
    }
}

/* Divide by the sums, turn back, write o and lse. A query that saw nothing gets zeros and -inf. */
static void finish_blocks(const job *j, const fl_call *c) {
    const fli_attention *p = &j->p;
    float *turned = (float *)(void *)j->score;  // (LANES, DP) needs DP <= KEYS columns at a time
    for (int64_t i = 0; i < j->blocks; i++) {
        int64_t q = query_of(j, i), n = min_i64(LANES, p->T - q), h = head_of(j, i);
        const float *max = j->max + i * LANES, *sum = j->sum + i * LANES;
        for (int64_t d = 0, w; d < p->D; d += w) {
            w = min_i64(KEYS, p->D - d);
            transpose_words(turned, KEYS, j->out + (i * p->DP + d) * LANES, LANES, padded(w),
                            LANES);
            for (int64_t t = 0; t < n; t++) {
                int64_t at = ((j->b * p->T + q + t) * p->H + h) * p->D + d;
                vf by = v_set(sum[t] > 0 ? 1.0f / sum[t] : 0.0f);
                float *row = turned + t * KEYS, *to = flow_out(&c->out[0], at, row);
                FL_EACH(x, w) v_put(to, x, w, by * v_load(row + x));
                flow_done(&c->out[0], at, w, row);
            }
        }
        if (!c->out[1].rank) continue;
        float *lse = (float *)c->out[1].data + (j->b * p->H + h) * p->T + q;
        for (int64_t t = 0; t < n; t++)
            lse[t] = sum[t] > 0 ? 0.693147181f * max[t] + logf(sum[t]) : -INFINITY;
    }
}

void FL_ISA_NAME(fli_attention_blocks_run)(const fl_call *c, int64_t begin, int64_t end,
                                           void *scratch, const fli_engine *e) {
    job j = {.p = attention_of(c, 0, 3, 4), .e = e};
    const fli_attention *p = &j.p;
    lay_out(&j, scratch);
    int64_t chunk = chunk_of(p), chunks = ceil_div(p->T, chunk);
    if (e->begin) e->begin();
    for (int64_t task = begin; task < end; task++) {
        j.b = task / chunks / p->K;
        j.head = task / chunks % p->K;
        j.q0 = task % chunks * chunk;
        start_blocks(&j);
        for (int64_t k0 = 0; k0 < p->S; k0 += KEYS) {
            if (attention_sight(p, j.b, j.q0, chunk, k0, KEYS)) meet_keys(&j, k0);
        }
        finish_blocks(&j, c);
    }
    if (e->end) e->end();
}

size_t FL_ISA_NAME(fli_attention_blocks_scratch)(const fl_call *c, const fli_engine *e) {
    job j = {.p = attention_of(c, 0, 3, 4), .e = e};
    return lay_out(&j, NULL);
}

int64_t FL_ISA_NAME(fli_attention_blocks_tasks)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    return p.B * p.K * ceil_div(p.T, chunk_of(&p));
}
