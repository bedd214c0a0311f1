/* check_findings - what fl_model_check finds in a model that was spoilt in one place, and that it
 * finds nothing in one that was not.
 *
 * Caught by it: a chunk that is not looked at (the last number, a scale of a block), infinities
 * taken for numbers, a key's limit off by one, a template that parses and cannot render, the first
 * finding hiding the next. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "as_stored.h"
#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "format/gguf.h"
#include "hub/hub.h"
#include "model/check.h"

/* ---- spoiling ---- */

typedef struct {
    const char *drop;         // this key is left out,
    void (*put)(fl_gguf *g);  // and perhaps put back as something else
    const char *tensor;       // one number of this tensor becomes `value`
    int64_t at;               // row-major; -1: all of them
    float value;
} spoil;

/* A copy of the tensor with one number changed; freed by the caller. */
static void *spoilt(const fl_tensor *t, const spoil *s) {
    const int64_t n = fl_tensor_count(t);
    char *copy = fl_alloc(fl_tensor_bytes(t));
    float *v = fl_alloc((size_t)n * sizeof *v);
    fl_convert(v, FL_F32, t->data, t->dtype, n);
    for (int64_t i = 0; i < n; i++)
        if (s->at < 0 || s->at == i) v[i] = s->value;
    memcpy(copy, t->data, fl_tensor_bytes(t));
    if (!fl_dtype_is_block(t->dtype)) fl_convert(copy, t->dtype, v, FL_F32, n);
    else  // the scale of a block is its first two bytes here
        memset(copy + fl_dtype_row_bytes(t->dtype, s->at), 0xff, sizeof(uint16_t));
    fl_dealloc(v);
    return copy;
}

enum { TENSORS_MAX = 64 };

/* base.gguf again, spoilt. */
static const char *write_spoilt(const char *base, const spoil *s) {
    static char path[FL_PATH_MAX];
    if (!*path) snprintf(path, sizeof path, "%s", folder_file("spoilt.gguf"));
    fl_gguf_file *f = NULL;
    fl_gguf *g = fl_gguf_new();
    fl_write_tensor w[TENSORS_MAX];
    void *changed = NULL;
    CHECK(fl_gguf_open(&f, base, NULL) == FL_OK);
    for (int i = 0; i < fl_gguf_n_keys(f); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(f, i);
        if (!s->drop || strcmp(k->name, s->drop) != 0) fl_gguf_copy(g, k);
    }
    if (s->put) s->put(g);
    for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        w[i] = as_stored(t);
        if (s->tensor && strcmp(t->name, s->tensor) == 0) w[i].source = changed = spoilt(&t->t, s);
    }
    CHECK(fl_gguf_save(g, path, w, fl_gguf_n_tensors(f), NULL) == FL_OK);
    fl_dealloc(changed);
    fl_gguf_free(g);
    fl_gguf_close(f);
    return path;
}

/* ---- judging ---- */

/* How many things are wrong, and whether one of all findings has `word`. */
static void expect(const char *path, int n_wrong, const char *word) {
    fl_findings f = {0};
    fl_err err = {0};
    bool found = !word;
    CHECKF(fl_model_check(&f, NULL, path, NULL, &err) == FL_OK, "%s", err.msg);
    for (int i = 0; i < f.n; i++) found = found || (word && strstr(f.finding[i].text, word));
    CHECKF(found, "no finding says \"%s\"; %d do not", word, f.n);
    CHECKF(f.n_wrong == n_wrong, "%d are wrong, want %d (%s): %s", f.n_wrong, n_wrong,
           word ? word : "none", f.n ? f.finding[0].text : "");
    fl_findings_clear(&f);
}

#define TOKENS "tokenizer.ggml."

static void put_big_eos(fl_gguf *g) {
    fl_gguf_u32(g, TOKENS "eos_token_id", 259);
}
static void put_last_eos(fl_gguf *g) {
    fl_gguf_u32(g, TOKENS "eos_token_id", 258);
}
static void put_text_eos(fl_gguf *g) {
    fl_gguf_str(g, TOKENS "padding_token_id", "</s>");
}
static void put_kinds(fl_gguf *g) {
    int32_t kind[259];
    for (int i = 0; i < 259; i++) kind[i] = i < 256 ? 1 : 3;
    kind[100] = 7;
    kind[101] = 0;
    fl_gguf_i32_array(g, TOKENS "token_type", kind, 259);
}
static void put_scores(fl_gguf *g) {
    float score[259] = {0};
    score[258] = NAN;
    fl_gguf_f32_array(g, TOKENS "scores", score, 259);
}
static void put_torn_template(fl_gguf *g) {
    fl_gguf_str(g, "tokenizer.chat_template", "{% for m in messages %}{{ m.content }}");
}
static void put_raising_template(fl_gguf *g) {
    fl_gguf_str(g, "tokenizer.chat_template", "{{ raise_exception('never') }}");
}
static void put_named_template(fl_gguf *g) {
    fl_gguf_str(g, "tokenizer.chat_template.tool_use", "{{ ");
}
static void put_two_problems(fl_gguf *g) {
    put_named_template(g);
    put_big_eos(g);
}

