/* group - several texts read and continued by one model together: sequences over pages, and the
 * steps that read them. */
#include "infer/group.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cpu.h"
#include "infer/group_impl.h"

enum { CHUNK = 512 };

/* ---- making and freeing ---- */

static fl_status resolve(fl_group_opts *o, const fl_config *c, fl_err *err) {
    if (o->context < 0 || o->context > c->max_position_embeddings) {
        return fl_fail(err, FL_ERR_ARG,
                       "a context of %lld tokens; the model was made for 1 to %lld, and more "
                       "only if its rotary positions are scaled",
                       (long long)o->context, (long long)c->max_position_embeddings);
    }
    if (!o->context) o->context = c->max_position_embeddings;
    if (!o->chunk) o->chunk = CHUNK;
    if (o->chunk > o->context) o->chunk = o->context;
    return FL_OK;
}

static fl_dtype format_of(fl_compute compute) {
    const fl_cpu *cpu = fl_cpu_get();
    const bool fast = cpu->amx_bf16 || cpu->avx512_bf16;
    return compute == FL_COMPUTE_BF16 || (compute == FL_COMPUTE_AUTO && fast) ? FL_BF16 : FL_F32;
}

static fl_status cache_format(fl_dtype *out, const fl_group_opts *o, const fl_config *c,
                              fl_err *err) {
    static const fl_dtype formats[] = {[FL_CACHE_F32] = FL_F32,
                                       [FL_CACHE_BF16] = FL_BF16,
                                       [FL_CACHE_F16] = FL_F16,
                                       [FL_CACHE_Q8_0] = FL_Q8_0,
                                       [FL_CACHE_Q4_0] = FL_Q4_0};
    const int64_t size = fl_config_cache(c).size;
    *out = o->cache == FL_CACHE_AUTO ? format_of(o->compute) : formats[o->cache];
    if (size % fl_dtype_block(*out) == 0) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "a cache in %s needs heads of a multiple of %lld numbers; this model's have "
                   "%lld",
                   fl_dtype_name(*out), (long long)fl_dtype_block(*out), (long long)size);
}

static fl_status init(fl_group *g, fl_group_opts o, fl_err *err) {
    FL_TRY(resolve(&o, &g->m->config, err));
    if (!o.packs) o.packs = g->own_packs = fl_packs_new();
    if (!o.packs) return fl_fail(err, FL_ERR_NOMEM, "a group of texts");
    if (o.lock) fl_packs_lock(o.packs);
    fl_model_want(g->m, o.pool, o.lock);
    const fl_dtype compute = format_of(o.compute);
    const int64_t most = o.tokens ? fli_pages_for(o.tokens) + 1 : INT32_MAX;
    fl_dtype cache;
    FL_TRY(cache_format(&cache, &o, &g->m->config, err));
    FL_TRY(fli_pages_init(&g->pages, g->m, cache, most, err));
    fli_steps_init(&g->steps, g->m, &g->pages,
                   &(fli_steps_opts){.context = o.context,
                                     .chunk = o.chunk,
                                     .compute = compute,
                                     .backend = o.backend,
                                     .pool = o.pool,
                                     .packs = o.packs});
    return FL_OK;
}

fl_status fl_group_new(fl_group **out, fl_model *m, const fl_group_opts *o, fl_err *err) {
    fl_group *g = fl_alloc(sizeof *g);
    if (!g) return fl_fail(err, FL_ERR_NOMEM, "a group of texts");
    *g = (fl_group){.m = m};
    const fl_status st = init(g, *o, err);
    if (st == FL_OK) *out = g;
    else fl_group_free(g);
    return st;
}

void fl_group_free(fl_group *g) {
    if (!g) return;
    fli_steps_clear(&g->steps);
    fli_pages_clear(&g->pages);
    fl_packs_free(g->own_packs);
    fl_dealloc(g);
}

fl_model *fl_group_model(const fl_group *g) {
    return g->m;
}

int64_t fl_group_context(const fl_group *g) {
    return g->steps.opts.context;
}

size_t fl_group_cache_bytes(const fl_group *g) {
    return (size_t)g->pages.n * fli_page_bytes(&g->pages);
}

