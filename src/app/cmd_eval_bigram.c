/* cmd_eval_bigram - fledge eval bigram: the score a model must beat to have learnt more than pairs
 * of tokens. */
#include <stdio.h>
#include <stdlib.h>

#include "app/command.h"
#include "app/io.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "model/model.h"
#include "train/bigram.h"

enum { ROW = 1024 };

typedef struct {
    fl_tokenizer *tokenizer;
    char cache[FL_PATH_MAX];  // for the token shards; removed at the end
    fl_dataset *data[2];      // learnt from, scored
    fl_source *source[2];
} job;

static fl_status cache_make(job *j, fl_err *err) {
    const char *tmp = getenv("TMPDIR");
    FL_TRY(fl_path_join(j->cache, tmp && *tmp ? tmp : "/tmp", "fledge-bigram-XXXXXX", err));
    if (mkdtemp(j->cache)) return FL_OK;
    fl_status s = fl_fail(err, FL_ERR_IO,
                          "%s: cannot make a temporary folder; TMPDIR names another place",
                          j->cache);
    j->cache[0] = '\0';
    return s;
}

static fl_status text_open(job *j, int which, const char *const *paths, int n, const char *field,
                           fl_err *err) {
    fl_progress progress = app_progress();
    const fl_dataset_opts o = {.paths = paths,
                               .n_paths = n,
                               .corpus = {.text_field = field},
                               .split = FL_SPLIT_NONE,
                               .tokenizer = j->tokenizer,
                               .cache_dir = j->cache,
                               .progress = &progress};
    const fl_source_opts so = {.T = ROW};
    FL_TRY(fl_dataset_open(&j->data[which], &o, err));
    return fl_pass_source_new(&j->source[which], j->data[which], FL_PART_TRAIN, &so, err);
}

static fl_status texts_open(const app_args *a, job *j, fl_err *err) {
    const char *const *train;
    const char **scored;
    int n_train = app_list(a, "train", &train), n_scored;
    const char *field = app_str(a, "field");
    if (n_train == 0)
        return fl_fail(err, FL_ERR_ARG, "--train: name the text whose pairs are counted");
    char folder[FL_PATH_MAX];
    FL_TRY(fl_model_folder(folder, app_arg(a, 0), err));
    FL_TRY(fl_tokenizer_load(&j->tokenizer, folder, err));
    FL_TRY(cache_make(j, err));
    FL_TRY(text_open(j, 0, train, n_train, field, err));
    FL_TRY(app_paths(a, 1, &scored, &n_scored, err));
    fl_status s = text_open(j, 1, scored, n_scored, field, err);
    fl_dealloc(scored);
    return s;
}

static fl_status print_score(const app_args *a, const fl_bigram_score *s, fl_err *err) {
    if (app_bool(a, "json")) {
        return app_print_json(json_pack("{s:f, s:f, s:f, s:f}", "tokens", s->n_targets, "bytes",
                                        s->n_bytes, "nll", s->nll, "bits_per_byte",
                                        s->bits_per_byte),
                              err);
    }
    printf("nll per token  %.4f\nbits per byte  %.4f\n", s->nll, s->bits_per_byte);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    job j = {0};
    fl_bigram_score score;
    fl_status s = texts_open(a, &j, err);
    if (s == FL_OK) {
        s = fl_bigram_measure(j.source[0], j.source[1], fl_tokenizer_size(j.tokenizer), ROW, &score,
                              err);
    }
    if (s == FL_OK) s = print_score(a, &score, err);
    for (int i = 0; i < 2; i++) {
        fl_source_close(j.source[i]);
        fl_dataset_free(j.data[i]);
    }
    fl_tokenizer_free(j.tokenizer);
    if (j.cache[0]) {
        fl_status removed = fl_dir_remove(j.cache, s == FL_OK ? err : NULL);
        if (s == FL_OK) s = removed;
    }
    return s;
}

static const app_flag flags[] = {
    {"train", 0, FLAG_LIST, "FILE", .help = "text whose pairs are counted; may be repeated"},
    {"field", 0, FLAG_STR, "NAME", "text", .help = "field of JSONL files that holds the text"},
    {0},
};

const app_command cmd_eval_bigram = {
    .name = "eval bigram",
    .args = "MODEL TEXT...",
    .summary = "bits per byte of a model of token pairs: the floor",
    .details =
        "Counts neighbouring tokens in the texts of --train, with the tokenizer of a model or run, "
        "and scores "
        "TEXT (Witten and Bell's smoothing). A language model that is not far below has learnt "
        "little.\n"
        "    fledge eval bigram runs/tales held-out.txt --train books/",
    .flags = flags,
    .run = run,
};
