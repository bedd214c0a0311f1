/* check_generate - text out of a model: stops, streams, seeds, limits. The model has random
 * weights, so it writes nonsense that no rule of text could guess.
 *
 * Caught by it (each tried): a stop string missed when it begins inside one token and ends in
 * another; text held back and never given; a second text that reads the first one's cache; logprobs
 * after the filters instead of before; a draft that draws by other numbers than the model; its price
 * left out; losses by proposals that do not end them, or are set against old gains. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "check.h"
#include "infer/generate.h"
#include "infer/speculate.h"
#include "token/tokenizer.h"

typedef struct {
    fl_text text;
    int32_t id[600];
    double logprob[600];
    int n, calls, stop_after;
    bool top_is_best, cut_character;
} heard;

static fl_model *model;

static bool hear(void *ctx, const fl_generated *g) {
    heard *h = ctx;
    fl_text_append(&h->text, g->text, g->n);
    if (g->n && ((unsigned char)g->text[0] & 0xC0) == 0x80) h->cut_character = true;
    if (g->id >= 0) {
        h->logprob[h->n] = g->logprob;
        h->id[h->n++] = g->id;
    }
    for (int64_t i = 0; i < g->n_top; i++) {
        if (g->top[i].p > g->top[0].p || (g->top[i].id == g->id && g->top[i].p != g->logprob))
            h->top_is_best = false;
    }
    return ++h->calls != h->stop_after;
}

static heard generate(fl_session *s, const char *prompt, fl_generate_opts o,
                      fl_generate_result *r) {
    heard h = {.top_is_best = true, .stop_after = o.ctx ? *(int *)o.ctx : 0};
    fl_generate_result local;
    fl_err err = {0};
    o.emit = hear;
    o.ctx = &h;
    fl_status st = fl_generate(s, prompt, strlen(prompt), &o, r ? r : &local, &err);
    CHECKF(st == FL_OK, "%s", err.msg);
    return h;
}

static fl_session *session(int64_t context) {
    fl_session *s = NULL;
    CHECK(fl_session_new(&s, model,
                         &(fl_session_opts){.context = context, .compute = FL_COMPUTE_F32},
                         NULL) == FL_OK);
    return s;
}

static const fl_generate_opts warm = {.max_tokens = 60,
                                      .sampler = {.temperature = 1, .seed = 3},
                                      .ignore_eos = true};

/* The pieces are the decoded ids, and never begin inside a character. */
static void check_stream(void) {
    fl_session *s = session(0);
    fl_generate_result r;
    fl_generate_opts o = warm;
    o.want_logprobs = true;
    o.logprobs = 7;
    heard h = generate(s, "The King", o, &r);
    CHECK(h.n == 60 && r.n_generated == 60 && r.finish == FL_FINISH_LENGTH && h.top_is_best);
    char *text;
    size_t n;
    CHECK(fl_decode(model->tokenizer, h.id, (size_t)h.n, false, &text, &n, NULL) == FL_OK);
    CHECK(n == h.text.n && memcmp(text, h.text.data, n) == 0);
    fl_dealloc(text);

    fl_session *again = session(0);  // what the model itself gives each token
    fl_ids prompt = {0};
    CHECK(fl_encode(model->tokenizer, "The King", 8, &(fl_encode_opts){.add_special = true},
                    &prompt, NULL) == FL_OK);
    CHECK((int64_t)prompt.n == r.n_prompt &&
          fl_session_feed(again, prompt.id, r.n_prompt, NULL) == FL_OK);
    for (int i = 0; i < h.n; i++) {
        double want = fl_logprob(fl_session_logits(again), model->config.vocab_size, h.id[i]);
        CHECK(fabs(want - h.logprob[i]) < 1e-6);
        CHECK(fl_session_decode(again, h.id[i], NULL) == FL_OK);
    }
    fl_ids_clear(&prompt);
    fl_session_free(again);
    fl_text_clear(&h.text);
    fl_session_free(s);
}

/* Every piece of the text as a stop string: the text ends before its first occurrence, wherever
 * tokens end. */
