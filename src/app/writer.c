/* writer - what `fledge generate` prints. */
#include "app/writer.h"

#include <stdio.h>
#include <string.h>

#include "app/io.h"
#include "base/log.h"
#include "token/tokenizer.h"

void app_writer_init(app_writer *w, const app_args *a, const fl_tokenizer *t,
                     const fl_text *prompt) {
    *w = (app_writer){.prompt = prompt,
                      .tokenizer = t,
                      .json = app_bool(a, "json"),
                      .want_logprobs = app_given(a, "logprobs"),
                      .echo = app_bool(a, "echo"),
                      .tokens = json_array()};
}

void app_writer_clear(app_writer *w) {
    fl_text_clear(&w->text);
    json_decref(w->tokens);
    *w = (app_writer){0};
}

static json_t *token_json(const fl_tokenizer *t, int32_t id, double logprob) {
    size_t n = 0;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    return json_pack("{s:i, s:o, s:f}", "id", (int)id, "text", app_json_text(bytes, n), "logprob",
                     logprob);
}

static void token_note(app_writer *w, const fl_generated *g) {
    json_t *token = token_json(w->tokenizer, g->id, g->logprob), *top = json_array();
    for (int64_t i = 0; i < g->n_top; i++) {
        json_array_append_new(top, token_json(w->tokenizer, g->top[i].id, g->top[i].p));
    }
    if (g->n_top) json_object_set(token, "top", top);
    json_decref(top);
    json_array_append_new(w->tokens, token);
}

/* Print what waits. */
static bool show(app_writer *w) {
    if (w->json || !w->live) return true;
    if (w->echo) fwrite(fl_text_str(w->prompt), 1, w->prompt->n, stdout);
    w->echo = false;
    fwrite(fl_text_str(&w->text), 1, w->text.n, stdout);
    w->text.n = 0;
    return fflush(stdout) == 0;
}

bool app_writer_piece(void *writer, const fl_generated *g) {
    app_writer *w = writer;
    if (w->want_logprobs && g->id >= 0) token_note(w, g);
    fl_text_append(&w->text, g->text, g->n);
    return !w->text.failed && show(w);
}

void app_writer_turn(app_writer *w) {
    w->live = true;
    (void)show(w);
}

/* A line a token: ln p, the token, then the alternatives. */
static void print_logprobs(const app_writer *w) {
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

static json_t *result_json(const app_writer *w, const fl_generate_result *r, const char *why) {
    json_t *v = json_pack("{s:I}", "index", (json_int_t)w->index);
    if (v && w->quote_prompt)
        json_object_set_new(v, "prompt", app_json_text(fl_text_str(w->prompt), w->prompt->n));
    if (v && !r) json_object_set_new(v, "error", json_string(why));
    if (!v || !r) return v;
    json_t *rest = json_pack("{s:o, s:s, s:I, s:I, s:f, s:f}", "text",
                             app_json_text(fl_text_str(&w->text), w->text.n), "finish",
                             fl_finish_name(r->finish), "prompt_tokens", (json_int_t)r->n_prompt,
                             "generated_tokens", (json_int_t)r->n_generated, "prompt_seconds",
                             r->prompt_seconds, "generate_seconds", r->generate_seconds);
    if (rest) json_object_update(v, rest);
    json_decref(rest);
    if (w->want_logprobs) json_object_set(v, "tokens", w->tokens);
    return v;
}

fl_status app_writer_end(app_writer *w, const fl_generate_result *r, const char *why, fl_err *err) {
    if (w->json) return app_print_json(result_json(w, r, why), err);
    app_writer_turn(w);
    putchar('\n');
    if (w->want_logprobs) print_logprobs(w);
    return app_flush(err);
}

void app_writer_figures(const fl_generate_result *r, int64_t context) {
    double fresh = (double)(r->n_prompt - r->n_reused), made = (double)r->n_generated;
    fl_note(
        "read %.0f tokens in %.2f s (%.0f tok/s), wrote %.0f in %.2f s (%.1f tok/s); stopped: %s",
        fresh, r->prompt_seconds, fresh / r->prompt_seconds, made, r->generate_seconds,
        made / r->generate_seconds, fl_finish_name(r->finish));
    if (r->finish == FL_FINISH_CONTEXT) {
        fl_warn(
            "the context of %lld tokens is full and the text ends there; --context-shift forgets "
            "the older half and goes on",
            (long long)context);
    }
    if (r->n_steps) {
        fl_note("proposed %lld tokens, took %lld (%.0f %%): %.2f tokens a step of the model",
                (long long)r->n_proposed, (long long)r->n_taken,
                100.0 * (double)r->n_taken / (double)(r->n_proposed ? r->n_proposed : 1),
                (double)(r->n_steps + r->n_taken) / (double)r->n_steps);
    }
    if (r->n_shifts) {
        fl_warn("the context of %lld tokens filled %lld times; its older half was forgotten",
                (long long)context, (long long)r->n_shifts);
    }
}
