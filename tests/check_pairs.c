/* check_pairs - prompt and completion rows: what is learnt, what is masked, and that nothing is cut
 * or lost.
 *
 * Caught by it (each tried): the first token of the completion masked, or the last of the prompt
 * learnt; an example split over rows; eos left out; a row that repeats; overlong examples dropped
 * without a word. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "check.h"
#include "data/pairs.h"
#include "folder.h"

static fl_tokenizer *tok;

static fl_pairs *open_with(fl_pairs_opts o, fl_err *err) {
    fl_pairs *p = NULL;
    fl_err local = {0};
    o.tokenizer = tok;
    if (fl_pairs_open(&p, &o, err ? err : &local) != FL_OK && !err) CHECKF(false, "%s", local.msg);
    return p;
}

static fl_source *source_of(const fl_pairs *p, bool one_pass) {
    fl_source *s = NULL;
    CHECK(fl_pairs_source_new(&s, p, 4, one_pass, NULL) == FL_OK);
    return s;
}

/* One example by hand: prompt <s> ..., completion ..., </s>; targets begin at the completion's
 * first token. */
static void check_example(void) {
    const char *path =
        folder_puts("one.jsonl", "{\"prompt\": \"Who is there?\", \"completion\": \" A king.\"}\n");
    fl_ids prompt = {0}, all = {0};
    CHECK(fl_encode(tok, "Who is there?", 13, &(fl_encode_opts){.add_special = true}, &prompt,
                    NULL) == FL_OK);
    CHECK(fl_encode(tok, "Who is there?", 13, &(fl_encode_opts){.add_special = true}, &all, NULL) ==
          FL_OK);
    CHECK(fl_encode(tok, " A king.", 8, &(fl_encode_opts){0}, &all, NULL) == FL_OK);
    size_t n = all.n;
    fl_pairs *p = open_with((fl_pairs_opts){.path = path, .T = 32}, NULL);
    fl_source *s = source_of(p, true);
    fl_batch b;
    CHECK(fl_batch_new(&b, 2, 32, NULL) == FL_OK && s->row->next(s, &b, NULL) == FL_OK);
    CHECK(prompt.id[0] == fl_tokenizer_bos(tok));
    CHECK(memcmp(b.tokens, all.id, n * 4) == 0);
    for (size_t i = 0; i < 64; i++) {
        int32_t want = i + 1 < prompt.n || i >= n ? -1
                       : i + 1 < n                ? all.id[i + 1]
                                                  : fl_tokenizer_eos(tok);
        CHECKF(b.targets[i] == want, "%zu: %d, want %d", i, b.targets[i], want);
        CHECK(b.weight[i] == (want >= 0 ? 1.0f : 0.0f));
    }
    CHECK(b.n_targets == (double)(n - prompt.n + 1) && b.n_bytes == 8);
    CHECK(s->n_tokens == b.n_targets && s->n_bytes == 8);
    CHECK(s->row->next(s, &b, NULL) == FL_OK && b.n_targets == 0);
    fl_source_close(s);
    fl_pairs_free(p);

    p = open_with((fl_pairs_opts){.path = path, .T = 32, .train_on_prompt = true, .no_eos = true},
                  NULL);
    s = source_of(p, true);
    CHECK(s->row->next(s, &b, NULL) == FL_OK && b.n_targets == (double)(n - 1) && b.n_bytes == 21);
    CHECK(s->n_tokens == b.n_targets);
    fl_source_close(s);
    fl_pairs_free(p);
    fl_batch_clear(&b);
    fl_ids_clear(&prompt);
    fl_ids_clear(&all);
}

