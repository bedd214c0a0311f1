/* check_token_train - the trainer: the vocabularies Hugging Face's trainer made, at any number of
 * threads.
 *
 * Catches: ties broken otherwise, pairs counted twice in "aaa", a merge that forgets a word,
 * documents run together, a count that depends on who counted. */
#include "base/hash.h"
#include "base/thread.h"
#include "check.h"
#include "token_data.h"

enum { SIZE = 700, N_SPECIAL = 3 };
static const char *const special[N_SPECIAL] = {"<|endoftext|>", "<|end|>", "<|endless|>"};

static fl_status train(fl_tokenizer **out, const fl_bpe_opts *o, int feeds, fl_err *err) {
    size_t n, at = 0, len;
    const char *doc;
    fl_bpe_trainer *trainer;
    FL_TRY(fl_bpe_trainer_new(&trainer, o, err));
    char *corpus = golden("corpus.txt", &n);
    fl_status st = FL_OK;
    for (int i = 0; i < feeds; i++)
        for (at = 0; st == FL_OK && next_part(corpus, n, '\0', &at, &doc, &len);)
            st = fl_bpe_trainer_feed(trainer, doc, len, err);
    if (st == FL_OK) st = fl_bpe_trainer_finish(trainer, out, NULL, err);
    fl_dealloc(corpus);
    fl_bpe_trainer_free(trainer);
    return st;
}

/* Token by token and merge by merge; the kind of a special token and the template are not
 * learned. */
static void check_same(const fl_tokenizer *got, const fl_tokenizer *want, const char *what) {
    CHECKF(fl_tokenizer_size(got) == fl_tokenizer_size(want), "%s", what);
    CHECKF(fl_tokenizer_n_merges(got) == fl_tokenizer_n_merges(want), "%s", what);
    for (int32_t id = 0; id < fl_tokenizer_size(got); id++) {
        size_t a, b;
        const uint8_t *x = fl_token_bytes(got, id, &a), *y = fl_token_bytes(want, id, &b);
        CHECKF(x && y && a == b && memcmp(x, y, a) == 0, "%s: token %d", what, id);
    }
    for (size_t i = 0; i < fl_tokenizer_n_merges(got); i++) {
        int32_t l, r, wl, wr;
        fl_tokenizer_merge(got, i, &l, &r);
        fl_tokenizer_merge(want, i, &wl, &wr);
        CHECKF(l == wl && r == wr, "%s: merge %zu", what, i);
    }
}

static void check_golden(const char *pattern, bool nfc) {
    char name[64];
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    fl_bpe_opts o = {.vocab_size = SIZE,
                     .pattern = pattern,
                     .nfc = nfc,
                     .special = special,
                     .n_special = N_SPECIAL};
    snprintf(name, sizeof name, "%s.json", pattern);
    fl_tokenizer *want = golden_tokenizer(name);
    CHECKF(train(&t, &o, 1, &err) == FL_OK, "%s", err.msg);
    if (t) check_same(t, want, pattern);
    fl_tokenizer_free(t);
    fl_tokenizer_free(want);
}

/* The corpus often enough that it fills batches, so that threads share it. */
static void check_threads(void) {
    enum { FEEDS = 800 };
    char hash[3][33];
    fl_err err = {0};
    for (int n = 1; n <= 3; n++) {
        fl_pool *pool;
        fl_tokenizer *t;
        CHECK(fl_pool_new(&pool, n, &err) == FL_OK);
        fl_bpe_opts o = {.vocab_size = SIZE, .pool = pool};
        CHECKF(train(&t, &o, FEEDS, &err) == FL_OK, "%s", err.msg);
        fl_tokenizer_hash(t, hash[n - 1]);
        fl_tokenizer_free(t);
        fl_pool_free(pool);
    }
    CHECK(strcmp(hash[0], hash[1]) == 0 && strcmp(hash[0], hash[2]) == 0);
}

/* One long document, cut among the threads, counts as the pattern cuts it whole. */
static void check_long_document(void) {
    enum { TIMES = 400 };
    size_t n;
    fl_err err = {0};
    fl_text text = {0};
    char hash[2][33], *corpus = golden("corpus.txt", &n);
    for (int i = 0; i < TIMES; i++) fl_text_append(&text, corpus, strlen(corpus));
    fl_dealloc(corpus);
    // The same pattern in parentheses is no known one: PCRE2 takes the document whole.
    static const char *const spelled[2] =
        {"gpt2",
         "(?:'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+)"};
    for (int i = 0; i < 2; i++) {
        fl_bpe_trainer *trainer;
        fl_tokenizer *t;
        fl_pool *pool;
        CHECK(fl_pool_new(&pool, 2, &err) == FL_OK);
        fl_bpe_opts o = {.vocab_size = SIZE, .pattern = spelled[i], .pool = pool};
        CHECK(fl_bpe_trainer_new(&trainer, &o, &err) == FL_OK);
        CHECKF(fl_bpe_trainer_feed(trainer, text.data, text.n, &err) == FL_OK, "%s", err.msg);
        CHECKF(fl_bpe_trainer_finish(trainer, &t, NULL, &err) == FL_OK, "%s", err.msg);
        fl_text all = {0};
        for (int32_t id = 0; id < fl_tokenizer_size(t); id++) fl_token_text(t, id, &all);
        snprintf(hash[i], sizeof hash[i], "%016llx",
                 (unsigned long long)fl_tokenizer_n_merges(t) ^
                     (unsigned long long)fl_hash64(all.data, all.n));
        fl_text_clear(&all);
        fl_tokenizer_free(t);
        fl_bpe_trainer_free(trainer);
        fl_pool_free(pool);
    }
    CHECK(strcmp(hash[0], hash[1]) == 0);
    fl_text_clear(&text);
}

static void check_refusals(void) {
    static const struct {
        fl_bpe_opts opts;
        const char *want;
    } rows[] = {
        {{.vocab_size = 200}, "a vocabulary of 200"},
        {{.vocab_size = 1000000}, "this text has merges for a vocabulary of"},
        {{.vocab_size = SIZE, .pattern = "(unclosed"}, "pattern \"(unclosed\""},
        {{.vocab_size = SIZE, .eos = "<eos>"}, "\"<eos>\" is not among the special tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fl_tokenizer *t = NULL;
        fl_err err = {0};
        CHECKF(train(&t, &rows[i].opts, 1, &err) != FL_OK && !t, "row %zu", i);
        CHECKF(strstr(err.msg, rows[i].want) != NULL, "row %zu: %s", i, err.msg);
    }
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    CHECK(train(&t, &(fl_bpe_opts){.vocab_size = SIZE}, 0, &err) == FL_ERR_ARG && !t);
    CHECK(strstr(err.msg, "no text") != NULL);
}

static void check_token_limit(void) {
    fl_tokenizer *t;
    fl_err err = {0};
    fl_bpe_opts o = {.vocab_size = SIZE, .max_token_bytes = 4};
    CHECK(train(&t, &o, 1, &err) == FL_OK);
    for (int32_t id = 0; id < SIZE - 1; id++) {
        size_t n;
        CHECK(fl_token_bytes(t, id, &n) && n >= 1 && n <= 4);
    }
    fl_tokenizer_free(t);
}

int main(void) {
    check_golden("gpt2", false);
    check_golden("llama3", false);
    check_golden("qwen2", true);
    check_golden("nanochat", false);
    check_golden("o200k", false);
    check_threads();
    check_long_document();
    check_refusals();
    check_token_limit();
    return check_report();
}
