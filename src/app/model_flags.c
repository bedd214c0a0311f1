/* model_flags - the session that a command's flags ask for. */
#include "app/model_flags.h"

#include <string.h>

fl_compute app_compute(const app_args *a) {
    const char *name = app_str(a, "compute");
    if (strcmp(name, "f32") == 0) return FL_COMPUTE_F32;
    return strcmp(name, "bf16") == 0 ? FL_COMPUTE_BF16 : FL_COMPUTE_AUTO;
}

fl_status app_session_open(const app_args *a, const char *path, fl_model **m, fl_session **s,
                           fl_err *err) {
    fl_session_opts o = {.context = app_int(a, "context"), .compute = app_compute(a)};
    FL_TRY(fl_model_load(m, path, &(fl_model_opts){.as_stored = true}, err));
    fl_status st = fl_session_new(s, *m, &o, err);
    if (st == FL_OK) return FL_OK;
    fl_model_free(*m);
    *m = NULL;
    return st;
}
