/* prompt_cache.h - a prompt's keys and values on disk, so that it is read once.
 *
 *     int64_t reused;
 *     fl_prompt_cache_use(session, "system.cache", ids, n, &reused, &err);
 *     fl_generate_ids(session, ids, n, &opts, &result, &err);    // the prompt is there
 *
 * The session takes what file and prompt begin with in common from the file and reads the rest;
 * unless there was no rest, the file is then replaced by the whole prompt, atomically. The text
 * that follows is byte for byte the one without a file (infer/group.h says why). A file of another
 * model, number format or cache format, or a damaged one, is an error that names it; a missing one
 * is none.
 *
 * File, little-endian:
 *
 *     "FLKVPAGE"   version 1, n u32   identity 32 + 1 bytes   ids i32 (n)
 *     for every block (keys of each layer, then values): n rows, each as kept in memory
 *     XXH3-128 of all before, in hexadecimal, 32 + 1 bytes
 *
 * The identity is a hash of the architecture's facts, of every weight's name, shape, format and (of
 * large ones, parts of its) bytes, of the formats of computation and cache, and of the backend,
 * because each may change a bit. */
#ifndef FL_INFER_PROMPT_CACHE_H
#define FL_INFER_PROMPT_CACHE_H

#include "infer/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* n > 0. *reused: tokens that were in the file. The session holds exactly the prompt then. */
FL_MUST_USE fl_status fl_prompt_cache_use(fl_session *s, const char *path, const int32_t *id,
                                          int64_t n, int64_t *reused, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
