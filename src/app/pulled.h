/* pulled.h - models that are meant by name. */
#ifndef FL_APP_PULLED_H
#define FL_APP_PULLED_H

#include "base/file.h"

/* Where the model is that a MODEL argument means: a path, or the name of one that was pulled. */
FL_MUST_USE fl_status app_model_path(char out[FL_PATH_MAX], const char *model, fl_err *err);

#endif
