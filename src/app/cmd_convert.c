/* cmd_convert - fledge convert: the same model in another format. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

const app_command cmd_convert = {
    .name = "convert",
    .args = "MODEL OUT",
    .summary = "write a model in another format",
    .run = run,
};
