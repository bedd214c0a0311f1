/* check_sampler - the filters against transformers' logits processors, llama.cpp's own samplers and
 * the expectations of its tests/test-sampling.cpp, the draws against their probabilities.
 *
 * Caught by it (each tried): top-p that leaves out the token that crosses the mass; a penalty
 * applied twice for a token that is there twice; min-p after the temperature; a draw that favours
 * the likeliest; a window that forgets to forget; the most typical candidates dropped; XTC that
 * drops the last one too, or reads its threshold as a part of the likeliest's; DRY that looks
 * across a breaker or penalises it; a Z-box that trusts what lies beyond it; a Mirostat that
 * updates mu by another probability; a race run by candidates' places instead of their ids; a sought
 * draw that is another; a stretch of logits passed over
 * for its last one, or by a limit that is no longer the least of the best. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"
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

static fl_sampler_opts options_of(const json_t *o) {
    fl_sampler_opts opts = {0};
#define AS_INT(x)                        (int64_t)(x)
#define AS_REAL(x)                       (x)
#define SAMPLER_OPTION(field, TYPE, ...) opts.field = AS_##TYPE(real(o, #field));
#include "infer/sampler_options.def"
    return opts;
}

static void check_golden(const json_t *row, size_t at) {
    const json_t *o = json_object_get(row, "options"), *history = json_object_get(row, "history");
    const json_t *z = json_object_get(row, "logits"), *ids = json_object_get(row, "ids");
    const json_t *p = json_object_get(row, "p"), *logprob = json_object_get(row, "logprob");
    int64_t V = (int64_t)json_array_size(z), n;
    float logits[64];
    for (size_t i = 0; i < (size_t)V; i++)
        logits[i] = (float)json_number_value(json_array_get(z, i));
    fl_sampler_opts opts = options_of(o);
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

    if (!logprob) return;
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

/* --- llama.cpp's expectations ---------------------------------------------------------------- */

/* Of tests/test-sampling.cpp: p of each id given, the tokens that were there, p of each id
 * wanted. */
enum { MOST = 8 };
typedef struct {
    fl_sampler_opts o;
    double p[MOST], want[MOST];
    int n_history;
    int32_t history[MOST];
} expectation;

#define TENTHS \
    { 0.1, 0.2, 0.3, 0.4 }
#define FIFTHS \
    { 0.2, 0.2, 0.2, 0.2, 0.2 }
#define QUARTERS \
    { 0.25, 0.25, 0.25, 0.25 }
