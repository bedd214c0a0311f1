/* load_gguf - a GGUF file as a model: its facts, its weights, its tokenizer.
 *
 * The keys become what config.json would say, by the names that the architecture's row gives both,
 * and are read and checked as it is: there is one reader of facts. Weights are used where they lie,
 * in their own format. Only the rows of Llama's Q and K are copied, into the order that Hugging
 * Face's files have (docs/traps.md): rows are whole blocks, so that costs nothing but the copy, and
 * everything that knows about heads knows one order. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "model/gguf_facts.h"
#include "token/tokenizer.h"
#include "token/vocab.h"

/* ---- facts ---- */

typedef struct {
    const fl_gguf_file *f;
    const fl_arch *arch;
    json_t *v;  // config.json in the making
    const char *where;
    fl_err *err;
} facts;

/* "llama.block_count" */
static const char *full_key(const facts *x, const char *name, char out[128]) {
    snprintf(out, 128, "%s.%s", x->arch->gguf_name, name);
    return out;
}

static fl_status copy_field(facts *x, const fl_config_key *k) {
    char key[128];
    int64_t whole = 0;
    double real = 0;
    bool yes = false;
    if (!k->gguf || !fl_gguf_find(x->f, full_key(x, k->gguf, key))) return FL_OK;
    if (k->kind == FL_KEY_INT) FL_TRY(fl_gguf_get_int(x->f, key, &whole, x->err));
    if (k->kind == FL_KEY_REAL) FL_TRY(fl_gguf_get_real(x->f, key, &real, x->err));
    if (k->kind == FL_KEY_BOOL) FL_TRY(fl_gguf_get_bool(x->f, key, &yes, x->err));
    json_object_set_new(x->v, k->key,
                        k->kind == FL_KEY_INT    ? json_integer(whole)
                        : k->kind == FL_KEY_REAL ? json_real(real)
                                                 : json_boolean(yes));
    return FL_OK;
}

static void set_if_absent(facts *x, const fl_config_key *k, json_t *value) {
    if (json_object_get(x->v, k->key)) json_decref(value);
    else json_object_set_new(x->v, k->key, value);
}

/* Whether the first layer has what the row calls this. */
static bool sees(const facts *x, fl_slot slot) {
    char name[128] = "";
    for (const fl_weight_row *row = x->arch->weights; row->hf; row++)
        if (row->slot == slot) fli_name_weight(name, sizeof name, row->gguf, 0);
    return fl_gguf_tensor(x->f, name) != NULL;
}

/* What GGUF leaves to be seen from the tensors, or to be known. */
static void see_field(facts *x, const fl_config_key *k) {
    const fl_stored_tensor *embed = fl_gguf_tensor(x->f, "token_embd.weight");
    if (k->offset == offsetof(fl_config, vocab_size) && embed)
        set_if_absent(x, k, json_integer(embed->t.dim[0]));
    if (k->offset == offsetof(fl_config, attention_bias))
        set_if_absent(x, k, json_boolean(sees(x, FL_SLOT_Q_B)));
    if (k->offset == offsetof(fl_config, mlp_bias))
        set_if_absent(x, k, json_boolean(sees(x, FL_SLOT_UP_B)));
    if (k->offset == offsetof(fl_config, norm_topk))
        set_if_absent(x, k, json_boolean(x->arch->gguf_norm_topk));
}

static bool is_latent(const facts *x) {
    return json_object_get(x->v, "kv_lora_rank") != NULL;
}

/* As llama.cpp has it, whose default is not that of every family. */
static fl_status head_size(facts *x, int64_t *out) {
    char key[128];
    int64_t width = 0, heads = 0;
    *out = 0;
    FL_TRY(fl_gguf_get_int(x->f, full_key(x, "attention.key_length", key), out, x->err));
    FL_TRY(fl_gguf_get_int(x->f, full_key(x, "embedding_length", key), &width, x->err));
    FL_TRY(fl_gguf_get_int(x->f, full_key(x, "attention.head_count", key), &heads, x->err));
    if (!*out && heads > 0) *out = width / heads;
    return FL_OK;
}

