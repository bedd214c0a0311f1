/* fuzz_tokenizer - any bytes as tokenizer.json or as a .tiktoken file: refused with a message, or a
 * tokenizer that gives back what it encodes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Whether every byte must come back. */
static bool is_exact(const fl_tokenizer *t) {
    bool exact = t->kind->bytes && t->n_steps == 0 && t->prefix == FLI_PREFIX_NEVER &&
                 t->join.strip == 0 && !t->join.first_bare && !t->join.first_text && !t->join.clean;
    for (int i = 0; i < t->split.n; i++) {
        const fli_stage *stage = t->split.stage + i;
        exact &= stage->behavior != FLI_REMOVED && !(stage->known && stage->known->drops_space);
    }
    return exact;
}

static void use(const fl_tokenizer *t) {
    static const char text[] =
        "the cat's 12 \xc3\xa9\n  <|end|> \xff\xe4\xbd\xa0 aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    size_t len = sizeof text - 1, n_back;
    fl_err err = {0};
    fl_ids ids = {0};
    char *back;
    for (int plain = 0; plain < 2; plain++) {
        fl_encode_opts o = {.plain = plain == 1, .add_special = plain == 0};
        ids.n = 0;
        if (fl_encode(t, text, len, &o, &ids, &err) != FL_OK) {
            if (!err.msg[0]) abort();
            continue;
        }
        if (fl_decode(t, ids.id, ids.n, true, &back, &n_back, &err) != FL_OK) abort();
        bool same = n_back == len && memcmp(back, text, len) == 0;
        if (plain && is_exact(t) && !same) abort();
        fl_dealloc(back);
    }
    fl_ids_clear(&ids);
}

static void finish(fl_status st, fl_tokenizer *t, const fl_err *err) {
    if (st == FL_OK) use(t);
    else if (!err->msg[0] || t) abort();
    fl_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    json_t *root;
    if (n && data[0] != '{') {
        fl_status st = fli_parse_tiktoken(&t, (const char *)data, n, "gpt2", &err);
        finish(st, t, &err);
    } else if (fl_json_parse(&root, (const char *)data, n, "x", &err) == FL_OK) {
        fl_status st = fli_make_hf(&t, root, &err);
        json_decref(root);
        finish(st, t, &err);
    }
    return 0;
}
