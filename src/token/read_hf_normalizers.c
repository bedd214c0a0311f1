/* read_hf_normalizers - the normalizers of tokenizer.json, each as a step of ours (normalize.h). */
#include <string.h>

#include "token/internal.h"
#include "token/read_hf.h"
#include "token/read_vocab.h"
#include "token/unicode.h"

static fl_status accept_nfc(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, fli_nfc_step, err);
}

static fl_status accept_nfd(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, (fli_step){.apply = fli_step_form}, err);
}

static fl_status accept_nfkc(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    fli_step step = {.apply = fli_step_form, .flags = FLI_COMPOSE | FLI_COMPAT};
    return fli_add_step(t, step, err);
}

static fl_status accept_nfkd(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, (fli_step){.apply = fli_step_form, .flags = FLI_COMPAT}, err);
}

static fl_status accept_lower(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, (fli_step){.apply = fli_step_lower}, err);
}

static fl_status accept_accents(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, (fli_step){.apply = fli_step_accents}, err);
}

static fl_status accept_nmt(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where;
    return fli_add_step(t, (fli_step){.apply = fli_step_nmt}, err);
}

static fl_status accept_strip(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool left, right;
    FL_TRY(fl_json_bool_or(o, "strip_left", true, &left, where, err));
    FL_TRY(fl_json_bool_or(o, "strip_right", true, &right, where, err));
    unsigned flags = (left ? FLI_LEFT : 0u) | (right ? FLI_RIGHT : 0u);
    return fli_add_step(t, (fli_step){.apply = fli_step_strip, .flags = flags}, err);
}

static fl_status accept_prepend(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    const char *text;
    FL_TRY(fl_json_str(o, "prepend", &text, where, err));
    fli_step step = {.apply = fli_step_prepend, .to = text, .n_to = strlen(text)};
    return fli_add_step(t, step, err);
}

static fl_status accept_replace(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool is_regex;
    const char *from, *to;
    FL_TRY(fli_hf_pattern(o, &is_regex, &from, where, err));
    FL_TRY(fl_json_str(o, "content", &to, where, err));
    if (!is_regex && strcmp(from, " ") == 0 && strcmp(to, FLI_ESCAPED_SPACE) == 0)
        return fli_escape_spaces(t, err);
    fli_step step = {.apply = is_regex ? fli_step_replace_regex : fli_step_replace,
                     .from = from,
                     .n_from = strlen(from),
                     .to = to,
                     .n_to = strlen(to)};
    if (is_regex) FL_TRY(fli_regex_compile(&step.regex, from, err));
    fl_status st = fli_add_step(t, step, err);
    if (st != FL_OK) fli_regex_free(step.regex);
    return st;
}

static fl_status accept_bert(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool clean, chinese, accents, lower;
    FL_TRY(fl_json_bool_or(o, "clean_text", true, &clean, where, err));
    FL_TRY(fl_json_bool_or(o, "handle_chinese_chars", true, &chinese, where, err));
    FL_TRY(fl_json_bool_or(o, "lowercase", true, &lower, where, err));
    FL_TRY(fl_json_bool_or(o, "strip_accents", lower, &accents, where, err));
    fli_bert_unicode_init();
    unsigned flags = (clean ? FLI_BERT_CLEAN : 0u) | (chinese ? FLI_BERT_CHINESE : 0u) |
                     (accents ? FLI_BERT_ACCENTS : 0u) | (lower ? FLI_BERT_LOWER : 0u);
    return fli_add_step(t, (fli_step){.apply = fli_step_bert, .flags = flags}, err);
}

static fl_status accept_precompiled(fl_tokenizer *t, const json_t *o, const char *where,
                                    fl_err *err) {
    const json_t *v = json_object_get(o, "precompiled_charsmap");
    if (!v || json_is_null(v)) return FL_OK;
    if (!json_is_string(v))
        return fl_fail(err, FL_ERR_FORMAT, "%s.precompiled_charsmap: expected base64", where);
    size_t n_text = json_string_length(v), n = 0;
    uint8_t *map = (uint8_t *)fli_keep(t, json_string_value(v), n_text);
    if (!map) return fl_fail(err, FL_ERR_NOMEM, "%s.precompiled_charsmap", where);
    if (n_text && !(n = fli_base64_decode(json_string_value(v), n_text, map)))
        return fl_fail(err, FL_ERR_FORMAT, "%s.precompiled_charsmap: expected base64", where);
    fli_step step = {.apply = fli_step_precompiled};
    FL_TRY(fli_charsmap_open(&step.map, map, n, err));
    return fli_add_step(t, step, err);
}

const fli_hf_part fli_hf_normalizers[] = {{"NFC", accept_nfc},
                                          {"NFD", accept_nfd},
                                          {"NFKC", accept_nfkc},
                                          {"NFKD", accept_nfkd},
                                          {"Lowercase", accept_lower},
                                          {"Strip", accept_strip},
                                          {"StripAccents", accept_accents},
                                          {"Replace", accept_replace},
                                          {"Prepend", accept_prepend},
                                          {"BertNormalizer", accept_bert},
                                          {"Precompiled", accept_precompiled},
                                          {"Nmt", accept_nmt},
                                          {NULL, NULL}};
