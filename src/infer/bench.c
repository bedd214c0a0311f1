/* bench - how fast a model reads a prompt and continues it on this machine. */
#include "infer/bench.h"

#include "base/alloc.h"
#include "base/progress.h"
#include "base/rng.h"

typedef struct {
    fl_model *m;
    fl_group *g;
    fl_sequence *text[FL_GROUP_ROWS];
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
        if (p->role == FL_ROLE_EXPERT || p->role == FL_ROLE_EXPERT_BIAS)
            sum += bytes * (double)c->experts_per_token / (double)c->num_experts;
        else sum += bytes;
    }
    return sum;
}

static fl_status make_ids(bench *b, fl_err *err) {
    const int64_t n = 1 + (b->o->n_prompt > b->o->n_generate ? b->o->n_prompt : b->o->n_generate);
    fl_rng r = {.seed = 1};
    b->id = fl_alloc((size_t)n * sizeof *b->id);
    if (!b->id) return fl_fail(err, FL_ERR_NOMEM, "%lld tokens", (long long)n);
    for (int64_t i = 0; i < n; i++)
        b->id[i] = (int32_t)fl_rng_below(&r, (uint64_t)b->m->config.vocab_size);
    return FL_OK;
}

/* Loaded, and one token read. */
static fl_status bench_open(bench *b, const char *path, fl_err *err) {
    const fl_group_opts go = {.compute = b->o->compute, .lock = b->o->lock, .pool = b->o->pool};
    if (b->o->n_sequences > FL_GROUP_ROWS)
        return fl_fail(err, FL_ERR_ARG, "%lld texts at once: at most %d",
                       (long long)b->o->n_sequences, FL_GROUP_ROWS);
    FL_TRY(fl_model_load(&b->m, path, &(fl_model_opts){.as_stored = true}, err));
    FL_TRY(fl_group_new(&b->g, b->m, &go, err));
    FL_TRY(make_ids(b, err));
    for (int i = 0; i == 0 || i < b->o->n_sequences; i++)
        FL_TRY(fl_sequence_new(&b->text[i], b->g, err));
    return fl_sequence_read(b->text[0], b->id, 1, err);
}

static void bench_close(bench *b) {
    fl_dealloc(b->id);
    for (int i = 0; i < FL_GROUP_ROWS; i++) fl_sequence_free(b->text[i]);
    fl_group_free(b->g);
    fl_model_free(b->m);
}

/* From an empty context. */
static fl_status prefill(bench *b, double *rate, fl_err *err) {
    const double start = fl_now();
    fl_sequence_rewind(b->text[0], 0);
    FL_TRY(fl_sequence_read(b->text[0], b->id, b->o->n_prompt, err));
    *rate = (double)b->o->n_prompt / (fl_now() - start);
    return FL_OK;
}

static fl_status decode(bench *b, int64_t n_texts, int64_t n, double *rate, fl_err *err) {
    const double start = fl_now();
    fl_group_row row[FL_GROUP_ROWS];
    const float *logits;
    for (int64_t i = 0; i < n_texts; i++) fl_sequence_rewind(b->text[i], 0);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t i = 0; i < n_texts; i++) row[i] = (fl_group_row){b->text[i], b->id[t]};
        FL_TRY(fl_group_decode(b->g, row, n_texts, &logits, err));
    }
    *rate = (double)(n * n_texts) / (fl_now() - start);
    return FL_OK;
}

/* The first time plans, and the copies of weights come after it. */
static fl_status measure(bench *b, fl_infer_bench *out, fl_err *err) {
    const int64_t texts = b->o->n_sequences ? b->o->n_sequences : 1;
    if (b->o->n_prompt) {
        FL_TRY(prefill(b, &out->prefill, err));
        fl_group_settle(b->g);
        FL_TRY(prefill(b, &out->prefill, err));
    }
    if (!b->o->n_generate) return FL_OK;
    FL_TRY(decode(b, texts, 1, &out->decode, err));
    fl_group_settle(b->g);
    return decode(b, texts, b->o->n_generate, &out->decode, err);
}

fl_status fl_infer_bench_run(fl_infer_bench *out, const char *path, const fl_infer_bench_opts *o,
                             fl_err *err) {
    bench b = {.o = o};
    *out = (fl_infer_bench){0};
    fl_status st = bench_open(&b, path, err);
    if (st == FL_OK) st = measure(&b, out, err);
    if (st == FL_OK) out->token_bytes = token_bytes(b.m);
    bench_close(&b);
    return st;
}
