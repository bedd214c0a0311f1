/* config_rope - rotary settings, in three dialects: rope_theta and rope_scaling at the top level
 * (what most tools read, and what is written here), one object rope_parameters (transformers 5),
 * and that object with one of the same for each kind of layer (Gemma 3). All are read. */
#include <string.h>

#include "model/internal.h"

static const char ORIGINAL[] = "original_max_position_embeddings",
                  SHARE[] = "partial_rotary_factor";

static const char *theta_key(const fl_config *c) {
    return c->arch->rope.theta_key ? c->arch->rope.theta_key : "rope_theta";
}

/* Early Phi-3 called longrope "su" or "yarn". */
static fl_status scaling_type(const json_t *scaling, const char **out, const char *where,
                              fl_err *err) {
    FL_TRY(fl_json_str_or(scaling, "type", "default", out, where, err));
    FL_TRY(fl_json_str_or(scaling, "rope_type", *out, out, where, err));
    if (json_object_get(scaling, "long_factor")) *out = "longrope";
    return FL_OK;
}

/* A copy in the first dialect's words, with the length it was trained at inside. */
static fl_status keep_scaling(fl_config *c, const json_t *scaling, const json_t *v,
                              const char *where, fl_err *err) {
    const char *type;
    FL_TRY(scaling_type(scaling, &type, where, err));
    if (strcmp(type, "default") == 0) return FL_OK;
    json_t *kept = json_copy((json_t *)(uintptr_t)scaling),
           *original = json_object_get(v, ORIGINAL);
    if (!original) original = json_object_get(kept, ORIGINAL);
    original = original ? json_incref(original) : json_integer(c->max_position_embeddings);
    if (!kept || json_object_set_new(kept, "rope_type", json_string(type)) != 0 ||
        json_object_set(kept, ORIGINAL, original) != 0) {
        json_decref(kept);
        json_decref(original);
        return fl_fail(err, FL_ERR_NOMEM, "%s: rope_scaling", where);
    }
    json_decref(original);
    static const char *const elsewhere[] = {"rope_theta", "type", SHARE};
    for (int i = 0; i < 3; i++) json_object_del(kept, elsewhere[i]);
    c->rope_scaling = kept;
    return FL_OK;
}

/* The share of a head that is rotated, as a count. */
static fl_status read_share(fl_config *c, const json_t *scaling, const json_t *v, const char *where,
                            fl_err *err) {
    const fl_rope_keys *keys = &c->arch->rope;
    const char *key = keys->share_key ? keys->share_key : SHARE;
    double share;
    FL_TRY(fl_json_real_or(v, key, keys->share_key ? keys->share : 1, &share, where, err));
    if (scaling) FL_TRY(fl_json_real_or(scaling, SHARE, share, &share, where, err));
    if (!(share > 0) || !(share <= 1) || (share < 1 && !keys->share_key))
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: %s is %g; for %s it must be %s", where, key,
                       share, c->arch->name, keys->share_key ? "above 0 and at most 1" : "1");
    if (share == 1) return FL_OK;
    int64_t heads = c->num_attention_heads > 0 ? c->num_attention_heads : 1;
    int64_t head_dim = c->head_dim ? c->head_dim : c->hidden_size / heads;
    c->rotary_dim = (int64_t)((double)head_dim * share + 1e-6);
    return FL_OK;
}

/* Layers with a window, where they have frequencies of their own. */
static fl_status read_local(fl_config *c, const json_t *nested, const json_t *v, const char *where,
                            fl_err *err) {
    double otherwise = c->arch->rope.local_theta;
    if (otherwise == 0) return FL_OK;
    FL_TRY(fl_json_real_or(v, "rope_local_base_freq", otherwise, &c->rope_local_theta, where, err));
    const json_t *local = json_object_get(nested, "sliding_attention");
    if (!json_is_object(local)) return FL_OK;
    const char *type;
    FL_TRY(scaling_type(local, &type, where, err));
    if (strcmp(type, "default") != 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: sliding_attention: rope_type is \"%.40s\"; only default is supported",
                       where, type);
    return fl_json_real_or(local, "rope_theta", c->rope_local_theta, &c->rope_local_theta, where,
                           err);
}

