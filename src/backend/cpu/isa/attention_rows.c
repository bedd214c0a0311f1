/* attention_rows - attention of a few queries over many keys (decoding), and the rows of the
 * attention kernels.
 *
 * A few queries are answered at the speed of memory: keys and values are read once, widened in
 * cache, and met by the G * T queries that share a key head. A task takes SPLIT keys of one key
 * head and leaves, for each query, the maximum, the sum and the unnormalised output over them in
 * the workspace; the second phase joins the splits in order, after the head's sink. */
#include "backend/cpu/isa/attention_tools.h"

enum { SPLIT = 256, FEW = 16, MAX_D = 512 };
enum { SINK = 6 };  // of the inputs

static const float HIDDEN = -2e30f, NOTHING_YET = -1e30f;

static bool is_few(const fli_attention *p) {
    return !p->segment && p->T == 1 && p->G <= FEW && p->D <= MAX_D;
}

/* One query's part over one split: max, sum, and D of output, on its own cache lines. */
static int64_t part_floats(const fli_attention *p) {
    return 16 + p->DP;
}

static float *part_at(const fl_call *c, const fli_attention *p, int64_t split_task, int64_t query) {
    return (float *)c->workspace + (split_task * p->T * p->G + query) * part_floats(p);
}

typedef struct {
    const fli_attention *p;
    int64_t b, head, k0, n;  // keys [k0, k0 + n)
    float *q, *score, *row;  // q (queries, DP); score (queries, SPLIT); row (FL_LANES, DP)
} job;

static void widen_queries(const job *j) {
    const fli_attention *p = j->p;
    for (int64_t t = 0; t < p->T; t++) {
        for (int64_t g = 0; g < p->G; g++) {
            int64_t at = ((j->b * p->T + t) * p->H + j->head * p->G + g) * p->D;
            float *to = j->q + (t * p->G + g) * p->DP;
            const float *from = flow_in(p->q, at, p->D, to);
            FL_EACH(d, p->D) v_put(to, d, p->D, v_set(p->scale) * v_get(from, d, p->D));
        }
    }
}

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

/* Scores of every query for the keys from j->k0 + i on. */
static void score_keys(const job *j, int64_t i) {
    const fli_attention *p = j->p;
    int64_t n = min_i64(FL_LANES, j->n - i), key = j->k0 + i, shift = p->start ? p->start[j->b] : 0;
    int64_t first = cache_row(p->k, p->table, j->b, key);
    const float *rows[FL_LANES];
    for (int64_t r = 0; r < FL_LANES; r++) {
        int64_t at = ((first + min_i64(r, n - 1)) * p->K + j->head) * p->D;
        rows[r] = cache_in(p->k, at, p->D, j->row + r * p->DP);
    }
    for (int64_t x = 0; x < p->T * p->G; x++) {
        const float *q = j->q + x * p->DP;
        vf part[FL_LANES], s = {0};
        for (int r = 0; r < FL_LANES; r++) {
            part[r] = v_set(0.0f);
            FL_EACH(d, p->D) part[r] = v_fma(v_get(q, d, p->D), v_get(rows[r], d, p->D), part[r]);
        }
        v_transpose(part);
        for (int r = 0; r < FL_LANES; r++) s += part[r];
        if (p->cap > 0) s = v_set(p->cap) * v_tanh(s / p->cap);
        s = hide_keys(p, shift + x / p->G, key, 1.44269504f * s);
        v_store(j->score + x * SPLIT + i, s);
    }
}

/* score becomes 2^(score - max) for one query; the part gets max and sum. */
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
    for (int64_t i = n; i % FL_LANES; i++) score[i] = 0;
}

static void weigh_values(const fl_call *c, const job *j, int64_t task) {
    const fli_attention *p = j->p;
    int64_t row = 0;
    for (int64_t i = 0; i < j->n; i++, row++) {
        if (i % FL_PAGE_STEP == 0) row = cache_row(p->v, p->table, j->b, j->k0 + i);
        int64_t at = (row * p->K + j->head) * p->D;
        const float *v = cache_in(p->v, at, p->D, j->row);
        for (int64_t x = 0; x < p->T * p->G; x++) {
            float *out = part_at(c, p, task, x) + 16;
            vf w = v_set(j->score[x * SPLIT + i]);
            FL_EACH(d, p->D) v_put(out, d, p->D, v_fma(w, v_get(v, d, p->D), v_get(out, d, p->D)));
        }
    }
}

