/* chat - the terminal side of a conversation.
 *
 * The answer goes to standard output and nothing else does when that is no terminal; figures,
 * prompts that were asked for and complaints go to standard error. */
#include "app/chat.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/grammar_flags.h"
#include "app/io.h"
#include "app/model_flags.h"
#include "app/sampler_flags.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "base/log.h"
#include "token/tokenizer.h"

enum { TEXT_MAX = 1 << 20 };
static const char block_mark[] = "\"\"\"";

/* ---- signals ---- */

static volatile sig_atomic_t terminated;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    fl_interrupt();
    app_line_wake();
}

static void on_terminate(int signal_number) {
    terminated = 1;
    signal(signal_number, SIG_DFL);
    on_interrupt(signal_number);
}

/* On a terminal Ctrl-C ends an answer or a line; anywhere else what it usually does. A write that
 * it comes into goes on: stdio would call it a failure of standard output for ever. */
static void handle_signals(bool terminal) {
    struct sigaction interrupt = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART},
                     terminate = {.sa_handler = on_terminate};
    sigaction(SIGTERM, &terminate, NULL);
    if (terminal) sigaction(SIGINT, &interrupt, NULL);
}

/* An answer was stopped, and we go on. */
static bool survive_interrupt(const app_chat *c) {
    if (!c->terminal || terminated) return false;
    fl_interrupt_reset();
    return true;
}

/* A Ctrl-C between two lines on a terminal counts for the line that comes. */
static bool must_stop(const app_chat *c) {
    return c->terminal ? terminated : fl_interrupted();
}

/* ---- answers ---- */

static bool show_piece(void *ctx, const fl_generated *g) {
    const app_chat *c = ctx;
    if (c->json) return true;
    app_show_text(g->text, g->n);
    return fflush(stdout) == 0;
}

static void show_prompt(void *ctx, const char *text, size_t n) {
    (void)ctx, (void)n;
    app_aside(text);
}

