/* template.h - chat templates: a conversation as the text its model was trained on.
 *
 *     fl_template *t;
 *     if (fl_template_parse(&t, source, n, &err) != FL_OK) ...        // "line 3: ..."
 *     fl_rendered text = {0};
 *     fl_conversation c = {.messages = list, .add_generation_prompt = true, .variables = specials};
 *     if (fl_template_render(t, &c, &text, &err) == FL_OK) use(text.text.data, text.text.n);
 *     fl_rendered_clear(&text);
 *     fl_template_free(t);
 *
 * A published model carries its template in tokenizer_config.json or in GGUF metadata, written in
 * Jinja (https://jinja.palletsprojects.com/en/stable/templates). This is an interpreter of what
 * such templates use, and what it renders is what transformers' apply_chat_template renders: blocks
 * trimmed, undefined values an error when used, tojson as there. Inheritance and includes are not
 * part of it.
 *
 * Templates are foreign code. A run cannot read files, call out, or look at anything but the values
 * it is given, and is stopped with an error at any of the limits below.
 *
 * A template is immutable after parsing; any number of threads may render it. */
#ifndef FL_TOKEN_TEMPLATE_H
#define FL_TOKEN_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_template fl_template;

/* The source is not kept. Errors name the line. */
FL_MUST_USE fl_status fl_template_parse(fl_template **out, const char *source, size_t n,
                                        fl_err *err);
void fl_template_free(fl_template *t);

/* Zeros are the defaults. */
typedef struct {
    int64_t steps;  // nodes evaluated and items visited; 20 million
    int depth;      // of evaluation, macros included; 1000
    size_t output;  // bytes of text; 64 MiB
    size_t memory;  // bytes of all values made on the way; 256 MiB
} fl_template_limits;

/* What a template sees. Values are borrowed and not changed. */
typedef struct {
    const json_t *messages;       // [{"role": .., "content": ..}, ..]
    const json_t *tools;          // list of JSON schemas, NULL: none
    const json_t *documents;      // list of {"title", "text"}, NULL: none
    const json_t *variables;      // object: bos_token, eos_token, enable_thinking, ...; NULL: none
    bool add_generation_prompt;   // end with what begins the assistant's answer
    bool continue_final_message;  // end inside the last message, for the model to go on with it
    int64_t now;  // what strftime_now formats, in local time: seconds since 1970; 0: this moment
    fl_template_limits limits;
} fl_conversation;

/* Bytes [begin, end) of the text. */
typedef struct {
    size_t begin, end;
} fl_span;

typedef struct {
    fl_text text;
    fl_span *assistant;  // what {% generation %} blocks rendered: what the assistant says
    size_t n_assistant;
    size_t n_unplaced;  // such blocks inside a macro or a captured block: their place is not known
} fl_rendered;          // zero is empty

/* Replaces what is in `out`. As in transformers, a message's null fields are left out, and its
 * reasoning is there under each of its three names (reasoning_content, thinking, reasoning). */
FL_MUST_USE fl_status fl_template_render(const fl_template *t, const fl_conversation *c,
                                         fl_rendered *out, fl_err *err);
void fl_rendered_clear(fl_rendered *r);

/* Templates for models that come without one: layouts that many models were tuned on. */
typedef struct {
    const char *name;    // "chatml"
    const char *source;  // Jinja
    const char *stop;    // an answer ends before this text; NULL: by the model's end token
    const char *marker;  // a token that vocabularies made for it have; NULL: nothing tells
} fl_named_template;
const fl_named_template *fl_template_named(const char *name);  // NULL: there is none
const char *fl_template_names(void);                           // "plain, chatml, .."
/* The one that the vocabulary was made for, NULL: it does not tell. */
const fl_named_template *fl_template_suggest(const fl_tokenizer *t);

/* The template to use: the named one (NULL: none is asked for), else the model's own (NULL: it has
 * none). With neither, and for an unknown name, an error that lists the names and, where the
 * vocabulary (may be NULL) tells, the right one. *source is borrowed. */
FL_MUST_USE fl_status fl_template_choose(const char **source, const char *own, const char *name,
                                         const fl_tokenizer *t, fl_err *err);

/* {"bos_token": .., "eos_token": ..} and the other special tokens there are, for
 * fl_conversation.variables. The caller owns it; NULL when memory is exhausted. */
json_t *fl_template_variables(const fl_tokenizer *t);

#ifdef __cplusplus
}
#endif

#endif
