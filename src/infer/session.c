/* session - one text being read and continued by a model: its tokens, and their keys and values.
 *
 *   tokens, position (1, T)   start (1)   k, v (1, S, K, D) per layer
 *   NEXT:  hidden (1, T, C) -> row `last` of it -> logits (1, V)
 *   EACH:  hidden (1, T, C) -> logits (T, V)
 *   SCORE: hidden (1, T, C), targets (T) -> nll (T), no logits kept
 *
 * A step of T may hold fewer than T tokens: the rest repeats the last one. What it writes into the
 * cache lies behind the text, where causality hides it, and is written over by the next step. */
#include "infer/session.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cpu.h"

enum { CHUNK = 512, CAPACITY = 256, MAX_SIZES = 16 };

typedef enum { NEXT, EACH, SCORE, N_KINDS } kind;

/* The model planned for steps of T tokens. */
typedef struct {
    fl_graph *g;
    fl_program *program;
    fl_val tokens, position, start, last, targets, out;
} step;

struct fl_session {
    fl_model *m;
    fl_session_opts opts;
    fl_dtype compute;
    fl_packs *own_packs;
    int64_t capacity;  // S: tokens the cache has room for
    int64_t length;
    int32_t *ids;      // context
    fl_buffer *cache;  // layer by layer: keys, values
    const float *logits;
    float *each;  // of fl_session_feed_each, FL_SESSION_EACH x V; NULL: not asked for yet
    int64_t size[MAX_SIZES];  // of steps, ascending
    int n_sizes;
    step steps[N_KINDS][MAX_SIZES];
};

/* ---- the cache ---- */

static size_t row_bytes(const fl_session *s) {
    const fl_cache_shape shape = fl_config_cache(&s->m->config);
    return (size_t)(shape.heads * shape.size) * fl_dtype_bytes(s->compute);
}

static int64_t n_blocks(const fl_session *s) {
    const fl_config *c = &s->m->config;
    return (fl_config_cache(c).values ? 2 : 1) * c->num_hidden_layers;
}

static void *block(const fl_session *s, int64_t i) {
    return (char *)fl_buffer_data(s->cache) + (size_t)(i * s->capacity) * row_bytes(s);
}

static void steps_drop(fl_session *s) {
    for (int k = 0; k < N_KINDS; k++) {
        for (int i = 0; i < s->n_sizes; i++) {
            fl_program_free(s->steps[k][i].program);
            fl_graph_free(s->steps[k][i].g);
            s->steps[k][i] = (step){0};
        }
    }
    s->logits = NULL;
}

/* Make room for `need` tokens. The programs name the cache's memory, so they go with the old
 * one. */
static fl_status cache_grow(fl_session *s, int64_t need, fl_err *err) {
    if (need <= s->capacity) return FL_OK;
    int64_t capacity = s->capacity ? s->capacity : CAPACITY;
    while (capacity < need) capacity *= 2;
    if (capacity > s->opts.context) capacity = s->opts.context;
    fl_buffer *grown;
    FL_TRY(fl_buffer_new(&grown, (size_t)(n_blocks(s) * capacity) * row_bytes(s), err));
    steps_drop(s);
    for (int64_t i = 0; s->cache && i < n_blocks(s); i++) {
        char *to = (char *)fl_buffer_data(grown) + (size_t)(i * capacity) * row_bytes(s);
        memcpy(to, block(s, i), (size_t)s->length * row_bytes(s));
    }
    fl_buffer_unref(s->cache);
    s->cache = grown;
    s->capacity = capacity;
    return FL_OK;
}

/* ---- the graph ---- */

/* Keys and values as values of the graph; arrays of one per layer in `v`, keys first. */
static void cache_values(const fl_session *s, fl_graph *g, fl_val *v) {
    const fl_cache_shape shape = fl_config_cache(&s->m->config);
    int64_t layers = s->m->config.num_hidden_layers;
    for (int64_t i = 0; i < n_blocks(s); i++) {
        fl_tensor t = fl_tensor_of(block(s, i), s->compute, 4,
                                   (int64_t[]){1, s->capacity, shape.heads, shape.size});
        v[i] = fl_extern(g, i < layers ? "keys" : "values", t, false);
    }
}

