/* io.h - what several commands read and print. */
#ifndef FL_APP_IO_H
#define FL_APP_IO_H

#include "app/command.h"
#include "base/json.h"
#include "base/text.h"

/* The text of positional `i`, of the file the flag names, or of standard input ("-" or neither). */
FL_MUST_USE fl_status app_read_text(const app_args *a, int i, const char *flag, fl_text *out,
                                    fl_err *err);

/* The positionals from `first` on; one allocation, freed by fl_dealloc. */
FL_MUST_USE fl_status app_paths(const app_args *a, int first, const char ***paths, int *n,
                                fl_err *err);

/* One line of JSON; takes the reference. NULL is "no memory", as from json_pack. */
FL_MUST_USE fl_status app_print_json(json_t *v, fl_err *err);

/* Each "name=value" of the flag into `to`: the value as JSON, or else as the text it is. */
FL_MUST_USE fl_status app_set_values(const app_args *a, const char *flag, json_t *to, fl_err *err);

/* Any bytes as a JSON string: what is not UTF-8 becomes U+FFFD. */
json_t *app_json_text(const void *bytes, size_t n);

/* One token for people: in quotes, with what cannot be printed written as in C. */
void app_print_token(const uint8_t *s, size_t n);

/* A word that somebody else wrote, at the left of a column of `width`; what would command a
 * terminal is shown as '?'. */
void app_print_word(const char *s, size_t n, int width);

#endif
