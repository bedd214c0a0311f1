/* generate_many - several texts, some at a time, printed in order.
 *
 * Text i is number i % n of prompt i / n. What it says does not depend on the others: its random
 * stream is its number among those of its prompt, and the scheduler sees to the rest. */
#include "app/generate_many.h"

#include <string.h>

#include "app/grammar_flags.h"
#include "app/model_flags.h"
#include "app/writer.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/progress.h"
#include "infer/scheduler.h"

enum { MAX_FILE = 1 << 30 };

/* ---- prompts ---- */

fl_status app_prompts_add(app_prompts *p, const char *text, size_t n, fl_err *err) {
    if (p->n == p->room) {
        const int64_t room = p->room ? 2 * p->room : 16;
        fl_text *more = fl_alloc((size_t)room * sizeof *more);
        if (!more) return fl_fail(err, FL_ERR_NOMEM, "%lld prompts", (long long)room);
        if (p->n) memcpy(more, p->item, (size_t)p->n * sizeof *more);
        fl_dealloc(p->item);
        p->item = more;
        p->room = room;
    }
    fl_text *t = &p->item[p->n++];
    *t = (fl_text){0};
    fl_text_append(t, text, n);
    return fl_text_ok(t, err);
}

static fl_status add_json(app_prompts *p, const char *line, size_t n, const char *where,
                          fl_err *err) {
    json_t *v;
    FL_TRY(fl_json_parse(&v, line, n, where, err));
    const json_t *prompt = json_object_get(v, "prompt");
    const fl_status st =
        json_is_string(prompt)
            ? app_prompts_add(p, json_string_value(prompt), json_string_length(prompt), err)
            : fl_fail(err, FL_ERR_FORMAT, "%s: expected {\"prompt\": text}", where);
    json_decref(v);
    return st;
}

fl_status app_prompts_read(app_prompts *p, const char *path, fl_err *err) {
    char *text, where[FL_PATH_MAX + 32];
    size_t n;
    FL_TRY(fl_file_read(path, MAX_FILE, &text, &n, err));
    const bool json = n && text[strspn(text, " \t\r\n")] == '{';
    fl_status st = FL_OK;
    int64_t number = 1;
    for (size_t at = 0, len; at < n && st == FL_OK; at += len + 1, number++) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        len = end ? (size_t)(end - line) : n - at;
        const size_t whole = len && line[len - 1] == '\r' ? len - 1 : len;
        if (strspn(line, " \t\r") >= whole) continue;
        snprintf(where, sizeof where, "%s:%lld", path, (long long)number);
        st = json ? add_json(p, line, whole, where, err) : app_prompts_add(p, line, whole, err);
    }
    fl_dealloc(text);
    if (st == FL_OK && !p->n) st = fl_fail(err, FL_ERR_ARG, "%s: no prompts", path);
    return st;
}

void app_prompts_clear(app_prompts *p) {
    for (int64_t i = 0; i < p->n; i++) fl_text_clear(&p->item[i]);
    fl_dealloc(p->item);
    *p = (app_prompts){0};
}

/* ---- texts ---- */

struct many;

typedef struct {
    struct many *all;
    app_writer writer;
    fl_generate_opts opts;
    fl_matcher *matcher;
    bool done;
    bool failed;
    fl_generate_result r;
    fl_err why;
} text;

typedef struct many {
    const app_args *a;
    const app_prompts *prompts;
    const fl_generate_opts *opts;
    fl_model *m;
    app_grammar grammar;
    fl_scheduler *scheduler;
    text *text;
    int64_t n, each;           // texts; of a prompt
    int64_t n_added, n_ended;  // given to the scheduler; printed
    int64_t n_writing, n_failed;
    int64_t n_read, n_written;  // tokens
    fl_status status;           // of printing
    fl_err err;
} many;

static void text_print(many *all, text *t) {
    if (all->status == FL_OK && t->failed)
        fl_warn("text %lld: %s", (long long)t->writer.index, t->why.msg);
    if (all->status == FL_OK)
        all->status = app_writer_end(&t->writer, t->failed ? NULL : &t->r, t->why.msg, &all->err);
    app_writer_clear(&t->writer);
}

/* Print those that are done and have none before them that is not. */
static void texts_print(many *all) {
    while (all->n_ended < all->n_added && all->text[all->n_ended].done)
        text_print(all, &all->text[all->n_ended++]);
    if (all->n_ended < all->n_added) app_writer_turn(&all->text[all->n_ended].writer);
}

