/* group.h - several texts read and continued by one model together.
 *
 *     fl_group *g;
 *     fl_group_new(&g, model, &(fl_group_opts){0}, &err);
 *     fl_sequence *s[2];
 *     for (int i = 0; i < 2; i++) {
 *         fl_sequence_new(&s[i], g, &err);
 *         fl_sequence_read(s[i], prompt[i], n[i], &err);   // or piece by piece
 *         id[i] = pick(fl_sequence_logits(s[i]));  // (V), after the last token
 *     }
 *     for (;;) {
 *         const float *logits;
 *         fl_group_row row[2] = {{s[0], id[0]}, {s[1], id[1]}};
 *         fl_group_decode(g, row, 2, &logits, &err);         // one step for both; (2, V)
 *         for (int i = 0; i < 2; i++) id[i] = pick(logits + i * V);
 *     }
 *
 * The weights are read once for all rows of a step, so eight texts cost little more than one.
 *
 * Invariance. The logits after a token, and the keys and values it leaves, are the same bytes
 * whoever shares the step, however a prompt was cut, and at any number of threads. They do depend
 * on whether the token was read as part of a prompt or decoded, whose arithmetic differs in the
 * last bits; so a prefix of a prompt may be taken from another text's prompt (fl_sequence_fork) and
 * nothing changes.
 *
 * Memory. Keys and values lie in pages of 64 tokens, taken as texts grow and given back when they
 * end (infer/pages.h says why); a fork shares pages until one of both writes. `tokens` bounds them
 * all; a step that finds none left is FL_ERR_NOMEM and changes nothing.
 *
 * A group and its sequences belong to one thread at a time. The model must outlive them. */
#ifndef FL_INFER_GROUP_H
#define FL_INFER_GROUP_H

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

/* What keys and values are kept in. Q8_0 and Q4_0 need heads of a multiple of 32. */
typedef enum {
    FL_CACHE_AUTO,  // as computed
    FL_CACHE_F32,
    FL_CACHE_BF16,
    FL_CACHE_F16,
    FL_CACHE_Q8_0,
    FL_CACHE_Q4_0
} fl_cache;

typedef struct {
    int64_t context;     // of a text, at most; 0: what the model was made for, which is the limit
    int64_t tokens;      // kept of all texts at most; 0: no limit but memory
    int64_t chunk;       // tokens in one prefill step at most; 0: 512
    fl_compute compute;  // format of products and activations
    fl_cache cache;
    const fl_backend *backend;  // NULL: fl_backend_pick
    fl_pool *pool;              // NULL: the process pool
    fl_packs *packs;  // packed weights shared with other groups of the model; NULL: its own
    bool lock;        // keep weights in memory (fl_memory_lock)
} fl_group_opts;

typedef struct fl_group fl_group;
FL_MUST_USE fl_status fl_group_new(fl_group **out, fl_model *m, const fl_group_opts *o,
                                   fl_err *err);
void fl_group_free(fl_group *g);  // after its sequences; NULL is allowed

fl_model *fl_group_model(const fl_group *g);
int64_t fl_group_context(const fl_group *g);
size_t fl_group_cache_bytes(const fl_group *g);   // of all pages there are
int64_t fl_group_tokens_free(const fl_group *g);  // that can still be kept; INT64_MAX: no limit

/* Make now the copies of weights that are else made bit by bit before steps, which take half as
 * long again meanwhile: for measuring. Of the steps that were taken so far. */
void fl_group_settle(fl_group *g);

/* An empty text. */
typedef struct fl_sequence fl_sequence;
FL_MUST_USE fl_status fl_sequence_new(fl_sequence **out, fl_group *g, fl_err *err);
void fl_sequence_free(fl_sequence *s);  // NULL is allowed

/* A text that begins with the first n tokens of another. Nothing is computed or copied. */
FL_MUST_USE fl_status fl_sequence_fork(fl_sequence **out, const fl_sequence *from, int64_t n,
                                       fl_err *err);

/* Read n > 0 tokens of a prompt. More than the context holds is FL_ERR_ARG and reads none. */
FL_MUST_USE fl_status fl_sequence_read(fl_sequence *s, const int32_t *id, int64_t n, fl_err *err);

/* Read n > 0 tokens and say how surprising a target was after each: nll[i] = -ln p(target[i] | all
 * up to id[i]), 0 where target[i] < 0. Afterwards there are no logits. */
FL_MUST_USE fl_status fl_sequence_score(fl_sequence *s, const int32_t *id, const int32_t *target,
                                        int64_t n, float *nll, fl_err *err);

/* Of the token after the last one, (V) f32; valid until the next call for any text of the group.
 * NULL before anything was read and after a rewind. */
const float *fl_sequence_logits(const fl_sequence *s);

int64_t fl_sequence_length(const fl_sequence *s);  // tokens read
const int32_t *fl_sequence_tokens(const fl_sequence *s);
void fl_sequence_rewind(fl_sequence *s, int64_t n);  // forget all but the first n tokens

/* Forget `drop` tokens after the first `keep`. What follows them is read again at its new place, so
 * the text goes on as any that is `drop` tokens shorter: nothing is turned or guessed. */
FL_MUST_USE fl_status fl_sequence_shift(fl_sequence *s, int64_t keep, int64_t drop, fl_err *err);

/* One step: each row's token is read at the end of its text. A text may have several rows, which
 * are its next tokens in this order. *logits is (n, V), those after each row, valid until the next
 * call. A row that does not fit its context is FL_ERR_ARG; on failure no row is read. */
typedef struct {
    fl_sequence *sequence;
    int32_t id;
} fl_group_row;
enum { FL_GROUP_ROWS = 64 };  // of a step
FL_MUST_USE fl_status fl_group_decode(fl_group *g, const fl_group_row *row, int64_t n,
                                      const float **logits, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
