/* cmd_chat - fledge chat: a conversation with a model. */
#include "app/chat.h"
#include "app/model_flags.h"
#include "infer/sampler.h"

static fl_status run(const app_args *a, fl_err *err) {
    return app_chat_run(a, app_arg(a, 0), app_arg(a, 1), err);
}

static const app_flag flags[] = {
#include "app/chat_flags.def"
#include "app/grammar_flags.def"
#include "app/model_flags.def"
#include "app/sampler_flags.def"
    {0},
};

const app_command cmd_chat = {
    .name = "chat",
    .args = "MODEL [MESSAGE]",
    .summary = "talk with a model",
    .details =
        "MODEL is a run folder, a model folder, a GGUF file or the name of a pulled model. With "
        "MESSAGE "
        "it answers that and ends; else lines are read: on a terminal with history and editing, "
        "from a "
        "pipe one message a line. \"\"\" begins and ends a message of several lines, so does a "
        "backslash at "
        "the end of a line. Ctrl-C stops an answer; twice at the prompt, or Ctrl-D, it ends. /help "
        "lists the commands inside.\n\n"
        "    fledge chat runs/tales --template plain\n"
        "    fledge chat org/name-GGUF \"What is a cat?\" --temperature 0\n"
        "    fledge chat model.gguf --system \"You are a pirate.\" < questions.txt",
    .flags = flags,
    .run = run,
};
