/* check_data - datasets and the rows dealt from them.
 *
 * Everything is compared with the plain statement of dataset.h: the sequence B t1..tn E of each
 * document, encoded here in one go. Caught by it (each tried): shards that depend on the pool; an
 * off-by-one at a shard's end; a pair dealt twice or never; E given as an input; a position that
 * forgets a lane; bytes counted from special tokens; a changed source or a damaged shard used
 * again. */
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "check.h"
#include "data/dataset.h"
#include "folder.h"

enum { N_DOCUMENTS = 60, V = 512 };

static fl_tokenizer *tok_eos, *tok_both;
static char *document[N_DOCUMENTS];

static const char *const words[] =
    {"the ",     "King", " of", " France\n", "caf\xc3\xa9",   " e\xcc\x81t\xc3\xa9",
     "\xff\xfe", "\n\n", "  ",  "1234",      "<|endoftext|>", "</s>",
     "'s",       "Zz"};

/* Documents of 1 to 90 words; number 3 is a single letter, number 7 is the text of number 5
 * again. */
static void documents_make(void) {
    uint32_t x = 7;
    for (int i = 0; i < N_DOCUMENTS; i++) {
        fl_text t = {0};
        x = x * 1664525u + 1013904223u;
        for (uint32_t n = 1 + (x >> 16) % 90; n; n--) {
            x = x * 1664525u + 1013904223u;
            uint32_t w = (x >> 16) % (sizeof words / sizeof *words);
            if (w != 6) fl_text_puts(&t, words[w]);  // JSON has no invalid UTF-8
        }
        document[i] = i == 3   ? fl_strdup("a")
                      : i == 7 ? fl_strdup(document[5])
                               : fl_strdup(fl_text_str(&t));
        if (!*document[i]) {
            fl_dealloc(document[i]);
            document[i] = fl_strdup("x");
        }
        fl_text_clear(&t);
    }
}

static const char *documents_put(const char *name, int first, int n) {
    fl_text t = {0};
    for (int i = first; i < first + n; i++) {
        json_t *row = json_pack("{s:s}", "text", document[i]);
        char *line = json_dumps(row, JSON_COMPACT);
        fl_text_puts(&t, line);
        fl_text_puts(&t, "\n");
        free(line);
        json_decref(row);
    }
    const char *path = folder_puts(name, fl_text_str(&t));
    fl_text_clear(&t);
    return path;
}

