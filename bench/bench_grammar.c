/* bench_grammar - what a grammar costs a token: microseconds to find the mask and to take the
 * token.
 *
 *     bench_grammar TOKENIZER GRAMMAR [tokens]
 *     bench_grammar TOKENIZER TEXTS.jsonl
 * Of a grammar, texts are drawn at random from the masks, one after the other, with the caches a
 * server would keep. Of lines {"schema", "text"}, as check_schema writes them, every text is taken
 * once, by a matcher that has seen nothing yet; those that the tokenizer has no bytes for are left
 * out. Tab-separated: what, tokens, mean, median, 99 %, largest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/rng.h"
#include "infer/grammar.h"
#include "infer/schema.h"

enum { TOKENS_MAX = 1 << 20 };

typedef struct {
    fl_tokenizer *tokenizer;
    fl_token_trie *trie;
    double *us;  // TOKENS_MAX of them, n so far
    int n;
} bench;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(bench *b) {
    double sum = 0;
    for (int i = 0; i < b->n; i++) sum += b->us[i];
    qsort(b->us, (size_t)b->n, sizeof *b->us, by_value);
    printf("us a token\t%d\t%.1f\t%.1f\t%.1f\t%.1f\n", b->n, sum / b->n, b->us[b->n / 2],
           b->us[b->n * 99 / 100], b->us[b->n - 1]);
}

static fl_status mask(bench *b, fl_matcher *m, const uint64_t **allowed, fl_err *err) {
    const double start = fl_now();
    FL_TRY(fl_matcher_mask(m, allowed, err));
    b->us[b->n] = (fl_now() - start) * 1e6;
    return FL_OK;
}

static fl_status take(bench *b, fl_matcher *m, int32_t id, fl_err *err) {
    const double start = fl_now();
    if (id < 0 || id == fl_tokenizer_eos(b->tokenizer)) FL_TRY(fl_matcher_reset(m, err));
    else FL_TRY(fl_matcher_accept(m, id, err));
    b->us[b->n++] += (fl_now() - start) * 1e6;
    return FL_OK;
}

/* ---- a grammar ---- */

/* A token of the mask, the same chance for each; -1: none. */
static int32_t draw(const uint64_t *allowed, int32_t V, fl_rng *rng) {
    int32_t chosen = -1;
    uint64_t n = 0;
    for (int32_t id = 0; id < V; id++) {
        if (allowed[id / 64] >> (id % 64) & 1 && fl_rng_below(rng, ++n) == 0) chosen = id;
    }
    return chosen;
}

static fl_status draw_texts(bench *b, fl_matcher *m, int n, fl_err *err) {
    fl_rng rng = {.seed = 1};
    while (b->n < n) {
        const uint64_t *allowed;
        FL_TRY(mask(b, m, &allowed, err));
        FL_TRY(take(b, m, draw(allowed, fl_tokenizer_size(b->tokenizer), &rng), err));
    }
    return FL_OK;
}

static fl_status of_grammar(bench *b, const char *path, int n, fl_err *err) {
    fl_grammar *g = NULL;
    fl_matcher *m = NULL;
    char *text = NULL;
    size_t n_text;
    fl_status s = fl_file_read(path, 1 << 20, &text, &n_text, err);
    if (s == FL_OK) s = fl_grammar_parse(&g, text, n_text, err);
    if (s == FL_OK) s = fl_matcher_new(&m, g, b->trie, err);
    if (s == FL_OK) s = draw_texts(b, m, n, err);
    fl_matcher_free(m);
    fl_grammar_free(g);
    fl_dealloc(text);
    return s;
}

/* ---- schemas ---- */

static fl_status take_text(bench *b, fl_matcher *m, const fl_ids *ids, fl_err *err) {
    for (size_t i = 0; i <= ids->n && b->n < TOKENS_MAX; i++) {
        const uint64_t *allowed;
        FL_TRY(mask(b, m, &allowed, err));
        FL_TRY(take(b, m, i < ids->n ? ids->id[i] : -1, err));
    }
    return FL_OK;
}

static fl_status take_line(bench *b, const json_t *line, fl_err *err) {
    const json_t *text = json_object_get(line, "text");
    fl_text gbnf = {0};
    fl_grammar *g = NULL;
    fl_matcher *m = NULL;
    fl_ids ids = {0};
    fl_status s = fl_schema_grammar(json_object_get(line, "schema"), &gbnf, err);
    if (s == FL_OK) s = fl_grammar_parse(&g, fl_text_str(&gbnf), gbnf.n, err);
    if (s == FL_OK) s = fl_matcher_new(&m, g, b->trie, err);
    if (s == FL_OK && fl_encode(b->tokenizer, json_string_value(text), json_string_length(text),
                                &(fl_encode_opts){0}, &ids, err) == FL_OK)
        s = take_text(b, m, &ids, err);
    fl_ids_clear(&ids);
    fl_matcher_free(m);
    fl_grammar_free(g);
    fl_text_clear(&gbnf);
    return s;
}

static fl_status of_schemas(bench *b, const char *path, fl_err *err) {
    FILE *f = fopen(path, "r");
    if (!f) return fl_fail(err, FL_ERR_IO, "%s: cannot be opened", path);
    fl_status s = FL_OK;
    json_t *line;
    while (s == FL_OK &&
           (line = json_loadf(f, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        s = take_line(b, line, err);
        json_decref(line);
    }
    fclose(f);
    return s == FL_OK && !b->n ? fl_fail(err, FL_ERR_FORMAT, "%s: no texts", path) : s;
}

static fl_status run(bench *b, char **argv, int n, fl_err *err) {
    FL_TRY(fl_tokenizer_load(&b->tokenizer, argv[1], err));
    const int32_t eos = fl_tokenizer_eos(b->tokenizer);
    const double start = fl_now();
    FL_TRY(fl_token_trie_new(&b->trie, b->tokenizer, &eos, 1, err));
    printf("trie of %d tokens\t%.1f ms\n", fl_tokenizer_size(b->tokenizer),
           (fl_now() - start) * 1e3);
    const char *end = strrchr(argv[2], '.');
    return end && strcmp(end, ".jsonl") == 0 ? of_schemas(b, argv[2], err)
                                             : of_grammar(b, argv[2], n, err);
}

int main(int argc, char **argv) {
    const int n = argc > 3 ? atoi(argv[3]) : 2000;
    bench b = {.us = fl_alloc(TOKENS_MAX * sizeof *b.us)};
    fl_err err = {0};
    if (argc < 3 || n < 1 || n > TOKENS_MAX || !b.us) {
        fprintf(stderr, "usage: bench_grammar TOKENIZER GRAMMAR|TEXTS.jsonl [tokens]\n");
        return 2;
    }
    const fl_status s = run(&b, argv, n, &err);
    if (s == FL_OK) report(&b);
    else fprintf(stderr, "bench_grammar: %s\n", err.msg);
    fl_token_trie_free(b.trie);
    fl_tokenizer_free(b.tokenizer);
    fl_dealloc(b.us);
    return s != FL_OK;
}
