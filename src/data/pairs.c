/* pairs - prompt and completion rows for tuning: the loss is on the completion's tokens only.
 *
 * All examples are encoded once and kept: tokens in one array, and for each example where it lies
 * and how much of it is prompt. Rows are lists of examples, decided once; a pass deals the rows in
 * shuffled order. */
#include "data/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "data/ids.h"
#include "data/rows.h"

typedef struct {
    size_t first;    // in ids
    int64_t n;       // tokens
    int64_t prompt;  // of those, at the front
    int64_t bytes;   // of the text its targets stand for
} example;

struct fl_pairs {
    int64_t T;
    bool train_on_prompt;
    fl_ids ids;
    example *examples;
    int64_t n_examples, cap;
    int64_t *order;    // examples, row by row
    int64_t *row_end;  // in order, of each row
    int64_t n_rows, n_skipped;
    double n_targets, n_bytes;
};

/* ---- reading ---- */

typedef struct {
    const char *text;
    size_t n;
} span;

/* The prompt of Stanford Alpaca (Taori et al. 2023), with and without an input. */
static void alpaca_put(fl_text *out, span instruction, span input) {
    out->n = 0;
    fl_text_puts(out, "Below is an instruction that describes a task");
    if (input.n) fl_text_puts(out, ", paired with an input that provides further context");
    fl_text_puts(out,
                 ". Write a response that appropriately completes the request.\n\n"
                 "### Instruction:\n");
    fl_text_append(out, instruction.text, instruction.n);
    if (input.n) {
        fl_text_puts(out, "\n\n### Input:\n");
        fl_text_append(out, input.text, input.n);
    }
    fl_text_puts(out, "\n\n### Response:\n");
}

/* Prompt and completion of a row; `made` holds the prompt where it is put together. */
static fl_status row_read(const fli_rows *r, const json_t *row, fl_text *made, span *prompt,
                          span *completion, fl_err *err) {
    if (!json_object_get(row, "instruction")) {
        FL_TRY(fli_rows_str(r, row, "prompt", &prompt->text, &prompt->n, err));
        return fli_rows_str(r, row, "completion", &completion->text, &completion->n, err);
    }
    span instruction, input = {"", 0};
    FL_TRY(fli_rows_str(r, row, "instruction", &instruction.text, &instruction.n, err));
    FL_TRY(fli_rows_str(r, row, "output", &completion->text, &completion->n, err));
    if (json_object_get(row, "input")) {
        FL_TRY(fli_rows_str(r, row, "input", &input.text, &input.n, err));
    }
    alpaca_put(made, instruction, input);
    *prompt = (span){fl_text_str(made), made->n};
    return fl_text_ok(made, err);
}

static fl_status example_push(fl_pairs *p, example e, fl_err *err) {
    if (p->n_examples == p->cap) {
        int64_t cap = p->cap ? 2 * p->cap : 1024;
        example *grown = fl_alloc((size_t)cap * sizeof *grown);
        if (!grown) return fl_fail(err, FL_ERR_NOMEM, "%lld examples", (long long)cap);
        if (p->n_examples) memcpy(grown, p->examples, (size_t)p->n_examples * sizeof *grown);
        fl_dealloc(p->examples);
        p->examples = grown;
        p->cap = cap;
    }
    p->examples[p->n_examples++] = e;
    return FL_OK;
}

/* Encode one row to the end of the ids and note it as an example, unless it is left out. */
static fl_status row_encode(fl_pairs *p, const fl_pairs_opts *o, fl_encoder *encoder,
                            const fli_rows *r, span prompt, span completion, fl_err *err) {
    static const fl_encode_opts whole = {.add_special = true}, text = {0};
    int32_t eos = fl_tokenizer_eos(o->tokenizer);
    example e = {.first = p->ids.n};
    FL_TRY(fl_encoder_encode(encoder, prompt.text, prompt.n, &whole, &p->ids, err));
    e.prompt = (int64_t)(p->ids.n - e.first);
    FL_TRY(fl_encoder_encode(encoder, completion.text, completion.n, &text, &p->ids, err));
    if (eos >= 0 && !o->no_eos) {
        FL_TRY(fli_ids_reserve(&p->ids, 1, err));
        p->ids.id[p->ids.n++] = eos;
    }
    e.n = (int64_t)(p->ids.n - e.first);
    e.bytes = (int64_t)(completion.n + (o->train_on_prompt ? prompt.n : 0));
    int64_t line = fli_rows_line(r);
    if (e.n - 1 > p->T) {
        if (!o->skip_overlong) {
            return fl_fail(err, FL_ERR_ARG,
                           "%s:%lld: an example of %lld tokens; rows take %lld: want a "
                           "longer sequence length, or overlong examples left out",
                           o->path, (long long)line, (long long)e.n, (long long)p->T + 1);
        }
        p->ids.n = e.first;
        p->n_skipped++;
        return FL_OK;
    }
    if (e.n == e.prompt || e.n < 2) {
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s:%lld: the completion is empty: there is nothing to "
                       "learn from it",
                       o->path, (long long)line);
    }
    return example_push(p, e, err);
}

