/* chat.h - a conversation with a model: what was said, and the next answer.
 *
 *     fl_chat *c;
 *     if (fl_chat_new(&c, session, &(fl_chat_opts){.system = "Be brief."}, &err) != FL_OK) ...
 *     fl_chat_answer a;
 *     fl_generate_opts o = {.sampler = {.temperature = 0.8}, .emit = show};
 *     fl_chat_say(c, "What is a cat?", &o, &a, &err);  // streams through o.emit
 *     fl_chat_again(c, &o, &a, &err);                  // another answer to the same question
 *
 * Messages are those of the field: {"role": "system" | "user" | "assistant", "content": text}. The
 * model's chat template turns all of them into one prompt each time; what the session holds of it
 * already is not read again, so a turn costs what is new in it. An answer ends where the template
 * ends an assistant's message.
 *
 * A conversation that no longer fits the context is an error, or, if so told, its oldest turns are
 * left out of the prompt and the answer says how many. They stay among the messages.
 *
 * A chat belongs to one thread. The session must outlive it and is used by nobody else
 * meanwhile. */
#ifndef FL_INFER_CHAT_H
#define FL_INFER_CHAT_H

#include "infer/generate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_chat fl_chat;

typedef struct {
    const char *template_name;  // one of fl_template_names; NULL: see the next
    const char *template_text;  // Jinja; NULL: the model's own
    const json_t *variables;    // of the template besides the special tokens; NULL: none
    const char *system;         // what the model is told first; NULL: nothing
    bool parse_special;         // special tokens in messages are control, not text (untrusted.h)
    const char *prompt_cache;   // file for what is read before the first answer (prompt_cache.h);
                                // NULL: none. Kept by the caller
    bool shift;                 // too long: leave out the oldest turns, instead of failing
    void (*show_prompt)(void *ctx, const char *text, size_t n);  // before it is read; may be NULL
    void *ctx;
} fl_chat_opts;

/* The model needs a tokenizer, and a template of its own or a named one. */
FL_MUST_USE fl_status fl_chat_new(fl_chat **out, fl_session *s, const fl_chat_opts *o, fl_err *err);
void fl_chat_free(fl_chat *c);  // NULL is allowed

typedef struct {
    fl_generate_result generated;
    int64_t n_left_out;  // messages that did not fit
    int64_t n_cached;    // tokens of the prompt that were in the file
} fl_chat_answer;

/* Ask, and answer. On failure nothing was said. What `o` says of stop strings, end tokens and
 * sliding is taken besides what the chat knows itself; each answer has a random stream of its own.
 * A cancelled answer stays as far as it came. */
FL_MUST_USE fl_status fl_chat_say(fl_chat *c, const char *text, const fl_generate_opts *o,
                                  fl_chat_answer *out, fl_err *err);

/* Answer the last question again. On failure, also where none was asked, the old answer stays. */
FL_MUST_USE fl_status fl_chat_again(fl_chat *c, const fl_generate_opts *o, fl_chat_answer *out,
                                    fl_err *err);

/* The text that the model would read to answer now. */
FL_MUST_USE fl_status fl_chat_prompt(const fl_chat *c, fl_text *out, fl_err *err);

FL_MUST_USE fl_status fl_chat_set_system(fl_chat *c, const char *text, fl_err *err);  // "" removes
void fl_chat_reset(fl_chat *c);  // forget all but what the model was told first
const json_t *fl_chat_messages(const fl_chat *c);
int32_t fl_chat_end(
    const fl_chat *c);  // the token that ends an answer besides the model's; -1: none

/* {"messages": [..]}. Loading replaces all messages; on failure they stay. */
FL_MUST_USE fl_status fl_chat_save(const fl_chat *c, const char *path, fl_err *err);
FL_MUST_USE fl_status fl_chat_load(fl_chat *c, const char *path, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
