/* tune - model, transform, pairs, trainer. */
#include "tune/tune.h"

#include <math.h>
#include <string.h>

#include "backend/roof.h"
#include "base/log.h"
#include "data/dataset.h"
#include "data/pairs.h"
#include "train/dial.h"
#include "train/record.h"

const fl_tune_method fl_tune_methods[] = {
    {"lora", &fl_transform_lora, "low-rank matrices beside the frozen weights (Hu et al. 2021)"},
    {"full", NULL, "the weights themselves"},
    {0},
};

const fl_tune_method *fl_tune_method_find(const char *name) {
    for (const fl_tune_method *m = fl_tune_methods; m->name; m++)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}

typedef struct {
    const fl_tune_job *job;
    fl_recipe *r;
    fl_tune_result result;
    fl_model *model;
    fl_pairs *train_pairs, *val_pairs;
    fl_source *train, *val;
} tuning;

static fl_status open_model(tuning *u, fl_err *err) {
    const fl_tune_method *method = fl_tune_method_find(u->job->method);
    if (!method)
        return fl_fail(err, FL_ERR_ARG, "method: %s: there are lora and full", u->job->method);
    FL_TRY(fl_model_load(&u->model, u->job->model, &(fl_model_opts){.dtype = FL_F32}, err));
    if (!u->model->tokenizer)
        return fl_fail(err, FL_ERR_ARG, "%s: the folder has no tokenizer, so text cannot be read",
                       u->job->model);
    if (method->transform)
        FL_TRY(fl_model_attach(u->model, method->transform, u->job->settings, (uint64_t)u->r->seed,
                               err));
    u->result.n_params = fl_model_count(u->model, false);
    u->result.n_trained = fl_model_count(u->model, true);
    return FL_OK;
}

static fl_status open_pairs(tuning *u, const char *path, fl_pairs **out, fl_err *err) {
    const fl_pairs_opts o = {.path = path,
                             .tokenizer = u->model->tokenizer,
                             .T = u->r->seq_len,
                             .padded = u->job->padded,
                             .skip_overlong = u->job->skip_overlong};
    return fl_pairs_open(out, &o, err);
}

static fl_status open_data(tuning *u, fl_err *err) {
    const uint64_t seed = (uint64_t)u->r->seed;
    const int64_t longest = u->model->config.max_position_embeddings;
    if (u->r->seq_len == FL_UNSET) u->r->seq_len = longest > 0 && longest < 1024 ? longest : 1024;
    FL_TRY(open_pairs(u, u->job->data, &u->train_pairs, err));
    FL_TRY(fl_pairs_source_new(&u->train, u->train_pairs, seed, false, err));
    u->result.n_examples = fl_pairs_n_examples(u->train_pairs);
    u->result.n_skipped = fl_pairs_n_skipped(u->train_pairs);
    u->result.n_rows = fl_pairs_n_rows(u->train_pairs);
    if (!u->job->val) return FL_OK;
    FL_TRY(open_pairs(u, u->job->val, &u->val_pairs, err));
    return fl_pairs_source_new(&u->val, u->val_pairs, seed, true, err);
}

static void fill(double *field, double v) {
    if (isnan(*field)) *field = v;
}

static void fill_int(int64_t *field, int64_t v) {
    if (*field == FL_UNSET) *field = v;
}

/* What tuning wants where pre-training would want something else; fl_dial_run fills the rest. */
static void fill_recipe(tuning *u) {
    fl_recipe *r = u->r;
    const bool all = u->result.n_trained == u->result.n_params;
    r->depth = u->model->config.num_hidden_layers;
    r->width = u->model->config.hidden_size;
    r->optimizer = "adamw";
    r->objective = "chosen_tokens";
    if (!r->schedule) r->schedule = "cosine";
    fill(&r->lr, all ? 2e-5 : 1e-3);
    fill(&r->weight_decay, 0);
    fill(&r->warmup, 0.03);
    fill_int(&r->batch_size, u->result.n_rows < 8 ? u->result.n_rows : 8);
    fill_int(&r->accumulation, 1);
    const double rows = (double)(r->batch_size * r->accumulation);
    const double passes = isnan(r->epochs) ? 3 : r->epochs;
    fill_int(&r->steps, (int64_t)fmax(1, ceil(passes * (double)u->result.n_rows / rows)));
    fl_dial_run(r, (double)u->result.n_params, 0);
}

static fl_status learn(tuning *u, fl_err *err) {
    char recipe[FL_PATH_MAX];
    fl_train_job t = {.model = u->model,
                      .objective = fl_objective_find("chosen_tokens"),
                      .train = u->train,
                      .val = u->val,
                      .dir = u->result.dir,
                      .pool = u->job->pool,
                      .progress = u->job->progress};
    FL_TRY(fl_recipe_train_opts(u->r, &t.opts, err));
    FL_TRY(fl_dir_make(u->result.dir, err));
    FL_TRY(fl_path_join(recipe, u->result.dir, "recipe.yaml", err));
    FL_TRY(fl_recipe_save(u->r, recipe, err));
    FL_TRY(fl_roof_flops(&t.roof_flops, t.opts.compute, u->job->pool, 0.03, err));
    FL_TRY(fl_train(&t, &u->result.train, err));
    const fl_record record = {.train = &u->result.train,
                              .n_params = u->result.n_params,
                              .n_trained = u->result.n_trained,
                              .pass_tokens = (double)(u->result.n_rows * u->r->seq_len),
                              .pool = u->job->pool};
    return fl_record_write(&record, u->result.dir, err);
}

static fl_status all(tuning *u, fl_err *err) {
    FL_TRY(fl_recipe_check(u->r, err));
    FL_TRY(fl_path_join(u->result.dir, "", u->r->out ? u->r->out : "runs/tuned", err));
    FL_TRY(open_model(u, err));
    FL_TRY(open_data(u, err));
    fill_recipe(u);
    if (u->result.n_skipped)
        fl_warn("%s: %lld examples are longer than %lld tokens and were left out", u->job->data,
                (long long)u->result.n_skipped, (long long)u->r->seq_len);
    return learn(u, err);
}

fl_status fl_tune(const fl_tune_job *job, fl_tune_result *out, fl_err *err) {
    tuning u = {.job = job, .r = job->recipe};
    const fl_status s = all(&u, err);
    fl_source_close(u.train);
    fl_source_close(u.val);
    fl_pairs_free(u.train_pairs);
    fl_pairs_free(u.val_pairs);
    fl_model_free(u.model);
    if (s == FL_OK) *out = u.result;
    return s;
}
