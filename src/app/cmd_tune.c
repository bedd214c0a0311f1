/* cmd_tune - fledge tune: teach a model from prompts and completions. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

static const app_flag flags[] = {
    {"out", 'o', FLAG_STR, "DIR", .help = "folder of the run"},
    {"recipe", 'r', FLAG_STR, "FILE", .help = "settings in YAML; flags override them"},
    {0},
};

const app_command cmd_tune = {
    .name = "tune",
    .args = "MODEL DATA...",
    .summary = "fine-tune a model on prompts and completions",
    .flags = flags,
    .run = run,
};