static fl_status see_head_size(facts *x) {
    int64_t size;
    FL_TRY(head_size(x, &size));
    for (const fl_config_key *k = x->arch->keys; k->key; k++)
        if (k->offset == offsetof(fl_config, head_dim) && size > 0)
            set_if_absent(x, k, json_integer(size));
    return FL_OK;
}

static fl_status copy_token(facts *x, const char *key, const char *name) {
    int64_t id = -1;
    FL_TRY(fl_gguf_get_int(x->f, key, &id, x->err));
    if (id >= 0 && id <= INT32_MAX) json_object_set_new(x->v, name, json_integer(id));
    return FL_OK;
}

/* The ends of a text, of a turn and of a message, as a list. */
static fl_status copy_ends(facts *x) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    json_t *list = json_array();
    json_object_set_new(x->v, "eos_token_id", list);
    for (int i = 0; i < 3; i++) {
        int64_t id = -1;
        FL_TRY(fl_gguf_get_int(x->f, keys[i], &id, x->err));
        if (id >= 0 && id <= INT32_MAX) json_array_append_new(list, json_integer(id));
    }
    return FL_OK;
}

/* ---- rotary positions ---- */

/* Llama 3's scaling as the table of divisors it comes to: found again by its largest, the rest of
 * its numbers being the same in all that were published. */
static json_t *llama3_scaling(const fl_stored_tensor *divisors) {
    double factor = 1;
    for (int64_t i = 0; i < fl_tensor_count(&divisors->t); i++)
        factor = fmax(factor, fl_tensor_get(&divisors->t, i));
    return json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", factor,
                     "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                     "original_max_position_embeddings", 8192);
}

static json_t *factor_list(const facts *x, const char *name) {
    const fl_stored_tensor *t = fl_gguf_tensor(x->f, name);
    json_t *list = json_array();
    for (int64_t i = 0; t && i < fl_tensor_count(&t->t); i++)
        json_array_append_new(list, json_real(fl_tensor_get(&t->t, i)));
    return list;
}

