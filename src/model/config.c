/* config - config.json: read by the rows of arch/, completed, checked, written. Rotary positions
 * and windows, which have dialects, are in config_rope.c and config_window.c. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "model/arch.h"
#include "model/internal.h"

enum { LAYERS_MAX = 10000 };

static const char CONFIG[] = "config.json", GENERATION_CONFIG[] = "generation_config.json";

void fl_config_clear(fl_config *c) {
    json_decref(c->rope_scaling);
    c->rope_scaling = NULL;
}

/* ---- demands ---- */

static bool value_allowed(const char *values, const char *shown) {
    size_t n = strlen(shown);
    for (const char *at = values; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, shown, n) == 0 && (at[n] == '|' || at[n] == '\0')) return true;
    }
    return false;
}

/* "a" of v, or "b" of its object "a" for "a.b". */
static const json_t *member(const json_t *v, const char *key) {
    char outer[64];
    const char *dot = strchr(key, '.');
    if (!dot) return json_object_get(v, key);
    FL_ASSERT((size_t)(dot - key) < sizeof outer);
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - key), key);
    return json_object_get(json_object_get(v, outer), dot + 1);
}

static fl_status check_demands(const fl_arch *arch, const json_t *v, const char *where,
                               fl_err *err) {
    for (const fl_config_demand *d = arch->demands; d->key; d++) {
        const json_t *value = member(v, d->key);
        if (!value) continue;
        char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        bool good = shown && value_allowed(d->values, shown);
        if (!good)
            fl_fail(err, FL_ERR_UNSUPPORTED, "%s: %s is %.60s; for %s only %s is supported", where,
                    d->key, shown ? shown : "?", arch->name, d->values);
        free(shown);
        if (!good) return FL_ERR_UNSUPPORTED;
    }
    return FL_OK;
}

/* ---- numbers ---- */

static void *field(fl_config *c, const fl_config_key *key) {
    return (char *)c + key->offset;
}

/* An optional field that is null is left to be derived. */
static fl_status read_field(fl_config *c, const fl_config_key *k, const json_t *v,
                            const char *where, fl_err *err) {
    void *out = field(c, k);
    const char *key = k->also && !json_object_get(v, k->key) && json_object_get(v, k->also)
                          ? k->also
                          : k->key;
    double otherwise = json_object_get(v, key) ? 0 : k->fallback;
    if (k->kind == FL_KEY_BOOL) return fl_json_bool_or(v, key, otherwise != 0, out, where, err);
    if (k->kind == FL_KEY_REAL) return fl_json_real_or(v, key, otherwise, out, where, err);
    if (k->required) return fl_json_int(v, key, out, where, err);
    return fl_json_int_or(v, key, (int64_t)otherwise, out, where, err);
}

/* A token id, or the first of a list of them; null is none. */
static fl_status read_id(const json_t *id, const char *key, int32_t *out, const char *where,
                         fl_err *err) {
    *out = -1;
    if (!id || json_is_null(id)) return FL_OK;
    if (!json_is_integer(id) || json_integer_value(id) < -1 || json_integer_value(id) > INT32_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %s: expected a token id", where, key);
    *out = (int32_t)json_integer_value(id);
    return FL_OK;
}

static fl_status read_token(const json_t *v, const char *key, int32_t *out, const char *where,
                            fl_err *err) {
    const json_t *id = json_object_get(v, key);
    return read_id(json_is_array(id) ? json_array_get(id, 0) : id, key, out, where, err);
}

static fl_status add_end(fl_config *c, int32_t id, const char *where, fl_err *err) {
    if (id < 0 || fl_config_ends(c, id)) return FL_OK;
    if (c->eos_token_id < 0) {
        c->eos_token_id = id;
        return FL_OK;
    }
    if (c->n_more_ends == FL_MORE_ENDS)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: eos_token_id: more than %d tokens end a text",
                       where, FL_MORE_ENDS + 1);
    c->more_ends[c->n_more_ends++] = id;
    return FL_OK;
}

bool fl_config_ends(const fl_config *c, int32_t id) {
    for (int i = 0; i < c->n_more_ends; i++)
        if (c->more_ends[i] == id) return true;
    return id >= 0 && id == c->eos_token_id;
}

