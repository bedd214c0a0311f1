/* attention_grad - dq, dk, dv, making the probabilities again from lse, block by block.
 *
 * With p = exp(s - lse), delta = do . o:  dv = p^T do,  ds = p (do v^T - delta),  dq = scale ds k,
 * dk = scale ds^T q; with a cap, ds is also multiplied by its slope 1 - (s / cap)^2.
 *
 * A task is one key head of one row of the batch and one stripe of its key blocks (every
 * n_stripes-th). It packs the queries of the G heads once, then walks the key blocks: dk and dv of
 * a block are summed over all queries in cache; dq of a query block is summed over the key blocks,
 * in order. Where few heads would leave processors idle there are several stripes, each with a dq
 * of its own in the workspace; a second phase adds those in order. The number of stripes depends on
 * the shape alone. */
#include "backend/cpu/isa/attention_tools.h"

enum { SIDE = 64, ENOUGH_TASKS = 8, VECTORS = SIDE / FL_LANES };  // keys and queries of a block

enum { DO, Q, K, V, O, LSE, SEGMENT };

static const float NEVER =
    1e30f;  // the lse of a query that is not there: all its probabilities are 0

/* One block of SIDE queries of one head, packed: B along channels and B along rows, of q and of
 * do. */
typedef struct {
    char *q_channels, *q_rows, *do_channels, *do_rows;
    float *lse, *delta;  // (SIDE); lse in powers of two
    float *dq;           // (DP, SIDE)
} query_block;

typedef struct {
    fli_attention p;
    const fl_call *c;
    const fli_engine *e;
    int64_t b, head, stripe, n_stripes, blocks;  // blocks: of queries, over all G heads
    char *base;                                  // of the query blocks
    size_t block_bytes;
    char *k, *v, *k_columns, *prob, *dscore, *dscore_pairs, *room;
    float *score, *dprob, *dk, *dv;
    float *dq;  // of all query blocks: in scratch, or this stripe's part of the workspace
} job;

static int64_t dq_count(const job *j) {
    return j->blocks * j->p.DP * SIDE;
}

static job job_of(const fl_call *c, const fli_engine *e) {
    job j = {.p = attention_of(c, Q, SEGMENT, -1), .c = c, .e = e};
    int64_t heads = j.p.B * j.p.K;
    j.blocks = ceil_div(j.p.T, SIDE) * j.p.G;
    j.n_stripes = max_i64(1, min_i64(ceil_div(ENOUGH_TASKS, heads), ceil_div(j.p.S, SIDE)));
    return j;
}

static query_block block_at(const job *j, int64_t i) {
    size_t at = 0, tile = (size_t)(j->p.DP * SIDE * j->e->bytes);
    char *base = j->base ? j->base + (size_t)i * j->block_bytes : NULL;
    query_block q = {.q_channels = carve(base, &at, tile)};
    q.q_rows = carve(base, &at, tile);
    q.do_channels = carve(base, &at, tile);
    q.do_rows = carve(base, &at, tile);
    q.lse = carve(base, &at, SIDE * sizeof(float));
    q.delta = carve(base, &at, SIDE * sizeof(float));
    q.dq = j->dq ? j->dq + i * j->p.DP * SIDE : NULL;
    return q;
}

static size_t lay_out(job *j, char *base) {
    size_t at = 0, side = SIDE * (size_t)j->p.DP, square = SIDE * SIDE, size = (size_t)j->e->bytes;
    j->block_bytes = 4 * side * size + 2 * SIDE * sizeof(float);
    j->base = carve(base, &at, (size_t)j->blocks * j->block_bytes);
    j->dq = carve(base, &at, j->n_stripes == 1 ? (size_t)dq_count(j) * sizeof(float) : 0);
    j->k = carve(base, &at, side * size);
    j->v = carve(base, &at, side * size);
    j->k_columns = carve(base, &at, side * size);
    j->room = carve(base, &at, side * size);
    j->prob = carve(base, &at, square * size);
    j->dscore = carve(base, &at, square * size);
    j->dscore_pairs = j->e->pair == 1 ? j->dscore : carve(base, &at, square * size);
    j->score = carve(base, &at, square * sizeof(float));
    j->dprob = carve(base, &at, square * sizeof(float));
    j->dk = carve(base, &at, side * sizeof(float));
    j->dv = carve(base, &at, side * sizeof(float));
    return at;
}