#define WARM .temperature = 1
static const expectation expectations[] = {
    {.o = {WARM}, TENTHS, TENTHS},
    {.o = {.temperature = 0}, TENTHS, {0, 0, 0, 1}},
    {.o = {WARM, .top_k = 1}, TENTHS, {0, 0, 0, 1}},
    {.o = {WARM, .top_k = 3}, TENTHS, {0, 0.22222, 0.33333, 0.44444}},
    {.o = {WARM, .top_k = 4}, TENTHS, TENTHS},
    {.o = {WARM, .top_p = 1e-9}, TENTHS, {0, 0, 0, 1}},
    {.o = {WARM, .top_p = 0.7}, TENTHS, {0, 0, 0.428571, 0.571429}},
    {.o = {WARM, .top_p = 0.8}, TENTHS, {0, 0.22222, 0.33333, 0.44444}},
    {.o = {WARM, .top_p = 1}, TENTHS, TENTHS},
    {.o = {WARM, .min_p = 0.24}, TENTHS, TENTHS},
    {.o = {WARM, .min_p = 0.26}, TENTHS, {0, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9}},
    {.o = {WARM, .min_p = 0.49}, TENTHS, {0, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9}},
    {.o = {WARM, .min_p = 0.51}, TENTHS, {0, 0, 0.3 / 0.7, 0.4 / 0.7}},
    {.o = {WARM, .min_p = 0.74}, TENTHS, {0, 0, 0.3 / 0.7, 0.4 / 0.7}},
    {.o = {WARM, .min_p = 0.76}, TENTHS, {0, 0, 0, 1}},
    {.o = {WARM, .min_p = 1}, TENTHS, {0, 0, 0, 1}},
    {.o = {WARM, .xtc_probability = 1, .xtc_threshold = 0.09}, {0.4, 0.3, 0.2, 0.1}, {0, 0, 0, 1}},
    {.o = {WARM, .xtc_probability = 1, .xtc_threshold = 0.19},
     {0.4, 0.3, 0.2, 0.1},
     {0, 0, 2 / 3., 1 / 3.}},
    {.o = {WARM, .xtc_probability = 1, .xtc_threshold = 0.29},
     {0.4, 0.3, 0.2, 0.1},
     {0, 0.5, 1 / 3., 1 / 6.}},
    {.o = {WARM, .xtc_probability = 1, .xtc_threshold = 0.39},
     {0.4, 0.3, 0.2, 0.1},
     {0.4, 0.3, 0.2, 0.1}},
    {.o = {WARM, .typical_p = 0.5}, {0.97, 0.01, 0.01, 0.01}, {1}},
    {.o = {WARM, .typical_p = 0.5}, {0.4, 0.2, 0.2, 0.2}, {0, 1 / 3., 1 / 3., 1 / 3.}},
    {.o = {WARM, .repeat_penalty = 50}, FIFTHS, {0, 0.25, 0.25, 0.25, 0.25}, 1, {0}},
    {.o = {WARM, .repeat_penalty = 50}, FIFTHS, {0, 0, 0, 0.5, 0.5}, 5, {0, 1, 2, 0, 0}},
    {.o = {WARM, .frequency_penalty = 5, .presence_penalty = 5},
     FIFTHS,
     {0.000011, 0.249997, 0.249997, 0.249997, 0.249997},
     1,
     {0}},
    {.o = {WARM, .frequency_penalty = 5, .presence_penalty = 5},
     FIFTHS,
     {0.000023, 0.000023, 0.000023, 0.499966, 0.499966},
     3,
     {0, 1, 2}},
    {.o = {WARM, .frequency_penalty = 5, .presence_penalty = 5},
     FIFTHS,
     {0, 0.000023, 0.000023, 0.499977, 0.499977},
     5,
     {0, 1, 2, 0, 0}},
    {.o = {WARM, .dry_multiplier = 1, .dry_base = 1.1, .dry_last_n = 4},
     QUARTERS,
     QUARTERS,
     2,
     {0, 1}},
    {.o = {WARM, .dry_multiplier = 1, .dry_base = 1.1, .dry_last_n = 5},
     QUARTERS,
     {0.296923, 0.296923, 0.109232, 0.296923},
     5,
     {0, 1, 2, 0, 1}},
    {.o = {WARM, .dry_multiplier = 2, .dry_base = 1.1},
     FIFTHS,
     {0.241818, 0.241818, 0.032727, 0.241818, 0.241818},
     5,
     {0, 1, 2, 0, 1}},
    {.o = {WARM, .dry_multiplier = 1, .dry_base = 1.1, .dry_allowed_length = 4},
     FIFTHS,
     FIFTHS,
     7,
     {0, 1, 2, 3, 4, 0, 1}},
    {.o = {WARM, .top_n_sigma = 1}, TENTHS, {0, 0, 0.428571, 0.571429}},
    {.o = {WARM, .top_n_sigma = 3}, TENTHS, TENTHS},
};

static void check_expectation(const expectation *e, size_t at) {
    float logits[MOST];
    int64_t V = 0, n;
    for (; V < MOST && e->p[V] > 0; V++) logits[V] = (float)log(e->p[V]);
    fl_sampler *s = sampler(V, e->o);
    for (int i = 0; i < e->n_history; i++)
        CHECK(fl_sampler_accept(s, e->history[i], NULL) == FL_OK);
    int32_t id;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
    const fl_candidate *c = fl_sampler_candidates(s, &n);
    double got[MOST] = {0};
    for (int64_t i = 0; i < n; i++) got[c[i].id] = c[i].p;
    for (int64_t i = 0; i < V; i++) {
        CHECKF(fabs(got[i] - e->want[i]) < 1e-5, "row %zu, id %d: %g, want %g", at, (int)i, got[i],
               e->want[i]);
        CHECK(i == 0 || i >= n || c[i - 1].p >= c[i].p);
    }
    fl_sampler_free(s);
}

/* --- DRY -------------------------------------------------------------------------------------- */

/* The penalty of each next token, by comparing every place of the history with its end. */
static void dry_plainly(const int32_t *h, int64_t n, int32_t breaker, double *penalty) {
    int64_t limit = 0;
    while (limit < n && h[n - 1 - limit] != breaker) limit++;
    for (int64_t k = 1; k < n; k++) {
        int64_t same = 0;
        while (same + k < n && same < limit && h[n - 1 - same] == h[n - 1 - k - same]) same++;
        double p = same >= 2 ? 0.5 * pow(1.5, (double)(same - 2)) : 0;
        int32_t next = h[n - k];
        if (next != breaker) penalty[next] = fmax(penalty[next], p);
    }
}