/* A token, or a list of them, of which the first is the one to end texts with. */
static fl_status read_ends(fl_config *c, const json_t *v, const char *where, fl_err *err) {
    static const char key[] = "eos_token_id";
    const json_t *list = json_object_get(v, key);
    int32_t id;
    for (size_t i = 0; i < (json_is_array(list) ? json_array_size(list) : 1); i++) {
        FL_TRY(read_id(json_is_array(list) ? json_array_get(list, i) : list, key, &id, where, err));
        FL_TRY(add_end(c, id, where, err));
    }
    return FL_OK;
}

/* ---- the whole ---- */

/* What any model trained here may have, whether or not its architecture is published with it. */
static const fl_config_key softcaps[] = {{"final_logit_softcapping", NULL,
                                          offsetof(fl_config, logit_softcap), FL_KEY_REAL, false, 0,
                                          NULL},
                                         {"attn_logit_softcapping", NULL,
                                          offsetof(fl_config, attn_softcap), FL_KEY_REAL, false, 0,
                                          NULL},
                                         {NULL, NULL, 0, FL_KEY_REAL, false, 0, NULL}};

static bool lists(const fl_arch *arch, const char *key) {
    for (const fl_config_key *k = arch->keys; k->key; k++)
        if (strcmp(k->key, key) == 0) return true;
    return false;
}

/* DeepSeek-V2 has groups of experts and may yet choose from all; so it does when it does not
 * say. */
static const char TOPK_METHOD[] = "topk_method", GREEDY[] = "greedy";

static bool has_topk_method(const fl_config *c) {
    return lists(c->arch, "n_group") && !c->arch->routing.sigmoid;
}

static void read_topk_method(fl_config *c, const json_t *v) {
    const char *method = json_string_value(json_object_get(v, TOPK_METHOD));
    if (has_topk_method(c) && (!method || strcmp(method, GREEDY) == 0))
        c->n_group = c->topk_group = 0;
}

static fl_status parse_fields(fl_config *c, const json_t *v, const char *where, fl_err *err) {
    FL_TRY(check_demands(c->arch, v, where, err));
    for (const fl_config_key *k = c->arch->keys; k->key; k++)
        FL_TRY(read_field(c, k, v, where, err));
    read_topk_method(c, v);
    FL_TRY(fl_json_bool_or(v, "tie_word_embeddings", c->arch->tied, &c->tie_word_embeddings, where,
                           err));
    FL_TRY(read_token(v, "bos_token_id", &c->bos_token_id, where, err));
    c->eos_token_id = -1;
    FL_TRY(read_ends(c, v, where, err));
    for (const fl_config_key *k = softcaps; k->key; k++)
        if (!lists(c->arch, k->key)) FL_TRY(read_field(c, k, v, where, err));
    if (c->arch->position == FL_POSITION_ROPE) FL_TRY(fli_config_read_rope(c, v, where, err));
    FL_TRY(fli_config_read_window(c, v, where, err));
    fl_status s = fl_config_complete(c, err);
    return s == FL_OK ? s : fl_context(err, s, "%s", where);
}

static fl_status find_arch(const fl_arch **out, const json_t *v, const char *where, fl_err *err) {
    const char *name;
    FL_TRY(fl_json_str(v, "model_type", &name, where, err));
    if ((*out = fl_arch_find(name))) return FL_OK;
    char known[300] = "";
    for (int i = 0; fl_archs[i]; i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, fl_archs[i]->name, sizeof known - strlen(known) - 1);
    }
    return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: model_type is \"%.40s\"; known are %s", where,
                   name, known);
}

fl_status fl_config_parse(fl_config *out, const json_t *v, const char *where, fl_err *err) {
    if (!json_is_object(v)) return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object", where);
    fl_config c = {0};
    FL_TRY(find_arch(&c.arch, v, where, err));
    fl_status s = parse_fields(&c, v, where, err);
    if (s != FL_OK) {
        fl_config_clear(&c);
        return s;
    }
    *out = c;
    return FL_OK;
}

