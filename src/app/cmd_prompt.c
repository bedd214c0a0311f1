/* cmd_prompt - fledge prompt: a conversation as the text that a model reads. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/io.h"
#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"
#include "token/template.h"

enum { TEMPLATE_MAX_BYTES = 1 << 20 };

typedef struct {
    fl_model *model;
    char *file;  // what --template-file holds, NULL: it is not given
    json_t *conversation, *variables;
    fl_template *template;
    fl_rendered out;
} job;

static void clear(job *j) {
    fl_rendered_clear(&j->out);
    fl_template_free(j->template);
    json_decref(j->variables);
    json_decref(j->conversation);
    fl_dealloc(j->file);
    fl_model_free(j->model);
}

/* A list of messages, or an object that has them with tools, documents and variables. */
static fl_status read_conversation(const app_args *a, job *j, fl_err *err) {
    fl_text text = {0};
    json_t *v;
    FL_TRY(app_read_text(a, 1, "file", &text, err));
    fl_status s = fl_json_parse(&v, fl_text_str(&text), text.n, "messages", err);
    fl_text_clear(&text);
    if (s != FL_OK) return s;
    j->conversation = json_is_object(v) ? v : json_pack("{s:o}", "messages", v);
    return j->conversation ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the messages");
}

/* What the template sees besides the messages: the model's special tokens, what comes with the
 * messages, and --set, the later before the earlier. */
static fl_status collect_variables(const app_args *a, job *j, fl_err *err) {
    j->variables = fl_template_variables(j->model->tokenizer);
    if (!j->variables) return fl_fail(err, FL_ERR_NOMEM, "the template's variables");
    json_t *own = json_object_get(j->conversation, "variables");
    if (own) json_object_update(j->variables, own);
    return app_set_values(a, "set", j->variables, err);
}

static fl_status parse_template(const app_args *a, job *j, fl_err *err) {
    const char *path = app_str(a, "template-file"), *source, *from = "the chat template";
    size_t n;
    if (path) FL_TRY(fl_file_read(path, TEMPLATE_MAX_BYTES, &j->file, &n, err));
    if (path) from = path;
    FL_TRY(fl_template_choose(&source, path ? j->file : j->model->chat_template,
                              app_str(a, "template"), j->model->tokenizer, err));
    const fl_status s = fl_template_parse(&j->template, source, strlen(source), err);
    return s == FL_OK ? s : fl_context(err, s, "%s", from);
}

/* Who speaks next: the assistant, unless it just did. */
static bool assistant_is_next(const json_t *messages) {
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return !role || strcmp(role, "assistant") != 0;
}

static fl_status render(const app_args *a, job *j, fl_err *err) {
    const json_t *c = j->conversation, *messages = json_object_get(c, "messages");
    fl_conversation said = {.messages = messages,
                            .tools = json_object_get(c, "tools"),
                            .documents = json_object_get(c, "documents"),
                            .variables = j->variables,
                            .add_generation_prompt = assistant_is_next(messages),
                            .continue_final_message = app_bool(a, "continue")};
    if (said.continue_final_message) said.add_generation_prompt = false;
    if (app_given(a, "ask")) said.add_generation_prompt = app_bool(a, "ask");
    const fl_status s = fl_template_render(j->template, &said, &j->out, err);
    return s == FL_OK ? s : fl_context(err, s, "the chat template");
}

static json_t *result_json(const fl_rendered *r) {
    json_t *spans = json_array();
    for (size_t i = 0; i < r->n_assistant; i++)
        json_array_append_new(spans, json_pack("[I,I]", (json_int_t)r->assistant[i].begin,
                                               (json_int_t)r->assistant[i].end));
    return json_pack("{s:o, s:o}", "text", app_json_text(fl_text_str(&r->text), r->text.n),
                     "assistant", spans);
}

static fl_status run(const app_args *a, fl_err *err) {
    job j = {0};
    FL_TRY(fl_model_load(&j.model, app_arg(a, 0), &(fl_model_opts){.as_stored = true}, err));
    fl_status s = FL_OK;
    if (!j.model->tokenizer) s = fl_fail(err, FL_ERR_ARG, "%s has no tokenizer", app_arg(a, 0));
    if (s == FL_OK) s = parse_template(a, &j, err);
    if (s == FL_OK) s = read_conversation(a, &j, err);
    if (s == FL_OK) s = collect_variables(a, &j, err);
    if (s == FL_OK) s = render(a, &j, err);
    if (s == FL_OK && app_bool(a, "json")) s = app_print_json(result_json(&j.out), err);
    else if (s == FL_OK) fwrite(fl_text_str(&j.out.text), 1, j.out.text.n, stdout);
    clear(&j);
    return s;
}

static const app_flag flags[] = {
    {"file", 'f', FLAG_STR, "FILE", .help = "read the messages from a file"},
    {"template", 0, FLAG_STR, "NAME",
     .help = "a layout instead of the model's own: chatml, llama3, .."},
    {"template-file", 0, FLAG_STR, "FILE", .help = "a Jinja template instead of the model's own"},
    {"set", 0, FLAG_LIST, "NAME=VALUE", .help = "a variable of the template; may be repeated"},
    {"ask", 0, FLAG_BOOL,
     .help = "end with what begins an answer [unless the assistant spoke last]"},
    {"continue", 0, FLAG_BOOL, .help = "end inside the last message, to go on with it"},
    {0},
};

const app_command cmd_prompt = {
    .name = "prompt",
    .args = "MODEL [MESSAGES]",
    .summary = "show a conversation as the text that a model reads",
    .details =
        "MESSAGES is JSON: a list of {\"role\", \"content\"}, or an object with messages, tools, "
        "documents and variables. Without it and --file, standard input is read. The text comes "
        "out "
        "as it is, with no line end added; --json adds which bytes the assistant says.\n"
        "    fledge prompt smollm2 '[{\"role\": \"user\", \"content\": \"Hi\"}]'\n"
        "    fledge prompt runs/mine --template chatml --file messages.json --set "
        "enable_thinking=false",
    .flags = flags,
    .run = run,
};