static fl_dataset *open_with(fl_dataset_opts o, const char *path, const char *cache, fl_err *err) {
    char dir[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", folder_file(cache));
    fl_dataset *d = NULL;
    o.paths = &path;
    o.n_paths = 1;
    o.cache_dir = dir;
    if (!o.tokenizer) o.tokenizer = tok_eos;
    fl_err local = {0};
    if (fl_dataset_open(&d, &o, err ? err : &local) != FL_OK && !err) {
        CHECKF(false, "%s: %s", path, local.msg);
        exit(check_report());
    }
    return d;
}

/* ---- the plain statement ---- */

static int32_t begin_of(const fl_tokenizer *t) {
    return fl_tokenizer_bos(t) >= 0 ? fl_tokenizer_bos(t) : fl_tokenizer_eos(t);
}

/* B t1..tn E of a text. */
static fl_ids sequence(const fl_tokenizer *t, const char *text, size_t n) {
    fl_ids body = {0}, out = {0};
    CHECK(fl_encode(t, text, n, &(fl_encode_opts){.plain = true}, &body, NULL) == FL_OK);
    out.id = fl_alloc((body.n + 2) * sizeof *out.id);
    out.id[out.n++] = begin_of(t);
    if (body.n) memcpy(out.id + 1, body.id, body.n * sizeof *out.id);
    out.n += body.n;
    out.id[out.n++] = fl_tokenizer_eos(t);
    fl_ids_clear(&body);
    return out;
}

static bool same_tokens(const fl_tokenizer *t, const fl_dataset *d, fl_part part, int64_t i,
                        const char *text, size_t n) {
    fl_ids want = sequence(t, text, n), got = {0};
    bool same = fl_dataset_tokens(d, part, i, &got, NULL) == FL_OK && got.n + 2 == want.n &&
                (got.n == 0 || memcmp(got.id, want.id + 1, got.n * sizeof *got.id) == 0);
    fl_ids_clear(&want);
    fl_ids_clear(&got);
    return same;
}

/* ---- rows ---- */

static fl_source *train_of(const fl_dataset *d, fl_source_opts o) {
    fl_source *s = NULL;
    fl_err err = {0};
    fl_status st = fl_train_source_new(&s, &(fl_mix_part){.dataset = d}, 1, &o, &err);
    CHECKF(st == FL_OK, "%s", err.msg);
    return s;
}

/* What every row must be, whatever it holds. */
static void check_rows(const fl_tokenizer *t, const fl_batch *b, bool joined) {
    double n_targets = 0;
    for (int64_t r = 0; r < b->B; r++) {
        const int32_t *x = b->tokens + r * b->T, *y = b->targets + r * b->T;
        const int32_t *segment = b->segment + r * b->T, *position = b->position + r * b->T;
        CHECK(segment[0] == 0 && position[0] == 0);
        for (int64_t i = 0; i < b->T; i++) {
            n_targets += y[i] >= 0;
            CHECK(b->weight[r * b->T + i] == (y[i] >= 0 ? 1.0f : 0.0f));
            if (!i) continue;
            bool goes_on = joined || segment[i] == segment[i - 1];
            CHECK(goes_on || segment[i] == segment[i - 1] + 1);
            CHECK(position[i] == (goes_on ? position[i - 1] + 1 : 0));
            if (!joined && goes_on && y[i - 1] >= 0) CHECK(x[i] == y[i - 1]);
            if (!joined && !goes_on && y[i] >= 0) CHECK(x[i] == begin_of(t));
        }
    }
    CHECK(n_targets == b->n_targets);
}

static bool same_batch(const fl_batch *a, const fl_batch *b) {
    size_t n = (size_t)(a->B * a->T) * 4;
    return !memcmp(a->tokens, b->tokens, n) && !memcmp(a->targets, b->targets, n) &&
           !memcmp(a->segment, b->segment, n) && !memcmp(a->position, b->position, n) &&
           !memcmp(a->weight, b->weight, n) && a->n_bytes == b->n_bytes;
}

/* How often each (input, target) pair should come in one pass: V x V counts. */
static int *pairs_of(const fl_dataset *d, const fl_tokenizer *t, fl_part part) {
    int *count = calloc(V * V, sizeof *count);
    for (int64_t i = 0; i < fl_dataset_info(d, part)->n_documents; i++) {
        fl_ids ids = {0};
        CHECK(fl_dataset_tokens(d, part, i, &ids, NULL) == FL_OK);
        int32_t before = begin_of(t);
        for (size_t k = 0; k <= ids.n; k++) {
            int32_t id = k < ids.n ? ids.id[k] : fl_tokenizer_eos(t);
            count[before * V + id]++;
            before = id;
        }
        fl_ids_clear(&ids);
    }
    return count;
}

/* Packed rows: in T passes (P rows, whatever T is) every pair comes exactly T times. */
static void check_packed(const fl_dataset *d, const fl_tokenizer *t, int64_t T) {
    const fl_part_info *info = fl_dataset_info(d, FL_PART_TRAIN);
    int *count = calloc(V * V, sizeof *count);
    fl_source *s = train_of(d, (fl_source_opts){.T = T, .seed = 5});
    CHECK((int64_t)s->n_tokens == info->n_pairs && (int64_t)s->n_bytes == info->n_bytes);
    fl_batch b;
    CHECK(fl_batch_new(&b, 1, T, NULL) == FL_OK);
    double bytes = 0;
    for (int64_t r = 0; r < info->n_pairs; r++) {
        CHECK(s->row->next(s, &b, NULL) == FL_OK && b.n_targets == (double)T);
        check_rows(t, &b, false);
        bytes += b.n_bytes;
        for (int64_t i = 0; i < T; i++) count[b.tokens[i] * V + b.targets[i]]++;
    }
    int wrong = 0;
    int *once = pairs_of(d, t, FL_PART_TRAIN);
    for (int i = 0; i < V * V; i++) wrong += count[i] != once[i] * (int)T;
    CHECKF(wrong == 0, "T %d: %d kinds of pairs came too often or not", (int)T, wrong);
    CHECKF(fabs(bytes - (double)(info->n_bytes * T)) < 1e-6 * bytes, "%f bytes", bytes);
    free(count);
    free(once);
    fl_batch_clear(&b);
    fl_source_close(s);
}

/* One pass: the documents' sequences one after another, and all bytes. */
static void check_pass(const fl_dataset *d, const fl_tokenizer *t, fl_part part, int64_t T,
                       int64_t B) {
    const fl_part_info *info = fl_dataset_info(d, part);
    fl_source *s = NULL;
    CHECK(fl_pass_source_new(&s, d, part, &(fl_source_opts){.T = T}, NULL) == FL_OK);
    fl_batch b;
    CHECK(fl_batch_new(&b, B, T, NULL) == FL_OK);
    fl_ids want = {0};
    for (int64_t i = 0; i < info->n_documents; i++) {
        fl_ids ids = {0};
        CHECK(fl_dataset_tokens(d, part, i, &ids, NULL) == FL_OK);
        int32_t *grown = fl_alloc((want.n + ids.n + 1) * sizeof *grown);
        if (want.n) memcpy(grown, want.id, want.n * sizeof *grown);
        memcpy(grown + want.n, ids.id, ids.n * sizeof *grown);
        fl_dealloc(want.id);
        want.id = grown;
        want.n += ids.n;
        want.id[want.n++] = fl_tokenizer_eos(t);
        fl_ids_clear(&ids);
    }
    CHECK((int64_t)want.n == info->n_pairs);
    size_t at = 0;
    double bytes = 0;
    for (;;) {
        CHECK(s->row->next(s, &b, NULL) == FL_OK);
        check_rows(t, &b, false);
        if (b.n_targets == 0) break;
        bytes += b.n_bytes;
        for (int64_t i = 0; i < B * T; i++) {
            if (b.targets[i] < 0) continue;
            CHECK(at < want.n && b.targets[i] == want.id[at]);
            at++;
        }
    }
    CHECKF(at == want.n, "%zu of %zu", at, want.n);
    CHECKF(fabs(bytes - (double)info->n_bytes) <= 1e-9 * bytes, "%f bytes of %lld", bytes,
           (long long)info->n_bytes);
    fl_ids_clear(&want);
    fl_batch_clear(&b);
    fl_source_close(s);
}

/* A batch of four is four batches of one; and a source that seeks goes on as if it had never
 * stopped. */
static void check_position(const fl_dataset *d, fl_sampling sampling) {
    fl_source_opts o = {.T = 16, .seed = 9, .sampling = sampling, .cross_document_attention = true};
    fl_source *a = train_of(d, o), *b = train_of(d, o), *c = train_of(d, o);
    fl_batch four, one, other;
    CHECK(fl_batch_new(&four, 4, 16, NULL) == FL_OK && fl_batch_new(&one, 1, 16, NULL) == FL_OK &&
          fl_batch_new(&other, 4, 16, NULL) == FL_OK);
    for (int step = 0; step < 300; step++) {
        json_t *at = a->row->position(a);
        CHECK(a->row->next(a, &four, NULL) == FL_OK);
        check_rows(tok_eos, &four, true);
        for (int r = 0; r < 4; r++) {
            CHECK(b->row->next(b, &one, NULL) == FL_OK);
            CHECK(memcmp(one.tokens, four.tokens + r * 16, 64) == 0);
        }
        if (step % 37 == 0) {
            CHECK(c->row->seek(c, at, NULL) == FL_OK && c->row->next(c, &other, NULL) == FL_OK);
            CHECK(same_batch(&four, &other));
        }
        json_decref(at);
    }
    json_t *bad = json_pack("{s:[i,i]}", "rows", 1, 2);
    CHECK(c->row->seek(c, bad, NULL) == FL_ERR_FORMAT);
    json_decref(bad);
    fl_batch_clear(&four);
    fl_batch_clear(&one);
    fl_batch_clear(&other);
    fl_source_close(a);
    fl_source_close(b);
    fl_source_close(c);
}

/* ---- making and finding the store ---- */

static void check_same_files(const fl_dataset *a, const fl_dataset *b) {
    static const char *const names[] = {"documents.bin", "tokens-00000.bin", "tokens-00007.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[FL_PATH_MAX];
        fl_map x = {0}, y = {0};
        snprintf(path, sizeof path, "%.2000s/%s", fl_dataset_dir(a), names[i]);
        CHECK(fl_map_open(&x, path, NULL) == FL_OK);
        snprintf(path, sizeof path, "%.2000s/%s", fl_dataset_dir(b), names[i]);
        CHECK(fl_map_open(&y, path, NULL) == FL_OK);
        CHECKF(x.bytes && x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0, "%s",
               names[i]);
        fl_map_close(&x);
        fl_map_close(&y);
    }
}

static void check_threads(const char *path) {
    fl_dataset *d[2];
    for (int i = 0; i < 2; i++) {
        fl_pool *pool;
        CHECK(fl_pool_new(&pool, i ? 3 : 1, NULL) == FL_OK);
        d[i] = open_with((fl_dataset_opts){.shard_tokens = 100, .pool = pool}, path,
                         i ? "three" : "one", NULL);
        fl_pool_free(pool);
    }
    check_same_files(d[0], d[1]);
    fl_dataset_free(d[0]);
    fl_dataset_free(d[1]);
}

static void spoil(const fl_dataset *d, const char *name, bool remove_it) {
    char path[FL_PATH_MAX];
    snprintf(path, sizeof path, "%.2000s/%s", fl_dataset_dir(d), name);
    if (remove_it) {
        CHECK(unlink(path) == 0);
        return;
    }
    FILE *f = fopen(path, "r+b");
    CHECK(f && fputc(1, f) == 1 && fclose(f) == 0);
}

static void check_reuse(void) {
    const char *path = documents_put("reuse.jsonl", 0, 30);
    fl_dataset_opts o = {.shard_tokens = 100};
    static const struct {
        const char *name;
        bool remove_it;
    } harm[] = {{"tokens-00001.bin", false},
                {"documents.bin", false},
                {"tokens-00000.bin", true},
                {"manifest.json", true},
                {"manifest.json", false}};
    fl_dataset *d = open_with(o, path, "reuse", NULL);
    CHECK(!fl_dataset_was_reused(d));
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        fl_dataset_free(d);
        d = open_with(o, path, "reuse", NULL);
        CHECKF(fl_dataset_was_reused(d), "%zu", i);
        spoil(d, harm[i].name, harm[i].remove_it);
        fl_dataset_free(d);
        d = open_with(o, path, "reuse", NULL);
        CHECKF(!fl_dataset_was_reused(d), "%zu", i);
        CHECK(same_tokens(tok_eos, d, FL_PART_VAL, 0, "", 0) == false);
    }
    fl_dataset_free(d);
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    CHECK(utimensat(AT_FDCWD, path, now, 0) == 0);
    d = open_with(o, path, "reuse", NULL);
    CHECK(fl_dataset_was_reused(d));  // another time, the same bytes
    fl_dataset_free(d);
    FILE *f = fopen(path, "r+b");  // as many bytes, another text
    CHECK(f && fseek(f, 11, SEEK_SET) == 0 && fputc('Q', f) == 'Q' && fclose(f) == 0);
    d = open_with(o, path, "reuse", NULL);
    CHECK(!fl_dataset_was_reused(d));
    fl_dataset_free(d);
    documents_put("reuse.jsonl", 0, 31);
    d = open_with(o, path, "reuse", NULL);
    CHECK(!fl_dataset_was_reused(d));
    int64_t all = fl_dataset_info(d, FL_PART_TRAIN)->n_documents +
                  fl_dataset_info(d, FL_PART_VAL)->n_documents;
    CHECK(all == 31);
    fl_dataset_free(d);
    o.tokenizer = tok_both;
    d = open_with(o, path, "reuse", NULL);
    CHECK(!fl_dataset_was_reused(d));
    fl_dataset_free(d);
}

