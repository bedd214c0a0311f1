/* bench_token - the tokenizer by itself: encoding speed, and the ids for
 * tests/peers/token_compare.py.
 *
 *     bench_token encode VOCABULARY DOCUMENTS [IDS] [rounds]     MB/s of the median round, by
 *                                                                processor time
 *     bench_token train  DOCUMENTS SIZE PATTERN DIR [threads]    seconds
 * DOCUMENTS is a file of records: u32 length, bytes. IDS gets a record per document: u32 count,
 * ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/thread.h"
#include "token/tokenizer.h"

static int fail(const fl_err *err) {
    fprintf(stderr, "bench_token: %s\n", err->msg);
    return 1;
}

/* The record at *at, moving it on; false at the end. */
static bool next_record(const fl_map *docs, size_t *at, const char **text, uint32_t *n) {
    if (docs->bytes - *at < sizeof *n) return false;
    memcpy(n, docs->data + *at, sizeof *n);
    *text = (const char *)docs->data + *at + sizeof *n;
    *at += sizeof *n + *n;
    return *at <= docs->bytes;
}

static fl_status encode_all(const fl_tokenizer *t, const fl_map *docs, FILE *ids, size_t *bytes,
                            size_t *tokens, fl_err *err) {
    fl_encoder *e;
    fl_ids out = {0};
    const char *text;
    uint32_t n;
    FL_TRY(fl_encoder_new(&e, t, err));
    fl_status st = FL_OK;
    *bytes = *tokens = 0;
    for (size_t at = 0; st == FL_OK && next_record(docs, &at, &text, &n);) {
        out.n = 0;
        st = fl_encoder_encode(e, text, n, NULL, &out, err);
        *bytes += n;
        *tokens += out.n;
        uint32_t count = (uint32_t)out.n;
        if (ids && (fwrite(&count, sizeof count, 1, ids) != 1 ||
                    fwrite(out.id, sizeof *out.id, out.n, ids) != out.n))
            st = fl_fail(err, FL_ERR_IO, "writing the ids");
    }
    fl_ids_clear(&out);
    fl_encoder_free(e);
    return st;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the processor, so that a busy machine counts for less. */
static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int bench_encode(int argc, char **argv) {
    enum { ROUNDS_MAX = 99 };
    fl_err err;
    fl_tokenizer *t;
    fl_map docs;
    double seconds[ROUNDS_MAX], start = processor_seconds();
    if (fl_tokenizer_load(&t, argv[2], &err) != FL_OK) return fail(&err);
    double load = processor_seconds() - start;
    if (fl_map_open(&docs, argv[3], &err) != FL_OK) return fail(&err);
    FILE *ids = argc > 4 && argv[4][0] ? fopen(argv[4], "wb") : NULL;
    int rounds = argc > 5 ? atoi(argv[5]) : 1;
    size_t bytes = 0, tokens = 0;
    for (int i = 0; i < rounds && i < ROUNDS_MAX; i++) {
        start = processor_seconds();
        if (encode_all(t, &docs, ids, &bytes, &tokens, &err) != FL_OK) return fail(&err);
        seconds[i] = processor_seconds() - start;
    }
    qsort(seconds, (size_t)rounds, sizeof *seconds, by_value);
    double median = seconds[rounds / 2];
    printf("encode\t%zu bytes\t%zu tokens\t%.1f MB/s\tspread %.1f %%\tload %.3f s\n", bytes, tokens,
           (double)bytes / median / 1e6, 100 * (seconds[rounds - 1] - seconds[0]) / median, load);
    if (ids && fclose(ids) != 0) return 1;
    fl_map_close(&docs);
    fl_tokenizer_free(t);
    return 0;
}

static int bench_train(int argc, char **argv) {
    fl_err err;
    fl_map docs;
    fl_tokenizer *t;
    fl_bpe_trainer *trainer;
    fl_pool *pool = NULL;
    if (fl_map_open(&docs, argv[2], &err) != FL_OK) return fail(&err);
    if (argc > 6 && fl_pool_new(&pool, atoi(argv[6]), &err) != FL_OK) return fail(&err);
    fl_bpe_opts opts = {.vocab_size = atoi(argv[3]), .pattern = argv[4], .pool = pool};
    double start = fl_now();
    if (fl_bpe_trainer_new(&trainer, &opts, &err) != FL_OK) return fail(&err);
    const char *text;
    uint32_t n;
    for (size_t at = 0; next_record(&docs, &at, &text, &n);)
        if (fl_bpe_trainer_feed(trainer, text, n, &err) != FL_OK) return fail(&err);
    double fed = fl_now();
    if (fl_bpe_trainer_finish(trainer, &t, NULL, &err) != FL_OK) return fail(&err);
    double done = fl_now();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("train\t%zu bytes\t%d tokens\t%.2f s\tcounting %.2f s\tmerging %.2f s\t%ld MiB\n",
           docs.bytes, fl_tokenizer_size(t), done - start, fed - start, done - fed,
           use.ru_maxrss / 1024);
    if (fl_tokenizer_save(t, argv[5], &err) != FL_OK) return fail(&err);
    fl_tokenizer_free(t);
    fl_bpe_trainer_free(trainer);
    fl_pool_free(pool);
    fl_map_close(&docs);
    return 0;
}

int main(int argc, char **argv) {
    if (argc >= 4 && strcmp(argv[1], "encode") == 0) return bench_encode(argc, argv);
    if (argc >= 6 && strcmp(argv[1], "train") == 0) return bench_train(argc, argv);
    fprintf(stderr,
            "bench_token encode VOCABULARY DOCUMENTS [IDS] [rounds]\n"
            "bench_token train DOCUMENTS SIZE PATTERN DIR [threads]\n");
    return 2;
}
