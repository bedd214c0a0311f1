/* run - tokenizer, data, sizes, model, loop, report: one after the other. */
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/roof.h"
#include "base/log.h"
#include "data/dataset.h"
#include "token/tokenizer.h"
#include "train/budget.h"
#include "train/checkpoint.h"
#include "train/dial.h"
#include "train/record.h"

/* What a run has made so far; everything is released in reverse. */
typedef struct {
    const fl_run_job *job;
    fl_recipe *r;
    fl_run_result result;
    fl_tokenizer *tokenizer;      // the model's, once there is one
    fl_dataset *data, *val_data;  // val_data: NULL when validation is a part of data
    fl_model *model;
    fl_source *train, *val;
} run;

/* ---- folder ---- */

fl_status fl_run_folder(char dir[FL_PATH_MAX], const fl_recipe *r, fl_err *err) {
    if (r->out) return fl_path_join(dir, "", r->out, err);
    if (r->text.n == 0)
        return fl_fail(err, FL_ERR_ARG, "no text to learn from: name files or folders");
    char name[256];
    const char *base = fl_path_base(r->text.item[0]);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(base, "."), base);
    return fl_path_join(dir, "runs", name[0] ? name : "model", err);
}

/* ---- tokenizer ---- */

static const char BYTES[] = "char";

static fl_status feed(fl_bpe_trainer *t, fl_corpus *c, fl_progress *progress, fl_err *err) {
    fl_piece p;
    for (;;) {
        FL_TRY(fl_corpus_next(c, &p, err));
        if (!p.text) return FL_OK;
        FL_TRY(fl_bpe_trainer_feed(t, p.text, p.n, err));
        fl_progress_step(progress, fl_corpus_bytes_read(c));
        if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "interrupted while reading the text");
    }
}

static fl_status train_tokenizer(run *u, fl_corpus *c, fl_err *err) {
    const fl_bpe_opts o = {.vocab_size = (int32_t)u->r->vocab_size,
                           .pattern = u->r->pattern,
                           .pool = u->job->pool};
    fl_bpe_trainer *t;
    FL_TRY(fl_bpe_trainer_new(&t, &o, err));
    fl_progress_begin(u->job->progress, "reading", "B", fl_corpus_bytes_total(c));
    fl_status s = feed(t, c, u->job->progress, err);
    fl_progress_end(u->job->progress);
    if (s == FL_OK) s = fl_bpe_trainer_finish(t, &u->tokenizer, u->job->progress, err);
    fl_bpe_trainer_free(t);
    return s == FL_OK ? s : fl_context(err, s, "training the tokenizer");
}

static fl_status make_tokenizer(run *u, const char *folder, fl_err *err) {
    const fl_corpus_opts co = {.text_field = u->r->text_field};
    fl_corpus *c;
    FL_TRY(fl_corpus_open(&c, u->r->text.item, u->r->text.n, &co, err));
    const bool bytes = u->r->tokenizer && strcmp(u->r->tokenizer, BYTES) == 0;
    if (bytes) u->r->vocab_size = 257;  // every byte, and the end of a text
    else if (u->r->vocab_size == FL_UNSET)
        u->r->vocab_size = fl_dial_vocab(fl_corpus_text_bytes(c));
    fl_status s = train_tokenizer(u, c, err);
    fl_corpus_close(c);
    if (s == FL_OK) s = fl_dir_make(folder, err);
    return s == FL_OK ? fl_tokenizer_save(u->tokenizer, folder, err) : s;
}

/* The one named, the one this run trained before it was interrupted, or a new one. */
static fl_status open_tokenizer(run *u, fl_err *err) {
    char folder[FL_PATH_MAX], made[FL_PATH_MAX];
    const char *named = u->r->tokenizer;
    FL_TRY(fl_path_join(folder, u->result.dir, "tokenizer", err));
    FL_TRY(fl_path_join(made, folder, "tokenizer.json", err));
    if (named && strcmp(named, BYTES) != 0) FL_TRY(fl_tokenizer_load(&u->tokenizer, named, err));
    else if (u->r->resume && fl_path_exists(made))
        FL_TRY(fl_tokenizer_load(&u->tokenizer, folder, err));
    else FL_TRY(make_tokenizer(u, folder, err));
    u->r->vocab_size = fl_tokenizer_size(u->tokenizer);
    return FL_OK;
}

