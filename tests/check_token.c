/* check_token - encoding and decoding: ids equal to Hugging Face's and tiktoken's, and bytes that
 * come back.
 *
 * Catches: a pattern's alternatives out of order, a class table off by one, merges by position
 * before rank, a cache that confuses two pieces, specials matched short first, a character split by
 * the stream. */
#include <unistd.h>

#include "base/text.h"
#include "check.h"
#include "token_data.h"

static const char *const goldens[] = {"gpt2",  "llama3",  "qwen2", "nanochat",
                                      "o200k", "general", "small"};
enum { N_GOLDENS = sizeof goldens / sizeof *goldens };

static fl_tokenizer *load_golden(int i) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", goldens[i],
             strcmp(goldens[i], "small") == 0 ? "tiktoken" : "json");
    return golden_tokenizer(name);
}

static void check_decodes(const fl_tokenizer *t, const fl_ids *ids, const char *text, size_t n,
                          const char *what) {
    char *back;
    size_t n_back;
    fl_err err = {0};
    CHECK(fl_decode(t, ids->id, ids->n, true, &back, &n_back, &err) == FL_OK);
    CHECKF(n_back == n && memcmp(back, text, n) == 0, "%s: \"%.*s\"", what, (int)n, text);
    fl_dealloc(back);
}

/* The ids of the committed cases, by an encoder that remembers and by one that does not. */
static void check_golden(int i) {
    char name[64];
    size_t n_cases, n_ids, at = 0, ids_at = 0, len, line_len = 0;
    const char *text, *line = "";
    fl_err err = {0};
    fl_encoder *e;
    fl_ids out = {0}, fresh = {0};
    snprintf(name, sizeof name, "%s.ids", goldens[i]);
    char *cases = golden("cases.txt", &n_cases), *ids = golden(name, &n_ids);
    fl_tokenizer *t = load_golden(i);
    CHECK(fl_encoder_new(&e, t, &err) == FL_OK);
    fl_encode_opts opts = {.add_special = true};
    while (next_part(cases, n_cases, '\x1e', &at, &text, &len)) {
        CHECK(next_part(ids, n_ids, '\n', &ids_at, &line, &line_len));
        out.n = fresh.n = 0;
        CHECK(fl_encoder_encode(e, text, len, &opts, &out, &err) == FL_OK);
        CHECK(fl_encode(t, text, len, &opts, &fresh, &err) == FL_OK);
        CHECKF(same_ids(line, line_len, &out), "%s: \"%.*s\"", goldens[i], (int)len, text);
        CHECKF(same_ids(line, line_len, &fresh), "%s: \"%.*s\"", goldens[i], (int)len, text);
        out.n = 0;
        CHECK(fl_encoder_encode(e, text, len, NULL, &out, &err) == FL_OK);
        if (strcmp(goldens[i], "qwen2") != 0) check_decodes(t, &out, text, len, goldens[i]);
    }
    fl_encoder_free(e);
    fl_ids_clear(&out);
    fl_ids_clear(&fresh);
    fl_tokenizer_free(t);
    fl_dealloc(cases);
    fl_dealloc(ids);
}

/* Any bytes come back: all single ones, all pairs, and noise with lead and continuation bytes
 * everywhere. */
static void check_all_bytes(const fl_tokenizer *t, const char *what) {
    enum { N = 3 * 65536 };
    static char text[N];
    fl_err err = {0};
    fl_encoder *e;
    fl_ids ids = {0};
    uint64_t state = 12345;
    CHECK(fl_encoder_new(&e, t, &err) == FL_OK);
    for (int i = 0; i < 65536; i++) {
        text[2 * i] = (char)(i >> 8);
        text[2 * i + 1] = (char)i;
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[2 * 65536 + i] = (char)(state >> 56);
    }
    CHECK(fl_encoder_encode(e, text, N, NULL, &ids, &err) == FL_OK);
    check_decodes(t, &ids, text, N, what);
    for (int i = 0; i < 256; i++) {
        ids.n = 0;
        CHECK(fl_encoder_encode(e, text + 2 * i + 1, 1, NULL, &ids, &err) == FL_OK);
        check_decodes(t, &ids, text + 2 * i + 1, 1, what);
    }
    fl_ids_clear(&ids);
    fl_encoder_free(e);
}

