/* tokenise.h - a corpus into shards, in parallel. Inside data only. */
#ifndef FL_DATA_TOKENISE_H
#define FL_DATA_TOKENISE_H

#include "data/corpus.h"
#include "data/shard.h"
#include "token/tokenizer.h"

struct fl_pool;

typedef struct {
    fl_corpus *corpus;  // at its beginning
    const fl_tokenizer *tokenizer;
    fli_shard_writer *writer;
    int64_t cut;  // end a document at this byte of the text and begin another; 0: no
    struct fl_pool *pool;
    fl_progress *progress;
    int64_t n_documents, n_tokens, n_bytes;  // results
} fli_tokenise_job;

/* Every document to the writer. The tokens do not depend on the pool. */
FL_MUST_USE fl_status fli_tokenise(fli_tokenise_job *job, fl_err *err);

/* Documents and bytes of a corpus, without tokenising; gives up after `enough` documents (0:
 * never). */
FL_MUST_USE fl_status fli_corpus_measure(fl_corpus *c, int64_t enough, int64_t *n_documents,
                                         int64_t *n_bytes, fl_err *err);

#endif