static fl_status pairs_read(fl_pairs *p, const fl_pairs_opts *o, fli_rows *r, fl_encoder *encoder,
                            fl_text *made, fl_err *err) {
    for (;;) {
        json_t *row;
        FL_TRY(fli_rows_next(r, &row, err));
        if (!row) break;
        span prompt = {0}, completion = {0};
        FL_TRY(row_read(r, row, made, &prompt, &completion, err));
        FL_TRY(row_encode(p, o, encoder, r, prompt, completion, err));
    }
    if (p->n_skipped) {
        fl_warn("%s: %lld examples left out: longer than %lld tokens", o->path,
                (long long)p->n_skipped, (long long)p->T + 1);
    }
    if (p->n_examples == 0) return fl_fail(err, FL_ERR_ARG, "%s: no examples in it", o->path);
    return FL_OK;
}

/* ---- packing ---- */

typedef struct {
    int64_t n, index;
} sized;

static int longer_first(const void *pa, const void *pb) {
    const sized *a = pa, *b = pb;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Rows as chains of examples, and rows as chains by the room they have left. */
typedef struct {
    int64_t *row_of;     // of each example
    int64_t *with_room;  // newest row with exactly this room, -1: none
    int64_t *next;       // of each row: the next with the same room
} packing;

/* Best fit decreasing: longest first, each into the row with the least room that still takes it.
 * Returns the number of rows. O(n T) at worst; the scan over room stops early as rows fill. */
static int64_t pack(const fl_pairs *p, const sized *by_size, packing *k) {
    int64_t rows = 0;
    for (int64_t i = 0; i <= p->T; i++) k->with_room[i] = -1;
    for (int64_t i = 0; i < p->n_examples; i++) {
        int64_t need = by_size[i].n - 1, room = need, row;
        while (room <= p->T && k->with_room[room] < 0) room++;
        if (room <= p->T) {
            row = k->with_room[room];
            k->with_room[room] = k->next[row];
        } else {
            row = rows++;
            room = p->T;
        }
        k->row_of[by_size[i].index] = row;
        k->next[row] = k->with_room[room - need];
        k->with_room[room - need] = row;
    }
    return rows;
}

/* Order the examples by row, in file order within one (a counting sort). */
static void rows_lay(fl_pairs *p, const int64_t *row_of) {
    memset(p->row_end, 0, (size_t)(p->n_rows + 1) * sizeof *p->row_end);
    for (int64_t i = 0; i < p->n_examples; i++) p->row_end[row_of[i] + 1]++;
    for (int64_t r = 0; r < p->n_rows; r++) p->row_end[r + 1] += p->row_end[r];
    for (int64_t i = 0; i < p->n_examples; i++) p->order[p->row_end[row_of[i]]++] = i;
}

static fl_status pairs_pack(fl_pairs *p, bool padded, fl_err *err) {
    size_t n = (size_t)p->n_examples, i64 = sizeof(int64_t);
    packing k = {fl_alloc(n * i64), fl_alloc((size_t)(p->T + 1) * i64), fl_alloc(n * i64)};
    sized *by_size = fl_alloc(n * sizeof *by_size);
    p->order = fl_alloc(n * i64);
    p->row_end = fl_alloc((n + 1) * i64);
    bool ok = k.row_of && k.with_room && k.next && by_size && p->order && p->row_end;
    if (ok) {
        for (size_t i = 0; i < n; i++) {
            by_size[i] = (sized){p->examples[i].n, (int64_t)i};
            k.row_of[i] = (int64_t)i;
        }
        qsort(by_size, n, sizeof *by_size, longer_first);
        p->n_rows = padded ? p->n_examples : pack(p, by_size, &k);
        rows_lay(p, k.row_of);
    }
    fl_dealloc(k.row_of);
    fl_dealloc(k.with_room);
    fl_dealloc(k.next);
    fl_dealloc(by_size);
    return ok ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%zu examples", n);
}

fl_status fl_pairs_open(fl_pairs **out, const fl_pairs_opts *o, fl_err *err) {
    FL_ASSERT(o->path && o->tokenizer && o->T > 0);
    fl_pairs *p = fl_alloc(sizeof *p);
    if (!p) return fl_fail(err, FL_ERR_NOMEM, "%s", o->path);
    *p = (fl_pairs){.T = o->T, .train_on_prompt = o->train_on_prompt};
    fli_rows *r = NULL;
    fl_encoder *encoder = NULL;
    fl_text made = {0};
    fl_status st = fli_rows_open(&r, o->path, false, err);
    if (st == FL_OK) st = fl_encoder_new(&encoder, o->tokenizer, err);
    if (st == FL_OK) st = pairs_read(p, o, r, encoder, &made, err);
    if (st == FL_OK) st = pairs_pack(p, o->padded, err);
    for (int64_t i = 0; i < p->n_examples; i++) {
        const example *e = &p->examples[i];
        p->n_targets += (double)(e->n - (o->train_on_prompt || !e->prompt ? 1 : e->prompt));
        p->n_bytes += (double)e->bytes;
    }
    fl_text_clear(&made);
    fl_encoder_free(encoder);
    fli_rows_close(r);
    if (st == FL_OK) *out = p;
    else fl_pairs_free(p);
    return st;
}

void fl_pairs_free(fl_pairs *p) {
    if (!p) return;
    fl_ids_clear(&p->ids);
    fl_dealloc(p->examples);
    fl_dealloc(p->order);
    fl_dealloc(p->row_end);
    fl_dealloc(p);
}

int64_t fl_pairs_n_examples(const fl_pairs *p) {
    return p->n_examples;
}

int64_t fl_pairs_n_rows(const fl_pairs *p) {
    return p->n_rows;
}

int64_t fl_pairs_n_skipped(const fl_pairs *p) {
    return p->n_skipped;
}

/* ---- the source ---- */

typedef struct {
    fl_source base;
    const fl_pairs *pairs;
    uint64_t seed;
    int64_t row;
    bool one_pass;
} pairs_source;

/* Put an example at column `at` of row `b_row`, as segment `segment`. Returns the column after
 * it. */
static int64_t example_put(const fl_pairs *p, const example *e, fl_batch *b, int64_t b_row,
                           int64_t at, int32_t segment) {
    const int32_t *id = p->ids.id + e->first;
    for (int64_t i = 0; i + 1 < e->n; i++, at++) {
        int64_t k = b_row * b->T + at;
        bool learn = p->train_on_prompt || i + 1 >= e->prompt;
        b->tokens[k] = id[i];
        b->targets[k] = learn ? id[i + 1] : -1;
        b->weight[k] = learn ? 1 : 0;
        b->segment[k] = segment;
        b->position[k] = (int32_t)i;
        b->n_targets += learn;
    }
    b->n_bytes += (double)e->bytes;
    return at;
}

static void padding_put(fl_batch *b, int64_t b_row, int64_t at, int32_t segment) {
    for (int64_t i = at; i < b->T; i++) {
        int64_t k = b_row * b->T + i;
        b->tokens[k] = 0;
        b->targets[k] = -1;
        b->weight[k] = 0;
        b->segment[k] = segment;
        b->position[k] = (int32_t)(i - at);
    }
}

static fl_status pairs_next(fl_source *source, fl_batch *b, fl_err *err) {
    (void)err;
    pairs_source *s = (pairs_source *)source;
    const fl_pairs *p = s->pairs;
    FL_ASSERT(b->T == p->T);
    b->n_targets = b->n_bytes = 0;
    for (int64_t i = 0; i < b->B; i++) {
        int64_t at = 0, row = s->row++;
        int32_t segment = 0;
        if (!s->one_pass) {
            row = (int64_t)fl_shuffle_index(s->seed, (uint64_t)(row / p->n_rows),
                                            (uint64_t)p->n_rows, (uint64_t)(row % p->n_rows));
        }
        if (row < p->n_rows) {
            for (int64_t k = row ? p->row_end[row - 1] : 0; k < p->row_end[row]; k++) {
                at = example_put(p, &p->examples[p->order[k]], b, i, at, segment++);
            }
        }
        padding_put(b, i, at, segment);
    }
    return FL_OK;
}

static json_t *pairs_position(const fl_source *source) {
    return json_pack("{s:I}", "row", (json_int_t)((const pairs_source *)source)->row);
}

static fl_status pairs_seek(fl_source *source, const json_t *position, fl_err *err) {
    int64_t row;
    FL_TRY(fl_json_int(position, "row", &row, "data position", err));
    if (row < 0) return fl_fail(err, FL_ERR_FORMAT, "data position: row %lld", (long long)row);
    ((pairs_source *)source)->row = row;
    return FL_OK;
}

static void pairs_close(fl_source *source) {
    fl_dealloc(source);
}

fl_status fl_pairs_source_new(fl_source **out, const fl_pairs *p, uint64_t seed, bool one_pass,
                              fl_err *err) {
    static const fl_source_row row = {pairs_next, pairs_position, pairs_seek, pairs_close};
    pairs_source *s = fl_alloc(sizeof *s);
    if (!s) return fl_fail(err, FL_ERR_NOMEM, "a source of examples");
    *s = (pairs_source){.base = {&row, p->n_targets, p->n_bytes},
                        .pairs = p,
                        .seed = seed,
                        .one_pass = one_pass};
    *out = &s->base;
    return FL_OK;
}
