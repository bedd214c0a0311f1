/* check_group - texts that share steps: what comes out for one does not depend on the others, byte
 * for byte, nor on threads, nor on how a prompt was cut, nor on whether its beginning was read for
 * another text.
 *
 * Caught by it (each tried): attention that takes the arithmetic of decoding for a short piece of a
 * prompt; a page that is written although another text reads it; pages that hold what is not a
 * number when others take them; a table with another row's pages. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/thread.h"
#include "check.h"
#include "infer/group.h"

enum { V = 96, CONTEXT = 700, N_TEXTS = 12, MOST = 300, N_DECODED = 10 };

/* A text as it is alone: a prompt, then the likeliest tokens, and the logits after each. */
typedef struct {
    int32_t id[MOST + N_DECODED];
    int64_t n;  // of the prompt
    float logits[N_DECODED + 1][V];
} text;

static text texts[N_TEXTS];

static fl_model *model_new(const char *name, int64_t head_dim) {
    char dir[512];
    fl_model *small, *m = NULL;
    snprintf(dir, sizeof dir, FL_TEST_DATA "/golden/%s", name);
    CHECK(fl_model_load(&small, dir, &(fl_model_opts){0}, NULL) == FL_OK);
    fl_config c = small->config;
    c.max_position_embeddings = CONTEXT;
    if (head_dim) c.head_dim = c.rotary_dim = c.query_pre_attn_scalar = head_dim;
    CHECK(c.vocab_size == V && fl_model_new(&m, &c, 3, NULL) == FL_OK);
    fl_model_free(small);
    return m;
}

static fl_group *group_new(fl_model *m, fl_group_opts o) {
    fl_group *g = NULL;
    fl_err err = {0};
    CHECKF(fl_group_new(&g, m, &o, &err) == FL_OK, "%s", err.msg);
    return g;
}

static int32_t likeliest(const float *z) {
    int32_t best = 0;
    for (int32_t i = 1; i < V; i++) best = z[i] > z[best] ? i : best;
    return best;
}

static void decode(fl_group *g, const fl_group_row *row, int64_t n, const float **logits) {
    fl_err err = {0};
    CHECKF(fl_group_decode(g, row, n, logits, &err) == FL_OK, "%s", err.msg);
}

/* Prompts, several of which begin alike; and what each becomes alone. */
static void texts_make(fl_model *m, fl_group_opts o) {
    fl_rng rng = {.seed = 5};
    for (int i = 0; i < N_TEXTS; i++) {
        text *t = &texts[i];
        t->n = 1 + (int64_t)fl_rng_below(&rng, i % 3 ? 60 : MOST);
        for (int64_t k = 0; k < t->n; k++)
            t->id[k] = k < 150 && i % 2 ? (int32_t)(k * 7 % V) : (int32_t)fl_rng_below(&rng, V);
        fl_group *g = group_new(m, o);
        fl_sequence *s;
        CHECK(fl_sequence_new(&s, g, NULL) == FL_OK && !fl_sequence_logits(s));
        CHECK(fl_sequence_read(s, t->id, t->n, NULL) == FL_OK);
        for (int k = 0; k <= N_DECODED; k++) {
            const float *z = fl_sequence_logits(s);
            memcpy(t->logits[k], z, sizeof t->logits[k]);
            if (k == N_DECODED) break;
            t->id[t->n + k] = likeliest(z);
            decode(g, &(fl_group_row){s, t->id[t->n + k]}, 1, &z);
        }
        CHECK(fl_sequence_length(s) == t->n + N_DECODED);
        fl_sequence_free(s);
        fl_group_free(g);
    }
}

/* A text on its way through a group that others share. */
typedef struct {
    const text *t;
    fl_sequence *s;
    int64_t read, decoded;
} traveller;

static void check_logits(const traveller *a, const float *z, const char *what) {
    CHECKF(z && memcmp(z, a->t->logits[a->decoded], sizeof a->t->logits[0]) == 0,
           "%s: text %d of %d tokens, token %d", what, (int)(a->t - texts), (int)a->t->n,
           (int)a->decoded);
}

/* Arrive: alone, or with the beginning of a prompt that another has read already. */
static void arrive(fl_group *g, traveller *all, traveller *a, fl_rng *rng) {
    int64_t best = 0;
    const traveller *from = NULL;
    for (traveller *o = all; o < all + N_TEXTS && fl_rng_below(rng, 2); o++) {
        if (!o->s || o == a) continue;
        int64_t same = 0, most = o->read < a->t->n - 1 ? o->read : a->t->n - 1;
        while (same < most && o->t->id[same] == a->t->id[same]) same++;
        if (same > best) best = same, from = o;
    }
    fl_status st = from ? fl_sequence_fork(&a->s, from->s, best, NULL)
                        : fl_sequence_new(&a->s, g, NULL);
    CHECK(st == FL_OK && fl_sequence_length(a->s) == best);
    a->read = best;
}