static void check_stops(void) {
    fl_session *s = session(0);
    heard whole = generate(s, "Thou art", warm, NULL);
    const char *text = fl_text_str(&whole.text);
    int inside = 0;
    for (size_t at = 0; at + 6 < whole.text.n; at += 3) {
        for (size_t n = 1; n < 6; n += 2) {
            char stop[8] = {0};
            memcpy(stop, text + at, n);
            if (strlen(stop) != n) continue;
            const char *stops[] = {"never there", stop};
            fl_generate_opts o = warm;
            o.stop = stops;
            o.n_stop = 2;
            fl_generate_result r;
            heard h = generate(s, "Thou art", o, &r);
            size_t want = (size_t)(strstr(text, stop) - text);
            CHECKF(h.text.n == want && memcmp(h.text.data ? h.text.data : "", text, want) == 0,
                   "stop at %zu, %zu long", at, n);
            CHECK(r.finish == FL_FINISH_STOP && r.n_generated == h.n);
            inside += h.text.n > 0;
            fl_text_clear(&h.text);
        }
    }
    CHECK(inside > 20);
    char begun[8] = {text[whole.text.n - 1], 1, 2};  // begun at the very end: held back, then given
    const char *half[] = {begun};
    fl_generate_opts o = warm;
    o.stop = half;
    o.n_stop = 1;
    heard h = generate(s, "Thou art", o, NULL);
    CHECK(h.text.n == whole.text.n && memcmp(h.text.data, text, h.text.n) == 0);
    fl_text_clear(&h.text);
    fl_text_clear(&whole.text);
    fl_session_free(s);
}

/* The same seed writes the same, whatever the session did before; streams and seeds differ; the
 * prompt is kept. */
static void check_repeat(void) {
    fl_session *s = session(0);
    fl_generate_opts o = warm;
    fl_generate_result r;
    heard first = generate(s, "Once upon a time", o, &r);
    CHECK(r.n_reused == 0);
    heard h = generate(s, "Something else", o, NULL);
    fl_text_clear(&h.text);
    for (int k = 0; k < 4; k++) {
        o.sampler.stream = k == 1;
        o.sampler.seed = k == 2 ? 4 : 3;
        h = generate(s, "Once upon a time", o, &r);
        bool same = h.n == first.n && memcmp(h.id, first.id, (size_t)h.n * 4) == 0;
        CHECKF(same == (k == 0 || k == 3), "%d", k);
        CHECK(k == 0 || r.n_reused == r.n_prompt - 1);
        fl_text_clear(&h.text);
    }
    fl_text_clear(&first.text);
    fl_session_free(s);
}

/* The end token ends it, unless it is ignored. */
static void check_eos(void) {
    fl_session *s = session(0);
    fl_generate_opts o = {.max_tokens = 200, .sampler = {.temperature = 3}};
    fl_generate_result r;
    int ended = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        o.sampler.seed = seed;
        o.ignore_eos = false;
        heard h = generate(s, "x", o, &r);
        o.ignore_eos = true;
        heard on = generate(s, "x", o, NULL);
        CHECK(on.n == 200 && memcmp(h.id, on.id, (size_t)h.n * 4) == 0);
        if (r.finish == FL_FINISH_EOS) {
            ended++;
            CHECK(on.id[h.n] == fl_tokenizer_eos(model->tokenizer) && r.n_generated == h.n + 1);
        } else {
            CHECK(r.finish == FL_FINISH_LENGTH && h.n == 200);
        }
        fl_text_clear(&h.text);
        fl_text_clear(&on.text);
    }
    CHECKF(ended > 2 && ended < 18, "%d of 20", ended);
    fl_session_free(s);
}

static void check_context(void) {
    fl_session *s = session(16);
    fl_generate_opts o = warm;
    fl_generate_result r;
    fl_err err = {0};
    heard h = generate(s, "The", o, &r);
    CHECK(r.finish == FL_FINISH_CONTEXT &&
          r.n_prompt + r.n_generated == 17);  // the last one is not read
    fl_text_clear(&h.text);
    o.shift = true;
    h = generate(s, "The", o, &r);
    CHECK(r.finish == FL_FINISH_LENGTH && h.n == 60 && r.n_shifts > 3);
    fl_text_clear(&h.text);
    const char *prompt = "xyzzy plugh xyzzy plugh xyzzy plugh xyzzy";
    CHECK(fl_generate(s, prompt, strlen(prompt), &o, &r, &err) == FL_ERR_ARG);
    CHECKF(strstr(err.msg, "the context holds 16"), "%s", err.msg);

    int third = 3;
    o.ctx = &third;
    h = generate(s, "The", o, &r);
    CHECK(r.finish == FL_FINISH_CANCELLED && h.calls == 3);
    fl_text_clear(&h.text);
    o.ctx = NULL;
    h = generate(s, "", o, &r);  // begins with the token that parts documents
    CHECK(r.n_prompt == 1 && fl_session_tokens(s)[0] >= 0);
    fl_text_clear(&h.text);
    o.sampler.top_p = 2;
    CHECK(fl_generate(s, "x", 1, &o, &r, &err) == FL_ERR_ARG && strstr(err.msg, "top-p is 2"));
    fl_session_free(s);
}

