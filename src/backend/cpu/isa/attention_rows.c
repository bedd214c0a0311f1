/* attention_rows - attention of one query a text over many keys (decoding), and the rows of the
 * attention kernels.
 *
 * One query is answered at the speed of memory: keys and values are read once, widened in cache,
 * and met by the G heads that share a key head. A task takes SPLIT keys of one key head and leaves,
 * for each head, the maximum, the sum and the unnormalised output over them in the workspace; the
 * second phase joins the splits in order, after the head's sink.
 *
 * The rows of one head lie apart and the processor does not see a walk in them, so all rows of a
 * task are asked for when it begins. Keys and values are then taken in tiles of FL_LANES rows in
 * f32, zero from D to DP. */
#include "backend/cpu/isa/attention_tools.h"

/* FEW heads share a key head: all 128 of DeepSeek-V3 one latent vector. */
enum { SPLIT = 64, FEW = 128 };
enum { SINK = 6 };  // of the inputs

static const float HIDDEN = -2e30f, NOTHING_YET = -1e30f;

static bool is_few(const fli_attention *p) {
    return !p->segment && p->T == 1 && p->G <= FEW;
}

static int64_t splits_of(const fli_attention *p) {
    return ceil_div(p->S, SPLIT);
}

static bool is_seen(const fli_attention *p, int64_t b, int64_t split) {
    return attention_sight(p, b, 0, 1, split * SPLIT, SPLIT) != SEES_NONE;
}

/* One head's part over one split: max, sum, and D of output, on its own cache lines. */
static int64_t part_floats(const fli_attention *p) {
    return 16 + p->DP;
}

static float *part_at(const fl_call *c, const fli_attention *p, int64_t split_task, int64_t g) {
    return (float *)c->workspace + (split_task * p->G + g) * part_floats(p);
}

typedef struct {
    const fli_attention *p;
    int64_t b, head, k0, n;   // keys [k0, k0 + n)
    float *q, *score, *tile;  // q (G, DP); score (G, SPLIT); tile (FL_LANES, DP)
} job;

static void widen_queries(const job *j) {
    const fli_attention *p = j->p;
    for (int64_t g = 0; g < p->G; g++) {
        int64_t at = (j->b * p->H + j->head * p->G + g) * p->D;
        float *to = j->q + g * p->DP;
        const float *from = flow_in(p->q, at, p->D, to);
        FL_EACH(d, p->D) v_put(to, d, p->D, v_set(p->scale) * v_get(from, d, p->D));
    }
}

/* ---- rows ---- */

typedef struct {  // of keys or values that a task reads
    const fl_tensor *t;
    int64_t at[SPLIT / FL_PAGE_STEP];  // element 0 of every FL_PAGE_STEP-th
} rows;

static int64_t row_at(const job *j, const rows *r, int64_t i) {
    return r->at[i / FL_PAGE_STEP] + i % FL_PAGE_STEP * j->p->K * j->p->D;
}

static rows find_rows(const job *j, const fl_tensor *t) {
    const fli_attention *p = j->p;
    rows r = {.t = t};
    for (int64_t i = 0; i < j->n; i += FL_PAGE_STEP) {
        const int64_t row = cache_row(t, p->table, j->b, j->k0 + i);
        r.at[i / FL_PAGE_STEP] = (row * p->K + j->head) * p->D;
    }
    return r;
}

static void ask_for(const job *j, const rows *r) {
    enum { LINE = 64 };
    const fl_dtype t = r->t->dtype;
    const size_t apart = fl_dtype_row_bytes(t, j->p->K * j->p->D),
                 bytes = fl_dtype_row_bytes(t, j->p->D);
    const char *row = NULL;
    for (int64_t i = 0; i < j->n; i++, row += apart) {
        if (i % FL_PAGE_STEP == 0)
            row = (const char *)r->t->data + fl_dtype_row_bytes(t, r->at[i / FL_PAGE_STEP]);
        for (size_t k = 0; k < bytes; k += LINE) __builtin_prefetch(row + k, 0, 2);
    }
}

/* Rows [i, i + FL_LANES); past the end the last one again. */
static void load_tile(const job *j, const rows *r, int64_t i) {
    const fli_attention *p = j->p;
    for (int64_t k = 0; k < FL_LANES; k++)
        widen_row(j->tile + k * p->DP, r->t, row_at(j, r, min_i64(i + k, j->n - 1)), p->D);
}

/* ---- scores ---- */

