/* cmd_tokenizer - fledge tokenizer: train, apply and look into one. */
#include "app/command.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)a;
    return fl_fail(err, FL_ERR_UNSUPPORTED, "this command is not built yet");
}

const app_command cmd_tokenizer_train = {
    .name = "tokenizer train",
    .args = "TEXT...",
    .summary = "train a tokenizer on text",
    .run = run,
};

const app_command cmd_tokenizer_encode = {
    .name = "tokenizer encode",
    .args = "TOKENIZER [TEXT]",
    .summary = "text to token ids",
    .run = run,
};

const app_command cmd_tokenizer_decode = {
    .name = "tokenizer decode",
    .args = "TOKENIZER [IDS]",
    .summary = "token ids to text",
    .run = run,
};

const app_command cmd_tokenizer_inspect = {
    .name = "tokenizer inspect",
    .args = "TOKENIZER",
    .summary = "print what a tokenizer holds",
    .run = run,
};
