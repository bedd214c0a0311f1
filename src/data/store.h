/* store.h - the folder a dataset is kept in. Inside data only.
 *
 *   manifest.json   written last: a folder without one is not there
 *   tokens-*.bin, documents.bin   see shard.h
 *
 * manifest.json: {"fledge": "dataset", "version": 1,
 *   "settings": what was asked for (tokenizer, fields, split, paths): names the folder and must be
 *               equal,
 *   "sources": [{"path", "bytes", "mtime", "hash"}], "files": [{"file", "bytes", "hash"}],
 *   "split": "document" | "tail" | "none", "cut": first byte of the tail,
 *   "documents", "tokens", "bytes", "skipped_lines"} */
#ifndef FL_DATA_STORE_H
#define FL_DATA_STORE_H

#include "data/dataset.h"
#include "data/shard.h"

typedef struct {
    char dir[FL_PATH_MAX];
    fli_shards shards;
    fl_split split;  // not AUTO
    int64_t cut;     // of FL_SPLIT_TAIL, in bytes of the text
    bool reused;
} fli_store;

/* Find the store of these options, or make it. */
FL_MUST_USE fl_status fli_store_open(fli_store *out, const fl_dataset_opts *o, fl_err *err);
void fli_store_close(fli_store *s);

#endif
