/* write_hf.c - tokenizer.json and tokenizer_config.json, as Hugging Face writes them.
 *
 * The parts around the model are written as they were read; for a tokenizer that came from another
 * format, as Hugging Face's converters write that format. */
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

/* An id that is no token's gets a name nobody writes. */
static void name_token(const fl_tokenizer *t, int32_t id, fl_text *out) {
    out->n = 0;
    fl_token_text(t, id, out);
    if (!out->n) fl_text_printf(out, "[unused%d]", id);
}

static json_t *vocab_object(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *vocab = keep(w, json_object());
    bool only_normal = t->kind->bytes && added_follow_vocab(t);
    for (int32_t id = 0; id < t->n; id++) {
        if (!t->token[id].kind || (only_normal && t->token[id].kind != FL_TOKEN_NORMAL)) continue;
        name_token(t, id, scratch);
        set(w, vocab, fl_text_str(scratch), json_integer(id));
    }
    return vocab;
}

static json_t *vocab_scores(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *list = keep(w, json_array());
    for (int32_t id = 0; id < t->n_scores; id++) {
        name_token(t, id, scratch);
        json_t *pair = keep(w, json_array());
        append(w, pair, json_stringn(fl_text_str(scratch), scratch->n));
        append(w, pair, json_real(t->score[id]));
        append(w, list, pair);
    }
    return list;
}

/* "left right", or a pair where a token may hold a space. */
static json_t *merge_text(writer *w, const fl_tokenizer *t, fli_merge m, fl_text *scratch) {
    if (!t->kind->bytes && !t->escape) {
        json_t *left = token_text(w, t, m.left, scratch);
        return json_pack("[o,o]", left, token_text(w, t, m.right, scratch));
    }
    scratch->n = 0;
    fl_token_text(t, m.left, scratch);
    fl_text_puts(scratch, " ");
    fl_token_text(t, m.right, scratch);
    return json_stringn(fl_text_str(scratch), scratch->n);
}

static json_t *merge_list(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *list = keep(w, json_array());
    for (size_t i = 0; i < t->merges.n; i++)
        append(w, list, merge_text(w, t, t->merges.list[i], scratch));
    return list;
}

static json_t *added_list(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *list = keep(w, json_array());
    for (int32_t i = 0; i < t->n_added; i++) {
        const fli_added *a = t->added + i;
        bool normalized = a->normalized && !t->always_added;
        append(w, list,
               json_pack("{s:i,s:o,s:b,s:b,s:b,s:b,s:b}", "id", a->id, "content",
                         token_text(w, t, a->id, scratch), "single_word", a->single_word, "lstrip",
                         a->lstrip, "rstrip", a->rstrip, "normalized", normalized, "special",
                         a->special));
    }
    return list;
}

static json_t *byte_level(bool use_regex) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", use_regex);
}

/* ---- the parts around the model, for a tokenizer that was not read from tokenizer.json ---- */

static json_t *charsmap_text(writer *w, const fli_charsmap *m) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *s = m->units - 4;
    size_t n = 4 + 4 * m->n_units + m->n_results;
    fl_text out = {0};
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < n ? s[i + k] : 0);
        char four[4];
        for (size_t k = 0; k < 4; k++) four[k] = digits[bits >> (18 - 6 * k) & 63];
        for (size_t k = n - i + 1; k < 4; k++) four[k] = '=';
        fl_text_append(&out, four, 4);
    }
    json_t *v = out.failed ? NULL : json_stringn(fl_text_str(&out), out.n);
    fl_text_clear(&out);
    return keep(w, v);
}

static json_t *replace(const char *kind, const char *from, const char *to) {
    return json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", kind, from, "content", to);
}

/* SentencePiece's normalisation, by the parts that make it up. */
static void spm_parts(writer *w, json_t *list, const fli_step *step) {
    if (step->map.n_units)
        append(w, list,
               json_pack("{s:s,s:o}", "type", "Precompiled", "precompiled_charsmap",
                         charsmap_text(w, &step->map)));
    if (step->flags & FLI_SPM_SQUEEZE) {
        append(w, list, replace("Regex", "\\A +| +\\z", ""));
        append(w, list, replace("Regex", " {2,}", " "));
    }
    if (step->flags & FLI_SPM_PREFIX)
        append(w, list, json_pack("{s:s,s:s}", "type", "Prepend", "prepend", FLI_ESCAPED_SPACE));
}

static void step_parts(writer *w, json_t *list, const fli_step *step) {
    if (step->apply == fli_step_form) append(w, list, json_pack("{s:s}", "type", "NFC"));
    if (step->apply == fli_step_spm) spm_parts(w, list, step);
    if (step->apply == fli_step_prepend)
        append(w, list, json_pack("{s:s,s:s}", "type", "Prepend", "prepend", step->to));
    if (step->apply == fli_step_replace) append(w, list, replace("String", " ", FLI_ESCAPED_SPACE));
    if (step->apply == fli_step_bert)
        append(w, list,
               json_pack("{s:s,s:b,s:b,s:b,s:b}", "type", "BertNormalizer", "clean_text", 1,
                         "handle_chinese_chars", 1, "strip_accents", 1, "lowercase", 1));
}

static json_t *make_normalizer(writer *w, const fl_tokenizer *t) {
    if (t->n_steps == 0) return json_null();
    json_t *list = keep(w, json_array());
    for (int i = 0; i < t->n_steps; i++) step_parts(w, list, t->step + i);
    if (json_array_size(list) != 1)
        return json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", list);
    json_t *only = json_incref(json_array_get(list, 0));
    json_decref(list);
    return only;
}