static const char *many_put(int n) {
    fl_text t = {0};
    for (int i = 0; i < n; i++) {
        fl_text_printf(&t, "{\"prompt\": \"%d\", \"completion\": \"%.*s\"}\n", i, i * 7 % 40,
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    }
    const char *path = folder_puts("many.jsonl", fl_text_str(&t));
    fl_text_clear(&t);
    return path;
}

/* Every example comes once a pass, whole, in a segment of its own; passes are in another order. */
static void check_packing(bool padded) {
    enum { N = 150, T = 64, B = 3 };
    fl_pairs *p = open_with((fl_pairs_opts){.path = many_put(N), .T = T, .padded = padded}, NULL);
    int64_t rows = fl_pairs_n_rows(p);
    CHECK(fl_pairs_n_examples(p) == N && (padded ? rows == N : rows < N / 2));
    fl_source *s = source_of(p, false), *again = source_of(p, false);
    fl_batch b, c;
    CHECK(fl_batch_new(&b, 1, T, NULL) == FL_OK && fl_batch_new(&c, 1, T, NULL) == FL_OK);
    int32_t first_row[2][T];
    double targets = 0;
    for (int pass = 0; pass < 2; pass++) {
        int begun = 0, ended = 0;
        for (int64_t r = 0; r < rows; r++) {
            json_t *at = s->row->position(s);
            CHECK(s->row->next(s, &b, NULL) == FL_OK);
            CHECK(again->row->seek(again, at, NULL) == FL_OK &&
                  again->row->next(again, &c, NULL) == FL_OK);
            CHECK(memcmp(b.tokens, c.tokens, T * 4) == 0);
            json_decref(at);
            if (r == 0) memcpy(first_row[pass], b.tokens, T * 4);
            for (int i = 0; i < T; i++) {
                bool text = i + 1 < T && b.tokens[i + 1] != 0;  // padding is zeros, and <s> is 0
                begun += text && b.position[i] == 0 && b.tokens[i] == fl_tokenizer_bos(tok);
                ended += b.targets[i] == fl_tokenizer_eos(tok);
                CHECK(i == 0 || b.segment[i] - b.segment[i - 1] == (b.position[i] == 0));
                CHECK(i == 0 || b.position[i] == 0 || b.position[i] == b.position[i - 1] + 1);
            }
            targets += b.n_targets;
        }
        CHECKF(begun == N && ended == N, "%d begun, %d ended", begun, ended);
    }
    CHECK(targets == 2 * s->n_tokens);
    CHECK(memcmp(first_row[0], first_row[1], sizeof *first_row) != 0);
    fl_batch_clear(&b);
    fl_batch_clear(&c);
    fl_source_close(s);
    fl_source_close(again);
    fl_pairs_free(p);
}

static void check_alpaca(void) {
    const char *path =
        folder_puts("alpaca.json",
                    "[{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\"},"
                    " {\"instruction\": \"Say no.\", \"input\": \"\", \"output\": \"no\"}]");
    static const char *const want[] =
        {"<s>Below is an instruction that describes a task, paired with an input that provides "
         "further context. "
         "Write a response that appropriately completes the request.\n\n### "
         "Instruction:\nAdd.\n\n### Input:\n1 2"
         "\n\n### Response:\n3</s>",
         "<s>Below is an instruction that describes a task. Write a response that appropriately "
         "completes the "
         "request.\n\n### Instruction:\nSay no.\n\n### Response:\nno</s>"};
    fl_pairs *p = open_with((fl_pairs_opts){.path = path, .T = 200, .padded = true}, NULL);
    fl_source *s = source_of(p, true);
    fl_batch b;
    CHECK(fl_batch_new(&b, 1, 200, NULL) == FL_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(s->row->next(s, &b, NULL) == FL_OK);
        size_t n = 0, bytes;
        int64_t last = 0;
        while (b.segment[n] == 0) n++;
        for (int64_t k = 0; k < 200; k++) last = b.targets[k] >= 0 ? k : last;
        CHECK((size_t)last + 1 == n);
        char *text;
        int32_t ids[201];
        memcpy(ids, b.tokens, n * 4);
        ids[n] = b.targets[last];
        CHECK(fl_decode(tok, ids, n + 1, true, &text, &bytes, NULL) == FL_OK);
        CHECKF(bytes == strlen(want[i]) && memcmp(text, want[i], bytes) == 0, "%.*s", (int)bytes,
               text);
        fl_dealloc(text);
    }
    fl_batch_clear(&b);
    fl_source_close(s);
    fl_pairs_free(p);
}

static void check_bad(void) {
    static const struct {
        const char *row, *message;
    } rows[] = {
        {"{\"prompt\": \"a\"}", "bad.jsonl:2: no field \"completion\"; it has \"prompt\""},
        {"{\"prompt\": \"a\", \"completion\": [1]}",
         "bad.jsonl:2: field \"completion\" is not a string"},
        {"{\"prompt\": \"a\", \"completion\": \"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq\"}",
         "bad.jsonl:2: an example of"},
        {"{\"prompt\": ", "bad.jsonl:2: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"prompt\": \"a\", \"completion\": \"b\"}\n%s\n",
                 rows[i].row);
        fl_err err = {0};
        fl_pairs_opts o = {.path = folder_puts("bad.jsonl", text), .T = 16};
        CHECK(!open_with(o, &err));
        CHECKF(strstr(err.msg, rows[i].message), "%s", err.msg);
        o.skip_overlong = true;
        if (i != 2) continue;
        fl_pairs *p = open_with(o, NULL);
        CHECK(p && fl_pairs_n_skipped(p) == 1 && fl_pairs_n_examples(p) == 1);
        fl_pairs_free(p);
    }
    fl_err err = {0};
    CHECK(!open_with((fl_pairs_opts){.path = folder_puts("none.jsonl", "\n"), .T = 16}, &err));
    CHECKF(strstr(err.msg, "no examples"), "%s", err.msg);
    fl_pairs_opts o = {.path = folder_puts("void.jsonl",
                                           "{\"prompt\": \"a\", \"completion\": \"\"}"),
                       .T = 16,
                       .no_eos = true};
    CHECK(!open_with(o, &err));
    CHECKF(strstr(err.msg, "void.jsonl:1: the completion is empty"), "%s", err.msg);
}

int main(void) {
    folder_make();
    if (fl_tokenizer_load(&tok, FL_TEST_DATA "/tokenizer/both", NULL) != FL_OK) return EXIT_FAILURE;
    check_example();
    check_packing(false);
    check_packing(true);
    check_alpaca();
    check_bad();
    fl_tokenizer_free(tok);
    folder_remove();
    return check_report();
}
