/* cmd_pull - fledge pull: download a published model. */
#include <stdio.h>

#include "app/command.h"
#include "app/io.h"
#include "app/terminal.h"
#include "base/log.h"
#include "hub/hub.h"

static json_t *result_json(const fl_hub_model *m) {
    return json_pack("{s:s, s:s, s:i, s:I, s:I}", "path", m->path, "commit", m->commit, "files",
                     m->n_files, "bytes", (json_int_t)m->bytes, "fetched_bytes",
                     (json_int_t)m->fetched_bytes);
}

static fl_status run(const app_args *a, fl_err *err) {
    fl_progress progress = app_progress();
    fl_hub_opts o = {.mirror = app_str(a, "mirror"),
                     .cache = app_str(a, "cache"),
                     .progress = &progress};
    fl_hub_model m;
    char all[FL_HUMAN], fetched[FL_HUMAN];
    FL_TRY(fl_hub_pull(&m, app_arg(a, 0), &o, err));
    if (app_bool(a, "json")) return app_print_json(result_json(&m), err);
    fl_note("%d files, %s, of which %s came now; commit %.12s", m.n_files,
            fl_human_bytes((double)m.bytes, all), fl_human_bytes((double)m.fetched_bytes, fetched),
            m.commit);
    puts(m.path);
    return FL_OK;
}

static const app_flag flags[] = {
    {"mirror", 0, FLAG_STR, "URL",
     .help = "address of the hub [HF_ENDPOINT, else https://huggingface.co]"},
    {"cache", 0, FLAG_STR, "DIR", .help = "where models are kept [the hub's own cache]"},
    {0},
};

const app_command cmd_pull = {
    .name = "pull",
    .args = "NAME",
    .summary = "download a published model",
    .details =
        "NAME is org/name, optionally @revision and :what. `what` is a file of the repository or "
        "the number "
        "format of a GGUF file. Without it the Hugging Face folder is taken, or the Q4_K_M file of "
        "a repository "
        "that has only GGUF files. Any command takes the name as its MODEL afterwards.\n\n"
        "    fledge pull org/name\n"
        "    fledge pull org/name-GGUF:Q8_0\n"
        "    fledge pull org/name@v1.0:model-Q4_K_M.gguf\n\n"
        "The cache is that of huggingface_hub (HF_HOME, HF_HUB_CACHE): what transformers "
        "downloaded is found, and "
        "it finds what comes here. An interrupted download goes on where it stopped. Private and "
        "gated models need "
        "HF_TOKEN or the token file of the hub's own tools. Prints where the model is.",
    .flags = flags,
    .run = run,
};
