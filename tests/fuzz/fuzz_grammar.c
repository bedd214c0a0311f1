/* fuzz_grammar - any bytes as a grammar, and as a schema where they are JSON: refused with a
 * message, or a grammar that takes the bytes themselves as a text, byte by byte, without an end to
 * its work. */
#include <stdint.h>
#include <stdlib.h>

#include "infer/grammar.h"
#include "infer/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void match(const fl_grammar *g, const uint8_t *data, size_t n) {
    fl_matcher *m;
    fl_err err = {0};
    bool fits = true;
    if (fl_matcher_new(&m, g, NULL, &err) != FL_OK) {
        if (!err.msg[0]) abort();
        return;
    }
    for (size_t i = 0; i < n && i < 2000 && fits; i++) {
        if (fl_matcher_feed(m, data + i, 1, &fits, &err) != FL_OK) break;
    }
    fl_matcher_free(m);
}

static void read_grammar(const char *text, size_t n, const uint8_t *data, size_t n_data) {
    fl_grammar *g;
    fl_err err = {0};
    if (fl_grammar_parse(&g, text, n, &err) == FL_OK) {
        fl_text printed = {0};
        match(g, data, n_data);
        if (n < 4000) fl_grammar_print(g, &printed);
        fl_text_clear(&printed);
        fl_grammar_free(g);
    } else if (!err.msg[0]) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    json_t *schema;
    fl_err err = {0};
    read_grammar((const char *)data, n, data, n);
    if (fl_json_parse(&schema, (const char *)data, n, "x", &err) != FL_OK) return 0;
    fl_text text = {0};
    if (fl_schema_grammar(schema, &text, &err) == FL_OK)
        read_grammar(fl_text_str(&text), text.n, data, n);
    else if (!err.msg[0]) abort();
    fl_text_clear(&text);
    json_decref(schema);
    return 0;
}