/* Read a piece of the prompt; sometimes a wrong one first, which is forgotten again. */
static void read_piece(traveller *a, fl_rng *rng) {
    int64_t left = a->t->n - a->read, n = 1 + (int64_t)fl_rng_below(rng, (uint64_t)left);
    if (fl_rng_below(rng, 3) == 0) {
        int32_t wrong[3] = {1, 2, 3};
        CHECK(fl_sequence_read(a->s, wrong, 3, NULL) == FL_OK);
        fl_sequence_rewind(a->s, a->read);
        CHECK(!fl_sequence_logits(a->s));
    }
    CHECK(fl_sequence_read(a->s, a->t->id + a->read, n, NULL) == FL_OK);
    a->read += n;
    if (a->read == a->t->n) check_logits(a, fl_sequence_logits(a->s), "prompt");
}

/* One step for those that are ready, up to three tokens each. */
static void step(fl_group *g, traveller *all, fl_rng *rng) {
    fl_group_row row[3 * N_TEXTS];
    traveller *who[3 * N_TEXTS];
    const float *logits;
    int64_t n = 0;
    for (traveller *a = all; a < all + N_TEXTS; a++) {
        if (!a->s || a->read < a->t->n) continue;
        int64_t left = N_DECODED - a->decoded, k = (int64_t)fl_rng_below(rng, 4);
        for (int64_t i = 0; i < k && i < left; i++, n++) {
            row[n] = (fl_group_row){a->s, a->t->id[a->t->n + a->decoded + i]};
            who[n] = a;
        }
    }
    if (!n) return;
    decode(g, row, n, &logits);
    for (int64_t i = 0; i < n; i++) {
        who[i]->decoded++;
        check_logits(who[i], logits + i * V, "decoded");
    }
    for (int64_t i = 0; i < n; i++) check_logits(who[i], fl_sequence_logits(who[i]->s), "last");
}

/* All texts through one group, arriving at random. */
static void check_together(fl_model *m, fl_group_opts o, uint64_t seed) {
    fl_rng rng = {.seed = seed};
    fl_group *g = group_new(m, o);
    traveller all[N_TEXTS];
    int left = N_TEXTS;
    for (int i = 0; i < N_TEXTS; i++) all[i] = (traveller){.t = &texts[i]};
    while (left > 0) {
        traveller *a = &all[fl_rng_below(&rng, N_TEXTS)];
        if (!a->s && a->decoded < N_DECODED) arrive(g, all, a, &rng);
        else if (a->s && a->read < a->t->n) read_piece(a, &rng);
        if (fl_rng_below(&rng, 3)) step(g, all, &rng);
        for (a = all; a < all + N_TEXTS; a++) {
            if (!a->s || a->decoded < N_DECODED || fl_rng_below(&rng, 3)) continue;
            CHECK(memcmp(fl_sequence_tokens(a->s), a->t->id,
                         (size_t)(a->t->n + N_DECODED) * sizeof(int32_t)) == 0);
            fl_sequence_free(a->s);
            a->s = NULL;
            left--;
        }
    }
    fl_group_free(g);
}

/* On the best backend, or on all but the reference. */
static void check_model(const char *name, fl_compute compute, fl_cache cache, bool all_backends) {
    fl_model *m = model_new(name, cache >= FL_CACHE_Q8_0 ? 32 : 0);
    fl_pool *pool[2];
    int seen = 0;
    for (int i = 0; i < 2; i++) CHECK(fl_pool_new(&pool[i], i + 1, NULL) == FL_OK);
    for (const fl_backend *const *b = fl_backends; *b; b++) {
        if (!(*b)->available() || strcmp((*b)->name, "ref") == 0) continue;
        if (seen++ && !all_backends) continue;
        fl_group_opts o = {.backend = *b, .pool = pool[0], .compute = compute, .cache = cache};
        texts_make(m, o);
        for (uint64_t seed = 0; seed < 2; seed++) {
            o.pool = pool[seed % 2];
            o.chunk = seed ? 16 : 0;
            check_together(m, o, seed);
        }
    }
    for (int i = 0; i < 2; i++) fl_pool_free(pool[i]);
    fl_model_free(m);
}

