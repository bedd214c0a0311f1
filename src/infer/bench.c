/* bench - how fast a model reads a prompt and continues it on this machine. */
#include "infer/bench.h"

#include "base/alloc.h"
#include "base/progress.h"
#include "base/rng.h"

typedef struct {
    fl_model *m;
    fl_session *s;
    int32_t *id;  // random, enough for either measurement
    const fl_infer_bench_opts *o;
} bench;

/* A token meets every weight but the embedding's other rows and the experts not chosen. */
static double token_bytes(const fl_model *m) {
    const fl_config *c = &m->config;
    double sum = 0;
    for (int i = 0; i < m->n_params; i++) {
        const fl_param *p = &m->param[i];
        const double bytes = (double)fl_tensor_bytes(&p->data);
        if (p->role == FL_ROLE_EMBEDDING && !c->tie_word_embeddings) continue;
        if (p->role == FL_ROLE_EXPERT)
            sum += bytes * (double)c->experts_per_token / (double)c->num_experts;
        else sum += bytes;
    }
    return sum;
}

static fl_status bench_open(bench *b, const char *path, fl_infer_bench *out, fl_err *err) {
    const double start = fl_now();
    const fl_session_opts so = {.compute = b->o->compute, .pool = b->o->pool};
    FL_TRY(fl_model_load(&b->m, path, &(fl_model_opts){.as_stored = true}, err));
    FL_TRY(fl_session_new(&b->s, b->m, &so, err));
    out->load = fl_now() - start;
    const int64_t n = 1 + (b->o->n_prompt > b->o->n_generate ? b->o->n_prompt : b->o->n_generate);
    b->id = fl_alloc((size_t)n * sizeof *b->id);
    if (!b->id) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n);
    fl_rng r = {.seed = 1};
    for (int64_t i = 0; i < n; i++)
        b->id[i] = (int32_t)fl_rng_below(&r, (uint64_t)b->m->config.vocab_size);
    FL_TRY(fl_session_feed(b->s, b->id, 1, err));
    out->first = fl_now() - start;
    out->token_bytes = token_bytes(b->m);
    return FL_OK;
}

static void bench_close(bench *b) {
    fl_dealloc(b->id);
    fl_session_free(b->s);
    fl_model_free(b->m);
}

/* From an empty context, as a prompt or token by token; tokens a second. */
static fl_status feed(bench *b, int64_t n, bool decode, double *out, fl_err *err) {
    const double start = fl_now();
    fl_session_rewind(b->s, 0);
    if (!decode) FL_TRY(fl_session_feed(b->s, b->id, n, err));
    for (int64_t i = 0; decode && i < n; i++) FL_TRY(fl_session_decode(b->s, b->id[i], err));
    *out = (double)n / (fl_now() - start);
    return FL_OK;
}

static fl_status measure_prefill(bench *b, fl_infer_bench *out, fl_err *err) {
    const int64_t n = b->o->n_prompt;
    FL_TRY(feed(b, n, false, &out->prefill, err));  // plans, and touches the weights
    return feed(b, n, false, &out->prefill, err);
}

static fl_status measure_decode(bench *b, fl_infer_bench *out, fl_err *err) {
    FL_TRY(feed(b, 1, true, &out->decode, err));
    return feed(b, b->o->n_generate, true, &out->decode, err);
}

fl_status fl_infer_bench_run(fl_infer_bench *out, const char *path, const fl_infer_bench_opts *o,
                             fl_err *err) {
    bench b = {.o = o};
    *out = (fl_infer_bench){0};
    fl_status st = bench_open(&b, path, out, err);
    if (st == FL_OK && o->n_prompt) st = measure_prefill(&b, out, err);
    if (st == FL_OK && o->n_generate) st = measure_decode(&b, out, err);
    bench_close(&b);
    return st;
}