static int64_t head_of(const job *j, int64_t block) {
    return j->head * j->p.G + block % j->p.G;
}
static int64_t query_of(const job *j, int64_t block) {
    return block / j->p.G * SIDE;
}

static void pack_queries(const job *j, int64_t i) {
    const fli_attention *p = &j->p;
    query_block q = block_at(j, i);
    int64_t at = query_of(j, i), h = head_of(j, i), n = min_i64(SIDE, p->T - at), pair = j->e->pair;
    pack_rows(j->room, pair, p->q, j->b, h, at, n, SIDE);
    pack_along_channels(q.q_channels, pair, j->room, SIDE, p->DP);
    pack_along_rows(q.q_rows, pair, j->room, SIDE, p->DP);
    pack_rows(j->room, pair, &j->c->in[DO], j->b, h, at, n, SIDE);
    pack_along_channels(q.do_channels, pair, j->room, SIDE, p->DP);
    pack_along_rows(q.do_rows, pair, j->room, SIDE, p->DP);
    const float *lse = (const float *)j->c->in[LSE].data + (j->b * p->H + h) * p->T + at;
    for (int64_t t = 0; t < SIDE; t++) {
        bool here = t < n && lse[t] > -INFINITY;
        q.lse[t] = here ? 1.44269504f * lse[t] : NEVER;
        q.delta[t] = here ? delta_at(&j->c->in[DO], &j->c->in[O],
                                     ((j->b * p->T + at + t) * p->H + h) * p->D, j->score)
                          : 0;
    }
    memset(q.dq, 0, (size_t)(p->DP * SIDE) * sizeof(float));
}

/* p and ds of two keys (rows i and i + 1) for one vector of queries. */
typedef struct {
    vf p[2], ds[2];
} two_keys;

FL_INLINE two_keys key_gradients(const job *j, int64_t k0, int64_t i, int v, vf lse, vf delta,
                                 const viewers *who,
                                 const int64_t pair) {  // lint: allow args
    const fli_attention *a = &j->p;
    two_keys out;
    for (int r = 0; r < 2; r++) {
        int64_t at = (i + r) * SIDE + v * FL_LANES;
        vf s = v_load(j->score + at), slope = v_set(1.0f);
        if (a->cap > 0) {
            vf t = v_tanh(v_set(a->scale / a->cap) * s);
            slope = v_fma(-t, t, slope);
            s = v_set(a->cap) * t;
        } else {
            s = v_set(a->scale) * s;
        }
        vf x = v_fma(v_set(1.44269504f), s, -lse);
        if (who) x = hide_unseen(a, j->b, *who, k0 + i + r, x, -NEVER);
        out.p[r] = v_exp2(x, pair == 2);
        out.ds[r] = out.p[r] * (v_load(j->dprob + at) - delta);
        if (a->cap > 0) out.ds[r] *= slope;
    }
    return out;
}

