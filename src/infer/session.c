/* session - one text being read and continued by a model: a group of one. */
#include "infer/group_impl.h"

#include "base/alloc.h"
#include "base/assert.h"

struct fl_session {
    fl_group *group;
    fl_sequence *text;
};

fl_status fl_session_new(fl_session **out, fl_model *m, const fl_session_opts *o, fl_err *err) {
    fl_session *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a session");
    *s = (fl_session){0};
    fl_status st = fl_group_new(&s->group, m, o, err);
    if (st == FL_OK) st = fl_sequence_new(&s->text, s->group, err);
    if (st == FL_OK) *out = s;
    else fl_session_free(s);
    return st;
}

void fl_session_free(fl_session *s) {
    if (!s) return;
    fl_sequence_free(s->text);
    fl_group_free(s->group);
    fl_dealloc(s);
}

fl_sequence *fli_session_text(const fl_session *s) {
    return s->text;
}

fl_status fl_session_feed(fl_session *s, const int32_t *id, int64_t n, fl_err *err) {
    return fl_sequence_read(s->text, id, n, err);
}

fl_status fl_session_score(fl_session *s, const int32_t *id, const int32_t *target, int64_t n,
                           float *nll, fl_err *err) {
    return fl_sequence_score(s->text, id, target, n, nll, err);
}

fl_status fl_session_feed_each(fl_session *s, const int32_t *id, int64_t n, const float **logits,
                               fl_err *err) {
    fl_group_row row[FL_SESSION_EACH];
    FL_ASSERT(n > 0 && n <= FL_SESSION_EACH);
    for (int64_t i = 0; i < n; i++) row[i] = (fl_group_row){s->text, id[i]};
    return fl_group_decode(s->group, row, n, logits, err);
}

fl_status fl_session_decode(fl_session *s, int32_t id, fl_err *err) {
    const float *logits;
    return fl_session_feed_each(s, &id, 1, &logits, err);
}

const float *fl_session_logits(const fl_session *s) {
    return fl_sequence_logits(s->text);
}

int64_t fl_session_length(const fl_session *s) {
    return fl_sequence_length(s->text);
}

const int32_t *fl_session_tokens(const fl_session *s) {
    return fl_sequence_tokens(s->text);
}

int64_t fl_session_context(const fl_session *s) {
    return fl_group_context(s->group);
}

fl_model *fl_session_model(const fl_session *s) {
    return fl_group_model(s->group);
}

size_t fl_session_cache_bytes(const fl_session *s) {
    return fl_group_cache_bytes(s->group);
}

void fl_session_settle(fl_session *s) {
    fl_group_settle(s->group);
}

void fl_session_rewind(fl_session *s, int64_t n) {
    fl_sequence_rewind(s->text, n);
}

fl_status fl_session_shift(fl_session *s, int64_t keep, int64_t drop, fl_err *err) {
    return fl_sequence_shift(s->text, keep, drop, err);
}
