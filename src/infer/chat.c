/* chat - a conversation: a list of messages, a template that makes a prompt of them, and a session
 * that reads it.
 *
 * The prompt is made anew for each answer and compared with what the session holds; only what
 * differs is read. So nothing here keeps count of tokens, and whatever happens to the messages
 * (another system prompt, a file loaded, turns left out) the next answer is right. */
#include "infer/chat.h"

#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "base/text.h"
#include "infer/prompt_cache.h"
#include "infer/untrusted.h"
#include "token/template.h"
#include "token/tokenizer.h"

struct fl_chat {
    fl_session *session;
    fl_template *template;
    json_t *messages, *variables;
    fli_untrusted untrusted;
    const char *stop;  // of a named template
    int32_t end;       // the token after an assistant's message; -1: none but the model's own
    fl_chat_opts opts;
    uint64_t n_answers;  // so far, which makes the next one's random stream
};

/* ---- messages ---- */

static json_t *message(const char *role, const char *text, size_t n) {
    json_t *content = json_stringn(text, n);
    return content ? json_pack("{s:s, s:o}", "role", role, "content", content) : NULL;
}

static const char *role_of(const json_t *m) {
    const char *role = json_string_value(json_object_get(m, "role"));
    return role ? role : "";
}

static bool is_role(const json_t *messages, size_t i, const char *role) {
    return i < json_array_size(messages) && strcmp(role_of(json_array_get(messages, i)), role) == 0;
}

static fl_status add(fl_chat *c, const char *role, const char *text, size_t n, fl_err *err) {
    json_t *m = message(role, text, n);
    if (m && json_array_append_new(c->messages, m) == 0) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "a message that is not UTF-8, or no memory for it");
}

