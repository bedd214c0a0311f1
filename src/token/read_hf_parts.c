/* read_hf_parts.c - the pipeline of tokenizer.json: pre-tokenizer, decoder and post-processor; the
 * normalizers are in read_hf_normalizers.c.
 *
 * Each part is an object with a "type", or a Sequence of them: a table per part maps the type to
 * what to do. A part that would change the ids and that we do not know is an error that names it.
 *
 * Spaces: a normalizer that replaces a space by U+2581, or Metaspace, say that the vocabulary is
 * written so. In here the spaces stay (piece.h); what such a part does besides is kept as
 * fli_spacing, fli_prefix and the stage that cuts at spaces. */
#include <string.h>

#include "token/internal.h"
#include "token/read_hf.h"
#include "token/read_vocab.h"
#include "token/unicode.h"

/* The part `o` (null, one, or a Sequence whose members are under `members`) by the rows of
 * `types`. */
static fl_status read_part(fl_tokenizer *t, const json_t *o, const fli_hf_part *types,
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
    for (const fli_hf_part *k = types; k->type; k++)
        if (strcmp(type, k->type) == 0) return k->accept ? k->accept(t, o, where, err) : FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.type: \"%s\" is not supported", where, type);
}

fl_status fli_want_bool(const json_t *o, const char *key, bool absent, bool want, const char *where,
                        fl_err *err) {
    bool v;
    FL_TRY(fl_json_bool_or(o, key, absent, &v, where, err));
    if (v == want) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.%s: %s is not supported", where, key,
                   v ? "true" : "false");
}

fl_status fli_want_empty(const json_t *o, const char *key, const char *where, fl_err *err) {
    const char *v;
    FL_TRY(fl_json_str_or(o, key, "", &v, where, err));
    if (!*v) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.%s: \"%s\" is not supported", where, key, v);
}

fl_status fli_hf_pattern(const json_t *o, bool *is_regex, const char **text, const char *where,
                         fl_err *err) {
    const json_t *pattern = json_object_get(o, "pattern");
    *is_regex = json_object_get(pattern, "Regex") != NULL;
    *text = json_string_value(json_object_get(pattern, *is_regex ? "Regex" : "String"));
    if (*text && **text) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT, "%s.pattern: expected {\"Regex\": ..} or {\"String\": ..}",
                   where);
}

/* ---- pre-tokenizer ---- */

/* A part that looks at spaces, after one that made U+2581 of them. */
static fl_status refuse_escaped(const fl_tokenizer *t, const char *what, const char *where,
                                fl_err *err) {
    if (!t->escape) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: \"%.60s\" after spaces have become U+2581", where,
                   what);
}

static fl_status accept_byte_level(fl_tokenizer *t, const json_t *o, const char *where,
                                   fl_err *err) {
    bool regex, prefix;
    t->byte_level = true;
    FL_TRY(fl_json_bool_or(o, "add_prefix_space", true, &prefix, where, err));
    FL_TRY(fl_json_bool_or(o, "use_regex", true, &regex, where, err));
    if (prefix && t->split.n)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s.add_prefix_space: true is not supported after other pre-tokenizers",
                       where);
    if (prefix) t->prefix = FLI_PREFIX_ALWAYS;
    return regex ? fli_splitter_add(&t->split, "gpt2", err) : FL_OK;
}

static fl_status read_behavior(const json_t *o, const char *absent, fli_behavior *out,
                               const char *where, fl_err *err) {
    static const char *const names[] = {[FLI_ISOLATED] = "Isolated",
                                        [FLI_REMOVED] = "Removed",
                                        [FLI_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [FLI_WITH_NEXT] = "MergedWithNext",
                                        [FLI_CONTIGUOUS] = "Contiguous"};
    enum { N_NAMES = sizeof names / sizeof *names };
    const char *name;
    int i = 0;
    FL_TRY(fl_json_str_or(o, "behavior", absent, &name, where, err));
    while (i < N_NAMES && strcmp(names[i], name) != 0) i++;
    *out = (fli_behavior)i;
    if (i < N_NAMES) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.behavior: \"%s\" is not supported", where, name);
}

/* A regular expression that matches `text` and nothing else. */
static void quote_regex(fl_text *out, const char *text) {
    for (const char *s = text; *s; s++) {
        if (strchr("\\^$.|?*+()[]{}-#", *s)) fl_text_puts(out, "\\");
        fl_text_append(out, s, 1);
    }
}

static bool mentions_space(const char *pattern) {
    static const char *const signs[] = {" ", "\\s", "\\S", "\\W", "[^", ".", FLI_ESCAPED_SPACE};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strstr(pattern, signs[i])) return true;
    return false;
}

