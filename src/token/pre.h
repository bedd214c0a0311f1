/* pre.h - the pre-tokenizers that llama.cpp knows by name (tokenizer.ggml.pre). */
#ifndef FL_TOKEN_PRE_H
#define FL_TOKEN_PRE_H

#include <stdbool.h>

#include "token/split.h"

/* What a name stands for. llama.cpp decides more by it than how text is cut. */
typedef struct {
    const char *name;      // the one that is written
    const char *also;      // others for the same, with '|' between; NULL: none
    const char *stage[7];  // patterns, by name or spelled, NULL-terminated
    bool ignore_merges;    // a piece that is a token is that token
    bool add_bos;          // unless the file says otherwise
} fli_pre;

const fli_pre *fli_pre_find(const char *name);            // NULL: not one of them
const fli_pre *fli_pre_of_stages(const fli_splitter *s);  // NULL: llama.cpp has no name for these

#endif
