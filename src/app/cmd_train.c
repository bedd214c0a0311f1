/* cmd_train - fledge train: from a folder of text to a language model. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

static const app_flag flags[] = {
    {"out", 'o', FLAG_STR, "DIR", .help = "folder of the run [runs/ and a name]"},
    {"budget", 'b', FLAG_SECONDS, "TIME", .help = "time to train for; the model is chosen to fit"},
    {"depth", 0, FLAG_INT, "N", .help = "layers; everything else follows", .least = 1, .most = 256},
    {"params", 0, FLAG_COUNT, "N", .help = "parameters, such as 5M; everything else follows"},
    {"recipe", 'r', FLAG_STR, "FILE", .help = "settings in YAML; flags override them"},
    {"resume", 0, FLAG_BOOL, .help = "go on from the latest checkpoint"},
    {0},
};

const app_command cmd_train = {
    .name = "train",
    .args = "TEXT...",
    .summary = "train a tokenizer and a model on text",
    .flags = flags,
    .run = run,
};