static fl_status accept_split(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    fli_behavior behavior;
    bool invert, is_regex;
    const char *pattern;
    FL_TRY(read_behavior(o, "", &behavior, where, err));
    FL_TRY(fl_json_bool_or(o, "invert", false, &invert, where, err));
    FL_TRY(fli_hf_pattern(o, &is_regex, &pattern, where, err));
    bool at_space = !is_regex && strcmp(pattern, " ") == 0;
    if (t->escape && at_space && behavior != FLI_REMOVED && !invert)
        return FL_OK;  // there is none any more
    if (mentions_space(pattern)) FL_TRY(refuse_escaped(t, pattern, where, err));
    if (is_regex) return fli_splitter_add_as(&t->split, pattern, behavior, invert, err);
    fl_text quoted = {0};
    quote_regex(&quoted, pattern);
    fl_status st = fl_text_ok(&quoted, err);
    if (st == FL_OK)
        st = fli_splitter_add_as(&t->split, fl_text_str(&quoted), behavior, invert, err);
    fl_text_clear(&quoted);
    return st;
}

static fl_status accept_digits(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool single;
    FL_TRY(fl_json_bool_or(o, "individual_digits", false, &single, where, err));
    return fli_splitter_add(&t->split, single ? "\\p{N}" : "\\p{N}+", err);
}

static fl_status accept_punctuation(fl_tokenizer *t, const json_t *o, const char *where,
                                    fl_err *err) {
    fli_behavior behavior;
    FL_TRY(read_behavior(o, "Isolated", &behavior, where, err));
    return fli_splitter_add_as(&t->split, "[\\p{P}$+<=>^`|~]", behavior, false, err);
}

static fl_status accept_whitespace(fl_tokenizer *t, const json_t *o, const char *where,
                                   fl_err *err) {
    (void)o;
    FL_TRY(refuse_escaped(t, "Whitespace", where, err));
    // Rust's \w, which PCRE2's is not.
    static const char word[] =
        "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|"
        "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+";
    return fli_splitter_add_as(&t->split, word, FLI_REMOVED, true, err);
}

static fl_status accept_words(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o;
    FL_TRY(refuse_escaped(t, "WhitespaceSplit", where, err));
    return fli_splitter_add_known(&t->split, &fli_space_words, err);
}

static fl_status accept_bert_words(fl_tokenizer *t, const json_t *o, const char *where,
                                   fl_err *err) {
    (void)o;
    FL_TRY(refuse_escaped(t, "BertPreTokenizer", where, err));
    fli_bert_unicode_init();
    return fli_splitter_add_known(&t->split, &fli_bert_words, err);
}

/* Older files say add_prefix_space instead of prepend_scheme. */
static fl_status read_metaspace(const json_t *o, fli_prefix *prefix, const char *where,
                                fl_err *err) {
    static const char *const names[] = {
        [FLI_PREFIX_NEVER] = "never", [FLI_PREFIX_FIRST] = "first", [FLI_PREFIX_ALWAYS] = "always"};
    const char *replacement, *scheme;
    bool old;
    int i = FLI_PREFIX_NEVER;
    FL_TRY(fl_json_str_or(o, "replacement", FLI_ESCAPED_SPACE, &replacement, where, err));
    FL_TRY(fl_json_bool_or(o, "add_prefix_space", true, &old, where, err));
    FL_TRY(fl_json_str_or(o, "prepend_scheme", old ? "always" : "never", &scheme, where, err));
    if (strcmp(replacement, FLI_ESCAPED_SPACE) != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.replacement: \"%s\" is not supported", where,
                       replacement);
    while (i <= FLI_PREFIX_ALWAYS && strcmp(names[i], scheme) != 0) i++;
    *prefix = (fli_prefix)i;
    if (i <= FLI_PREFIX_ALWAYS) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s.prepend_scheme: \"%s\" is not supported", where,
                   scheme);
}

static fl_status accept_metaspace(fl_tokenizer *t, const json_t *o, const char *where,
                                  fl_err *err) {
    bool split, words = t->split.n == 1 && t->split.stage[0].known == &fli_space_words;
    FL_TRY(read_metaspace(o, &t->prefix, where, err));
    FL_TRY(fl_json_bool_or(o, "split", true, &split, where, err));
    if ((t->split.n && !words) || (words && (t->prefix != FLI_PREFIX_ALWAYS || !split)))
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: Metaspace is not supported after these",
                       where);
    t->escape = true;
    t->spaces = words ? FLI_SPACES_WORDS : FLI_SPACES_ESCAPED;
    fli_splitter_clear(&t->split);
    return split ? fli_splitter_add_known(&t->split, &fli_at_spaces, err) : FL_OK;
}

