/* corpus.h - files and folders as one stream of documents.
 *
 *     fl_corpus *c;
 *     if (fl_corpus_open(&c, paths, n, &opts, &err) != FL_OK) ...
 *     fl_piece p;
 *     while ((st = fl_corpus_next(c, &p, &err)) == FL_OK && p.text) use(p.text, p.n);
 *
 * What a file is, by its name (a trailing .gz or .zst is taken off first):
 *   .jsonl .ndjson   one JSON object a line, the document is its text field (UTF-8, or the line
 *                    is bad)
 *   anything else    plain text: one document a file, or several where a separator stands between
 *                    them (a newline right after the separator belongs to it)
 * A folder stands for every file below it, entries sorted bytewise; hidden entries, links to
 * folders and files that look binary (a NUL in the first 8 KiB) are passed over with a note. A
 * binary file named directly is an error.
 *
 * Documents come in pieces of at most FL_PIECE_BYTES, so that memory is bounded however long they
 * are (a JSON line, at most FL_LINE_BYTES_MAX, is held whole). A piece ends where every tokenizer
 * with a known pattern would end a pre-token anyhow: before a letter that starts a line, else
 * before a space between two words, so that tokens do not depend on the cut; a text that has
 * neither is cut between characters. Invalid UTF-8 is passed through. Empty documents are passed
 * over. The pieces are a function of the files' bytes alone. */
#ifndef FL_DATA_CORPUS_H
#define FL_DATA_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_PIECE_BYTES = 1 << 20, FL_LINE_BYTES_MAX = 1 << 28 };

typedef struct {
    const char *text_field;  // of a JSON row; NULL: "text"
    const char *separator;   // between documents of plain text; NULL: "<|endoftext|>", "": none
    bool skip_bad_lines;     // count and pass over JSON lines that do not parse or lack the field
} fl_corpus_opts;

typedef struct {
    const char *text;  // NULL at the end of the corpus; valid until the next call
    size_t n;
    bool begins, ends;  // the document begins, ends with this piece
    int file;           // index into the files
    int64_t line;       // of a JSON row, from 1; 0 for plain text
} fl_piece;

typedef struct fl_corpus fl_corpus;
FL_MUST_USE fl_status fl_corpus_open(fl_corpus **out, const char *const *paths, int n_paths,
                                     const fl_corpus_opts *o, fl_err *err);
void fl_corpus_close(fl_corpus *c);  // NULL is allowed
FL_MUST_USE fl_status fl_corpus_next(fl_corpus *c, fl_piece *out, fl_err *err);
void fl_corpus_rewind(fl_corpus *c);

int fl_corpus_n_files(const fl_corpus *c);
const char *fl_corpus_file(const fl_corpus *c, int i);
int64_t fl_corpus_file_bytes(const fl_corpus *c, int i);  // on disk
int64_t fl_corpus_file_mtime(const fl_corpus *c, int i);  // nanoseconds
double fl_corpus_bytes_total(const fl_corpus *c);         // on disk, all files
double fl_corpus_bytes_read(const fl_corpus *c);          // of those, so far: for progress
int64_t fl_corpus_n_skipped(const fl_corpus *c);          // bad lines passed over so far

/* About how much text it is before any of it is read: compressed files count three times. */
double fl_corpus_text_bytes(const fl_corpus *c);

#ifdef __cplusplus
}
#endif

#endif
