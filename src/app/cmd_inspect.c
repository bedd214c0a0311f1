/* cmd_inspect - fledge inspect: what is inside a model. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

const app_command cmd_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "print architecture, parameters, types and sizes of a model",
    .run = run,
};