/* Random histories of few tokens, which repeat themselves at many lengths. */
static void check_dry(const fl_tokenizer *t) {
    enum { V = 300 };
    static float logits[V];
    size_t n_word;
    const uint8_t *word = fl_token_bytes(t, 'D', &n_word);  // whichever token has this number
    char breaker[8] = {0};
    memcpy(breaker, word, n_word < 7 ? n_word : 7);
    const char *breakers[] = {breaker};
    fl_rng rng = {.seed = 5};
    for (int k = 0; k < 60; k++) {
        fl_sampler_opts o = {.temperature = 1,
                             .dry_multiplier = 0.5,
                             .dry_base = 1.5,
                             .dry_breakers = breakers,
                             .n_dry_breakers = 1,
                             .tokenizer = t};
        fl_sampler *s = sampler(V, o);
        int32_t h[400], id;
        int64_t n = 3 + (int64_t)fl_rng_below(&rng, 397);
        for (int64_t i = 0; i < n; i++) {
            h[i] = fl_rng_below(&rng, 40) ? (int32_t)('E' + (int)fl_rng_below(&rng, 2)) : 'D';
            if (i > 60 && fl_rng_below(&rng, 10)) h[i] = h[i - 60];
            CHECK(fl_sampler_accept(s, h[i], NULL) == FL_OK);
        }
        double want[V] = {0}, got[V];
        dry_plainly(h, n, 'D', want);
        CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
        const fl_candidate *c = fl_sampler_candidates(s, &n);
        for (int i = 0; i < V; i++) got[c[i].id] = -(double)c[i].logit;
        for (int i = 0; i < V; i++)
            CHECKF(fabs(got[i] - want[i]) < 1e-4 * (1 + want[i]), "%g, want %g", got[i], want[i]);
        fl_sampler_free(s);
    }
}

/* A breaker of two bytes in two tokens, the second of which begins a word: nothing before it
 * counts. */
static void check_dry_breaker(const fl_tokenizer *t) {
    static const float logits[512];
    const char *texts[] = {"a b c", "a b. c", "a b.. c"};
    const char *breakers[] = {".."};
    for (int k = 0; k < 3; k++) {
        char text[64];
        snprintf(text, sizeof text, "%s d %s", texts[k], texts[k]);
        fl_sampler_opts o = {.temperature = 1,
                             .dry_multiplier = 1,
                             .dry_breakers = breakers,
                             .n_dry_breakers = 1,
                             .tokenizer = t};
        fl_sampler *s = sampler(fl_tokenizer_size(t), o);
        fl_ids ids = {0};
        CHECK(fl_encode(t, text, strlen(text), &(fl_encode_opts){0}, &ids, NULL) == FL_OK);
        for (size_t i = 0; i < ids.n; i++) CHECK(fl_sampler_accept(s, ids.id[i], NULL) == FL_OK);
        int32_t id;
        int64_t n;
        CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
        const fl_candidate *c = fl_sampler_candidates(s, &n);
        bool penalised = c[n - 1].p < 0.99 * c[0].p;
        CHECKF(penalised == (k < 2), "%s", text);
        fl_ids_clear(&ids);
        fl_sampler_free(s);
    }
}

/* --- Mirostat, temperature, the chain --------------------------------------------------------- */

/* Over a text of many tokens, Zipf's law for each, the surprise under the kept candidates comes to
 * tau. */
static void check_mirostat(void) {
    enum { V = 2000, N = 4000 };
    static float logits[V];
    for (int i = 0; i < V; i++) logits[i] = (float)(-1.1 * log(i + 1.0));
    for (int version = 1; version <= 2; version++) {
        for (double tau = 2; tau <= 4; tau += 2) {
            fl_sampler *s = sampler(V, (fl_sampler_opts){.temperature = 1,
                                                         .mirostat = version,
                                                         .mirostat_tau = tau,
                                                         .seed = 9});
            double sum = 0;
            int64_t n = 0;
            for (int i = 0; i < N; i++) {
                int32_t id;
                CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
                const fl_candidate *c = fl_sampler_candidates(s, &n);
                for (int64_t k = 0; k < n; k++) sum -= c[k].id == id ? log2(c[k].p) : 0;
            }
            CHECKF(fabs(sum / N - tau) < 0.02, "Mirostat %d: %g bits, want %g", version, sum / N,
                   tau);
            CHECK(n > 2 && n < V);
            fl_sampler_free(s);
        }
    }
}

