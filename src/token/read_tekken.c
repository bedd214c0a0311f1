/* read_tekken.c - tekken.json, as Mistral publishes vocabularies (mistral-common, tekken.py).
 *
 *     {"config": {"pattern": .., "default_vocab_size": N, "default_num_special_tokens": S, ..},
 *      "vocab": [{"rank": 0, "token_bytes": base64, ..}, ..],
 *      "special_tokens": [{"rank": 0, "token_str": "<unk>", "is_control": true}, ..]}
 *
 * Special tokens have the first S ids and a token of rank r has S + r; of the ranks only those up
 * to N count. Merging is tiktoken's. Where there are fewer special tokens, "<SPECIAL_17>" and the
 * like fill up; files of before 2025 leave the list out. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "token/internal.h"

enum { TOKEN_MAX = 4096, VOCAB_MAX = 1 << 24 };

static const char *const unlisted[] = {"<unk>",
                                       "<s>",
                                       "</s>",
                                       "[INST]",
                                       "[/INST]",
                                       "[AVAILABLE_TOOLS]",
                                       "[/AVAILABLE_TOOLS]",
                                       "[TOOL_RESULTS]",
                                       "[/TOOL_RESULTS]",
                                       "[TOOL_CALLS]",
                                       "[IMG]",
                                       "<pad>",
                                       "[IMG_BREAK]",
                                       "[IMG_END]",
                                       "[PREFIX]",
                                       "[MIDDLE]",
                                       "[SUFFIX]",
                                       "[SYSTEM_PROMPT]",
                                       "[/SYSTEM_PROMPT]",
                                       "[TOOL_CONTENT]"};
enum { N_UNLISTED = sizeof unlisted / sizeof *unlisted };

typedef struct {
    const char *pattern;
    int64_t n, n_special;  // ids, those of special tokens
} sizes;

static fl_status read_sizes(sizes *out, const json_t *root, fl_err *err) {
    const json_t *config = json_object_get(root, "config");
    if (!json_is_object(config)) return fl_fail(err, FL_ERR_FORMAT, "config: expected an object");
    FL_TRY(fl_json_str(config, "pattern", &out->pattern, "config", err));
    FL_TRY(fl_json_int(config, "default_vocab_size", &out->n, "config", err));
    FL_TRY(fl_json_int(config, "default_num_special_tokens", &out->n_special, "config", err));
    if (out->n_special >= 0 && out->n_special < out->n && out->n <= VOCAB_MAX) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "%lld special tokens of %lld: expected fewer than all, and at most %d",
                   (long long)out->n_special, (long long)out->n, VOCAB_MAX);
}

static fl_status put_token(fl_tokenizer *t, const json_t *v, const sizes *z, const char *where,
                           fl_err *err) {
    uint8_t bytes[TOKEN_MAX];
    const char *text;
    int64_t rank;
    FL_TRY(fl_json_int(v, "rank", &rank, where, err));
    FL_TRY(fl_json_str(v, "token_bytes", &text, where, err));
    if (rank < 0) return fl_fail(err, FL_ERR_FORMAT, "%s: a rank below 0", where);
    if (rank >= z->n - z->n_special) return FL_OK;
    const size_t n = strlen(text);
    const size_t len = n / 4 * 3 <= TOKEN_MAX ? fli_base64_decode(text, n, bytes) : 0;
    if (!len) return fl_fail(err, FL_ERR_FORMAT, "%s: token_bytes: expected base64", where);
    const fl_status s = fli_tokenizer_put(t, (int32_t)(z->n_special + rank), bytes, len, err);
    return s == FL_OK ? s : fl_context(err, s, "%s", where);
}

static fl_status put_vocab(fl_tokenizer *t, const json_t *root, const sizes *z, fl_err *err) {
    const json_t *vocab = json_object_get(root, "vocab"), *v;
    char where[48];
    size_t i;
    if ((int64_t)json_array_size(vocab) < z->n - z->n_special)
        return fl_fail(err, FL_ERR_FORMAT, "vocab: expected %lld tokens, found %zu",
                       (long long)(z->n - z->n_special), json_array_size(vocab));
    json_array_foreach(vocab, i, v) {
        snprintf(where, sizeof where, "vocab[%zu]", i);
        FL_TRY(put_token(t, v, z, where, err));
    }
    return FL_OK;
}

/* ---- special tokens ---- */

static fl_status add_special(fl_tokenizer *t, const char *text, int64_t id, bool control,
                             fl_err *err) {
    const fli_added as = {.id = (int32_t)id, .special = control};
    return fli_tokenizer_add(t, text, strlen(text), as, err);
}

static fl_status add_listed(fl_tokenizer *t, const json_t *list, const sizes *z, fl_err *err) {
    const json_t *v;
    size_t i;
    json_array_foreach(list, i, v) {
        char where[48];
        const char *text;
        int64_t rank;
        bool control;
        snprintf(where, sizeof where, "special_tokens[%zu]", i);
        FL_TRY(fl_json_int(v, "rank", &rank, where, err));
        FL_TRY(fl_json_str(v, "token_str", &text, where, err));
        FL_TRY(fl_json_bool_or(v, "is_control", true, &control, where, err));
        if (rank != (int64_t)i || rank >= z->n_special || !*text)
            return fl_fail(err, FL_ERR_FORMAT, "%s: expected a text of rank %zu, below %lld", where,
                           i, (long long)z->n_special);
        FL_TRY(add_special(t, text, rank, control, err));
    }
    return FL_OK;
}

static fl_status add_specials(fl_tokenizer *t, const json_t *root, const sizes *z, fl_err *err) {
    const json_t *list = json_object_get(root, "special_tokens");
    int64_t i = json_is_array(list) ? (int64_t)json_array_size(list) : 0;
    FL_TRY(add_listed(t, list, z, err));
    for (; !json_is_array(list) && i < N_UNLISTED && i < z->n_special; i++)
        FL_TRY(add_special(t, unlisted[i], i, true, err));
    for (; i < z->n_special; i++) {
        char text[32];
        snprintf(text, sizeof text, "<SPECIAL_%lld>", (long long)i);
        FL_TRY(add_special(t, text, i, true, err));
    }
    t->bos = fl_tokenizer_id(t, "<s>");
    t->eos = fl_tokenizer_id(t, "</s>");
    if (t->bos >= 0) t->before[t->n_before++] = t->bos;
    return FL_OK;
}

/* ---- all of it ---- */

static fl_status build(fl_tokenizer *t, const json_t *root, fl_err *err) {
    sizes z;
    FL_TRY(read_sizes(&z, root, err));
    FL_TRY(put_vocab(t, root, &z, err));
    FL_TRY(fli_tokenizer_index(t, (int32_t)z.n_special, err));
    t->ignore_merges = true;  // the whole piece is looked for first
    FL_TRY(fli_merge_cuts(t, NULL, err));
    FL_TRY(fli_splitter_add(&t->split, z.pattern, err));
    FL_TRY(add_specials(t, root, &z, err));
    return fli_tokenizer_finish(t, err);
}

fl_status fli_read_tekken(fl_tokenizer **out, const char *path, const char *config, fl_err *err) {
    json_t *root;
    fl_tokenizer *t = NULL;
    FL_TRY(fl_json_load(&root, path, err));
    fl_status s = fli_tokenizer_new(&t, err);
    if (s == FL_OK) s = build(t, root, err);
    if (s != FL_OK) s = fl_context(err, s, "%s", path);
    if (s == FL_OK) s = fli_read_config(t, config, err);
    json_decref(root);
    if (s == FL_OK) *out = t;
    else fl_tokenizer_free(t);
    return s;
}
