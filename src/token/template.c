/* template.c - parsing a template once, rendering it with a conversation. */
#include "token/template.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "token/jinja/jinja.h"

struct fl_template {
    fl_arena arena;  // all of it
    const fli_node *statements;
};

enum {
    SOURCE_MAX = 1 << 20,  // the largest published one is 30 KB
    STEPS = 20000000,
    DEPTH = 1000,
    OUTPUT = 64 << 20,
    MEMORY = 256 << 20,
    ARENA_BLOCK = 1 << 14
};

fl_status fl_template_parse(fl_template **out, const char *source, size_t n, fl_err *err) {
    if (n > SOURCE_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "a template of %zu bytes, at most %d are read", n,
                       SOURCE_MAX);
    fl_template *t = fl_alloc_small(sizeof *t);
    if (!t) return fl_fail(err, FL_ERR_NOMEM, "a template");
    fl_arena_init(&t->arena, ARENA_BLOCK);
    fli_lexemes lexemes = {0};
    fl_err why = {0};
    fl_status s = fli_lex(&lexemes, &t->arena, source, n, &why);
    if (s == FL_OK) {
        fli_parser p = {.at = lexemes.lexeme, .arena = &t->arena, .err = &why};
        t->statements = fli_parse_template(&p);
        s = t->statements ? FL_OK : why.code;
    }
    fli_lexemes_clear(&lexemes);
    if (s == FL_OK) {
        *out = t;
        return FL_OK;
    }
    fl_template_free(t);
    return fl_fail(err, s, "%s", why.msg);
}

void fl_template_free(fl_template *t) {
    if (!t) return;
    fl_arena_free(&t->arena);
    fl_dealloc(t);
}

/* ---- JSON to values ---- */

static fli_val from_json(fli_run *r, const json_t *j);

static fli_val from_object(fli_run *r, const json_t *j) {
    fli_val dict = fli_dict_new(r, FLI_DICT);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)j, key, v)
        fli_put(r, dict, fli_str(r, key, strlen(key)), from_json(r, v));
    return dict;
}

static fli_val from_array(fli_run *r, const json_t *j) {
    fli_val list = fli_list_new(r, FLI_LIST);
    for (size_t i = 0; i < json_array_size(j) && r->status == FL_OK; i++)
        fli_push(r, list, from_json(r, json_array_get(j, i)));
    return list;
}

static fli_val from_json(fli_run *r, const json_t *j) {
    fli_val v = fli_none();
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (fli_deeper(r)) v = json_is_object(j) ? from_object(r, j) : from_array(r, j);
        r->depth++;
        return v;
    case JSON_STRING: return fli_str(r, json_string_value(j), json_string_length(j));
    case JSON_INTEGER: return fli_int(json_integer_value(j));
    case JSON_REAL: return fli_real(json_real_value(j));
    case JSON_TRUE: return fli_bool(true);
    case JSON_FALSE: return fli_bool(false);
    case JSON_NULL: break;
    }
    return v;
}

/* ---- messages ---- */

/* The standard name, and older ones that templates still read. */
static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};
enum { N_REASONING = sizeof reasoning_names / sizeof *reasoning_names };

static const json_t *reasoning_of(const json_t *message) {
    for (int i = 0; i < N_REASONING; i++) {
        const json_t *v = json_object_get(message, reasoning_names[i]);
        if (v && !json_is_null(v)) return v;
    }
    return NULL;
}

/* As transformers hands it to templates: "thinking" first where the message has none, null fields
 * left out, reasoning_content last where the message has none. */
static fli_val from_message(fli_run *r, const json_t *message) {
    fli_val out = fli_dict_new(r, FLI_DICT);
    const json_t *reasoning = reasoning_of(message);
    const char *key;
    json_t *v;
    if (reasoning && r->status == FL_OK)
        fli_put(r, out, fli_literal("thinking"), from_json(r, reasoning));
    json_object_foreach((json_t *)message, key, v)
        if (!json_is_null(v)) fli_put(r, out, fli_str(r, key, strlen(key)), from_json(r, v));
    if (reasoning && r->status == FL_OK)
        fli_put(r, out, fli_literal("reasoning_content"), from_json(r, reasoning));
    return out;
}

static fli_val from_messages(fli_run *r, const json_t *messages) {
    fli_val list = fli_list_new(r, FLI_LIST);
    if (!json_is_array(messages)) return fli_fail(r, "messages: a list is wanted");
    for (size_t i = 0; i < json_array_size(messages) && r->status == FL_OK; i++) {
        const json_t *m = json_array_get(messages, i);
        if (!json_is_object(m)) return fli_fail(r, "messages[%zu]: an object is wanted", i);
        fli_push(r, list, from_message(r, m));
    }
    return list;
}

/* ---- going on with the last message ---- */

/* Put after what is to be continued, and looked for in the text: it shows where the message ends
 * there, and whether the template kept the spaces before its end. */