static fl_status copy_ramp(facts *x, json_t *scaling) {
    static const char *const ramp[][2] = {{"beta_fast", "rope.scaling.yarn_beta_fast"},
                                          {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    char key[128];
    for (int i = 0; i < 2; i++) {
        double beta = 0;
        FL_TRY(fl_gguf_get_real(x->f, full_key(x, ramp[i][1], key), &beta, x->err));
        if (beta > 0) json_object_set_new(scaling, ramp[i][0], json_real(beta));
    }
    return FL_OK;
}

static fl_status named_scaling(facts *x, const char *type, json_t *scaling) {
    char key[128];
    double factor = 1, attention = 0;
    int64_t original = 0;
    FL_TRY(fl_gguf_get_real(x->f, full_key(x, "rope.scaling.factor", key), &factor, x->err));
    FL_TRY(
        fl_gguf_get_real(x->f, full_key(x, "rope.scaling.attn_factor", key), &attention, x->err));
    FL_TRY(fl_gguf_get_int(x->f, full_key(x, "rope.scaling.original_context_length", key),
                           &original, x->err));
    json_object_set_new(scaling, "rope_type", json_string(type));
    json_object_set_new(scaling, "factor", json_real(factor));
    const bool yarn = strcmp(type, "yarn") == 0;
    if (yarn && is_latent(x)) FL_TRY(fli_gguf_get_mscale(scaling, x->f, x->arch, x->err));
    if (yarn) attention *= 0.1 * log(factor) + 1;  // on top of YaRN's own
    if (attention > 0) json_object_set_new(scaling, "attention_factor", json_real(attention));
    if (original > 0)
        json_object_set_new(scaling, "original_max_position_embeddings", json_integer(original));
    if (x->arch->rope.ramp_exact) json_object_set_new(scaling, "truncate", json_false());
    return copy_ramp(x, scaling);
}

static fl_status read_scaling(facts *x, json_t **out) {
    char key[128];
    const char *type = "none";
    const fl_stored_tensor *divisors = fl_gguf_tensor(x->f, "rope_freqs.weight");
    FL_TRY(fl_gguf_get_str(x->f, full_key(x, "rope.scaling.type", key), &type, x->err));
    const bool longrope = fl_gguf_tensor(x->f, "rope_factors_long.weight") != NULL;
    *out = divisors ? llama3_scaling(divisors) : json_object();
    if (longrope) {
        FL_TRY(named_scaling(x, "longrope", *out));
        json_object_set_new(*out, "short_factor", factor_list(x, "rope_factors_short.weight"));
        json_object_set_new(*out, "long_factor", factor_list(x, "rope_factors_long.weight"));
    } else if (strcmp(type, "none") != 0) {
        FL_TRY(named_scaling(x, type, *out));
    }
    return FL_OK;
}

/* The share of a head that is rotated goes into the scaling's object too: config.json's reader
 * takes it from there whatever the family calls it. */
static fl_status copy_rope(facts *x) {
    char key[128];
    double theta = 0;
    int64_t rotated = 0, head;
    json_t *scaling = NULL;
    fl_status s = read_scaling(x, &scaling);
    if (scaling) json_object_set_new(x->v, "rope_scaling", scaling);
    FL_TRY(s);
    FL_TRY(fl_gguf_get_real(x->f, full_key(x, "rope.freq_base", key), &theta, x->err));
    if (theta > 0) json_object_set_new(scaling, "rope_theta", json_real(theta));
    FL_TRY(fl_gguf_get_int(x->f, full_key(x, "rope.dimension_count", key), &rotated, x->err));
    FL_TRY(head_size(x, &head));
    if (is_latent(x)) return FL_OK;  // its row counts what is rotated
    if (rotated > 0 && head > 0 && (rotated != head || x->arch->rope.share_key))
        json_object_set_new(scaling, "partial_rotary_factor",
                            json_real((double)rotated / (double)head));
    return FL_OK;
}

/* ---- the whole ---- */

static fl_status copy_facts(facts *x) {
    json_object_set_new(x->v, "model_type", json_string(x->arch->name));
    for (const fl_config_key *k = x->arch->keys; k->key; k++) {
        FL_TRY(copy_field(x, k));
        see_field(x, k);
    }
    if (is_latent(x)) FL_TRY(fli_gguf_get_latent(x->v, x->f, x->arch, x->err));
    FL_TRY(see_head_size(x));
    if (x->arch->position == FL_POSITION_ROPE) FL_TRY(copy_rope(x));
    if (x->arch->window != FL_WINDOW_NONE) {
        char key[128];
        int64_t window = 0, every = 0;
        double theta = 0;
        FL_TRY(
            fl_gguf_get_int(x->f, full_key(x, "attention.sliding_window", key), &window, x->err));
        if (window > 0) json_object_set_new(x->v, "sliding_window", json_integer(window));
        FL_TRY(fl_gguf_get_int(x->f, full_key(x, "attention.sliding_window_pattern", key), &every,
                               x->err));
        if (every > 0) json_object_set_new(x->v, "sliding_window_pattern", json_integer(every));
        FL_TRY(fl_gguf_get_real(x->f, full_key(x, "rope.freq_base_swa", key), &theta, x->err));
        if (theta > 0) json_object_set_new(x->v, "rope_local_base_freq", json_real(theta));
    }
    FL_TRY(copy_token(x, "tokenizer.ggml.bos_token_id", "bos_token_id"));
    FL_TRY(copy_ends(x));
    const bool tied = !fl_gguf_tensor(x->f, "output.weight");
    json_object_set_new(x->v, "tie_word_embeddings", json_boolean(tied));
    return FL_OK;
}

static bool has_experts(const fl_arch *a) {
    for (const fl_weight_row *row = a->weights; row->hf; row++)
        if (row->slot == FL_SLOT_ROUTER) return true;
    return false;
}

static bool has_pairs(const fl_arch *a) {
    for (const fl_weight_row *row = a->weights; row->hf; row++)
        if (row->gguf_permute) return true;
    return false;
}

/* Several rows may have one name in GGUF: those with experts are for files with experts, and the
 * one that is called so comes first; and those that route by a sigmoid, for files that say so. */
static const fl_arch *arch_of(const char *gguf_name, bool experts, bool sigmoid) {
    const fl_arch *found = NULL;
    for (int i = 0; fl_archs[i]; i++) {
        const fl_arch *a = fl_archs[i];
        if (!a->gguf_name || strcmp(a->gguf_name, gguf_name) || has_experts(a) != experts) continue;
        if (a->routing.sigmoid != sigmoid) continue;
        if (!found || strcmp(a->name, gguf_name) == 0) found = a;
    }
    return found;
}

static const char *known_archs(char *out, size_t room) {
    *out = '\0';
    for (int i = 0; fl_archs[i]; i++) {
        const char *name = fl_archs[i]->gguf_name;
        const fl_arch *first = name ? arch_of(name, false, false) : NULL;
        if (name && !first) first = arch_of(name, true, false);
        if (first != fl_archs[i]) continue;
        strncat(out, *out ? ", " : "", room - strlen(out) - 1);
        strncat(out, name, room - strlen(out) - 1);
    }
    return out;
}

static fl_status find_arch(const fl_gguf_file *f, const fl_arch **out, fl_err *err) {
    const char *name = NULL, *type = "model";
    char text[300];
    int64_t experts = 0, gating = 0;
    FL_TRY(fl_gguf_get_str(f, "general.architecture", &name, err));
    FL_TRY(fl_gguf_get_str(f, "general.type", &type, err));
    if (!name) return fl_fail(err, FL_ERR_FORMAT, "key general.architecture is missing");
    if (strcmp(type, "model") != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "general.type is \"%.40s\", not a model", type);
    snprintf(text, sizeof text, "%.100s.expert_count", name);
    FL_TRY(fl_gguf_get_int(f, text, &experts, err));
    snprintf(text, sizeof text, "%.100s.expert_gating_func", name);
    FL_TRY(fl_gguf_get_int(f, text, &gating, err));
    if ((*out = arch_of(name, experts > 0, gating == FLI_GGUF_SIGMOID))) return FL_OK;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "general.architecture is \"%.40s\"%s; known are %s",
                   name, experts > 0 ? " with experts" : "", known_archs(text, sizeof text));
}

/* Whether the divisors in the file are those that the scaling comes to. */
static fl_status divisors_agree(const facts *x, const fl_config *c, bool *out) {
    const fl_stored_tensor *t = fl_gguf_tensor(x->f, "rope_freqs.weight");
    fli_rope rope[FLI_ROPE_COUNT] = {{0}};
    *out = true;
    if (!t) return FL_OK;
    if (c->arch->position != FL_POSITION_ROPE || fl_tensor_count(&t->t) != c->rotary_dim / 2)
        return fl_fail(x->err, FL_ERR_SHAPE, "rope_freqs.weight has %lld numbers, expected %lld",
                       (long long)fl_tensor_count(&t->t), (long long)c->rotary_dim / 2);
    const fl_status s = fli_rope_new(rope, c, x->err);
    for (int64_t i = 0; s == FL_OK && *out && i < c->rotary_dim / 2; i++) {
        const double plain = pow(c->rope_theta, -2.0 * (double)i / (double)c->rotary_dim);
        const double want = plain / (double)rope[FLI_ROPE_MAIN].inv_freq[i];
        *out = fabs(fl_tensor_get(&t->t, i) - want) <= 1e-4 * want;
    }
    fli_rope_clear(rope);
    return s;
}

/* Other divisors are kept as they are, as longrope's lists, which say the same. */
static void list_divisors(facts *x) {
    static const char *const lists[] = {"short_factor", "long_factor"};
    json_t *scaling = json_object_get(x->v, "rope_scaling");
    json_object_set_new(scaling, "rope_type", json_string("longrope"));
    json_object_set_new(scaling, "factor", json_real(1));
    json_object_set_new(scaling, "attention_factor", json_real(1));
    for (int i = 0; i < 2; i++)
        json_object_set_new(scaling, lists[i], factor_list(x, "rope_freqs.weight"));
}

static fl_status parse_config(facts *x, fl_config *out) {
    bool agree;
    FL_TRY(copy_facts(x));
    FL_TRY(fl_config_parse(out, x->v, x->where, x->err));
    fl_status s = divisors_agree(x, out, &agree);
    if (s == FL_OK && agree) return FL_OK;
    fl_config_clear(out);
    if (s != FL_OK) return s;
    list_divisors(x);
    return fl_config_parse(out, x->v, x->where, x->err);
}

static fl_status read_config(fl_config *out, const fl_gguf_file *f, const char *path, fl_err *err) {
    facts x = {.f = f, .where = path, .err = err, .v = json_object()};
    fl_status s = x.v ? find_arch(f, &x.arch, err) : fl_fail(err, FL_ERR_NOMEM, "the facts");
    if (s == FL_OK) s = parse_config(&x, out);
    if (s == FL_OK && x.arch->gguf_query_scalar)  // no key has it: llama.cpp knows it
        out->query_pre_attn_scalar = x.arch->gguf_query_scalar(out);
    if (s == FL_OK) out->split_kv_up = fl_gguf_tensor(f, "blk.0.attn_k_b.weight") != NULL;
    json_decref(x.v);
    return s;
}

/* ---- weights ---- */

static const char *const ignored[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                      "rope_factors_short.weight", NULL};

static const fl_stored_tensor *tensor_at(const void *file, int i) {
    return fl_gguf_tensor_at(file, i);
}

static const fl_stored_tensor *find_tensor(const void *file, const char *name) {
    return fl_gguf_tensor(file, name);
}

static fl_status load_weights(fl_model *m, const fl_gguf_file *f, const fl_model_opts *opts,
                              fl_err *err) {
    fli_stored_list list = {0};
    const fli_tensors from = {.file = f,
                              .n = fl_gguf_n_tensors(f),
                              .at = tensor_at,
                              .find = find_tensor,
                              .facts = "file's keys",
                              .ignored = ignored};
    fl_status s = fli_stored_gguf(&list, m, FLI_READ, FL_F32, err);
    if (s == FL_OK) s = fli_load_tensors(m, &from, &list, opts, err);
    fli_stored_clear(&list);
    return s;
}

/* ---- the tokenizer ---- */

/* An array of strings as the tokenizer takes it. */
static fl_status take_texts(const fl_gguf_file *f, const char *key, fl_vocab_text **out, size_t *n,
                            fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    *out = NULL;
    *n = 0;
    if (!k) return FL_OK;
    if (!k->is_array || k->type != FL_GGUF_STRING)
        return fl_fail(err, FL_ERR_FORMAT, "key %s is not an array of strings", key);
    fl_vocab_text *texts = fl_alloc(((size_t)k->n + 1) * sizeof *texts);
    if (!texts) return fl_fail(err, FL_ERR_NOMEM, "the vocabulary");
    for (uint64_t i = 0; i < k->n; i++)
        texts[i] = (fl_vocab_text){k->strings[i].bytes, k->strings[i].n};
    *out = texts;
    *n = (size_t)k->n;
    return FL_OK;
}

/* One number per token: int32_t or float by `real`. */
static fl_status take_numbers(const fl_gguf_file *f, const char *key, size_t n, bool real,
                              void **out, fl_err *err) {
    const fl_gguf_key *k = fl_gguf_find(f, key);
    *out = NULL;
    if (!k) return FL_OK;
    if (!k->is_array || k->type == FL_GGUF_STRING || k->n != n)
        return fl_fail(err, FL_ERR_FORMAT, "key %s is not one number for each of %zu tokens", key,
                       n);
    int32_t *whole = fl_alloc((n + 1) * sizeof *whole);
    if (!whole) return fl_fail(err, FL_ERR_NOMEM, "the vocabulary");
    float *reals = (float *)whole;
    for (size_t i = 0; i < n; i++) {
        const double v = fl_gguf_number(k, i);
        if (real) reals[i] = (float)v;
        else whole[i] = v >= 0 && v < 100 ? (int32_t)v : 0;
    }
    *out = whole;
    return FL_OK;
}

static fl_status take_id(const fl_gguf_file *f, const char *key, int32_t *out, fl_err *err) {
    int64_t id = -1;
    FL_TRY(fl_gguf_get_int(f, key, &id, err));
    *out = id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
    return FL_OK;
}

static fl_status take_said(const fl_gguf_file *f, const char *key, fl_said *out, fl_err *err) {
    bool yes = false;
    if (!fl_gguf_find(f, key)) return FL_OK;
    FL_TRY(fl_gguf_get_bool(f, key, &yes, err));
    *out = yes ? FL_SAID_YES : FL_SAID_NO;
    return FL_OK;
}

#define KEY(name) "tokenizer.ggml." name

static fl_status take_small(const fl_gguf_file *f, fl_vocab *v, fl_err *err) {
    FL_TRY(take_id(f, KEY("bos_token_id"), &v->bos, err));
    FL_TRY(take_id(f, KEY("eos_token_id"), &v->eos, err));
    FL_TRY(take_id(f, KEY("unknown_token_id"), &v->unk, err));
    FL_TRY(take_id(f, KEY("seperator_token_id"), &v->sep, err));
    FL_TRY(take_id(f, KEY("padding_token_id"), &v->pad, err));
    FL_TRY(take_id(f, KEY("cls_token_id"), &v->cls, err));
    FL_TRY(take_id(f, KEY("mask_token_id"), &v->mask, err));
    FL_TRY(take_said(f, KEY("add_bos_token"), &v->add_bos, err));
    FL_TRY(take_said(f, KEY("add_eos_token"), &v->add_eos, err));
    FL_TRY(take_said(f, KEY("add_sep_token"), &v->add_sep, err));
    FL_TRY(take_said(f, KEY("add_space_prefix"), &v->add_space_prefix, err));
    FL_TRY(take_said(f, KEY("remove_extra_whitespaces"), &v->remove_extra_whitespaces, err));
    const fl_gguf_key *map = fl_gguf_find(f, KEY("precompiled_charsmap"));
    if (map && map->is_array && (map->type == FL_GGUF_U8 || map->type == FL_GGUF_I8)) {
        v->charsmap_bytes = (size_t)map->n;
        v->charsmap = (const uint8_t *)map->value + map->value_bytes - map->n;
    }
    FL_TRY(fl_gguf_get_str(f, KEY("pre"), &v->pre, err));
    return fl_gguf_get_str(f, "tokenizer.chat_template", &v->chat_template, err);
}

static fl_status make_tokenizer(fl_tokenizer **out, const fl_gguf_file *f, fl_vocab *v,
                                fl_err *err) {
    fl_vocab_text *tokens = NULL, *merges = NULL;
    void *kinds = NULL, *scores = NULL;
    size_t n = 0;
    fl_status s = take_texts(f, KEY("tokens"), &tokens, &n, err);
    if (s == FL_OK && n > INT32_MAX) s = fl_fail(err, FL_ERR_FORMAT, "%zu tokens", n);
    if (s == FL_OK) s = take_texts(f, KEY("merges"), &merges, &v->n_merges, err);
    if (s == FL_OK) s = take_numbers(f, KEY("token_type"), n, false, &kinds, err);
    if (s == FL_OK) s = take_numbers(f, KEY("scores"), n, true, &scores, err);
    v->token = tokens;
    v->n_tokens = (int32_t)n;
    v->merge = merges;
    v->kind = kinds;
    v->score = scores;
    if (s == FL_OK) s = fl_tokenizer_from_vocab(out, v, err);
    fl_dealloc(tokens);
    fl_dealloc(merges);
    fl_dealloc(kinds);
    fl_dealloc(scores);
    return s;
}

/* tokenizer.chat_template.NAME */
static fl_status take_templates(const fl_gguf_file *f, fl_arena *arena, fl_vocab *v, fl_err *err) {
    static const char prefix[] = "tokenizer.chat_template.";
    const size_t n = strlen(prefix);
    fl_vocab_template *named = FL_NEW(arena, fl_vocab_template, (size_t)fl_gguf_n_keys(f) + 1);
    if (!named) return fl_fail(err, FL_ERR_NOMEM, "the chat templates");
    v->named = named;
    for (int i = 0; i < fl_gguf_n_keys(f); i++) {
        fl_vocab_template *t = &named[v->n_named];
        const char *key = fl_gguf_key_at(f, i)->name;
        if (strncmp(key, prefix, n) != 0) continue;
        FL_TRY(fl_gguf_get_str(f, key, &t->source, err));
        t->name = key + n;
        v->n_named++;
    }
    return FL_OK;
}

static fl_status read_vocab(fl_tokenizer **out, const fl_gguf_file *f, fl_vocab *v, fl_err *err) {
    fl_arena arena;
    fl_arena_init(&arena, 1 << 12);
    fl_status s = take_small(f, v, err);
    if (s == FL_OK) s = take_templates(f, &arena, v, err);
    if (s == FL_OK) s = make_tokenizer(out, f, v, err);
    fl_arena_free(&arena);
    return s;
}

/* NULL if there is none. */
static fl_status read_tokenizer(fl_tokenizer **out, const fl_gguf_file *f, fl_err *err) {
    fl_vocab v = FL_VOCAB_INIT;
    *out = NULL;
    FL_TRY(fl_gguf_get_str(f, KEY("model"), &v.model, err));
    const bool none = !v.model || strcmp(v.model, "none") == 0;
    return none ? FL_OK : read_vocab(out, f, &v, err);
}

static fl_status load_tokenizer(fl_model *m, const fl_gguf_file *f, const char *path, fl_err *err) {
    FL_TRY(read_tokenizer(&m->tokenizer, f, err));
    if (!m->tokenizer) {
        fl_warn("%s: no tokenizer inside; the model can be fed token ids only", path);
        return FL_OK;
    }
    const char *template = fl_tokenizer_chat_template(m->tokenizer);
    if (template && !(m->chat_template = fl_strdup(template)))
        return fl_fail(err, FL_ERR_NOMEM, "the chat template");
    return fli_check_tokenizer(m, path, err);
}

fl_status fl_model_tokenizer(fl_tokenizer **out, const char *path, fl_err *err) {
    fl_gguf_file *f;
    if (!fl_gguf_is(path)) return fl_tokenizer_load(out, path, err);
    FL_TRY(fl_gguf_open(&f, path, err));
    fl_status s = read_tokenizer(out, f, err);
    if (s == FL_OK && !*out) s = fl_fail(err, FL_ERR_FORMAT, "no tokenizer inside");
    fl_gguf_close(f);
    return s == FL_OK ? s : fl_context(err, s, "%s", path);
}

/* ---- the model ---- */

static fl_status load_from(fl_model **out, const fl_gguf_file *f, const char *path,
                           const fl_model_opts *opts, fl_err *err) {
    fl_config config;
    fl_model *m = NULL;
    FL_TRY(read_config(&config, f, path, err));
    fl_status s = fli_model_shell(&m, &config, err);
    fl_config_clear(&config);
    if (s == FL_OK) m->memory->pairs = opts->as_stored && has_pairs(m->config.arch);
    if (s == FL_OK) s = load_weights(m, f, opts, err);
    if (s == FL_OK && !opts->no_tokenizer) s = load_tokenizer(m, f, path, err);
    if (s != FL_OK) {
        fl_model_free(m);
        return s;
    }
    *out = m;
    return FL_OK;
}

fl_status fli_load_gguf(fl_model **out, const char *path, const fl_model_opts *opts, fl_err *err) {
    fl_gguf_file *f;
    FL_TRY(fl_gguf_open(&f, path, err));
    fl_status s = load_from(out, f, path, opts, err);
    if (s == FL_OK && opts->as_stored) (*out)->memory->gguf = f;
    else fl_gguf_close(f);
    return s == FL_OK ? s : fl_context(err, s, "loading %s", path);
}
