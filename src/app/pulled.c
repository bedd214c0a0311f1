/* pulled - a MODEL argument is a path if there is such a thing, else perhaps a name. */
#include "app/pulled.h"

#include <string.h>

#include "hub/hub.h"

fl_status app_model_path(char out[FL_PATH_MAX], const char *model, fl_err *err) {
    fl_hub_model found;
    if (!*model) return fl_fail(err, FL_ERR_ARG, "MODEL is empty");
    if (fl_path_exists(model) || !fl_hub_is_name(model))
        return fl_path_join(out, "", model, err);  // what it lacks is said by whoever opens it
    if (fl_hub_find(&found, model, &(fl_hub_opts){0}, err) == FL_OK) {
        memcpy(out, found.path, sizeof found.path);
        return FL_OK;
    }
    return fl_fail(err, FL_ERR_IO,
                   "%.100s: there is no such folder or file, and no such model was pulled; 'fledge "
                   "pull %.100s' "
                   "downloads one",
                   model, model);
}
