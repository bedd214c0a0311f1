/* cmd_tune - fledge tune: teach a model from prompts and completions. */
#include <math.h>
#include <stdio.h>

#include "app/command.h"
#include "app/terminal.h"
#include "tune/tune.h"

/* Flags that are settings of a run under the same name; the rest is read below. */
static const char *const settings[] = {"out",        "lr",         "epochs",
                                       "steps",      "batch-size", "accumulation",
                                       "seq-len",    "schedule",   "weight-decay",
                                       "clip",       "compute",    "memory",
                                       "save-every", "eval-every", "keep",
                                       "resume",     NULL};

static fl_status read_recipe(fl_recipe *r, const app_args *a, fl_err *err) {
    if (app_str(a, "recipe")) FL_TRY(fl_recipe_load(r, app_str(a, "recipe"), err));
    for (const char *const *name = settings; *name; name++) {
        char where[64];
        snprintf(where, sizeof where, "--%s", *name);
        if (app_given(a, *name)) FL_TRY(fl_recipe_set(r, *name, app_str(a, *name), where, err));
    }
    return app_given(a, "seed") ? fl_recipe_set(r, "seed", app_str(a, "seed"), "--seed", err)
                                : FL_OK;
}

static fl_status read_lora(json_t **out, const app_args *a, fl_err *err) {
    const char *const *names;
    const int n = app_list(a, "target-modules", &names);
    json_t *v = json_pack("{sIsfsbss}", "r", (json_int_t)app_int(a, "rank"), "lora_alpha",
                          app_real(a, "alpha"), "use_rslora", app_bool(a, "rslora"),
                          "base_model_name_or_path", app_arg(a, 0));
    json_t *targets = n ? json_array() : json_string("all-linear");
    for (int i = 0; i < n; i++) json_array_append_new(targets, json_string(names[i]));
    if (!v || json_object_set_new(v, "target_modules", targets) != 0) {
        json_decref(v);
        return fl_fail(err, FL_ERR_NOMEM, "the adapter's settings");
    }
    *out = v;
    return FL_OK;
}

static void print_result(const fl_tune_result *r, const char *model) {
    char time[FL_HUMAN], trained[FL_HUMAN], params[FL_HUMAN];
    printf("%s: %lld examples, %lld steps in %s, loss %.4f; %s of %s parameters trained\n", r->dir,
           (long long)r->n_examples, (long long)r->train.step,
           fl_human_seconds(r->train.seconds, time), r->train.loss,
           fl_human_count((double)r->n_trained, trained),
           fl_human_count((double)r->n_params, params));
    if (isfinite(r->train.val_loss)) printf("held-out examples: loss %.4f\n", r->train.val_loss);
    if (r->train.end == FL_TRAIN_INTERRUPTED)
        printf("\ninterrupted and saved; the same command with --resume goes on\n");
    else if (r->n_trained < r->n_params)
        printf("\nnext: %s/latest is a PEFT adapter of %s\n", r->dir, model);
    else printf("\nnext:\n  fledge generate %s \"...\"\n", r->dir);
}

static fl_status tune(const app_args *a, fl_recipe *r, const json_t *lora, fl_tune_result *result,
                      fl_err *err) {
    fl_progress progress = app_progress();
    const fl_tune_job job = {.model = app_arg(a, 0),
                             .data = app_arg(a, 1),
                             .val = app_str(a, "val"),
                             .method = app_str(a, "method"),
                             .settings = lora,
                             .padded = app_bool(a, "padded"),
                             .skip_overlong = app_bool(a, "skip-overlong"),
                             .recipe = r,
                             .progress = &progress};
    FL_TRY(read_recipe(r, a, err));
    return fl_tune(&job, result, err);
}

static fl_status run(const app_args *a, fl_err *err) {
    json_t *lora = NULL;
    fl_recipe *r;
    fl_tune_result result;
    FL_TRY(fl_recipe_new(&r, err));
    fl_status s = read_lora(&lora, a, err);
    if (s == FL_OK) {
        s = tune(a, r, lora, &result, err);
        json_decref(lora);
    }
    if (s == FL_OK) print_result(&result, app_arg(a, 0));
    fl_recipe_free(r);
    return s;
}

static const app_flag flags[] = {
    {"out", 'o', FLAG_STR, "DIR", .help = "folder of the run [runs/tuned]"},
    {"recipe", 'r', FLAG_STR, "FILE", .help = "settings in YAML; flags override them"},
    {"resume", 0, FLAG_BOOL, .help = "continue the run in --out"},
    {"method", 0, FLAG_CHOICE, "lora|full", "lora",
     .help = "low-rank adapter, or the weights themselves"},
    {"rank", 0, FLAG_INT, "N", "16", "rank of the adapter's matrices", .least = 1, .most = 65536},
    {"alpha", 0, FLAG_REAL, "X", "32", "the adapter counts alpha / rank", .least = 1e-3,
     .most = 1e6},
    {"rslora", 0, FLAG_BOOL, .help = "the adapter counts alpha / sqrt(rank)"},
    {"target-modules", 0, FLAG_LIST, "NAME",
     .help = "layers to adapt, such as q_proj [every linear layer]"},
    {"val", 0, FLAG_STR, "FILE", .help = "held-out examples"},
    {"padded", 0, FLAG_BOOL, .help = "one example a row instead of packed ones"},
    {"skip-overlong", 0, FLAG_BOOL,
     .help = "leave out examples longer than a row instead of stopping"},
    {"lr", 0, FLAG_REAL, "X", .help = "learning rate [1e-3; full 2e-5]"},
    {"epochs", 0, FLAG_REAL, "X", .help = "passes over the examples [3]"},
    {"steps", 0, FLAG_INT, "N", .help = "steps to take, instead of passes"},
    {"batch-size", 0, FLAG_INT, "N", .help = "rows computed at once [8]"},
    {"accumulation", 0, FLAG_INT, "N", .help = "batches in a step [1]"},
    {"seq-len", 0, FLAG_INT, "N", .help = "tokens in a row [what the model was made for]"},
    {"schedule", 0, FLAG_CHOICE, "cosine|wsd|linear|constant",
     .help = "of the learning rate [cosine]"},
    {"weight-decay", 0, FLAG_REAL, "X", .help = "decay of the matrices [0]"},
    {"clip", 0, FLAG_REAL, "X", .help = "largest gradient norm [1]"},
    {"compute", 0, FLAG_CHOICE, "auto|bf16|f32", .help = "format of matrix products [auto]"},
    {"memory", 0, FLAG_BYTES, "SIZE", .help = "for activations; above it they are recomputed"},
    {"eval-every", 0, FLAG_INT, "N", .help = "steps between validations"},
    {"save-every", 0, FLAG_INT, "N", .help = "steps between checkpoints"},
    {"keep", 0, FLAG_INT, "N", .help = "checkpoints to keep [2]"},
    {0},
};

const app_command cmd_tune = {
    .name = "tune",
    .args = "MODEL DATA",
    .summary = "teach a model from prompts and completions",
    .details =
        "DATA is JSONL: {\"prompt\": ..., \"completion\": ...} or {\"instruction\", \"input\", "
        "\"output\"}.\n"
        "The loss is on the completions only.\n\n"
        "  fledge tune runs/tales questions.jsonl --out runs/tales-answers",
    .flags = flags,
    .run = run,
};
