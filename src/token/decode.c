/* decode.c - ids to text, whole or as they come.
 *
 * A token stands for its bytes; vocabularies that put a space before each word want the first one
 * gone, and WordPiece's spaces depend on what comes after them (fli_joining).
 *
 * A stream holds back the bytes of a character that is not complete yet. Bytes that can begin no
 * character are not held back: a model may say anything, and what it says comes out. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"

/* How far a text has come. */
typedef struct {
    bool begun;    // some token was there
    bool written;  // and it was not nothing
    int to_strip;  // spaces that may still go from its beginning
} progress;

struct fl_decoder {
    const fl_tokenizer *t;
    bool keep_special;
    progress at;
    fl_text bytes;  // given out up to `given`, then what waits
    size_t given;
};

static progress begin(const fl_tokenizer *t) {
    return (progress){.to_strip = t->join.strip};
}

fl_status fl_decoder_new(fl_decoder **out, const fl_tokenizer *t, bool keep_special, fl_err *err) {
    fl_decoder *d = fl_alloc(sizeof *d);
    if (!d) return fl_fail(err, FL_ERR_NOMEM, "a decoder");
    *d = (fl_decoder){.t = t, .keep_special = keep_special, .at = begin(t)};
    *out = d;
    return FL_OK;
}

void fl_decoder_free(fl_decoder *d) {
    if (!d) return;
    fl_text_clear(&d->bytes);
    fl_dealloc(d);
}

/* ---- one token ---- */

/* WordPiece has no space before these: " ." becomes ".", anywhere in a token. */
static void clean(fl_text *out, size_t from) {
    static const struct {
        const char *what, *to;
    } rows[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows && !out->failed; r++) {
        size_t n_what = strlen(rows[r].what), n_to = strlen(rows[r].to), to = from;
        for (size_t i = from; i < out->n;) {
            bool here = out->n - i >= n_what && memcmp(out->data + i, rows[r].what, n_what) == 0;
            memmove(out->data + to, here ? rows[r].to : out->data + i, here ? n_to : 1);
            to += here ? n_to : 1;
            i += here ? n_what : 1;
        }
        out->n = to;
    }
}

/* Without spaces: all of them, or those at the beginning that are still to go. */
static void drop_spaces(fl_text *out, size_t from, bool all, int *to_strip) {
    size_t to = from;
    for (size_t i = from; i < out->n; i++) {
        bool space = out->data[i] == ' ', strip = space && to == from && *to_strip > 0;
        if (strip) --*to_strip;
        if (!(strip || (all && space))) out->data[to++] = out->data[i];
    }
    if (to > from) *to_strip = 0;
    out->n = to;
}

/* What `id` adds to a text that has come so far. */
static fl_status put_token(const fl_tokenizer *t, int32_t id, bool keep_special, progress *at,
                           fl_text *out, fl_err *err) {
    size_t n, from = out->n;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    if (!bytes)
        return fl_fail(err, FL_ERR_ARG, "no token has the id %d (the vocabulary has %d)", id, t->n);
    bool special = fl_tokenizer_is_special(t, id), first = !at->begun;
    if (special && !keep_special) return FL_OK;
    at->begun = true;
    if (t->join.first_text && first) fl_token_text(t, id, out);
    else {
        if (t->join.first_text && special) fl_text_append(out, " ", 1);
        fl_text_append(out, bytes, n);
    }
    FL_TRY(fl_text_ok(out, err));
    if (t->join.clean) clean(out, from);
    if (t->join.strip_each && !at->written) at->to_strip = 1;
    if (at->to_strip > 0 || (t->join.first_bare && first))
        drop_spaces(out, from, t->join.first_bare && first, &at->to_strip);
    at->written |= out->n > from;
    return FL_OK;
}

/* ---- a stream ---- */

/* Forget what was given out; what waits moves to the front. */
static void drop_given(fl_decoder *d) {
    d->bytes.n -= d->given;
    if (d->bytes.n) memmove(d->bytes.data, d->bytes.data + d->given, d->bytes.n);
    d->given = 0;
}

fl_status fl_decoder_feed(fl_decoder *d, int32_t id, const char **bytes, size_t *n, fl_err *err) {
    drop_given(d);
    FL_TRY(put_token(d->t, id, d->keep_special, &d->at, &d->bytes, err));
    *bytes = fl_text_str(&d->bytes);
    *n = d->given = fl_utf8_complete((const uint8_t *)*bytes, d->bytes.n);
    return FL_OK;
}

void fl_decoder_flush(fl_decoder *d, const char **bytes, size_t *n) {
    drop_given(d);
    *bytes = fl_text_str(&d->bytes);
    *n = d->given = d->bytes.n;
}

/* ---- a whole text ---- */

fl_status fl_decode(const fl_tokenizer *t, const int32_t *id, size_t n_ids, bool keep_special,
                    char **text, size_t *n, fl_err *err) {
    fl_text all = {0};
    progress at = begin(t);
    fl_text_append(&all, "", 0);  // even nothing is a text
    fl_status st = fl_text_ok(&all, err);
    for (size_t i = 0; i < n_ids && st == FL_OK; i++)
        st = put_token(t, id[i], keep_special, &at, &all, err);
    if (st != FL_OK) {
        fl_text_clear(&all);
        return st;
    }
    *text = all.data;
    *n = all.n;
    return FL_OK;
}