/* From scores and dprob to prob and dscore, in the layouts the next products read. */
FL_INLINE void differentiate(const job *j, const query_block *q, int64_t query, int64_t k0,
                             const bool masked,
                             const int64_t pair) {  // lint: allow args
    for (int v = 0; v < VECTORS; v++) {
        viewers who = viewers_at(&j->p, j->b, query + v * FL_LANES);
        vf lse = v_load(q->lse + v * FL_LANES), delta = v_load(q->delta + v * FL_LANES);
        for (int64_t i = 0; i < SIDE; i += 2) {
            two_keys k = key_gradients(j, k0, i, v, lse, delta, masked ? &who : NULL, pair);
            for (int r = 0; r < 2; r++) {
                int64_t at = (i + r) * SIDE + v * FL_LANES;
                if (pair == 2) {
                    v_store_bf16((uint16_t *)(void *)j->prob + at, k.p[r]);
                    v_store_bf16((uint16_t *)(void *)j->dscore + at, k.ds[r]);
                } else {
                    v_store((float *)(void *)j->prob + at, k.p[r]);
                    v_store((float *)(void *)j->dscore + at, k.ds[r]);
                }
            }
            if (pair == 2) {
                uint16_t *pairs = (uint16_t *)(void *)j->dscore_pairs;
                store_pairs(pairs + 2 * (i / 2 * SIDE + v * FL_LANES), k.ds[0], k.ds[1]);
            }
        }
    }
}

static void meet(const job *j, int64_t i, int64_t k0, sight s) {
    query_block q = block_at(j, i);
    int64_t DP = j->p.DP, at = query_of(j, i);
    bool pairs = FL_HAS_PAIRS && j->e->pair == 2, masked = s != SEES_ALL;
    void (*multiply)(const fli_product *) = j->e->multiply;
    fli_product scores = {.m = SIDE, .n = SIDE, .k = DP, .lda = DP, .ldb = SIDE, .ldc = SIDE};
    scores.a = j->k, scores.b = q.q_channels, scores.c = j->score;
    multiply(&scores);
    scores.a = j->v, scores.b = q.do_channels, scores.c = j->dprob;
    multiply(&scores);
    if (pairs && masked) differentiate(j, &q, at, k0, true, 2);
    else if (pairs) differentiate(j, &q, at, k0, false, 2);
    else differentiate(j, &q, at, k0, masked, 1);
    fli_product keys =
        {.m = SIDE, .n = DP, .k = SIDE, .lda = SIDE, .ldb = DP, .ldc = DP, .add = true};
    keys.a = j->prob, keys.b = q.do_rows, keys.c = j->dv;
    multiply(&keys);
    keys.a = j->dscore, keys.b = q.q_rows, keys.c = j->dk;
    multiply(&keys);
    multiply(&(fli_product){.m = DP,
                            .n = SIDE,
                            .k = SIDE,
                            .a = j->k_columns,
                            .lda = SIDE,
                            .b = j->dscore_pairs,
                            .ldb = SIDE,
                            .c = q.dq,
                            .ldc = SIDE,
                            .add = true});
}

/* Rows of `from` (.., DP) times `by` to rows [row, row + n) of one head of t. */
static void put_rows(const fl_tensor *t, int64_t b, int64_t head, int64_t row, int64_t n,
                     float *from, int64_t ld,
                     float by) {  // lint: allow args
    int64_t D = t->rank ? t->dim[3] : 0;
    for (int64_t i = 0; i < n && D; i++) {
        int64_t at = ((b * t->dim[1] + row + i) * t->dim[2] + head) * D;
        float *to = flow_out(t, at, from + i * ld);
        FL_EACH(d, D) v_put(to, d, D, by * v_get(from + i * ld, d, D));
        flow_done(t, at, D, to);
    }
}

static void meet_keys(const job *j, int64_t k0) {
    const fli_attention *p = &j->p;
    int64_t n = min_i64(SIDE, p->S - k0), pair = j->e->pair;
    pack_rows(j->k, pair, p->k, j->b, j->head, k0, n, SIDE);
    pack_columns(j->k_columns, pair, j->k, SIDE, p->DP, j->room);
    pack_rows(j->v, pair, p->v, j->b, j->head, k0, n, SIDE);
    memset(j->dk, 0, (size_t)(SIDE * p->DP) * sizeof(float));
    memset(j->dv, 0, (size_t)(SIDE * p->DP) * sizeof(float));
    for (int64_t i = 0; i < j->blocks; i++) {
        sight s = attention_sight(p, j->b, query_of(j, i), SIDE, k0, SIDE);
        if (s) meet(j, i, k0, s);
    }
    put_rows(&j->c->out[1], j->b, j->head, k0, n, j->dk, p->DP, p->scale);
    put_rows(&j->c->out[2], j->b, j->head, k0, n, j->dv, p->DP, 1.0f);
}