/* generation_config.json may know of further tokens that end a text. */
static fl_status read_generation(fl_config *c, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    json_t *v;
    FL_TRY(fl_path_join(path, dir, GENERATION_CONFIG, err));
    if (!fl_path_exists(path)) return FL_OK;
    FL_TRY(fl_json_load(&v, path, err));
    fl_status s = read_ends(c, v, path, err);
    json_decref(v);
    return s;
}

fl_status fl_config_load(fl_config *out, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    json_t *v;
    FL_TRY(fl_path_join(path, dir, CONFIG, err));
    FL_TRY(fl_json_load(&v, path, err));
    fl_status s = fl_config_parse(out, v, path, err);
    json_decref(v);
    if (s != FL_OK) return s;
    s = read_generation(out, dir, err);
    if (s != FL_OK) fl_config_clear(out);
    return s;
}

/* ---- completing and checking ---- */

/* What the row says where config.json is silent or null; only of fields that cannot be 0. */
static void fall_back(fl_config *c) {
    for (const fl_config_key *k = c->arch->keys; k->key; k++) {
        void *at = field(c, k);
        if (at == &c->norm_eps && c->norm_eps == 0) c->norm_eps = k->fallback;
        if (at == &c->initializer_range && c->initializer_range == 0)
            c->initializer_range = k->fallback;
        if (at == &c->swiglu_limit && c->swiglu_limit == 0) c->swiglu_limit = k->fallback;
        if (at == &c->max_position_embeddings && c->max_position_embeddings == 0)
            c->max_position_embeddings = (int64_t)k->fallback;
    }
}

static void derive(fl_config *c) {
    fall_back(c);
    if (c->num_experts && !c->moe_intermediate_size)
        c->moe_intermediate_size = c->intermediate_size;
    if (c->n_shared_experts)
        c->shared_intermediate_size = c->n_shared_experts * c->moe_intermediate_size;
    if (c->kv_lora_rank) {
        c->head_dim = c->qk_nope_head_dim + c->qk_rope_head_dim;
        c->rotary_dim = c->qk_rope_head_dim;
    }
    if (!c->num_key_value_heads) c->num_key_value_heads = c->num_attention_heads;
    if (!c->intermediate_size) c->intermediate_size = 4 * c->hidden_size;
    if (!c->head_dim && c->num_attention_heads > 0)
        c->head_dim = c->hidden_size / c->num_attention_heads;
    if (!c->query_pre_attn_scalar) c->query_pre_attn_scalar = c->head_dim;
    if (!c->rotary_dim) c->rotary_dim = c->head_dim;
    if (c->sliding_window && !c->full_every) c->full_every = c->arch->full_every;
    if (c->rope_theta == 0) c->rope_theta = 10000;
}

