/* check_scheduler - fifty requests, each alone and all in shared steps: the same bytes, whoever
 * came with them and when, at one thread or two; and one request's failure is nobody else's.
 *
 * Caught by it (each tried): a request that begins although the cache may become full; a beginning
 * taken from another text's answer instead of its prompt, be it still written or ended. */
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/thread.h"
#include "check.h"
#include "infer/scheduler.h"
#include "token/tokenizer.h"

enum { N = 50, CONTEXT = 384, PROMPT = 300 };

typedef struct {
    int32_t prompt[PROMPT];
    int64_t n;
    fl_generate_opts opts;
    fl_text alone, text;  // as heard: tokens, logprobs, pieces of text
    fl_generate_result r_alone, r;
    int n_done;
    fl_status status;
    char why[sizeof((fl_err *)0)->msg];
} request;

static fl_model *model;
static request requests[N];

/* Everything that is handed out, as bytes. */
static bool hear(void *ctx, const fl_generated *g) {
    fl_text *to = ctx;
    fl_text_append(to, &g->id, sizeof g->id);
    fl_text_append(to, &g->logprob, sizeof g->logprob);
    fl_text_append(to, g->text, g->n);
    return true;
}

static void done(void *ctx, const fl_generate_result *r, fl_status status, const fl_err *err) {
    request *q = ctx;
    q->n_done++;
    q->status = status;
    if (r) q->r = *r;
    snprintf(q->why, sizeof q->why, "%s", err->msg);
}

static void request_clear(request *q) {
    fl_text_clear(&q->alone);
    fl_text_clear(&q->text);
}

static void requests_make(void) {
    static const char *const stops[] = {"e", "th"};
    fl_rng rng = {.seed = 11};
    for (int i = 0; i < N; i++) {
        request *q = &requests[i];
        q->n = 1 + (int64_t)fl_rng_below(&rng, i % 4 ? 40 : PROMPT);
        for (int64_t k = 0; k < q->n; k++)
            q->prompt[k] = i % 3 && k < 100 ? (int32_t)(k * 5 % 300)
                                            : (int32_t)fl_rng_below(&rng, 400);
        q->opts = (fl_generate_opts){
            .max_tokens = 1 + (int64_t)fl_rng_below(&rng, 60),
            .sampler = {.temperature = i % 5 ? 0.9 : 0,
                        .top_k = i % 2 ? 40 : 0,
                        .repeat_penalty = i % 7 ? 0 : 1.2,
                        .mirostat = i % 11 == 3 ? 2 : 0,
                        .seed = (uint64_t)i},
            .stop = stops,
            .n_stop = i % 6 == 1 ? 2 : 0,
            .want_logprobs = true,
            .ignore_eos = i % 2,
            .shift = i % 8 == 0,
            .keep = i % 16 ? 0 : 5,
            .emit = hear,
        };
        if (i % 8 == 0) q->opts.max_tokens = 200;  // fills the context
    }
}

/* What it says alone. The session that said it is for the caller to free. */
static fl_session *say_alone(request *q, fl_session_opts o) {
    fl_session *s;
    fl_err err = {0};
    CHECK(fl_session_new(&s, model, &o, NULL) == FL_OK);
    q->opts.ctx = &q->alone;
    q->alone.n = 0;
    CHECKF(fl_generate_ids(s, q->prompt, q->n, &q->opts, &q->r_alone, &err) == FL_OK, "%s",
           err.msg);
    return s;
}

static void request_add(fl_scheduler *s, request *q) {
    q->text.n = 0;
    q->n_done = 0;
    q->opts.ctx = &q->text;
    const fl_request r = {q->prompt, q->n, &q->opts, done, q};
    CHECK(fl_scheduler_add(s, &r, NULL) == FL_OK);
}

static bool same_text(const request *q) {
    return q->text.n == q->alone.n && memcmp(q->text.data, q->alone.data, q->text.n) == 0;
}

static bool same_result(const fl_generate_result *a, const fl_generate_result *b) {
    return a->finish == b->finish && a->n_prompt == b->n_prompt &&
           a->n_generated == b->n_generated && a->n_shifts == b->n_shifts;
}

