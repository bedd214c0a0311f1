/* cmd_train - fledge train: from a folder of text to a language model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/recipe_flags.h"
#include "app/terminal.h"
#include "base/json.h"
#include "infer/generate.h"
#include "train/run.h"

/* ---- samples along the way ---- */

static bool append(void *ctx, const fl_generated *g) {
    fl_text_append(ctx, g->text, g->n);
    return true;
}

static fl_status write_sample(void *ctx, fl_model *m, fl_text *out, fl_err *err) {
    const fl_recipe *r = ctx;
    const char *prompt = r->sample_prompt ? r->sample_prompt : "";
    const fl_generate_opts o = {.max_tokens = r->sample_tokens,
                                .sampler = {.temperature = 0.8,
                                            .top_p = 0.95,
                                            .seed = (uint64_t)r->seed},
                                .shift = true,
                                .emit = append,
                                .ctx = out};
    fl_session *s;
    fl_generate_result result;
    fl_text_puts(out, prompt);
    FL_TRY(fl_session_new(&s, m, &(fl_session_opts){0}, err));
    const fl_status st = fl_generate(s, prompt, strlen(prompt), &o, &result, err);
    fl_session_free(s);
    return st;
}

/* ---- the result ---- */

static void print_json(const fl_run_result *r) {
    json_t *v = json_pack("{sssIsIsIsfsosososf}", "dir", r->dir, "parameters",
                          (json_int_t)r->n_params, "step", (json_int_t)r->train.step, "skipped",
                          (json_int_t)r->train.n_skipped, "tokens", r->train.tokens, "loss",
                          fl_json_number(r->train.loss), "val_loss",
                          fl_json_number(r->train.val_loss), "val_bpb",
                          fl_json_number(r->train.val_bpb), "seconds", r->train.seconds);
    fl_text t = {0};
    fl_json_print(&t, v, 2);
    puts(fl_text_str(&t));
    fl_text_clear(&t);
    json_decref(v);
}

static void print_result(const fl_run_result *r) {
    char params[FL_HUMAN], tokens[FL_HUMAN], time[FL_HUMAN], speed[FL_HUMAN];
    printf("%s: %s parameters, %lld steps, %s tokens in %s (%s tokens/s)\n", r->dir,
           fl_human_count((double)r->n_params, params), (long long)r->train.step,
           fl_human_count(r->train.tokens, tokens), fl_human_seconds(r->train.seconds, time),
           fl_human_count(r->train.tokens_per_second, speed));
    if (isfinite(r->train.val_bpb))
        printf("held-out text: %.4f bits per byte, loss %.4f\n", r->train.val_bpb,
               r->train.val_loss);
    if (r->train.n_skipped)
        printf("%lld steps were skipped as spikes\n", (long long)r->train.n_skipped);
    if (r->train.end == FL_TRAIN_INTERRUPTED) {
        printf("\ninterrupted and saved; to go on:\n  fledge train --resume --out %s\n", r->dir);
        return;
    }
    printf(
        "\nnext:\n  fledge generate %s \"Once upon a time\"\n  fledge inspect %s\n  open "
        "%s/report.html\n",
        r->dir, r->dir, r->dir);
}

static fl_status run(const app_args *a, fl_err *err) {
    fl_progress progress = app_progress();
    fl_recipe *r;
    fl_run_result result;
    const double started = fl_now();
    FL_TRY(app_recipe(&r, a, err));
    const fl_run_job job = {.recipe = r,
                            .progress = &progress,
                            .started = started,
                            .sample = write_sample,
                            .sample_ctx = r};
    const fl_status s = fl_run(&job, &result, err);
    fl_recipe_free(r);
    if (s != FL_OK) return s;
    if (app_bool(a, "json")) print_json(&result);
    else print_result(&result);
    return FL_OK;
}

const app_command cmd_train = {
    .name = "train",
    .args = "[TEXT...]",
    .summary = "train a tokenizer and a model on text",
    .details =
        "One dial decides everything that is not given: --budget TIME, --depth N or --params N.\n\n"
        "  fledge train books/ --budget 10m\n"
        "  fledge train tales.jsonl.zst --depth 4 --out runs/tales\n"
        "  fledge train --resume --out runs/tales",
    .flags = app_recipe_flags,
    .run = run,
};