/* Even logits are as uncertain as can be, and get the highest temperature; a sure thing the
 * lowest. */
static void check_dynamic_temperature(void) {
    static const float even[4] = {1, 1, 1, 1}, sure[4] = {50, 0, 0, 1}, mixed[2] = {0.5f, 0};
    fl_sampler_opts o = {.temperature = 1, .dynatemp_range = 0.5, .dynatemp_exponent = 2};
    int64_t n;
    int32_t id;
    fl_sampler *s = sampler(4, o);
    CHECK(fl_sampler_pick(s, even, &id, NULL) == FL_OK);
    CHECK(fabs((double)fl_sampler_candidates(s, &n)[0].logit - 1 / 1.5) < 1e-6 && n == 4);
    CHECK(fl_sampler_pick(s, sure, &id, NULL) == FL_OK);
    CHECK(fabs((double)fl_sampler_candidates(s, &n)[0].logit - 100) < 1e-4);
    fl_sampler_free(s);
    s = sampler(2, o);
    CHECK(fl_sampler_pick(s, mixed, &id, NULL) == FL_OK);
    double p = 1 / (1 + exp(-0.5)), h = -(p * log(p) + (1 - p) * log(1 - p)) / log(2);
    CHECK(fabs((double)fl_sampler_candidates(s, &n)[0].logit - 0.5 / (0.5 + h * h)) < 1e-6);
    fl_sampler_free(s);
}

static int64_t n_left(const char *samplers) {
    static const float logits[4] = {4, 3, 2, 1};
    fl_sampler *s =
        sampler(4, (fl_sampler_opts){.temperature = 10, .min_p = 0.5, .samplers = samplers});
    int32_t id;
    int64_t n;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK);
    fl_sampler_candidates(s, &n);
    fl_sampler_free(s);
    return n;
}

static void check_chain(void) {
    CHECK(n_left(NULL) == 1 && n_left("min_p;temperature") == 1 &&
          n_left("temperature;min-p") == 4);
    CHECK(n_left("t") == 4 && n_left("t;m") == 4 && n_left("") == 4);
    fl_sampler *s;
    fl_err err;
    CHECK(fl_sampler_new(&s, 4, &(fl_sampler_opts){.samplers = "top_k;top_x"}, &err) == FL_ERR_ARG);
    CHECKF(strncmp(err.msg, "sampler \"top_x\": want some of", 29) == 0, "%s", err.msg);
    CHECK(fl_sampler_new(&s, 4, &(fl_sampler_opts){.samplers = "k;p;top_k"}, &err) == FL_ERR_ARG);
}

/* Biases come first, the mask before them; what neither leaves is an error. */
static void check_bias(void) {
    static const float logits[70] = {[3] = 5, [66] = 6};
    static const fl_logit_bias bias[] = {{66, -INFINITY}, {3, -4}, {69, 0.5f}, {3, 0.5f}};
    fl_sampler *s = sampler(70, (fl_sampler_opts){.logit_bias = bias, .n_logit_bias = 4});
    int32_t id;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK && id == 3);
    uint64_t allowed[2] = {1 << 5, 1 << 2 | 1 << 5};  // 5, 66, 69
    fl_sampler_restrict(s, allowed);
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK && id == 69);
    allowed[0] = 0;
    allowed[1] = 1 << 2;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) != FL_OK);
    allowed[1] = 0;
    CHECK(fl_sampler_pick(s, logits, &id, NULL) != FL_OK);
    fl_sampler_restrict(s, NULL);
    CHECK(fl_sampler_pick(s, logits, &id, NULL) == FL_OK && id == 3);
    fl_sampler_free(s);
    static const fl_logit_bias outside[] = {{70, 1}};
    CHECK(fl_sampler_new(&s, 70, &(fl_sampler_opts){.logit_bias = outside, .n_logit_bias = 1},
                         NULL) == FL_ERR_ARG);
}

/* --- draws ------------------------------------------------------------------------------------ */

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

/* A draft and a model that draw by one seed agree as often as promised, whatever filters each has
 * and in whatever order its candidates lie; always, where their distributions are one. */