/* ---- splits ---- */

static void check_document_split(const fl_dataset *d, const fl_tokenizer *t) {
    const fl_part_info *train = fl_dataset_info(d, FL_PART_TRAIN),
                       *val = fl_dataset_info(d, FL_PART_VAL);
    CHECK(fl_dataset_split(d) == FL_SPLIT_DOCUMENT);
    CHECK(train->n_documents + val->n_documents == N_DOCUMENTS && val->n_documents > 0);
    double share = (double)val->n_bytes / (double)(train->n_bytes + val->n_bytes);
    CHECKF(share > 0.1 && share <= 0.25, "share %g", share);
    int64_t at[2] = {0}, side[N_DOCUMENTS];
    for (int i = 0; i < N_DOCUMENTS; i++) {  // stored order, each on exactly one side
        size_t n = strlen(document[i]);
        side[i] = at[0] < val->n_documents && same_tokens(t, d, FL_PART_VAL, at[0], document[i], n);
        int64_t k = side[i] ? at[0]++ : at[1]++;
        CHECKF(side[i] || same_tokens(t, d, FL_PART_TRAIN, k, document[i], n), "document %d", i);
    }
    CHECK(side[5] == side[7]);  // equal texts stay together
}

static void check_tail_split(void) {
    fl_text t = {0};
    while (t.n < 5000) fl_text_puts(&t, document[t.n % N_DOCUMENTS]);
    const char *path = folder_put("play.txt", t.data, t.n);
    for (int k = 0; k < 8; k++) {  // whichever byte the border falls on
        double fraction = 0.1 + k / 5000.0;
        size_t cut = (size_t)((double)t.n * (1 - fraction));
        while (((unsigned char)t.data[cut] & 0xC0) == 0x80) cut++;
        fl_dataset_opts o = {.corpus.separator = "", .val_fraction = fraction};
        fl_dataset *d = open_with(o, path, "tail", NULL);
        CHECK(fl_dataset_split(d) == FL_SPLIT_TAIL);
        CHECK(fl_dataset_info(d, FL_PART_TRAIN)->n_bytes == (int64_t)cut);
        CHECK(same_tokens(tok_eos, d, FL_PART_TRAIN, 0, t.data, cut));
        CHECK(same_tokens(tok_eos, d, FL_PART_VAL, 0, t.data + cut, t.n - cut));
        check_pass(d, tok_eos, FL_PART_VAL, 10, 3);
        if (k == 0) {
            check_position(d, FL_SAMPLING_AUTO);
            check_position(d, FL_SAMPLING_PACKED);
        }
        fl_dataset_free(d);
    }
    fl_err err = {0};
    CHECK(!open_with((fl_dataset_opts){.corpus.separator = "", .split = FL_SPLIT_DOCUMENT}, path,
                     "tail", &err));
    CHECKF(strstr(err.msg, "tail"), "%s", err.msg);
    fl_dataset *d = open_with((fl_dataset_opts){.corpus.separator = "", .split = FL_SPLIT_NONE},
                              path, "tail", NULL);
    CHECK(fl_dataset_info(d, FL_PART_VAL)->n_documents == 0);
    check_pass(d, tok_eos, FL_PART_VAL, 10, 3);
    check_pass(d, tok_eos, FL_PART_TRAIN, 33, 2);
    fl_dataset_free(d);
    fl_text_clear(&t);
}

