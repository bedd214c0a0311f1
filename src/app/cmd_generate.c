/* cmd_generate - fledge generate: let a model continue a prompt.
 *
 * Text streams to standard output as it comes; figures go to standard error. With --json there is
 * one line a text. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/grammar_flags.h"
#include "app/io.h"
#include "app/model_flags.h"
#include "app/sampler_flags.h"
#include "base/log.h"
#include "infer/generate.h"
#include "token/tokenizer.h"

/* One text being written. */
typedef struct {
    const fl_text *prompt;  // still to be echoed, or NULL
    const fl_tokenizer *tokenizer;
    bool json, want_logprobs;
    fl_text text;    // of --json
    json_t *tokens;  // of --json with --logprobs
    fl_text table;   // of --logprobs otherwise
} writer;

static json_t *token_json(const fl_tokenizer *t, int32_t id, double logprob) {
    size_t n = 0;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    return json_pack("{s:i, s:o, s:f}", "id", (int)id, "text", app_json_text(bytes, n), "logprob",
                     logprob);
}

static void token_note(writer *w, const fl_generated *g) {
    json_t *token = token_json(w->tokenizer, g->id, g->logprob), *top = json_array();
    for (int64_t i = 0; i < g->n_top; i++) {
        json_array_append_new(top, token_json(w->tokenizer, g->top[i].id, g->top[i].p));
    }
    if (g->n_top) json_object_set(token, "top", top);
    json_decref(top);
    json_array_append_new(w->tokens, token);
}

static bool write_piece(void *ctx, const fl_generated *g) {
    writer *w = ctx;
    if (w->want_logprobs && g->id >= 0) token_note(w, g);
    if (w->json) {
        fl_text_append(&w->text, g->text, g->n);
        return !w->text.failed;
    }
    if (w->prompt) fwrite(fl_text_str(w->prompt), 1, w->prompt->n, stdout);
    w->prompt = NULL;
    fwrite(g->text, 1, g->n, stdout);
    return fflush(stdout) == 0;
}

/* A line a token: ln p, the token, then the alternatives. */
static void print_logprobs(const writer *w) {
    size_t i, k;
    json_t *token, *other;
    json_array_foreach(w->tokens, i, token) {
        printf("%9.4f  ", json_real_value(json_object_get(token, "logprob")));
        const json_t *text = json_object_get(token, "text");
        app_print_token((const uint8_t *)json_string_value(text), json_string_length(text));
        json_array_foreach(json_object_get(token, "top"), k, other) {
            text = json_object_get(other, "text");
            printf("%s", k ? "  " : "   | ");
            app_print_token((const uint8_t *)json_string_value(text), json_string_length(text));
            printf(" %.3f", json_real_value(json_object_get(other, "logprob")));
        }
        putchar('\n');
    }
}

static fl_status print_result(writer *w, int64_t index, const fl_generate_result *r, fl_err *err) {
    if (!w->json) {
        putchar('\n');
        if (w->want_logprobs) print_logprobs(w);
        return app_flush(err);
    }
    json_t *v = json_pack("{s:I, s:o, s:s, s:I, s:I, s:f, s:f}", "index", (json_int_t)index, "text",
                          app_json_text(fl_text_str(&w->text), w->text.n), "finish",
                          fl_finish_name(r->finish), "prompt_tokens", (json_int_t)r->n_prompt,
                          "generated_tokens", (json_int_t)r->n_generated, "prompt_seconds",
                          r->prompt_seconds, "generate_seconds", r->generate_seconds);
    if (v && w->want_logprobs) json_object_set(v, "tokens", w->tokens);
    return app_print_json(v, err);
}

static void note_figures(const fl_generate_result *r, int64_t context) {
    double fresh = (double)(r->n_prompt - r->n_reused), made = (double)r->n_generated;
    fl_note(
        "read %.0f tokens in %.2f s (%.0f tok/s), wrote %.0f in %.2f s (%.1f tok/s); stopped: %s",
        fresh, r->prompt_seconds, fresh / r->prompt_seconds, made, r->generate_seconds,
        made / r->generate_seconds, fl_finish_name(r->finish));
    if (r->finish == FL_FINISH_CONTEXT) {
        fl_note("the context of %lld tokens is full; --slide forgets the older half and goes on",
                (long long)context);
    }
    if (r->n_steps) {
        fl_note("proposed %lld tokens, took %lld (%.0f %%): %.2f tokens a step of the model",
                (long long)r->n_proposed, (long long)r->n_taken,
                100.0 * (double)r->n_taken / (double)(r->n_proposed ? r->n_proposed : 1),
                (double)(r->n_steps + r->n_taken) / (double)r->n_steps);
    }
    if (r->n_slides) {
        fl_note("the context of %lld tokens filled %lld times; its older half was forgotten",
                (long long)context, (long long)r->n_slides);
    }
}

static fl_generate_opts options(const app_args *a, const fl_sampler_opts *sampler) {
    fl_generate_opts o = {
        .max_tokens = app_int(a, "max-tokens"),
        .sampler = *sampler,
        .want_logprobs = app_given(a, "logprobs"),
        .logprobs = app_int(a, "logprobs"),
        .lookup = app_int(a, "lookup"),
        .n_proposals = app_int(a, "draft-max"),
        .ignore_eos = app_bool(a, "ignore-eos"),
        .slide = app_bool(a, "slide"),
        .keep_special = app_bool(a, "show-special"),
        .plain = app_bool(a, "plain"),
        .emit = write_piece,
    };
    o.n_stop = app_list(a, "stop", &o.stop);
    return o;
}

