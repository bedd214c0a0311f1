/* schema.h - JSON schema to grammar: text that is JSON of this shape (JSON Schema 2020-12, a
 * subset).
 *
 *     fl_text grammar = {0};
 *     fl_schema_grammar(schema, &grammar, &err);
 *     fl_grammar_parse(&g, fl_text_str(&grammar), grammar.n, &err);
 *
 * Every text of the grammar is valid under the schema; not every valid text is in the grammar:
 *
 *   any      type (one or a list), enum, const, $ref to # and #/..., also to itself; anyOf,
 *            oneOf (of alternatives that cannot both hold, so that it means the same), allOf, and
 *            keywords beside them
 *   object   properties, in this order; required; additionalProperties: none unless given
 *   array    items, prefixItems (all of them), minItems, maxItems
 *   string   minLength, maxLength, pattern (schema_pattern.c says which), format: date,
 *            time, date-time, uuid
 *   integer  minimum, maximum, exclusiveMinimum, exclusiveMaximum
 *   number   up to 16 digits before and after the point, exponents of up to two
 *
 * Without a type, keywords of one imply it. Titles and other words for people are passed over; any
 * other keyword is refused by name, as is what cannot hold at all. */
#ifndef FL_INFER_SCHEMA_H
#define FL_INFER_SCHEMA_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends to `out`. */
FL_MUST_USE fl_status fl_schema_grammar(const json_t *schema, fl_text *out, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