/* The stream gives whole characters, and everything in the end. */
static void check_stream(const fl_tokenizer *t) {
    static const char text[] =
        "na\xc3\xafve \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x8e\x89\xf0\x9f\x91\xa9"
        "\xff\xc3 \xe4\xbd \xf0\x9f\x8e";
    fl_err err = {0};
    fl_ids ids = {0};
    fl_decoder *d;
    fl_text all = {0};
    const char *bytes;
    size_t n;
    CHECK(fl_encode(t, text, sizeof text - 1, NULL, &ids, &err) == FL_OK);
    CHECK(fl_decoder_new(&d, t, true, &err) == FL_OK);
    for (size_t i = 0; i < ids.n; i++) {
        CHECK(fl_decoder_feed(d, ids.id[i], &bytes, &n, &err) == FL_OK);
        CHECKF(fl_utf8_complete((const uint8_t *)bytes, n) == n, "at id %zu", i);
        fl_text_append(&all, bytes, n);
    }
    CHECK(all.n == sizeof text - 1 - 3);  // the last three bytes wait for a fourth
    fl_decoder_flush(d, &bytes, &n);
    fl_text_append(&all, bytes, n);
    CHECK(all.n == sizeof text - 1 && memcmp(all.data, text, all.n) == 0);
    CHECK(fl_decoder_feed(d, fl_tokenizer_size(t), &bytes, &n, &err) == FL_ERR_ARG);
    CHECK(fl_decoder_feed(d, -1, &bytes, &n, &err) == FL_ERR_ARG);
    fl_decoder_free(d);
    fl_text_clear(&all);
    fl_ids_clear(&ids);
}

static void check_special(const fl_tokenizer *t) {
    static const char text[] = "<|endless|>a<|endoftext|>";
    int32_t end = fl_tokenizer_id(t, "<|endoftext|>"), endless = fl_tokenizer_id(t, "<|endless|>");
    fl_err err = {0};
    fl_ids ids = {0};
    char *back;
    size_t n;
    CHECK(end >= 0 && endless >= 0 && fl_tokenizer_id(t, "nothing") == -1);
    CHECK(fl_tokenizer_eos(t) == end && fl_tokenizer_is_special(t, end));
    CHECK(!fl_tokenizer_is_special(t, endless) && !fl_tokenizer_is_special(t, 0));
    CHECK(fl_encode(t, text, sizeof text - 1, NULL, &ids, &err) == FL_OK);
    CHECK(ids.n == 3 && ids.id[0] == endless && ids.id[2] == end);
    CHECK(fl_decode(t, ids.id, ids.n, false, &back, &n, &err) == FL_OK);
    CHECK(n == 12 && memcmp(back, "<|endless|>a", 12) == 0);
    fl_dealloc(back);
    ids.n = 0;
    CHECK(fl_encode(t, text, sizeof text - 1, &(fl_encode_opts){.plain = true}, &ids, &err) ==
          FL_OK);
    for (size_t i = 0; i < ids.n; i++) CHECK(ids.id[i] != end && ids.id[i] != endless);
    check_decodes(t, &ids, text, sizeof text - 1, "plain");
    fl_ids_clear(&ids);
}

/* NFC: composed, ordered, and what is not UTF-8 left alone. */
static void check_nfc(const fl_tokenizer *t) {
    static const char text[] =
        "e\xcc\x81 q\xcc\x87\xcc\xa3 \xe2\x84\xab\xff"  // e + acute, dots, Angstrom
        "A\xcc\x8a\xe1\x84\x80\xe1\x85\xa1";            // A + ring, Hangul jamo
    static const char want[] = "\xc3\xa9 q\xcc\xa3\xcc\x87 \xc3\x85\xff\xc3\x85\xea\xb0\x80";
    fl_err err = {0};
    fl_ids ids = {0};
    CHECK(fl_encode(t, text, sizeof text - 1, NULL, &ids, &err) == FL_OK);
    check_decodes(t, &ids, want, sizeof want - 1, "NFC");
    fl_ids_clear(&ids);
}

/* What is saved and loaded again is the same tokenizer. */
static void check_saved(const fl_tokenizer *t, const char *what) {
    char dir[] = "/tmp/check_token.XXXXXX", before[33], after[33];
    fl_tokenizer *again;
    fl_err err = {0};
    CHECK(mkdtemp(dir) != NULL);
    CHECKF(fl_tokenizer_save(t, dir, &err) == FL_OK, "%s", err.msg);
    CHECKF(fl_tokenizer_load(&again, dir, &err) == FL_OK, "%s", err.msg);
    fl_tokenizer_hash(t, before);
    fl_tokenizer_hash(again, after);
    // A .tiktoken file's ranks become positions in the list of merges.
    CHECKF(strcmp(what, "small") == 0 || strcmp(before, after) == 0, "%s", what);
    CHECK(fl_tokenizer_eos(t) == fl_tokenizer_eos(again));
    CHECK(fl_tokenizer_size(t) == fl_tokenizer_size(again));
    fl_tokenizer_free(again);
    CHECK(fl_dir_remove(dir, &err) == FL_OK);
}

int main(void) {
    for (int i = 0; i < N_GOLDENS; i++) {
        fl_tokenizer *t = load_golden(i);
        bool nfc = strcmp(goldens[i], "qwen2") == 0;
        check_golden(i);
        if (!nfc) check_all_bytes(t, goldens[i]);
        check_stream(t);
        if (strcmp(goldens[i], "small") != 0) check_special(t);
        if (nfc) check_nfc(t);
        check_saved(t, goldens[i]);
        fl_tokenizer_free(t);
    }
    return check_report();
}
