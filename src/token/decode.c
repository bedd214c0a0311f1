/* decode.c - ids to text, whole or as they come.
 *
 * A stream holds back the bytes of a character that is not complete yet. Bytes that can begin no
 * character are not held back: a model may say anything, and what it says comes out. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"

struct fl_decoder {
    const fl_tokenizer *t;
    bool keep_special;
    uint8_t *bytes;  // given out up to `given`, then what waits
    size_t n, cap, given;
};

fl_status fl_decoder_new(fl_decoder **out, const fl_tokenizer *t, bool keep_special, fl_err *err) {
    fl_decoder *d = fl_alloc(sizeof *d);
    if (!d) return fl_fail(err, FL_ERR_NOMEM, "a decoder");
    *d = (fl_decoder){.t = t, .keep_special = keep_special};
    *out = d;
    return FL_OK;
}

void fl_decoder_free(fl_decoder *d) {
    if (!d) return;
    fl_dealloc(d->bytes);
    fl_dealloc(d);
}

/* The bytes `id` contributes. */
static fl_status bytes_of(const fl_tokenizer *t, int32_t id, bool keep_special,
                          const uint8_t **bytes, size_t *n, fl_err *err) {
    *bytes = fl_token_bytes(t, id, n);
    if (!*bytes)
        return fl_fail(err, FL_ERR_ARG, "no token has the id %d (the vocabulary has %d)", id, t->n);
    if (!keep_special && fl_tokenizer_is_special(t, id)) *n = 0;
    return FL_OK;
}

/* Forget what was given out; what waits moves to the front. */
static void drop_given(fl_decoder *d) {
    d->n -= d->given;
    if (d->n) memmove(d->bytes, d->bytes + d->given, d->n);
    d->given = 0;
}

fl_status fl_decoder_feed(fl_decoder *d, int32_t id, const char **bytes, size_t *n, fl_err *err) {
    const uint8_t *more;
    size_t n_more;
    FL_TRY(bytes_of(d->t, id, d->keep_special, &more, &n_more, err));
    if (!fli_grow((void **)&d->bytes, &d->cap, d->n - d->given + n_more + 1, 1))
        return fl_fail(err, FL_ERR_NOMEM, "decoding a token of %zu bytes", n_more);
    drop_given(d);
    memcpy(d->bytes + d->n, more, n_more);
    d->n += n_more;
    d->given = fl_utf8_complete(d->bytes, d->n);
    *bytes = (const char *)d->bytes;
    *n = d->given;
    return FL_OK;
}

void fl_decoder_flush(fl_decoder *d, const char **bytes, size_t *n) {
    drop_given(d);
    d->given = d->n;
    *bytes = d->n ? (const char *)d->bytes : "";
    *n = d->n;
}

fl_status fl_decode(const fl_tokenizer *t, const int32_t *id, size_t n_ids, bool keep_special,
                    char **text, size_t *n, fl_err *err) {
    fl_text all = {0};
    fl_text_append(&all, "", 0);  // even nothing is a text
    fl_status st = FL_OK;
    for (size_t i = 0; i < n_ids && st == FL_OK; i++) {
        const uint8_t *bytes;
        size_t len;
        st = bytes_of(t, id[i], keep_special, &bytes, &len, err);
        if (st == FL_OK) fl_text_append(&all, bytes, len);
    }
    if (st == FL_OK) st = fl_text_ok(&all, err);
    if (st != FL_OK) {
        fl_text_clear(&all);
        return st;
    }
    *text = all.data;
    *n = all.n;
    return FL_OK;
}
