/* shard.h - a long array of tokens in files. Inside data only.
 *
 *   tokens-00000.bin, tokens-00001.bin, ...   token ids, little endian, u16 or u32, no header;
 *                                             every file but the last holds `shard_tokens`
 *   documents.bin                             one fli_document each, little endian
 *
 * u16 files are what nanoGPT calls train.bin. Sizes and hashes stand in the manifest
 * (dataset.c). */
#ifndef FL_DATA_SHARD_H
#define FL_DATA_SHARD_H

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

typedef struct {
    uint64_t n_tokens, n_bytes;  // of the text
    uint64_t token_bytes;  // its tokens' bytes; other than n_bytes when the tokenizer normalises
    uint64_t hash;         // of its bytes
} fli_document;

typedef struct fli_shard_writer fli_shard_writer;
FL_MUST_USE fl_status fli_shard_writer_new(fli_shard_writer **out, const char *dir, int width,
                                           int64_t shard_tokens, fl_err *err);
FL_MUST_USE fl_status fli_shard_write(fli_shard_writer *w, const int32_t *id, size_t n,
                                      fl_err *err);
FL_MUST_USE fl_status fli_shard_document(fli_shard_writer *w, const fli_document *d, fl_err *err);

/* Complete the files. `list` gets a {"file", "bytes", "hash"} for each of them. */
FL_MUST_USE fl_status fli_shard_writer_finish(fli_shard_writer *w, json_t *list, fl_err *err);
void fli_shard_writer_free(fli_shard_writer *w);  // NULL is allowed; unfinished files are dropped

/* The files mapped. A missing file, or one of another size or hash, is an error that names it. */
typedef struct {
    fl_map *map;  // n_shards of tokens, then the documents
    int n_shards, width;
    int64_t shard_tokens, n_tokens;
    const fli_document *document;
    int64_t n_documents;
} fli_shards;
FL_MUST_USE fl_status fli_shards_open(fli_shards *out, const char *dir, const json_t *list,
                                      int width, int64_t shard_tokens, fl_err *err);
void fli_shards_close(fli_shards *s);
void fli_shards_read(const fli_shards *s, int64_t first, int64_t n, int32_t *out);

#endif