static const fli_hf_part pre_tokenizers[] = {{"ByteLevel", accept_byte_level},
                                             {"Split", accept_split},
                                             {"Digits", accept_digits},
                                             {"Punctuation", accept_punctuation},
                                             {"Whitespace", accept_whitespace},
                                             {"WhitespaceSplit", accept_words},
                                             {"BertPreTokenizer", accept_bert_words},
                                             {"Metaspace", accept_metaspace},
                                             {NULL, NULL}};

/* ---- decoder ---- */

static fl_status accept_alphabet(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    (void)o, (void)where, (void)err;
    t->byte_level = true;
    return FL_OK;
}

static fl_status join_metaspace(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    fli_prefix prefix;
    FL_TRY(read_metaspace(o, &prefix, where, err));
    t->join.first_bare = prefix != FLI_PREFIX_NEVER;
    return FL_OK;
}

static fl_status join_wordpiece(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    t->join.first_text = true;
    return fl_json_bool_or(o, "cleanup", true, &t->join.clean, where, err);
}

static fl_status join_replace(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    bool is_regex;
    const char *from, *to;
    FL_TRY(fli_hf_pattern(o, &is_regex, &from, where, err));
    FL_TRY(fl_json_str(o, "content", &to, where, err));
    if (t->escape && !is_regex && strcmp(from, FLI_ESCAPED_SPACE) == 0 && strcmp(to, " ") == 0)
        return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: Replace of \"%.20s\" is not supported", where,
                   from);
}

static fl_status join_strip(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    const char *content;
    int64_t start, stop;
    FL_TRY(fl_json_str(o, "content", &content, where, err));
    FL_TRY(fl_json_int_or(o, "start", 0, &start, where, err));
    FL_TRY(fl_json_int_or(o, "stop", 0, &stop, where, err));
    if (strcmp(content, " ") != 0 || stop != 0 || start < 0 || start > INT32_MAX)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: Strip of anything but spaces at the start",
                       where);
    t->join.strip = (int)start;
    return FL_OK;
}

static const fli_hf_part decoders[] = {{"ByteLevel", accept_alphabet},
                                       {"Metaspace", join_metaspace},
                                       {"WordPiece", join_wordpiece},
                                       {"Replace", join_replace},
                                       {"Strip", join_strip},
                                       {"ByteFallback", NULL},
                                       {"Fuse", NULL},
                                       {NULL, NULL}};

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

/* ["[CLS]", 101] */
static fl_status pair_id(const fl_tokenizer *t, const json_t *o, const char *key, int32_t *id,
                         const char *where, fl_err *err) {
    const json_t *v = json_array_get(json_object_get(o, key), 1);
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : -1;
    if (i < 0 || i >= t->n || !t->token[i].kind)
        return fl_fail(err, FL_ERR_FORMAT, "%s.%s: expected a token and its id", where, key);
    *id = (int32_t)i;
    return FL_OK;
}

static fl_status accept_cls_sep(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err) {
    FL_TRY(pair_id(t, o, "cls", t->before, where, err));
    FL_TRY(pair_id(t, o, "sep", t->after, where, err));
    t->n_before = t->n_after = 1;
    return FL_OK;
}

static const fli_hf_part post_processors[] = {{"ByteLevel", NULL},
                                              {"TemplateProcessing", accept_template},
                                              {"BertProcessing", accept_cls_sep},
                                              {"RobertaProcessing", accept_cls_sep},
                                              {NULL, NULL}};

/* ---- all of them ---- */

/* As it was read, for writing it again. */
static fl_status keep_part(fl_tokenizer *t, fli_part part, const json_t *o, fl_err *err) {
    fl_text text = {0};
    if (!o || json_is_null(o)) fl_text_puts(&text, "null");
    else fl_json_print(&text, o, 0);
    t->part[part] = text.data;
    return fl_text_ok(&text, err);
}

fl_status fli_read_pipeline(fl_tokenizer *t, const json_t *root, fl_err *err) {
    static const struct {
        const char *key, *members;
        const fli_hf_part *types;
    } parts[FLI_N_PARTS] = {
        [FLI_NORMALIZER] = {"normalizer", "normalizers", fli_hf_normalizers},
        [FLI_PRE_TOKENIZER] = {"pre_tokenizer", "pretokenizers", pre_tokenizers},
        [FLI_DECODER] = {"decoder", "decoders", decoders},
    };
    for (int i = 0; i < FLI_N_PARTS; i++) {
        const json_t *o = json_object_get(root, parts[i].key);
        FL_TRY(read_part(t, o, parts[i].types, parts[i].members, parts[i].key, err));
        FL_TRY(keep_part(t, (fli_part)i, o, err));
    }
    return FL_OK;
}

fl_status fli_read_template(fl_tokenizer *t, const json_t *root, fl_err *err) {
    return read_part(t, json_object_get(root, "post_processor"), post_processors, "processors",
                     "post_processor", err);
}