/* All of them, in random order, some at once and some while others are written. */
static void check_together(fl_group_opts o, const fl_scheduler_opts *so, uint64_t seed) {
    fl_rng rng = {.seed = seed};
    fl_group *g;
    fl_scheduler *s;
    int order[N], added = 0;
    int64_t reused = 0;
    for (int i = 0; i < N; i++) order[i] = i;
    for (int i = N - 1; i > 0; i--) {
        int k = (int)fl_rng_below(&rng, (uint64_t)i + 1), x = order[i];
        order[i] = order[k];
        order[k] = x;
    }
    CHECK(fl_group_new(&g, model, &o, NULL) == FL_OK);
    CHECK(fl_scheduler_new(&s, g, so, NULL) == FL_OK);
    for (bool busy = true; busy || added < N;) {
        for (int n = (int)fl_rng_below(&rng, 4); n > 0 && added < N; n--)
            request_add(s, &requests[order[added++]]);
        fl_err err = {0};
        CHECKF(fl_scheduler_step(s, &busy, &err) == FL_OK, "%s", err.msg);
    }
    for (int i = 0; i < N; i++) {
        const request *q = &requests[i];
        CHECKF(q->n_done == 1 && q->status == FL_OK, "request %d: %s", i, q->why);
        CHECKF(same_text(q), "request %d, order %d", i, (int)seed);
        CHECKF(same_result(&q->r, &q->r_alone), "request %d", i);
        reused += q->r.n_reused;
    }
    CHECK(reused > 100);
    fl_scheduler_free(s);
    fl_group_free(g);
}

static void check_invariance(fl_compute compute) {
    fl_pool *pool[2];
    for (int i = 0; i < 2; i++) CHECK(fl_pool_new(&pool[i], i + 1, NULL) == FL_OK);
    for (int i = 0; i < N; i++) {
        const fl_session_opts o = {.compute = compute, .pool = pool[0]};
        fl_session_free(say_alone(&requests[i], o));
    }
    for (uint64_t seed = 0; seed < 4; seed++) {
        const fl_scheduler_opts so = {.parallel = seed ? 3 + 4 * (int64_t)seed : 0};
        fl_group_opts o = {.compute = compute, .pool = pool[seed % 2]};
        if (seed == 3) o.tokens = 2500;  // requests wait for one another
        check_together(o, &so, seed);
    }
    for (int i = 0; i < 2; i++) fl_pool_free(pool[i]);
}

/* A request whose prompt is another's with the beginning of its answer takes the prompt from there
 * and not the answer, whose tokens were decoded and not read; while the other is being written, and
 * when it has ended. */
static void check_answers_are_read(fl_compute compute) {
    enum { ANSWER = 60, TAKEN = 20 };
    for (int ended = 0; ended < 2; ended++) {
        request a = {.n = 70, .opts = {.max_tokens = ANSWER, .ignore_eos = true}}, b = {0};
        fl_group *g;
        fl_scheduler *s;
        bool busy = true;
        a.opts.emit = hear;
        a.opts.want_logprobs = true;
        for (int i = 0; i < a.n; i++) a.prompt[i] = i * 7 % 400;
        b.n = a.n + TAKEN;
        b.opts = a.opts;
        fl_session *alone = say_alone(&a, (fl_session_opts){.compute = compute});
        memcpy(b.prompt, fl_session_tokens(alone), (size_t)b.n * sizeof *b.prompt);
        fl_session_free(alone);
        fl_session_free(say_alone(&b, (fl_session_opts){.compute = compute}));

        CHECK(fl_group_new(&g, model, &(fl_group_opts){.compute = compute}, NULL) == FL_OK);
        CHECK(fl_scheduler_new(&s, g, &(fl_scheduler_opts){0}, NULL) == FL_OK);
        request_add(s, &a);
        for (int i = 0; ended ? busy : i < TAKEN + 10; i++)
            CHECK(fl_scheduler_step(s, &busy, NULL) == FL_OK);
        CHECK(a.n_done == ended);
        request_add(s, &b);
        for (busy = true; busy;) CHECK(fl_scheduler_step(s, &busy, NULL) == FL_OK);
        CHECK(same_text(&a) && same_text(&b));
        CHECKF(b.r.n_reused == a.n, "%d tokens of %d are reused", (int)b.r.n_reused, (int)a.n);
        fl_scheduler_free(s);
        fl_group_free(g);
        request_clear(&a);
        request_clear(&b);
    }
}