/* dq (DP, SIDE) of a query block to its rows of the output; `room` holds (SIDE, DP). */
static void put_queries(const job *j, int64_t i, const float *dq, float *room) {
    int64_t at = query_of(j, i), DP = j->p.DP;
    transpose_words(room, DP, dq, SIDE, DP, SIDE);
    put_rows(&j->c->out[0], j->b, head_of(j, i), at, min_i64(SIDE, j->p.T - at), room, DP,
             j->p.scale);
}

static void pick(job *j, int64_t task) {
    j->stripe = task % j->n_stripes;
    j->head = task / j->n_stripes % j->p.K;
    j->b = task / j->n_stripes / j->p.K;
    if (j->n_stripes > 1) j->dq = (float *)j->c->workspace + task * dq_count(j);
}

void FL_ISA_NAME(fli_attention_grad_run)(const fl_call *c, int64_t begin, int64_t end,
                                         void *scratch, const fli_engine *e) {
    job j = job_of(c, e);
    lay_out(&j, scratch);
    if (e->begin) e->begin();
    for (int64_t task = begin; task < end; task++) {
        pick(&j, task);
        for (int64_t i = 0; i < j.blocks; i++) pack_queries(&j, i);
        for (int64_t k0 = j.stripe * SIDE; k0 < j.p.S; k0 += j.n_stripes * SIDE) meet_keys(&j, k0);
        for (int64_t i = 0; i < j.blocks && j.n_stripes == 1; i++)
            put_queries(&j, i, block_at(&j, i).dq, j.dk);
    }
    if (e->end) e->end();
}

size_t FL_ISA_NAME(fli_attention_grad_scratch)(const fl_call *c, const fli_engine *e) {
    job j = job_of(c, e);
    return lay_out(&j, NULL);
}

/* ---- the second phase: one task a query block ---- */

int64_t FL_ISA_NAME(fli_attention_gather_tasks)(const fl_call *c) {
    job j = job_of(c, &FL_ISA_NAME(fli_engine_f32));
    return j.n_stripes == 1 ? 0 : j.p.B * j.p.K * j.blocks;
}

void FL_ISA_NAME(fli_attention_gather_run)(const fl_call *c, int64_t begin, int64_t end,
                                           void *scratch) {
    job j = job_of(c, &FL_ISA_NAME(fli_engine_f32));
    int64_t n = j.p.DP * SIDE;
    float *sum = scratch;
    for (int64_t task = begin; task < end; task++) {
        int64_t i = task % j.blocks;
        pick(&j, task / j.blocks * j.n_stripes);
        const float *part = j.dq + i * n;
        memcpy(sum, part, (size_t)n * sizeof *sum);
        for (int64_t s = 1; s < j.n_stripes; s++) {
            FL_EACH(x, n) v_store(sum + x, v_load(sum + x) + v_load(part + s * dq_count(&j) + x));
        }
        put_queries(&j, i, sum, sum + n);
    }
}

int64_t FL_ISA_NAME(fli_attention_grad_tasks)(const fl_call *c) {
    job j = job_of(c, &FL_ISA_NAME(fli_engine_f32));
    return j.p.B * j.p.K * j.n_stripes;
}

size_t FL_ISA_NAME(fli_attention_grad_workspace)(const fl_call *c) {
    job j = job_of(c, &FL_ISA_NAME(fli_engine_f32));
    return j.n_stripes == 1 ? 0
                            : (size_t)(j.p.B * j.p.K * j.n_stripes * dq_count(&j)) * sizeof(float);
}

bool FL_ISA_NAME(fli_attention_grad_supports)(const fl_call *c) {
    return c->attr.scale >= 0 && flow_floats_and_indices(c);
}
