/* peft - reading, checking and writing PEFT's adapter_config.json. */
#include "format/peft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* Fields whose only supported values mean "not used". `only` NULL: null, false, 0 or empty. */
static const struct {
    const char *field, *only;
} must_be[] = {
    {"peft_type", "LORA"},
    {"bias", "none"},
    {"lora_dropout", NULL},
    {"use_dora", NULL},
    {"modules_to_save", NULL},
    {"rank_pattern", NULL},
    {"alpha_pattern", NULL},
    {"layers_to_transform", NULL},
    {"layer_replication", NULL},
    {"exclude_modules", NULL},
    {"lora_bias", NULL},
    {"trainable_token_indices", NULL},
    {"target_parameters", NULL},
    {"use_qalora", NULL},
    {"alora_invocation_tokens", NULL},
    {"use_bdlora", NULL},
    {"kasa_config", NULL},
    {"arrow_config", NULL},
    {"velora_config", NULL},
    {"monteclora_config", NULL},
};

static bool is_unused(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_NULL:
    case JSON_FALSE: return true;
    case JSON_INTEGER:
    case JSON_REAL: return json_number_value(v) == 0;
    case JSON_STRING: return json_string_length(v) == 0;
    case JSON_ARRAY: return json_array_size(v) == 0;
    case JSON_OBJECT: return json_object_size(v) == 0;
    default: return false;
    }
}

static fl_status check_fields(const json_t *config, const char *where, fl_err *err) {
    for (size_t i = 0; i < sizeof must_be / sizeof must_be[0]; i++) {
        const json_t *v = json_object_get(config, must_be[i].field);
        const char *text = json_string_value(v), *only = must_be[i].only;
        if (!v || (only ? text && strcmp(text, only) == 0 : is_unused(v))) continue;
        char *shown = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        fl_fail(err, FL_ERR_UNSUPPORTED, "%s: %s is %.60s; only %s is supported", where,
                must_be[i].field, shown ? shown : "?", only ? only : "leaving it out");
        free(shown);
        return FL_ERR_UNSUPPORTED;
    }
    return FL_OK;
}

static fl_status read_targets(fl_lora_config *c, const json_t *config, const char *where,
                              fl_err *err) {
    json_t *v = json_object_get(config, "target_modules");
    if (!v || json_is_null(v)) {
        c->target_modules = json_string("all-linear");
        return c->target_modules ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%s", where);
    }
    bool good = json_is_array(v) && json_array_size(v) > 0;
    for (size_t i = 0; good && i < json_array_size(v); i++)
        good = json_is_string(json_array_get(v, i));
    if (json_is_string(v)) {
        good = strcmp(json_string_value(v), "all-linear") == 0;
        if (!good)
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "%s: target_modules is the pattern \"%.60s\"; give a list of module "
                           "names or \"all-linear\"",
                           where, json_string_value(v));
    }
    if (!good)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: target_modules: expected a list of module names or \"all-linear\"",
                       where);
    c->target_modules = json_incref(v);
    return FL_OK;
}

fl_status fl_lora_config_parse(fl_lora_config *out, const json_t *config, const char *where,
                               fl_err *err) {
    fl_lora_config c = {0};
    if (!json_is_object(config))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected an object", where);
    FL_TRY(check_fields(config, where, err));
    FL_TRY(fl_json_int_or(config, "r", 8, &c.r, where, err));
    FL_TRY(fl_json_real_or(config, "lora_alpha", 8, &c.lora_alpha, where, err));
    FL_TRY(fl_json_bool_or(config, "use_rslora", false, &c.use_rslora, where, err));
    FL_TRY(fl_json_str_or(config, "base_model_name_or_path", NULL, &c.base_model, where, err));
    if (c.r < 1 || c.r > 65536)
        return fl_fail(err, FL_ERR_ARG, "%s: r is %lld, expected a rank from 1 to 65536", where,
                       (long long)c.r);
    if (!isfinite(c.lora_alpha))
        return fl_fail(err, FL_ERR_ARG, "%s: lora_alpha is not a finite number", where);
    FL_TRY(read_targets(&c, config, where, err));
    *out = c;
    return FL_OK;
}

void fl_lora_config_clear(fl_lora_config *c) {
    json_decref(c->target_modules);
    c->target_modules = NULL;
}

double fl_lora_scale(const fl_lora_config *c) {
    double r = (double)c->r;
    return c->lora_alpha / (c->use_rslora ? sqrt(r) : r);
}

static bool ends_as_module(const char *path, const char *name) {
    size_t n = strlen(path), k = strlen(name);
    return n >= k && strcmp(path + n - k, name) == 0 && (n == k || path[n - k - 1] == '.');
}

bool fl_lora_targets(const fl_lora_config *c, const char *module) {
    if (json_is_string(c->target_modules)) return true;
    for (size_t i = 0; i < json_array_size(c->target_modules); i++)
        if (ends_as_module(module, json_string_value(json_array_get(c->target_modules, i))))
            return true;
    return false;
}

fl_status fl_lora_config_save(const fl_lora_config *c, bool fan_in_fan_out, const char *dir,
                              fl_err *err) {
    json_t *v = json_pack(
        "{s:s, s:s, s:s?, s:I, s:f, s:f, s:O, s:s, s:b, s:b, s:b, s:b, s:b, s:{}, s:{}, s:n}",
        "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", c->base_model,
        "r", (json_int_t)c->r, "lora_alpha", c->lora_alpha, "lora_dropout", 0.0, "target_modules",
        c->target_modules, "bias", "none", "fan_in_fan_out", fan_in_fan_out, "inference_mode", true,
        "init_lora_weights", true, "use_dora", false, "use_rslora", c->use_rslora, "rank_pattern",
        "alpha_pattern", "modules_to_save");
    if (!v) return fl_fail(err, FL_ERR_NOMEM, "writing %s", FL_PEFT_CONFIG);
    char path[FL_PATH_MAX];
    fl_status s = fl_path_join(path, dir, FL_PEFT_CONFIG, err);
    if (s == FL_OK) s = fl_json_save(v, path, err);
    json_decref(v);
    return s;
}
