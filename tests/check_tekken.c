/* check_tekken - tekken.json: the small .tiktoken vocabulary written as one gives the same tokens,
 * behind the special ones; what lies is refused.
 *
 * Caught by it (each tried): ranks beyond the vocabulary's size taken; no filling up of special
 * tokens. Meant to be caught, not tried: ids that do not begin behind the special tokens; a list of
 * special tokens passed over. */
#include "base/json.h"
#include "check.h"
#include "folder.h"
#include "token_data.h"

enum { CUT = 5, N_SPECIAL = 24 };  // ranks left out; 20 names are known, so 4 are filled up

/* The lines of a .tiktoken file, "base64 rank", as tekken's vocab. */
static json_t *vocab_of(const char *file) {
    size_t n, at = 0, len;
    const char *line;
    char *text = golden(file, &n);
    json_t *vocab = json_array();
    while (next_part(text, n, '\n', &at, &line, &len)) {
        const char *gap = memchr(line, ' ', len);
        if (!gap) continue;
        json_t *v = json_pack("{s:o, s:i}", "token_bytes", json_stringn(line, (size_t)(gap - line)),
                              "rank", atoi(gap + 1));
        CHECK(v && json_array_append_new(vocab, v) == 0);
    }
    fl_dealloc(text);
    return vocab;
}

static json_t *tekken_of(const fl_tokenizer *small) {
    json_t *vocab = vocab_of("small.tiktoken");
    const int n = (int)json_array_size(vocab) - CUT + N_SPECIAL;
    return json_pack("{s:{s:s, s:i, s:i}, s:o}", "config", "pattern", fl_tokenizer_pattern(small),
                     "default_vocab_size", n, "default_num_special_tokens", N_SPECIAL, "vocab",
                     vocab);
}

static fl_status load(fl_tokenizer **out, const json_t *v, fl_err *err) {
    fl_text text = {0};
    fl_json_print(&text, v, 0);
    const char *path = folder_put("tekken_test.json", text.data, text.n);
    fl_text_clear(&text);
    return fl_tokenizer_load(out, path, err);
}

static bool uses_cut_ranks(const fl_ids *ids, int32_t n) {
    for (size_t i = 0; i < ids->n; i++)
        if (ids->id[i] >= n) return true;
    return false;
}

static void check_ids(const fl_tokenizer *small, const fl_tokenizer *t) {
    size_t n, at = 0, len;
    const char *text;
    char *cases = golden("cases.txt", &n);
    int compared = 0;
    while (next_part(cases, n, '\x1e', &at, &text, &len)) {
        const fl_encode_opts plain = {.plain = true};
        fl_ids a = {0}, b = {0};
        CHECK(fl_encode(small, text, len, &plain, &a, NULL) == FL_OK);
        CHECK(fl_encode(t, text, len, &plain, &b, NULL) == FL_OK);
        if (!uses_cut_ranks(&a, fl_tokenizer_size(t) - N_SPECIAL)) {
            bool same = a.n == b.n;
            for (size_t i = 0; same && i < a.n; i++) same = a.id[i] + N_SPECIAL == b.id[i];
            CHECKF(same, "\"%.*s\"", (int)len, text);
            compared++;
        }
        fl_ids_clear(&a);
        fl_ids_clear(&b);
    }
    CHECKF(compared > 100, "%d cases", compared);
    fl_dealloc(cases);
}

static void check_specials(const fl_tokenizer *t) {
    CHECK(fl_tokenizer_id(t, "<unk>") == 0 && fl_tokenizer_bos(t) == 1 && fl_tokenizer_eos(t) == 2);
    CHECK(fl_tokenizer_id(t, "[TOOL_CONTENT]") == 19 && fl_tokenizer_id(t, "<SPECIAL_20>") == 20);
    CHECK(fl_tokenizer_id(t, "<SPECIAL_23>") == 23 && fl_tokenizer_is_special(t, 23));
    fl_ids ids = {0};
    CHECK(fl_encode(t, "[INST]", 6, &(fl_encode_opts){.add_special = true}, &ids, NULL) == FL_OK);
    CHECK(ids.n == 2 && ids.id[0] == 1 && ids.id[1] == 3);
    fl_ids_clear(&ids);
}

/* A list of special tokens is taken as it is. */
static void check_listed(json_t *v) {
    fl_tokenizer *t = NULL;
    json_object_set_new(v, "special_tokens",
                        json_pack("[{s:i, s:s, s:b}, {s:i, s:s, s:b}]", "rank", 0, "token_str",
                                  "</s>", "is_control", 1, "rank", 1, "token_str", "<think>",
                                  "is_control", 0));
    CHECK(load(&t, v, NULL) == FL_OK);
    CHECK(fl_tokenizer_eos(t) == 0 && fl_tokenizer_bos(t) == -1);
    CHECK(fl_tokenizer_id(t, "<think>") == 1 && !fl_tokenizer_is_special(t, 1));
    CHECK(fl_tokenizer_id(t, "<SPECIAL_2>") == 2);
    fl_tokenizer_free(t);
    json_object_del(v, "special_tokens");
}

static void check_refusals(const json_t *good) {
    static const struct {
        const char *object, *key, *value, *says;
    } rows[] = {
        {NULL, "config", "3", "config: expected an object"},
        {"config", "pattern", "7", "pattern"},
        {"config", "pattern", "\"(\"", "missing closing parenthesis"},
        {"config", "default_vocab_size", "1.5", "default_vocab_size"},
        {"config", "default_vocab_size", "99999999", "at most"},
        {"config", "default_vocab_size", "24", "expected fewer than all"},
        {"config", "default_num_special_tokens", "-1", "expected fewer than all"},
        {NULL, "vocab", "[]", "found 0"},
        {NULL, "vocab", "{}", "found 0"},
        {NULL, "special_tokens", "[{\"rank\": 1, \"token_str\": \"x\"}]", "of rank 0"},
        {NULL, "special_tokens", "[{\"rank\": 0, \"token_str\": \"\"}]", "expected a text"},
        {NULL, "special_tokens", "[3]", "special_tokens[0]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fl_err err = {0};
        fl_tokenizer *t;
        json_t *v = json_deep_copy(good), *value;
        json_t *in = rows[i].object ? json_object_get(v, rows[i].object) : v;
        value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        CHECK(value && json_object_set_new(in, rows[i].key, value) == 0);
        CHECKF(load(&t, v, &err) != FL_OK, "row %zu", i);
        CHECKF(strstr(err.msg, rows[i].says) && strstr(err.msg, "tekken_test.json"), "row %zu: %s",
               i, err.msg);
        json_decref(v);
    }
}

int main(void) {
    fl_tokenizer *small = golden_tokenizer("small.tiktoken"), *t = NULL;
    fl_err err = {0};
    json_t *v = tekken_of(small);
    folder_make();
    CHECKF(v && load(&t, v, &err) == FL_OK, "%s", err.msg);
    CHECK(fl_tokenizer_size(t) ==
          (int32_t)json_array_size(json_object_get(v, "vocab")) - CUT + N_SPECIAL);
    check_ids(small, t);
    check_specials(t);
    fl_tokenizer_free(t);
    check_listed(v);
    check_refusals(v);
    json_decref(v);
    fl_tokenizer_free(small);
    folder_remove();
    return check_report();
}
