/* ref_attention - attention one query at a time; see ref.c and ops.def for who sees whom. */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref.h"

#define UNUSED(begin, end, scratch) ((void)(begin), (void)(end), (void)(scratch))

typedef struct {
    const fl_attr *attr;
    const fl_tensor *q, *k, *v, *segment, *start, *table, *sink;  // the last four NULL when absent
    int64_t n_batch, n_query, n_key, n_head, n_kv, size;
    double scale, cap;
} problem;

static const fl_tensor *optional(const fl_call *c, int i) {
    return i >= 0 && i < c->n_in && c->in[i].rank ? &c->in[i] : NULL;
}

/* Where the inputs lie in the call; start_at < 0: this operation has no start. */
static problem describe(const fl_call *c, int q_at, int segment_at, int start_at) {
    const fl_tensor *q = &c->in[q_at], *k = q + 1;
    problem p = {.attr = &c->attr,
                 .q = q,
                 .k = k,
                 .v = q + 2,
                 .segment = optional(c, segment_at),
                 .start = optional(c, start_at),
                 .table = start_at < 0 ? NULL : optional(c, start_at + 1),
                 .sink = start_at < 0 ? NULL : optional(c, start_at + 2),
                 .n_batch = q->dim[0],
                 .n_query = q->dim[1],
                 .n_head = q->dim[2],
                 .size = q->dim[3],
                 .n_key = k->dim[1],
                 .n_kv = k->dim[2],
                 .cap = (double)c->attr.softcap};
    if (p.table) p.n_key *= p.table->dim[1];
    p.scale = c->attr.scale != 0 ? (double)c->attr.scale : 1 / sqrt((double)p.size);
    return p;
}

static bool visible(const problem *p, int64_t b, int64_t t, int64_t s) {
    const int64_t position = t + (p->start ? (int64_t)fl_tensor_get(p->start, b) : 0);
    if (p->attr->causal && s > position) return false;
    if (p->attr->window && position - s >= p->attr->window) return false;
    if (!p->segment) return true;
    return fl_tensor_get(p->segment, b * p->n_query + t) ==
           fl_tensor_get(p->segment, b * p->n_key + s);
}

int64_t fli_ref_cache_row(const fl_tensor *cache, const fl_tensor *table, int64_t b, int64_t s) {
    const int64_t N = cache->dim[1];
    if (!table) return b * N + s;
    return (int64_t)fl_tensor_get(table, b * table->dim[1] + s / N) * N + s % N;
}

/* Row indices of one head's vector in q, and in k or v. */
static int64_t query_row(const problem *p, int64_t b, int64_t t, int64_t h) {
    return (b * p->n_query + t) * p->n_head + h;
}

static int64_t key_row(const problem *p, int64_t b, int64_t s, int64_t h) {
    return fli_ref_cache_row(p->k, p->table, b, s) * p->n_kv + h / (p->n_head / p->n_kv);
}

/* Scores of one query against every key; -inf where it does not see. `row` holds one key. */
static void scores(const problem *p, const double *q, int64_t b, int64_t t, int64_t h,
                   double *score,
                   double *row) {  // lint: allow args
    for (int64_t s = 0; s < p->n_key; s++) {
        score[s] = -INFINITY;
        if (!visible(p, b, t, s)) continue;
        fli_ref_row(p->k, key_row(p, b, s, h), FL_F64, row);
        const double z = p->scale * fli_ref_dot(q, row, p->size);
        score[s] = p->cap > 0 ? p->cap * tanh(z / p->cap) : z;
    }
}

size_t fli_ref_attention_scratch(const fl_call *c) {
    const problem p = describe(c, 0, 3, 4);
    return (size_t)(3 * p.size + p.n_key) * sizeof(double);
}

static void attend(const fl_call *c, const problem *p, int64_t b, int64_t t, int64_t h,
                   double *scratch) {
    const int64_t n = p->size, at = query_row(p, b, t, h);
    double *q = scratch, *row = q + n, *o = row + n, *score = o + n;
    fli_ref_row(p->q, at, FL_F64, q);
    scores(p, q, b, t, h, score, row);
    const double sink = p->sink ? fl_tensor_get(p->sink, h) : -INFINITY;
    double max = sink, sum;
    for (int64_t s = 0; s < p->n_key; s++) max = fmax(max, score[s]);
    sum = p->sink ? exp(sink - max) : 0;
    for (int64_t s = 0; s < p->n_key; s++) sum += exp(score[s] - max);
    memset(o, 0, (size_t)n * sizeof *o);
    for (int64_t s = 0; s < p->n_key; s++) {
        if (score[s] == -INFINITY) continue;
        fli_ref_row(p->v, key_row(p, b, s, h), FL_F64, row);
        for (int64_t i = 0; i < n; i++) o[i] += exp(score[s] - max) / sum * row[i];
    }
    for (int64_t i = 0; i < n; i++) fl_tensor_set(&c->out[0], at * n + i, o[i]);
    fli_ref_put(c, 1, (b * p->n_head + h) * p->n_query + t, max + log(sum), false);
}

