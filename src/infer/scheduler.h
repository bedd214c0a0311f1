/* scheduler.h - many prompts continued by one model, several at a time: requests come and go while
 * the others are being written (continuous batching).
 *
 *     fl_scheduler *s;
 *     fl_scheduler_new(&s, group, &(fl_scheduler_opts){.parallel = 8}, &err);
 *     fl_request r = {.id = ids, .n = n, .opts = &opts, .done = done, .ctx = &mine};
 *     fl_scheduler_add(s, &r, &err);                      // at any time, also from `done`
 *     for (bool busy = true; busy;) fl_scheduler_step(s, &busy, &err);
 *
 * A step decodes one token for every text that is being written, all in one step of the model, and
 * reads one piece of one prompt, those that came first first; so a long prompt delays the others by
 * its pieces only. A request gets the bytes that fl_generate gives it alone, whatever else is there
 * (infer/group.h says why).
 *
 * A prompt that begins as one that was read, of a text being written or one of the last ones that
 * ended, takes the beginning from there.
 *
 * Memory. Where the group has a limit of tokens, a request begins when what it may need in the end
 * is free, so none is stopped midway; one that needs more than there is fails.
 *
 * Belongs to one thread, which calls emit and done. */
#ifndef FL_INFER_SCHEDULER_H
#define FL_INFER_SCHEDULER_H

#include "infer/generate.h"
#include "infer/group.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t parallel;  // texts written at once, 1 to FL_GROUP_ROWS; 0: 8
    int64_t keep;      // ended prompts kept for their beginnings; 0: as many as parallel, -1: none
} fl_scheduler_opts;

typedef struct fl_scheduler fl_scheduler;
FL_MUST_USE fl_status fl_scheduler_new(fl_scheduler **out, fl_group *g, const fl_scheduler_opts *o,
                                       fl_err *err);
void fl_scheduler_free(fl_scheduler *s);  // requests that are left are dropped without `done`

/* A prompt of n > 0 tokens, which are copied. `opts` must live until `done`; of it, draft and
 * lookup are not for several texts at once and must not be set. `done` is called once, with the
 * result, or with why it failed: a request's failure is nobody else's. */
typedef struct {
    const int32_t *id;
    int64_t n;
    const fl_generate_opts *opts;
    void (*done)(void *ctx, const fl_generate_result *r, fl_status status, const fl_err *err);
    void *ctx;  // of done; emit has its own
} fl_request;
FL_MUST_USE fl_status fl_scheduler_add(fl_scheduler *s, const fl_request *r, fl_err *err);

/* One step. *busy: there is more to do. Failure is the model's, not a request's. */
FL_MUST_USE fl_status fl_scheduler_step(fl_scheduler *s, bool *busy, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