/* Windows: rows are runs of the stored text, they begin everywhere, and none is over the end. */
static void check_windows(void) {
    const char *path = folder_puts("abc.txt", "the King of France, the Queen of Spain");
    fl_dataset *d = open_with((fl_dataset_opts){.split = FL_SPLIT_NONE}, path, "windows", NULL);
    int64_t pairs = fl_dataset_info(d, FL_PART_TRAIN)->n_pairs, T = pairs - 3;
    fl_ids want = sequence(tok_eos, "the King of France, the Queen of Spain", 38);
    fl_source *s = train_of(d, (fl_source_opts){.T = T, .sampling = FL_SAMPLING_WINDOWS});
    fl_batch b;
    CHECK(fl_batch_new(&b, 1, T, NULL) == FL_OK);
    int seen[4] = {0};
    for (int i = 0; i < 400; i++) {
        CHECK(s->row->next(s, &b, NULL) == FL_OK);
        int start = 0;
        while (start < 4 && memcmp(want.id + start, b.tokens, (size_t)T * 4)) start++;
        CHECK(start < 4 && memcmp(want.id + start + 1, b.targets, (size_t)T * 4) == 0);
        if (start < 4) seen[start]++;
    }
    for (int i = 0; i < 4; i++) CHECKF(seen[i] > 60 && seen[i] < 140, "%d", seen[i]);
    fl_batch_clear(&b);
    fl_source_close(s);
    fl_err err = {0};
    fl_source_opts o = {.T = 1000, .sampling = FL_SAMPLING_WINDOWS};
    CHECK(fl_train_source_new(&s, &(fl_mix_part){.dataset = d}, 1, &o, &err) == FL_ERR_ARG);
    fl_ids_clear(&want);
    fl_dataset_free(d);
}

