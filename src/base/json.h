/* json.h - JSON and YAML as jansson values, with errors that say where.
 *
 * Reading: fl_json_load / fl_yaml_load give a jansson value (json_decref frees it). The getters
 * below take the object and a key and fail with "config.json: hidden_size: expected an integer,
 * found a string".
 *
 * jansson's allocator is the process's, so the library leaves it alone; a test of failing memory
 * installs json_set_alloc_funcs(fl_alloc_small, fl_dealloc). */
#ifndef FL_BASE_JSON_H
#define FL_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

FL_MUST_USE fl_status fl_json_load(json_t **out, const char *path, fl_err *err);
FL_MUST_USE fl_status fl_json_parse(json_t **out, const char *text, size_t n, const char *where,
                                    fl_err *err);
FL_MUST_USE fl_status fl_json_save(const json_t *v, const char *path, fl_err *err);  // atomically

/* The value as text; `indent` 0 puts it on one line. A real is written with the fewest digits that
 * read back as it. */
void fl_json_print(fl_text *out, const json_t *v, int indent);

json_t *fl_json_number(double v);  // a new real; null where v isn't finite, which JSON cannot say

/* A YAML document (libyaml; plain scalars become null, bool, integer, real or string as in YAML 1.2
 * core). */
FL_MUST_USE fl_status fl_yaml_load(json_t **out, const char *path, fl_err *err);

/* The same, and in `lines` (may be NULL) an object from dotted path ("optimizer.lr",
 * "data[2].path") to line number, so that whoever judges the values can say where they stand. */
FL_MUST_USE fl_status fl_yaml_load_lines(json_t **out, json_t **lines, const char *path,
                                         fl_err *err);
FL_MUST_USE fl_status fl_yaml_parse(json_t **out, json_t **lines, const char *text, size_t n,
                                    const char *where, fl_err *err);
FL_MUST_USE fl_status fl_yaml_save(const json_t *v, const char *path, fl_err *err);

/* Present and of the right type, or an error. `where` starts the message. */
FL_MUST_USE fl_status fl_json_int(const json_t *o, const char *key, int64_t *out, const char *where,
                                  fl_err *err);
FL_MUST_USE fl_status fl_json_real(const json_t *o, const char *key, double *out, const char *where,
                                   fl_err *err);
FL_MUST_USE fl_status fl_json_str(const json_t *o, const char *key, const char **out,
                                  const char *where, fl_err *err);
FL_MUST_USE fl_status fl_json_bool(const json_t *o, const char *key, bool *out, const char *where,
                                   fl_err *err);

/* The same, but absent or null gives `fallback`. A wrong type is still an error. */
FL_MUST_USE fl_status fl_json_int_or(const json_t *o, const char *key, int64_t fallback,
                                     int64_t *out, const char *where, fl_err *err);
FL_MUST_USE fl_status fl_json_real_or(const json_t *o, const char *key, double fallback,
                                      double *out, const char *where, fl_err *err);
FL_MUST_USE fl_status fl_json_str_or(const json_t *o, const char *key, const char *fallback,
                                     const char **out, const char *where, fl_err *err);
FL_MUST_USE fl_status fl_json_bool_or(const json_t *o, const char *key, bool fallback, bool *out,
                                      const char *where, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