static fl_status check_sizes(const fl_config *c, fl_err *err) {
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {
        {"vocab_size", c->vocab_size, INT32_MAX},
        {"hidden_size", c->hidden_size, 1 << 20},
        {"intermediate_size", c->intermediate_size, 1 << 24},
        {"num_hidden_layers", c->num_hidden_layers, LAYERS_MAX},
        {"num_attention_heads", c->num_attention_heads, 1 << 16},
        {"num_key_value_heads", c->num_key_value_heads, 1 << 16},
        {"head_dim", c->head_dim, 1 << 16},
        {"max_position_embeddings", c->max_position_embeddings, INT32_MAX},
        {"query_pre_attn_scalar", c->query_pre_attn_scalar, 1 << 24},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return fl_fail(err, FL_ERR_ARG, "%s is %lld, expected 1 to %lld", sizes[i].name,
                           (long long)sizes[i].value, (long long)sizes[i].most);
    return FL_OK;
}

static fl_status check_latents(const fl_config *c, fl_err *err) {
    const int64_t sizes[] = {c->kv_lora_rank, c->qk_nope_head_dim, c->qk_rope_head_dim,
                             c->v_head_dim};
    if (!c->kv_lora_rank) return FL_OK;
    bool good = c->q_lora_rank >= 0 && c->q_lora_rank <= 1 << 20;
    for (int i = 0; i < 4; i++) good = good && sizes[i] >= 1 && sizes[i] <= 1 << 16;
    if (good) return FL_OK;
    return fl_fail(err, FL_ERR_ARG,
                   "kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim and v_head_dim must be 1 to "
                   "65536, q_lora_rank not below 0");
}

/* An expert's share of the router, and what all of a layer's experts come to. */
static fl_status check_experts(const fl_config *c, fl_err *err) {
    enum { MOST = 1 << 26 };
    if (!c->num_experts) return FL_OK;
    if (c->num_experts < 1 || c->moe_intermediate_size < 1 ||
        c->num_experts > MOST / c->moe_intermediate_size || c->shared_intermediate_size < 0 ||
        c->shared_intermediate_size > MOST)
        return fl_fail(err, FL_ERR_ARG,
                       "%lld experts of width %lld and a shared one of %lld: expected at least "
                       "one, and no more than %d numbers together",
                       (long long)c->num_experts, (long long)c->moe_intermediate_size,
                       (long long)c->shared_intermediate_size, (int)MOST);
    if (c->experts_per_token < 1 || c->experts_per_token > c->num_experts)
        return fl_fail(err, FL_ERR_ARG, "num_experts_per_tok is %lld, expected 1 to %lld",
                       (long long)c->experts_per_token, (long long)c->num_experts);
    const int64_t groups = c->n_group ? c->n_group : 1, chosen = c->n_group ? c->topk_group : 1;
    if (groups < 1 || c->num_experts % groups || chosen < 1 || chosen > groups ||
        c->experts_per_token > c->num_experts / groups * chosen ||
        (c->arch->routing.group_pair && c->num_experts / groups < 2))
        return fl_fail(err, FL_ERR_ARG,
                       "%lld experts of %lld cannot be chosen from %lld of %lld groups (n_group, "
                       "topk_group)",
                       (long long)c->experts_per_token, (long long)c->num_experts,
                       (long long)chosen, (long long)groups);
    if (c->first_dense >= 0 && c->expert_every >= 0) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "the layers that have experts must be counted from 0 upwards");
}

fl_status fl_config_complete(fl_config *c, fl_err *err) {
    FL_ASSERT(c->arch);
    derive(c);
    FL_TRY(check_sizes(c, err));
    FL_TRY(check_latents(c, err));
    FL_TRY(check_experts(c, err));
    if (c->num_attention_heads % c->num_key_value_heads)
        return fl_fail(err, FL_ERR_ARG,
                       "num_attention_heads (%lld) is not a multiple of num_key_value_heads (%lld)",
                       (long long)c->num_attention_heads, (long long)c->num_key_value_heads);
    bool rope = c->arch->position == FL_POSITION_ROPE;
    if (rope && (c->rotary_dim % 2 || c->rotary_dim < 2 || c->rotary_dim > c->head_dim))
        return fl_fail(err, FL_ERR_ARG,
                       "rotary positions turn %lld of the %lld numbers of a head (head_dim); "
                       "expected an even count up to head_dim",
                       (long long)c->rotary_dim, (long long)c->head_dim);
    if (!rope && c->num_attention_heads * c->head_dim != c->hidden_size)
        return fl_fail(err, FL_ERR_ARG,
                       "hidden_size (%lld) is not a multiple of the number of heads (%lld)",
                       (long long)c->hidden_size, (long long)c->num_attention_heads);
    if (!(c->norm_eps > 0) || !(c->rope_theta > 0) || !(c->initializer_range > 0) ||
        !(c->rope_local_theta >= 0) || c->sliding_window < 0 || c->full_every < 0)
        return fl_fail(err, FL_ERR_ARG,
                       "the norm's epsilon, rope_theta and initializer_range must be above 0, "
                       "sliding_window not below");
    if (!(c->logit_softcap >= 0) || !(c->attn_softcap >= 0) || !(c->swiglu_limit >= 0))
        return fl_fail(err, FL_ERR_ARG, "soft caps and swiglu_limit must not be below 0");
    return rope ? fli_rope_check(c, err) : FL_OK;
}

/* ---- writing ---- */

static void put_token(json_t *v, const char *key, int32_t id) {
    json_object_set_new(v, key, id >= 0 ? json_integer(id) : json_null());
}

