/* read_hf.h - what the files that read tokenizer.json share. */
#ifndef FL_TOKEN_READ_HF_H
#define FL_TOKEN_READ_HF_H

#include "base/json.h"
#include "token/tokenizer.h"

/* Normalizer, pre-tokenizer and decoder; before the vocabulary is read. */
FL_MUST_USE fl_status fli_read_pipeline(fl_tokenizer *t, const json_t *root, fl_err *err);
/* The post-processor; after. */
FL_MUST_USE fl_status fli_read_template(fl_tokenizer *t, const json_t *root, fl_err *err);

/* One type of one part. NULL accept: known, changes nothing. A row without type ends a table. */
typedef struct {
    const char *type;
    fl_status (*accept)(fl_tokenizer *t, const json_t *o, const char *where, fl_err *err);
} fli_hf_part;
extern const fli_hf_part fli_hf_normalizers[];

/* A pattern: {"String": ..} or {"Regex": ..}. */
FL_MUST_USE fl_status fli_hf_pattern(const json_t *o, bool *is_regex, const char **text,
                                     const char *where, fl_err *err);

/* The field must be absent, null or what is wanted. */
FL_MUST_USE fl_status fli_want_bool(const json_t *o, const char *key, bool absent, bool want,
                                    const char *where, fl_err *err);
FL_MUST_USE fl_status fli_want_empty(const json_t *o, const char *key, const char *where,
                                     fl_err *err);

#endif
