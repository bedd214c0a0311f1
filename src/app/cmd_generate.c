/* cmd_generate - fledge generate: let a model continue a prompt. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

static const app_flag flags[] = {
    {"max-tokens", 'n', FLAG_INT, "N", "256", "tokens to write at most", .least = 1, .most = 1e9},
    {"temperature", 0, FLAG_REAL, "X", "0.8", "0 always takes the likeliest", .least = 0,
     .most = 100},
    {0},
};

const app_command cmd_generate = {
    .name = "generate",
    .args = "MODEL [PROMPT]",
    .summary = "let a model continue a text",
    .flags = flags,
    .run = run,
};