/* With proposals ahead the text is the same at any temperature, by any draft and by look-up; the
 * session holds no proposal that was refused. Drafts: the model itself, and one of
 * other weights. */
static void check_speculation(const fl_model *other) {
    fl_session *s = session(0), *drafts[2] = {session(0), NULL};
    CHECK(fl_session_new(&drafts[1], (fl_model *)other,
                         &(fl_session_opts){.compute = FL_COMPUTE_F32}, NULL) == FL_OK);
    for (int k = 0; k < 12; k++) {
        fl_generate_opts o = warm, ahead;
        o.sampler.temperature = k % 4 < 2 ? 0 : 0.9;
        o.sampler.repeat_penalty = k % 3 == 1 ? 1.2 : 1;
        o.sampler.seed = (uint64_t)k;
        ahead = o;
        ahead.draft = k % 2 ? drafts[k / 4 % 2] : NULL;
        ahead.lookup = k % 2 ? 0 : 2;
        ahead.n_proposals = 1 + k;
        fl_generate_result r;
        heard plain = generate(s, "The King The King", o, NULL);
        heard h = generate(s, "The King The King", ahead, &r);
        CHECKF(h.n == plain.n && memcmp(h.id, plain.id, (size_t)h.n * sizeof *h.id) == 0, "case %d",
               k);
        CHECK(fl_session_length(s) == r.n_prompt + r.n_generated - 1);
        CHECK(memcmp(fl_session_tokens(s) + r.n_prompt, h.id, (size_t)(h.n - 1) * sizeof *h.id) ==
              0);
        CHECK(r.n_proposed >= r.n_taken && r.n_steps + r.n_taken == r.n_generated - 1);
        if (ahead.draft == drafts[0] && k % 3 != 1)
            CHECKF(r.n_taken == r.n_proposed, "case %d: %d taken of %d", k, (int)r.n_taken,
                   (int)r.n_proposed);
        fl_text_clear(&plain.text);
        fl_text_clear(&h.text);
    }
    fl_session_free(drafts[0]);
    fl_session_free(drafts[1]);
    fl_session_free(s);
}

/* Two steps without proposals, which took a second each. */
static void know_the_pace(fli_speculation *p) {
    for (int i = 0; i < 2; i++) fli_speculation_learn(p, 0, 1);
}

/* What followed the longest end that was there before, the last time that it was. */
static void check_look_up(void) {
    static const struct {
        int32_t text[10];
        int64_t n, n_want;
        int32_t want[4];
    } rows[] = {
        {{1, 2, 3, 9, 8, 1, 2, 3}, 8, 4, {9, 8, 1, 2}},
        {{1, 2, 3, 7, 5, 2, 3, 9, 2, 3}, 10, 3, {9, 2, 3}},
        {{5, 3, 6, 1, 3}, 5, 3, {6, 1, 3}},
        {{5, 6, 7}, 3, 0, {0}},
    };
    fl_session *s = session(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fli_speculation p;
        fli_speculation_opts o = {.lookup = 3, .most = 4};
        CHECK(fli_speculation_init(&p, s, &o, NULL) == FL_OK);
        know_the_pace(&p);
        CHECK(fli_speculation_make(&p, rows[i].text, rows[i].n, 0, 9, NULL) == FL_OK);
        int64_t n = rows[i].n_want;
        CHECKF(p.n == n && memcmp(p.id, rows[i].want, (size_t)n * sizeof *p.id) == 0, "row %zu", i);
        fli_speculation_clear(&p);
    }
    fl_session_free(s);
}

/* A model and what proposes for it, as seconds: a step of one row is 1. */
typedef struct {
    const char *name;
    double row, propose;  // of each further row, of each proposal
    int one_in;           // the first refused is this one; 0: all are taken
    double least, most;   // tokens a second of the whole
    int64_t proposals;    // of the largest of the last 30 steps, at least
    int turn;             // steps before all this, of which all are taken, and which do not count
} pace_row;

