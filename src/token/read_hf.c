/* read_hf.c - tokenizer.json and tokenizer_config.json of Hugging Face.
 *
 * Each part of the pipeline (normalizer, pre-tokenizer, post-processor, decoder) is an object with
 * a "type", or a Sequence of them: a table per part maps the type to what to do. A part that would
 * change the ids and that we do not know is an error that names it. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/internal.h"

/* One type of one part. NULL accept: known, and changes nothing. */
typedef struct {
    const char *type;
    fl_status (*accept)(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err);
} part_type;

/* The part `o` (null, one, or a Sequence whose members are under `members`) by the rows of
 * `types`. */
static fl_status read_part(fl_tokenizer *t, const json_t *o, const part_type *types,
                           const char *members, const char *where, fl_err *err) {
    if (!o || json_is_null(o)) return FL_OK;
    const char *type;
    FL_TRY(fl_json_str(o, "type", &type, where, err));
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(o, members);
        if (!json_is_array(list))
            return fl_fail(err, FL_ERR_FORMAT, "%s.%s: expected a list", where, members);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *one = json_array_get(list, i);
            const char *inner = json_string_value(json_object_get(one, "type"));
            if (inner && strcmp(inner, "Sequence") == 0)
                return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: a Sequence in a Sequence", where);
            FL_TRY(read_part(t, one, types, members, where, err));
        }
        return FL_OK;
    }
    for (const part_type *k = types; k->type; k++)
        if (strcmp(type, k->type) == 0) return k->accept ? k->accept(t, o, where, err) : FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.type: \"%s\" is not supported, only byte-level BPE",
                   where, type);
}

/* The field must be absent, null or `want`. */
static fl_status want_bool(const json_t *o, const char *key, bool absent, bool want,
                           const char *where, fl_err *err) {
    bool v;
    FL_TRY(fl_json_bool_or(o, key, absent, &v, where, err));
    if (v == want) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.%s: %s is not supported", where, key,
                   v ? "true" : "false");
}

static fl_status want_empty(const json_t *o, const char *key, const char *where, fl_err *err) {
    const char *v;
    FL_TRY(fl_json_str_or(o, key, "", &v, where, err));
    if (!*v) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.%s: \"%s\" is not supported", where, key, v);
}

/* ---- normalizer, pre-tokenizer, decoder ---- */

static fl_status accept_nfc(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where, (void)err;
    t->nfc = true;
    return FL_OK;
}

static fl_status accept_alphabet(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where, (void)err;
    t->byte_level = true;
    return FL_OK;
}

static fl_status accept_byte_level(fl_tokenizer *t, const json_t *o, const char *where,
                                   fl_err *err) {
    bool regex;
    t->byte_level = true;
    FL_TRY(want_bool(o, "add_prefix_space", true, false, where, err));
    FL_TRY(fl_json_bool_or(o, "use_regex", true, &regex, where, err));
    return regex ? fli_splitter_add(&t->split, "gpt2", err) : FL_OK;
}

static fl_status accept_split(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    const char *behavior, *regex;
    FL_TRY(fl_json_str(o, "behavior", &behavior, where, err));
    FL_TRY(want_bool(o, "invert", false, false, where, err));
    if (strcmp(behavior, "Isolated") != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s.behavior: \"%s\" is not supported, only Isolated", where, behavior);
    const json_t *pattern = json_object_get(o, "pattern");
    if (!json_is_object(pattern) || !json_object_get(pattern, "Regex"))
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.pattern: only {\"Regex\": ..} is supported",
                       where);
    FL_TRY(fl_json_str(pattern, "Regex", &regex, where, err));
    return fli_splitter_add(&t->split, regex, err);
}

static fl_status accept_digits(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool single;
    FL_TRY(fl_json_bool_or(o, "individual_digits", false, &single, where, err));
    return fli_splitter_add(&t->split, single ? "\\p{N}" : "\\p{N}+", err);
}

static const part_type normalizers[] = {{"NFC", accept_nfc}, {NULL, NULL}};
static const part_type pre_tokenizers[] = {{"ByteLevel", accept_byte_level},
                                           {"Split", accept_split},
                                           {"Digits", accept_digits},
                                           {NULL, NULL}};
static const part_type decoders[] = {{"ByteLevel", accept_alphabet}, {NULL, NULL}};

/* ---- post-processor ---- */

static fl_status template_ids(fl_tokenizer *t, const json_t *o, const json_t *item, int32_t *list,
                              int *n, const char *where, fl_err *err) {
    const char *name;
    FL_TRY(fl_json_str(json_object_get(item, "SpecialToken"), "id", &name, where, err));
    const json_t *ids = json_object_get(json_object_get(json_object_get(o, "special_tokens"), name),
                                        "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (id < 0 || id >= t->n || !t->token[id].kind || *n == FLI_TEMPLATE_MAX)
            return fl_fail(err, FL_ERR_FORMAT, "%s.special_tokens.%s: no such token, or too many",
                           where, name);
        list[(*n)++] = (int32_t)id;
    }
    return FL_OK;
}

static fl_status accept_template(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    const json_t *single = json_object_get(o, "single");
    bool text_seen = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        if (json_object_get(item, "Sequence")) {
            text_seen = true;
            continue;
        }
        int32_t *list = text_seen ? t->after : t->before;
        FL_TRY(template_ids(t, o, item, list, text_seen ? &t->n_after : &t->n_before, where, err));
    }
    if (text_seen) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT, "%s.single: the text is not in it", where);
}

