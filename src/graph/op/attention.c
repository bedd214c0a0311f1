/* attention - softmax(scale q k^T, where visible) v, its gradient, and the key-value cache.
 *
 * Shapes and visibility are in ops.def. No (T, S) matrix outlives a tile: the backward pass makes
 * the probabilities again from lse (natural log of the sum of exponentials), as FlashAttention does
 * (Dao, 2023). With softcap c a score s becomes c tanh(s / c) before the mask. A sink is gpt-oss's
 * (OpenAI, 2025): its share of the softmax goes nowhere, so a head may attend to nothing. */
#include "graph/rule.h"
#include "tensor/quant.h"

enum { Q, K, V, SEGMENT, START, TABLE, SINK };        // of attention
enum { G_DO, G_Q, G_K, G_V, G_O, G_LSE, G_SEGMENT };  // of attention_grad
enum { A_CACHE, A_X, A_START, A_TABLE };              // of cache_append

/* Where a cache in pages is among the inputs, and who wants to know. */
typedef struct {
    const char *op;
    int cache, start, table;
} paging;

static const paging of_attention = {"attention", K, START, TABLE};
static const paging of_append = {"cache_append", A_CACHE, A_START, A_TABLE};

static fl_status check_table(fl_call *c, const paging *p, int64_t batch, fl_err *err) {
    const fl_tensor *table = &c->in[p->table];
    FLI_WANT(table->rank == 2 && table->dim[0] == batch, c, p->op, "table must be (B, M)", err);
    FLI_WANT(c->in[p->cache].dim[1] % FL_PAGE_STEP == 0, c, p->op,
             "a page must have a multiple of 16 rows", err);
    return FL_OK;
}

static fl_status check_format(fl_call *c, int at, const char *op, fl_err *err) {
    const fl_tensor *t = &c->in[at];
    if (!fl_dtype_is_block(t->dtype)) return FL_OK;
    FLI_WANT(fl_dtype_is_quick(t->dtype) && t->dim[3] % fl_dtype_block(t->dtype) == 0, c, op,
             "a cache in blocks must be q8_0 or q4_0, and D whole blocks", err);
    return FL_OK;
}

/* The cache has room for n rows from start on, and the pages of all rows before them are there. */
static fl_status check_room(const fl_call *c, const paging *p, int64_t n, fl_err *err) {
    const fl_tensor *cache = &c->in[p->cache], *table = &c->in[p->table];
    if (!fli_present(c, p->table))
        return fli_check_range(c, p->start, 0, cache->dim[1] - n + 1, p->op, err);
    const int64_t pages = cache->dim[0], N = cache->dim[1], M = table->dim[1];
    FL_TRY(fli_check_range(c, p->start, 0, M * N - n + 1, p->op, err));
    const int32_t *start = c->in[p->start].data, *page = table->data;
    for (int64_t b = 0; b < table->dim[0]; b++, page += M) {
        for (int64_t i = 0; i * N < start[b] + n; i++) {
            if (page[i] >= 0 && page[i] < pages) continue;
            return fl_fail(err, FL_ERR_ARG, "%s: page %d in row %lld; there are %lld", p->op,
                           page[i], (long long)b, (long long)pages);
        }
    }
    return FL_OK;
}

/* q against k, v, segment: what both rules ask. */
static fl_status check_qkv(fl_call *c, int q_at, int segment_at, const char *op, fl_err *err) {
    const fl_tensor *q = &c->in[q_at], *k = q + 1, *v = q + 2;
    FLI_WANT(q->rank == 4 && k->rank == 4, c, op, "q must be (B, T, H, D), k and v (B, S, K, D)",
             err);
    FLI_WANT(fl_tensor_same_shape(k, v), c, op, "k and v must have one shape", err);
    const bool paged = q_at == Q && fli_present(c, TABLE);
    FLI_WANT((paged || k->dim[0] == q->dim[0]) && k->dim[3] == q->dim[3], c, op,
             "q and k must share B and D", err);
    FLI_WANT(k->dim[2] > 0 && q->dim[2] % k->dim[2] == 0, c, op, "H must be a multiple of K", err);
    FLI_WANT(c->attr.window >= 0 && c->attr.softcap >= 0, c, op,
             "window and softcap must not be negative", err);
    if (!fli_present(c, segment_at)) return FL_OK;
    const fl_tensor *segment = &c->in[segment_at];
    FLI_WANT(segment->rank == 2 && segment->dim[0] == q->dim[0] && segment->dim[1] == q->dim[1], c,
             op, "segment must be (B, T)", err);
    FLI_WANT(k->dim[1] == q->dim[1], c, op, "with segments S must be T", err);
    return FL_OK;
}