static const char mark[] = "CONTINUE_FINAL_MESSAGE_TAG ";

/* The text to mark: the content of the last message, or its last part that is text. */
static fli_val *final_text(fli_run *r, fli_val messages) {
    fli_list *l = messages.as.list;
    fli_val *content = l->n ? fli_get_name(l->item[l->n - 1].as.dict, "content", 7) : NULL;
    if (content && content->kind == FLI_STR) return content;
    for (size_t i = content && content->kind == FLI_LIST ? content->as.list->n : 0; i-- > 0;) {
        const fli_val part = content->as.list->item[i];
        fli_val *text = part.kind == FLI_DICT ? fli_get_name(part.as.dict, "text", 4) : NULL;
        if (text && text->kind == FLI_STR) return text;
    }
    fli_fail(r, "there is no text in the last message to go on with");
    return NULL;
}

static size_t find_last_mark(const fl_text *t) {
    const size_t n = sizeof mark - 2;  // without its space
    for (size_t at = t->n < n ? 0 : t->n - n + 1; at-- > 0;)
        if (memcmp(t->data + at, mark, n) == 0) return at;
    return t->n;
}

/* End the text there, and what the assistant says too. */
static void cut_at_mark(fli_run *r, fl_text *t, fl_span *span, size_t n_spans) {
    const size_t at = find_last_mark(t), n = sizeof mark - 1;
    if (at == t->n) {
        fli_fail(r, "the template leaves out the last message's end: no going on with it");
        return;
    }
    const bool kept = at + n <= t->n && memcmp(t->data + at, mark, n) == 0;
    t->n = kept ? at : fli_rstrip(t->data, at);
    t->data[t->n] = 0;
    for (size_t i = 0; i < n_spans; i++) {
        if (span[i].begin > t->n) span[i].begin = t->n;
        if (span[i].end > t->n) span[i].end = t->n;
    }
}

/* ---- rendering ---- */

static void put(fli_run *r, fli_val to, const char *name, fli_val v) {
    fli_put(r, to, fli_literal(name), v);
}

static fli_val variables(fli_run *r, const fl_conversation *c) {
    fli_val all = c->variables ? from_json(r, c->variables) : fli_dict_new(r, FLI_DICT);
    if (r->status == FL_OK && all.kind != FLI_DICT)
        return fli_fail(r, "variables: an object is wanted");
    const fli_val messages = from_messages(r, c->messages);
    fli_val *text = NULL;
    if (c->continue_final_message && r->status == FL_OK) text = final_text(r, messages);
    if (text) *text = fli_arithmetic(r, '+', *text, fli_literal(mark));
    put(r, all, "messages", messages);
    put(r, all, "tools", from_json(r, c->tools));
    put(r, all, "documents", from_json(r, c->documents));
    put(r, all, "add_generation_prompt", fli_bool(c->add_generation_prompt));
    return all;
}

static void run_init(fli_run *r, const fl_conversation *c, fl_err *err) {
    const fl_template_limits *l = &c->limits;
    *r = (fli_run){.steps = l->steps ? l->steps : STEPS,
                   .depth = l->depth ? l->depth : DEPTH,
                   .memory = l->memory ? l->memory : MEMORY,
                   .output = l->output ? l->output : OUTPUT,
                   .now = c->now ? c->now : (int64_t)time(NULL),
                   .err = err};
    if (r->memory > UINT32_MAX / 2) r->memory = UINT32_MAX / 2;  // lengths of strings are 32 bits
    fl_arena_init(&r->arena, ARENA_BLOCK);
}

fl_status fl_template_render(const fl_template *t, const fl_conversation *c, fl_rendered *out,
                             fl_err *err) {
    fli_run r;
    fl_text text = {0}, spans = {0};
    run_init(&r, c, err);
    r.out = &text;
    r.spans = &spans;
    const fli_val all = variables(&r, c);
    if (r.status == FL_OK) {
        r.variables = all.as.dict;
        fli_exec(&r, t->statements);
    }
    fl_span *assistant = (fl_span *)(void *)spans.data;
    const size_t n_assistant = spans.n / sizeof *assistant;
    if (r.status == FL_OK && c->continue_final_message)
        cut_at_mark(&r, &text, assistant, n_assistant);
    fl_arena_free(&r.arena);
    if (r.status != FL_OK) {
        fl_text_clear(&text);
        fl_text_clear(&spans);
        return r.status;
    }
    fl_rendered_clear(out);
    *out = (fl_rendered){.text = text,
                         .assistant = (fl_span *)(void *)spans.data,
                         .n_assistant = spans.n / sizeof(fl_span),
                         .n_unplaced = r.n_unplaced};
    return FL_OK;
}

void fl_rendered_clear(fl_rendered *r) {
    fl_text_clear(&r->text);
    fl_dealloc(r->assistant);
    *r = (fl_rendered){0};
}