static void drop_last(fl_chat *c) {
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

fl_status fl_chat_set_system(fl_chat *c, const char *text, fl_err *err) {
    json_t *m = *text ? message("system", text, strlen(text)) : NULL;
    if (*text && !m) return fl_fail(err, FL_ERR_ARG, "a system prompt that is not UTF-8");
    if (is_role(c->messages, 0, "system")) json_array_remove(c->messages, 0);
    if (m && json_array_insert_new(c->messages, 0, m) != 0)
        return fl_fail(err, FL_ERR_NOMEM, "a system prompt");
    return FL_OK;
}

void fl_chat_reset(fl_chat *c) {
    size_t kept = is_role(c->messages, 0, "system");
    while (json_array_size(c->messages) > kept) drop_last(c);
}

const json_t *fl_chat_messages(const fl_chat *c) {
    return c->messages;
}

int32_t fl_chat_end(const fl_chat *c) {
    return c->end;
}

/* ---- as a file ---- */

fl_status fl_chat_save(const fl_chat *c, const char *path, fl_err *err) {
    json_t *v = json_pack("{s:O}", "messages", c->messages);
    if (!v) return fl_fail(err, FL_ERR_NOMEM, "%s", path);
    fl_status s = fl_json_save(v, path, err);
    json_decref(v);
    return s;
}

static fl_status check_messages(const json_t *list, const char *path, fl_err *err) {
    size_t i;
    const json_t *m;
    if (!json_is_array(list))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected {\"messages\": [..]}", path);
    json_array_foreach(list, i, m) {
        const json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
        if (!json_is_string(role) || !(json_is_string(content) || json_object_get(m, "tool_calls")))
            return fl_fail(err, FL_ERR_FORMAT, "%s: message %zu: expected a role and a content",
                           path, i + 1);
    }
    return FL_OK;
}

fl_status fl_chat_load(fl_chat *c, const char *path, fl_err *err) {
    json_t *v;
    FL_TRY(fl_json_load(&v, path, err));
    json_t *list = json_object_get(v, "messages");
    fl_status s = check_messages(list, path, err);
    if (s == FL_OK) {
        json_decref(c->messages);
        c->messages = json_incref(list);
    }
    json_decref(v);
    return s;
}

/* ---- the prompt ---- */

static fl_status render(const fl_chat *c, const json_t *messages, bool answer, fl_rendered *out,
                        fl_err *err) {
    fl_conversation what = {.messages = messages,
                            .variables = c->variables,
                            .add_generation_prompt = answer};
    fl_status s = fl_template_render(c->template, &what, out, err);
    return s == FL_OK ? s : fl_context(err, s, "the chat template");
}

/* The text, and the places in it where a message has a special token that is none. */
static fl_status render_untrusted(const fl_chat *c, const json_t *messages, fl_rendered *out,
                                  fli_bars *bars, fl_err *err) {
    if (c->opts.parse_special) return render(c, messages, true, out, err);
    json_t *marked = fli_untrusted_mark(&c->untrusted, messages);
    if (!marked) return fl_fail(err, FL_ERR_NOMEM, "the messages");
    fl_status s = render(c, marked, true, out, err);
    json_decref(marked);
    return s == FL_OK ? fli_untrusted_take(&out->text, bars, err) : s;
}

fl_status fl_chat_prompt(const fl_chat *c, fl_text *out, fl_err *err) {
    fl_rendered r = {0};
    fl_status s = render(c, c->messages, true, &r, err);
    if (s == FL_OK) fl_text_append(out, r.text.data, r.text.n);
    fl_rendered_clear(&r);
    return s == FL_OK ? fl_text_ok(out, err) : s;
}

typedef struct {
    fl_rendered text;
    fl_ids ids;
    int64_t n_left_out;  // messages
} prompt;

static void prompt_clear(prompt *p) {
    fl_rendered_clear(&p->text);
    fl_ids_clear(&p->ids);
}

/* These messages as tokens. The template writes the special ones itself. */
static fl_status encode(const fl_chat *c, const json_t *messages, prompt *p, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(c->session)->tokenizer;
    const fl_text *text = &p->text.text;
    fli_bars bars = {0};
    p->ids.n = 0;
    FL_TRY(render_untrusted(c, messages, &p->text, &bars, err));
    const fl_encode_opts how = {.bar = bars.at, .n_bars = bars.n};
    fl_status s = fl_encode(t, fl_text_str(text), text->n, &how, &p->ids, err);
    fl_dealloc(bars.at);
    if (s != FL_OK) return s;
    return p->ids.n ? FL_OK : fl_fail(err, FL_ERR_FORMAT, "the chat template makes no prompt");
}

/* Leave out the oldest turn, a question and what follows it; false if it is the only one. */
static bool drop_turn(json_t *messages) {
    size_t first = is_role(messages, 0, "system"), next = first + 1;
    while (next < json_array_size(messages) && !is_role(messages, next, "user")) next++;
    if (next >= json_array_size(messages)) return false;
    for (; next > first; next--) json_array_remove(messages, first);
    return true;
}

/* As many turns as fill half of the context: leaving some out makes the rest be read again, so that
 * should be rare. */
static fl_status encode_newest(const fl_chat *c, prompt *p, fl_err *err) {
    int64_t half = fl_session_context(c->session) / 2;
    json_t *rest = json_copy(c->messages);
    fl_status s = rest ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the messages");
    while (s == FL_OK && (int64_t)p->ids.n > half && drop_turn(rest)) s = encode(c, rest, p, err);
    p->n_left_out = (int64_t)(json_array_size(c->messages) - json_array_size(rest));
    json_decref(rest);
    return s;
}

/* With room for at least one token of an answer; for a quarter of the context where turns may be
 * left out to make room. */
static fl_status prompt_make(const fl_chat *c, prompt *p, fl_err *err) {
    int64_t context = fl_session_context(c->session), room = c->opts.shift ? context / 4 : 1;
    FL_TRY(encode(c, c->messages, p, err));
    if ((int64_t)p->ids.n + room > context && c->opts.shift) FL_TRY(encode_newest(c, p, err));
    if ((int64_t)p->ids.n < context) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "the conversation has %zu tokens, the context holds %lld",
                   p->ids.n, (long long)context);
}