static fl_status attention_shape(fl_call *c, fl_err *err) {
    const unsigned ints = 1u << SEGMENT | 1u << START | 1u << TABLE;
    FLI_DTYPES_OR_BLOCKS(c, ints, 1u << K | 1u << V, "attention", err);
    FL_TRY(check_qkv(c, Q, SEGMENT, "attention", err));
    const fl_tensor *q = &c->in[Q];
    FLI_WANT(!fli_present(c, START) || (c->in[START].rank == 1 && c->in[START].dim[0] == q->dim[0]),
             c, "attention", "start must be (B)", err);
    if (fli_present(c, TABLE)) {
        FLI_WANT(fli_present(c, START), c, "attention", "with a table there must be a start", err);
        FL_TRY(check_table(c, &of_attention, q->dim[0], err));
    }
    FL_TRY(check_format(c, K, "attention", err));
    FL_TRY(check_format(c, V, "attention", err));
    FLI_WANT(!fli_present(c, SINK) || (c->in[SINK].rank == 1 && c->in[SINK].dim[0] == q->dim[2]), c,
             "attention", "sink must be (H)", err);
    fli_out_like(c, 0, q, q->dtype);
    fli_out(c, 1, fli_wide(q->dtype), 3, (int64_t[]){q->dim[0], q->dim[2], q->dim[1]});
    return FL_OK;
}

static fl_status attention_values(const fl_call *c, fl_err *err) {
    if (!fli_present(c, START)) return FL_OK;
    return check_room(c, &of_attention, c->in[Q].dim[1], err);
}

static void attention_grad(fl_grad *d) {
    if (d->n_in > START && d->in[START].id >= 0) return;  // a cache is for inference
    const fl_val segment = d->n_in > SEGMENT ? d->in[SEGMENT] : FL_NONE;
    const fl_val in[] = {d->dout[0], d->in[Q], d->in[K], d->in[V], d->out[0], d->out[1], segment};
    const fl_val all = fl_apply(d->g, FL_OP_ATTENTION_GRAD, d->attr, 7, in);
    for (int i = 0; i < 3; i++) {
        if (d->want[i]) d->din[i] = fl_out(d->g, all, i);
    }
    if (d->n_in <= SINK || !d->want[SINK]) return;
    d->din[SINK] = fl_apply(d->g, FL_OP_ATTENTION_SINK_GRAD, &(fl_attr){0}, 4,
                            (fl_val[]){d->dout[0], d->out[0], d->out[1], d->in[SINK]});
}

typedef struct {
    int64_t b, t, s, h, k, d, window;
    bool causal, segment, start;
    float softcap, scale;
    int64_t page;    // rows of a page; 0: caches without pages
    fl_dtype cache;  // format of keys and values
} attention_case;

