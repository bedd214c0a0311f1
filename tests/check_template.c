/* check_template - chat templates against what transformers renders: the cases of a file.
 *
 *     check_template [CASES.json ...]
 *
 * Without arguments those of tests/data/template: published templates (made by
 * tests/peers/template_goldens.py), what our named ones stand for (template_named.py), and
 * expressions and tags put together at random (template_differ.py).
 * A file is {"conversations": {name: {..}}, "cases": [{"source", "file" or "named",
 * "conversation", "want" or "error": true, "assistant": [[begin, end], ..]}, ..]}; a conversation
 * has messages, tools,
 * documents, variables, add_generation_prompt, continue_final_message, now. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "check.h"
#include "token/template.h"

static fl_conversation conversation_of(const json_t *j) {
    return (fl_conversation){
        .messages = json_object_get(j, "messages"),
        .tools = json_object_get(j, "tools"),
        .documents = json_object_get(j, "documents"),
        .variables = json_object_get(j, "variables"),
        .add_generation_prompt = json_is_true(json_object_get(j, "add_generation_prompt")),
        .continue_final_message = json_is_true(json_object_get(j, "continue_final_message")),
        .now = json_integer_value(json_object_get(j, "now")),
    };
}

/* Where two texts part, for people. */
static void show_difference(const char *got, size_t n, const char *want, size_t n_want) {
    size_t i = 0;
    while (i < n && i < n_want && got[i] == want[i]) i++;
    const size_t from = i > 40 ? i - 40 : 0;
    printf("  differs at byte %zu of %zu (want %zu)\n  got  ..%.*s\n  want ..%.*s\n", i, n, n_want,
           (int)(n - from > 120 ? 120 : n - from), got + from,
           (int)(n_want - from > 120 ? 120 : n_want - from), want + from);
}

static void check_spans(const char *name, const fl_rendered *r, const json_t *want) {
    CHECKF(r->n_assistant == json_array_size(want), "%s: %zu spans", name, r->n_assistant);
    for (size_t i = 0; i < r->n_assistant && i < json_array_size(want); i++) {
        const json_t *span = json_array_get(want, i);
        CHECKF((json_int_t)r->assistant[i].begin == json_integer_value(json_array_get(span, 0)) &&
                   (json_int_t)r->assistant[i].end == json_integer_value(json_array_get(span, 1)),
               "%s: span %zu is [%zu, %zu)", name, i, r->assistant[i].begin, r->assistant[i].end);
    }
}

static void check_render(const char *name, const fl_template *t, const json_t *c,
                         const json_t *conversation) {
    const fl_conversation given = conversation_of(conversation);
    const json_t *want = json_object_get(c, "want"), *spans = json_object_get(c, "assistant");
    fl_rendered r = {0};
    fl_err err = {0};
    const fl_status s = fl_template_render(t, &given, &r, &err);
    if (!want) {
        CHECKF(s != FL_OK && err.msg[0], "%s: an error is wanted, not: %.200s", name,
               fl_text_str(&r.text));
    } else {
        const size_t n = json_string_length(want);
        const bool same = s == FL_OK && r.text.n == n &&
                          memcmp(fl_text_str(&r.text), json_string_value(want), n) == 0;
        CHECKF(same, "%s: %s", name, s == FL_OK ? "another text" : err.msg);
        if (!same && s == FL_OK)
            show_difference(fl_text_str(&r.text), r.text.n, json_string_value(want), n);
    }
    if (spans && s == FL_OK) check_spans(name, &r, spans);
    fl_rendered_clear(&r);
}

/* The template of a case: its own source, one of ours by name, or a file beside the cases. */
static fl_status load(fl_template **t, const json_t *c, const char *dir, fl_err *err) {
    const json_t *source = json_object_get(c, "source"), *named = json_object_get(c, "named");
    if (named) {
        const char *text;
        FL_TRY(fl_template_choose(&text, NULL, json_string_value(named), NULL, err));
        return fl_template_parse(t, text, strlen(text), err);
    }
    char path[FL_PATH_MAX], *text;
    size_t n;
    if (source)
        return fl_template_parse(t, json_string_value(source), json_string_length(source), err);
    FL_TRY(fl_path_join(path, dir, json_string_value(json_object_get(c, "file")), err));
    FL_TRY(fl_file_read(path, 1 << 20, &text, &n, err));
    const fl_status s = fl_template_parse(t, text, n, err);
    fl_dealloc(text);
    return s;
}

static void check_case(const char *name, const json_t *c, const json_t *conversations,
                       const char *dir) {
    const json_t *conversation = json_object_get(c, "conversation");
    if (json_is_string(conversation))
        conversation = json_object_get(conversations, json_string_value(conversation));
    fl_template *t = NULL;
    fl_err err = {0};
    if (load(&t, c, dir, &err) == FL_OK) check_render(name, t, c, conversation);
    else CHECKF(!json_object_get(c, "want") && err.msg[0], "%s: %s", name, err.msg);
    fl_template_free(t);
}

static void check_file(const char *path) {
    static const char *const keys[] = {"file", "named", "source"};
    json_t *root;
    fl_err err = {0};
    const fl_status s = fl_json_load(&root, path, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    if (s != FL_OK) return;
    char dir[FL_PATH_MAX], name[256];
    snprintf(dir, sizeof dir, "%.*s", (int)(fl_path_base(path) - path), path);
    const json_t *cases = json_object_get(root, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *what = "";
        for (int k = 0; k < 3 && !*what; k++)
            if (json_object_get(c, keys[k])) what = json_string_value(json_object_get(c, keys[k]));
        const json_t *about = json_object_get(c, "conversation");
        snprintf(name, sizeof name, "%zu: %.120s, %s", i, what,
                 json_is_string(about) ? json_string_value(about) : "");
        check_case(name, c, json_object_get(root, "conversations"), dir);
    }
    printf("%s: %zu cases\n", fl_path_base(path), json_array_size(cases));
    json_decref(root);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) check_file(argv[i]);
    if (argc == 1) check_file(FL_TEST_DATA "/template/published.json");
    if (argc == 1) check_file(FL_TEST_DATA "/template/named.json");
    if (argc == 1) check_file(FL_TEST_DATA "/template/generated.json");
    return check_report();
}
