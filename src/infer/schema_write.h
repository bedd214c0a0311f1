/* schema_write.h - the pieces that write the grammar of a schema. */
#ifndef FL_INFER_SCHEMA_WRITE_H
#define FL_INFER_SCHEMA_WRITE_H

#include "infer/schema.h"

typedef struct {
    const json_t *root;
    fl_text *out;
    json_t *refs;  // $ref to the number of its rule
    int n_rules, depth;
} fli_schema_writer;

/* The rule of a schema, written with all that it needs. */
FL_MUST_USE fl_status fli_schema_visit(fli_schema_writer *w, const json_t *schema, int *rule,
                                       fl_err *err);
/* Write a rule of this body, which is cleared. */
FL_MUST_USE fl_status fli_schema_rule(fli_schema_writer *w, int rule, fl_text *body, fl_err *err);
/* Bytes, and a value as JSON, as a string of the grammar. */
void fli_schema_literal(fl_text *body, const char *s, size_t n);
void fli_schema_literal_json(fl_text *body, const json_t *v);
/* The body of the rule of a schema without $ref, allOf, anyOf and oneOf. */
FL_MUST_USE fl_status fli_schema_plain(fli_schema_writer *w, const json_t *schema, fl_text *body,
                                       fl_err *err);
/* A $ref, and at most words for people beside it. */
bool fli_schema_says_only_ref(const json_t *schema);
/* The body of an object's rule. */
FL_MUST_USE fl_status fli_schema_object(fli_schema_writer *w, const json_t *schema, fl_text *body,
                                        fl_err *err);

/* What both hold, as one schema. A new reference. */
FL_MUST_USE fl_status fli_schema_merge(const json_t *a, const json_t *b, json_t **out, fl_err *err);

/* Whether no value can be valid under both, as far as types, values and required constants tell. */
bool fli_schema_apart(const json_t *a, const json_t *b);

/* Whether a value is of a type: "integer", "string", .. */
bool fli_schema_is(const json_t *v, const char *type);

/* The characters of a string that hold a match of a regular expression, as alternatives without
 * quotes. */
FL_MUST_USE fl_status fli_schema_pattern(fl_text *out, const char *pattern, fl_err *err);

/* The integers from low to high; INT64_MIN and INT64_MAX: no limit. */
void fli_schema_integers(fl_text *out, int64_t low, int64_t high);

#endif