/* A request that cannot be served says why; the others are. */
static void check_failures(void) {
    fl_group *g;
    fl_scheduler *s;
    fl_err err = {0};
    const fl_scheduler_opts so = {.parallel = 2};
    CHECK(fl_group_new(&g, model, &(fl_group_opts){.tokens = 960, .context = 256}, NULL) == FL_OK);
    CHECK(fl_scheduler_new(&s, g, &(fl_scheduler_opts){.parallel = 65}, &err) == FL_ERR_ARG);
    CHECK(fl_scheduler_new(&s, g, &so, NULL) == FL_OK);
    request q[4] = {{.n = 257}, {.n = 5}, {.n = 5}, {.n = 256}};
    for (int i = 0; i < 4; i++) {
        q[i].opts = (fl_generate_opts){.max_tokens = 7, .emit = hear, .ctx = &q[i].text};
        if (i == 1) q[i].opts.sampler.top_p = 2;
        if (i == 2) q[i].opts.ignore_eos = true;
        const fl_request r = {q[i].prompt, q[i].n, &q[i].opts, done, &q[i]};
        CHECK(fl_scheduler_add(s, &r, NULL) == FL_OK);
    }
    q[1].opts.lookup = 2;
    const fl_request ahead = {q[1].prompt, 5, &q[1].opts, done, &q[1]};
    CHECK(fl_scheduler_add(s, &ahead, &err) == FL_ERR_ARG);
    for (bool busy = true; busy;) CHECK(fl_scheduler_step(s, &busy, NULL) == FL_OK);
    CHECK(q[0].status == FL_ERR_ARG && strstr(q[0].why, "the context holds 256"));
    CHECK(q[1].status == FL_ERR_ARG && strstr(q[1].why, "top-p is 2"));
    CHECK(q[2].status == FL_OK && q[2].r.n_generated == 7);
    CHECK(q[3].status == FL_OK && q[3].n_done == 1 &&
          (q[3].r.finish == FL_FINISH_CONTEXT || q[3].r.finish == FL_FINISH_EOS));
    fl_scheduler_free(s);
    fl_group_free(g);
    for (int i = 0; i < 4; i++) request_clear(&q[i]);

    /* More than the cache has room for, with nobody to wait for. */
    CHECK(fl_group_new(&g, model, &(fl_group_opts){.tokens = 256}, NULL) == FL_OK);
    CHECK(fl_scheduler_new(&s, g, &so, NULL) == FL_OK);
    request big = {.n = 10, .opts = {.max_tokens = 1}};
    const fl_request r = {big.prompt, big.n, &big.opts, done, &big};
    bool busy;
    CHECK(fl_scheduler_add(s, &r, NULL) == FL_OK && fl_scheduler_add(s, &r, NULL) == FL_OK);
    CHECK(fl_scheduler_step(s, &busy, NULL) == FL_OK && big.status == FL_ERR_NOMEM);
    fl_scheduler_free(s);  // whatever is left
    fl_group_free(g);
}

int main(void) {
    fl_model *golden;
    CHECK(fl_model_load(&golden, FL_TEST_DATA "/golden/qwen3", &(fl_model_opts){0}, NULL) == FL_OK);
    fl_config c = golden->config;
    c.vocab_size = 512;
    c.max_position_embeddings = CONTEXT;
    c.initializer_range = 0.3;
    CHECK(fl_model_new(&model, &c, 1, NULL) == FL_OK);
    CHECK(fl_tokenizer_load(&model->tokenizer, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    requests_make();
    check_invariance(FL_COMPUTE_F32);
    check_invariance(FL_COMPUTE_BF16);
    check_answers_are_read(FL_COMPUTE_F32);
    check_answers_are_read(FL_COMPUTE_BF16);
    check_failures();
    for (int i = 0; i < N; i++) request_clear(&requests[i]);
    fl_model_free(model);
    fl_model_free(golden);
    return check_report();
}