static double per_second(int64_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void note_figures(const app_chat *c, const fl_chat_answer *a) {
    const fl_generate_result *r = &a->generated;
    int64_t context = fl_session_context(c->session), used = fl_session_length(c->session);
    char text[200];
    snprintf(text, sizeof text,
             "%lld tokens, %.1f tok/s; read %lld of %lld, %.0f tok/s; context %lld of %lld%s",
             (long long)r->n_generated, per_second(r->n_generated, r->generate_seconds),
             (long long)(r->n_prompt - r->n_reused), (long long)r->n_prompt,
             per_second(r->n_prompt - r->n_reused, r->prompt_seconds), (long long)used,
             (long long)context, r->finish == FL_FINISH_CANCELLED ? "; stopped" : "");
    app_aside(text);
    if (a->n_left_out)
        fl_warn("the context is full: the oldest %lld messages are left out",
                (long long)a->n_left_out);
    if (r->n_shifts)
        fl_warn("the context filled while answering: its older half was forgotten %lld times",
                (long long)r->n_shifts);
    if (r->finish == FL_FINISH_CONTEXT)
        fl_warn(
            "the context is full and the answer cut; /reset begins anew, --context-shift leaves "
            "out the oldest turns");
    if (r->finish == FL_FINISH_LENGTH) fl_note("stopped after --max-tokens");
}

static void count(app_chat *c, const fl_generate_result *r) {
    c->n_answers++;
    c->n_prompt += r->n_prompt;
    c->n_reused += r->n_reused;
    c->n_generated += r->n_generated;
    c->prompt_seconds += r->prompt_seconds;
    c->generate_seconds += r->generate_seconds;
}

static fl_status print_json(const app_chat *c, const fl_generate_result *r, fl_err *err) {
    const json_t *all = fl_chat_messages(c->chat);
    json_t *last = json_array_get(all, json_array_size(all) - 1);
    return app_print_json(json_pack("{s:s, s:O, s:s, s:I, s:I, s:f, s:f}", "role", "assistant",
                                    "content", json_object_get(last, "content"), "finish",
                                    fl_finish_name(r->finish), "prompt_tokens",
                                    (json_int_t)r->n_prompt, "generated_tokens",
                                    (json_int_t)r->n_generated, "prompt_seconds", r->prompt_seconds,
                                    "generate_seconds", r->generate_seconds),
                          err);
}

/* After an answer, or the failure to give one. */
static fl_status finish(app_chat *c, fl_status s, const fl_chat_answer *a, fl_err *err) {
    if (s != FL_OK) return s;
    count(c, &a->generated);
    if (c->json) FL_TRY(print_json(c, &a->generated, err));
    else putchar('\n');
    FL_TRY(app_flush(err));
    note_figures(c, a);
    return FL_OK;
}

static fl_status say(app_chat *c, const char *text, fl_err *err) {
    fl_chat_answer a;
    return finish(c, fl_chat_say(c->chat, text, &c->generate, &a, err), &a, err);
}

fl_status app_chat_retry(app_chat *c, fl_err *err) {
    fl_chat_answer a;
    return finish(c, fl_chat_again(c->chat, &c->generate, &a, err), &a, err);
}

/* ---- lines ---- */

static bool ends_with(const fl_text *t, const char *end) {
    size_t n = strlen(end);
    return t->n >= n && memcmp(t->data + t->n - n, end, n) == 0;
}

static void cut(fl_text *t, size_t n) {
    t->n -= n;
    t->data[t->n] = '\0';
}

static bool begins_block(const fl_text *t) {
    return strncmp(fl_text_str(t), block_mark, strlen(block_mark)) == 0;
}

/* The message goes on: its block is open, or its line ends in a backslash, which goes. */
static bool goes_on(fl_text *t, bool block) {
    if (block) return t->n < 2 * strlen(block_mark) || !ends_with(t, block_mark);
    if (!ends_with(t, "\\")) return false;
    cut(t, 1);
    return true;
}

/* What is between the marks; a newline beside a mark is not part of it. */
static void strip_block(fl_text *t) {
    const size_t mark = strlen(block_mark);
    if (t->n >= 2 * mark && ends_with(t, block_mark)) cut(t, mark);
    if (t->n > mark && ends_with(t, "\n")) cut(t, 1);
    size_t skip = mark + (t->data[mark] == '\n');
    memmove(t->data, t->data + skip, t->n - skip + 1);
    t->n -= skip;
}

/* One message, of several lines if it says so. */
static app_line_result read_message(app_line *l, fl_text *out) {
    fl_text_clear(out);
    app_line_result r = app_line_read(l, "> ", out);
    bool block = begins_block(out);
    while (r == LINE_READ && goes_on(out, block)) {
        fl_text_puts(out, "\n");
        r = app_line_read(l, "... ", out);
    }
    if (r == LINE_INTERRUPTED || out->failed) return r;
    if (block) strip_block(out);
    return out->n ? LINE_READ : r;  // the end of the input ends a message too
}

/* One line of the conversation. On a terminal a failure is said and forgotten. */
static fl_status take(app_chat *c, const char *text, fl_err *err) {
    fl_status s = *text == '/' ? app_chat_command(c, text, err) : say(c, text, err);
    if (fl_interrupted()) survive_interrupt(c);
    if (s == FL_OK || !c->terminal) return s;
    app_complain(err->msg);
    return FL_OK;
}

static fl_status converse(app_chat *c, app_line *l, fl_err *err) {
    fl_text text = {0};
    fl_status s = FL_OK;
    bool asked_to_end = false;
    while (s == FL_OK && !c->done && !must_stop(c)) {
        app_line_result r = read_message(l, &text);
        if (r == LINE_END) break;
        if (r == LINE_INTERRUPTED) {
            if (!survive_interrupt(c) || asked_to_end) break;
            asked_to_end = true;
            fl_note("Ctrl-C again, Ctrl-D or /quit ends the conversation");
            continue;
        }
        asked_to_end = false;
        s = fl_text_ok(&text, err);
        if (s == FL_OK && text.n) s = take(c, fl_text_str(&text), err);
    }
    fl_text_clear(&text);
    return s;
}

/* ---- beginning ---- */

static fl_status read_system(const app_args *a, char **text, fl_err *err) {
    const char *said = app_str(a, "system"), *file = app_str(a, "system-file");
    if (said && file) return fl_fail(err, FL_ERR_ARG, "--system and --system-file: which of them?");
    if (file) return fl_file_read(file, TEXT_MAX, text, NULL, err);
    if (!said) return FL_OK;
    *text = fl_strdup(said);
    return *text ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the system prompt");
}

static fl_status open_chat(app_chat *c, fl_err *err) {
    const app_args *a = c->args;
    const char *file = app_str(a, "template-file");
    char *system = NULL, *template = NULL;
    if (file && app_str(a, "template"))
        return fl_fail(err, FL_ERR_ARG, "--template and --template-file: which of them?");
    json_t *variables = json_object();
    fl_status s = read_system(a, &system, err);
    if (s == FL_OK && file) s = fl_file_read(file, TEXT_MAX, &template, NULL, err);
    if (s == FL_OK) s = app_set_values(a, "set", variables, err);
    fl_chat_opts o = {.template_name = app_str(a, "template"),
                      .parse_special = app_bool(a, "parse-special"),
                      .prompt_cache = app_str(a, "prompt-cache"),
                      .template_text = template,
                      .variables = variables,
                      .system = system,
                      .shift = app_bool(a, "context-shift"),
                      .show_prompt = app_bool(a, "show-prompt") ? show_prompt : NULL};
    if (s == FL_OK) s = fl_chat_new(&c->chat, c->session, &o, err);
    if (s == FL_OK && app_str(a, "load")) s = fl_chat_load(c->chat, app_str(a, "load"), err);
    json_decref(variables);
    fl_dealloc(system);
    fl_dealloc(template);
    return s;
}

static void set_options(app_chat *c, const fl_sampler_opts *sampler) {
    const app_args *a = c->args;
    c->generate = (fl_generate_opts){.max_tokens = app_int(a, "max-tokens"),
                                     .sampler = *sampler,
                                     .keep = app_int(a, "keep"),
                                     .keep_special = app_bool(a, "show-special"),
                                     .emit = show_piece,
                                     .ctx = c};
    c->generate.n_stop = app_list(a, "stop", &c->generate.stop);
}

/* What every answer keeps to; it ends with a token that ends one. */
static fl_status read_grammar(app_chat *c, app_grammar *g, fl_err *err) {
    const int32_t end = fl_chat_end(c->chat);
    const fl_generate_opts ends = {.end = &end, .n_end = end >= 0};
    FL_TRY(app_grammar_read(g, c->args, fl_session_model(c->session), &ends, err));
    c->generate.matcher = g->matcher;
    return FL_OK;
}

/* Messages one after the other, or the one of the command line. */
static fl_status talk(app_chat *c, const char *message, fl_err *err) {
    app_line *l;
    if (message && !*message) return fl_fail(err, FL_ERR_ARG, "MESSAGE is empty");
    if (message) return say(c, message, err);
    FL_TRY(app_line_open(&l, "chat_history", app_chat_command_words(), err));
    c->terminal = app_line_edits(l);
    handle_signals(c->terminal);
    if (c->terminal) fl_note("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends");
    fl_status s = converse(c, l, err);
    app_line_close(l);
    return s;
}

fl_status app_chat_run(const app_args *a, const char *path, const char *message, fl_err *err) {
    app_chat c = {.args = a, .json = app_bool(a, "json")};
    app_sampler sampler = {0};
    app_grammar grammar = {0};
    fl_model *m = NULL;
    fl_status s = app_session_open(a, path, &m, &c.session, err);
    if (s == FL_OK) s = app_sampler_read(&sampler, a, m->tokenizer, err);
    if (s == FL_OK) s = open_chat(&c, err);
    if (s == FL_OK) {
        set_options(&c, &sampler.opts);
        s = read_grammar(&c, &grammar, err);
    }
    if (s == FL_OK) s = talk(&c, message, err);
    app_grammar_clear(&grammar);
    app_sampler_clear(&sampler);
    fl_chat_free(c.chat);
    fl_session_free(c.session);
    fl_model_free(m);
    return s;
}