/* ---- data ---- */

static fl_status open_texts(run *u, const fl_strings *text, double val_fraction, fl_dataset **out,
                            fl_err *err) {
    static const char *const splits[] = {"auto", "document", "tail", "none"};
    char cache[FL_PATH_MAX];
    FL_TRY(fl_path_join(cache, u->result.dir, "data", err));
    fl_dataset_opts o = {.paths = text->item,
                         .n_paths = text->n,
                         .corpus = {.text_field = u->r->text_field},
                         .tokenizer = u->tokenizer,
                         .val_fraction = val_fraction,
                         .cache_dir = cache,
                         .pool = u->job->pool,
                         .progress = u->job->progress};
    for (int i = 0; i < 4; i++)
        if (strcmp(u->r->split, splits[i]) == 0) o.split = (fl_split)i;
    if (val_fraction <= 0) o.split = FL_SPLIT_NONE;
    return fl_dataset_open(out, &o, err);
}

static fl_status open_data(run *u, fl_err *err) {
    const bool named = u->r->val.n > 0;
    FL_TRY(open_texts(u, &u->r->text, named ? 0 : u->r->val_fraction, &u->data, err));
    if (named) FL_TRY(open_texts(u, &u->r->val, 0, &u->val_data, err));
    u->result.pass_tokens = (double)fl_dataset_info(u->data, FL_PART_TRAIN)->n_pairs;
    return FL_OK;
}

/* What is validated on: all of its own text, or the part of the text that is held out. */
static const fl_dataset *held_out(const run *u, fl_part *part) {
    *part = u->val_data ? FL_PART_TRAIN : FL_PART_VAL;
    return u->val_data ? u->val_data : u->data;
}

static double held_out_pairs(const run *u) {
    fl_part part;
    const fl_dataset *d = held_out(u, &part);
    return (double)fl_dataset_info(d, part)->n_pairs;
}

static fl_status open_sources(run *u, fl_err *err) {
    static const char *const samplings[] = {"auto", "packed", "windows"};
    const fl_mix_part mix = {.dataset = u->data};
    fl_part part;
    const fl_dataset *val = held_out(u, &part);
    fl_source_opts o = {.T = u->r->seq_len,
                        .seed = (uint64_t)u->r->seed,
                        .cross_document_attention = u->r->cross_document_attention};
    for (int i = 0; i < 3; i++)
        if (strcmp(u->r->sampling, samplings[i]) == 0) o.sampling = (fl_sampling)i;
    FL_TRY(fl_train_source_new(&u->train, &mix, 1, &o, err));
    if (held_out_pairs(u) == 0) {
        fl_note("nothing is held out: there will be no validation");
        return FL_OK;
    }
    return fl_pass_source_new(&u->val, val, part, &o, err);
}

/* ---- sizes ---- */

/* Fill the recipe: on time when there is a budget and the sizes are open, else by the dial. */
static fl_status choose(run *u, fl_err *err) {
    fl_config c;
    const bool resumed = u->r->given[FL_SET_steps];
    if (!isnan(u->r->budget) && !resumed) {
        const fl_budget_job b = {.recipe = u->r,
                                 .pass_tokens = u->result.pass_tokens,
                                 .val_tokens = held_out_pairs(u),
                                 .seconds_left = u->r->budget - (fl_now() - u->job->started),
                                 .samples = u->job->sample != NULL,
                                 .pool = u->job->pool,
                                 .progress = u->job->progress};
        return fl_budget_choose(&b, err);
    }
    FL_TRY(fl_dial_model(u->r, err));
    FL_TRY(fl_recipe_config(u->r, -1, -1, &c, err));
    fl_dial_run(u->r, (double)fl_config_count(&c), u->result.pass_tokens);
    fl_config_clear(&c);
    return FL_OK;
}

static fl_status make_model(run *u, fl_err *err) {
    fl_config c;
    FL_TRY(fl_recipe_config(u->r, fl_tokenizer_bos(u->tokenizer), fl_tokenizer_eos(u->tokenizer),
                            &c, err));
    FL_TRY(fl_model_new(&u->model, &c, (uint64_t)u->r->seed, err));
    u->model->tokenizer = u->tokenizer;
    u->tokenizer = NULL;
    u->result.n_params = fl_model_count(u->model, false);
    return FL_OK;
}