/* Shares hold after any number of rows, and each dataset's own rows come in its own order. */
static void check_mixture(void) {
    static const double weight[3] = {5, 2, 1};
    fl_dataset *d[3];
    fl_mix_part part[3];
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "mix%d.jsonl", i);
        d[i] = open_with((fl_dataset_opts){.split = FL_SPLIT_NONE}, documents_put(name, i * 20, 20),
                         "mix", NULL);
        part[i] = (fl_mix_part){d[i], weight[i]};
    }
    fl_source_opts o = {.T = 8, .seed = 3};
    fl_source *s, *again;
    CHECK(fl_train_source_new(&s, part, 3, &o, NULL) == FL_OK);
    CHECK(fl_train_source_new(&again, part, 3, &o, NULL) == FL_OK);
    fl_batch b, c;
    CHECK(fl_batch_new(&b, 1, 8, NULL) == FL_OK && fl_batch_new(&c, 1, 8, NULL) == FL_OK);
    for (int n = 1; n <= 400; n++) {
        CHECK(s->row->next(s, &b, NULL) == FL_OK);
        json_t *at = s->row->position(s);
        json_t *rows = json_object_get(at, "rows");
        for (size_t i = 0; i < 3; i++) {
            double got = (double)json_integer_value(json_array_get(rows, i));
            CHECKF(fabs(got - n * weight[i] / 8) <= 1, "%g rows of %d", got, n);
        }
        if (n == 123) CHECK(again->row->seek(again, at, NULL) == FL_OK);
        if (n > 123) CHECK(again->row->next(again, &c, NULL) == FL_OK && same_batch(&b, &c));
        json_decref(at);
    }
    fl_source_close(s);
    fl_source_close(again);

    part[1].weight = -1;
    CHECK(fl_train_source_new(&s, part, 3, &o, NULL) == FL_ERR_ARG);
    for (int i = 0; i < 3; i++) part[i].weight = 0;
    CHECK(fl_train_source_new(&s, part, 3, &o, NULL) == FL_OK);
    for (int n = 0; n < 1000; n++) CHECK(s->row->next(s, &b, NULL) == FL_OK);
    json_t *at = s->row->position(s);
    double total = s->n_tokens;
    for (size_t i = 0; i < 3; i++) {
        double want = 1000.0 * (double)fl_dataset_info(d[i], FL_PART_TRAIN)->n_pairs / total;
        double got = (double)json_integer_value(json_array_get(json_object_get(at, "rows"), i));
        CHECKF(fabs(got - want) <= 1, "%g, want %g", got, want);
    }
    json_decref(at);
    fl_source_close(s);
    fl_batch_clear(&b);
    fl_batch_clear(&c);
    for (int i = 0; i < 3; i++) fl_dataset_free(d[i]);
}

