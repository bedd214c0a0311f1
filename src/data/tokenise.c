/* tokenise - a corpus into shards, in parallel.
 *
 * Pieces are collected into a batch of some megabytes and grouped into tasks of neighbours; each
 * task encodes its pieces into a list of its own; the lists are then written in order. What is
 * written is a function of the text alone: neither the batch, nor the tasks, nor the threads decide
 * where a piece ends. */
#include "data/tokenise.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/thread.h"

enum { BATCH_BYTES = 8 << 20, TASK_BYTES = 64 << 10, PIECES_MAX = 1 << 15, TASKS_MAX = 256 };

typedef struct {
    size_t at, n;  // in the batch's text
    bool ends;
    size_t n_tokens, token_bytes;
    uint64_t hash;
} piece;

typedef struct {
    int first, last;  // pieces [first, last)
    fl_ids ids;
    fl_status status;
    fl_err err;
} task;

typedef struct {
    fli_tokenise_job *job;
    fl_encoder **encoder;  // one per worker
    int n_encoders;
    fl_text text;
    piece *pieces;
    int n_pieces;
    task tasks[TASKS_MAX];
    int n_tasks;
    fli_document document;  // the one being put together
    bool at_end;
} batch;

static void batch_free(batch *b) {
    for (int i = 0; i < b->n_encoders; i++) fl_encoder_free(b->encoder[i]);
    for (int i = 0; i < TASKS_MAX; i++) fl_ids_clear(&b->tasks[i].ids);
    fl_dealloc(b->encoder);
    fl_dealloc(b->pieces);
    fl_text_clear(&b->text);
    fl_dealloc(b);
}

static fl_status batch_new(batch **out, fli_tokenise_job *job, fl_err *err) {
    batch *b = fl_alloc(sizeof *b);
    if (!b) return fl_fail(err, FL_ERR_NOMEM, "no memory to tokenize");
    memset(b, 0, sizeof *b);
    b->job = job;
    int n = fl_pool_size(job->pool);
    b->pieces = fl_alloc(PIECES_MAX * sizeof *b->pieces);
    b->encoder = fl_alloc((size_t)n * sizeof *b->encoder);
    fl_status st = b->pieces && b->encoder ? FL_OK
                                           : fl_fail(err, FL_ERR_NOMEM, "no memory to tokenize");
    while (st == FL_OK && b->n_encoders < n) {
        st = fl_encoder_new(&b->encoder[b->n_encoders], job->tokenizer, err);
        b->n_encoders += st == FL_OK;
    }
    if (st == FL_OK) *out = b;
    else batch_free(b);
    return st;
}

static void piece_add(batch *b, const char *text, size_t n, bool ends) {
    b->pieces[b->n_pieces++] = (piece){.at = b->text.n, .n = n, .ends = ends};
    fl_text_append(&b->text, text, n);
    b->job->n_bytes += (int64_t)n;
}

/* The first place at or after `n` that is not inside a UTF-8 character. */
static size_t character_end(const fl_piece *p, size_t n) {
    while (n < p->n && ((unsigned char)p->text[n] & 0xC0) == 0x80) n++;
    return n;
}

/* Fill the batch. A piece across the job's cut becomes two. */
static fl_status batch_read(batch *b, fl_err *err) {
    fli_tokenise_job *job = b->job;
    b->text.n = 0;
    b->n_pieces = 0;
    while (b->text.n < BATCH_BYTES && b->n_pieces + 2 <= PIECES_MAX) {
        fl_piece p;
        FL_TRY(fl_corpus_next(job->corpus, &p, err));
        if (!p.text) {
            b->at_end = true;
            break;
        }
        int64_t left = job->cut - job->n_bytes;  // bytes until the cut
        bool here = left > 0 && left <= (int64_t)p.n;
        size_t n = here ? character_end(&p, (size_t)left) : p.n;
        piece_add(b, p.text, n, p.ends || here);
        if (n < p.n) piece_add(b, p.text + n, p.n - n, p.ends);
    }
    return fl_text_ok(&b->text, err);
}

