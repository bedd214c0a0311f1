/* batch.h - what the trainer is fed: (B, T) tokens with targets and weights, from any source.
 *
 * A source is a stream of rows that is a pure function of its settings and its position, so that
 * saving the position (a small JSON object) and restoring it continues exactly. */
#ifndef FL_DATA_BATCH_H
#define FL_DATA_BATCH_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All arrays are (B, T), row-major, owned by whoever made the batch. */
typedef struct {
    int64_t B, T;
    int32_t *tokens;
    int32_t *targets;   // next token; -1 where there is none (the end, padding, a prompt)
    float *weight;      // of each target in the loss; 0 where targets < 0
    int32_t *segment;   // number of the document within the row, from 0, never decreasing
    int32_t *position;  // within the document
    double n_targets;   // targets >= 0 in the whole batch
    double n_bytes;     // raw bytes of text those targets stand for: bits per byte divides by this
} fl_batch;

FL_MUST_USE fl_status fl_batch_new(fl_batch *b, int64_t B, int64_t T, fl_err *err);
void fl_batch_clear(fl_batch *b);

typedef struct fl_source fl_source;
typedef struct {
    /* Fill every array of `b`. A finite source that is exhausted sets b->n_targets to 0 and fills
     * with padding. */
    fl_status (*next)(fl_source *s, fl_batch *b, fl_err *err);
    json_t *(*position)(const fl_source *s);  // caller decrefs; NULL on no memory
    fl_status (*seek)(fl_source *s, const json_t *position, fl_err *err);
    void (*close)(fl_source *s);
} fl_source_row;
struct fl_source {
    const fl_source_row *row;  // implementations put their state after this
    double n_tokens;           // in one pass, for epochs; 0 if unknown
    double n_bytes;            // raw bytes in one pass
};

static inline void fl_source_close(fl_source *s) {
    if (s) s->row->close(s);
}

#ifdef __cplusplus
}
#endif

#endif