/* What does not fit is refused, and nothing has changed. */
static void check_limits(void) {
    fl_model *m = model_new("qwen3", 0);
    fl_err err = {0};
    fl_group *g;
    CHECK(fl_group_new(&g, m, &(fl_group_opts){.cache = FL_CACHE_Q8_0}, &err) ==
          FL_ERR_UNSUPPORTED);
    CHECKF(strstr(err.msg, "a multiple of 32"), "%s", err.msg);
    g = group_new(m, (fl_group_opts){.tokens = 192, .context = 150});
    fl_sequence *a = NULL, *b = NULL, *c;
    int32_t ids[200] = {0};
    const float *z;
    CHECK(fl_group_tokens_free(g) == 192);
    CHECK(fl_sequence_new(&a, g, NULL) == FL_OK && fl_sequence_new(&b, g, NULL) == FL_OK);
    CHECK(fl_sequence_read(a, ids, 151, &err) == FL_ERR_ARG && strstr(err.msg, "holds 150"));
    CHECK(fl_sequence_read(a, ids, 128, NULL) == FL_OK && fl_group_tokens_free(g) == 64);
    CHECK(fl_sequence_read(b, ids, 65, &err) == FL_ERR_NOMEM && fl_sequence_length(b) == 0);
    CHECKF(strstr(err.msg, "192 tokens"), "%s", err.msg);
    CHECK(fl_group_tokens_free(g) == 64 && fl_sequence_read(b, ids, 60, NULL) == FL_OK);
    fl_group_row row[2] = {{b, 1}, {a, 1}};
    CHECK(fl_group_decode(g, row, 2, &z, &err) == FL_ERR_NOMEM);
    CHECK(fl_sequence_length(a) == 128 && fl_sequence_length(b) == 60);
    row[1].id = V;
    CHECK(fl_group_decode(g, row, 2, &z, &err) == FL_ERR_ARG && fl_sequence_length(b) == 60);
    CHECK(fl_group_decode(g, row, 1, &z, &err) == FL_OK && fl_sequence_length(b) == 61);
    fl_sequence_rewind(a, 64);
    CHECK(fl_group_tokens_free(g) == 64);
    CHECK(fl_sequence_fork(&c, a, 40, NULL) == FL_OK && fl_group_tokens_free(g) == 64);
    CHECK(fl_sequence_read(c, ids, 4, NULL) == FL_OK && fl_group_tokens_free(g) == 0);
    CHECK(fl_sequence_read(c, ids, 30, &err) == FL_ERR_NOMEM && fl_sequence_length(c) == 44);
    fl_sequence_free(a);
    fl_sequence_free(b);
    fl_sequence_free(c);
    CHECK(fl_group_tokens_free(g) == 192);
    fl_group_free(g);
    fl_model_free(m);
}

/* The fewer bits are kept, the less memory, and the farther from what all of them give; but not
 * far. */
static void check_formats(void) {
    static const struct {
        fl_cache cache;
        double bits, least, most;  // of a number; error of logits, relative to the largest
    } rows[] = {{FL_CACHE_F32, 32, 0, 1e-9},
                {FL_CACHE_F16, 16, 1e-6, 1e-3},
                {FL_CACHE_BF16, 16, 1e-5, 0.01},
                {FL_CACHE_Q8_0, 8.5, 1e-5, 0.01},
                {FL_CACHE_Q4_0, 4.5, 1e-3, 0.15}};
    fl_model *m = model_new("qwen3", 32);
    float want[V] = {0}, largest = 0;
    size_t bytes = 0;
    int32_t ids[300];
    for (int i = 0; i < 300; i++) ids[i] = i * 31 % V;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fl_group *g = group_new(m,
                                (fl_group_opts){.compute = FL_COMPUTE_F32, .cache = rows[i].cache});
        fl_sequence *s;
        const float *z;
        double worst = 0;
        CHECK(fl_sequence_new(&s, g, NULL) == FL_OK);
        CHECK(fl_sequence_read(s, ids, 299, NULL) == FL_OK);
        decode(g, &(fl_group_row){s, ids[299]}, 1, &z);
        if (!i) memcpy(want, z, sizeof want);
        for (int k = 0; k < V; k++) {
            largest = fmaxf(largest, fabsf(want[k]));
            worst = fmax(worst, fabs((double)z[k] - (double)want[k]));
        }
        worst /= (double)largest;
        if (!i) bytes = fl_group_cache_bytes(g);
        CHECKF(worst >= rows[i].least && worst <= rows[i].most, "format %d: off by %g",
               (int)rows[i].cache, worst);
        CHECK((double)fl_group_cache_bytes(g) == (double)bytes * rows[i].bits / 32);
        fl_sequence_free(s);
        fl_group_free(g);
    }
    fl_model_free(m);
}

int main(void) {
    check_model("qwen3", FL_COMPUTE_F32, FL_CACHE_AUTO, true);
    check_model("qwen3", FL_COMPUTE_BF16, FL_CACHE_AUTO, false);
    check_model("gpt2", FL_COMPUTE_F32, FL_CACHE_F16, false);
    check_model("mistral_window", FL_COMPUTE_BF16, FL_CACHE_AUTO, false);
    check_model("qwen3", FL_COMPUTE_BF16, FL_CACHE_Q8_0, false);
    check_model("qwen3", FL_COMPUTE_F32, FL_CACHE_Q4_0, true);
    check_formats();
    check_limits();
    return check_report();
}
