/* cmd_eval - fledge eval: measure a model. */
#include <math.h>
#include <stdio.h>

#include "app/command.h"
#include "app/io.h"
#include "app/model_flags.h"
#include "app/terminal.h"
#include "base/alloc.h"
#include "data/corpus.h"
#include "infer/perplexity.h"
#include "token/tokenizer.h"

typedef struct {
    fl_session *session;
    fl_perplexity_opts opts;
    fl_perplexity sum;
    fl_ids ids;     // of the document being read
    int32_t begin;  // put before each document, or -1
    int64_t n_documents, n_bytes;
} evaluation;

static fl_status document_score(evaluation *e, fl_err *err) {
    e->n_documents++;
    fl_status st = FL_OK;
    if (e->ids.n > 1) {
        st = fl_perplexity_add(&e->sum, e->session, e->ids.id, (int64_t)e->ids.n, &e->opts, err);
    }
    e->ids.n = 0;
    return st;
}

/* The token that begins texts is asked for by its own text, so that it goes through the tokenizer
 * like any other. */
static fl_status piece_add(evaluation *e, const fl_tokenizer *t, const fl_piece *p, fl_err *err) {
    if (p->begins && e->begin >= 0) {
        size_t n;
        const uint8_t *bytes = fl_token_bytes(t, e->begin, &n);
        FL_TRY(fl_encode(t, (const char *)bytes, n, &(fl_encode_opts){0}, &e->ids, err));
    }
    e->n_bytes += (int64_t)p->n;
    FL_TRY(fl_encode(t, p->text, p->n, &(fl_encode_opts){.plain = true}, &e->ids, err));
    return p->ends ? document_score(e, err) : FL_OK;
}

static fl_status corpus_score(const app_args *a, evaluation *e, fl_err *err) {
    const fl_tokenizer *t = fl_session_model(e->session)->tokenizer;
    if (!t)
        return fl_fail(err, FL_ERR_ARG,
                       "the model has no tokenizer: its folder lacks tokenizer.json");
    if (app_bool(a, "bos"))
        e->begin = fl_tokenizer_bos(t) >= 0 ? fl_tokenizer_bos(t) : fl_tokenizer_eos(t);
    const char **paths;
    int n;
    fl_corpus *c = NULL;
    fl_corpus_opts o = {.text_field = app_str(a, "field")};
    FL_TRY(app_paths(a, 1, &paths, &n, err));
    fl_status st = fl_corpus_open(&c, paths, n, &o, err);
    fl_dealloc(paths);
    fl_progress progress = app_progress();
    if (st == FL_OK) fl_progress_begin(&progress, "reading", "B", fl_corpus_bytes_total(c));
    for (fl_piece p = {.text = ""}; st == FL_OK && p.text;) {
        st = fl_corpus_next(c, &p, err);
        if (st == FL_OK && p.text) st = piece_add(e, t, &p, err);
        if (st == FL_OK) fl_progress_step(&progress, fl_corpus_bytes_read(c));
    }
    if (st == FL_OK) fl_progress_end(&progress);
    fl_corpus_close(c);
    if (st == FL_OK && e->sum.n_tokens == 0) {
        st = fl_fail(err, FL_ERR_ARG, "%s: a text of at least two tokens is wanted", app_arg(a, 1));
    }
    return st;
}

static fl_status print_figures(const app_args *a, const evaluation *e, fl_err *err) {
    const fl_perplexity *p = &e->sum;
    double nll = fl_perplexity_nll(p), nll_error = fl_perplexity_nll_error(p);
    double bpb = fl_perplexity_bpb(p), bpb_error = fl_perplexity_bpb_error(p);
    if (app_bool(a, "json")) {
        return app_print_json(json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}",
                                        "documents", (json_int_t)e->n_documents, "bytes",
                                        (json_int_t)e->n_bytes, "tokens", (json_int_t)p->n_tokens,
                                        "nll", nll, "nll_stderr", nll_error, "perplexity", exp(nll),
                                        "perplexity_stderr", exp(nll) * nll_error, "bits_per_byte",
                                        bpb, "bits_per_byte_stderr", bpb_error),
                              err);
    }
    printf("documents      %lld, %lld bytes\n", (long long)e->n_documents, (long long)e->n_bytes);
    printf("tokens scored  %.0f, %.2f bytes each\n", p->n_tokens, p->n_bytes / p->n_tokens);
    printf("nll per token  %.4f ± %.4f\n", nll, nll_error);
    printf("perplexity     %.3f ± %.3f\n", exp(nll), exp(nll) * nll_error);
    printf("bits per byte  %.4f ± %.4f\n", bpb, bpb_error);
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    fl_model *m = NULL;
    evaluation e = {.begin = -1,
                    .opts = {.window = app_int(a, "window"),
                             .stride = app_int(a, "stride"),
                             .halves = app_bool(a, "halves"),
                             .most = app_int(a, "chunks")}};
    if (e.opts.most && !e.opts.halves)
        return fl_fail(err, FL_ERR_ARG, "--chunks: only with --halves are windows counted");
    if (e.opts.halves && app_bool(a, "bos"))
        return fl_fail(err, FL_ERR_ARG, "--bos: with --halves every window begins as texts begin");
    fl_status st = app_session_open(a, app_arg(a, 0), &m, &e.session, err);
    if (st == FL_OK) st = corpus_score(a, &e, err);
    if (st == FL_OK) st = print_figures(a, &e, err);
    fl_ids_clear(&e.ids);
    fl_session_free(e.session);
    fl_model_free(m);
    return st;
}

static const app_flag flags[] = {
    {"window", 0, FLAG_INT, "N", .help = "tokens scored together [the context]", .least = 2,
     .most = 1e9},
    {"stride", 0, FLAG_INT, "N", .help = "tokens from one window to the next [half a window]",
     .least = 1, .most = 1e9},
    {"halves", 0, FLAG_BOOL,
     .help = "windows side by side, the second half of each scored, as llama-perplexity does"},
    {"chunks", 0, FLAG_INT, "N", .help = "with --halves: the first N windows of each document",
     .least = 1, .most = 1e9},
    {"bos", 0, FLAG_BOOL,
     .help = "put the token that begins texts first, so that the first one counts"},
    {"field", 0, FLAG_STR, "NAME", "text", .help = "field of JSONL files that holds the text"},
#include "app/model_flags.def"
    {0},
};

const app_command cmd_eval_perplexity = {
    .name = "eval perplexity",
    .args = "MODEL TEXT...",
    .summary = "perplexity and bits per byte of a text",
    .details =
        "Each document is scored on its own, in overlapping windows; every token counts once. The "
        "figures are those of transformers on the same windows, with standard errors over tokens.\n"
        "    fledge eval perplexity runs/tales held-out.txt --window 512 --stride 256\n"
        "    fledge eval perplexity model.gguf wiki.test.raw --window 512 --halves",
    .flags = flags,
    .run = run,
};
