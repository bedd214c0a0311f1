/* check_token_refusals - what a tokenizer file may not say, what it must mean, and running out of
 * memory while reading and using one.
 *
 * Every row must be refused with a message that names the field: an ignored one would give other
 * ids than the file's author has. */
#include "base/json.h"
#include "check.h"
#include "folder.h"
#include "token_data.h"

/* A small valid file; a row replaces the first text in it by the second. */
static const char valid[] =
    "{\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
    "false},"
    " \"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"},"
    " \"added_tokens\": [{\"id\": 4, \"content\": \"<x>\", \"special\": true, \"lstrip\": false}],"
    " \"model\": {\"type\": \"BPE\", \"dropout\": null, \"byte_fallback\": false,"
    " \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"c\": 3}, \"merges\": [\"a b\"]}}";

static const struct {
    const char *from, *to, *want;
} rows[] = {
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Bytes\"}", "normalizer.type: \"Bytes\""},
    {"\"normalizer\": null", "\"normalizer\": {\"type\": 3}",
     "normalizer: type: expected a string"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"\"}",
     "pattern \"(\""},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Replace\", \"pattern\": \"a\", \"content\": \"\"}",
     "normalizer.pattern"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"?\"}",
     "expected base64"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAAAA==\"}",
     "precompiled_charsmap: a trie of 0 bytes in 4"},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Metaspace\", \"replacement\": \"_\"}", "pre_tokenizer.replacement: \"_\""},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Metaspace\", \"prepend_scheme\": \"often\"}",
     "pre_tokenizer.prepend_scheme: \"often\""},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"}, {\"type\": "
     "\"Metaspace\"}]}",
     "Metaspace is not supported after these"},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Metaspace\"}, {\"type\": "
     "\"WhitespaceSplit\"}]}",
     "\"WhitespaceSplit\" after spaces"},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"}, {\"type\": "
     "\"ByteLevel\"}]}",
     "pre_tokenizer.add_prefix_space"},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", "{\"type\": \"UnicodeScripts\"}",
     "pre_tokenizer.type: \"UnicodeScripts\""},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"x\"}, \"behavior\": \"Mixed\"}",
     "pre_tokenizer.behavior: \"Mixed\""},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}",
     "pattern \"(\""},
    {"\"post_processor\": null", "\"post_processor\": {\"type\": \"BertProcessing\"}",
     "post_processor.cls"},
    {"\"post_processor\": null",
     "\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"a\", 9]}",
     "post_processor.cls"},
    {"\"decoder\": {\"type\": \"ByteLevel\"}", "\"decoder\": {\"type\": \"CTC\"}",
     "decoder.type: \"CTC\""},
    {"\"decoder\": {\"type\": \"ByteLevel\"}",
     "\"decoder\": {\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"b\"}",
     "decoder: Replace of \"a\""},
    {"\"decoder\": {\"type\": \"ByteLevel\"}",
     "\"decoder\": {\"type\": \"Strip\", \"content\": \"x\"}", "decoder: Strip"},
    {"\"id\": 4", "\"id\": 2", "added_tokens[0]"},
    {"\"id\": 4", "\"id\": -4", "added_tokens[0]"},
    {"\"id\": 4", "\"id\": 2000000000", "2000000000"},
    {"\"BPE\"", "\"WordLevel\"", "model.type: \"WordLevel\""},
    {"\"BPE\"", "\"WordPiece\"", "without Metaspace or ByteLevel"},
    {"\"BPE\"", "\"Unigram\"", "model.vocab: expected a list"},
    {"\"dropout\": null", "\"dropout\": 0.1", "model.dropout"},
    {"\"byte_fallback\": false", "\"byte_fallback\": true", "model.byte_fallback"},
    {"\"c\": 3", "\"c\": 2", "two tokens have the id 2"},
    {"\"c\": 3", "\"c\": \"3\"", "expected a token id"},
    {"[\"a b\"]", "[\"a c\"]", "merge 0: \"c\" is not in the vocabulary"},
    {"[\"a b\"]", "[\"ab\"]", "merge 0: expected two tokens"},
    {"[\"a b\"]", "[[\"a\"]]", "merge 0: expected two tokens"},
    {"[\"a b\"]", "7", "a list merges"},
    {"]}}", "]}", "tokenizer.json"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const char *put_changed(const char *from, const char *to) {
    char text[2048];
    const char *at = strstr(valid, from);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - valid), valid, to, at + strlen(from));
    return folder_puts("tokenizer.json", text);
}

static void check_rows(void) {
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    CHECKF(fl_tokenizer_load(&t, folder_puts("tokenizer.json", valid), &err) == FL_OK, "%s",
           err.msg);
    fl_ids ids = {0};
    CHECK(fl_encode(t, "abcab<x>", 8, NULL, &ids, &err) == FL_OK && ids.n == 4);
    CHECK(fl_encode(t, "abd", 3, NULL, &ids, &err) == FL_ERR_UNSUPPORTED && ids.n == 4);
    CHECK(strstr(err.msg, "no token for byte 0x64") != NULL);
    fl_ids_clear(&ids);
    fl_tokenizer_free(t);
    for (int i = 0; i < N_ROWS; i++) {
        t = NULL;
        err = (fl_err){0};
        fl_status st = fl_tokenizer_load(&t, put_changed(rows[i].from, rows[i].to), &err);
        CHECKF(st != FL_OK && !t, "row %d", i);
        CHECKF(strstr(err.msg, rows[i].want) && strstr(err.msg, "tokenizer.json"), "row %d: %s", i,
               err.msg);
    }
}

