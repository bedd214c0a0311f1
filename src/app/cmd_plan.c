/* cmd_plan - fledge plan: what a recipe would cost, without training. */
#include <math.h>
#include <stdio.h>

#include "app/command.h"
#include "app/recipe_flags.h"
#include "app/terminal.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/corpus.h"
#include "train/budget.h"
#include "train/dial.h"
#include "train/plan.h"

static const double BYTES_PER_TOKEN = 3.6;  // of English with a vocabulary that fits the text

/* About how much text the recipe names; 0: none. */
static fl_status text_bytes(const fl_recipe *r, double *out, fl_err *err) {
    fl_corpus *c;
    *out = 0;
    if (r->text.n == 0) return FL_OK;
    FL_TRY(fl_corpus_open(&c, r->text.item, r->text.n,
                          &(fl_corpus_opts){.text_field = r->text_field}, err));
    *out = fl_corpus_text_bytes(c);
    fl_corpus_close(c);
    return FL_OK;
}

/* The size and steps that 'fledge train' would choose for this time, were it all for training. */
static fl_status fit_budget(fl_recipe *r, double bytes, fl_err *err) {
    fl_progress progress = app_progress();
    const double held_out = r->val.n > 0 ? 0.02 : r->val_fraction;
    if (bytes == 0)
        return fl_fail(err, FL_ERR_ARG,
                       "budget: name the text too: its size decides with the time");
    const fl_budget_job job = {.recipe = r,
                               .pass_tokens = bytes / BYTES_PER_TOKEN * (1 - held_out),
                               .val_tokens = bytes / BYTES_PER_TOKEN * held_out,
                               .seconds_left = r->budget,
                               .samples = true,
                               .progress = &progress};
    return fl_budget_choose(&job, err);
}

typedef enum { ROW_COUNT, ROW_BYTES, ROW_SECONDS } row_kind;
typedef struct {
    const char *name, *key;
    row_kind kind;
    double value;
} row;

enum { MAX_ROWS = 20 };

static int list(row *rows, const fl_plan *p) {
    const row all[] = {{"parameters", "parameters", ROW_COUNT, p->n_params},
                       {"  of embeddings", "embedding_parameters", ROW_COUNT, p->n_embedding},
                       {"tokens", "tokens", ROW_COUNT, p->tokens},
                       {"steps", "steps", ROW_COUNT, p->steps},
                       {"tokens a step", "step_tokens", ROW_COUNT, p->step_tokens},
                       {"FLOPs a token", "flops_per_token", ROW_COUNT, p->flops_per_token},
                       {"FLOPs", "flops", ROW_COUNT, p->flops},
                       {"memory", "bytes", ROW_BYTES, p->total_bytes},
                       {"  weights", "weights_bytes", ROW_BYTES, p->weights_bytes},
                       {"  gradients", "grads_bytes", ROW_BYTES, p->grads_bytes},
                       {"  optimizer", "optimizer_bytes", ROW_BYTES, p->optimizer_bytes},
                       {"  activations", "activations_bytes", ROW_BYTES, p->activations_bytes},
                       {"  packed weights", "packs_bytes", ROW_BYTES, p->packs_bytes},
                       {"  scratch", "scratch_bytes", ROW_BYTES, p->scratch_bytes},
                       {"tokens a second", "tokens_per_second", ROW_COUNT, p->tokens_per_second},
                       {"time", "seconds", ROW_SECONDS, p->seconds}};
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value > 0) rows[n++] = all[i];
    return n;
}

static void print_text(const fl_recipe *r, const row *rows, int n) {
    printf("%-18s %s, %lld layers of %lld channels, %lld heads, vocabulary %lld\n", "model",
           r->arch, (long long)r->depth, (long long)r->width, (long long)r->heads,
           (long long)r->vocab_size);
    printf("%-18s %lld x %lld x %lld tokens\n", "step", (long long)r->accumulation,
           (long long)r->batch_size, (long long)r->seq_len);
    for (int i = 0; i < n; i++) {
        char text[FL_HUMAN];
        if (rows[i].kind == ROW_COUNT) fl_human_count(rows[i].value, text);
        else if (rows[i].kind == ROW_BYTES) fl_human_bytes(rows[i].value, text);
        else fl_human_seconds(rows[i].value, text);
        printf("%-18s %s\n", rows[i].name, text);
    }
}

static void print_json(const row *rows, int n) {
    json_t *v = json_object();
    fl_text t = {0};
    for (int i = 0; i < n; i++) json_object_set_new(v, rows[i].key, json_real(rows[i].value));
    fl_json_print(&t, v, 2);
    puts(fl_text_str(&t));
    fl_text_clear(&t);
    json_decref(v);
}

static fl_status plan(const app_args *a, fl_recipe *r, fl_err *err) {
    double bytes;
    fl_plan p;
    row rows[MAX_ROWS];
    FL_TRY(fl_recipe_check(r, err));
    FL_TRY(text_bytes(r, &bytes, err));
    if (r->vocab_size == FL_UNSET) r->vocab_size = bytes > 0 ? fl_dial_vocab(bytes) : 8192;
    if (!isnan(r->budget) && r->steps == FL_UNSET) FL_TRY(fit_budget(r, bytes, err));
    FL_TRY(fl_plan_make(r, bytes / BYTES_PER_TOKEN, 2, NULL, &p, err));
    const int n = list(rows, &p);
    if (app_bool(a, "json")) print_json(rows, n);
    else print_text(r, rows, n);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    fl_recipe *r;
    FL_TRY(app_recipe(&r, a, err));
    const fl_status s = plan(a, r, err);
    fl_recipe_free(r);
    return s;
}

const app_command cmd_plan = {
    .name = "plan",
    .args = "[TEXT...]",
    .summary = "print parameters, FLOPs, memory and time of a recipe",
    .details =
        "The settings are those of 'fledge train'. A few steps are timed, nothing is trained.\n\n"
        "  fledge plan --depth 12 books/\n"
        "  fledge plan --budget 1h books/\n"
        "  fledge plan --recipe recipes/tales.yaml",
    .flags = app_recipe_flags,
    .run = run,
};