static void check_agreement(void) {
    enum { V = 6, N = 20000 };
    static const float target[V] = {0, 1, -1, 2, 0.5f, 0.7f};
    static const float draft[3][V] = {{0, 1, -1, 2, 0.5f, 0.7f},
                                      {0.3f, 0.8f, -1, 1.5f, 0.9f, 0.7f},
                                      {0, 9, 0, 0, 8, 0}};
    for (int k = 0; k < 3; k++) {
        fl_sampler *s = sampler(V, (fl_sampler_opts){.temperature = 1.2, .min_p = 0.01, .seed = 3});
        fl_sampler *d = sampler(V, (fl_sampler_opts){.temperature = 1.2, .seed = 3});
        int same = 0;
        double apart = 0, q[V];
        int64_t n;
        for (int i = 0; i < N; i++) {
            int32_t id, x;
            fl_sampler_seek(d, fl_sampler_draws(s));
            CHECK(fl_sampler_pick(s, target, &id, NULL) == FL_OK);
            CHECK(fl_sampler_pick(d, draft[k], &x, NULL) == FL_OK);
            same += id == x;
        }
        const fl_candidate *c = fl_sampler_candidates(d, &n);
        for (int64_t i = 0; i < n; i++) q[c[i].id] = c[i].p;
        c = fl_sampler_candidates(s, &n);
        for (int64_t i = 0; i < n; i++) apart += fmax(0, c[i].p - q[c[i].id]);
        const double least = (1 - apart) / (1 + apart);
        CHECKF(k ? same >= least * N - 200 : same == N, "draft %d: %d of %d, want %g", k, same, N,
               least * N);
        CHECKF(same <= (1 - apart) * N + 200, "draft %d: %d of %d, of %g", k, same, N,
               (1 - apart) * N);
        fl_sampler_free(s);
        fl_sampler_free(d);
    }
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
                                          {.repeat_penalty = -2}, {.temperature = NAN},
                                          {.mirostat = 3},        {.dry_base = 0.5}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(fl_sampler_new(&s, 2, &bad[i], NULL) == FL_ERR_ARG);
}

/* The k likeliest of many, equal ones among them, are the same whether they are found in the logits
 * or, because of a bias that changes nothing, among copies of them. */
static void check_likeliest(void) {
    enum { V = 1000 };
    static const int64_t ks[] = {1, 2, 5, 40, 999};
    static float z[V];
    fl_rng rng = {.seed = 9};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        const fl_logit_bias none = {.id = 3};
        fl_sampler_opts o = {.temperature = 1, .top_k = ks[i]};
        fl_sampler *a = sampler(V, o);
        o.logit_bias = &none;
        o.n_logit_bias = 1;
        fl_sampler *b = sampler(V, o);
        for (int round = 0; round < 50; round++) {
            int32_t x, y;
            int64_t n, m;
            for (int k = 0; k < V; k++) z[k] = floorf(300 * fl_rng_float(&rng)) + 0.001f * (float)k;
            for (int k = 0; k < V && round % 2; k++) z[k] = floorf(z[k]);
            CHECK(fl_sampler_pick(a, z, &x, NULL) == FL_OK);
            CHECK(fl_sampler_pick(b, z, &y, NULL) == FL_OK);
            const fl_candidate *p = fl_sampler_candidates(a, &n), *q = fl_sampler_candidates(b, &m);
            CHECK(x == y && n == ks[i] && m == n && memcmp(p, q, (size_t)n * sizeof *p) == 0);
        }
        fl_sampler_free(a);
        fl_sampler_free(b);
    }
}

static void check_goldens(const char *path, size_t n) {
    json_t *rows = NULL;
    CHECKF(fl_json_load(&rows, path, NULL) == FL_OK, "%s", path);
    CHECK(json_array_size(rows) == n);
    for (size_t i = 0; i < json_array_size(rows); i++) check_golden(json_array_get(rows, i), i);
    json_decref(rows);
}

int main(void) {
    check_goldens(FL_TEST_DATA "/infer/sampler.json", 17);        // tests/peers/sampler.py
    check_goldens(FL_TEST_DATA "/infer/sampler_llama.json", 32);  // tests/peers/sampler_llama.c
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        check_expectation(&expectations[i], i);
    }
    fl_tokenizer *t;
    CHECK(fl_tokenizer_load(&t, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    check_dry(t);
    check_dry_breaker(t);
    fl_tokenizer_free(t);
    check_mirostat();
    check_dynamic_temperature();
    check_chain();
    check_bias();
    check_draws();
    check_agreement();
    check_seeds();
    check_window();
    check_likeliest();
    check_bad();
    return check_report();
}
