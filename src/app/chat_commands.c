/* chat_commands - what a line that begins with a slash does: one row, one function. */
#include <stdio.h>
#include <string.h>

#include "app/chat.h"
#include "app/terminal.h"
#include "base/log.h"
#include "base/text.h"

typedef struct {
    const char *name, *args, *help;
    fl_status (*run)(app_chat *c, const char *rest, fl_err *err);
} command;

static fl_status help(app_chat *c, const char *rest, fl_err *err);

static fl_status set_system(app_chat *c, const char *rest, fl_err *err) {
    FL_TRY(fl_chat_set_system(c->chat, rest, err));
    fl_note(*rest ? "the model is told so from the next answer on" : "no system prompt");
    return FL_OK;
}

static fl_status reset(app_chat *c, const char *rest, fl_err *err) {
    (void)rest, (void)err;
    fl_chat_reset(c->chat);
    fl_note("all forgotten");
    return FL_OK;
}

static fl_status save(app_chat *c, const char *rest, fl_err *err) {
    if (!*rest) return fl_fail(err, FL_ERR_ARG, "/save FILE: which file?");
    FL_TRY(fl_chat_save(c->chat, rest, err));
    fl_note("%zu messages in %s", json_array_size(fl_chat_messages(c->chat)), rest);
    return FL_OK;
}

static fl_status load(app_chat *c, const char *rest, fl_err *err) {
    if (!*rest) return fl_fail(err, FL_ERR_ARG, "/load FILE: which file?");
    FL_TRY(fl_chat_load(c->chat, rest, err));
    fl_note("%zu messages from %s", json_array_size(fl_chat_messages(c->chat)), rest);
    return FL_OK;
}

static fl_status temperature(app_chat *c, const char *rest, fl_err *err) {
    double t;
    if (*rest && (!fl_parse_real(&t, rest) || t < 0 || t > 100))
        return fl_fail(err, FL_ERR_ARG, "/temp %.20s: expected a number, 0 to 100", rest);
    if (*rest) c->generate.sampler.temperature = t;
    fl_note("temperature %g", c->generate.sampler.temperature);
    return FL_OK;
}

static fl_status stats(app_chat *c, const char *rest, fl_err *err) {
    char cache[FL_HUMAN];
    int64_t fresh = c->n_prompt - c->n_reused;
    double read = c->prompt_seconds, wrote = c->generate_seconds;
    (void)rest, (void)err;
    fl_note("answers   %lld of %zu messages", (long long)c->n_answers,
            json_array_size(fl_chat_messages(c->chat)));
    fl_note("read      %lld tokens, %.0f tok/s; %lld more were known already", (long long)fresh,
            read > 0 ? (double)fresh / read : 0, (long long)c->n_reused);
    fl_note("wrote     %lld tokens, %.1f tok/s", (long long)c->n_generated,
            wrote > 0 ? (double)c->n_generated / wrote : 0);
    fl_note("context   %lld of %lld tokens, cache %s", (long long)fl_session_length(c->session),
            (long long)fl_session_context(c->session),
            fl_human_bytes((double)fl_session_cache_bytes(c->session), cache));
    return FL_OK;
}

static fl_status retry(app_chat *c, const char *rest, fl_err *err) {
    (void)rest;
    return app_chat_retry(c, err);
}

static fl_status show_prompt(app_chat *c, const char *rest, fl_err *err) {
    fl_text text = {0};
    (void)rest;
    fl_status s = fl_chat_prompt(c->chat, &text, err);
    if (s == FL_OK) app_aside(fl_text_str(&text));
    fl_text_clear(&text);
    return s;
}

static fl_status quit(app_chat *c, const char *rest, fl_err *err) {
    (void)rest, (void)err;
    c->done = true;
    return FL_OK;
}

static const command commands[] = {
    {"/help", "", "list these commands", help},
    {"/system", "[TEXT]", "tell the model something before all else, or nothing", set_system},
    {"/reset", "", "forget the conversation", reset},
    {"/retry", "", "answer the last message again", retry},
    {"/save", "FILE", "write the conversation as JSON", save},
    {"/load", "FILE", "go on with a conversation that was saved", load},
    {"/temp", "[X]", "set the temperature; 0 always takes the likeliest token", temperature},
    {"/stats", "", "tokens, speed and memory so far", stats},
    {"/show-prompt", "", "print what the model would read now", show_prompt},
    {"/quit", "", "end; so does Ctrl-D", quit},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static fl_status help(app_chat *c, const char *rest, fl_err *err) {
    (void)c, (void)rest, (void)err;
    for (int i = 0; i < N_COMMANDS; i++) {
        char usage[40];
        snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].args);
        fl_note("%-18s %s", usage, commands[i].help);
    }
    fl_note(
        "\"\"\" begins and ends a message of several lines; so does a backslash at the end of a "
        "line");
    return FL_OK;
}

const char *const *app_chat_command_words(void) {
    static const char *words[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++) words[i] = commands[i].name;
    return words;
}

fl_status app_chat_command(app_chat *c, const char *line, fl_err *err) {
    size_t n = strcspn(line, " \t\n");
    char typed[40];
    for (int i = 0; i < N_COMMANDS; i++)
        if (strlen(commands[i].name) == n && memcmp(commands[i].name, line, n) == 0)
            return commands[i].run(c, line + n + strspn(line + n, " \t"), err);
    snprintf(typed, sizeof typed, "%.*s", (int)(n < 30 ? n : 30), line);
    const char *near = fl_nearest(typed, app_chat_command_words());
    return fl_fail(err, FL_ERR_ARG, "unknown command %s; %s%s%s", typed,
                   near ? "did you mean " : "see ", near ? near : "/help", near ? "?" : "");
}