static json_t *make_pre_tokenizer(writer *w, const fl_tokenizer *t) {
    if (t->split.n && t->split.stage[0].known == &fli_bert_words)
        return json_pack("{s:s}", "type", "BertPreTokenizer");
    if (!t->kind->bytes) return json_null();
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

static json_t *make_decoder(writer *w, const fl_tokenizer *t) {
    if (t->kind->bytes) return byte_level(true);
    if (t->continuing)
        return json_pack("{s:s,s:s,s:b}", "type", "WordPiece", "prefix", t->continuing, "cleanup",
                         t->join.clean);
    json_t *list = keep(w, json_array());
    append(w, list, replace("String", FLI_ESCAPED_SPACE, " "));
    append(w, list, json_pack("{s:s}", "type", "ByteFallback"));
    append(w, list, json_pack("{s:s}", "type", "Fuse"));
    if (t->join.strip)
        append(w, list,
               json_pack("{s:s,s:s,s:i,s:i}", "type", "Strip", "content", " ", "start", 1, "stop",
                         0));
    return json_pack("{s:s,s:o}", "type", "Sequence", "decoders", list);
}

/* As it was read, or made. */
static json_t *part(writer *w, const fl_tokenizer *t, fli_part which) {
    static json_t *(*const make[FLI_N_PARTS])(writer *, const fl_tokenizer *) = {
        [FLI_NORMALIZER] = make_normalizer,
        [FLI_PRE_TOKENIZER] = make_pre_tokenizer,
        [FLI_DECODER] = make_decoder,
    };
    if (!t->part[which]) return make[which](w, t);
    return keep(w, json_loads(t->part[which], JSON_DECODE_ANY, NULL));
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

/* ---- the model ---- */

static json_t *unknown(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    return t->unk < 0 ? json_null() : token_text(w, t, t->unk, scratch);
}

static json_t *unigram(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *unk = t->unk < 0 ? json_null() : json_integer(t->unk);
    return json_pack("{s:s,s:o,s:b,s:o}", "type", "Unigram", "unk_id", unk, "byte_fallback",
                     t->byte_fallback, "vocab", vocab_scores(w, t, scratch));
}

static json_t *wordpiece(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_int_t max = t->max_chars > INT32_MAX ? INT32_MAX : (json_int_t)t->max_chars;
    return json_pack("{s:s,s:o,s:s,s:I,s:o}", "type", "WordPiece", "unk_token",
                     unknown(w, t, scratch), "continuing_subword_prefix", t->continuing,
                     "max_input_chars_per_word", max, "vocab", vocab_object(w, t, scratch));
}

static json_t *bpe(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *m = json_pack("{s:s,s:n,s:o,s:n,s:n,s:b,s:b,s:b}", "type", "BPE", "dropout",
                          "unk_token", unknown(w, t, scratch), "continuing_subword_prefix",
                          "end_of_word_suffix", "fuse_unk", t->fuse_unk, "byte_fallback",
                          t->byte_fallback, "ignore_merges", t->ignore_merges);
    set(w, m, "vocab", vocab_object(w, t, scratch));
    set(w, m, "merges", merge_list(w, t, scratch));
    return m;
}

static json_t *model(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    return t->kind == &fli_unigram     ? unigram(w, t, scratch)
           : t->kind == &fli_wordpiece ? wordpiece(w, t, scratch)
                                       : bpe(w, t, scratch);
}

static json_t *tokenizer_json(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *root = keep(w, json_pack("{s:s,s:n,s:n}", "version", "1.0", "truncation", "padding"));
    set(w, root, "added_tokens", added_list(w, t, scratch));
    set(w, root, "normalizer", part(w, t, FLI_NORMALIZER));
    set(w, root, "pre_tokenizer", part(w, t, FLI_PRE_TOKENIZER));
    set(w, root, "post_processor", post_processor(w, t, scratch));
    set(w, root, "decoder", part(w, t, FLI_DECODER));
    set(w, root, "model", model(w, t, scratch));
    return root;
}

static json_t *end_token(writer *w, const fl_tokenizer *t, int32_t id, fl_text *scratch) {
    return id < 0 ? json_null() : token_text(w, t, id, scratch);
}

static json_t *template_entry(writer *w, const char *name, const char *source) {
    return keep(w, json_pack("{s:s,s:s}", "name", name, "template", source));
}

/* One template, or a list where there are several. */
static json_t *templates_json(writer *w, const fl_tokenizer *t) {
    if (!t->n_named) return keep(w, json_string(t->chat_template));
    json_t *list = keep(w, json_array());
    if (t->chat_template) append(w, list, template_entry(w, "default", t->chat_template));
    for (size_t i = 0; i < t->n_named; i++)
        append(w, list, template_entry(w, t->named[i].name, t->named[i].source));
    return list;
}

static json_t *config_json(writer *w, const fl_tokenizer *t, fl_text *scratch) {
    json_t *root = keep(w, json_pack("{s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                                     "clean_up_tokenization_spaces", 0));
    set(w, root, "bos_token", end_token(w, t, t->bos, scratch));
    set(w, root, "eos_token", end_token(w, t, t->eos, scratch));
    if (t->chat_template || t->n_named) set(w, root, "chat_template", templates_json(w, t));
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