/* Of equal pairs the leftmost is merged first: in short pieces, and in long ones. */
static void check_leftmost(void) {
    enum { LONG = 301 };
    static char text[LONG];
    fl_tokenizer *t;
    fl_err err = {0};
    fl_ids ids = {0};
    const char *path = put_changed("\"c\": 3}, \"merges\": [\"a b\"]",
                                   "\"aa\": 3}, \"merges\": [\"a a\"]");
    CHECKF(fl_tokenizer_load(&t, path, &err) == FL_OK, "%s", err.msg);
    memset(text, 'a', sizeof text);
    for (size_t n = 3; n <= LONG; n += LONG - 3) {
        ids.n = 0;
        CHECK(fl_encode(t, text, n, NULL, &ids, &err) == FL_OK && ids.n == n / 2 + 1);
        for (size_t i = 0; i < ids.n; i++) CHECK(ids.id[i] == (i < n / 2 ? 3 : 0));
    }
    fl_ids_clear(&ids);
    fl_tokenizer_free(t);
}

static void check_other_files(void) {
    static const struct {
        const char *name, *text, *want;
    } files[] = {
        {"a.tiktoken", "YQ== 0\nYg==\n", "a.tiktoken: line 2: expected base64"},
        {"a.tiktoken", "YQ== 0\nYg= 1\n", "line 2: expected base64"},
        {"a.tiktoken", "YQ== 0\nYg== 0\n", "line 2: two tokens have the id 0"},
        {"a.tiktoken", "YQ== 0\nYg== 99999999999\n", "line 2"},
        {"a.tiktoken", "YQ== 0\n", "no published vocabulary"},
        {"vocab.json", "{\"a\": 0}", "merges.txt"},
        {"vocab.json", "[]", ""},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fl_tokenizer *t = NULL;
        fl_err err = {0};
        CHECKF(fl_tokenizer_load(&t, folder_puts(files[i].name, files[i].text), &err) != FL_OK &&
                   !t,
               "file %zu", i);
        CHECKF(strstr(err.msg, files[i].want) != NULL, "file %zu: %s", i, err.msg);
    }
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    CHECK(fl_tokenizer_load(&t, folder_file("nothing"), &err) != FL_OK && !t);
    CHECK(fl_dir_make(folder_file("empty"), &err) == FL_OK);
    CHECK(fl_tokenizer_load(&t, folder_file("empty"), &err) != FL_OK && !t);
    CHECK(strstr(err.msg, "no tokenizer.json") != NULL);
}

/* A pattern that explodes is stopped, and says so. */
static void check_runaway_pattern(void) {
    char text[64];
    fl_tokenizer *t;
    fl_err err = {0};
    fl_ids ids = {0};
    const char *path = put_changed("{\"type\": \"ByteLevel\", \"add_prefix_space\": false}",
                                   "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a+)+$\"}, "
                                   "\"behavior\": \"Isolated\"}");
    CHECKF(fl_tokenizer_load(&t, path, &err) == FL_OK, "%s", err.msg);
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    CHECK(fl_encode(t, text, sizeof text, NULL, &ids, &err) == FL_ERR_UNSUPPORTED);
    CHECKF(strstr(err.msg, "(a+)+$") != NULL, "%s", err.msg);
    fl_ids_clear(&ids);
    fl_tokenizer_free(t);
}

/* Load, train, encode, decode and save. */
static fl_status everything(const char *path, const char *pattern, fl_err *err) {
    static const char text[] = "ab cab <x> \xc3\xa9 12 the the then";
    fl_tokenizer *t = NULL, *trained = NULL;
    fl_bpe_trainer *trainer = NULL;
    fl_ids ids = {0};
    char *back = NULL;
    size_t n;
    fl_bpe_opts o = {.vocab_size = 259, .pattern = pattern};
    fl_status st = fl_bpe_trainer_new(&trainer, &o, err);
    if (st == FL_OK) st = fl_bpe_trainer_feed(trainer, text, sizeof text - 1, err);
    if (st == FL_OK) st = fl_bpe_trainer_finish(trainer, &trained, NULL, err);
    if (st == FL_OK) st = fl_encode(trained, text, sizeof text - 1, NULL, &ids, err);
    if (st == FL_OK) st = fl_decode(trained, ids.id, ids.n, true, &back, &n, err);
    if (st == FL_OK) st = fl_tokenizer_load(&t, path, err);
    if (st == FL_OK) st = fl_tokenizer_save(trained, folder_file("saved"), err);
    fl_dealloc(back);
    fl_ids_clear(&ids);
    fl_bpe_trainer_free(trainer);
    fl_tokenizer_free(trained);
    fl_tokenizer_free(t);
    return st;
}

/* The n-th allocation fails, for every n until none does. A failure may go unnoticed only where
 * PCRE2 does without: its JIT. */
static void check_memory(const char *pattern, bool may_do_without) {
    fl_err err = {0};
    const char *path = folder_puts("tokenizer.json", valid);
    CHECKF(everything(path, pattern, &err) == FL_OK, "%s", err.msg);
    for (long n = 1;; n += 1 + n / 64) {
        err = (fl_err){0};
        fl_alloc_fail_at(n);
        fl_status st = everything(path, pattern, &err);
        bool reached = fl_alloc_fail_at(0), failed = st != FL_OK && err.msg[0];
        CHECKF(reached ? failed || (may_do_without && st == FL_OK) : st == FL_OK,
               "%s, allocation %ld: %s", pattern, n, err.msg);
        if (!reached) return;
    }
}

int main(void) {
    folder_make();
    check_rows();
    check_leftmost();
    check_other_files();
    check_runaway_pattern();
    check_memory("gpt2", false);
    check_memory("\\w+|\\W", true);
    folder_remove();
    return check_report();
}