static const part_type post_processors[] = {{"ByteLevel", NULL},
                                            {"TemplateProcessing", accept_template},
                                            {NULL, NULL}};

/* ---- model and added tokens ---- */

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

static fl_status read_model(fl_tokenizer *t, const json_t *m, const char *where, fl_err *err) {
    const char *type;
    double dropout;
    FL_TRY(fl_json_str_or(m, "type", json_object_get(m, "merges") ? "BPE" : "unknown", &type, where,
                          err));
    if (strcmp(type, "BPE") != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.type: \"%s\" is not supported, only BPE", where,
                       type);
    FL_TRY(fl_json_real_or(m, "dropout", 0, &dropout, where, err));
    if (dropout != 0) return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.dropout is not supported", where);
    FL_TRY(want_bool(m, "byte_fallback", false, false, where, err));
    FL_TRY(want_empty(m, "continuing_subword_prefix", where, err));
    FL_TRY(want_empty(m, "end_of_word_suffix", where, err));
    FL_TRY(fl_json_bool_or(m, "ignore_merges", false, &t->ignore_merges, where, err));
    const json_t *vocab = json_object_get(m, "vocab"), *merges = json_object_get(m, "merges");
    if (!json_is_object(vocab) || !json_is_array(merges))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object vocab and a list merges", where);
    FL_TRY(fli_put_vocab(t, vocab, where, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    for (size_t i = 0; i < json_array_size(merges); i++)
        FL_TRY(read_merge(t, json_array_get(merges, i), where, err));
    return FL_OK;
}

static fl_status read_added(fl_tokenizer *t, const json_t *list, const char *where, fl_err *err) {
    static const char *const not_ours[] = {"lstrip", "rstrip", "single_word"};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i), *content = json_object_get(o, "content");
        int64_t id;
        bool special, normalized;
        FL_TRY(fl_json_int(o, "id", &id, where, err));
        FL_TRY(fl_json_bool_or(o, "special", false, &special, where, err));
        FL_TRY(fl_json_bool_or(o, "normalized", !special, &normalized, where, err));
        for (int k = 0; k < 3; k++) FL_TRY(want_bool(o, not_ours[k], false, false, where, err));
        if (!json_is_string(content) || id < 0 || id > INT32_MAX)
            return fl_fail(err, FL_ERR_FORMAT, "%s[%zu]: expected an id and a content", where, i);
        fl_status st = fli_tokenizer_add(t, json_string_value(content), json_string_length(content),
                                         (int32_t)id, special, normalized, err);
        if (st != FL_OK) return fl_context(err, st, "%s[%zu]", where, i);
    }
    return FL_OK;
}

static fl_status build(fl_tokenizer *t, const json_t *root, fl_err *err) {
    if (!json_is_object(root)) return fl_fail(err, FL_ERR_FORMAT, "expected an object");
    FL_TRY(read_model(t, json_object_get(root, "model"), "model", err));
    FL_TRY(read_part(t, json_object_get(root, "normalizer"), normalizers, "normalizers",
                     "normalizer", err));
    FL_TRY(read_part(t, json_object_get(root, "pre_tokenizer"), pre_tokenizers, "pretokenizers",
                     "pre_tokenizer", err));
    FL_TRY(read_part(t, json_object_get(root, "decoder"), decoders, "decoders", "decoder", err));
    FL_TRY(read_added(t, json_object_get(root, "added_tokens"), "added_tokens", err));
    FL_TRY(read_part(t, json_object_get(root, "post_processor"), post_processors, "processors",
                     "post_processor", err));
    if (!t->byte_level)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "pre_tokenizer: no ByteLevel in it: only byte-level "
                       "vocabularies are supported");
    return fli_tokenizer_finish(t, err);
}

/* ---- tokenizer_config.json ---- */

/* A token is a string or an object with a content. */
static int32_t config_token(const fl_tokenizer *t, const json_t *config, const char *key) {
    const json_t *v = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    return text ? fl_tokenizer_id(t, text) : -1;
}

/* One template, or a list of named ones, of which "default" is taken. */
static const char *config_template(const json_t *config) {
    const json_t *v = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(v, i), "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(json_array_get(v, i), "template"));
    }
    return json_string_value(v);
}

static fl_status read_config(fl_tokenizer *t, const char *path, fl_err *err) {
    enum { CONFIG_MAX_BYTES = 16 << 20 };
    size_t n;
    json_t *config;
    if (!fl_path_exists(path)) {
        fli_guess_ends(t);
        return FL_OK;
    }
    FL_TRY(fl_file_read(path, CONFIG_MAX_BYTES, &t->config, &n, err));
    FL_TRY(fl_json_parse(&config, t->config, n, path, err));
    const char *chat = config_template(config);
    t->bos = config_token(t, config, "bos_token");
    t->eos = config_token(t, config, "eos_token");
    t->chat_template = chat ? fl_strdup(chat) : NULL;
    bool short_of_memory = chat && !t->chat_template;
    json_decref(config);
    return short_of_memory ? fl_fail(err, FL_ERR_NOMEM, "%s: chat_template", path) : FL_OK;
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
    st = read_config(t, config, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}
