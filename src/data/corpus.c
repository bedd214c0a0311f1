/* corpus - files and folders as one stream of documents.
 *
 * Plain text goes through one buffer of a piece and a separator; JSON rows come from rows.c. Either
 * way a document is handed out in pieces cut by the same rule. */
#include "data/corpus.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "data/cut.h"
#include "data/files.h"
#include "data/rows.h"
#include "format/reader.h"

enum { SEPARATOR_MAX = 256 };

struct fl_corpus {
    fl_arena arena;
    fli_files files;
    const char *field, *separator;
    size_t separator_n;
    bool skip_bad;

    int at_file;          // the file being read; files.n at the end
    bool inside;          // pieces of the current document were given out
    double bytes_before;  // on disk, of the files before this one
    int64_t n_skipped;

    fl_reader *reader;  // plain text; NULL while no text file is open
    bool at_eof, after_separator;
    char *buf;  // FL_PIECE_BYTES + SEPARATOR_MAX
    size_t at, n;

    fli_rows *rows;        // JSON; NULL while no such file is open
    const char *row_text;  // what is left of the row being given out, or NULL
    size_t row_n;
};

static bool name_is_rows(const char *path) {
    static const char *const suffix[] = {".jsonl", ".ndjson"};
    size_t n = fl_reader_plain_name(path);
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        size_t k = strlen(suffix[i]);
        if (n >= k && memcmp(path + n - k, suffix[i], k) == 0) return true;
    }
    return false;
}

static void file_close(fl_corpus *c) {
    if (c->rows) c->n_skipped += fli_rows_n_skipped(c->rows);
    fli_rows_close(c->rows);
    fl_reader_close(c->reader);
    c->rows = NULL;
    c->reader = NULL;
    c->row_text = NULL;
    c->at = c->n = 0;
    c->at_eof = c->after_separator = c->inside = false;
}

static fl_status file_open(fl_corpus *c, fl_err *err) {
    const char *path = c->files.file[c->at_file].path;
    if (name_is_rows(path)) return fli_rows_open(&c->rows, path, c->skip_bad, err);
    return fl_reader_open(&c->reader, path, err);
}

static void file_leave(fl_corpus *c) {
    c->bytes_before += (double)c->files.file[c->at_file].bytes;
    file_close(c);
    c->at_file++;
}

/* Copies of the options' strings, which the caller need not keep. */
static const char *keep(fl_corpus *c, const char *s, const char *fallback) {
    if (!s) return fallback;
    size_t n = strlen(s) + 1;
    char *copy = FL_NEW(&c->arena, char, n);
    return copy ? memcpy(copy, s, n) : NULL;
}

static fl_status corpus_init(fl_corpus *c, const fl_corpus_opts *o, fl_err *err) {
    c->field = keep(c, o->text_field, "text");
    c->separator = keep(c, o->separator, "<|endoftext|>");
    c->buf = fl_alloc(FL_PIECE_BYTES + SEPARATOR_MAX);
    if (!c->field || !c->separator || !c->buf) {
        return fl_fail(err, FL_ERR_NOMEM, "no memory to read the corpus");
    }
    c->separator_n = strlen(c->separator);
    c->skip_bad = o->skip_bad_lines;
    if (c->separator_n >= SEPARATOR_MAX) {
        return fl_fail(err, FL_ERR_ARG, "a document separator of %zu bytes; at most %d",
                       c->separator_n, SEPARATOR_MAX - 1);
    }
    return FL_OK;
}

fl_status fl_corpus_open(fl_corpus **out, const char *const *paths, int n_paths,
                         const fl_corpus_opts *o, fl_err *err) {
    fl_corpus *c = fl_alloc(sizeof *c);
    if (!c) return fl_fail(err, FL_ERR_NOMEM, "no memory to read the corpus");
    *c = (fl_corpus){0};
    fl_arena_init(&c->arena, 1 << 14);
    c->files.arena = &c->arena;
    fl_status st = corpus_init(c, o ? o : &(fl_corpus_opts){0}, err);
    if (st == FL_OK) st = fli_files_expand(&c->files, paths, n_paths, err);
    if (st != FL_OK) {
        fl_corpus_close(c);
        return st;
    }
    *out = c;
    return FL_OK;
}

void fl_corpus_close(fl_corpus *c) {
    if (!c) return;
    file_close(c);
    fl_dealloc(c->buf);
    fl_arena_free(&c->arena);
    fl_dealloc(c);
}

void fl_corpus_rewind(fl_corpus *c) {
    file_close(c);
    c->at_file = 0;
    c->bytes_before = 0;
    c->n_skipped = 0;
}

/* Fill the buffer as far as it goes. Afterwards either it is full or the file has ended. */
static fl_status buffer_fill(fl_corpus *c, fl_err *err) {
    memmove(c->buf, c->buf + c->at, c->n - c->at);
    c->n -= c->at;
    c->at = 0;
    size_t cap = FL_PIECE_BYTES + SEPARATOR_MAX;
    while (!c->at_eof && c->n < cap) {
        size_t got;
        FL_TRY(fl_reader_read(c->reader, c->buf + c->n, cap - c->n, &got, err));
        c->n += got;
        c->at_eof = got == 0;
    }
    return FL_OK;
}