/* ---- answers ---- */

typedef struct {
    const fl_generate_opts *o;
    fl_text text;
} listener;

/* Keep the text, as what JSON can hold, and hand it on. */
static bool listen(void *ctx, const fl_generated *g) {
    listener *l = ctx;
    fl_text_append_utf8(&l->text, g->text, g->n);
    return !l->text.failed && (!l->o->emit || l->o->emit(l->o->ctx, g));
}

/* The caller's options and what the template adds to them; `stop` has room for one more. */
static fl_generate_opts options(const fl_chat *c, const fl_generate_opts *o, const char **stop,
                                listener *l) {
    fl_generate_opts mine = *o;
    for (int i = 0; i < o->n_stop; i++) stop[i] = o->stop[i];
    if (c->stop) stop[mine.n_stop++] = c->stop;
    mine.stop = stop;
    mine.end = &c->end;
    mine.n_end = c->end >= 0;
    mine.shift = c->opts.shift;
    mine.apart = true;
    mine.sampler.stream += c->n_answers;
    mine.emit = listen;
    mine.ctx = l;
    return mine;
}

/* Read what was said and go on with it. Before the first answer, what a file has of the prompt need
 * not be read. */
static fl_status generate_from(fl_chat *c, const prompt *p, const fl_generate_opts *o,
                               fl_chat_answer *a, fl_err *err) {
    const char *file = fl_session_length(c->session) ? NULL : c->opts.prompt_cache;
    const int64_t n = (int64_t)p->ids.n;
    const double start = fl_now();
    if (file) FL_TRY(fl_prompt_cache_use(c->session, file, p->ids.id, n, &a->n_cached, err));
    const double seconds = fl_now() - start;
    FL_TRY(fl_generate_ids(c->session, p->ids.id, n, o, &a->generated, err));
    if (!file) return FL_OK;
    a->generated.n_reused = a->n_cached;  // the rest was read, if not by fl_generate_ids
    a->generated.prompt_seconds += seconds;
    return FL_OK;
}

static fl_status generate(fl_chat *c, const fl_generate_opts *o, fl_chat_answer *a, fl_text *text,
                          fl_err *err) {
    listener l = {.o = o};
    prompt p = {0};
    const char **stop = fl_alloc(((size_t)o->n_stop + 1) * sizeof *stop);
    fl_status s = stop ? prompt_make(c, &p, err) : fl_fail(err, FL_ERR_NOMEM, "an answer");
    if (s == FL_OK) {
        fl_generate_opts mine = options(c, o, stop, &l);
        if (c->opts.show_prompt)
            c->opts.show_prompt(c->opts.ctx, fl_text_str(&p.text.text), p.text.text.n);
        s = generate_from(c, &p, &mine, a, err);
    }
    a->n_left_out = p.n_left_out;
    prompt_clear(&p);
    fl_dealloc(stop);
    *text = l.text;
    return s == FL_OK ? fl_text_ok(text, err) : s;
}

/* Generate and append the answer. */
static fl_status answer(fl_chat *c, const fl_generate_opts *o, fl_chat_answer *out, fl_err *err) {
    fl_chat_answer a = {0};
    fl_text text;
    fl_status s = generate(c, o, &a, &text, err);
    if (s == FL_OK) s = add(c, "assistant", fl_text_str(&text), text.n, err);
    fl_text_clear(&text);
    if (s != FL_OK) return s;
    c->n_answers++;
    *out = a;
    return FL_OK;
}

