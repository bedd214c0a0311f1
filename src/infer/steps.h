/* steps.h - a model planned for steps of a few sizes over a cache in pages.
 *
 *     fli_steps s;
 *     fli_steps_init(&s, model, &pages, &opts, &err);
 *     fli_prompt p = {.text = &list, .start = 0, .id = ids, .n = 300};
 *     fli_steps_read(&s, &p, &logits, &err);                  // logits of the last token, (V)
 *     fli_steps_decode(&s, rows, n_rows, &logits, &err);      // (n_rows, V)
 *
 * Two graphs. One reads T tokens of one text, with the arithmetic of prompts (attention in blocks).
 * The other reads one token of each of R texts, or several of one, with the arithmetic of decoding.
 * In both, what comes out for a token is a function of the text up to it, byte for byte: it depends
 * neither on T or R, nor on where the text was cut, nor on the other rows, nor on threads. That is
 * what batch invariance, the reuse of prefixes and exact speculation rest on. A step of one token
 * of a prompt is therefore read as the first of several; the rest is padding.
 *
 * A step may be padded. A prompt's padding stands behind its text, where causality hides it, and
 * needs room there; a decoding step's is at home in page 0. */
#ifndef FL_INFER_STEPS_H
#define FL_INFER_STEPS_H

#include "backend/program.h"
#include "infer/pages.h"

enum { FLI_LEAST = 4, FLI_ROWS = 64, FLI_MAX_SIZES = 16 };  // of a prompt's step; of decoding rows

/* What is wanted of the tokens of a prompt's step, or of rows that decode. */
typedef enum { FLI_NEXT, FLI_SCORE, FLI_DECODE, FLI_KINDS } fli_kind;

/* The model planned for one kind and size. */
typedef struct {
    fl_graph *g;
    fl_program *program;
    fl_val tokens, position, start, table, last, targets, out;
    int64_t size;
} fli_step;

typedef struct {
    int64_t context, chunk;
    fl_dtype compute;
    const fl_backend *backend;
    fl_pool *pool;
    fl_packs *packs;
} fli_steps_opts;

typedef struct {
    fl_model *m;
    fli_pages *pages;
    fli_steps_opts opts;
    int64_t width;                           // pages in a row of the table; doubles as texts grow
    uint64_t moved;                          // of the pages, when the steps were planned
    int64_t size[FLI_KINDS][FLI_MAX_SIZES];  // ascending
    int n_sizes[FLI_KINDS];
    fli_step step[FLI_KINDS][FLI_MAX_SIZES];
} fli_steps;

void fli_steps_init(fli_steps *s, fl_model *m, fli_pages *pages, const fli_steps_opts *o);
void fli_steps_clear(fli_steps *s);

/* Tokens a step takes of n > 0 that come after `start`; *size is what it reads with padding. */
int64_t fli_steps_cut(const fli_steps *s, int64_t start, int64_t n, int64_t *size);

/* n <= size tokens after `start` of a text that holds pages for start + size. For FLI_NEXT *out is
 * (V), the logits after the last; for FLI_SCORE, with targets, (n), ln p of each target negated.
 * Valid until the next step. */
typedef struct {
    const fli_page_list *text;
    int64_t start, n, size;
    const int32_t *id, *target;
} fli_prompt;
FL_MUST_USE fl_status fli_steps_read(fli_steps *s, const fli_prompt *p, const float **out,
                                     fl_err *err);

/* Token `id` at place `start` of a text that holds a page for it. */
typedef struct {
    const fli_page_list *text;
    int64_t start;
    int32_t id;
} fli_row;

/* n <= FLI_ROWS rows; *logits is (n, V), valid until the next step. */
FL_MUST_USE fl_status fli_steps_decode(fli_steps *s, const fli_row *row, int64_t n,
                                       const float **logits, fl_err *err);

#endif
