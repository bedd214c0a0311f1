/* writer.h - what `fledge generate` prints: texts as they come, one after the other, though several
 * may be written at once; a line of JSON a text where asked for.
 *
 * The text whose turn it is streams; the others wait in memory until those before them are done. */
#ifndef FL_APP_WRITER_H
#define FL_APP_WRITER_H

#include "app/command.h"
#include "base/json.h"
#include "infer/generate.h"

/* One text. */
typedef struct {
    int64_t index;
    const fl_text *prompt;  // echoed before the text, and in the JSON if `quote_prompt`
    const fl_tokenizer *tokenizer;
    bool json, want_logprobs, echo, quote_prompt;
    bool live;       // it is this one's turn: print as it comes
    fl_text text;    // not printed yet
    json_t *tokens;  // of want_logprobs
} app_writer;

void app_writer_init(app_writer *w, const app_args *a, const fl_tokenizer *t,
                     const fl_text *prompt);
void app_writer_clear(app_writer *w);

bool app_writer_piece(void *writer, const fl_generated *g);  // fl_generate_opts.emit
void app_writer_turn(app_writer *w);                         // it is its turn now

/* The end of a text, in its turn; or, with r NULL, why there is none. */
FL_MUST_USE fl_status app_writer_end(app_writer *w, const fl_generate_result *r, const char *why,
                                     fl_err *err);

/* What a text cost, and what is to be said of its end, on standard error. */
void app_writer_figures(const fl_generate_result *r, int64_t context);

#endif