static void tell(const run *u) {
    char n[FL_HUMAN], tokens[FL_HUMAN], text[FL_HUMAN];
    const fl_recipe *r = u->r;
    const double step = (double)(r->batch_size * r->accumulation * r->seq_len);
    fl_note("model: %s, %lld layers of %lld channels, %lld heads, vocabulary %lld: %s parameters",
            r->arch, (long long)r->depth, (long long)r->width, (long long)r->heads,
            (long long)r->vocab_size, fl_human_count((double)u->result.n_params, n));
    fl_note(
        "data: %s tokens a pass; training on %s (%.1f passes) in %lld steps of %lld x %lld x %lld",
        fl_human_count(u->result.pass_tokens, text),
        fl_human_count(step * (double)r->steps, tokens),
        step * (double)r->steps / u->result.pass_tokens, (long long)r->steps,
        (long long)r->accumulation, (long long)r->batch_size, (long long)r->seq_len);
    fl_note("rates: %s, lr %.3g, embeddings %.3g, head %.3g, Muon %.3g; schedule %s", r->optimizer,
            r->lr, r->embedding_lr, r->head_lr, r->muon_lr, r->schedule);
}

/* ---- the loop and what is left behind ---- */

static fl_status let_write(void *ctx, fl_model *m, fl_text *out, fl_err *err) {
    const run *u = ctx;
    return u->job->sample(u->job->sample_ctx, m, out, err);
}

static fl_status save_recipe(const run *u, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, u->result.dir, "recipe.yaml", err));
    return fl_recipe_save(u->r, path, err);
}

static fl_status learn(run *u, fl_err *err) {
    const fl_objective *objective = fl_objective_find(u->r->objective);
    if (!objective)
        return fl_fail(err, FL_ERR_ARG, "objective: %s: there is no such objective",
                       u->r->objective);
    fl_train_job t = {.model = u->model,
                      .objective = objective,
                      .train = u->train,
                      .val = u->val,
                      .dir = u->result.dir,
                      .pool = u->job->pool,
                      .progress = u->job->progress,
                      .started = u->job->started,
                      .sample = u->job->sample ? let_write : NULL,
                      .sample_ctx = u};
    FL_TRY(fl_recipe_train_opts(u->r, &t.opts, err));
    FL_TRY(fl_roof_flops(&t.roof_flops, t.opts.compute, u->job->pool, 0.03, err));
    FL_TRY(save_recipe(u, err));
    FL_TRY(fl_train(&t, &u->result.train, err));
    const fl_record record = {.train = &u->result.train,
                              .n_params = u->result.n_params,
                              .n_trained = u->result.n_params,
                              .pass_tokens = u->result.pass_tokens,
                              .pool = u->job->pool};
    return fl_record_write(&record, u->result.dir, err);
}

static fl_status all(run *u, fl_err *err) {
    FL_TRY(fl_recipe_check(u->r, err));
    FL_TRY(fl_run_folder(u->result.dir, u->r, err));
    char done[FL_PATH_MAX];
    FL_TRY(fl_checkpoint_latest(done, u->result.dir, err));
    if (done[0] && !u->r->resume)
        return fl_fail(err, FL_ERR_ARG,
                       "%s holds a run already: --resume continues it, --out names another folder",
                       u->result.dir);
    if (u->r->text.n == 0)
        return fl_fail(err, FL_ERR_ARG, "no text to learn from: name files or folders");
    FL_TRY(fl_dir_make(u->result.dir, err));
    FL_TRY(open_tokenizer(u, err));
    FL_TRY(open_data(u, err));
    FL_TRY(choose(u, err));
    FL_TRY(open_sources(u, err));
    FL_TRY(make_model(u, err));
    tell(u);
    return learn(u, err);
}

fl_status fl_run(const fl_run_job *job, fl_run_result *out, fl_err *err) {
    run u = {.job = job, .r = job->recipe};
    const fl_status s = all(&u, err);
    fl_source_close(u.train);
    fl_source_close(u.val);
    fl_model_free(u.model);
    fl_dataset_free(u.val_data);
    fl_dataset_free(u.data);
    fl_tokenizer_free(u.tokenizer);
    if (s == FL_OK) *out = u.result;
    return s;
}
