/* cmd_plan - fledge plan: what a recipe would cost, without training. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

static const app_flag flags[] = {
    {"recipe", 'r', FLAG_STR, "FILE", .help = "settings in YAML; flags override them"},
    {0},
};

const app_command cmd_plan = {
    .name = "plan",
    .args = "[TEXT...]",
    .summary = "print parameters, FLOPs, memory and time of a recipe",
    .flags = flags,
    .run = run,
};
