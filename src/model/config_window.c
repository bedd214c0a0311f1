/* config_window - which layers have a sliding window, as config.json says it: for all, for those
 * from max_window_layers on, or for all but every n-th (Gemma's sliding_window_pattern). What
 * layer_types lists, where present, must be one of these. */
#include <string.h>

#include "model/internal.h"

static const char sliding[] = "sliding_attention", full[] = "full_attention";

static const char *type_at(const json_t *types, int64_t layer) {
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    return type ? type : "not a string";
}

static fl_status check_layer_types(const fl_config *c, const json_t *types, const char *where,
                                   fl_err *err) {
    for (int i = 0; i < (int)c->num_hidden_layers; i++) {
        const char *want = fl_config_window(c, i) ? sliding : full;
        if (strcmp(type_at(types, i), want) != 0)
            return fl_fail(err, FL_ERR_UNSUPPORTED,
                           "%s: layer_types[%d] is %.40s; for a %s with these sizes it must be %s",
                           where, i, type_at(types, i), c->arch->name, want);
    }
    return FL_OK;
}

/* The first layer that sees everything says how often one does. */
static int64_t period(const json_t *types, int64_t layers) {
    for (int64_t i = 0; i < layers; i++)
        if (strcmp(type_at(types, i), full) == 0) return i + 1;
    return layers + 1;
}

static fl_status read_layer_types(fl_config *c, const json_t *v, const char *where, fl_err *err) {
    const json_t *types = json_object_get(v, "layer_types");
    if (!types || json_is_null(types)) return FL_OK;
    if (!json_is_array(types) || (int64_t)json_array_size(types) != c->num_hidden_layers)
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: layer_types: expected one entry for each of %lld layers", where,
                       (long long)c->num_hidden_layers);
    if (c->arch->window == FL_WINDOW_ALTERNATE && c->sliding_window)
        c->full_every = period(types, c->num_hidden_layers);
    return check_layer_types(c, types, where, err);
}

fl_status fli_config_read_window(fl_config *c, const json_t *v, const char *where, fl_err *err) {
    if (c->arch->window == FL_WINDOW_NONE) return FL_OK;
    bool use = true;
    int64_t otherwise = json_object_get(v, "sliding_window") ? 0 : c->arch->window_default;
    FL_TRY(fl_json_int_or(v, "sliding_window", otherwise, &c->sliding_window, where, err));
    if (c->arch->window == FL_WINDOW_UPPER) {
        FL_TRY(fl_json_bool_or(v, "use_sliding_window", false, &use, where, err));
        FL_TRY(fl_json_int_or(v, "max_window_layers", 28, &c->max_window_layers, where, err));
    }
    if (c->arch->window == FL_WINDOW_ALTERNATE)
        FL_TRY(fl_json_int_or(v, "sliding_window_pattern", c->arch->full_every, &c->full_every,
                              where, err));
    if (!use || !c->sliding_window) c->sliding_window = c->max_window_layers = c->full_every = 0;
    return read_layer_types(c, v, where, err);
}

static json_t *layer_types(const fl_config *c) {
    json_t *types = json_array();
    for (int i = 0; i < (int)c->num_hidden_layers; i++)
        json_array_append_new(types, json_string(fl_config_window(c, i) ? sliding : full));
    return types;
}

void fli_config_put_window(json_t *v, const fl_config *c) {
    bool none = c->sliding_window == 0;
    if (c->arch->window == FL_WINDOW_NONE) return;
    json_object_set_new(v, "sliding_window", none ? json_null() : json_integer(c->sliding_window));
    if (c->arch->window == FL_WINDOW_ALTERNATE) {
        if (!none) json_object_set_new(v, "sliding_window_pattern", json_integer(c->full_every));
        json_object_set_new(v, "layer_types", layer_types(c));
    }
    if (c->arch->window != FL_WINDOW_UPPER) return;
    json_object_set_new(v, "use_sliding_window", json_boolean(!none));
    json_object_set_new(v, "max_window_layers",
                        json_integer(none ? c->num_hidden_layers : c->max_window_layers));
}
