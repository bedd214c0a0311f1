/* cmd_architectures - fledge architectures: what models can be loaded, as the rows have it; a table
 * in Markdown, which the README shows. */
#include <stdio.h>

#include "app/command.h"
#include "base/json.h"
#include "base/text.h"
#include "model/arch.h"

static void print_row(const fl_arch *a, const char *words) {
    printf("| %s | %s | %s | %s |\n", a->name, a->hf_class, a->gguf_name ? a->gguf_name : "-",
           words);
}

static json_t *row_json(const fl_arch *a, const char *words) {
    json_t *gguf = a->gguf_name ? json_string(a->gguf_name) : json_null();
    return json_pack("{s:s, s:s, s:o, s:s}", "model_type", a->name, "class", a->hf_class, "gguf",
                     gguf, "description", words);
}

static fl_status run(const app_args *a, fl_err *err) {
    bool json = app_bool(a, "json");
    json_t *rows = json_array();
    fl_status s = FL_OK;
    if (!json) printf("| model_type | class | GGUF | what it is |\n|--|--|--|--|\n");
    for (int i = 0; fl_archs[i] && s == FL_OK; i++) {
        fl_text words = {0};
        fl_arch_describe(fl_archs[i], &words);
        s = fl_text_ok(&words, err);
        if (s == FL_OK && json)
            json_array_append_new(rows, row_json(fl_archs[i], fl_text_str(&words)));
        else if (s == FL_OK) print_row(fl_archs[i], fl_text_str(&words));
        fl_text_clear(&words);
    }
    if (s == FL_OK && json) {
        json_dumpf(rows, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(rows);
    return s;
}

const app_command cmd_architectures = {
    .name = "architectures",
    .summary = "list the model architectures that can be loaded",
    .details =
        "A model's config.json names its model_type; a GGUF file names its architecture. "
        "What is not listed is refused,\nand docs/add-a-model.md shows how to add it.",
    .run = run,
};
