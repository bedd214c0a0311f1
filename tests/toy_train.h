/* toy_train.h - a tiny model and an endless made-up text, for tests of the trainer.
 *
 * Row r is a pure function of r: tokens that mostly follow a fixed permutation, so there is
 * something to learn, in two documents. */
#ifndef FL_TESTS_TOY_TRAIN_H
#define FL_TESTS_TOY_TRAIN_H

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"
#include "model/arch.h"
#include "train/trainer.h"

enum { TOY_VOCAB = 64, TOY_T = 24 };

typedef struct {
    fl_source base;
    int64_t row, rows;  // rows 0: endless
} toy_source;

static inline int32_t toy_next(int32_t token, uint32_t chance) {
    return chance % 8 == 0 ? (int32_t)(chance / 8 % TOY_VOCAB) : (token * 5 + 3) % TOY_VOCAB;
}

static inline void toy_row(fl_batch *b, int64_t at, int64_t row) {
    fl_rng rng = {.seed = 11, .stream = (uint64_t)row};
    int32_t token = (int32_t)fl_rng_below(&rng, TOY_VOCAB);
    for (int64_t i = at * b->T; i < (at + 1) * b->T; i++) {
        const int64_t t = i % b->T, second = t >= b->T / 2;
        b->tokens[i] = token;
        token = toy_next(token, fl_rng_u32(&rng));
        b->targets[i] = token;
        b->weight[i] = 1;
        b->segment[i] = (int32_t)second;
        b->position[i] = (int32_t)(t - second * (b->T / 2));
    }
}

static inline fl_status toy_fill(fl_source *s, fl_batch *b, fl_err *err) {
    toy_source *t = (toy_source *)s;
    (void)err;
    b->n_targets = 0;
    for (int64_t i = 0; i < b->B; i++) {
        toy_row(b, i, t->row + (t->rows ? 1000000 : 0));
        const bool over = t->rows && t->row >= t->rows;
        for (int64_t k = 0; over && k < b->T; k++)
            b->targets[i * b->T + k] = -1, b->weight[i * b->T + k] = 0;
        b->n_targets += over ? 0 : (double)b->T;
        t->row++;
    }
    b->n_bytes = 2 * b->n_targets;
    return FL_OK;
}

static inline json_t *toy_position(const fl_source *s) {
    return json_pack("{sI}", "row", (json_int_t)((const toy_source *)s)->row);
}

static inline fl_status toy_seek(fl_source *s, const json_t *position, fl_err *err) {
    return fl_json_int(position, "row", &((toy_source *)s)->row, "toy", err);
}

static inline void toy_close(fl_source *s) {
    (void)s;
}

static const fl_source_row toy_rows = {toy_fill, toy_position, toy_seek, toy_close};

static inline fl_model *toy_model(void) {
    fl_config c = {.arch = fl_arch_find("qwen3"),
                   .vocab_size = TOY_VOCAB,
                   .hidden_size = 32,
                   .intermediate_size = 48,
                   .num_hidden_layers = 2,
                   .num_attention_heads = 2,
                   .num_key_value_heads = 1,
                   .head_dim = 16,
                   .max_position_embeddings = TOY_T,
                   .rope_theta = 1e4,
                   .norm_eps = 1e-6,
                   .bos_token_id = -1,
                   .eos_token_id = -1};
    fl_model *m = NULL;
    fl_err err = {0};
    const fl_status s = fl_config_complete(&c, &err) == FL_OK ? fl_model_new(&m, &c, 5, &err)
                                                              : FL_ERR_ARG;
    CHECKF(s == FL_OK, "%s", err.msg);
    if (!m) exit(EXIT_FAILURE);
    return m;
}

static inline fl_train_opts toy_opts(int64_t steps) {
    return (fl_train_opts){.steps = steps,
                           .batch_size = 4,
                           .seq_len = TOY_T,
                           .accumulation = 2,
                           .optimizer = {.name = "muon",
                                         .lr = 3e-3,
                                         .beta1 = 0.9,
                                         .beta2 = 0.95,
                                         .eps = 1e-8,
                                         .weight_decay = 0.1,
                                         .muon_lr = 0.02,
                                         .momentum = 0.95},
                           .schedule = {.row = fl_schedule_find("wsd"),
                                        .warmup = 0.1,
                                        .final = 0.1,
                                        .decay = 0.4},
                           .clip = 1,
                           .compute = FL_BF16,
                           .spike_sigma = 8,
                           .spike_most = 5,
                           .eval_every = 3,
                           .save_every = 4};
}

/* Train a fresh toy model in `dir`; `tweak` may change the job or put a transform on the model. */
typedef struct {
    const char *dir;
    fl_train_opts opts;
    int threads;  // 0: one
    fl_status (*tweak)(fl_train_job *job, fl_err *err);
    fl_train_result result;
    fl_err err;
} toy_run;

static inline fl_status toy_train(toy_run *r) {
    toy_source train = {.base = {.row = &toy_rows}}, val = {.base = {.row = &toy_rows}, .rows = 10};
    fl_pool *pool = NULL;
    fl_model *m = toy_model();
    fl_status s = fl_pool_new(&pool, r->threads ? r->threads : 1, &r->err);
    fl_train_job job = {.model = m,
                        .objective = fl_objective_find("next_token"),
                        .train = &train.base,
                        .val = &val.base,
                        .dir = r->dir,
                        .opts = r->opts,
                        .pool = pool};
    if (s == FL_OK && r->tweak) s = r->tweak(&job, &r->err);
    if (s == FL_OK) s = fl_train(&job, &r->result, &r->err);
    fl_model_free(m);
    fl_pool_free(pool);
    return s;
}

#endif
