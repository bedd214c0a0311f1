/* write_hf.c - tokenizer.json and tokenizer_config.json, as Hugging Face writes them for byte-level
 * BPE. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/internal.h"

/* Every value made here passes through `keep`: jansson answers NULL for lack of memory, at any
 * depth. */
typedef struct {
    bool failed;
} writer;

static json_t *keep(writer *w, json_t *v) {
    if (!v) w->failed = true;
    return v;
}

static void set(writer *w, json_t *o, const char *key, json_t *v) {
    if (json_object_set_new(o, key, v) != 0) w->failed = true;
}

static void append(writer *w, json_t *list, json_t *v) {
    if (json_array_append_new(list, v) != 0) w->failed = true;
}

static json_t *token_text(writer *w, const fl_tokenizer *t, int32_t id, fl_text *scratch) {
    scratch->n = 0;
    fl_token_text(t, id, scratch);
    if (scratch->failed) w->failed = true;
    return keep(w, json_stringn(fl_text_str(scratch), scratch->n));
}

/* Hugging Face numbers added tokens on from the vocabulary. Where ours have other ids, the
 * vocabulary has to hold them. */
static bool added_follow_vocab(const fl_tokenizer *t) {
    int32_t first = t->n - t->n_added;
    for (int32_t i = 0; i < t->n_added; i++)
        if (t->added[i].id != first + i) return false;
    return true;
}

static json_t *vocab_object(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *vocab = keep(w, json_object());
    bool only_normal = added_follow_vocab(t);
    for (int32_t id = 0; id < t->n; id++) {
        if (!t->token[id].kind || (only_normal && t->token[id].kind != FL_TOKEN_NORMAL)) continue;
        scratch->n = 0;
        fl_token_text(t, id, scratch);
        set(w, vocab, fl_text_str(scratch), json_integer(id));
    }
    return vocab;
}

static json_t *merge_list(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *list = keep(w, json_array());
    for (size_t i = 0; i < t->merges.n; i++) {
        scratch->n = 0;
        fl_token_text(t, t->merges.list[i].left, scratch);
        fl_text_puts(scratch, " ");
        fl_token_text(t, t->merges.list[i].right, scratch);
        append(w, list, json_stringn(fl_text_str(scratch), scratch->n));
    }
    return list;
}

static json_t *added_list(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *list = keep(w, json_array());
    for (int32_t i = 0; i < t->n_added; i++) {
        const fli_added *a = t->added + i;
        append(w, list,
               json_pack("{s:i,s:o,s:b,s:b,s:b,s:b,s:b}", "id", a->id, "content",
                         token_text(w, t, a->id, scratch), "single_word", 0, "lstrip", 0, "rstrip",
                         0, "normalized", a->normalized, "special", a->special));
    }
    return list;
}

static json_t *byte_level(bool use_regex) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", use_regex);
}

static json_t *pre_tokenizer(writer *w, const fl_tokenizer *t) {
    if (t->split.n == 0) return byte_level(false);
    if (t->split.n == 1 && t->split.stage[0].known == fli_pattern_find("gpt2"))
        return byte_level(true);
    json_t *list = keep(w, json_array());
    for (int k = 0; k < t->split.n; k++)
        append(w, list,
               json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern", "Regex",
                         t->split.stage[k].regex, "behavior", "Isolated", "invert", 0));
    append(w, list, byte_level(false));
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", list);
}

/* The template's ids on both sides of the text; `pair` is the same twice. */
static void template_side(writer *w, const fl_tokenizer *t, const int32_t *id, int n, int type_id,
                          json_t *list, json_t *table, fl_text *scratch) {
    for (int i = 0; i < n; i++) {
        json_t *text = token_text(w, t, id[i], scratch);
        append(w, list, json_pack("{s:{s:O,s:i}}", "SpecialToken", "id", text, "type_id", type_id));
        set(w, table, json_string_value(text),
            json_pack("{s:O,s:[i],s:[o]}", "id", text, "ids", id[i], "tokens", text));
    }
}

static json_t *post_processor(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    if (t->n_before + t->n_after == 0) return byte_level(false);
    json_t *form[2], *table = keep(w, json_object());
    for (int texts = 1; texts <= 2; texts++) {
        json_t *list = form[texts - 1] = keep(w, json_array());
        for (int k = 0; k < texts; k++) {
            template_side(w, t, t->before, t->n_before, k, list, table, scratch);
            append(w, list,
                   json_pack("{s:{s:s,s:i}}", "Sequence", "id", k ? "B" : "A", "type_id", k));
            template_side(w, t, t->after, t->n_after, k, list, table, scratch);
        }
    }
    return json_pack("{s:s,s:o,s:o,s:o}", "type", "TemplateProcessing", "single", form[0], "pair",
                     form[1], "special_tokens", table);
}

static json_t *tokenizer_json(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *root = keep(w, json_pack("{s:s,s:n,s:n}", "version", "1.0", "truncation", "padding"));
    set(w, root, "added_tokens", added_list(w, t, scratch));
    set(w, root, "normalizer", t->nfc ? json_pack("{s:s}", "type", "NFC") : json_null());
    set(w, root, "pre_tokenizer", pre_tokenizer(w, t));
    set(w, root, "post_processor", post_processor(w, t, scratch));
    set(w, root, "decoder", byte_level(true));
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b}", "type", "BPE", "dropout",
                              "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                              "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", t->ignore_merges);
    set(w, model, "vocab", vocab_object(w, t, scratch));
    set(w, model, "merges", merge_list(w, t, scratch));
    set(w, root, "model", model);
    return root;
}

static json_t *end_token(writer *w, const fl_tokenizer *t, int32_t id, fl_text *scratch) {
    return id < 0 ? json_null() : token_text(w, t, id, scratch);
}

static json_t *config_json(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *root = keep(w, json_pack("{s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                                     "clean_up_tokenization_spaces", 0));
    set(w, root, "bos_token", end_token(w, t, t->bos, scratch));
    set(w, root, "eos_token", end_token(w, t, t->eos, scratch));
    return root;
}

static fl_status save_json(writer *w, json_t *root, const fl_text *scratch, const char *dir,
                           const char *name, fl_err *err) {
    char path[FL_PATH_MAX];
    fl_status st = fl_path_join(path, dir, name, err);
    if (st == FL_OK && (!root || w->failed || scratch->failed))
        st = fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    if (st == FL_OK) st = fl_json_save(root, path, err);
    json_decref(root);
    return st;
}

/* tokenizer_config.json holds things we only pass on (a chat template), so one that was read is
 * kept. */
static fl_status save_config(const fl_tokenizer *t, writer *w, fl_text *scratch, const char *dir,
                             fl_err *err) {
    char path[FL_PATH_MAX];
    if (!t->config)
        return save_json(w, config_json(w, t, scratch), scratch, dir, "tokenizer_config.json", err);
    FL_TRY(fl_path_join(path, dir, "tokenizer_config.json", err));
    return fl_file_write(path, t->config, strlen(t->config), err);
}

fl_status fl_tokenizer_save(const fl_tokenizer *t, const char *dir, fl_err *err) {
    writer w = {0};
    fl_text scratch = {0};
    fl_status st = fl_dir_make(dir, err);
    if (st == FL_OK)
        st = save_json(&w, tokenizer_json(&w, t, &scratch), &scratch, dir, "tokenizer.json", err);
    if (st == FL_OK) st = save_config(t, &w, &scratch, dir, err);
    fl_text_clear(&scratch);
    return st;
}