/* Where the separator first stands in s[0..n), or n. */
static size_t separator_find(const fl_corpus *c, const char *s, size_t n) {
    const char *end = s + n, *p = s;
    if (!c->separator_n) return n;
    while ((p = memchr(p, c->separator[0], (size_t)(end - p)))) {
        if ((size_t)(end - p) < c->separator_n) break;
        if (memcmp(p, c->separator, c->separator_n) == 0) return (size_t)(p - s);
        if (++p == end) break;
    }
    return n;
}

/* The next piece of a text file; p->text stays NULL when the file has no more. The buffer is filled
 * only when what it holds does not decide, so that short documents are not moved again and
 * again. */
static fl_status text_next(fl_corpus *c, fl_piece *p, fl_err *err) {
    if (c->n == c->at) FL_TRY(buffer_fill(c, err));
    if (c->after_separator && c->at < c->n && c->buf[c->at] == '\n') c->at++;
    c->after_separator = false;

    size_t mark = separator_find(c, c->buf + c->at, c->n - c->at);
    if (mark == c->n - c->at) {
        FL_TRY(buffer_fill(c, err));
        mark = separator_find(c, c->buf, c->n);
    }
    const char *s = c->buf + c->at;
    size_t n = c->n - c->at;
    p->text = n || c->inside ? s : NULL;
    if (mark < n && mark <= FL_PIECE_BYTES) {
        p->n = mark;
        p->ends = c->after_separator = true;
        c->at += mark + c->separator_n;
    } else {
        p->ends = n <= FL_PIECE_BYTES;  // the file has ended, or the buffer would be full
        p->n = p->ends ? n : fli_cut(s, FL_PIECE_BYTES);
        c->at += p->n;
    }
    return FL_OK;
}

static fl_status row_open(fl_corpus *c, fl_err *err) {
    json_t *row;
    for (;;) {
        FL_TRY(fli_rows_next(c->rows, &row, err));
        if (!row) return FL_OK;
        fl_status st = fli_rows_str(c->rows, row, c->field, &c->row_text, &c->row_n, err);
        if (st == FL_OK || !c->skip_bad) return st;
        c->n_skipped++;
    }
}

/* The next piece of a file of JSON rows; p->text stays NULL when the file has no more. */
static fl_status rows_next(fl_corpus *c, fl_piece *p, fl_err *err) {
    if (!c->row_text) FL_TRY(row_open(c, err));
    p->text = c->row_text;
    if (!p->text) return FL_OK;
    p->line = fli_rows_line(c->rows);
    p->ends = c->row_n <= FL_PIECE_BYTES;
    p->n = p->ends ? c->row_n : fli_cut(c->row_text, FL_PIECE_BYTES);
    c->row_text = p->ends ? NULL : c->row_text + p->n;
    c->row_n -= p->n;
    return FL_OK;
}

fl_status fl_corpus_next(fl_corpus *c, fl_piece *out, fl_err *err) {
    while (c->at_file < c->files.n) {
        if (!c->reader && !c->rows) FL_TRY(file_open(c, err));
        fl_piece p = {.file = c->at_file, .begins = !c->inside};
        FL_TRY(c->rows ? rows_next(c, &p, err) : text_next(c, &p, err));
        if (!p.text) {
            file_leave(c);
            continue;
        }
        if (p.n == 0 && p.begins) continue;  // an empty document
        c->inside = !p.ends;
        *out = p;
        return FL_OK;
    }
    *out = (fl_piece){0};
    return FL_OK;
}

int fl_corpus_n_files(const fl_corpus *c) {
    return c->files.n;
}

const char *fl_corpus_file(const fl_corpus *c, int i) {
    return c->files.file[i].path;
}

int64_t fl_corpus_file_bytes(const fl_corpus *c, int i) {
    return c->files.file[i].bytes;
}

int64_t fl_corpus_file_mtime(const fl_corpus *c, int i) {
    return c->files.file[i].mtime;
}

double fl_corpus_bytes_total(const fl_corpus *c) {
    double sum = 0;
    for (int i = 0; i < c->files.n; i++) sum += (double)c->files.file[i].bytes;
    return sum;
}

double fl_corpus_bytes_read(const fl_corpus *c) {
    if (c->rows) return c->bytes_before + (double)fli_rows_consumed(c->rows);
    if (c->reader) return c->bytes_before + (double)fl_reader_consumed(c->reader);
    return c->bytes_before;
}

int64_t fl_corpus_n_skipped(const fl_corpus *c) {
    return c->n_skipped + (c->rows ? fli_rows_n_skipped(c->rows) : 0);
}

double fl_corpus_text_bytes(const fl_corpus *c) {
    double sum = 0;
    for (int i = 0; i < fl_corpus_n_files(c); i++) {
        const char *f = fl_corpus_file(c, i);
        const bool packed = fl_path_has_suffix(f, ".gz") || fl_path_has_suffix(f, ".zst");
        sum += (double)fl_corpus_file_bytes(c, i) * (packed ? 3 : 1);
    }
    return sum;
}
