/* check_session - reading through the cache equals reading at once, on every architecture row and
 * backend, and both equal transformers.
 *
 * Caught by it (each tried): a position off by one at a step's start; padding that is left in the
 * text; a row read from the wrong end of a step; a cache that forgets when it grows; a rewind that
 * keeps what came after; a window of overlapping scores that counts a token twice. */
#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "check.h"
#include "format/safetensors.h"
#include "infer/perplexity.h"

/* logits (2, T, V) and greedy of a golden folder. */
typedef struct {
    fl_safetensors *file;
    const float *logits;
    const int32_t *tokens, *greedy;
    int64_t T, V, n_greedy;
} golden;

enum { N_PROMPT = 5 };  // of greedy; see peers/model_goldens.py

static const char *const names[] = {"gpt2",           "llama", "llama_linear", "llama_tied_llama3",
                                    "mistral_window", "qwen3", "qwen3_window"};

static golden golden_open(const char *dir) {
    golden g = {0};
    char path[512];
    fl_err err = {0};
    snprintf(path, sizeof path, "%.400s/golden.safetensors", dir);
    if (fl_safetensors_open(&g.file, path, &err) != FL_OK) {
        printf("%s\n", err.msg);
        exit(EXIT_FAILURE);
    }
    const fl_tensor *logits = &fl_safetensors_find(g.file, "logits")->t;
    g.logits = logits->data;
    g.T = logits->dim[1];
    g.V = logits->dim[2];
    g.tokens = fl_safetensors_find(g.file, "tokens")->t.data;
    g.greedy = fl_safetensors_find(g.file, "greedy")->t.data;
    g.n_greedy = fl_safetensors_find(g.file, "greedy")->t.dim[0];
    return g;
}

static fl_session *session(fl_model *m, fl_session_opts o) {
    fl_session *s = NULL;
    fl_err err = {0};
    CHECKF(fl_session_new(&s, m, &o, &err) == FL_OK, "%s", err.msg);
    return s;
}

