/* read_hf.c - tokenizer.json and tokenizer_config.json of Hugging Face: the model and the added
 * tokens. What happens to a text before and after is in read_hf_parts.c. */
#include "token/read_hf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/internal.h"

/* ---- models ---- */

static fl_status read_merge(fl_tokenizer *t, const json_t *merge, const char *where, fl_err *err) {
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (json_is_string(a) && json_is_string(b) && json_array_size(merge) == 2)
        return fli_push_merge(t, json_string_value(a), json_string_length(a), json_string_value(b),
                              json_string_length(b), where, err);
    const char *s = json_string_value(merge), *gap = s ? strchr(s, ' ') : NULL;
    size_t n = json_string_length(merge), n_left = gap ? (size_t)(gap - s) : 0;
    return fli_push_merge(t, gap ? s : "", n_left, gap ? gap + 1 : "", gap ? n - n_left - 1 : 0,
                          where, err);
}

static fl_status read_merges(fl_tokenizer *t, const json_t *merges, const char *where,
                             fl_err *err) {
    for (size_t i = 0; i < json_array_size(merges); i++)
        FL_TRY(read_merge(t, json_array_get(merges, i), where, err));
    return FL_OK;
}

/* The id of the text under `key`, which may be absent. */
static fl_status read_unknown(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    const char *text;
    FL_TRY(fl_json_str_or(m, "unk_token", "", &text, where, err));
    if (!*text) return FL_OK;
    t->unk = fli_find_text(t, text, strlen(text));
    if (t->unk >= 0) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT, "%s.unk_token: \"%.40s\" is not in the vocabulary", where,
                   text);
}

static fl_status read_bpe(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    double dropout;
    const json_t *vocab = json_object_get(m, "vocab"), *merges = json_object_get(m, "merges");
    t->kind = t->byte_level ? &fli_byte_bpe : &fli_char_bpe;
    FL_TRY(fl_json_real_or(m, "dropout", 0, &dropout, where, err));
    if (dropout != 0) return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.dropout is not supported", where);
    FL_TRY(fli_want_empty(m, "continuing_subword_prefix", where, err));
    FL_TRY(fli_want_empty(m, "end_of_word_suffix", where, err));
    FL_TRY(fl_json_bool_or(m, "ignore_merges", false, &t->ignore_merges, where, err));
    FL_TRY(fl_json_bool_or(m, "fuse_unk", false, &t->fuse_unk, where, err));
    FL_TRY(fl_json_bool_or(m, "byte_fallback", false, &t->byte_fallback, where, err));
    if (t->byte_level) FL_TRY(fli_want_bool(m, "byte_fallback", false, false, where, err));
    if (!json_is_object(vocab) || !json_is_array(merges))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object vocab and a list merges", where);
    FL_TRY(fli_put_vocab(t, vocab, where, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    if (!t->byte_level) FL_TRY(read_unknown(t, m, where, err));
    return read_merges(t, merges, where, err);
}

static fl_status read_wordpiece(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    enum { USUAL_CHARS = 100 };
    int64_t max_chars;
    const char *continuing;
    const json_t *vocab = json_object_get(m, "vocab");
    t->kind = &fli_wordpiece;
    FL_TRY(fl_json_int_or(m, "max_input_chars_per_word", USUAL_CHARS, &max_chars, where, err));
    FL_TRY(fl_json_str_or(m, "continuing_subword_prefix", "##", &continuing, where, err));
    if (max_chars < 0 || !*continuing || !json_is_object(vocab) || t->escape || t->byte_level)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: expected an object vocab, and words without Metaspace or ByteLevel",
                       where);
    t->max_chars = (size_t)max_chars;
    t->continuing = fli_keep(t, continuing, strlen(continuing));
    if (!t->continuing) return fl_fail(err, FL_ERR_NOMEM, "a tokenizer");
    FL_TRY(fli_put_vocab(t, vocab, where, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    return read_unknown(t, m, where, err);
}

/* A score as Hugging Face's JSON reader has it: the digits as an integer, rounded, over a power of
 * ten, rounded again. Where two cuts of a text weigh the same, the last bit decides. */
static double twice_rounded(double v) {
    char text[40];
    for (int digits = 14; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, fabs(v));
        if (strtod(text, NULL) == fabs(v)) break;
    }
    uint64_t significand = 0;
    int zeros = 0, tens = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    for (const char *s = text; *s != 'e'; s++) {
        if (*s == '.') continue;
        significand = significand * 10 + (uint64_t)(*s - '0');
        zeros = *s == '0' ? zeros + 1 : 0;
        tens -= s > text;
    }
    for (; zeros > 0 && significand; zeros--, tens++) significand /= 10;
    double power = pow(10, abs(tens));
    return copysign(tens < 0 ? (double)significand / power : (double)significand * power, v);
}

static fl_status read_unigram(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    const json_t *vocab = json_object_get(m, "vocab");
    size_t n = json_array_size(vocab);
    int64_t unk;
    t->kind = &fli_unigram;
    if (n == 0 || t->byte_level)
        return fl_fail(err, FL_ERR_FORMAT, "%s.vocab: expected a list of texts with scores", where);
    FL_TRY(fl_json_int_or(m, "unk_id", -1, &unk, where, err));
    FL_TRY(fl_json_bool_or(m, "byte_fallback", false, &t->byte_fallback, where, err));
    if (unk < -1 || unk >= (int64_t)n)
        return fl_fail(err, FL_ERR_FORMAT, "%s.unk_id: no token has the id %lld", where,
                       (long long)unk);
    t->score = fl_alloc(n * sizeof *t->score);
    t->weight = fl_alloc(n * sizeof *t->weight);
    if (!t->score || !t->weight) return fl_fail(err, FL_ERR_NOMEM, "%zu scores", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(vocab, i), *text = json_array_get(pair, 0);
        if (!json_is_string(text) || !json_is_number(json_array_get(pair, 1)))
            return fl_fail(err, FL_ERR_FORMAT, "%s.vocab[%zu]: expected a text and a score", where,
                           i);
        t->score[i] = json_number_value(json_array_get(pair, 1));
        FL_TRY(fli_tokenizer_put_text(t, (int32_t)i, json_string_value(text),
                                      json_string_length(text), err));
        t->weight[i] = twice_rounded(t->score[i]);
        if (i == 0 || t->weight[i] < t->min_weight) t->min_weight = t->weight[i];
    }
    t->n_scores = (int32_t)n;
    t->unk = (int32_t)unk;
    return fli_tokenizer_index(t, 0, err);
}

/* Files written before the models had a type are told by what they have. */
static const char *guess_type(const json_t *m) {
    return json_object_get(m, "merges")                      ? "BPE"
           : json_is_array(json_object_get(m, "vocab"))      ? "Unigram"
           : json_object_get(m, "continuing_subword_prefix") ? "WordPiece"
                                                             : "unknown";
}

static fl_status read_model(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    static const struct {
        const char *type;
        fl_status (*read)(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err);
    } models[] = {{"BPE", read_bpe}, {"Unigram", read_unigram}, {"WordPiece", read_wordpiece}};
    const char *type;
    FL_TRY(fl_json_str_or(m, "type", guess_type(m), &type, where, err));
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].type, type) == 0) return models[i].read(t, m, where, err);
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.type: \"%s\" is not supported", where, type);
}