static void text_done(void *ctx, const fl_generate_result *r, fl_status status, const fl_err *why) {
    text *t = ctx;
    many *all = t->all;
    t->done = true;
    t->failed = status != FL_OK;
    if (t->failed) t->why = *why;
    else t->r = *r;
    fl_matcher_free(t->matcher);
    t->matcher = NULL;
    all->n_writing--;
    all->n_failed += t->failed;
    all->n_read += t->r.n_prompt - t->r.n_reused;
    all->n_written += t->r.n_generated;
    texts_print(all);
}

static fl_status text_add(many *all, fl_err *err) {
    const int64_t i = all->n_added;
    text *t = &all->text[i];
    const fl_text *prompt = &all->prompts->item[i / all->each];
    *t = (text){.all = all, .opts = *all->opts};
    app_writer_init(&t->writer, all->a, all->m->tokenizer, prompt);
    t->writer.index = i;
    t->writer.quote_prompt = app_given(all->a, "prompts");
    all->n_added++;
    all->n_writing++;
    if (all->grammar.grammar)
        FL_TRY(fl_matcher_new(&t->matcher, all->grammar.grammar, all->grammar.trie, err));
    t->opts.matcher = t->matcher;
    t->opts.sampler.stream = (uint64_t)(i % all->each);
    t->opts.emit = app_writer_piece;
    t->opts.ctx = &t->writer;
    fl_ids ids = {0};
    fl_status st = fl_generate_prompt(all->m, fl_text_str(prompt), prompt->n, t->opts.plain, &ids,
                                      err);
    const fl_request r = {ids.id, (int64_t)ids.n, &t->opts, text_done, t};
    if (st == FL_OK) st = fl_scheduler_add(all->scheduler, &r, err);
    fl_ids_clear(&ids);
    if (i == all->n_ended) app_writer_turn(&t->writer);
    return st;
}

/* Some wait while others are written, so that a place is never empty; not all, because each has
 * memory of its own. */
static fl_status texts_make(many *all, fl_err *err) {
    const int64_t most = 2 * app_int(all->a, "parallel");
    for (bool busy = true; busy && !fl_interrupted();) {
        while (all->n_added < all->n && all->n_writing < most) FL_TRY(text_add(all, err));
        FL_TRY(fl_scheduler_step(all->scheduler, &busy, err));
        busy = busy || all->n_added < all->n;
    }
    if (all->status != FL_OK && err) *err = all->err;
    return all->status;
}

static void clear(many *all) {
    fl_scheduler_free(all->scheduler);
    for (int64_t i = 0; all->text && i < all->n_added; i++) {
        fl_matcher_free(all->text[i].matcher);
        if (i >= all->n_ended) app_writer_clear(&all->text[i].writer);
    }
    fl_dealloc(all->text);
    app_grammar_clear(&all->grammar);
}

fl_status app_generate_many(const app_args *a, const app_prompts *p, const fl_generate_opts *opts,
                            fl_model *m, fl_err *err) {
    const int64_t each = app_int(a, "n");
    many all = {.a = a, .prompts = p, .opts = opts, .m = m, .n = p->n * each, .each = each};
    const fl_scheduler_opts o = {.parallel = app_int(a, "parallel")};
    fl_group *group = NULL;
    const double start = fl_now();
    all.text = fl_alloc((size_t)all.n * sizeof *all.text);
    fl_status st = all.text ? app_group_open(a, m, &group, err)
                            : fl_fail(err, FL_ERR_NOMEM, "%lld texts", (long long)all.n);
    if (st == FL_OK) st = fl_scheduler_new(&all.scheduler, group, &o, err);
    if (st == FL_OK) st = app_grammar_read(&all.grammar, a, m, opts, err);
    if (st == FL_OK) st = texts_make(&all, err);
    const double seconds = fl_now() - start;
    clear(&all);
    fl_group_free(group);
    if (st != FL_OK) return st;
    fl_note("read %lld tokens and wrote %lld of %lld texts in %.2f s (%.1f tok/s)",
            (long long)all.n_read, (long long)all.n_written, (long long)all.n_ended, seconds,
            (double)all.n_written / seconds);
    if (!all.n_failed) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%lld of %lld texts failed", (long long)all.n_failed,
                   (long long)all.n);
}