static const attention_case cases[] = {
    {1, 1, 1, 1, 1, 2, 0, true, false, false, 0, 0, 0, FL_F32},
    {2, 5, 5, 2, 2, 6, 0, true, false, false, 0, 0, 0, FL_F32},
    {1, 9, 9, 4, 2, 16, 0, false, false, false, 0, 0.3f, 0, FL_F32},
    {2, 7, 7, 3, 1, 8, 3, true, false, false, 0, 0, 0, FL_F32},
    {2, 11, 11, 2, 1, 8, 0, true, true, false, 0, 0, 0, FL_F32},
    {1, 6, 6, 2, 1, 4, 0, true, false, false, 1.5f, 0, 0, FL_F32},
    {1, 10, 10, 2, 2, 8, 4, true, true, false, 2.0f, 0.5f, 0, FL_F32},
    {2, 70, 70, 4, 2, 64, 0, true, true, false, 0, 0, 0, FL_F32},
    {1, 130, 130, 2, 1, 32, 50, true, false, false, 0, 0, 0, FL_F32},
    {2, 1, 37, 4, 2, 16, 0, true, false, true, 0, 0, 0, FL_F32},  // decoding from a cache
    {3, 4, 20, 2, 1, 8, 0, true, false, true, 0, 0, 0, FL_F32},
    {2, 3, 40, 2, 2, 64, 8, true, false, true, 3.0f, 0, 0, FL_F32},
    {1, 5, 5, 2, 2, 8, 2, false, false, false, 0, 0, 0, FL_F32},  // a window without causality
    {1, 200, 200, 3, 1, 40, 0, true, false, false, 0, 0, 0,
     FL_F32},  // many blocks, few heads, a padded head
    {1, 210, 210, 2, 1, 80, 60, true, false, false, 0, 0, 0,
     FL_F32},  // queries that see nothing of a block their neighbours see
    {2, 1, 600, 4, 2, 72, 0, true, false, true, 0, 0, 0, FL_F32},   // a long cache
    {2, 20, 400, 4, 2, 32, 0, true, false, true, 0, 0, 0, FL_F32},  // a prompt after a cached one
    {3, 1, 96, 4, 2, 16, 0, true, false, true, 0, 0, 16, FL_F32},
    {5, 1, 640, 3, 1, 64, 0, true, false, true, 0, 0, 64, FL_F32},
    {2, 2, 64, 4, 2, 40, 20, true, false, true, 2, 0, 32, FL_F32},
    {1, 40, 320, 6, 2, 64, 0, true, false, true, 0, 0, 64, FL_F32},
    {2, 33, 288, 4, 1, 8, 50, true, false, true, 0, 0, 48, FL_F32},
    {3, 1, 96, 4, 2, 64, 0, true, false, true, 0, 0, 16, FL_Q8_0},  // quantized caches
    {2, 1, 600, 6, 2, 96, 20, true, false, true, 0, 0, 0, FL_Q8_0},
    {1, 40, 320, 6, 2, 64, 0, true, false, true, 0, 0, 64, FL_Q8_0},
    {3, 1, 320, 4, 2, 32, 0, true, false, true, 2, 0, 64, FL_Q4_0},
    {2, 33, 288, 4, 1, 160, 0, true, false, true, 0, 0, 48, FL_Q4_0},
    {2, 1, 320, 4, 2, 40, 0, true, false, true, 0, 0, 64, FL_F16},
    {1, 40, 320, 6, 2, 72, 0, true, false, true, 0, 0, 64, FL_F16},
    {1, 1, 320, 20, 1, 576, 0, true, false, true, 0, 0, 64, FL_F32},  // latents of many heads
    {1, 1, 300, 3, 1, 576, 0, true, false, true, 0, 0, 0, FL_Q8_0},
    {1, 5, 128, 3, 1, 576, 0, true, false, true, 0, 0, 64, FL_F32},
};

static bool fill_case(int i, int at, fl_sample *s) {
    const attention_case *a = &cases[i];
    fl_tensor *q = &s->call.in[at];
    q[0] = FLI_T(FL_F32, a->b, a->t, a->h, a->d);
    q[1] = q[2] = a->page ? FLI_T(a->cache, a->b * a->s / a->page + 2, a->page, a->k, a->d)
                          : FLI_T(a->cache, a->b, a->s, a->k, a->d);
    s->call.attr = (fl_attr){.causal = a->causal,
                             .window = a->window,
                             .softcap = a->softcap,
                             .scale = a->scale};
    return true;
}

