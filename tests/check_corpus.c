/* check_corpus - files into documents: what a file is, where documents and pieces end, what is an
 * error.
 *
 * Caught by it (each tried): the separator looked for only inside one buffer; rows read past a bad
 * line; a truncated .gz taken for a short text; a cut inside a UTF-8 character; hidden files
 * read. */
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "check.h"
#include "data/corpus.h"
#include "data/cut.h"
#include "data/rows.h"
#include "folder.h"

/* All documents, joined by '|', pieces of one document by nothing. NULL with *err set on
 * failure. */
static char *documents(const char *const *paths, int n, const fl_corpus_opts *o, int64_t *skipped,
                       fl_err *err) {
    fl_corpus *c;
    if (fl_corpus_open(&c, paths, n, o, err) != FL_OK) return NULL;
    fl_text t = {0};
    fl_piece p;
    fl_status st;
    bool open = false;
    while ((st = fl_corpus_next(c, &p, err)) == FL_OK && p.text) {
        CHECK(p.begins == !open);
        CHECK(p.n <= FL_PIECE_BYTES);
        fl_text_append(&t, p.text, p.n);
        if (p.ends) fl_text_puts(&t, "|");
        open = !p.ends;
    }
    CHECK(st != FL_OK || !open);
    if (skipped) *skipped = fl_corpus_n_skipped(c);
    if (st == FL_OK) CHECK(fl_corpus_bytes_read(c) == fl_corpus_bytes_total(c));
    fl_corpus_close(c);
    if (st != FL_OK) {
        fl_text_clear(&t);
        return NULL;
    }
    fl_text_puts(&t, "");
    return t.data ? t.data : fl_strdup("");
}

static void check_one(const char *path, const fl_corpus_opts *o, const char *want) {
    fl_err err = {0};
    char *got = documents(&path, 1, o, NULL, &err);
    CHECKF(got && strcmp(got, want) == 0, "%s: got %s, want %s (%s)", path, got ? got : "failure",
           want, err.msg);
    fl_dealloc(got);
}

static void check_fails(const char *path, const fl_corpus_opts *o, const char *message) {
    fl_err err = {0};
    char *got = documents(&path, 1, o, NULL, &err);
    CHECKF(!got && strstr(err.msg, message), "%s: \"%s\", want \"%s\"", path, err.msg, message);
    fl_dealloc(got);
}

static void check_kinds(void) {
    static const fl_corpus_opts plain = {0}, body = {.text_field = "body"},
                                none = {.separator = ""}, dash = {.separator = "\n--\n"};
    static const struct {
        const char *name, *bytes, *want;
        const fl_corpus_opts *opts;
    } rows[] = {
        {"a.txt", "hello\nworld\n", "hello\nworld\n|", &plain},
        {"empty.txt", "", "", &plain},
        {"b.md", "one<|endoftext|>two<|endoftext|>", "one|two|", &plain},
        {"c", "<|endoftext|>\nx\n<|endoftext|>\n\ny", "x\n|\ny|", &plain},
        {"d.txt", "one<|endoftext|>two", "one<|endoftext|>two|", &none},
        {"e.txt", "one\n--\ntwo\n--", "one|two\n--|", &dash},
        {"f.txt", "a\xff\xfe z <|endo", "a\xff\xfe z <|endo|", &plain},
        {"g.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"tw\\no\"}", "one|tw\no|", &plain},
        {"h.ndjson", "{\"body\": \"\\u00e9\", \"text\": 3}\r\n", "\xc3\xa9|", &body},
        {"i.jsonl", "{\"text\": \"\"}\n{\"text\": \"x<|endoftext|>y\"}\n", "x<|endoftext|>y|",
         &plain},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        size_t n = strlen(rows[i].bytes);
        check_one(folder_put(rows[i].name, rows[i].bytes, n), rows[i].opts, rows[i].want);
        snprintf(name, sizeof name, "%s.gz", rows[i].name);
        check_one(folder_put_packed(name, rows[i].bytes, n), rows[i].opts, rows[i].want);
        snprintf(name, sizeof name, "%s.zst", rows[i].name);
        check_one(folder_put_packed(name, rows[i].bytes, n), rows[i].opts, rows[i].want);
    }
}

static void check_bad(void) {
    static const fl_corpus_opts strict = {0}, body = {.text_field = "body"};
    const char *jsonl =
        "{\"text\": \"a\"}\n{\"text\": \"b\"\n[1]\n{\"txt\": \"c\"}\n{\"text\": 5}\n{\"text\": "
        "\"d\"}\n";
    const char *path = folder_puts("bad.jsonl", jsonl);
    check_fails(path, &strict, "bad.jsonl:2: ");
    check_fails(folder_puts("k.jsonl", "{\"title\": \"a\", \"text\": \"b\"}\n"), &body,
                "k.jsonl:1: no field \"body\"; it has \"title\" \"text\"");
    check_fails(folder_puts("n.jsonl", "\n{\"text\": [1]}\n"), &strict,
                "n.jsonl:2: field \"text\" is not a string");

    fl_err err = {0};
    int64_t skipped = 0;
    fl_corpus_opts lenient = {.skip_bad_lines = true};
    char *got = documents(&path, 1, &lenient, &skipped, &err);
    CHECKF(got && strcmp(got, "a|d|") == 0 && skipped == 4, "%s, %d skipped", got, (int)skipped);
    fl_dealloc(got);

    check_fails(folder_file("absent.txt"), &strict, "absent.txt: No such file");
    check_fails(folder_put("pic.txt", "PNG\0\1", 5), &strict, "looks binary");
    check_fails(folder_puts("not.gz", "plain text"), &strict, "not.gz: near byte");
    check_fails(folder_puts("not.zst", "plain text, long enough"), &strict, "not.zst: near byte");
    check_fails("/dev/null", &strict, "not a regular file");

    char text[5000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i * i % 23);
    static const char *const packed[] = {"short.gz", "short.zst"};
    for (int i = 0; i < 2; i++) {
        const char *p = folder_put_packed(packed[i], text, sizeof text);
        CHECK(truncate(p, fl_path_bytes(p) - 7) == 0);
        check_fails(p, &strict, "ends in the middle");
    }
}

