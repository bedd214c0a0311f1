/* steps - a model planned for steps of a few sizes over a cache in pages.
 *
 *   NEXT:   tokens (1, T) -> hidden (1, T, C) -> row `last` of it -> logits (1, V)
 *   SCORE:  tokens (1, T), targets (T) -> nll (T), no logits kept
 *   DECODE: tokens (R, 1) -> logits (R, V)
 *   position as tokens, start (1 or R), table (1 or R, width); pages (P, N, K, D) per layer */
#include "infer/steps.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { WIDTH = 4 };  // pages of a row of the table at first

/* Few programs, and a step is seldom more than half padding. */
static const int64_t rows[] = {1, 2, 4, 8, 16, 24, 32, 48, FLI_ROWS};

static void sizes_set(fli_steps *s) {
    const int64_t chunk = s->opts.chunk > FLI_LEAST ? s->opts.chunk : FLI_LEAST;
    int n = 0;
    for (int64_t size = FLI_LEAST; size < chunk; size *= 4) s->size[FLI_NEXT][n++] = size;
    s->size[FLI_NEXT][n++] = chunk;
    s->n_sizes[FLI_NEXT] = s->n_sizes[FLI_SCORE] = n;
    memcpy(s->size[FLI_SCORE], s->size[FLI_NEXT], sizeof s->size[FLI_NEXT]);
    s->n_sizes[FLI_DECODE] = sizeof rows / sizeof *rows;
    memcpy(s->size[FLI_DECODE], rows, sizeof rows);
}

void fli_steps_init(fli_steps *s, fl_model *m, fli_pages *pages, const fli_steps_opts *o) {
    *s = (fli_steps){.m = m, .pages = pages, .opts = *o, .width = WIDTH, .moved = pages->moved};
    sizes_set(s);
}

static void drop(fli_steps *s) {
    for (int k = 0; k < FLI_KINDS; k++) {
        for (int i = 0; i < s->n_sizes[k]; i++) {
            fl_program_free(s->step[k][i].program);
            fl_graph_free(s->step[k][i].g);
            s->step[k][i] = (fli_step){0};
        }
    }
}

void fli_steps_clear(fli_steps *s) {
    drop(s);
}

/* ---- planning ---- */

static void build(fli_steps *s, fli_step *st, fli_kind k, int64_t size, fl_val *cache) {
    fl_graph *g = st->g;
    const int64_t layers = s->m->config.num_hidden_layers, B = k == FLI_DECODE ? size : 1;
    const int64_t dim[] = {B, size / B};
    for (int64_t i = 0; i < s->pages->n_blocks; i++)
        cache[i] = fl_extern(g, i < layers ? "keys" : "values", fli_pages_block(s->pages, i),
                             false);
    st->tokens = fl_input(g, "tokens", FL_I32, 2, dim);
    st->position = fl_input(g, "position", FL_I32, 2, dim);
    st->start = fl_input(g, "start", FL_I32, 1, &B);
    st->table = fl_input(g, "table", FL_I32, 2, (int64_t[]){B, s->width});
    const fl_forward f = {.tokens = st->tokens,
                          .position = st->position,
                          .segment = FL_NONE,
                          .start = st->start,
                          .table = st->table,
                          .k_cache = cache,
                          .v_cache = s->pages->shape.values ? cache + layers : NULL,
                          .context = s->opts.context,
                          .compute = s->opts.compute};
    const fl_val h = fl_reshape(g, fl_model_hidden(s->m, g, &f), 2,
                                (int64_t[]){size, s->m->config.hidden_size});
    if (k == FLI_DECODE) {
        st->out = fl_model_logits(s->m, g, h);
    } else if (k == FLI_NEXT) {
        st->last = fl_input(g, "last", FL_I32, 1, (int64_t[]){1});
        st->out = fl_model_logits(s->m, g, fl_embedding(g, st->last, h, s->opts.compute));
    } else {
        st->targets = fl_input(g, "targets", FL_I32, 1, (int64_t[]){size});
        st->out = fl_linear_ce(g, h, fl_model_head(s->m, g), st->targets,
                               (float)s->m->config.logit_softcap);
    }
    fl_graph_output(g, st->out);
}

