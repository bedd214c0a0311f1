/* check_token_kinds - vocabularies other than byte-level BPE: ids and text equal to SentencePiece's
 * and Hugging Face's, as read, as saved and read again, and through the arrays that GGUF carries.
 *
 * Catches: a prefix space too many or too few, spaces squeezed or kept, a charsmap's longest entry
 * missed, merges in another order than scores, a cut where a token crosses, the wrong one of two
 * equal sums, unknown characters not fused, bytes for characters missed, added tokens that take too
 * much white space or match inside words, a part of the pipeline skipped or out of order. */
#include "check.h"
#include "folder.h"
#include "token/internal.h"
#include "token/vocab.h"
#include "token_data.h"

/* What the peer was told: whether it puts special tokens around, and looks for them in the text. */
static const struct {
    const char *name, *file;
    bool add_special, plain;
    bool saves;   // tokenizer.json says the same in every case
    bool arrays;  // and so does GGUF
} rows[] = {
    {"spm_bpe", "spm_bpe.model", false, true, false, false},
    {"spm_unigram", "spm_unigram.model", false, true, false, false},
    {"hf_llama", "hf_llama.json", true, false, true, true},
    {"hf_metaspace", "hf_metaspace.json", true, false, true, false},
    {"hf_unigram", "hf_unigram.json", true, false, true, false},
    {"hf_wordpiece", "hf_wordpiece.json", true, false, true, false},
    {"hf_parts", "hf_parts.json", true, false, true, false},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static fl_tokenizer *load(const char *file) {
    char path[512];
    fl_err err = {0};
    fl_tokenizer *t = NULL;
    snprintf(path, sizeof path, FL_TEST_DATA "/token/kinds/%s", file);
    CHECKF(fl_tokenizer_load(&t, path, &err) == FL_OK, "%s", err.msg);
    return t;
}

/* The files of one row, and where each has been read to. */
typedef struct {
    char *cases, *ids, *texts;
    size_t n_cases, n_ids, n_texts, cases_at, ids_at, texts_at;
} golden_set;

static golden_set open_set(const char *name) {
    char file[128];
    golden_set g = {0};
    g.cases = golden("kinds/cases.txt", &g.n_cases);
    snprintf(file, sizeof file, "kinds/%s.ids", name);
    g.ids = golden(file, &g.n_ids);
    snprintf(file, sizeof file, "kinds/%s.txt", name);
    g.texts = golden(file, &g.n_texts);
    return g;
}

static void close_set(golden_set *g) {
    fl_dealloc(g->cases);
    fl_dealloc(g->ids);
    fl_dealloc(g->texts);
}

static bool has_unknown(const fl_tokenizer *t, const fl_ids *ids) {
    for (size_t i = 0; i < ids->n; i++)
        if (fl_tokenizer_kind(t, ids->id[i]) == FL_TOKEN_UNKNOWN) return true;
    return false;
}

/* Whole, and token by token. SentencePiece has a sign of its own for the unknown. */
static void check_text(const fl_tokenizer *t, const fl_ids *ids, const char *want, size_t n,
                       const char *what) {
    char *back;
    const char *bytes;
    size_t n_back;
    fl_err err = {0};
    fl_decoder *d;
    fl_text streamed = {0};
    CHECK(fl_decode(t, ids->id, ids->n, false, &back, &n_back, &err) == FL_OK);
    CHECKF(n_back == n && memcmp(back, want, n) == 0, "%s: want \"%.*s\", got \"%s\"", what, (int)n,
           want, back);
    CHECK(fl_decoder_new(&d, t, false, &err) == FL_OK);
    for (size_t i = 0; i < ids->n; i++) {
        CHECK(fl_decoder_feed(d, ids->id[i], &bytes, &n_back, &err) == FL_OK);
        fl_text_append(&streamed, bytes, n_back);
    }
    fl_decoder_flush(d, &bytes, &n_back);
    fl_text_append(&streamed, bytes, n_back);
    CHECKF(streamed.n == n && memcmp(fl_text_str(&streamed), want, n) == 0, "%s streamed", what);
    fl_decoder_free(d);
    fl_text_clear(&streamed);
    fl_dealloc(back);
}

/* All cases, by an encoder that remembers and by one that does not. */
static void check_cases(const fl_tokenizer *t, int row, const char *what, bool texts) {
    golden_set g = open_set(rows[row].name);
    const char *text, *line = "", *want = "";
    size_t n, n_line = 0, n_want = 0;
    fl_err err = {0};
    fl_encoder *e;
    fl_ids ids = {0}, fresh = {0};
    fl_encode_opts o = {.add_special = rows[row].add_special, .plain = rows[row].plain};
    CHECK(fl_encoder_new(&e, t, &err) == FL_OK);
    while (next_part(g.cases, g.n_cases, '\x1e', &g.cases_at, &text, &n)) {
        CHECK(next_part(g.ids, g.n_ids, '\n', &g.ids_at, &line, &n_line));
        CHECK(next_part(g.texts, g.n_texts, '\x1e', &g.texts_at, &want, &n_want));
        ids.n = fresh.n = 0;
        CHECKF(fl_encoder_encode(e, text, n, &o, &ids, &err) == FL_OK, "%s", err.msg);
        CHECKF(fl_encode(t, text, n, &o, &fresh, &err) == FL_OK, "%s", err.msg);
        CHECKF(same_ids(line, n_line, &ids), "%s %s: \"%.*s\"", rows[row].name, what, (int)n, text);
        CHECKF(same_ids(line, n_line, &fresh), "%s %s: \"%.*s\"", rows[row].name, what, (int)n,
               text);
        if (texts && !has_unknown(t, &ids)) check_text(t, &ids, want, n_want, rows[row].name);
    }
    fl_encoder_free(e);
    fl_ids_clear(&ids);
    fl_ids_clear(&fresh);
    close_set(&g);
}

static void check_saved(const fl_tokenizer *t, int row) {
    fl_err err = {0};
    fl_tokenizer *again = NULL;
    char before[33], after[33];
    const char *dir = folder_file(rows[row].name);
    CHECKF(fl_tokenizer_save(t, dir, &err) == FL_OK, "%s", err.msg);
    CHECKF(fl_tokenizer_load(&again, dir, &err) == FL_OK, "%s: %s", rows[row].name, err.msg);
    fl_tokenizer_hash(t, before);
    fl_tokenizer_hash(again, after);
    if (rows[row].saves) {
        CHECKF(strcmp(before, after) == 0, "%s", rows[row].name);
        check_cases(again, row, "saved", true);
    }
    fl_tokenizer_free(again);
}

static void check_arrays(const fl_tokenizer *t, int row) {
    fl_err err = {0};
    fl_arena arena;
    fl_vocab v;
    fl_tokenizer *again = NULL;
    fl_arena_init(&arena, 1 << 16);
    CHECK(fl_tokenizer_to_vocab(t, fl_tokenizer_size(t) + 3, &arena, &v, &err) == FL_OK);
    CHECKF(fl_tokenizer_from_vocab(&again, &v, &err) == FL_OK, "%s", err.msg);
    if (!again) return;
    CHECK(fl_tokenizer_size(again) == fl_tokenizer_size(t) + 3);
    CHECK(fl_tokenizer_kind(again, fl_tokenizer_size(t) + 2) == FL_TOKEN_UNUSED);
    if (rows[row].arrays) check_cases(again, row, "as arrays", true);
    fl_tokenizer_free(again);
    fl_arena_free(&arena);
}

/* What a text becomes, in words: "▁a|b". */
static void check_pieces(const fl_tokenizer *t, const char *text, const char *want) {
    fl_err err = {0};
    fl_ids ids = {0};
    fl_text got = {0};
    CHECK(fl_encode(t, text, strlen(text), NULL, &ids, &err) == FL_OK);
    for (size_t i = 0; i < ids.n; i++) {
        if (i) fl_text_puts(&got, "|");
        fl_token_text(t, ids.id[i], &got);
    }
    CHECKF(strcmp(fl_text_str(&got), want) == 0, "\"%s\": want %s, got %s", text, want,
           fl_text_str(&got));
    fl_text_clear(&got);
    fl_ids_clear(&ids);
}

/* The kinds that GGUF has and no file here: each rule of llama.cpp's by a vocabulary of a few
 * tokens. */
static void check_made(void) {
#define SP "\xE2\x96\x81"
    static const fl_vocab_text token[] = {{"<unk>", 5}, {"<s>", 3},   {"</s>", 4}, {SP "a", 4},
                                          {"b", 1},     {SP "ab", 5}, {SP, 3},     {"<0x63>", 6},
                                          {"[X]", 3},   {"ab", 2}};
    static const int32_t kind[] = {2, 3, 3, 1, 1, 1, 1, 6, 4, 5};
    static const float score[] = {0, 0, 0, -2, -3, -1, -4, 0, 0, 0};
    fl_vocab v = FL_VOCAB_INIT;
    fl_err err = {0};
    fl_tokenizer *t;
    v.token = token, v.kind = kind, v.score = score, v.n_tokens = 10;
    v.model = "t5";
    v.add_space_prefix = FL_SAID_YES, v.remove_extra_whitespaces = FL_SAID_YES;
    v.bos = 1, v.eos = 2, v.unk = 0;
    CHECKF(fl_tokenizer_from_vocab(&t, &v, &err) == FL_OK, "%s", err.msg);
    check_pieces(t, "  ab  b[X]ab ", SP "ab|" SP "|b|[X]|" SP "ab");
    check_pieces(t, "zzb", SP "|<unk>|b");
    CHECK(fl_tokenizer_adds_eos(t) && !fl_tokenizer_adds_bos(t));
    fl_tokenizer_free(t);
    v.model = "nothing";
    CHECK(fl_tokenizer_from_vocab(&t, &v, &err) == FL_ERR_UNSUPPORTED);
    v.model = "llama", v.add_space_prefix = FL_SAID_NO, v.bos = 99;
    CHECK(fl_tokenizer_from_vocab(&t, &v, &err) == FL_ERR_FORMAT);
    CHECK(strstr(err.msg, "bos_token_id") != NULL);
    v.bos = 1;
    CHECKF(fl_tokenizer_from_vocab(&t, &v, &err) == FL_OK, "%s", err.msg);
    check_pieces(t, "b c[X] b<s>", "b|" SP "|<0x63>|[X]|" SP "|b|<s>");
    CHECK(fl_tokenizer_adds_bos(t) && !fl_tokenizer_adds_eos(t));
    fl_tokenizer_free(t);
#undef SP
}

/* Of equal sums the longer last token; and what an unknown character costs. */
static void check_sums(void) {
    static const fl_vocab_text token[] = {{"<unk>", 5}, {"a", 1}, {"aa", 2},
                                          {"zb", 2},    {"c", 1}, {"bc", 2}};
    static const int32_t kind[] = {2, 1, 1, 1, 1, 1};
    static const float score[] = {0, -1, -1, -20, -5, -1};
    fl_vocab v = FL_VOCAB_INIT;
    fl_err err = {0};
    fl_tokenizer *t;
    v.model = "t5", v.token = token, v.kind = kind, v.score = score, v.n_tokens = 6;
    v.unk = 0, v.eos = 1;
    CHECKF(fl_tokenizer_from_vocab(&t, &v, &err) == FL_OK, "%s", err.msg);
    check_pieces(t, "aaa", "a|aa");
    check_pieces(t, "zbc", "zb|c");
    fl_tokenizer_free(t);
}

/* Characters without byte tokens; what is unknown beside each other is one, or is not. */
static void check_unknown(bool fuse) {
    static const char form[] =
        "{\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"fuse_unk\": %s, \"merges\": "
        "[\"a b\"], \"vocab\": {\"?\": 0, \"a\": 1, \"b\": 2, \"ab\": 3}}}";
    char text[512];
    fl_err err = {0};
    fl_tokenizer *t;
    snprintf(text, sizeof text, form, fuse ? "true" : "false");
    const char *path = folder_puts("tokenizer.json", text);
    CHECKF(fl_tokenizer_load(&t, path, &err) == FL_OK, "%s", err.msg);
    check_pieces(t, "xyab\xFFz b", fuse ? "?|ab|?|b" : "?|?|ab|?|?|?|b");
    fl_tokenizer_free(t);
}

/* A byte-level vocabulary may hold special tokens whose characters stand for no bytes, as DeepSeek's
 * does; saved and read again they are the same. */
static void check_outside_alphabet(void) {
    static const char text[] =
        "{\"model\": {\"type\": \"BPE\", \"merges\": [\"a b\"], \"vocab\": "
        "{\"<\xEF\xBD\x9Cs\xEF\xBD\x9C>\": 0, \"a\": 1, \"b\": 2, \"ab\": 3, \"\xC4\xA0\": 4}}, "
        "\"decoder\": {\"type\": \"ByteLevel\"}, \"added_tokens\": [{\"id\": 0, \"content\": "
        "\"<\xEF\xBD\x9Cs\xEF\xBD\x9C>\", \"special\": true}]}";
    const char *path = folder_puts("tokenizer.json", text);
    fl_err err = {0};
    for (int again = 0; again < 2; again++) {
        fl_tokenizer *t;
        CHECKF(fl_tokenizer_load(&t, path, &err) == FL_OK, "%s", err.msg);
        check_pieces(t, "ab <\xEF\xBD\x9Cs\xEF\xBD\x9C>a",
                     "ab|\xC4\xA0|<\xEF\xBD\x9Cs\xEF\xBD\x9C>|a");
        CHECKF(fl_tokenizer_save(t, folder_path, &err) == FL_OK, "%s", err.msg);
        fl_tokenizer_free(t);
    }
}

int main(void) {
    folder_make();
    for (int i = 0; i < N_ROWS; i++) {
        fl_tokenizer *t = load(rows[i].file);
        if (!t) continue;
        check_cases(t, i, "as read", true);
        check_saved(t, i);
        check_arrays(t, i);
        fl_tokenizer_free(t);
    }
    check_made();
    check_sums();
    check_unknown(true);
    check_unknown(false);
    check_outside_alphabet();
    folder_remove();
    return check_report();
}
