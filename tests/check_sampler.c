/* check_sampler - the filters against transformers' logits processors, the draws against their
 * probabilities.
 *
 * Caught by it (each tried): top-p that leaves out the token that crosses the mass; a penalty
 * applied twice for a token that is there twice; min-p after the temperature; a draw that favours
 * the likeliest; a window that forgets to forget. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "check.h"
#include "infer/sampler.h"

static double real(const json_t *o, const char *key) {
    return json_number_value(json_object_get(o, key));
}

static fl_sampler *sampler(int64_t V, fl_sampler_opts o) {
    fl_sampler *s = NULL;
    fl_err err = {0};
    CHECKF(fl_sampler_new(&s, V, &o, &err) == FL_OK, "%s", err.msg);
    return s;
}

static void check_golden(const json_t *row, size_t at) {
    const json_t *o = json_object_get(row, "options"), *history = json_object_get(row, "history");
    const json_t *z = json_object_get(row, "logits"), *ids = json_object_get(row, "ids");
    const json_t *p = json_object_get(row, "p"), *logprob = json_object_get(row, "logprob");
    int64_t V = (int64_t)json_array_size(z), n;
    float logits[64];
    for (size_t i = 0; i < (size_t)V; i++)
        logits[i] = (float)json_number_value(json_array_get(z, i));
    fl_sampler_opts opts = {.temperature = real(o, "temperature"),
                            .top_k = (int64_t)real(o, "top_k"),
                            .top_p = real(o, "top_p"),
                            .min_p = real(o, "min_p"),
                            .repeat_penalty = real(o, "repeat_penalty")};
    fl_sampler *s = sampler(V, opts);
    for (size_t i = 0; i < json_array_size(history); i++) {
        CHECK(fl_sampler_accept(s, (int32_t)json_integer_value(json_array_get(history, i)), NULL) ==
              FL_OK);
    }
    int32_t id;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
    const fl_candidate *c = fl_sampler_candidates(s, &n);
    CHECKF((size_t)n == json_array_size(ids), "case %zu: %d candidates, want %zu", at, (int)n,
           json_array_size(ids));
    bool there = false;
    for (size_t i = 0; i < (size_t)n && i < json_array_size(ids); i++) {
        double want = json_number_value(json_array_get(p, i));
        CHECKF(c[i].id == json_integer_value(json_array_get(ids, i)), "case %zu, candidate %zu", at,
               i);
        CHECKF(fabs(c[i].p - want) < 1e-6, "case %zu, candidate %zu: %g, want %g", at, i, c[i].p,
               want);
        there = there || c[i].id == id;
    }
    CHECK(there);
    fl_sampler_free(s);

    fl_candidate top[5];
    fl_logprob_top(logits, V, 5, top);
    for (int i = 0; i < 5; i++) {
        double want = json_number_value(json_array_get(logprob, (size_t)top[i].id));
        CHECK(fabs(top[i].p - want) < 1e-6 && top[i].p == fl_logprob(logits, V, top[i].id));
        CHECK(i == 0 || top[i].logit <= top[i - 1].logit);
        int above = 0;
        for (int64_t k = 0; k < V; k++) above += logits[k] > top[i].logit;
        CHECK(above == i);
    }
}

/* 60000 draws come as often as their probabilities say; chi-square with 4 degrees of freedom. */
static void check_draws(void) {
    static const float logits[5] = {0, 1, -1, 2, 0.5f};
    enum { N = 60000 };
    fl_sampler *s = sampler(5, (fl_sampler_opts){.temperature = 1.5, .seed = 11});
    int times[5] = {0};
    double chi = 0;
    for (int i = 0; i < N; i++) {
        int32_t id;
        CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
        times[id]++;
    }
    int64_t n;
    const fl_candidate *c = fl_sampler_candidates(s, &n);
    for (int i = 0; i < 5; i++) chi += pow(times[c[i].id] - N * c[i].p, 2) / (N * c[i].p);
    CHECKF(chi < 18.5, "chi-square %g", chi);  // 99.9 %
    fl_sampler_free(s);
}

static void check_seeds(void) {
    static const float logits[8] = {0};
    int32_t text[4][50];
    static const fl_sampler_opts opts[4] = {{.temperature = 1, .seed = 1},
                                            {.temperature = 1, .seed = 1},
                                            {.temperature = 1, .seed = 1, .stream = 1},
                                            {.temperature = 1, .seed = 2}};
    for (int k = 0; k < 4; k++) {
        fl_sampler *s = sampler(8, opts[k]);
        for (int i = 0; i < 50; i++) CHECK(fl_sampler_pick(s, logits, &text[k][i], NULL) == FL_OK);
        fl_sampler_free(s);
    }
    CHECK(memcmp(text[0], text[1], sizeof *text) == 0);
    CHECK(memcmp(text[0], text[2], sizeof *text) != 0 &&
          memcmp(text[0], text[3], sizeof *text) != 0);
}

/* Greedy with a penalty: the window forgets, and without a length it does not. */
static void check_window(void) {
    static const float logits[4] = {4, 3.9f, 3.8f, -9};
    for (int64_t last_n = 0; last_n <= 2; last_n++) {
        fl_sampler *s = sampler(4, (fl_sampler_opts){.repeat_penalty = 2, .repeat_last_n = last_n});
        static const int32_t want[3][6] = {{0, 1, 2, 0, 0, 0},
                                           {0, 1, 0, 1, 0, 1},
                                           {0, 1, 2, 0, 1, 2}};
        for (int i = 0; i < 6; i++) {
            int32_t id;
            CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK &&
                  fl_sampler_accept(s, id, NULL) == FL_OK);
            CHECKF(id == want[last_n][i], "last_n %d, pick %d: %d", (int)last_n, i, id);
        }
        for (int i = 0; i < 1000; i++) CHECK(fl_sampler_accept(s, 3, NULL) == FL_OK);
        fl_sampler_free(s);
    }
}

static void check_bad(void) {
    static const float nan[2] = {0, NAN}, minus[2] = {-INFINITY, -INFINITY},
                       plus[2] = {INFINITY, 0};
    fl_sampler *s = sampler(2, (fl_sampler_opts){0});
    int32_t id;
    CHECK(fl_sampler_pick(s, nan, &id, NULL) != FL_OK &&
          fl_sampler_pick(s, minus, &id, NULL) != FL_OK &&
          fl_sampler_pick(s, plus, &id, NULL) != FL_OK);
    static const float one[2] = {-INFINITY, 0};
    CHECK(fl_sampler_pick(s, one, &id, NULL) == FL_OK && id == 1);
    fl_sampler_free(s);
    static const fl_sampler_opts bad[] = {{.temperature = -1},    {.top_p = 1.5},
                                          {.min_p = -0.1},        {.top_k = -1},
                                          {.repeat_penalty = -2}, {.temperature = NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(fl_sampler_new(&s, 2, &bad[i], NULL) == FL_ERR_ARG);
}

int main(void) {
    json_t *rows;
    if (fl_json_load(&rows, FL_TEST_DATA "/infer/sampler.json", NULL) != FL_OK) return EXIT_FAILURE;
    CHECK(json_array_size(rows) == 14);
    for (size_t i = 0; i < json_array_size(rows); i++) check_golden(json_array_get(rows, i), i);
    json_decref(rows);
    check_draws();
    check_seeds();
    check_window();
    check_bad();
    return check_report();
}