/* Group neighbouring pieces; small documents together, so that a task is worth a worker's while. */
static void batch_group(batch *b) {
    b->n_tasks = 0;
    size_t least = b->text.n / TASKS_MAX + 1 > TASK_BYTES ? b->text.n / TASKS_MAX + 1 : TASK_BYTES;
    for (int i = 0; i < b->n_pieces;) {
        task *t = &b->tasks[b->n_tasks++];
        size_t bytes = 0;
        t->first = i;
        while (i < b->n_pieces && (bytes < least || b->n_tasks == TASKS_MAX)) {
            bytes += b->pieces[i++].n;
        }
        t->last = i;
    }
}

static fl_status task_encode(batch *b, task *t, fl_encoder *encoder) {
    static const fl_encode_opts opts = {.plain = true};
    const fl_tokenizer *tok = b->job->tokenizer;
    t->ids.n = 0;
    for (int i = t->first; i < t->last; i++) {
        piece *p = &b->pieces[i];
        const char *text = b->text.data + p->at;
        size_t before = t->ids.n;
        FL_TRY(fl_encoder_encode(encoder, text, p->n, &opts, &t->ids, &t->err));
        p->n_tokens = t->ids.n - before;
        p->hash = fl_hash64(text, p->n);
        for (size_t k = before; k < t->ids.n; k++) {
            size_t n = 0;
            (void)fl_token_bytes(tok, t->ids.id[k], &n);
            p->token_bytes += n;
        }
    }
    return FL_OK;
}

static void tasks_run(void *ctx, int64_t begin, int64_t end, int worker) {
    batch *b = ctx;
    for (int64_t i = begin; i < end; i++) {
        b->tasks[i].status = task_encode(b, &b->tasks[i], b->encoder[worker]);
    }
}

static fl_status piece_count(batch *b, const piece *p, fl_err *err) {
    fli_tokenise_job *job = b->job;
    fli_document *d = &b->document;
    d->n_tokens += p->n_tokens;
    d->n_bytes += p->n;
    d->token_bytes += p->token_bytes;
    d->hash = d->hash * 0x9E3779B97F4A7C15u + p->hash;
    if (!p->ends) return FL_OK;
    job->n_documents++;
    job->n_tokens += (int64_t)d->n_tokens;
    fl_status st = fli_shard_document(job->writer, d, err);
    *d = (fli_document){0};
    return st;
}

static fl_status batch_write(batch *b, fl_err *err) {
    for (int i = 0; i < b->n_tasks; i++) {
        task *t = &b->tasks[i];
        if (t->status != FL_OK) {
            if (err) *err = t->err;
            return t->status;
        }
        FL_TRY(fli_shard_write(b->job->writer, t->ids.id, t->ids.n, err));
        for (int k = t->first; k < t->last; k++) FL_TRY(piece_count(b, &b->pieces[k], err));
    }
    return FL_OK;
}

static fl_status batch_do(batch *b, fl_err *err) {
    FL_TRY(batch_read(b, err));
    batch_group(b);
    fl_pool_run(b->job->pool, b->n_tasks, 1, tasks_run, b);
    FL_TRY(batch_write(b, err));
    fl_progress_step(b->job->progress, fl_corpus_bytes_read(b->job->corpus));
    if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "interrupted while tokenizing");
    return FL_OK;
}

fl_status fli_tokenise(fli_tokenise_job *job, fl_err *err) {
    batch *b = NULL;
    FL_TRY(batch_new(&b, job, err));
    fl_progress_begin(job->progress, "tokenizing", "B", fl_corpus_bytes_total(job->corpus));
    fl_status st = FL_OK;
    while (st == FL_OK && !b->at_end) st = batch_do(b, err);
    fl_progress_end(job->progress);
    batch_free(b);
    return st;
}

fl_status fli_corpus_measure(fl_corpus *c, int64_t enough, int64_t *n_documents, int64_t *n_bytes,
                             fl_err *err) {
    int64_t documents = 0, bytes = 0;
    for (;;) {
        fl_piece p;
        FL_TRY(fl_corpus_next(c, &p, err));
        if (!p.text) break;
        documents += p.begins;
        bytes += (int64_t)p.n;
        if (enough && documents >= enough) break;
    }
    fl_corpus_rewind(c);
    *n_documents = documents;
    *n_bytes = bytes;
    return FL_OK;
}
