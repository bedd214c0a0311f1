/* fuzz_template - any bytes as a chat template: refused with a message, or rendered, within limits,
 * to text that is UTF-8, with what the assistant says inside it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "token/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u00fcber brief.\"},"
    " {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hi\"}]},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a\", \"function\": "
    "{\"name\": \"f\", \"arguments\": {\"x\": 1.5, \"y\": [true, null]}}}]},"
    " {\"role\": \"tool\", \"content\": \"3\"}, {\"role\": \"user\", \"content\": \"And?\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}],"
    " \"variables\": {\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"n\": -7, \"s\": \"a,b\"}}";

static void check(const fl_rendered *r, size_t limit) {
    if (r->text.n > limit) abort();
    for (size_t i = 0; i < r->n_assistant; i++)
        if (r->assistant[i].begin > r->assistant[i].end || r->assistant[i].end > r->text.n) abort();
    int len;
    for (size_t i = 0; i < r->text.n; i += (size_t)len)
        if (fl_utf8_decode((const uint8_t *)r->text.data + i, r->text.n - i, &len) < 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static json_t *j;
    fl_err err = {0};
    if (!j && fl_json_parse(&j, conversation, sizeof conversation - 1, "x", &err) != FL_OK) abort();
    fl_template *t = NULL;
    if (fl_template_parse(&t, (const char *)data, n, &err) != FL_OK) {
        if (!err.msg[0] || t) abort();
        return 0;
    }
    fl_conversation c =
        {.messages = json_object_get(j, "messages"),
         .tools = json_object_get(j, "tools"),
         .variables = json_object_get(j, "variables"),
         .add_generation_prompt = true,
         .continue_final_message = n % 4 == 0,
         .now = 1764115200,
         .limits = {.steps = 20000, .depth = 200, .output = 1 << 16, .memory = 1 << 20}};
    fl_rendered r = {0};
    if (fl_template_render(t, &c, &r, &err) == FL_OK) check(&r, c.limits.output);
    else if (!err.msg[0] || r.text.data) abort();
    fl_rendered_clear(&r);
    fl_template_free(t);
    return 0;
}
