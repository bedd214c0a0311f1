/* session.h - one text being read and continued by a model: a group of one.
 *
 *     fl_session *s;
 *     if (fl_session_new(&s, model, &(fl_session_opts){0}, &err) != FL_OK) ...
 *     fl_session_feed(s, prompt, n, &err);           // prefill
 *     for (;;) {
 *         int32_t id = pick(fl_session_logits(s));   // (V), what comes after the last token
 *         fl_session_decode(s, id, &err);
 *     }
 *
 * The graph is the one the model trains with, given a cache. It is planned once for each of a few
 * numbers of tokens (4, 16, 64, .. up to the chunk), and what is fed is cut into those. Feeding in
 * any pieces gives the bytes of feeding at once, and decoding several tokens those of decoding one
 * by one; the two differ from one another in the last bits (infer/group.h).
 *
 * A session belongs to one thread; sessions of one model may run in different threads, each with a
 * pool of its own. The model must outlive it. */
#ifndef FL_INFER_SESSION_H
#define FL_INFER_SESSION_H

#include "infer/group.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef fl_group_opts fl_session_opts;

typedef struct fl_session fl_session;
FL_MUST_USE fl_status fl_session_new(fl_session **out, fl_model *m, const fl_session_opts *o,
                                     fl_err *err);
void fl_session_free(fl_session *s);  // NULL is allowed

/* Read n > 0 tokens of a prompt. More than the context holds is FL_ERR_ARG and reads none of
 * them. */
FL_MUST_USE fl_status fl_session_feed(fl_session *s, const int32_t *id, int64_t n, fl_err *err);

/* Read one token that was picked. */
FL_MUST_USE fl_status fl_session_decode(fl_session *s, int32_t id, fl_err *err);

/* Read n tokens, 1 to FL_SESSION_EACH, and give the logits after each of them, (n, V) f32: the same
 * bytes as after decoding them one by one. Valid until the next call. */
enum { FL_SESSION_EACH = FL_GROUP_ROWS };
FL_MUST_USE fl_status fl_session_feed_each(fl_session *s, const int32_t *id, int64_t n,
                                           const float **logits, fl_err *err);

/* Read n > 0 tokens and say how surprising a target was after each: nll[i] = -ln p(target[i] | all
 * up to id[i]), 0 where target[i] < 0. Afterwards there are no logits. */
FL_MUST_USE fl_status fl_session_score(fl_session *s, const int32_t *id, const int32_t *target,
                                       int64_t n, float *nll, fl_err *err);

/* Of the token after the last one, (V) f32; valid until the next call. NULL before the first feed
 * and after a rewind. */
const float *fl_session_logits(const fl_session *s);

int64_t fl_session_length(const fl_session *s);  // tokens read
const int32_t *fl_session_tokens(const fl_session *s);
int64_t fl_session_context(const fl_session *s);
fl_model *fl_session_model(const fl_session *s);
size_t fl_session_cache_bytes(const fl_session *s);

/* fl_group_settle: make now the copies of weights that are else made before steps. */
void fl_session_settle(fl_session *s);

/* Forget all but the first n tokens. Nothing is computed. */
void fl_session_rewind(fl_session *s, int64_t n);

/* Forget `drop` tokens after the first `keep`; see fl_sequence_shift. */
FL_MUST_USE fl_status fl_session_shift(fl_session *s, int64_t keep, int64_t drop, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
