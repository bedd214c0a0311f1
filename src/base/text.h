/* text.h - a growable string, and UTF-8. */
#ifndef FL_BASE_TEXT_H
#define FL_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero is an empty text. `data` is NUL-terminated once anything was appended. Running out of memory
 * sticks: later appends do nothing and fl_text_ok says so once, at the end. */
typedef struct {
    char *data;
    size_t n, cap;
    bool failed;
} fl_text;

void fl_text_clear(fl_text *t);  // frees
void fl_text_append(fl_text *t, const void *bytes, size_t n);
void fl_text_puts(fl_text *t, const char *s);
void fl_text_printf(fl_text *t, const char *fmt, ...) FL_PRINTF(2, 3);
FL_MUST_USE fl_status fl_text_ok(const fl_text *t, fl_err *err);
const char *fl_text_str(const fl_text *t);  // "" when empty

char *fl_strdup(const char *s);  // fl_dealloc frees it; NULL when memory is exhausted

/* One code point from s[0..n), n > 0. Sets *len to the bytes used (1..4). Malformed input gives -1
 * and *len = 1 (so that invalid bytes are passed over one at a time). Overlong forms and surrogates
 * are malformed. */
int32_t fl_utf8_decode(const uint8_t *s, size_t n, int *len);
int fl_utf8_encode(int32_t cp, char out[4]);                        // bytes written
void fl_text_append_utf8(fl_text *t, const void *bytes, size_t n);  // malformed: U+FFFD
size_t fl_utf8_complete(const uint8_t *s, size_t n);  // longest prefix of whole characters

/* "1.2M", "3.4 GiB", "2m 05s": for people. Return `out`. */
enum { FL_HUMAN = 32 };
const char *fl_human_count(double n, char out[FL_HUMAN]);
const char *fl_human_bytes(double n, char out[FL_HUMAN]);
const char *fl_human_seconds(double s, char out[FL_HUMAN]);
bool fl_parse_int(int64_t *out, const char *s);         // decimal, nothing after it, in range
bool fl_parse_real(double *out, const char *s);         // finite, nothing after it
bool fl_parse_bool(bool *out, const char *s);           // "true", "false"
bool fl_parse_count(double *out, const char *s);        // "5M", "124M", "1e6", "4096"
bool fl_parse_seconds(double *out, const char *s);      // "10m", "90s", "1h30m", "45"
bool fl_parse_bytes(double *out, const char *s);        // "2G", "512MiB"
bool fl_is_choice(const char *choices, const char *s);  // s is one of the words of "cosine|wsd"

/* The one of `words` (NULL ends) that was probably meant by a mistyped word, or NULL where none is
 * near enough. '_' and '-' are the same letter. */
const char *fl_nearest(const char *typed, const char *const *words);

#ifdef __cplusplus
}
#endif

#endif
