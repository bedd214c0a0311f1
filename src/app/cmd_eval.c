/* cmd_eval - fledge eval: measure a model. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

const app_command cmd_eval_perplexity = {
    .name = "eval perplexity",
    .args = "MODEL TEXT...",
    .summary = "perplexity and bits per byte of a text",
    .run = run,
};