/* ---- added tokens ---- */

static fl_status read_added(fl_tokenizer *t, const json_t *list, const char *where, fl_err *err) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i), *content = json_object_get(o, "content");
        int64_t id;
        fli_added a;
        FL_TRY(fl_json_int(o, "id", &id, where, err));
        FL_TRY(fl_json_bool_or(o, "special", false, &a.special, where, err));
        FL_TRY(fl_json_bool_or(o, "normalized", !a.special, &a.normalized, where, err));
        FL_TRY(fl_json_bool_or(o, "lstrip", false, &a.lstrip, where, err));
        FL_TRY(fl_json_bool_or(o, "rstrip", false, &a.rstrip, where, err));
        FL_TRY(fl_json_bool_or(o, "single_word", false, &a.single_word, where, err));
        if (!json_is_string(content) || id < 0 || id > INT32_MAX)
            return fl_fail(err, FL_ERR_FORMAT, "%s[%zu]: expected an id and a content", where, i);
        a.id = (int32_t)id;
        fl_status st = fli_tokenizer_add(t, json_string_value(content), json_string_length(content),
                                         a, err);
        if (st != FL_OK) return fl_context(err, st, "%s[%zu]", where, i);
    }
    return FL_OK;
}

static fl_status build(fl_tokenizer *t, const json_t *root, fl_err *err) {
    if (!json_is_object(root)) return fl_fail(err, FL_ERR_FORMAT, "expected an object");
    FL_TRY(fli_read_pipeline(t, root, err));
    FL_TRY(read_model(t, json_object_get(root, "model"), "model", err));
    FL_TRY(read_added(t, json_object_get(root, "added_tokens"), "added_tokens", err));
    FL_TRY(fli_read_template(t, root, err));
    return fli_tokenizer_finish(t, err);
}

/* ---- tokenizer_config.json ---- */

/* A token is a string or an object with a content. */
static int32_t config_token(const fl_tokenizer *t, const json_t *config, const char *key) {
    const json_t *v = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    return text ? fl_tokenizer_id(t, text) : -1;
}

/* One template, or a list of named ones, of which "default" is the one to use. */
static fl_status take_templates(fl_tokenizer *t, const json_t *v, fl_err *err) {
    const size_t n = json_array_size(v);
    const char *chat = json_string_value(v);
    if (n) FL_TRY(fli_room_for_templates(t, n, err));
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(v, i), "name"));
        const char *source = json_string_value(json_object_get(json_array_get(v, i), "template"));
        if (!name || !source) continue;
        if (strcmp(name, "default") == 0) chat = source;
        else FL_TRY(fli_add_template(t, name, source, err));
    }
    t->chat_template = chat ? fl_strdup(chat) : NULL;
    return !chat || t->chat_template ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "a chat template");
}

fl_status fli_read_config(fl_tokenizer *t, const char *path, fl_err *err) {
    enum { CONFIG_MAX_BYTES = 16 << 20 };
    size_t n;
    json_t *config;
    if (!fl_path_exists(path)) {
        fli_guess_ends(t);
        return FL_OK;
    }
    FL_TRY(fl_file_read(path, CONFIG_MAX_BYTES, &t->config, &n, err));
    FL_TRY(fl_json_parse(&config, t->config, n, path, err));
    t->bos = config_token(t, config, "bos_token");
    t->eos = config_token(t, config, "eos_token");
    const fl_status st = take_templates(t, json_object_get(config, "chat_template"), err);
    json_decref(config);
    return st == FL_OK ? st : fl_context(err, st, "%s", path);
}

fl_status fli_make_hf(fl_tokenizer **out, const json_t *root, fl_err *err) {
    fl_tokenizer *t;
    FL_TRY(fli_tokenizer_new(&t, err));
    fl_status st = build(t, root, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}

fl_status fli_read_hf(fl_tokenizer **out, const char *path, const char *config, fl_err *err) {
    fl_tokenizer *t;
    json_t *root;
    FL_TRY(fl_json_load(&root, path, err));
    fl_status st = fli_make_hf(&t, root, err);
    json_decref(root);
    if (st != FL_OK) return fl_context(err, st, "%s", path);
    st = fli_read_config(t, config, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}