/* A document of several pieces has the tokens it has when encoded at once. */
static void check_pieces(void) {
    fl_text t = {0};
    for (uint32_t x = 3; t.n < 5 * (FL_PIECE_BYTES / 2);) {
        x = x * 1664525u + 1013904223u;
        fl_text_puts(&t, words[(x >> 16) % (sizeof words / sizeof *words)]);
    }
    const char *path = folder_put("long.txt", t.data, t.n);
    fl_dataset *d = open_with((fl_dataset_opts){.corpus.separator = "", .split = FL_SPLIT_NONE},
                              path, "long", NULL);
    CHECK(fl_dataset_info(d, FL_PART_TRAIN)->n_documents == 1);
    CHECK(same_tokens(tok_eos, d, FL_PART_TRAIN, 0, t.data, t.n));
    fl_dataset_free(d);
    fl_text_clear(&t);
}

static void check_errors(void) {
    fl_err err = {0};
    CHECK(!open_with((fl_dataset_opts){0}, folder_puts("nothing.txt", ""), "bad", &err));
    CHECKF(strstr(err.msg, "nothing.txt: there is no text"), "%s", err.msg);
    const char *path = folder_puts("some.txt", "some text");
    folder_puts("file", "");
    CHECK(!open_with((fl_dataset_opts){0}, path, "file/sub", &err));
    CHECKF(strstr(err.msg, "file"), "%s", err.msg);
    CHECK(!open_with((fl_dataset_opts){0}, folder_puts("x.jsonl", "{\"text\": \"a\"}\nnope\n"),
                     "bad", &err));
    CHECKF(strstr(err.msg, "x.jsonl:2"), "%s", err.msg);
}

