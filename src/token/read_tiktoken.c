/* read_tiktoken.c - .tiktoken files: one token a line, its bytes in base64, a space, its rank.
 *
 * There a pair may be merged when the two together are a token, and the rank is that token's
 * (merge_cuts.c). */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/internal.h"

enum { FILE_MAX_BYTES = 1 << 28, TOKEN_MAX = 4096, MORE_MAX = 6 };

/* The pattern and the special tokens are not in the file. The published vocabularies are known by
 * their size. */
static const struct {
    int32_t n;
    const char *pattern;
    bool nfc;
    const char *bos, *eos;
    struct {
        const char *text;
        int32_t id;
    } special[MORE_MAX];
} published[] = {
    {50256, "gpt2", false, NULL, "<|endoftext|>", {{"<|endoftext|>", 50256}}},
    {50280, "gpt2", false, NULL, "<|endoftext|>", {{"<|endoftext|>", 50256}}},
    {100256,
     "cl100k",
     false,
     NULL,
     "<|endoftext|>",
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {199998,
     "o200k",
     false,
     NULL,
     "<|endoftext|>",
     {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
    {128000,
     "llama3",
     false,
     "<|begin_of_text|>",
     "<|end_of_text|>",
     {{"<|begin_of_text|>", 128000},
      {"<|end_of_text|>", 128001},
      {"<|start_header_id|>", 128006},
      {"<|end_header_id|>", 128007},
      {"<|eot_id|>", 128009}}},
    {151643,
     "qwen2",
     true,
     NULL,
     "<|endoftext|>",
     {{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}}},
};
enum { N_PUBLISHED = sizeof published / sizeof *published };

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t fli_base64_decode(const char *s, size_t n, uint8_t *out) {
    if (n == 0 || n % 4) return 0;
    size_t pad = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2, k = 0;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            int v = i + j >= n - pad ? 0 : base64_value(s[i + j]);
            if (v < 0) return 0;
            bits = bits << 6 | (uint32_t)v;
        }
        for (int j = 2; j >= 0; j--) out[k++] = (uint8_t)(bits >> (8 * j));
    }
    return k - pad;
}

static fl_status put_line(fl_tokenizer *t, const char *s, size_t n, int line, fl_err *err) {
    uint8_t bytes[TOKEN_MAX];
    const char *gap = memchr(s, ' ', n);
    size_t n_text = gap ? (size_t)(gap - s) : 0;
    size_t len = n_text / 4 * 3 <= TOKEN_MAX ? fli_base64_decode(s, n_text, bytes) : 0;
    if (len == 0)
        return fl_fail(err, FL_ERR_FORMAT, "line %d: expected base64, a space, a rank", line);
    int64_t rank = 0;
    size_t i = n_text + 1;
    for (; i < n && s[i] >= '0' && s[i] <= '9' && rank < INT32_MAX; i++)
        rank = rank * 10 + (s[i] - '0');
    if (i != n || i == n_text + 1 || rank > INT32_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "line %d: expected base64, a space, a rank", line);
    fl_status st = fli_tokenizer_put(t, (int32_t)rank, bytes, len, err);
    return st == FL_OK ? st : fl_context(err, st, "line %d", line);
}

static fl_status put_lines(fl_tokenizer *t, const char *text, size_t n, int32_t *count,
                           fl_err *err) {
    int line = 1;
    for (size_t i = 0, end; i < n; i = end + 1, line++) {
        const char *nl = memchr(text + i, '\n', n - i);
        end = nl ? (size_t)(nl - text) : n;
        size_t len = end - i - (end > i && text[end - 1] == '\r');
        if (len == 0) continue;
        FL_TRY(put_line(t, text + i, len, line, err));
        ++*count;
    }
    return FL_OK;
}

static fl_status make_merges(fl_tokenizer *t, fl_err *err) {
    FL_TRY(fli_tokenizer_index(t, 0, err));
    t->ignore_merges = true;  // tiktoken looks for the whole piece first
    return fli_merge_cuts(t, NULL, err);
}

static fl_status add_published(fl_tokenizer *t, int row, fl_err *err) {
    for (int i = 0; i < MORE_MAX && published[row].special[i].text; i++) {
        const char *text = published[row].special[i].text;
        FL_TRY(fli_tokenizer_add(t, text, strlen(text),
                                 (fli_added){.id = published[row].special[i].id, .special = true},
                                 err));
    }
    if (published[row].nfc) FL_TRY(fli_add_step(t, fli_nfc_step, err));
    t->eos = fl_tokenizer_id(t, published[row].eos);
    if (published[row].bos)
        t->bos = t->before[t->n_before++] = fl_tokenizer_id(t, published[row].bos);
    return FL_OK;
}

static fl_status build(fl_tokenizer *t, const char *text, size_t n, const char *pattern,
                       fl_err *err) {
    int32_t count = 0;
    FL_TRY(put_lines(t, text, n, &count, err));
    int row = 0;
    while (row < N_PUBLISHED && published[row].n != count) row++;
    if (!pattern && row == N_PUBLISHED)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%d tokens: no published vocabulary, and the file does not say its pattern",
                       count);
    FL_TRY(make_merges(t, err));
    FL_TRY(fli_splitter_add(&t->split, pattern ? pattern : published[row].pattern, err));
    if (row < N_PUBLISHED) FL_TRY(add_published(t, row, err));
    return fli_tokenizer_finish(t, err);
}

fl_status fli_parse_tiktoken(fl_tokenizer **out, const char *text, size_t n, const char *pattern,
                             fl_err *err) {
    fl_tokenizer *t;
    FL_TRY(fli_tokenizer_new(&t, err));
    fl_status st = build(t, text, n, pattern, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}

fl_status fli_read_tiktoken(fl_tokenizer **out, const char *path, const char *pattern,
                            fl_err *err) {
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, FILE_MAX_BYTES, &text, &n, err));
    fl_status st = fli_parse_tiktoken(out, text, n, pattern, err);
    fl_dealloc(text);
    return st == FL_OK ? st : fl_context(err, st, "%s", path);
}