/* Largest difference to the golden logits, relative to 1 + |want|. NaN counts as much. */
static double off(const float *got, const golden *g, int64_t row, int64_t t) {
    const float *want = g->logits + (row * g->T + t) * g->V;
    double worst = 0;
    for (int64_t i = 0; i < g->V; i++) {
        double d = fabs((double)got[i] - (double)want[i]) / (1 + fabs((double)want[i]));
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

/* Feed both rows with `chunk` tokens a call, the session's own chunk being `step`; look at the
 * logits of each call. */
static void check_feed(fl_model *m, const golden *g, fl_session_opts o, int64_t chunk,
                       double tolerance) {
    fl_session *s = session(m, o);
    fl_err err = {0};
    for (int64_t row = 0; row < 2; row++) {
        fl_session_rewind(s, 0);
        CHECK(!fl_session_logits(s));
        for (int64_t t = 0; t < g->T;) {
            int64_t n = t + chunk < g->T ? chunk : g->T - t;
            fl_status st = fl_session_feed(s, g->tokens + row * g->T + t, n, &err);
            CHECKF(st == FL_OK, "%s", err.msg);
            if (st != FL_OK) break;
            t += n;
            double d = off(fl_session_logits(s), g, row, t - 1);
            CHECKF(d < tolerance, "%s, calls of %d, steps of %d, token %d: off by %g",
                   o.backend ? o.backend->name : "", (int)chunk, (int)o.chunk, (int)t, d);
        }
        CHECK(fl_session_length(s) == g->T);
        CHECK(memcmp(fl_session_tokens(s), g->tokens + row * g->T, (size_t)g->T * 4) == 0);
    }
    fl_session_free(s);
}

/* Logits after each of several tokens are the bytes of reading them one by one: what lets a model
 * judge proposals. */
static void check_each(fl_model *m, const golden *g, fl_session_opts o) {
    fl_session *one = session(m, o), *several = session(m, o);
    for (int64_t t = 0, n = 1; t < g->T; t += n, n = n % 7 + 1) {
        const float *each;
        if (n > g->T - t) n = g->T - t;
        CHECK(fl_session_feed_each(several, g->tokens + t, n, &each, NULL) == FL_OK);
        for (int64_t i = 0; i < n; i++) {
            CHECK(fl_session_decode(one, g->tokens[t + i], NULL) == FL_OK);
            size_t bytes = (size_t)g->V * sizeof *each;
            CHECKF(memcmp(fl_session_logits(one), each + i * g->V, bytes) == 0,
                   "token %d, %d at once", (int)(t + i), (int)n);
        }
        CHECK(memcmp(fl_session_logits(several), fl_session_logits(one),
                     (size_t)g->V * sizeof *each) == 0);
    }
    fl_session_free(one);
    fl_session_free(several);
}

static void check_rewind(fl_model *m, const golden *g, fl_session_opts o) {
    fl_session *s = session(m, o);
    CHECK(fl_session_feed(s, g->tokens + g->T, g->T, NULL) == FL_OK);  // the other row
    fl_session_rewind(s, 0);
    CHECK(fl_session_feed(s, g->tokens, 13, NULL) == FL_OK);
    for (int64_t keep = 13; keep >= 0; keep -= 4) {
        fl_session_rewind(s, keep);
        CHECK(!fl_session_logits(s) && fl_session_length(s) == keep);
        CHECK(fl_session_feed(s, g->tokens + keep, 14 - keep, NULL) == FL_OK);
        CHECKF(off(fl_session_logits(s), g, 0, 13) < 1e-4, "kept %d", (int)keep);
    }
    CHECK(fl_session_shift(s, 0, 8, NULL) == FL_OK && fl_session_length(s) == 6);
    fl_session *fresh = session(m, o);
    CHECK(fl_session_feed(fresh, g->tokens + 8, 6, NULL) == FL_OK);
    CHECK(memcmp(fl_session_logits(s), fl_session_logits(fresh), (size_t)g->V * 4) == 0);
    fl_session_free(fresh);
    fl_session_free(s);
}

static void check_greedy(fl_model *m, const golden *g, fl_session_opts o) {
    fl_session *s = session(m, o);
    CHECK(fl_session_feed(s, g->greedy, N_PROMPT, NULL) == FL_OK);
    for (int64_t i = N_PROMPT; i < g->n_greedy; i++) {
        const float *z = fl_session_logits(s);
        int32_t best = 0;
        for (int32_t k = 1; k < g->V; k++) best = z[k] > z[best] ? k : best;
        CHECKF(best == g->greedy[i], "token %d: %d, want %d", (int)i, best, g->greedy[i]);
        CHECK(fl_session_decode(s, g->greedy[i], NULL) == FL_OK);
    }
    fl_session_free(s);
}

static void check_score(fl_model *m, const golden *g, fl_session_opts o) {
    fl_session *s = session(m, o);
    float nll[64];
    int32_t target[64];
    for (int64_t i = 0; i < g->T; i++)
        target[i] = i + 1 < g->T && i % 5 != 3 ? g->tokens[i + 1] : -1;
    CHECK(fl_session_score(s, g->tokens, target, g->T, nll, NULL) == FL_OK &&
          !fl_session_logits(s));
    for (int64_t i = 0; i < g->T; i++) {
        double sum = 0, want = 0;
        for (int64_t k = 0; k < g->V; k++) sum += exp((double)g->logits[i * g->V + k]);
        if (target[i] >= 0) want = log(sum) - (double)g->logits[i * g->V + target[i]];
        CHECKF(fabs((double)nll[i] - want) < 1e-4 * (1 + want), "token %d: %g, want %g", (int)i,
               (double)nll[i], want);
    }
    fl_session_free(s);
}

static void check_limits(fl_model *m, const golden *g) {
    fl_session *s = session(m, (fl_session_opts){.context = 20, .compute = FL_COMPUTE_F32});
    fl_err err = {0};
    CHECK(fl_session_feed(s, g->tokens, 21, &err) == FL_ERR_ARG &&
          strstr(err.msg, "the context holds 20"));
    CHECK(fl_session_feed(s, g->tokens, 19, &err) == FL_OK && fl_session_length(s) == 19);
    CHECK(fl_session_feed(s, g->tokens + 19, 2, &err) == FL_ERR_ARG && fl_session_length(s) == 19);
    CHECK(fl_session_feed(s, g->tokens + 19, 1, &err) == FL_OK &&
          off(fl_session_logits(s), g, 0, 19) < 1e-4);
    CHECK(fl_session_feed(s, g->tokens, 1, &err) == FL_ERR_ARG);
    fl_session_rewind(s, 0);
    int32_t strange[2] = {0, (int32_t)g->V};
    CHECK(fl_session_feed(s, strange, 2, &err) == FL_ERR_ARG && strstr(err.msg, "token 96"));
    strange[1] = -1;
    CHECK(fl_session_feed(s, strange, 2, &err) == FL_ERR_ARG);
    fl_session_free(s);
    CHECK(fl_session_new(&s, m, &(fl_session_opts){.context = 1 << 20}, &err) == FL_ERR_ARG);
}

/* The pool decides nothing. */
static void check_threads(fl_model *m, const golden *g, fl_compute compute) {
    float logits[2][128];
    for (int i = 0; i < 2; i++) {
        fl_pool *pool;
        CHECK(fl_pool_new(&pool, i ? 3 : 1, NULL) == FL_OK);
        fl_session *s = session(m, (fl_session_opts){.pool = pool, .compute = compute});
        CHECK(fl_session_feed(s, g->tokens, g->T, NULL) == FL_OK);
        memcpy(logits[i], fl_session_logits(s), (size_t)g->V * 4);
        fl_session_free(s);
        fl_pool_free(pool);
    }
    CHECK(memcmp(logits[0], logits[1], (size_t)g->V * 4) == 0);
}

/* A text longer than the cache's first block: what was written before it grew is still there
 * after. */
static void check_growth(void) {
    fl_model *small, *m;
    CHECK(fl_model_load(&small, FL_TEST_DATA "/golden/qwen3", &(fl_model_opts){0}, NULL) == FL_OK);
    fl_config c = small->config;
    c.max_position_embeddings = 700;
    CHECK(fl_model_new(&m, &c, 3, NULL) == FL_OK);
    enum { N = 700 };
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + i / 11) % 96;
    fl_session *once = session(m, (fl_session_opts){.chunk = 700, .compute = FL_COMPUTE_F32});
    fl_session *bits = session(m, (fl_session_opts){.chunk = 16, .compute = FL_COMPUTE_F32});
    CHECK(fl_session_feed(once, ids, N, NULL) == FL_OK);
    for (int i = 0; i < N; i += 50) CHECK(fl_session_feed(bits, ids + i, 50, NULL) == FL_OK);
    for (int i = 0; i < 96; i++) {
        double a = (double)fl_session_logits(once)[i], b = (double)fl_session_logits(bits)[i];
        CHECKF(fabs(a - b) < 1e-5 * (1 + fabs(a)), "%g and %g", a, b);
    }
    fl_session_free(once);
    fl_session_free(bits);
    fl_model_free(m);
    fl_model_free(small);
}

static void check_perplexity(void) {
    json_t *rows, *row;
    size_t i;
    CHECK(fl_json_load(&rows, FL_TEST_DATA "/infer/perplexity.json", NULL) == FL_OK);
    json_array_foreach(rows, i, row) {
        char dir[512];
        fl_model *m;
        const json_t *list = json_object_get(row, "ids");
        int32_t ids[256];
        size_t n = json_array_size(list);
        for (size_t k = 0; k < n; k++)
            ids[k] = (int32_t)json_integer_value(json_array_get(list, k));
        snprintf(dir, sizeof dir, FL_TEST_DATA "/golden/%s",
                 json_string_value(json_object_get(row, "model")));
        CHECK(fl_model_load(&m, dir, &(fl_model_opts){.as_stored = true}, NULL) == FL_OK);
        fl_session *s = session(m, (fl_session_opts){.compute = FL_COMPUTE_F32});
        fl_perplexity_opts o = {.window = json_integer_value(json_object_get(row, "window")),
                                .stride = json_integer_value(json_object_get(row, "stride"))};
        fl_perplexity p = {0};
        CHECK(fl_perplexity_add(&p, s, ids, (int64_t)n, &o, NULL) == FL_OK);
        double want = json_real_value(json_object_get(row, "nll"));
        CHECKF(fabs(p.nll - want) < 1e-4 * want, "row %zu: %g, want %g", i, p.nll, want);
        CHECK((json_int_t)p.n_tokens == json_integer_value(json_object_get(row, "count")));
        double mean = p.nll / p.n_tokens,
               error = sqrt((p.squares / p.n_tokens - mean * mean) / (p.n_tokens - 1));
        CHECK(fabs(fl_perplexity_nll_error(&p) - error) < 1e-12 && error > 0);
        o.stride = o.window;
        CHECK(fl_perplexity_add(&p, s, ids, (int64_t)n, &o, NULL) == FL_ERR_ARG &&
              (size_t)p.n_tokens == n - 1);
        fl_session_free(s);
        fl_model_free(m);
    }
    json_decref(rows);
}

static void check_model(const char *name) {
    static const int64_t chunks[] = {1, 3, 24}, steps[] = {1, 6, 512};
    char dir[512];
    fl_err err = {0};
    fl_model *m;
    snprintf(dir, sizeof dir, FL_TEST_DATA "/golden/%s", name);
    golden g = golden_open(dir);
    CHECKF(fl_model_load(&m, dir, &(fl_model_opts){.as_stored = true}, &err) == FL_OK, "%s",
           err.msg);
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if (!(*b)->available()) continue;
        fl_session_opts o = {.backend = *b, .compute = FL_COMPUTE_F32};
        for (size_t i = 0; i < 9; i++) {
            o.chunk = steps[i / 3];
            check_feed(m, &g, o, chunks[i % 3], 1e-4);
        }
        check_rewind(m, &g, o);
        check_each(m, &g, o);
        check_greedy(m, &g, o);
        check_score(m, &g, o);
        o.compute = FL_COMPUTE_BF16;  // 8 bits of mantissa through some twenty products
        check_feed(m, &g, o, 5, 0.06);
        check_each(m, &g, o);
    }
    check_threads(m, &g, FL_COMPUTE_F32);
    check_threads(m, &g, FL_COMPUTE_BF16);
    check_limits(m, &g);
    fl_model_free(m);
    fl_safetensors_close(g.file);
}

int main(void) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_model(names[i]);
    check_growth();
    check_perplexity();
    return check_report();
}
