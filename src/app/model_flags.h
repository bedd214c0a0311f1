/* model_flags.h - the flags of commands that run a model, and the session they ask for.
 *
 *     static const app_flag flags[] = {
 *     #include "app/model_flags.def"
 *         {0}};
 *     app_session_open(a, path, &model, &session, &err); */
#ifndef FL_APP_MODEL_FLAGS_H
#define FL_APP_MODEL_FLAGS_H

#include "app/command.h"
#include "infer/session.h"

fl_compute app_compute(const app_args *a);  // what --compute says

/* Load the model, its weights as they are stored, and open a session. Freed by the caller; NULL on
 * failure. */
FL_MUST_USE fl_status app_session_open(const app_args *a, const char *path, fl_model **m,
                                       fl_session **s, fl_err *err);

/* The same for a model that is loaded: a session, or a group of texts. */
FL_MUST_USE fl_status app_session_new(const app_args *a, fl_model *m, fl_session **s, fl_err *err);
FL_MUST_USE fl_status app_group_open(const app_args *a, fl_model *m, fl_group **g, fl_err *err);

#endif