static fl_status plan(fli_steps *s, fli_step *st, fli_kind k, int64_t size, fl_err *err) {
    fl_val *cache = fl_alloc((size_t)s->pages->n_blocks * sizeof *cache);
    st->size = size;
    st->g = fl_graph_new();
    fl_status status = fl_fail(err, FL_ERR_NOMEM, "the graph of a step");
    if (cache && st->g) {
        const fl_program_opts o = {.backend = s->opts.backend,
                                   .pool = s->opts.pool,
                                   .packs = s->opts.packs};
        build(s, st, k, size, cache);
        status = fl_program_new(&st->program, st->g, &o, err);
    }
    fl_dealloc(cache);
    if (status == FL_OK) return FL_OK;
    fl_graph_free(st->g);
    *st = (fli_step){0};
    return fl_context(err, status, "planning steps of %lld tokens", (long long)size);
}

/* The smallest step that takes `size` tokens of texts that have up to `tokens`. Programs name the
 * memory of the pages and know the width of the table, so they go when either changes. */
static fl_status get(fli_steps *s, fli_kind k, int64_t size, int64_t tokens, fli_step **out,
                     fl_err *err) {
    int i = 0;
    int64_t width = s->width;
    while (width < fli_pages_for(tokens)) width *= 2;
    if (width != s->width || s->moved != s->pages->moved) drop(s);
    s->width = width;
    s->moved = s->pages->moved;
    while (s->size[k][i] < size) i++;
    *out = &s->step[k][i];
    return (*out)->program ? FL_OK : plan(s, *out, k, s->size[k][i], err);
}

/* ---- running ---- */

static int32_t *ints(const fli_step *st, fl_val v) {
    return fl_program_tensor(st->program, v).data;
}

static void table_set(const fli_steps *s, const fli_step *st, int64_t row,
                      const fli_page_list *text) {
    int32_t *to = ints(st, st->table) + row * s->width;
    const int64_t n = text ? text->n < s->width ? text->n : s->width : 0;
    memset(to, 0, (size_t)s->width * sizeof *to);
    if (n) memcpy(to, text->page, (size_t)n * sizeof *to);
}

/* The smallest step that takes them all if it would be half full, else the largest that they
 * fill. */
int64_t fli_steps_cut(const fli_steps *s, int64_t start, int64_t n, int64_t *size) {
    const int64_t *sizes = s->size[FLI_NEXT];
    int i = 0;
    while (i + 1 < s->n_sizes[FLI_NEXT] && sizes[i] < n) i++;
    const bool roomy = sizes[i] > 2 * n || start + sizes[i] > s->opts.context;
    *size = sizes[i && sizes[i] > n && roomy ? i - 1 : i];
    return *size < n ? *size : n;
}

fl_status fli_steps_read(fli_steps *s, const fli_prompt *p, const float **out, fl_err *err) {
    const fli_kind k = p->target ? FLI_SCORE : FLI_NEXT;
    fli_step *st;
    FL_ASSERT(p->n > 0 && p->n <= p->size && p->text->n >= fli_pages_for(p->start + p->size));
    FL_TRY(get(s, k, p->size, p->start + p->size, &st, err));
    int32_t *tokens = ints(st, st->tokens), *position = ints(st, st->position);
    for (int64_t i = 0; i < p->size; i++) {
        const int64_t at = i < p->n ? i : p->n - 1;
        tokens[i] = p->id[at];
        position[i] = (int32_t)(p->start + at);
        if (p->target) ints(st, st->targets)[i] = i < p->n ? p->target[i] : -1;
    }
    *ints(st, st->start) = (int32_t)p->start;
    if (!p->target) *ints(st, st->last) = (int32_t)(p->n - 1);
    table_set(s, st, 0, p->text);
    FL_TRY(fl_program_run(st->program, false, err));
    *out = fl_program_tensor(st->program, st->out).data;
    return FL_OK;
}

fl_status fli_steps_decode(fli_steps *s, const fli_row *row, int64_t n, const float **logits,
                           fl_err *err) {
    FL_ASSERT(n > 0 && n <= FLI_ROWS && (int)FLI_ROWS <= (int)FLI_PAGE);
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++) longest = row[i].start >= longest ? row[i].start + 1 : longest;
    fli_step *st;
    FL_TRY(get(s, FLI_DECODE, n, longest, &st, err));
    for (int64_t i = 0; i < st->size; i++) {
        const int64_t start = i < n ? row[i].start : i;  // padding: a place of its own in page 0
        FL_ASSERT(i >= n || row[i].text->n >= fli_pages_for(start + 1));
        ints(st, st->tokens)[i] = i < n ? row[i].id : 0;
        ints(st, st->position)[i] = i < n ? (int32_t)start : 0;
        ints(st, st->start)[i] = (int32_t)start;
        table_set(s, st, i, i < n ? row[i].text : NULL);
    }
    FL_TRY(fl_program_run(st->program, false, err));
    *logits = fl_program_tensor(st->program, st->out).data;
    return FL_OK;
}
