/* check_prompt_cache - a prompt from disk continues byte for byte as one that was read; a file of
 * another model or a damaged one is refused.
 *
 * Caught by it (each tried): a row taken from its neighbour's place; a file in another cache format
 * that is believed. */
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "folder.h"
#include "infer/prompt_cache.h"

enum { V = 96, N = 150, N_AFTER = 5 };

static const char *path;
static int32_t ids[N];

static fl_model *model_new(uint64_t seed) {
    fl_model *small, *m = NULL;
    CHECK(fl_model_load(&small, FL_TEST_DATA "/golden/qwen3", &(fl_model_opts){0}, NULL) == FL_OK);
    fl_config c = small->config;
    c.max_position_embeddings = 256;
    CHECK(c.vocab_size == V && fl_model_new(&m, &c, seed, NULL) == FL_OK);
    fl_model_free(small);
    return m;
}

static fl_session *session(fl_model *m, fl_session_opts o) {
    fl_session *s = NULL;
    CHECK(fl_session_new(&s, m, &o, NULL) == FL_OK);
    return s;
}

/* Logits after some decoded tokens: they meet every row of the prompt. */
static void continued(fl_session *s, float out[V]) {
    for (int i = 0; i < N_AFTER; i++) CHECK(fl_session_decode(s, i * 7 % V, NULL) == FL_OK);
    memcpy(out, fl_session_logits(s), V * sizeof *out);
}

/* The first n tokens with the file as it is, and without. */
static void check_use(fl_model *m, fl_session_opts o, int64_t n, int64_t want_reused) {
    float with[V], without[V];
    int64_t reused = -1;
    fl_err err = {0};
    fl_session *s = session(m, o);
    CHECKF(fl_prompt_cache_use(s, path, ids, n, &reused, &err) == FL_OK, "%s", err.msg);
    CHECKF(reused == want_reused, "%d of %d reused", (int)reused, (int)n);
    CHECK(fl_session_length(s) == n);
    CHECK(memcmp(fl_session_tokens(s), ids, (size_t)n * sizeof *ids) == 0);
    continued(s, with);
    fl_session_free(s);
    s = session(m, o);
    CHECK(fl_session_feed(s, ids, n, NULL) == FL_OK);
    continued(s, without);
    fl_session_free(s);
    CHECKF(memcmp(with, without, sizeof with) == 0, "%d tokens, %d reused", (int)n, (int)reused);
}

static fl_status use(fl_model *m, fl_session_opts o, fl_err *err) {
    fl_session *s = session(m, o);
    int64_t reused;
    const fl_status st = fl_prompt_cache_use(s, path, ids, N, &reused, err);
    if (st != FL_OK) CHECK(fl_session_length(s) == 0);
    fl_session_free(s);
    return st;
}

static void check_growth(fl_model *m, fl_session_opts o) {
    remove(path);
    check_use(m, o, 70, 0);    // written
    check_use(m, o, 70, 70);   // taken
    check_use(m, o, 150, 70);  // grown
    check_use(m, o, 150, 150);
    check_use(m, o, 64, 64);  // shorter: the file stays
    check_use(m, o, 1, 1);
    check_use(m, o, 150, 150);
    ids[100] ^= 1;
    check_use(m, o, 150, 100);
    ids[0] ^= 1;
    check_use(m, o, 130, 0);
}

static void check_others(fl_model *m) {
    const fl_session_opts o = {.compute = FL_COMPUTE_F32};
    fl_model *other = model_new(2);
    fl_err err = {0};
    remove(path);
    CHECK(use(m, o, &err) == FL_OK);
    CHECK(use(other, o, &err) == FL_ERR_ARG && strstr(err.msg, "another model"));
    CHECK(strstr(err.msg, path) != NULL);
    CHECK(use(m, (fl_session_opts){.compute = FL_COMPUTE_BF16}, &err) == FL_ERR_ARG);
    CHECK(use(m, (fl_session_opts){.compute = FL_COMPUTE_F32, .cache = FL_CACHE_F16}, &err) ==
          FL_ERR_ARG);
    m->param[3].data = other->param[3].data;  // one weight
    CHECK(use(m, o, &err) == FL_ERR_ARG);
    fl_model_free(other);
}

/* The file cut anywhere, with any byte changed, or promising what it has not. */
static void check_damage(fl_model *m) {
    const fl_session_opts o = {.compute = FL_COMPUTE_F32};
    char *good;
    size_t n;
    fl_rng rng = {.seed = 4};
    fl_err err = {0};
    remove(path);
    CHECK(use(m, o, &err) == FL_OK);
    CHECK(fl_file_read(path, 1 << 24, &good, &n, NULL) == FL_OK);
    for (int i = 0; i < 200; i++) {
        const size_t at = i < 60 ? (size_t)i : (size_t)fl_rng_below(&rng, n);
        char was = good[at];
        good[at] = (char)(was ^ (1 + (int)fl_rng_below(&rng, 255)));
        CHECK(fl_file_write(path, good, i % 2 ? n : at, NULL) == FL_OK);
        good[at] = was;
        const fl_status st = use(m, o, &err);
        CHECKF(st == FL_ERR_FORMAT, "byte %zu: %d", at, st);
    }
    CHECK(fl_file_write(path, good, n, NULL) == FL_OK && use(m, o, &err) == FL_OK);
    fl_dealloc(good);
}

int main(void) {
    folder_make();
    path = folder_file("prompt");
    for (int i = 0; i < N; i++) ids[i] = i * 37 % V;
    fl_model *m = model_new(1);
    check_growth(m, (fl_session_opts){.compute = FL_COMPUTE_F32});
    check_growth(m, (fl_session_opts){.compute = FL_COMPUTE_BF16, .cache = FL_CACHE_F16});
    check_damage(m);
    check_others(m);
    fl_model_free(m);
    folder_remove();
    return check_report();
}
