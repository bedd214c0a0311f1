/* read_gpt2.c - vocab.json with merges.txt, as GPT-2 was published; and what tokenizer.json shares
 * with it. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/internal.h"

enum { TOKEN_MAX = 64 << 10, MERGES_MAX_BYTES = 1 << 28 };

fl_status fli_put_vocab(fl_tokenizer *t, const json_t *vocab, const char *where, fl_err *err) {
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)vocab, text, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return fl_fail(err, FL_ERR_FORMAT, "%s: \"%.40s\": expected a token id", where, text);
        fl_status st = fli_tokenizer_put_text(t, (int32_t)json_integer_value(id), text,
                                              strlen(text), err);
        if (st != FL_OK) return fl_context(err, st, "%s", where);
    }
    return FL_OK;
}

fl_status fli_push_merge(fl_tokenizer *t, const char *left, size_t n_left, const char *right,
                         size_t n_right, const char *where, fl_err *err) {
    uint8_t bytes[2 * TOKEN_MAX];
    if (n_left == 0 || n_right == 0 || n_left > TOKEN_MAX || n_right > TOKEN_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "%s: merge %zu: expected two tokens", where,
                       t->merges.n);
    size_t at = fli_text_bytes(t, left, n_left, bytes);
    size_t n = at + fli_text_bytes(t, right, n_right, bytes + at);
    fli_merge m = {.left = fli_tokenizer_find(t, bytes, at),
                   .right = fli_tokenizer_find(t, bytes + at, n - at),
                   .id = fli_tokenizer_find(t, bytes, n)};
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return fl_fail(err, FL_ERR_FORMAT, "%s: merge %zu: \"%.*s\" is not in the vocabulary",
                       where, t->merges.n, m.left < 0 ? (int)n_left : (int)n_right,
                       m.left < 0 ? left : right);
    return fli_merges_push(&t->merges, m, err);
}

void fli_guess_ends(fl_tokenizer *t) {
    static const char *const eos[] = {"<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>",
                                      NULL};
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", NULL};
    for (int i = 0; t->eos < 0 && eos[i]; i++) t->eos = fl_tokenizer_id(t, eos[i]);
    for (int i = 0; t->bos < 0 && bos[i]; i++) t->bos = fl_tokenizer_id(t, bos[i]);
}

/* "left right" a line, after a line that says "#version". */
static fl_status read_merges(fl_tokenizer *t, const char *path, const char *text, size_t n,
                             fl_err *err) {
    for (size_t i = 0, end; i < n; i = end + 1) {
        const char *nl = memchr(text + i, '\n', n - i);
        end = nl ? (size_t)(nl - text) : n;
        size_t len = end - i;
        if (len && text[end - 1] == '\r') len--;
        if (len == 0 || (i == 0 && text[0] == '#')) continue;
        const char *gap = memchr(text + i, ' ', len);
        size_t n_left = gap ? (size_t)(gap - text) - i : 0;
        FL_TRY(fli_push_merge(t, text + i, n_left, gap ? gap + 1 : "", gap ? len - n_left - 1 : 0,
                              path, err));
    }
    return FL_OK;
}

static fl_status build(fl_tokenizer *t, const json_t *vocab, const char *vocab_path,
                       const char *text, size_t n, const char *merges_path, fl_err *err) {
    static const char *const end = "<|endoftext|>";
    if (!json_is_object(vocab))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object of tokens", vocab_path);
    FL_TRY(fli_put_vocab(t, vocab, vocab_path, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    FL_TRY(read_merges(t, merges_path, text, n, err));
    FL_TRY(fli_splitter_add(&t->split, "gpt2", err));
    int32_t id = fli_tokenizer_find(t, end, strlen(end));
    if (id >= 0)
        FL_TRY(fli_tokenizer_add(t, end, strlen(end), (fli_added){.id = id, .special = true}, err));
    fli_guess_ends(t);
    return fli_tokenizer_finish(t, err);
}

fl_status fli_read_gpt2(fl_tokenizer **out, const char *vocab_path, const char *merges_path,
                        fl_err *err) {
    fl_tokenizer *t = NULL;
    json_t *vocab = NULL;
    char *text = NULL;
    size_t n;
    fl_status st = fl_json_load(&vocab, vocab_path, err);
    if (st == FL_OK) st = fl_file_read(merges_path, MERGES_MAX_BYTES, &text, &n, err);
    if (st == FL_OK) st = fli_tokenizer_new(&t, err);
    if (st == FL_OK) st = build(t, vocab, vocab_path, text, n, merges_path, err);
    json_decref(vocab);
    fl_dealloc(text);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}