static void check_spoilt(const char *base) {
    static const struct {
        spoil s;
        int n_wrong;
        const char *word;
    } rows[] = {
        {{.tensor = "output_norm.weight", .at = 31, .value = NAN},
         1,
         "output_norm.weight (f32): 1 NaN and 0 infinite numbers, the first in row 0, column 31"},
        {{.tensor = "token_embd.weight", .at = 258 * 32 + 31, .value = -INFINITY},
         1,
         "0 NaN and 1 infinite numbers, the first in row 258, column 31"},
        {{.tensor = "token_embd.weight", .at = -1, .value = NAN}, 1, "8288 NaN"},
        {{.tensor = "blk.0.ffn_up.weight", .at = -1, .value = 0}, 0, "every number is zero"},
        {{.tensor = "blk.0.attn_norm.weight", .at = -1, .value = 0}, 0, NULL},
        {{.drop = TOKENS "eos_token_id", .put = put_big_eos},
         1,
         "eos_token_id is 259, there are 259 tokens"},
        {{.drop = TOKENS "eos_token_id", .put = put_last_eos}, 0, NULL},
        {{.drop = TOKENS "padding_token_id", .put = put_text_eos},
         1,
         "padding_token_id is string, expected a whole number"},
        {{.drop = TOKENS "token_type", .put = put_kinds}, 1, "2 of 259 are no kind"},
        {{.drop = TOKENS "scores", .put = put_scores}, 1, "that of token 258"},
        {{.drop = "tokenizer.chat_template", .put = put_torn_template},
         1,
         "the chat template: line 1"},
        {{.drop = "tokenizer.chat_template", .put = put_raising_template}, 1, "never"},
        {{.put = put_named_template}, 1, "tokenizer.chat_template.tool_use"},
        {{.drop = TOKENS "eos_token_id", .put = put_two_problems}, 2, "tool_use"},
        {{.drop = TOKENS "pre"}, 0, NULL},
        {{.drop = "llama.attention.head_count"}, 1, "num_attention_heads"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(write_spoilt(base, &rows[i].s), rows[i].n_wrong, rows[i].word);
}

/* Numbers in blocks: the scale of the last block is not one. */
static void check_blocks(const fl_model *m) {
    const char *base = folder_file("q8.gguf");
    CHECK(fl_model_save_gguf(m, base, "tiny", FL_Q8_0, NULL) == FL_OK);
    expect(base, 0, NULL);
    expect(write_spoilt(base, &(spoil){.tensor = "token_embd.weight", .at = 258 * 32}), 1,
           "(q8_0): 32 NaN");
    expect(write_spoilt(base, &(spoil){.drop = "general.quantization_version"}), 0,
           "quantization_version is missing");
}

/* Many are counted, the first are kept. */
static void check_many(void) {
    fl_findings f = {0};
    for (int i = 0; i < FL_FINDINGS_MAX + 5; i++) fl_findings_add(&f, i % 2, "number %d", i);
    CHECK(f.n == FL_FINDINGS_MAX && f.n_more == 5 && f.n_wrong == (FL_FINDINGS_MAX + 5) / 2);
    CHECK(strcmp(f.finding[99].text, "number 99") == 0);
    fl_findings_clear(&f);
    CHECK(f.n == 0 && !f.finding);
}

/* ---- checksums ---- */

/* "hello", as the hub names it: by git's SHA-1, and by SHA-256. */
static void check_checksums(void) {
    static const char *const names[] =
        {"b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
         "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"};
    char path[200];
    fl_err err = {0};
    int n = 9;
    CHECK(fl_hub_verify(folder_puts("plain", "hello"), NULL, &n, NULL) == FL_OK && n == 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "hub/blobs/%s", names[i]);
        const char *blob = folder_puts(path, "hello");
        snprintf(path, sizeof path, "hub/snapshots/c/%d", i);
        const char *link = folder_puts(path, "");
        CHECK(unlink(link) == 0 && symlink(blob, link) == 0);
        CHECK(fl_hub_verify(link, NULL, &n, NULL) == FL_OK && n == 1);
    }
    const char *snapshot = folder_file("hub/snapshots/c");
    CHECK(fl_hub_verify(snapshot, NULL, &n, NULL) == FL_OK && n == 2);
    snprintf(path, sizeof path, "hub/blobs/%s", names[1]);
    folder_puts(path, "hallo");
    CHECK(fl_hub_verify(snapshot, NULL, &n, &err) == FL_ERR_FORMAT && strstr(err.msg, "checksum"));
}

int main(void) {
    const fl_model_opts as_stored = {.as_stored = true};
    fl_model *m = NULL;
    folder_make();
    CHECK(fl_model_load(&m, FL_TEST_DATA "/chat", &as_stored, NULL) == FL_OK);
    char base[FL_PATH_MAX];
    snprintf(base, sizeof base, "%s", folder_file("base.gguf"));
    CHECK(fl_model_save_gguf(m, base, "tiny", FL_F16, NULL) == FL_OK);
    expect(FL_TEST_DATA "/chat", 0, NULL);
    expect(base, 0, NULL);
    expect(folder_file("none.gguf"), 1, "there is no such file or folder");
    expect(folder_puts("text.gguf", "GGML"), 1, "does not begin with \"GGUF\"");
    check_spoilt(base);
    check_blocks(m);
    check_many();
    check_checksums();
    fl_model_free(m);
    folder_remove();
    return check_report();
}