static fl_status step_build(fl_session *s, step *st, kind k, int64_t T, fl_val *cache,
                            fl_err *err) {
    fl_graph *g = st->g;
    cache_values(s, g, cache);
    st->tokens = fl_input(g, "tokens", FL_I32, 2, (int64_t[]){1, T});
    st->position = fl_input(g, "position", FL_I32, 2, (int64_t[]){1, T});
    st->start = fl_input(g, "start", FL_I32, 1, (int64_t[]){1});
    fl_forward f = {.tokens = st->tokens,
                    .position = st->position,
                    .segment = FL_NONE,
                    .start = st->start,
                    .k_cache = cache,
                    .v_cache = fl_config_cache(&s->m->config).values
                                   ? cache + s->m->config.num_hidden_layers
                                   : NULL,
                    .context = s->opts.context,
                    .compute = s->compute};
    fl_val h = fl_reshape(g, fl_model_hidden(s->m, g, &f), 2,
                          (int64_t[]){T, s->m->config.hidden_size});
    if (k == EACH) {
        st->out = fl_model_logits(s->m, g, h);
    } else if (k == NEXT) {
        st->last = fl_input(g, "last", FL_I32, 1, (int64_t[]){1});
        st->out = fl_model_logits(s->m, g, fl_embedding(g, st->last, h, s->compute));
    } else {
        st->targets = fl_input(g, "targets", FL_I32, 1, (int64_t[]){T});
        st->out = fl_linear_ce(g, h, fl_model_head(s->m, g), st->targets,
                               (float)s->m->config.logit_softcap);
    }
    fl_graph_output(g, st->out);
    FL_TRY(fl_graph_check(g, err));
    fl_program_opts o = {.backend = s->opts.backend, .pool = s->opts.pool, .packs = s->opts.packs};
    return fl_program_new(&st->program, g, &o, err);
}

static fl_status step_get(fl_session *s, kind k, int i, step **out, fl_err *err) {
    step *st = &s->steps[k][i];
    *out = st;
    if (st->program) return FL_OK;
    fl_val *cache = fl_alloc((size_t)n_blocks(s) * sizeof *cache);
    st->g = fl_graph_new();
    fl_status status = cache && st->g ? step_build(s, st, k, s->size[i], cache, err)
                                      : fl_fail(err, FL_ERR_NOMEM, "the graph of a step");
    fl_dealloc(cache);
    if (status == FL_OK) return FL_OK;
    fl_graph_free(st->g);
    *st = (step){0};
    return fl_context(err, status, "planning steps of %lld tokens", (long long)s->size[i]);
}

/* ---- making and freeing ---- */

/* 1, 4, 16, .. and the chunk itself: few programs, and a step is never more than half padding. */
static void sizes_set(fl_session *s, int64_t chunk) {
    for (int64_t size = 1; size < chunk; size *= 4) s->size[s->n_sizes++] = size;
    s->size[s->n_sizes++] = chunk;
}

/* The step for `n` tokens: the smallest that takes them all if it would be half full, else the
 * largest it fills. */
static int size_for(const fl_session *s, int64_t n) {
    int i = 0;
    while (i + 1 < s->n_sizes && s->size[i] < n) i++;
    bool roomy = s->size[i] > 2 * n || s->length + s->size[i] > s->opts.context;
    return i && s->size[i] > n && roomy ? i - 1 : i;
}

static fl_status session_init(fl_session *s, fl_err *err) {
    const fl_config *c = &s->m->config;
    fl_session_opts *o = &s->opts;
    if (o->context < 0 || o->context > c->max_position_embeddings) {
        return fl_fail(err, FL_ERR_ARG,
                       "a context of %lld tokens; the model was made for 1 to %lld",
                       (long long)o->context, (long long)c->max_position_embeddings);
    }
    if (!o->context) o->context = c->max_position_embeddings;
    if (!o->chunk) o->chunk = CHUNK;
    if (o->chunk > o->context) o->chunk = o->context;
    const fl_cpu *cpu = fl_cpu_get();
    bool fast = cpu->amx_bf16 || cpu->avx512_bf16;
    bool bf16 = o->compute == FL_COMPUTE_BF16 || (o->compute == FL_COMPUTE_AUTO && fast);
    s->compute = bf16 ? FL_BF16 : FL_F32;
    sizes_set(s, o->chunk);
    s->ids = fl_alloc((size_t)o->context * sizeof *s->ids);
    if (!o->packs) o->packs = s->own_packs = fl_packs_new();
    if (!s->ids || !o->packs) return fl_fail(err, FL_ERR_NOMEM, "a session");
    return FL_OK;
}

fl_status fl_session_new(fl_session **out, fl_model *m, const fl_session_opts *o, fl_err *err) {
    fl_session *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a session");
    memset(s, 0, sizeof *s);
    s->m = m;
    s->opts = *o;
    fl_status st = session_init(s, err);
    if (st == FL_OK) *out = s;
    else fl_session_free(s);
    return st;
}

void fl_session_free(fl_session *s) {
    if (!s) return;
    steps_drop(s);
    fl_packs_free(s->own_packs);
    fl_buffer_unref(s->cache);
    fl_dealloc(s->ids);
    fl_dealloc(s->each);
    fl_dealloc(s);
}

/* ---- reading ---- */

static int32_t *ints(const step *st, fl_val v) {
    return fl_program_tensor(st->program, v).data;
}

/* What is read, and what of it is wanted. */
typedef struct {
    kind kind;
    const int32_t *id, *target;  // target for SCORE
    int64_t n;
    float *out;  // of SCORE and EACH: n x width
    int64_t width;
} reading;

/* Run one step over the first n <= size tokens. */
static fl_status step_run(fl_session *s, step *st, int64_t size, const reading *r, int64_t n,
                          fl_err *err) {
    int32_t *tokens = ints(st, st->tokens), *position = ints(st, st->position);
    for (int64_t i = 0; i < size; i++) {
        int64_t k = i < n ? i : n - 1;
        tokens[i] = r->id[k];
        position[i] = (int32_t)(s->length + k);
        if (r->kind == SCORE) ints(st, st->targets)[i] = i < n ? r->target[i] : -1;
    }
    *ints(st, st->start) = (int32_t)s->length;
    if (r->kind == NEXT) *ints(st, st->last) = (int32_t)(n - 1);
    return fl_program_run(st->program, false, err);
}

