/* dataset.h - text, tokenised once and kept, and the streams of rows that training and validation
 * read.
 *
 *     fl_dataset_opts o = {.paths = paths, .n_paths = n, .tokenizer = tok,
 *                          .cache_dir = "runs/x/data"};
 *     fl_dataset *d;
 *     if (fl_dataset_open(&d, &o, &err) != FL_OK) ...
 *     fl_source *train, *val;
 *     fl_source_opts s = {.T = 256, .seed = 1};
 *     fl_train_source_new(&train, &(fl_mix_part){.dataset = d}, 1, &s, &err);
 *     fl_pass_source_new(&val, d, FL_PART_VAL, &s, &err);
 *     train->row->next(train, &batch, &err);
 *
 * The pair stream. A document d with text tokens t1..tn is the sequence B t1..tn E, where B is the
 * tokenizer's bos (its eos when it has none) and E its eos; a tokenizer with neither adds nothing.
 * The sequence gives one (input, target) pair per neighbouring two, and rows are cut from the pairs
 * of document after document: a row of T has T inputs and T targets, always; E is a target and
 * never an input; no target is masked; the first token of a text is predicted from B. B and E are
 * put in when rows are read, so that the stored tokens are the text and nothing else. A document
 * that does not end in one row goes on in the next.
 *
 * Bytes. A target's raw bytes are the bytes of its token (E: none), scaled by raw bytes / token
 * bytes of the dataset where a normalising tokenizer makes the two differ: summed over a pass they
 * are the text's bytes.
 *
 * Threads: a dataset is immutable once open and may be shared; a source belongs to one thread. The
 * dataset must outlive its sources, the tokenizer need not outlive opening. */
#ifndef FL_DATA_DATASET_H
#define FL_DATA_DATASET_H

#include "base/thread.h"
#include "data/batch.h"
#include "data/corpus.h"
#include "token/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FL_SPLIT_AUTO,      // by document when there are enough (FL_SPLIT_MIN_DOCUMENTS), else the tail
    FL_SPLIT_DOCUMENT,  // whole documents, in the order of their hashes, up to the fraction
    FL_SPLIT_TAIL,      // the last bytes of the text, cutting a document (nanoGPT's split)
    FL_SPLIT_NONE       // everything is for training
} fl_split;
enum { FL_SPLIT_MIN_DOCUMENTS = 20 };

typedef struct {
    const char *const *paths;  // files or folders; see corpus.h
    int n_paths;
    fl_corpus_opts corpus;  // field, separator, what to do about bad lines
    const fl_tokenizer *tokenizer;
    fl_split split;
    double val_fraction;  // of the raw bytes, in [0, 1); 0 with a split: 0.05
    const char
        *cache_dir;  // shards live in a folder of their own inside it, reused while nothing changed
    fl_pool *pool;   // NULL: the process pool. The result does not depend on its size
    fl_progress *progress;  // NULL: nobody is looking
    int64_t shard_tokens;   // in one file; 0: 1 << 27
} fl_dataset_opts;

typedef struct fl_dataset fl_dataset;
FL_MUST_USE fl_status fl_dataset_open(fl_dataset **out, const fl_dataset_opts *o, fl_err *err);
void fl_dataset_free(fl_dataset *d);  // NULL is allowed; the shards stay on disk

typedef enum { FL_PART_TRAIN, FL_PART_VAL, FL_PART_COUNT } fl_part;
typedef struct {
    int64_t n_documents;
    int64_t n_tokens;  // of the text
    int64_t n_pairs;   // targets in one pass
    int64_t n_bytes;   // raw bytes of text
} fl_part_info;
const fl_part_info *fl_dataset_info(const fl_dataset *d, fl_part part);
fl_split fl_dataset_split(const fl_dataset *d);  // what AUTO became
bool fl_dataset_was_reused(const fl_dataset *d);
const char *fl_dataset_dir(const fl_dataset *d);  // where manifest.json lies

/* Append the text tokens of one document of a part, in stored order. */
FL_MUST_USE fl_status fl_dataset_tokens(const fl_dataset *d, fl_part part, int64_t document,
                                        fl_ids *out, fl_err *err);

typedef enum {
    FL_SAMPLING_AUTO,    // packed; windows when the part has a single document
    FL_SAMPLING_PACKED,  // each pass: documents shuffled, cut into rows, rows shuffled
    FL_SAMPLING_WINDOWS  // each row starts at a random pair of the part (nanoGPT's sampling)
} fl_sampling;

typedef struct {
    int64_t T;  // tokens in a row; batches must have it. B is free: rows do not depend on it
    uint64_t seed;
    fl_sampling sampling;           // fl_train_source_new only
    bool cross_document_attention;  // one segment per row, positions 0..T-1
} fl_source_opts;

/* An endless stream over the training parts of one or more datasets. Rows are dealt so that after
 * any number of them each dataset has its share by weight to within one row; 0 for all means shares
 * as the datasets' sizes. */
typedef struct {
    const fl_dataset *dataset;
    double weight;
} fl_mix_part;
FL_MUST_USE fl_status fl_train_source_new(fl_source **out, const fl_mix_part *part, int n,
                                          const fl_source_opts *o, fl_err *err);

/* One pass in stored order, every pair exactly once. The last batch is padded (target -1, weight
 * 0); after the end next gives n_targets 0. Seeking to {"row": 0} starts again. */
FL_MUST_USE fl_status fl_pass_source_new(fl_source **out, const fl_dataset *d, fl_part part,
                                         const fl_source_opts *o, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
