/* cmd_generate - fledge generate: let a model continue a prompt.
 *
 * Text streams to standard output as it comes; figures go to standard error. With --json there is
 * one line a text. */
#include <string.h>

#include "app/command.h"
#include "app/generate_many.h"
#include "app/grammar_flags.h"
#include "app/io.h"
#include "app/model_flags.h"
#include "app/sampler_flags.h"
#include "app/writer.h"
#include "base/log.h"
#include "base/progress.h"
#include "infer/generate.h"
#include "infer/prompt_cache.h"

static fl_generate_opts options(const app_args *a, const fl_sampler_opts *sampler) {
    fl_generate_opts o = {
        .max_tokens = app_int(a, "max-tokens"),
        .sampler = *sampler,
        .want_logprobs = app_given(a, "logprobs"),
        .logprobs = app_int(a, "logprobs"),
        .lookup = app_int(a, "lookup"),
        .n_proposals = app_int(a, "draft-max"),
        .ignore_eos = app_bool(a, "ignore-eos"),
        .shift = app_bool(a, "context-shift"),
        .keep = app_int(a, "keep"),
        .keep_special = app_bool(a, "show-special"),
        .plain = app_bool(a, "plain"),
        .emit = app_writer_piece,
    };
    o.n_stop = app_list(a, "stop", &o.stop);
    return o;
}

/* One text, or several one after the other: as they come, with proposals where asked for. */
static fl_status write_texts(const app_args *a, fl_session *s, const fl_text *prompt,
                             fl_generate_opts o, fl_err *err) {
    app_grammar grammar;
    fl_status st = app_grammar_read(&grammar, a, fl_session_model(s), &o, err);
    o.matcher = grammar.matcher;
    for (int64_t i = 0; i < app_int(a, "n") && st == FL_OK && !fl_interrupted(); i++) {
        app_writer w;
        fl_generate_result r;
        app_writer_init(&w, a, fl_session_model(s)->tokenizer, prompt);
        w.index = i;
        w.live = true;  // the prompt is printed with the first token: nothing is wrong with it then
        o.ctx = &w;
        o.sampler.stream = (uint64_t)i;
        st = fl_generate(s, fl_text_str(prompt), prompt->n, &o, &r, err);
        if (st == FL_OK) st = app_writer_end(&w, &r, NULL, err);
        if (st == FL_OK) app_writer_figures(&r, fl_session_context(s));
        app_writer_clear(&w);
    }
    app_grammar_clear(&grammar);
    return st;
}

/* The session takes the prompt from the file, or reads it and leaves it there. */
static fl_status prompt_cache(const app_args *a, fl_session *s, const fl_text *prompt,
                              fl_err *err) {
    const char *path = app_str(a, "prompt-cache");
    fl_ids ids = {0};
    int64_t reused;
    if (!path) return FL_OK;
    fl_status st = fl_generate_prompt(fl_session_model(s), fl_text_str(prompt), prompt->n,
                                      app_bool(a, "plain"), &ids, err);
    if (st == FL_OK) st = fl_prompt_cache_use(s, path, ids.id, (int64_t)ids.n, &reused, err);
    if (st == FL_OK)
        fl_note("%lld of %zu tokens of the prompt were in %s", (long long)reused, ids.n, path);
    fl_ids_clear(&ids);
    return st;
}

static fl_status write_alone(const app_args *a, fl_model *m, const fl_text *prompt,
                             fl_generate_opts o, fl_err *err) {
    const char *path = app_str(a, "draft");
    fl_model *draft_model = NULL;
    fl_session *s = NULL;
    fl_status st = app_session_new(a, m, &s, err);
    if (st == FL_OK && path) st = app_session_open(a, path, &draft_model, &o.draft, err);
    if (st == FL_OK) st = prompt_cache(a, s, prompt, err);
    if (st == FL_OK) st = write_texts(a, s, prompt, o, err);
    fl_session_free(o.draft);
    fl_model_free(draft_model);
    fl_session_free(s);
    return st;
}

/* A file and standard input end with a newline that nobody meant as part of the prompt. */
static fl_status prompt_read(const app_args *a, app_prompts *out, fl_err *err) {
    const char *word = app_arg(a, 1), *file = app_str(a, "prompts");
    const bool one = word || app_given(a, "prompt-file");
    if (file && one) return fl_fail(err, FL_ERR_ARG, "--prompts and a prompt: which of them?");
    if (file) return app_prompts_read(out, file, err);
    FL_TRY(app_prompts_add(out, "", 0, err));
    if (!one) return FL_OK;
    fl_text *text = out->item;
    FL_TRY(app_read_text(a, 1, "prompt-file", text, err));
    bool typed = word && strcmp(word, "-") != 0;
    if (!typed && text->n && text->data[text->n - 1] == '\n') text->n--;
    return FL_OK;
}