/* The m tokens of a step are read: note them, and take what is wanted of them. */
static void step_done(fl_session *s, const step *st, reading *r, int64_t m) {
    const float *out = fl_program_tensor(st->program, st->out).data;
    memcpy(s->ids + s->length, r->id, (size_t)m * sizeof *r->id);
    s->length += m;
    r->id += m;
    r->n -= m;
    if (r->kind == NEXT) {
        s->logits = out;
        return;
    }
    memcpy(r->out, out, (size_t)(m * r->width) * sizeof *r->out);
    r->out += m * r->width;
    if (r->kind == SCORE) r->target += m;
    else s->logits = r->out - r->width;
}

/* Step by step. */
static fl_status read_all(fl_session *s, reading r, fl_err *err) {
    int64_t before = s->length;
    s->logits = NULL;
    fl_status status = FL_OK;
    while (r.n > 0 && status == FL_OK) {
        int i = size_for(s, r.n);
        int64_t m = s->size[i] < r.n ? s->size[i] : r.n;
        step *st = NULL;
        status = cache_grow(s, s->length + s->size[i], err);
        if (status == FL_OK) status = step_get(s, r.kind, i, &st, err);
        if (status == FL_OK) status = step_run(s, st, s->size[i], &r, m, err);
        if (status == FL_OK) step_done(s, st, &r, m);
    }
    if (status != FL_OK) fl_session_rewind(s, before);
    return status;
}

static fl_status check_ids(const fl_session *s, const int32_t *id, int64_t n, fl_err *err) {
    if (n > s->opts.context - s->length) {
        return fl_fail(err, FL_ERR_ARG, "%lld tokens after %lld: the context holds %lld",
                       (long long)n, (long long)s->length, (long long)s->opts.context);
    }
    for (int64_t i = 0; i < n; i++) {
        if (id[i] >= 0 && id[i] < s->m->config.vocab_size) continue;
        return fl_fail(err, FL_ERR_ARG, "token %d: the model knows 0 to %lld", id[i],
                       (long long)s->m->config.vocab_size - 1);
    }
    return FL_OK;
}

fl_status fl_session_feed(fl_session *s, const int32_t *id, int64_t n, fl_err *err) {
    FL_ASSERT(n > 0);
    FL_TRY(check_ids(s, id, n, err));
    return read_all(s, (reading){.kind = NEXT, .id = id, .n = n}, err);
}

fl_status fl_session_score(fl_session *s, const int32_t *id, const int32_t *target, int64_t n,
                           float *nll, fl_err *err) {
    FL_ASSERT(n > 0 && target && nll);
    FL_TRY(check_ids(s, id, n, err));
    reading r = {.kind = SCORE, .id = id, .target = target, .n = n, .out = nll, .width = 1};
    return read_all(s, r, err);
}

fl_status fl_session_feed_each(fl_session *s, const int32_t *id, int64_t n, const float **logits,
                               fl_err *err) {
    FL_ASSERT(n > 0 && n <= FL_SESSION_EACH);
    FL_TRY(check_ids(s, id, n, err));
    int64_t V = s->m->config.vocab_size;
    if (!s->each) s->each = fl_alloc((size_t)(FL_SESSION_EACH * V) * sizeof *s->each);
    if (!s->each) return fl_fail(err, FL_ERR_NOMEM, "logits of %d tokens", FL_SESSION_EACH);
    FL_TRY(read_all(s, (reading){.kind = EACH, .id = id, .n = n, .out = s->each, .width = V}, err));
    *logits = s->each;
    return FL_OK;
}

const float *fl_session_logits(const fl_session *s) {
    return s->logits;
}

int64_t fl_session_length(const fl_session *s) {
    return s->length;
}

const int32_t *fl_session_tokens(const fl_session *s) {
    return s->ids;
}

int64_t fl_session_context(const fl_session *s) {
    return s->opts.context;
}

fl_model *fl_session_model(const fl_session *s) {
    return s->m;
}

size_t fl_session_cache_bytes(const fl_session *s) {
    return s->cache ? fl_buffer_bytes(s->cache) : 0;
}

void fl_session_rewind(fl_session *s, int64_t n) {
    FL_ASSERT(n >= 0 && n <= s->length);
    s->length = n;
    s->logits = NULL;
}

fl_status fl_session_slide(fl_session *s, int64_t n, fl_err *err) {
    FL_ASSERT(n > 0 && n <= s->length);
    int32_t *kept = fl_alloc((size_t)n * sizeof *kept);
    if (!kept) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n);
    memcpy(kept, s->ids + s->length - n, (size_t)n * sizeof *kept);
    fl_session_rewind(s, 0);
    fl_status st = fl_session_feed(s, kept, n, err);
    fl_dealloc(kept);
    return st;
}