/* One token as a number, several as a list. */
static void put_ends(json_t *v, const fl_config *c) {
    put_token(v, "eos_token_id", c->eos_token_id);
    if (!c->n_more_ends) return;
    json_t *list = json_pack("[i]", (int)c->eos_token_id);
    for (int i = 0; i < c->n_more_ends; i++)
        json_array_append_new(list, json_integer(c->more_ends[i]));
    json_object_set_new(v, "eos_token_id", list);
}

/* What transformers wants to hear where there is none of it: queries without a latent, experts in
 * one group. */
static bool put_none(json_t *v, const fl_config *c, const fl_config_key *k) {
    const void *at = (const char *)c + k->offset;
    const bool group = at == &c->n_group || at == &c->topk_group;
    if ((!group && at != &c->q_lora_rank) || *(const int64_t *)at) return false;
    json_object_set_new(v, k->key, group ? json_integer(1) : json_null());
    return true;
}

static void put_field(json_t *v, const fl_config *c, const fl_config_key *k) {
    const void *at = (const char *)c + k->offset;
    if (put_none(v, c, k)) return;
    json_t *value = k->kind == FL_KEY_BOOL   ? json_boolean(*(const bool *)at)
                    : k->kind == FL_KEY_REAL ? json_real(*(const double *)at)
                                             : json_integer(*(const int64_t *)at);
    json_object_set_new(v, k->key, value);
}

/* Soft caps: null is none. */
static void put_softcap(json_t *v, const fl_config *c, const fl_config_key *k) {
    bool none = *(const double *)(const void *)((const char *)c + k->offset) == 0;
    if (!none) put_field(v, c, k);
    else if (lists(c->arch, k->key)) json_object_set_new(v, k->key, json_null());
    if (none || lists(c->arch, k->key)) return;
    fl_warn(
        "config.json: %s is written for Fledge; transformers' %s does not know it and would "
        "compute other logits",
        k->key, c->arch->hf_class);
}

static void put_fields(json_t *v, const fl_config *c, fl_dtype dtype) {
    static const char *const dtype_name[FL_DTYPE_COUNT] =
        {[FL_F32] = "float32", [FL_F16] = "float16", [FL_BF16] = "bfloat16"};
    const fl_arch *arch = c->arch;
    json_object_set_new(v, "architectures", json_pack("[s]", arch->hf_class));
    json_object_set_new(v, "model_type", json_string(arch->name));
    for (const fl_config_key *k = arch->keys; k->key; k++) put_field(v, c, k);
    if (has_topk_method(c))
        json_object_set_new(v, TOPK_METHOD,
                            json_string(c->n_group ? "group_limited_greedy" : GREEDY));
    for (const fl_config_key *k = softcaps; k->key; k++) put_softcap(v, c, k);
    if (arch->position == FL_POSITION_ROPE) fli_config_put_rope(v, c);
    fli_config_put_window(v, c);
    json_object_set_new(v, "tie_word_embeddings", json_boolean(c->tie_word_embeddings));
    put_token(v, "bos_token_id", c->bos_token_id);
    put_ends(v, c);
    json_object_set_new(v, "torch_dtype",
                        json_string(dtype_name[dtype] ? dtype_name[dtype] : "float32"));
}

fl_status fl_config_save(const fl_config *c, const char *dir, fl_dtype dtype, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, CONFIG, err));
    json_t *v = json_object(), *constants = json_loads(c->arch->constants, 0, NULL);
    fl_status s = v && constants ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    if (s == FL_OK) {
        put_fields(v, c, dtype);
        json_object_update(v, constants);
        s = fl_json_save(v, path, err);
    }
    json_decref(constants);
    json_decref(v);
    return s;
}

fl_status fl_generation_config_save(const fl_config *c, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, GENERATION_CONFIG, err));
    json_t *v = json_object();
    if (!v) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    if (c->bos_token_id >= 0) put_token(v, "bos_token_id", c->bos_token_id);
    if (c->eos_token_id >= 0) put_ends(v, c);
    fl_status s = fl_json_save(v, path, err);
    json_decref(v);
    return s;
}
