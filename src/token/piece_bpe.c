/* piece_bpe.c - byte-pair encoding of a piece: over bytes, and over characters. */
#include "base/alloc.h"
#include "token/internal.h"

bool fli_scratch_need(fli_scratch *s, size_t bytes) {
    if (s->bytes >= bytes) return true;
    fl_dealloc(s->data);
    s->data = fl_alloc(bytes);
    s->bytes = s->data ? bytes : 0;
    return s->data != NULL;
}

static fl_status merge(const fl_tokenizer *t, size_t n_bytes, size_t n, fli_scratch *scratch,
                       int32_t *id, size_t *n_ids, fl_err *err) {
    *n_ids = fli_merges_apply(&t->merges, id, n, scratch);
    if (*n_ids == 0) return fl_fail(err, FL_ERR_NOMEM, "merging a piece of %zu bytes", n_bytes);
    return FL_OK;
}

static bool is_whole(const fl_tokenizer *t, const uint8_t *s, size_t n, int32_t *id,
                     size_t *n_ids) {
    int32_t whole = t->ignore_merges ? fli_tokenizer_find(t, s, n) : -1;
    if (whole < 0) return false;
    id[0] = whole;
    *n_ids = 1;
    return true;
}

static fl_status bytes_encode(const fl_tokenizer *t, const uint8_t *s, size_t n,
                              fli_scratch *scratch, int32_t *id, size_t *n_ids, fl_err *err) {
    if (is_whole(t, s, n, id, n_ids)) return FL_OK;
    for (size_t i = 0; i < n; i++) {
        id[i] = t->byte_id[s[i]];
        if (id[i] < 0)
            return fl_fail(err, FL_ERR_UNSUPPORTED, "the vocabulary has no token for byte 0x%02x",
                           s[i]);
    }
    return merge(t, n, n, scratch, id, n_ids, err);
}

fl_status fli_fall_back(const fl_tokenizer *t, const uint8_t *s, size_t n, int32_t *id,
                        size_t *n_ids, fl_err *err) {
    *n_ids = 0;
    if (t->byte_fallback)
        for (; *n_ids < n && t->byte_id[s[*n_ids]] >= 0; ++*n_ids)
            id[*n_ids] = t->byte_id[s[*n_ids]];
    if (*n_ids == n) return FL_OK;
    *n_ids = 1;
    id[0] = t->unk;
    if (t->unk >= 0) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED,
                   "the vocabulary has no token for \"%.*s\", and none for the unknown",
                   n > 16 ? 16 : (int)n, (const char *)s);
}

static fl_status chars_encode(const fl_tokenizer *t, const uint8_t *s, size_t n,
                              fli_scratch *scratch, int32_t *id, size_t *n_ids, fl_err *err) {
    size_t k = 0;
    int len;
    if (is_whole(t, s, n, id, n_ids)) return FL_OK;
    for (size_t i = 0; i < n; i += (size_t)len) {
        (void)fl_utf8_decode(s + i, n - i, &len);
        id[k] = s[i] < 0x80 ? t->ascii_id[s[i]] : fli_tokenizer_find(t, s + i, (size_t)len);
        size_t more = 1;
        if (id[k] < 0) {
            FL_TRY(fli_fall_back(t, s + i, (size_t)len, id + k, &more, err));
            if (t->fuse_unk && k && id[k] == t->unk && id[k - 1] == t->unk) continue;
        }
        k += more;
    }
    return merge(t, n, k, scratch, id, n_ids, err);
}

const fli_model_kind fli_byte_bpe = {.hf = "BPE",
                                     .gguf = "gpt2",
                                     .encode = bytes_encode,
                                     .bytes = true};
const fli_model_kind fli_char_bpe = {.hf = "BPE", .gguf = "llama", .encode = chars_encode};
