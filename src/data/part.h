/* part.h - the documents of one part of a dataset, and the pairs they give. Inside data only. */
#ifndef FL_DATA_PART_H
#define FL_DATA_PART_H

#include "data/store.h"

typedef struct {
    int64_t first, n_tokens;  // in the shards
} fli_span;

typedef struct {
    fl_part_info info;
    fli_span *span;     // one a document
    int64_t *pair_end;  // pairs of this document and all before it
    double byte_scale;  // raw bytes per byte of tokens
} fli_part;

struct fl_dataset {
    fli_store store;
    fli_part part[FL_PART_COUNT];
    int32_t begin, end;     // ids put around each document, -1: none
    uint16_t *token_bytes;  // of each id; 0 for special tokens
};

/* Targets [first, first + n) of a document, and the input before the first of them. */
void fli_document_read(const fl_dataset *d, const fli_span *s, int64_t first, int64_t n,
                       int32_t *input, int32_t *targets);
int64_t fli_document_pairs(const fl_dataset *d, int64_t n_tokens);

#endif