void fli_ref_attention(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const problem p = describe(c, 0, 3, 4);
    for (int64_t b = 0; b < p.n_batch; b++) {
        for (int64_t t = 0; t < p.n_query; t++) {
            for (int64_t h = 0; h < p.n_head; h++) attend(c, &p, b, t, h, scratch);
        }
    }
}

/* Of one batch row: q, k or v, do, o, dq of a query; its scores; dk and dv of all keys. */
typedef struct {
    double *q, *key, *value, *dout, *o, *dq, *score, *dk, *dv;
} grad_rows;

static int64_t kv_count(const fl_call *c) {
    return c->in[2].dim[1] * c->in[2].dim[2] * c->in[2].dim[3];
}

size_t fli_ref_attention_grad_scratch(const fl_call *c) {
    return (size_t)(6 * c->in[1].dim[3] + c->in[2].dim[1] + 2 * kv_count(c)) * sizeof(double);
}

static grad_rows lay_out(const fl_call *c, const problem *p, double *at) {
    const int64_t n = p->size;
    double *score = at + 6 * n, *dk = score + p->n_key;
    return (grad_rows){at,         at + n, at + 2 * n, at + 3 * n,      at + 4 * n,
                       at + 5 * n, score,  dk,         dk + kv_count(c)};
}

/* With prob = exp(score - lse):  dv += prob do;  dscore = prob (do v - do o), through the cap and
 * the scale;  dq += dscore k;  dk += dscore q. */
static void attend_grad(const fl_call *c, const problem *p, int64_t b, int64_t t, int64_t h,
                        const grad_rows *m) {
    const int64_t n = p->size, at = query_row(p, b, t, h);
    const double lse = fl_tensor_get(&c->in[5], (b * p->n_head + h) * p->n_query + t);
    fli_ref_row(p->q, at, FL_F64, m->q);
    fli_ref_row(&c->in[0], at, FL_F64, m->dout);
    fli_ref_row(&c->in[4], at, FL_F64, m->o);
    scores(p, m->q, b, t, h, m->score, m->key);
    const double delta = fli_ref_dot(m->dout, m->o, n);
    memset(m->dq, 0, (size_t)n * sizeof *m->dq);
    for (int64_t s = 0; s < p->n_key; s++) {
        if (m->score[s] == -INFINITY) continue;
        const int64_t row = key_row(p, b, s, h), local = (row - key_row(p, b, 0, 0)) * n;
        fli_ref_row(p->k, row, FL_F64, m->key);
        fli_ref_row(p->v, row, FL_F64, m->value);
        const double prob = exp(m->score[s] - lse), capped = p->cap > 0 ? m->score[s] / p->cap : 0;
        const double dscore = prob * (fli_ref_dot(m->dout, m->value, n) - delta) *
                              (1 - capped * capped) * p->scale;
        for (int64_t i = 0; i < n; i++) {
            m->dv[local + i] += prob * m->dout[i];
            m->dk[local + i] += dscore * m->q[i];
            m->dq[i] += dscore * m->key[i];
        }
    }
    for (int64_t i = 0; i < n; i++) fli_ref_put(c, 0, at * n + i, m->dq[i], false);
}

void fli_ref_attention_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const problem p = describe(c, 1, 6, -1);
    const grad_rows m = lay_out(c, &p, scratch);
    const int64_t n_kv = kv_count(c);
    for (int64_t b = 0; b < p.n_batch; b++) {
        memset(m.dk, 0, 2 * (size_t)n_kv * sizeof *m.dk);
        for (int64_t t = 0; t < p.n_query; t++) {
            for (int64_t h = 0; h < p.n_head; h++) attend_grad(c, &p, b, t, h, &m);
        }
        for (int64_t i = 0; i < n_kv; i++) {
            fli_ref_put(c, 1, b * n_kv + i, m.dk[i], false);
            fli_ref_put(c, 2, b * n_kv + i, m.dv[i], false);
        }
    }
}

/* The sink's share is p = exp(sink - lse) and its value nothing:  dsink += p (0 - do o). */
void fli_ref_attention_sink_grad(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    UNUSED(begin, end, scratch);
    const fl_tensor *o = &c->in[1], *lse = &c->in[2], *sink = &c->in[3];
    const int64_t B = o->dim[0], T = o->dim[1], H = o->dim[2], D = o->dim[3];
    for (int64_t h = 0; h < H; h++) {
        double sum = 0;
        for (int64_t bt = 0; bt < B * T; bt++) {
            const double p = exp(fl_tensor_get(sink, h) -
                                 fl_tensor_get(lse, (bt / T * H + h) * T + bt % T));
            for (int64_t d = (bt * H + h) * D, stop = d + D; d < stop; d++)
                sum -= p * fl_tensor_get(&c->in[0], d) * fl_tensor_get(o, d);
        }
        fli_ref_put(c, 0, h, sum, c->attr.accumulate);
    }
}
