/* session.h - one text being read and continued by a model: its tokens, and their keys and values.
 *
 *     fl_session *s;
 *     if (fl_session_new(&s, model, &(fl_session_opts){0}, &err) != FL_OK) ...
 *     fl_session_feed(s, prompt, n, &err);           // prefill
 *     for (;;) {
 *         int32_t id = pick(fl_session_logits(s));   // (V), what comes after the last token
 *         fl_session_feed(s, &id, 1, &err);          // decode
 *     }
 *
 * The graph is the one the model trains with, given a cache. It is planned once for each of a few
 * numbers of tokens (1, 4, 16, .. up to the chunk), and what is fed is cut into those. The cache is
 * one block per layer, (1, S, K, D) keys and values; S doubles as the text grows, up to the
 * context.
 *
 * A session belongs to one thread; sessions of one model may run in different threads, each with a
 * pool of its own. The model must outlive it. */
#ifndef FL_INFER_SESSION_H
#define FL_INFER_SESSION_H

#include "backend/program.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FL_COMPUTE_AUTO,
    FL_COMPUTE_F32,
    FL_COMPUTE_BF16
} fl_compute;  // AUTO: bf16 where it is fast

typedef struct {
    int64_t context;     // tokens at most; 0: what the model was made for, which is the limit
    int64_t chunk;       // tokens in one prefill step at most; 0: 512
    fl_compute compute;  // format of products, activations and the cache
    const fl_backend *backend;  // NULL: fl_backend_pick
    fl_pool *pool;              // NULL: the process pool
    fl_packs *packs;  // packed weights shared with other sessions of the model; NULL: its own
} fl_session_opts;

typedef struct fl_session fl_session;
FL_MUST_USE fl_status fl_session_new(fl_session **out, fl_model *m, const fl_session_opts *o,
                                     fl_err *err);
void fl_session_free(fl_session *s);  // NULL is allowed

/* Read n > 0 tokens. More than the context holds is FL_ERR_ARG and reads none of them. */
FL_MUST_USE fl_status fl_session_feed(fl_session *s, const int32_t *id, int64_t n, fl_err *err);

/* Read n > 0 tokens and say how surprising a target was after each: nll[i] = -ln p(target[i] | all
 * up to id[i]), 0 where target[i] < 0. Afterwards there are no logits. */
FL_MUST_USE fl_status fl_session_score(fl_session *s, const int32_t *id, const int32_t *target,
                                       int64_t n, float *nll, fl_err *err);

/* Read n tokens, 1 to FL_SESSION_EACH, and give the logits after each of them, (n, V) f32: the same
 * bytes as after reading them one by one. Valid until the next call. */
enum { FL_SESSION_EACH = 64 };
FL_MUST_USE fl_status fl_session_feed_each(fl_session *s, const int32_t *id, int64_t n,
                                           const float **logits, fl_err *err);

/* Of the token after the last one, (V) f32; valid until the next call. NULL before the first feed
 * and after a rewind. */
const float *fl_session_logits(const fl_session *s);

int64_t fl_session_length(const fl_session *s);  // tokens read
const int32_t *fl_session_tokens(const fl_session *s);
int64_t fl_session_context(const fl_session *s);
fl_model *fl_session_model(const fl_session *s);
size_t fl_session_cache_bytes(const fl_session *s);

/* Forget all but the first n tokens. Nothing is computed. */
void fl_session_rewind(fl_session *s, int64_t n);

/* Forget all but the last n tokens, which are read again as the beginning of a text. */
FL_MUST_USE fl_status fl_session_slide(fl_session *s, int64_t n, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
