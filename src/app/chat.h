/* chat.h - the terminal side of a conversation: lines in, answers out, commands that begin with a
 * slash. What `fledge chat` and `fledge run` share. */
#ifndef FL_APP_CHAT_H
#define FL_APP_CHAT_H

#include "app/command.h"
#include "app/line.h"
#include "infer/chat.h"

/* Converse with the model at `path` as the flags of chat_flags.def say, or answer `message`. */
FL_MUST_USE fl_status app_chat_run(const app_args *a, const char *path, const char *message,
                                   fl_err *err);

/* What the commands work on. */
typedef struct {
    const app_args *args;
    fl_session *session;
    fl_chat *chat;
    fl_generate_opts generate;
    bool terminal, json, done;
    int64_t n_answers, n_prompt, n_reused, n_generated;  // of all answers
    double prompt_seconds, generate_seconds;
} app_chat;

/* chat_commands.c: `line` begins with a slash. */
FL_MUST_USE fl_status app_chat_command(app_chat *c, const char *line, fl_err *err);
const char *const *app_chat_command_words(void);  // "/help", ...; NULL ends

FL_MUST_USE fl_status app_chat_retry(app_chat *c, fl_err *err);

#endif
