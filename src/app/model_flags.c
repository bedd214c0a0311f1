/* model_flags - the session that a command's flags ask for. */
#include "app/model_flags.h"

#include <string.h>

fl_compute app_compute(const app_args *a) {
    const char *name = app_str(a, "compute");
    if (strcmp(name, "f32") == 0) return FL_COMPUTE_F32;
    return strcmp(name, "bf16") == 0 ? FL_COMPUTE_BF16 : FL_COMPUTE_AUTO;
}

static fl_cache cache_of(const char *name) {
    static const char *const names[] = {"auto", "f32", "bf16", "f16", "q8_0", "q4_0"};
    int i = 0;
    while (strcmp(names[i], name) != 0) i++;  // it is one of these: the flag is a choice
    return (fl_cache)i;
}

static fl_group_opts options(const app_args *a) {
    return (fl_group_opts){.context = app_int(a, "context"),
                           .compute = app_compute(a),
                           .cache = cache_of(app_str(a, "cache-type")),
                           .lock = app_bool(a, "mlock")};
}

static fl_status stretch(const app_args *a, fl_model *m, fl_err *err) {
    const double factor = app_real(a, "rope-scale");
    if (app_given(a, "rope-scaling") && !app_given(a, "rope-scale"))
        return fl_fail(err, FL_ERR_ARG, "--rope-scaling: by how much? give --rope-scale X");
    return factor == 1 ? FL_OK : fl_model_stretch(m, app_str(a, "rope-scaling"), factor, err);
}

fl_status app_group_open(const app_args *a, fl_model *m, fl_group **g, fl_err *err) {
    const fl_group_opts o = options(a);
    FL_TRY(stretch(a, m, err));
    return fl_group_new(g, m, &o, err);
}

fl_status app_session_new(const app_args *a, fl_model *m, fl_session **s, fl_err *err) {
    const fl_group_opts o = options(a);
    FL_TRY(stretch(a, m, err));
    return fl_session_new(s, m, &o, err);
}

fl_status app_session_open(const app_args *a, const char *path, fl_model **m, fl_session **s,
                           fl_err *err) {
    FL_TRY(fl_model_load(m, path, &(fl_model_opts){.as_stored = true}, err));
    fl_status st = app_session_new(a, *m, s, err);
    if (st == FL_OK) return FL_OK;
    fl_model_free(*m);
    *m = NULL;
    return st;
}
