/* untrusted.h - special tokens that somebody wrote into a message are text, not control.
 *
 *     fli_untrusted u;
 *     fli_untrusted_init(&u, tokenizer, &err);            // once
 *     json_t *marked = fli_untrusted_mark(&u, messages);  // what the template renders
 *     fli_bars bars = {0};
 *     fli_untrusted_take(&rendered.text, &bars, &err);    // the text as it would have been
 *     fl_encode(t, text, n, &(fl_encode_opts){.bar = bars.at, .n_bars = bars.n}, &ids, &err);
 *
 * A template writes control tokens around messages, so its text has to be read with them, and
 * "<|im_end|>" in a question would end the question. Before a template sees the messages, a mark is
 * put behind the first character of each special token in them; where marks come out, no special
 * token is read across that place. A mark is two noncharacters (U+FDD0 U+FDD1), which no text has
 * that is meant for others; those that one has all the same are lost. The assistant's messages are
 * the model's own and stay: templates look for tokens in them. */
#ifndef FL_INFER_UNTRUSTED_H
#define FL_INFER_UNTRUSTED_H

#include <jansson.h>

#include "base/text.h"
#include "token/tokenizer.h"

typedef struct {
    fl_text *special;  // n of them, as texts
    size_t n;
} fli_untrusted;

FL_MUST_USE fl_status fli_untrusted_init(fli_untrusted *u, const fl_tokenizer *t, fl_err *err);
void fli_untrusted_clear(fli_untrusted *u);

/* A copy with the marks; NULL when memory is exhausted. The caller owns it. */
json_t *fli_untrusted_mark(const fli_untrusted *u, const json_t *messages);

typedef struct {
    size_t *at;  // ascending byte positions
    size_t n;
} fli_bars;  // zero is empty; freed by fl_dealloc(at)

/* Take the marks out of a text and say where they were. */
FL_MUST_USE fl_status fli_untrusted_take(fl_text *text, fli_bars *out, fl_err *err);

#endif