/* Several gzip members one after another are one text. */
static void check_members(void) {
    fl_map m;
    CHECK(fl_map_open(&m, folder_put_packed("m1.gz", "one ", 4), NULL) == FL_OK);
    char both[256];
    memcpy(both, m.data, m.bytes);
    memcpy(both + m.bytes, m.data, m.bytes);
    size_t n = 2 * m.bytes;
    fl_map_close(&m);
    check_one(folder_put("m2.gz", both, n), &(fl_corpus_opts){0}, "one one |");
}

static void check_folders(void) {
    folder_puts("tree/b.txt", "B");
    folder_puts("tree/a/z.txt", "Z");
    folder_puts("tree/a/y.jsonl", "{\"text\": \"Y\"}");
    folder_puts("tree/.hidden", "H");
    folder_puts("tree/.git/x", "H");
    folder_put("tree/c.bin", "\0\0", 2);
    CHECK(symlink("..", folder_file("tree/a/loop")) == 0);
    CHECK(symlink("nowhere", folder_file("tree/a/dangling")) == 0);
    check_one(folder_file("tree"), &(fl_corpus_opts){0}, "Y|Z|B|");

    const char *paths[] = {folder_file("tree/b.txt"), folder_file("tree")};
    char *got = documents(paths, 2, &(fl_corpus_opts){0}, NULL, NULL);
    CHECKF(got && strcmp(got, "B|Y|Z|B|") == 0, "%s", got);
    fl_dealloc(got);
    folder_puts("bare/.hidden", "H");
    check_fails(folder_file("bare"), &(fl_corpus_opts){0}, "no text files");
}

/* Text of megabytes: every byte comes back, and separators across the ends of buffers are seen. */
static void check_long(void) {
    size_t n = 3 * FL_PIECE_BYTES + 12345;
    fl_text t = {0}, want = {0};
    uint32_t x = 1;
    for (size_t i = 0; t.n < n; i++) {
        x = x * 1664525u + 1013904223u;
        if (x >> 24 == 7) {
            fl_text_puts(&t, "<|endoftext|>");
            fl_text_puts(&want, "|");
        }
        const char *word = x >> 31 ? "w\xc3\xb6rter " : "and\nSo ";
        fl_text_puts(&t, word);
        fl_text_puts(&want, word);
    }
    fl_text_puts(&want, "|");
    check_one(folder_put("long.txt", t.data, t.n), &(fl_corpus_opts){0}, fl_text_str(&want));

    for (size_t pad = FL_PIECE_BYTES - 20; pad < FL_PIECE_BYTES + 300; pad += 7) {
        fl_text_clear(&t);
        fl_text_clear(&want);
        for (size_t i = 0; i < pad; i++) fl_text_append(&t, i % 9 ? "x" : " ", 1);
        fl_text_append(&want, t.data, t.n);
        fl_text_puts(&t, "<|endoftext|>end");
        fl_text_puts(&want, "|end|");
        check_one(folder_put("edge.txt", t.data, t.n), &(fl_corpus_opts){0}, fl_text_str(&want));
    }
    fl_text_clear(&t);
    fl_text_clear(&want);
}

static void check_cuts(void) {
    static const struct {
        const char *text;
        size_t cut;
    } rows[] = {
        {"aaaaaaaaaaaa bbb bb.\nNext line goes on", 21},  // line before word
        {"aaaaaaaaaaaaaaaa. B\n\nNext abcdefg h.", 33},   // never after a blank line
        {"aaaaaaaaaaaaaaa, 12345 abc de 34 5678", 26},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 30},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 14},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 12},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t got = fli_cut(rows[i].text, strlen(rows[i].text));
        CHECKF(got == rows[i].cut, "row %zu: %zu, want %zu", i, got, rows[i].cut);
    }
}

/* An array in a .json file gives the same rows as lines. */
static void check_rows(void) {
    fli_rows *r;
    const char *path = folder_puts("rows.json", " [{\"a\": \"x\"},\n {\"a\": \"y\"}]\n");
    CHECK(fli_rows_open(&r, path, false, NULL) == FL_OK);
    json_t *row;
    const char *s;
    size_t n;
    for (int i = 0; i < 2; i++) {
        CHECK(fli_rows_next(r, &row, NULL) == FL_OK && row && fli_rows_line(r) == i + 1);
        CHECK(fli_rows_str(r, row, "a", &s, &n, NULL) == FL_OK && n == 1 && *s == 'x' + i);
    }
    CHECK(fli_rows_next(r, &row, NULL) == FL_OK && !row);
    fli_rows_close(r);

    fl_err err = {0};
    CHECK(fli_rows_open(&r, folder_puts("cut.json", "[{\"a\": \n 1},"), false, &err) ==
          FL_ERR_FORMAT);
    CHECKF(strstr(err.msg, "cut.json:2"), "%s", err.msg);
}

int main(void) {
    folder_make();
    check_kinds();
    check_bad();
    check_members();
    check_folders();
    check_long();
    check_cuts();
    check_rows();
    folder_remove();
    return check_report();
}