fl_status fl_chat_say(fl_chat *c, const char *text, const fl_generate_opts *o, fl_chat_answer *out,
                      fl_err *err) {
    FL_TRY(add(c, "user", text, strlen(text), err));
    fl_status s = answer(c, o, out, err);
    if (s != FL_OK) drop_last(c);
    return s;
}

fl_status fl_chat_again(fl_chat *c, const fl_generate_opts *o, fl_chat_answer *out, fl_err *err) {
    size_t n = json_array_size(c->messages);
    if (n < 2 || !is_role(c->messages, n - 1, "assistant"))
        return fl_fail(err, FL_ERR_ARG, "there is no answer yet");
    json_t *old = json_incref(json_array_get(c->messages, n - 1));
    drop_last(c);
    fl_status s = answer(c, o, out, err);
    if (s != FL_OK) json_array_append(c->messages, old);
    json_decref(old);
    return s;
}

/* ---- making and freeing ---- */

static const char probe_answer[] = "Hello";

/* The token by which the template ends an assistant's message: what follows one when it is written
 * out. Models are often published with another end of text. */
static int32_t find_end(const fl_chat *c) {
    const fl_tokenizer *t = fl_session_model(c->session)->tokenizer;
    json_t *probe = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", "Hi", "role",
                              "assistant", "content", probe_answer);
    fl_rendered r = {0};
    fl_ids ids = {0};
    int32_t end = -1;
    const char *after = NULL;
    if (probe && render(c, probe, false, &r, NULL) == FL_OK)
        for (const char *at = fl_text_str(&r.text); (at = strstr(at, probe_answer)); after = at)
            at += strlen(probe_answer);
    if (after && fl_encode(t, after, strlen(after), &(fl_encode_opts){0}, &ids, NULL) == FL_OK)
        if (ids.n && fl_tokenizer_is_special(t, ids.id[0])) end = ids.id[0];
    fl_ids_clear(&ids);
    fl_rendered_clear(&r);
    json_decref(probe);
    return end;
}

static fl_status parse_template(fl_chat *c, const fl_chat_opts *o, fl_err *err) {
    const fl_model *m = fl_session_model(c->session);
    const char *own = o->template_text ? o->template_text : m->chat_template, *source;
    FL_TRY(fl_template_choose(&source, own, o->template_name, m->tokenizer, err));
    if (o->template_name) c->stop = fl_template_named(o->template_name)->stop;
    fl_status s = fl_template_parse(&c->template, source, strlen(source), err);
    return s == FL_OK ? s : fl_context(err, s, "the chat template");
}

static fl_status chat_init(fl_chat *c, const fl_chat_opts *o, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(c->session)->tokenizer;
    if (!t) return fl_fail(err, FL_ERR_ARG, "the model has no tokenizer");
    c->messages = json_array();
    c->variables = fl_template_variables(t);
    if (!c->messages || !c->variables) return fl_fail(err, FL_ERR_NOMEM, "a conversation");
    if (o->variables) json_object_update(c->variables, (json_t *)(uintptr_t)o->variables);
    FL_TRY(parse_template(c, o, err));
    c->end = find_end(c);
    FL_TRY(fli_untrusted_init(&c->untrusted, t, err));
    return o->system ? fl_chat_set_system(c, o->system, err) : FL_OK;
}

fl_status fl_chat_new(fl_chat **out, fl_session *s, const fl_chat_opts *o, fl_err *err) {
    fl_chat *c = fl_alloc(sizeof *c);
    if (!c) return fl_fail(err, FL_ERR_NOMEM, "a conversation");
    *c = (fl_chat){.session = s, .opts = *o, .end = -1};
    fl_status st = chat_init(c, o, err);
    if (st == FL_OK) *out = c;
    else fl_chat_free(c);
    return st;
}

void fl_chat_free(fl_chat *c) {
    if (!c) return;
    fli_untrusted_clear(&c->untrusted);
    fl_template_free(c->template);
    json_decref(c->messages);
    json_decref(c->variables);
    fl_dealloc(c);
}