static void few_run(const fl_call *c, const fli_attention *p, int64_t begin, int64_t end,
                    float *scratch) {
    int64_t splits = ceil_div(p->S, SPLIT), queries = p->T * p->G;
    job j = {.p = p, .q = scratch, .score = scratch + queries * p->DP};
    j.row = j.score + queries * SPLIT;
    for (int64_t task = begin; task < end; task++) {
        j.b = task / splits / p->K;
        j.head = task / splits % p->K;
        j.k0 = task % splits * SPLIT;
        int64_t last = (p->start ? p->start[j.b] : 0) + p->T;
        j.n = min_i64(SPLIT, (p->causal ? min_i64(last, p->S) : p->S) - j.k0);
        bool seen = attention_sight(p, j.b, 0, p->T, j.k0, SPLIT) != SEES_NONE;
        for (int64_t x = 0; x < queries; x++) {
            float *part = part_at(c, p, task, x);
            part[0] = NOTHING_YET;
            memset(part + 1, 0, (size_t)(part_floats(p) - 1) * sizeof *part);
        }
        if (!seen) continue;
        widen_queries(&j);
        FL_EACH(i, j.n) score_keys(&j, i);
        for (int64_t x = 0; x < queries; x++)
            exponentiate(j.score + x * SPLIT, j.n, part_at(c, p, task, x));
        weigh_values(c, &j, task);
    }
}

/* ---- the second phase: one task a query and head ---- */

int64_t FL_ISA_NAME(fli_attention_join_tasks)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    return is_few(&p) ? p.B * p.T * p.H : 0;
}

static void join(const fl_call *c, const fli_attention *p, int64_t task) {
    int64_t h = task % p->H, t = task / p->H % p->T, b = task / p->H / p->T,
            splits = ceil_div(p->S, SPLIT);
    int64_t first = (b * p->K + h / p->G) * splits, x = t * p->G + h % p->G;
    const softmax_start start = softmax_start_of(p, h, NOTHING_YET);
    float max = start.max, sum, weight[1];
    for (int64_t s = 0; s < splits; s++) max = fmaxf(max, part_at(c, p, first + s, x)[0]);
    float *out = part_at(c, p, first, x) + 16;  // joined in place, into the first split
    v_store_n(weight, v_exp2(v_set(start.max - max), false), 1);
    sum = weight[0] * start.sum;
    for (int64_t s = 0; s < splits; s++) {
        const float *part = part_at(c, p, first + s, x);
        v_store_n(weight, v_exp2(v_set(part[0] - max), false), 1);
        sum += weight[0] * part[1];
        vf w = v_set(weight[0]);
        FL_EACH(d, p->DP) {
            vf more = w * v_load(part + 16 + d);
            v_store(out + d, s ? more + v_load(out + d) : more);
        }
    }
    int64_t at = task * p->D;
    vf by = v_set(sum > 0 ? 1.0f / sum : 0.0f);
    float *to = flow_out(&c->out[0], at, out);
    FL_EACH(d, p->D) v_put(to, d, p->D, by * v_load(out + d));
    flow_done(&c->out[0], at, p->D, out);
    float lse = sum > 0 ? 0.693147181f * max + logf(sum) : -INFINITY;
    if (c->out[1].rank) ((float *)c->out[1].data)[(b * p->H + h) * p->T + t] = lse;
}

void FL_ISA_NAME(fli_attention_join_run)(const fl_call *c, int64_t begin, int64_t end,
                                         void *scratch) {
    (void)scratch;
    fli_attention p = attention_of(c, 0, 3, 4);
    for (int64_t task = begin; task < end; task++) join(c, &p, task);
}

/* ---- the rows ---- */

int64_t FL_ISA_NAME(fli_attention_tasks)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    return is_few(&p) ? p.B * p.K * ceil_div(p.S, SPLIT)
                      : FL_ISA_NAME(fli_attention_blocks_tasks)(c);
}

size_t FL_ISA_NAME(fli_attention_workspace)(const fl_call *c) {
    fli_attention p = attention_of(c, 0, 3, 4);
    int64_t parts = FL_ISA_NAME(fli_attention_tasks)(c) * p.T * p.G;
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
    return (size_t)((p.T * p.G + FL_LANES) * p.DP + p.T * p.G * SPLIT) * sizeof(float);
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