/* Hide keys [key, key + FL_LANES) that the query at `position` does not see. */
FL_INLINE vf hide_keys(const fli_attention *p, int64_t position, int64_t key, vf score) {
    int32_t lane[FL_LANES];
    for (int i = 0; i < FL_LANES; i++) lane[i] = (int32_t)key + i;
    vi keys;
    memcpy(&keys, lane, sizeof keys);
    int64_t stop = p->causal ? min_i64(p->S, position + 1) : p->S;
    score = v_select(v_lti(keys, v_seti((int32_t)stop)), score, v_set(HIDDEN));
    if (!p->window) return score;
    return v_select(v_lti(v_seti((int32_t)(position - p->window)), keys), score, v_set(HIDDEN));
}

/* Scores of every head for the keys of the tile, from j->k0 + i on. */
static void score_tile(const job *j, int64_t i) {
    const fli_attention *p = j->p;
    const int64_t shift = p->start ? p->start[j->b] : 0;
    for (int64_t g = 0; g < p->G; g++) {
        vf part[FL_LANES] = {{0}}, s = {0};
        FL_EACH(d, p->DP) {
            const vf q = v_load(j->q + g * p->DP + d);
            for (int r = 0; r < FL_LANES; r++)
                part[r] = v_fma(q, v_load(j->tile + r * p->DP + d), part[r]);
        }
        v_transpose(part);
        for (int r = 0; r < FL_LANES; r++) s += part[r];
        if (p->cap > 0) s = v_set(p->cap) * v_tanh(s / p->cap);
        s = hide_keys(p, shift, j->k0 + i, 1.44269504f * s);
        v_store(j->score + g * SPLIT + i, s);
    }
}

/* score becomes 2^(score - max) for one head; the part gets max and sum. */
static void exponentiate(float *score, int64_t n, float *part) {
    vf most = v_set(NOTHING_YET), sum = {0};
    FL_EACH(i, n) most = v_max(most, v_load(score + i));
    part[0] = v_max_all(most);
    FL_EACH(i, n) {
        vf e = v_exp2(v_load(score + i) - part[0], false);
        sum += e;
        v_store(score + i, e);
    }
    part[1] = v_sum(sum);
}

/* ---- values ---- */

/* out (DP) += the values of the tile, each as often as its key's weight says. */
FL_INLINE void weigh_tile(const fli_attention *p, const float *tile, const float *weight,
                          float *out) {
    enum { AT_ONCE = FLI_PAD / FL_LANES };
    for (int64_t d = 0; d < p->DP; d += FLI_PAD) {
        vf sum[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) sum[k] = v_load(out + d + k * FL_LANES);
        for (int r = 0; r < FL_LANES; r++) {
            const float *v = tile + r * p->DP + d;
            for (int k = 0; k < AT_ONCE; k++)
                sum[k] = v_fma(v_set(weight[r]), v_load(v + k * FL_LANES), sum[k]);
        }
        for (int k = 0; k < AT_ONCE; k++) v_store(out + d + k * FL_LANES, sum[k]);
    }
}

/* ---- the first phase: one task a split of a key head ---- */

static void split_run(const fl_call *c, const job *j, int64_t task) {
    const fli_attention *p = j->p;
    const rows keys = find_rows(j, p->k), values = find_rows(j, p->v);
    ask_for(j, &keys);
    ask_for(j, &values);
    widen_queries(j);
    FL_EACH(i, j->n) {
        load_tile(j, &keys, i);
        score_tile(j, i);
    }
    for (int64_t g = 0; g < p->G; g++) {
        float *part = part_at(c, p, task, g);
        exponentiate(j->score + g * SPLIT, j->n, part);
        memset(part + 16, 0, (size_t)p->DP * sizeof *part);
    }
    FL_EACH(i, j->n) {
        load_tile(j, &values, i);
        for (int64_t g = 0; g < p->G; g++)
            weigh_tile(p, j->tile, j->score + g * SPLIT + i, part_at(c, p, task, g) + 16);
    }
}

static size_t few_floats(const fli_attention *p) {
    return (size_t)((p->G + FL_LANES) * p->DP + p->G * SPLIT);
}

static void few_run(const fl_call *c, const fli_attention *p, int64_t begin, int64_t end,
                    float *scratch) {
    const int64_t splits = splits_of(p);
    job j = {.p = p, .q = scratch, .tile = scratch + p->G * p->DP};
    j.score = j.tile + FL_LANES * p->DP;
    memset(scratch, 0, few_floats(p) * sizeof *scratch);
    for (int64_t task = begin; task < end; task++) {
        j.b = task / splits / p->K;
        j.head = task / splits % p->K;
        if (!is_seen(p, j.b, task % splits)) continue;
        j.k0 = task % splits * SPLIT;
        int64_t last = (p->start ? p->start[j.b] : 0) + 1;
        j.n = min_i64(SPLIT, (p->causal ? min_i64(last, p->S) : p->S) - j.k0);
        split_run(c, &j, task);
    }
}