/* Memory that runs out at any point is an error, and everything is given back (the sanitizer
 * looks). */
static void check_memory(void) {
    const char *path = documents_put("few.jsonl", 0, 25);
    char dir[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", folder_file("memory"));
    fl_pool *pool;
    CHECK(fl_pool_new(&pool, 1, NULL) == FL_OK);
    fl_dataset_opts o = {.paths = &path,
                         .n_paths = 1,
                         .cache_dir = dir,
                         .tokenizer = tok_eos,
                         .pool = pool};
    for (long n = 1;; n++) {
        fl_dataset *d = NULL;
        fl_source *s = NULL;
        fl_err err = {0};
        fl_alloc_fail_at(n);
        fl_status st = fl_dataset_open(&d, &o, &err);
        if (st == FL_OK)
            st = fl_train_source_new(&s, &(fl_mix_part){.dataset = d}, 1, &(fl_source_opts){.T = 9},
                                     &err);
        bool reached = fl_alloc_fail_at(0);
        CHECKF(reached ? st == FL_ERR_NOMEM || st == FL_OK : st == FL_OK, "allocation %ld: %s", n,
               err.msg);
        CHECK((st == FL_OK) == (s != NULL));
        fl_source_close(s);
        fl_dataset_free(d);
        if (!reached) break;
    }
    fl_pool_free(pool);
}

int main(void) {
    folder_make();
    documents_make();
    if (fl_tokenizer_load(&tok_eos, FL_TEST_DATA "/tokenizer/eos", NULL) != FL_OK ||
        fl_tokenizer_load(&tok_both, FL_TEST_DATA "/tokenizer/both", NULL) != FL_OK) {
        printf("%s: cannot be loaded\n", FL_TEST_DATA "/tokenizer");
        return EXIT_FAILURE;
    }
    const char *path = documents_put("all.jsonl", 0, N_DOCUMENTS);
    check_threads(path);
    for (int i = 0; i < 2; i++) {
        const fl_tokenizer *t = i ? tok_both : tok_eos;
        fl_dataset_opts o = {.tokenizer = t, .shard_tokens = 100, .val_fraction = 0.25};
        fl_dataset *d = open_with(o, path, "all", NULL);
        check_document_split(d, t);
        check_packed(d, t, 7);
        check_packed(d, t, 64);
        check_pass(d, t, FL_PART_VAL, 16, 3);
        check_pass(d, t, FL_PART_TRAIN, 1, 5);
        if (!i) check_position(d, FL_SAMPLING_PACKED);
        fl_dataset_free(d);
    }
    check_reuse();
    check_tail_split();
    check_windows();
    check_mixture();
    check_pieces();
    check_errors();
    check_memory();
    for (int i = 0; i < N_DOCUMENTS; i++) fl_dealloc(document[i]);
    fl_tokenizer_free(tok_eos);
    fl_tokenizer_free(tok_both);
    folder_remove();
    return check_report();
}