static const pace_row pace_rows[] = {
    {"all taken and cheap", 0.05, 0.1, 0, 3.8, 3.91, 7, 0},
    {"all taken, but as dear as the model", 0.05, 1.1, 0, 0.97, 1.01, 0, 0},
    {"none taken", 0.05, 0.1, 1, 0.97, 1, 0, 0},
    {"none taken and very dear", 0.5, 2, 1, 0.97, 1, 0, 0},
    {"half taken, at a third of the price", 0.05, 0.33, 2, 0.97, 1.3, 0, 0},
    {"half taken, dearer than that", 0.2, 0.45, 2, 0.97, 1.05, 0, 0},
    {"all taken, then none", 0.05, 0.33, 1, 0.93, 1, 0, 300},
};

/* By a clock that is ours: as many proposals as pay, and never much slower than without any. */
static void check_pace(void) {
    static const int32_t text[] = {1, 2, 3, 9, 8, 7, 6, 5, 4, 1, 2, 3};
    fl_session *s = session(0);
    for (size_t i = 0; i < sizeof pace_rows / sizeof *pace_rows; i++) {
        const pace_row *w = &pace_rows[i];
        fli_speculation p;
        fli_speculation_opts o = {.lookup = 3, .most = 7};
        CHECK(fli_speculation_init(&p, s, &o, NULL) == FL_OK);
        know_the_pace(&p);
        p.clock.draft = (fli_pace){.seconds = w->propose, .n = 2};
        double seconds = 2, tokens = 2;
        int64_t proposed = 0, asked = 0;
        for (int k = 0; k < w->turn + 400; k++) {
            const bool counts = k >= w->turn;
            CHECK(fli_speculation_make(&p, text, 12, 0, 9, NULL) == FL_OK);
            int64_t rows = 1, taken = 0;
            while (rows < 1 + p.n) rows *= 2;
            while (taken < p.n && (!counts || !w->one_in || ++asked % w->one_in)) taken++;
            p.seconds = w->propose * (double)p.n;
            fli_speculation_learn(&p, taken, 1 + w->row * (double)(rows - 1));
            if (!counts) continue;
            seconds += p.seconds + 1 + w->row * (double)(rows - 1);
            tokens += (double)(1 + taken);
            if (k >= w->turn + 370 && p.n > proposed) proposed = p.n;
        }
        CHECKF(tokens / seconds >= w->least && tokens / seconds <= w->most, "%s: %g", w->name,
               tokens / seconds);
        CHECKF(proposed >= w->proposals, "%s: %d at last", w->name, (int)proposed);
        fli_speculation_clear(&p);
    }
    fl_session_free(s);
}

/* Memory that runs out at any point is an error, and everything is given back (the sanitizer
 * looks). */
static void check_memory(void) {
    for (long n = 1;; n++) {
        fl_session *s = NULL;
        fl_err err = {0};
        fl_generate_result r;
        fl_generate_opts o = {.max_tokens = 3, .logprobs = 2, .sampler = {.temperature = 1}};
        fl_alloc_fail_at(n);
        fl_status st = fl_session_new(&s, model, &(fl_session_opts){.compute = FL_COMPUTE_F32},
                                      &err);
        if (st == FL_OK) st = fl_generate(s, "The King", 8, &o, &r, &err);
        bool reached = fl_alloc_fail_at(0);
        CHECKF(st == (reached ? FL_ERR_NOMEM : FL_OK) || st == FL_OK, "allocation %ld: %s", n,
               err.msg);
        if (st != FL_OK && s) {  // and the session is as good as new
            st = fl_generate(s, "The King", 8, &o, &r, &err);
            CHECKF(st == FL_OK, "after allocation %ld: %s", n, err.msg);
        }
        fl_session_free(s);
        if (!reached) break;
    }
}

int main(void) {
    fl_model *golden;
    fl_err err = {0};
    if (fl_model_load(&golden, FL_TEST_DATA "/golden/qwen3", &(fl_model_opts){0}, &err) != FL_OK) {
        printf("%s\n", err.msg);
        return EXIT_FAILURE;
    }
    fl_config c = golden->config;
    c.vocab_size = 512;
    c.max_position_embeddings = 512;
    c.initializer_range = 0.3;
    CHECK(fl_model_new(&model, &c, 1, NULL) == FL_OK);
    CHECK(fl_tokenizer_load(&model->tokenizer, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    check_stream();
    check_stops();
    check_repeat();
    check_eos();
    check_context();
    fl_model *other;
    CHECK(fl_model_new(&other, &c, 2, NULL) == FL_OK);
    CHECK(fl_tokenizer_load(&other->tokenizer, FL_TEST_DATA "/tokenizer/eos", NULL) == FL_OK);
    check_speculation(other);
    check_look_up();
    check_pace();
    fl_model_free(other);
    check_memory();
    fl_model_free(model);
    fl_model_free(golden);
    return check_report();
}