/* Proposals ahead and prompts on disk are for one text at a time. */
static bool is_alone(const app_args *a, const app_prompts *p) {
    return app_given(a, "draft") || app_given(a, "lookup") || app_given(a, "prompt-cache") ||
           p->n * app_int(a, "n") == 1;
}

static fl_status write_all(const app_args *a, fl_model *m, const app_prompts *p,
                           const fl_sampler_opts *sampler, fl_err *err) {
    const fl_generate_opts o = options(a, sampler);
    if (!is_alone(a, p)) return app_generate_many(a, p, &o, m, err);
    if (p->n == 1) return write_alone(a, m, p->item, o, err);
    return fl_fail(err, FL_ERR_ARG,
                   "--draft, --lookup and --prompt-cache are for one prompt, not for --prompts");
}

static fl_status run(const app_args *a, fl_err *err) {
    app_prompts prompts = {0};
    fl_model *m = NULL;
    app_sampler sampler = {0};
    fl_status st = prompt_read(a, &prompts, err);
    if (st == FL_OK)
        st = fl_model_load(&m, app_arg(a, 0), &(fl_model_opts){.as_stored = true}, err);
    if (st == FL_OK) st = app_sampler_read(&sampler, a, m->tokenizer, err);
    if (st == FL_OK) st = write_all(a, m, &prompts, &sampler.opts, err);
    app_sampler_clear(&sampler);
    fl_model_free(m);
    app_prompts_clear(&prompts);
    return st;
}

static const app_flag flags[] = {
    {"prompt-file", 'f', FLAG_STR, "FILE", .help = "read the prompt from a file"},
    {"prompts", 0, FLAG_STR, "FILE",
     .help = "many prompts, one a line, or JSONL with a member \"prompt\""},
    {"prompt-cache", 0, FLAG_STR, "FILE",
     .help = "keep what was read of the prompt there, and take it from there next time"},
    {"parallel", 0, FLAG_INT, "N", "8", "texts written at once, of --n and --prompts", .least = 1,
     .most = FL_GROUP_ROWS},
    {"max-tokens", 'n', FLAG_INT, "N", "256", "tokens to write at most, 0 for no limit",
     .most = 1e9},
    {"stop", 0, FLAG_LIST, "TEXT", .help = "end before this text; may be repeated"},
    {"ignore-eos", 0, FLAG_BOOL, .help = "go on when the model would end"},
    {"n", 0, FLAG_INT, "N", "1", "texts to write, of each prompt", .least = 1, .most = 1e6},
    {"logprobs", 0, FLAG_INT, "N", .help = "print ln p of each token and of the N likeliest",
     .most = 1000},
    {"echo", 0, FLAG_BOOL, .fallback = "true", .help = "print the prompt before the text"},
    {"context-shift", 0, FLAG_BOOL,
     .help = "when the context is full forget its older half and go on"},
    {"keep", 0, FLAG_INT, "N", "0",
     "tokens at the beginning that are never forgotten, -1: the prompt", .least = -1, .most = 1e9},
    {"plain", 0, FLAG_BOOL, .help = "take special tokens in the prompt as ordinary text"},
    {"show-special", 0, FLAG_BOOL, .help = "print special tokens"},
#include "app/grammar_flags.def"
    {"draft", 0, FLAG_STR, "MODEL",
     .help = "a smaller model of the same tokenizer that proposes tokens ahead"},
    {"lookup", 0, FLAG_INT, "N",
     .help = "propose what followed the same N tokens, or fewer, before; with no model", .least = 1,
     .most = 1000},
    {"draft-max", 0, FLAG_INT, "N", "7", "tokens proposed a step", .least = 1, .most = 63},
#include "app/model_flags.def"
#include "app/sampler_flags.def"
    {0},
};

const app_command cmd_generate = {
    .name = "generate",
    .args = "MODEL [PROMPT]",
    .summary = "let a model continue a text",
    .details =
        "MODEL is a run folder, a model folder, a GGUF file or the name of a pulled model. PROMPT "
        "- reads standard input (its last newline "
        "is dropped, as that of --prompt-file is); without a prompt the model begins a text of its "
        "own. "
        "The same seed writes the same text.\n"
        "    fledge generate runs/tales \"Once upon a time\" --temperature 0.7 --n 3\n"
        "    fledge generate runs/tales - --json < prompt.txt\n"
        "    fledge generate runs/tales --prompts questions.jsonl --parallel 8 --json",
    .flags = flags,
    .run = run,
};
