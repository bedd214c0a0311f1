/* cmd_run - fledge run: talk with a published model, downloaded if it is not here yet. */
#include "app/chat.h"
#include "app/model_flags.h"
#include "app/terminal.h"
#include "hub/hub.h"
#include "infer/sampler.h"

static fl_status run(const app_args *a, fl_err *err) {
    fl_progress progress = app_progress();
    fl_hub_opts o = {.mirror = app_str(a, "mirror"), .progress = &progress};
    fl_hub_model m;
    const char *name = app_arg(a, 0);
    bool here = fl_path_exists(name);
    if (!here && (!fl_hub_is_name(name) || fl_path_has_suffix(name, ".gguf")))
        return fl_fail(err, FL_ERR_ARG,
                       "%s: there is no such file or folder, and it is not the name of a model "
                       "(org/name[@revision][:file or quantization])",
                       name);
    if (!here && fl_hub_find(&m, name, &o, NULL) != FL_OK) FL_TRY(fl_hub_pull(&m, name, &o, err));
    return app_chat_run(a, here ? name : m.path, app_arg(a, 1), err);
}

static const app_flag flags[] = {
    {"mirror", 0, FLAG_STR, "URL",
     .help = "address of the hub [HF_ENDPOINT, else https://huggingface.co]"},
#include "app/chat_flags.def"
#include "app/grammar_flags.def"
#include "app/model_flags.def"
#include "app/sampler_flags.def"
    {0},
};

const app_command cmd_run = {
    .name = "run",
    .args = "NAME [MESSAGE]",
    .summary = "pull a model if it is not here yet, and talk with it",
    .details =
        "As `fledge pull NAME` and `fledge chat NAME` one after the other; see there.\n\n"
        "    fledge run org/name-GGUF\n"
        "    fledge run org/name-GGUF:Q8_0 \"What is a cat?\"",
    .flags = flags,
    .run = run,
};
