/* grammar_flags - the grammar that a command's flags ask for. */
#include "app/grammar_flags.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "infer/schema.h"

enum { MAX_FILE = 1 << 20 };

static fl_status grammar_file(app_grammar *g, const char *path, fl_err *err) {
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, MAX_FILE, &text, &n, err));
    fl_status st = fl_grammar_parse(&g->grammar, text, n, err);
    fl_dealloc(text);
    return st == FL_OK ? st : fl_context(err, st, "%s", path);
}

/* A schema is an object, or true or false; anything else is the name of a file. */
static fl_status schema_load(json_t **schema, const char *word, fl_err *err) {
    size_t blank = strspn(word, " \t\n");
    bool typed = word[blank] == '{' || strcmp(word, "true") == 0 || strcmp(word, "false") == 0;
    if (!typed) return fl_json_load(schema, word, err);
    return fl_json_parse(schema, word, strlen(word), "--json-schema", err);
}

static fl_status schema_grammar(app_grammar *g, const char *word, fl_err *err) {
    json_t *schema;
    fl_text text = {0};
    FL_TRY(schema_load(&schema, word, err));
    fl_status st = fl_schema_grammar(schema, &text, err);
    if (st == FL_OK) st = fl_grammar_parse(&g->grammar, fl_text_str(&text), text.n, err);
    fl_text_clear(&text);
    json_decref(schema);
    return st == FL_OK ? st : fl_context(err, st, "--json-schema");
}

static fl_status matcher_make(app_grammar *g, const fl_model *m, const fl_generate_opts *o,
                              fl_err *err) {
    int32_t *end = fl_alloc((size_t)(o->n_end + FL_GENERATE_ENDS) * sizeof *end);
    if (!end) return fl_fail(err, FL_ERR_NOMEM, "%d tokens", o->n_end);
    fl_status st = fl_token_trie_new(&g->trie, m->tokenizer, end, fl_generate_ends(m, o, end), err);
    fl_dealloc(end);
    if (st == FL_OK) st = fl_matcher_new(&g->matcher, g->grammar, g->trie, err);
    return st;
}

fl_status app_grammar_read(app_grammar *g, const app_args *a, const fl_model *m,
                           const fl_generate_opts *o, fl_err *err) {
    const char *file = app_str(a, "grammar"), *schema = app_str(a, "json-schema");
    *g = (app_grammar){0};
    if (!file && !schema) return FL_OK;
    if (file && schema)
        return fl_fail(err, FL_ERR_ARG, "--grammar and --json-schema: which of them?");
    if (!m->tokenizer) return fl_fail(err, FL_ERR_ARG, "a grammar needs the model's tokenizer");
    fl_status st = file ? grammar_file(g, file, err) : schema_grammar(g, schema, err);
    if (st == FL_OK) st = matcher_make(g, m, o, err);
    if (st != FL_OK) app_grammar_clear(g);
    return st;
}

void app_grammar_clear(app_grammar *g) {
    fl_matcher_free(g->matcher);
    fl_token_trie_free(g->trie);
    fl_grammar_free(g->grammar);
    *g = (app_grammar){0};
}
