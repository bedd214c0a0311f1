/* template_named.c - templates by name, and what a tokenizer says to its template. */
#include <string.h>

#include "base/json.h"
#include "token/internal.h"
#include "token/template.h"

static const fl_named_template rows[] = {
#define TEMPLATE(name, stop, marker, source) {#name, source, stop, marker},
#include "token/templates.def"
#undef TEMPLATE
};
enum { N_ROWS = sizeof rows / sizeof *rows };

const fl_named_template *fl_template_named(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

const char *fl_template_names(void) {
#define TEMPLATE(name, stop, marker, source) ", " #name
    static const char names[] =
#include "token/templates.def"
        ;
#undef TEMPLATE
    return names + 2;
}

const fl_named_template *fl_template_suggest(const fl_tokenizer *t) {
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].marker && fl_tokenizer_id(t, rows[i].marker) >= 0) return &rows[i];
    return NULL;
}

fl_status fl_template_choose(const char **source, const char *own, const char *name,
                             const fl_tokenizer *t, fl_err *err) {
    const fl_named_template *row = name ? fl_template_named(name) : NULL;
    if (name && !row)
        return fl_fail(err, FL_ERR_ARG, "no chat template is called \"%.40s\"; there are: %s", name,
                       fl_template_names());
    if (row || own) {
        *source = row ? row->source : own;
        return FL_OK;
    }
    row = t ? fl_template_suggest(t) : NULL;
    if (row)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no chat template; its vocabulary is made for \"%s\": name "
                       "that one, or another of: %s",
                       row->name, fl_template_names());
    return fl_fail(err, FL_ERR_ARG,
                   "the model has no chat template; name the one it was tuned on, or plain if it "
                   "was "
                   "not: %s",
                   fl_template_names());
}

/* ---- special tokens ---- */

static const char *const token_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

static void put_token(json_t *to, const fl_tokenizer *t, const char *name, int32_t id) {
    size_t n = 0;
    const uint8_t *bytes = id >= 0 ? fl_token_bytes(t, id, &n) : NULL;
    if (bytes) json_object_set_new(to, name, json_stringn((const char *)bytes, n));
}

/* As tokenizer_config.json has them: a text, or an object with a content. */
static void put_config(json_t *to, const char *text) {
    json_t *config;
    if (fl_json_parse(&config, text, strlen(text), "tokenizer_config.json", NULL) != FL_OK) return;
    for (size_t i = 0; i < sizeof token_names / sizeof *token_names; i++) {
        json_t *v = json_object_get(config, token_names[i]);
        if (json_is_object(v)) v = json_object_get(v, "content");
        if (json_is_string(v)) json_object_set(to, token_names[i], v);
    }
    json_decref(config);
}

json_t *fl_template_variables(const fl_tokenizer *t) {
    json_t *out = json_object();
    if (!out) return NULL;
    put_token(out, t, "bos_token", fl_tokenizer_bos(t));
    put_token(out, t, "eos_token", fl_tokenizer_eos(t));
    if (t->config) put_config(out, t->config);
    return out;
}