static fl_status write_texts(const app_args *a, fl_session *s, const fl_text *prompt,
                             fl_session *draft, const fl_sampler_opts *sampler, fl_err *err) {
    fl_generate_opts o = options(a, sampler);
    o.draft = draft;
    app_grammar grammar;
    fl_status st = app_grammar_read(&grammar, a, fl_session_model(s), &o, err);
    o.matcher = grammar.matcher;
    for (int64_t i = 0; i < app_int(a, "n") && st == FL_OK && !fl_interrupted(); i++) {
        writer w = {.prompt = app_bool(a, "echo") ? prompt : NULL,
                    .tokenizer = fl_session_model(s)->tokenizer,
                    .json = app_bool(a, "json"),
                    .want_logprobs = o.want_logprobs,
                    .tokens = json_array()};
        fl_generate_result r;
        o.ctx = &w;
        o.sampler.stream = (uint64_t)i;
        st = fl_generate(s, fl_text_str(prompt), prompt->n, &o, &r, err);
        if (st == FL_OK) st = print_result(&w, i, &r, err);
        if (st == FL_OK) note_figures(&r, fl_session_context(s));
        fl_text_clear(&w.text);
        json_decref(w.tokens);
    }
    app_grammar_clear(&grammar);
    return st;
}

/* A file and standard input end with a newline that nobody meant as part of the prompt. */
static fl_status prompt_read(const app_args *a, fl_text *out, fl_err *err) {
    const char *word = app_arg(a, 1);
    if (!word && !app_given(a, "prompt-file")) return FL_OK;
    FL_TRY(app_read_text(a, 1, "prompt-file", out, err));
    bool typed = word && strcmp(word, "-") != 0;
    if (!typed && out->n && out->data[out->n - 1] == '\n') out->n--;
    return FL_OK;
}

static fl_status run(const app_args *a, fl_err *err) {
    fl_text prompt = {0};
    fl_model *m = NULL;
    fl_session *s = NULL;
    fl_model *draft_model = NULL;
    fl_session *draft = NULL;
    app_sampler sampler = {0};
    fl_status st = prompt_read(a, &prompt, err);
    if (st == FL_OK) st = app_session_open(a, app_arg(a, 0), &m, &s, err);
    const char *draft_path = app_str(a, "draft");
    if (st == FL_OK && draft_path) st = app_session_open(a, draft_path, &draft_model, &draft, err);
    if (st == FL_OK) st = app_sampler_read(&sampler, a, m->tokenizer, err);
    if (st == FL_OK) st = write_texts(a, s, &prompt, draft, &sampler.opts, err);
    app_sampler_clear(&sampler);
    fl_session_free(draft);
    fl_model_free(draft_model);
    fl_session_free(s);
    fl_model_free(m);
    fl_text_clear(&prompt);
    return st;
}

static const app_flag flags[] = {
    {"prompt-file", 'f', FLAG_STR, "FILE", .help = "read the prompt from a file"},
    {"max-tokens", 'n', FLAG_INT, "N", "256", "tokens to write at most, 0 for no limit",
     .most = 1e9},
    {"stop", 0, FLAG_LIST, "TEXT", .help = "end before this text; may be repeated"},
    {"ignore-eos", 0, FLAG_BOOL, .help = "go on when the model would end"},
    {"n", 0, FLAG_INT, "N", "1", "texts to write", .least = 1, .most = 1e6},
    {"logprobs", 0, FLAG_INT, "N", .help = "print ln p of each token and of the N likeliest",
     .most = 1000},
    {"echo", 0, FLAG_BOOL, .fallback = "true", .help = "print the prompt before the text"},
    {"slide", 0, FLAG_BOOL, .help = "when the context is full forget its older half and go on"},
    {"plain", 0, FLAG_BOOL, .help = "take special tokens in the prompt as ordinary text"},
    {"show-special", 0, FLAG_BOOL, .help = "print special tokens"},
#include "app/grammar_flags.def"
    {"draft", 0, FLAG_STR, "MODEL",
     .help = "a smaller model of the same tokenizer that proposes tokens ahead"},
    {"lookup", 0, FLAG_INT, "N",
     .help = "propose what followed the same N tokens, or fewer, before; with no model", .least = 1,
     .most = 1000},
    {"draft-max", 0, FLAG_INT, "N", "7", "tokens proposed a step", .least = 1, .most = 63},
#include "app/sampler_flags.def"
    APP_MODEL_FLAGS,
    {0},
};

const app_command cmd_generate = {
    .name = "generate",
    .args = "MODEL [PROMPT]",
    .summary = "let a model continue a text",
    .details =
        "MODEL is a run folder or a model folder. PROMPT - reads standard input (its last newline "
        "is dropped, as that of --prompt-file is); without a prompt the model begins a text of its "
        "own. "
        "The same seed writes the same text.\n"
        "    fledge generate runs/tales \"Once upon a time\" --temperature 0.7 --n 3\n"
        "    fledge generate runs/tales - --json < prompt.txt",
    .flags = flags,
    .run = run,
};