/* All cases, then every third again with sinks. */
static bool attention_sample(int i, fl_sample *s) {
    enum { AGAIN = 3, N = FLI_COUNT(cases) };
    const bool sink = i >= N;
    if (sink) i = (i - N) * AGAIN;
    if (i >= N) return false;
    const attention_case *a = &cases[i];
    *s = (fl_sample){.call = {.n_in = a->page ? 6 : a->start ? 5 : a->segment ? 4 : 3}};
    if (sink) {
        s->call.n_in = SINK + 1;
        s->call.in[SINK] = FLI_T(FL_F32, a->h);
    }
    if (a->segment) {
        s->call.in[SEGMENT] = FLI_T(FL_I32, a->b, a->t);
        s->int_below[SEGMENT] = 3;
        s->ascending[SEGMENT] = true;
    }
    if (a->start) {  // the caches hold at least the rows that are asked about
        s->call.in[START] = FLI_T(FL_I32, a->b);
        s->int_below[START] = a->s - a->t + 1;
    }
    if (a->page) {  // rows may share pages that are only read
        s->call.in[TABLE] = FLI_T(FL_I32, a->b, a->s / a->page);
        s->int_below[TABLE] = a->b * a->s / a->page + 2;
    }
    return fill_case(i, Q, s);
}

/* Pairs of query and key that can see each other, for one head of one row of the batch. */
static double visible_pairs(const fl_attr *a, int64_t t, int64_t s) {
    const double all = (double)t * (double)s,
                 seen = a->window && a->window < s ? (double)a->window : (double)s;
    if (t == s && a->causal && seen >= (double)s) return (all + (double)t) / 2;
    const double window = (double)t * seen;
    return window < all ? window : all;
}

static fl_cost attention_cost(const fl_call *c) {
    const fl_tensor *q = &c->in[Q];
    const int64_t keys = fli_present(c, TABLE) ? c->in[TABLE].dim[1] * c->in[K].dim[1]
                                               : c->in[K].dim[1];
    const double pairs = visible_pairs(&c->attr, q->dim[1], keys);
    const double heads = (double)(q->dim[0] * q->dim[2] * q->dim[3]);
    return (fl_cost){4 * pairs * heads, fli_call_bytes(c)};
}

const fl_op fl_op_attention = {
    .name = "attention",
    .min_in = 3,
    .max_in = 7,
    .n_out = 2,
    .shape = attention_shape,
    .values = attention_values,
    .grad = attention_grad,
    .sample = attention_sample,
    .cost = attention_cost,
    .mix = {{7, false}},
    .tolerance_ppm = 30,
    .tolerance_bf16_ppm = 12000,  // bf16 probabilities, then a bf16 result
};

static fl_status attention_grad_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES(c, 1u << G_SEGMENT, "attention_grad", err);
    FL_TRY(check_qkv(c, G_Q, G_SEGMENT, "attention_grad", err));
    const fl_tensor *q = &c->in[G_Q], *lse = &c->in[G_LSE];
    FLI_WANT(fl_tensor_same_shape(&c->in[G_DO], q) && fl_tensor_same_shape(&c->in[G_O], q), c,
             "attention_grad", "do and o must have the shape of q", err);
    FLI_WANT(lse->rank == 3 && lse->dim[0] == q->dim[0] && lse->dim[1] == q->dim[2] &&
                 lse->dim[2] == q->dim[1],
             c, "attention_grad", "lse must be (B, H, T)", err);
    for (int k = 0; k < 3; k++) fli_out_like(c, k, &c->in[G_Q + k], c->in[G_Q + k].dtype);
    return FL_OK;
}

/* o and lse of a sample must belong to q, k and v: the tests run attention first (check_ops). */
static bool attention_grad_sample(int i, fl_sample *s) {
    int n = 0;
    for (int j = 0; j < FLI_COUNT(cases); j++) {
        const attention_case *a = &cases[j];
        if (a->start || n++ != i) continue;
        *s = (fl_sample){.call = {.n_in = 7}};
        fill_case(j, G_Q, s);
        s->call.in[G_DO] = s->call.in[G_O] = s->call.in[G_Q];
        s->call.in[G_LSE] = FLI_T(FL_F32, a->b, a->h, a->t);
        if (a->segment) {
            s->call.in[G_SEGMENT] = FLI_T(FL_I32, a->b, a->t);
            s->int_below[G_SEGMENT] = 3;
            s->ascending[G_SEGMENT] = true;
        }
        return true;
    }
    return false;
}

static fl_cost attention_grad_cost(const fl_call *c) {
    const fl_tensor *q = &c->in[G_Q];
    const double pairs = visible_pairs(&c->attr, q->dim[1], c->in[G_K].dim[1]);
    const double heads = (double)(q->dim[0] * q->dim[2] * q->dim[3]);
    return (fl_cost){10 * pairs * heads, fli_call_bytes(c)};  // five products: s, dp, dq, dk, dv
}

