/* cmd_bench - fledge bench: speed against the roof of this machine. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

const app_command cmd_bench = {
    .name = "bench",
    .args = "[WHAT...]",
    .summary = "measure speed against the roof of this machine",
    .run = run,
};