int64_t fl_group_tokens_free(const fl_group *g) {
    const fli_pages *p = &g->pages;
    return p->most == INT32_MAX ? INT64_MAX : (p->n_unused + p->most - p->n) * FLI_PAGE;
}

void fl_group_settle(fl_group *g) {
    const fli_steps_opts *o = &g->steps.opts;
    fl_packs_work(o->packs, o->pool ? o->pool : fl_pool_default(), INFINITY);
}

fl_status fl_sequence_new(fl_sequence **out, fl_group *g, fl_err *err) {
    fl_sequence *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a text");
    *s = (fl_sequence){.g = g};
    *out = s;
    return FL_OK;
}

void fl_sequence_free(fl_sequence *s) {
    if (!s) return;
    fli_pages_free(&s->g->pages, &s->text);
    fl_dealloc(s->id);
    fl_dealloc(s);
}

/* ---- the tokens of a text ---- */

static fl_status reserve(fl_sequence *s, int64_t n, fl_err *err) {
    if (n <= s->room) return FL_OK;
    int64_t room = s->room ? 2 * s->room : 256;
    while (room < n) room *= 2;
    int32_t *id = fl_alloc((size_t)room * sizeof *id);
    if (!id) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)room);
    if (s->length) memcpy(id, s->id, (size_t)s->length * sizeof *id);
    fl_dealloc(s->id);
    s->id = id;
    s->room = room;
    return FL_OK;
}

static void append(fl_sequence *s, const int32_t *id, int64_t n) {
    memcpy(s->id + s->length, id, (size_t)n * sizeof *id);
    s->length += n;
}

fl_status fl_sequence_fork(fl_sequence **out, const fl_sequence *from, int64_t n, fl_err *err) {
    FL_ASSERT(n >= 0 && n <= from->length);
    fl_sequence *s = NULL;
    FL_TRY(fl_sequence_new(&s, from->g, err));
    fl_status st = reserve(s, n, err);
    if (st == FL_OK) st = fli_pages_share(&s->g->pages, &s->text, &from->text, n, err);
    if (st != FL_OK) {
        fl_sequence_free(s);
        return st;
    }
    if (n) append(s, from->id, n);
    *out = s;
    return FL_OK;
}

fl_status fli_sequence_adopt(fl_sequence *s, const int32_t *id, int64_t n, fl_err *err) {
    fl_sequence_rewind(s, 0);
    FL_TRY(reserve(s, n, err));
    FL_TRY(fli_pages_hold(&s->g->pages, &s->text, 0, n, err));
    append(s, id, n);
    return FL_OK;
}

const float *fl_sequence_logits(const fl_sequence *s) {
    return s->step == s->g->n_steps ? s->logits : NULL;
}

int64_t fl_sequence_length(const fl_sequence *s) {
    return s->length;
}

const int32_t *fl_sequence_tokens(const fl_sequence *s) {
    return s->id;
}

void fl_sequence_rewind(fl_sequence *s, int64_t n) {
    FL_ASSERT(n >= 0 && n <= s->length);
    s->length = n;
    s->logits = NULL;
    fli_pages_trim(&s->g->pages, &s->text, n);
}

static fl_status check_id(const fl_group *g, int32_t id, fl_err *err) {
    if (id >= 0 && id < g->m->config.vocab_size) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "token %d: the model knows 0 to %lld", id,
                   (long long)g->m->config.vocab_size - 1);
}

static fl_status check_room(const fl_sequence *s, int64_t n, fl_err *err) {
    const int64_t context = fl_group_context(s->g);
    if (n <= context - s->length) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%lld tokens after %lld: the context holds %lld", (long long)n,
                   (long long)s->length, (long long)context);
}

/* ---- reading ---- */

