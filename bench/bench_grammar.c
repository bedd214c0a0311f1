/* bench_grammar - what a grammar costs a token: microseconds to find the mask and to take the
 * token.
 *
 *     bench_grammar TOKENIZER GRAMMAR [tokens]
 * Texts are drawn at random from the masks, one after the other, with the caches a server would
 * keep. Tab-separated: what, tokens, mean, median, 99 %, largest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/rng.h"
#include "infer/grammar.h"

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A token of the mask, the same chance for each; -1: none. */
static int32_t draw(const uint64_t *allowed, int32_t V, fl_rng *rng) {
    int32_t chosen = -1;
    uint64_t n = 0;
    for (int32_t id = 0; id < V; id++) {
        if (allowed[id / 64] >> (id % 64) & 1 && fl_rng_below(rng, ++n) == 0) chosen = id;
    }
    return chosen;
}

static fl_status measure(fl_matcher *m, const fl_tokenizer *t, int n, double *us, fl_err *err) {
    fl_rng rng = {.seed = 1};
    for (int i = 0; i < n; i++) {
        const uint64_t *allowed;
        double start = fl_now();
        FL_TRY(fl_matcher_mask(m, &allowed, err));
        us[i] = fl_now() - start;
        int32_t id = draw(allowed, fl_tokenizer_size(t), &rng);
        start = fl_now();
        if (id < 0 || id == fl_tokenizer_eos(t)) FL_TRY(fl_matcher_reset(m, err));
        else FL_TRY(fl_matcher_accept(m, id, err));
        us[i] = (us[i] + fl_now() - start) * 1e6;
    }
    return FL_OK;
}

static fl_status run(const char *tokenizer, const char *grammar, int n, double *us, fl_err *err) {
    fl_tokenizer *t = NULL;
    fl_grammar *g = NULL;
    fl_token_trie *trie = NULL;
    fl_matcher *m = NULL;
    char *text = NULL;
    size_t n_text;
    fl_status st = fl_tokenizer_load(&t, tokenizer, err);
    if (st == FL_OK) st = fl_file_read(grammar, 1 << 20, &text, &n_text, err);
    if (st == FL_OK) st = fl_grammar_parse(&g, text, n_text, err);
    double start = fl_now();
    int32_t eos = st == FL_OK ? fl_tokenizer_eos(t) : -1;
    if (st == FL_OK) st = fl_token_trie_new(&trie, t, &eos, 1, err);
    if (st == FL_OK)
        printf("trie of %d tokens\t%.1f ms\n", fl_tokenizer_size(t), (fl_now() - start) * 1e3);
    if (st == FL_OK) st = fl_matcher_new(&m, g, trie, err);
    if (st == FL_OK) st = measure(m, t, n, us, err);
    fl_matcher_free(m);
    fl_token_trie_free(trie);
    fl_grammar_free(g);
    fl_tokenizer_free(t);
    fl_dealloc(text);
    return st;
}

int main(int argc, char **argv) {
    int n = argc > 3 ? atoi(argv[3]) : 2000;
    fl_err err;
    if (argc < 3 || n < 1) {
        fprintf(stderr, "usage: bench_grammar TOKENIZER GRAMMAR [tokens]\n");
        return 2;
    }
    double *us = fl_alloc((size_t)n * sizeof *us), sum = 0;
    if (!us || run(argv[1], argv[2], n, us, &err) != FL_OK) {
        fprintf(stderr, "bench_grammar: %s\n", us ? err.msg : "out of memory");
        return 1;
    }
    for (int i = 0; i < n; i++) sum += us[i];
    qsort(us, (size_t)n, sizeof *us, by_value);
    printf("us a token\t%d\t%.1f\t%.1f\t%.1f\t%.1f\n", n, sum / n, us[n / 2], us[n * 99 / 100],
           us[n - 1]);
    fl_dealloc(us);
    return 0;
}
