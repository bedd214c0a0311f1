/* writing.h - one text being written: from logits to tokens, to text, to an end. It knows neither
 * where logits come from nor who else is writing.
 *
 *     fli_writing w;
 *     fli_writing_init(&w, model, &opts, &err);
 *     fli_writing_prompt(&w, id, n, &err);
 *     while (!w.finished) {
 *         int32_t id;
 *         fli_writing_next(&w, logits, &id, &err);
 *         if (!w.finished) ... read id: logits ...
 *     }
 *     fli_writing_end(&w, &err);                 // what was held back
 *
 * Text waits in `held` between the decoder and the caller: as much of its end as could still become
 * a stop string is kept back. */
#ifndef FL_INFER_WRITING_H
#define FL_INFER_WRITING_H

#include "base/text.h"
#include "infer/generate.h"

typedef struct {
    const fl_model *m;
    const fl_generate_opts *o;
    fl_generate_result r;
    fl_sampler *sampler;
    fl_decoder *decoder;
    fl_candidate *top;  // o->logprobs of them
    fl_text held;
    int64_t V;  // ids that may be picked
    bool finished;
} fli_writing;

/* `o` must outlive it. */
FL_MUST_USE fl_status fli_writing_init(fli_writing *w, const fl_model *m, const fl_generate_opts *o,
                                       fl_err *err);
void fli_writing_clear(fli_writing *w);

/* What stands before the text. */
FL_MUST_USE fl_status fli_writing_prompt(fli_writing *w, const int32_t *id, int64_t n, fl_err *err);

/* The next token; unless the text has ended with it, it is to be read. */
FL_MUST_USE fl_status fli_writing_next(fli_writing *w, const float *logits, int32_t *id,
                                       fl_err *err);

/* A prompt of n tokens that does not fit is an error. */
FL_MUST_USE fl_status fli_generate_check_prompt(int64_t n, int64_t context, fl_err *err);

/* Tokens to forget of a full context of `length`: half of those that may be. 0: there are none. */
int64_t fli_generate_dropped(const fl_generate_opts *o, int64_t n_prompt, int64_t length);

void fli_writing_finish(fli_writing *w, fl_finish why);
FL_MUST_USE fl_status fli_writing_end(fli_writing *w, fl_err *err);

#endif