const fl_op fl_op_attention_grad = {
    .name = "attention_grad",
    .min_in = 6,
    .max_in = 7,
    .n_out = 3,
    .shape = attention_grad_shape,
    .sample = attention_grad_sample,
    .cost = attention_grad_cost,
    .mix = {{31, false}},
    .tolerance_ppm = 50,
    .tolerance_bf16_ppm = 20000,  // bf16 probabilities and bf16 score gradients
};

static fl_status cache_append_shape(fl_call *c, fl_err *err) {
    FLI_DTYPES_OR_BLOCKS(c, 1u << A_START | 1u << A_TABLE, 1u << A_CACHE, "cache_append", err);
    const fl_tensor *cache = &c->in[A_CACHE], *x = &c->in[A_X], *start = &c->in[A_START];
    const bool paged = fli_present(c, A_TABLE);
    FLI_WANT(cache->rank == 4 && x->rank == 4 && (paged || x->dim[0] == cache->dim[0]) &&
                 x->dim[2] == cache->dim[2] && x->dim[3] == cache->dim[3] &&
                 (paged || x->dim[1] <= cache->dim[1]),
             c, "cache_append", "x must be (B, T, K, D), the cache (B, S, K, D), T <= S", err);
    if (paged) FL_TRY(check_table(c, &of_append, x->dim[0], err));
    FLI_WANT(start->rank == 1 && start->dim[0] == x->dim[0], c, "cache_append", "start must be (B)",
             err);
    FL_TRY(check_format(c, A_CACHE, "cache_append", err));
    fli_out_like(c, 0, cache, cache->dtype);
    return FL_OK;
}

static fl_status cache_append_values(const fl_call *c, fl_err *err) {
    return check_room(c, &of_append, c->in[A_X].dim[1], err);
}

typedef struct {
    int64_t pages, page, t, d;  // no pages: one block of `page` rows for each row of the batch
    fl_dtype dtype;
} append_case;

static const append_case append_cases[] = {
    {0, 9, 1, 8, FL_F32},    {0, 9, 3, 8, FL_F32},     {0, 9, 6, 8, FL_F32},
    {9, 16, 1, 8, FL_F32},   {9, 16, 40, 8, FL_F32},   {0, 9, 3, 40, FL_F16},
    {9, 16, 1, 64, FL_F16},  {0, 50, 33, 64, FL_Q8_0}, {9, 16, 40, 32, FL_Q8_0},
    {9, 16, 1, 64, FL_Q4_0}, {0, 20, 3, 800, FL_Q4_0},
};

static bool cache_append_sample(int i, fl_sample *s) {
    enum { B = 2, HEADS = 2, M = 4 };
    if (i >= FLI_COUNT(append_cases)) return false;
    const append_case *a = &append_cases[i];
    *s = (fl_sample){.call = {.n_in = a->pages ? 4 : 3,
                              .in = {FLI_T(a->dtype, a->pages ? a->pages : B, a->page, HEADS, a->d),
                                     FLI_T(FL_F32, B, a->t, HEADS, a->d), FLI_T(FL_I32, B)}},
                     .int_below = {[A_START] = a->page - a->t + 1}};
    if (!a->pages) return true;
    s->call.in[A_TABLE] = FLI_T(FL_I32, B, M);
    s->int_below[A_START] = M * a->page - a->t + 1;
    s->int_below[A_TABLE] = a->pages;
    s->distinct[A_TABLE] = true;
    return true;
}

static fl_cost cache_append_cost(const fl_call *c) {
    return (fl_cost){.bytes = (double)(2 * fl_tensor_bytes(&c->in[1]))};
}

const fl_op fl_op_cache_append = {
    .name = "cache_append",
    .min_in = 3,
    .max_in = 4,
    .n_out = 1,
    .shape = cache_append_shape,
    .values = cache_append_values,
    .sample = cache_append_sample,
    .cost = cache_append_cost,
    .alias = {1},
    .no_recompute = true,
    .mix = {{3, false}, {1, false}},
};