/* ---- the second phase: a task joins the splits of some heads ---- */

/* As many as have PARTS parts in all. */
static int64_t heads_of_task(const fli_attention *p) {
    enum { PARTS = 128 };
    return max_i64(1, PARTS / splits_of(p));
}

int64_t FL_ISA_NAME(fli_attention_join_tasks)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    return is_few(&p) ? ceil_div(p.B * p.H, heads_of_task(&p)) : 0;
}

static void join(const fl_call *c, const fli_attention *p, int64_t b, int64_t h, float *out) {
    const int64_t splits = splits_of(p), first = (b * p->K + h / p->G) * splits, g = h % p->G;
    const softmax_start start = softmax_start_of(p, h, NOTHING_YET);
    float max = start.max, sum, weight[1];
    for (int64_t s = 0; s < splits; s++)
        if (is_seen(p, b, s)) max = fmaxf(max, part_at(c, p, first + s, g)[0]);
    v_store_n(weight, v_exp2(v_set(start.max - max), false), 1);
    sum = weight[0] * start.sum;
    memset(out, 0, (size_t)p->DP * sizeof *out);
    for (int64_t s = 0; s < splits; s++) {
        if (!is_seen(p, b, s)) continue;
        const float *part = part_at(c, p, first + s, g);
        v_store_n(weight, v_exp2(v_set(part[0] - max), false), 1);
        sum += weight[0] * part[1];
        FL_EACH(d, p->DP) v_store(out + d, weight[0] * v_load(part + 16 + d) + v_load(out + d));
    }
    int64_t at = (b * p->H + h) * p->D;
    vf by = v_set(sum > 0 ? 1.0f / sum : 0.0f);
    float *to = flow_out(&c->out[0], at, out);
    FL_EACH(d, p->D) v_put(to, d, p->D, by * v_load(out + d));
    flow_done(&c->out[0], at, p->D, out);
    float lse = sum > 0 ? 0.693147181f * max + logf(sum) : -INFINITY;
    if (c->out[1].rank) ((float *)c->out[1].data)[b * p->H + h] = lse;
}

void FL_ISA_NAME(fli_attention_join_run)(const fl_call *c, int64_t begin, int64_t end,
                                         void *scratch) {
    fli_attention p = attention_of(c, 0, 3, 4);
    const int64_t heads = heads_of_task(&p);
    for (int64_t i = begin * heads; i < min_i64(end * heads, p.B * p.H); i++)
        join(c, &p, i / p.H, i % p.H, scratch);
}

/* ---- the rows ---- */

int64_t FL_ISA_NAME(fli_attention_tasks)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    return is_few(&p) ? p.B * p.K * splits_of(&p) : FL_ISA_NAME(fli_attention_blocks_tasks)(c);
}

size_t FL_ISA_NAME(fli_attention_workspace)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    int64_t parts = FL_ISA_NAME(fli_attention_tasks)(c) * p.G;
    return is_few(&p) ? (size_t)(parts * part_floats(&p)) * sizeof(float) : 0;
}

void FL_ISA_NAME(fli_attention_run)(const fl_call *c, int64_t begin, int64_t end, void *scratch,
                                    const fli_engine *e) {
    fli_attention p = attention_of(c, 0, 3, 4);
    if (is_few(&p)) few_run(c, &p, begin, end, scratch);
    else FL_ISA_NAME(fli_attention_blocks_run)(c, begin, end, scratch, e);
}

size_t FL_ISA_NAME(fli_attention_scratch)(const fl_call *c, const fli_engine *e) {
    fli_attention p = attention_of(c, 0, 3, 4);
    if (!is_few(&p)) return FL_ISA_NAME(fli_attention_blocks_scratch)(c, e);
    return few_floats(&p) * sizeof(float);
}

bool FL_ISA_NAME(fli_attention_supports)(const fl_call *c) {
    const bool sunk = c->n_in > SINK && c->in[SINK].rank;
    return c->attr.scale >= 0 && flow_takes(&c->in[0], false) && cache_takes(&c->in[1]) &&
           cache_takes(&c->in[2]) && flow_takes(&c->out[0], false) &&
           (!sunk || c->in[SINK].dtype == FL_F32);
}

#if defined(__AVX512BF16__)
#define BF16_ENGINE fli_engine_bf16_avx512
#else
#define BF16_ENGINE FL_ISA_NAME(fli_engine_f32)
#endif
#define ROWS(level)    ROWS_AT(level)
#define ROWS_AT(level) FLI_ATTENTION_ROWS(level, level, fli_engine_f32_##level, BF16_ENGINE)
ROWS(FL_ISA);