/* One step's worth of the n tokens of a prompt; *taken is how many that were. */
static fl_status read_step(fl_sequence *s, fli_prompt p, float *nll, int64_t *taken, fl_err *err) {
    fl_group *g = s->g;
    const float *out;
    p.text = &s->text;
    p.start = s->length;
    p.n = fli_steps_cut(&g->steps, s->length, p.n, &p.size);
    g->n_steps++;
    fl_status st = fli_pages_hold(&g->pages, &s->text, s->length, s->length + p.size, err);
    if (st == FL_OK) st = fli_steps_read(&g->steps, &p, &out, err);
    if (st == FL_OK) {
        append(s, p.id, p.n);
        if (nll) memcpy(nll, out, (size_t)p.n * sizeof *nll);
        else s->logits = out;
        s->step = g->n_steps;
        *taken = p.n;
    }
    fli_pages_trim(&g->pages, &s->text, s->length);
    return st;
}

static fl_status read_all(fl_sequence *s, const int32_t *id, const int32_t *target, int64_t n,
                          float *nll, fl_err *err) {
    const int64_t before = s->length;
    FL_ASSERT(n > 0);
    FL_TRY(check_room(s, n, err));
    for (int64_t i = 0; i < n; i++) FL_TRY(check_id(s->g, id[i], err));
    FL_TRY(reserve(s, s->length + n, err));
    s->logits = NULL;
    for (int64_t at = 0, taken; at < n; at += taken) {
        const fli_prompt p = {.id = id + at, .target = target ? target + at : NULL, .n = n - at};
        const fl_status st = read_step(s, p, nll ? nll + at : NULL, &taken, err);
        if (st == FL_OK) continue;
        fl_sequence_rewind(s, before);
        return st;
    }
    return FL_OK;
}

fl_status fl_sequence_read(fl_sequence *s, const int32_t *id, int64_t n, fl_err *err) {
    return read_all(s, id, NULL, n, NULL, err);
}

fl_status fl_sequence_score(fl_sequence *s, const int32_t *id, const int32_t *target, int64_t n,
                            float *nll, fl_err *err) {
    FL_ASSERT(target && nll);
    return read_all(s, id, target, n, nll, err);
}

fl_status fl_sequence_shift(fl_sequence *s, int64_t keep, int64_t drop, fl_err *err) {
    const int64_t n = s->length - keep - drop;
    FL_ASSERT(keep >= 0 && drop > 0 && n >= 0);
    int32_t *rest = fl_alloc((size_t)(n + 1) * sizeof *rest);
    if (!rest) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n);
    memcpy(rest, s->id + keep + drop, (size_t)n * sizeof *rest);
    fl_sequence_rewind(s, keep);
    const fl_status st = n ? fl_sequence_read(s, rest, n, err) : FL_OK;
    fl_dealloc(rest);
    return st;
}

/* ---- decoding ---- */

/* The row's token at the end of its text: a place, a page, and no logits yet. */
static fl_status row_append(const fl_group_row *row, fli_row *out, fl_err *err) {
    fl_sequence *s = row->sequence;
    FL_TRY(check_id(s->g, row->id, err));
    FL_TRY(check_room(s, 1, err));
    FL_TRY(reserve(s, s->length + 1, err));
    FL_TRY(fli_pages_hold(&s->g->pages, &s->text, s->length, s->length + 1, err));
    *out = (fli_row){&s->text, s->length, row->id};
    append(s, &row->id, 1);
    return FL_OK;
}

fl_status fl_group_decode(fl_group *g, const fl_group_row *row, int64_t n, const float **logits,
                          fl_err *err) {
    fli_row rows[FLI_ROWS] = {{0}};
    int64_t ready = 0;
    fl_status st = FL_OK;
    FL_ASSERT(n > 0 && n <= FL_GROUP_ROWS);
    g->n_steps++;
    while (ready < n && st == FL_OK) {
        st = row_append(&row[ready], &rows[ready], err);
        ready += st == FL_OK;
    }
    if (st == FL_OK) st = fli_steps_decode(&g->steps, rows, n, logits, err);
    if (st != FL_OK) {
        while (ready-- > 0) fl_sequence_rewind(row[ready].sequence, rows[ready].start);
        return st;
    }
    for (int64_t i = 0; i < n; i++) {
        row[i].sequence->logits = *logits + i * g->m->config.vocab_size;
        row[i].sequence->step = g->n_steps;
    }
    return FL_OK;
}