/* rope_parameters, rope_scaling, or what `nested` has for layers that see everything. */
static fl_status find_scaling(const fl_arch *arch, const json_t *v, const json_t **scaling,
                              const json_t **nested, const char *where, fl_err *err) {
    const json_t *parameters = json_object_get(v, "rope_parameters");
    *scaling = parameters && !json_is_null(parameters) ? parameters
                                                       : json_object_get(v, "rope_scaling");
    *nested = json_object_get(*scaling, "full_attention") ? *scaling : NULL;
    if (*nested) *scaling = json_object_get(*nested, "full_attention");
    if (json_is_null(*scaling)) *scaling = NULL;
    if (*scaling && !json_is_object(*scaling))
        return fl_fail(err, FL_ERR_FORMAT, "%s: rope_scaling: expected an object or null", where);
    if (*nested && arch->rope.local_theta == 0)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: rope_parameters differ by kind of layer; those of a %s do not", where,
                       arch->name);
    return FL_OK;
}

static fl_status read_settings(fl_config *c, const json_t *v, const json_t *scaling,
                               const json_t *nested, const char *where, fl_err *err) {
    double theta = c->arch->rope.theta > 0 ? c->arch->rope.theta : 10000;
    FL_TRY(fl_json_real_or(v, theta_key(c), theta, &c->rope_theta, where, err));
    if (scaling)
        FL_TRY(fl_json_real_or(scaling, "rope_theta", c->rope_theta, &c->rope_theta, where, err));
    FL_TRY(read_share(c, scaling, v, where, err));
    FL_TRY(read_local(c, nested, v, where, err));
    return scaling ? keep_scaling(c, scaling, v, where, err) : FL_OK;
}

fl_status fli_config_read_rope(fl_config *c, const json_t *v, const char *where, fl_err *err) {
    const json_t *scaling, *nested;
    json_t *otherwise = NULL;
    FL_TRY(find_scaling(c->arch, v, &scaling, &nested, where, err));
    if (!scaling && c->arch->rope.scaling) {
        scaling = otherwise = json_loads(c->arch->rope.scaling, 0, NULL);
        if (!otherwise) return fl_fail(err, FL_ERR_NOMEM, "%s: rope_scaling", where);
    }
    fl_status s = read_settings(c, v, scaling, nested, where, err);
    json_decref(otherwise);
    return s;
}

/* Phi-3 has the original length outside, and early readers want exactly "type" and the lists. */
static void put_longrope(json_t *v, const fl_config *c) {
    json_t *scaling = json_copy(c->rope_scaling);
    json_object_set(v, ORIGINAL, json_object_get(scaling, ORIGINAL));
    json_object_del(scaling, ORIGINAL);
    json_object_del(scaling, "rope_type");
    json_object_set_new(scaling, "type", json_string("longrope"));
    json_object_set_new(v, "rope_scaling", scaling);
}

void fli_config_put_rope(json_t *v, const fl_config *c) {
    const fl_rope_keys *keys = &c->arch->rope;
    json_object_set_new(v, theta_key(c), json_real(c->rope_theta));
    if (json_object_get(c->rope_scaling, "long_factor")) put_longrope(v, c);
    else if (c->rope_scaling) json_object_set(v, "rope_scaling", c->rope_scaling);
    else
        json_object_set_new(v, "rope_scaling",
                            keys->scaling ? json_pack("{s:s}", "rope_type", "default")
                                          : json_null());
    if (keys->share_key)
        json_object_set_new(v, keys->share_key,
                            json_real((double)c->rotary_dim / (double)c->head_dim));
    if (keys->local_theta != 0)
        json_object_set_new(v, "rope_local_base_freq", json_real(c->rope_local_theta));
}
