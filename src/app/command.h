/* command.h - what a command of the program is: one row, one file.
 *
 *     static const app_flag flags[] = {
 *         {"out", 'o', FLAG_STR, "DIR", .help = "folder of the run"},
 *         {"steps", 0, FLAG_INT, "N", "1000", "steps to take", .least = 1, .most = 1e9},
 *         {0}};
 *     static fl_status run(const app_args *a, fl_err *err) { ... app_int(a, "steps") ... }
 *     const app_command cmd_train = {
 *         .name = "train", .args = "TEXT...", .summary = "pre-train a model", .flags = flags,
 *         .run = run};
 *
 * and a line COMMAND(train) in commands.def. From the row come parsing, --help, the man page and
 * completion in three shells. What a row calls MODEL may be the name of a pulled model: by the time
 * `run` sees it, it is a path. A command prints its result on standard output and computes nothing
 * itself: it calls the library. Messages and progress go to standard error (terminal.h).
 *
 * run returns FL_OK (exit 0), FL_ERR_ARG (the user asked for something impossible: exit 2) or
 * another failure (exit 1); main prints the message. Long work looks at fl_interrupted(), saves and
 * returns FL_OK: exit 130. */
#ifndef FL_APP_COMMAND_H
#define FL_APP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"

typedef enum {
    FLAG_BOOL,     // --name, --no-name
    FLAG_INT,      // 1000
    FLAG_REAL,     // 3e-4
    FLAG_COUNT,    // 5M, 4096: app_real
    FLAG_SECONDS,  // 10m, 1h30m: app_real
    FLAG_BYTES,    // 2G, 512MiB: app_real
    FLAG_STR,
    FLAG_CHOICE,  // one of the words of the metavar: "cosine|wsd|linear": app_str
    FLAG_LIST,    // may be repeated: app_list
} app_flag_type;

typedef struct {
    const char *name;  // "batch-size"; NULL ends a table
    char short_name;   // 'b', or 0
    app_flag_type type;
    const char *metavar;   // "N", "TIME"; shells complete FILE, DIR, MODEL and TEXT as paths
    const char *fallback;  // the default as the user would type it; NULL: absent
    const char *help;      // "windows per step", no full stop
    double least, most;    // of a number; equal: no limits
} app_flag;

typedef struct app_args app_args;

typedef struct {
    const char *name;       // "train", or two words: "tokenizer train"
    const char *args;       // positionals: "MODEL [PROMPT]"; "X..." is one or more; NULL: none
    const char *summary;    // one line
    const char *details;    // paragraphs and examples for --help and the man page; NULL: none
    const app_flag *flags;  // besides the common ones; NULL: none
    fl_status (*run)(const app_args *a, fl_err *err);
} app_command;

extern const app_command *const app_commands[];  // ends with NULL
extern const app_flag app_common_flags[];

/* What was asked for. Asking for a flag that is not in the row, or by another type, is a bug. */
int app_n_args(const app_args *a);
const char *app_arg(const app_args *a, int i);        // positional i; NULL if there are fewer
bool app_given(const app_args *a, const char *flag);  // on the command line, not by default
bool app_bool(const app_args *a, const char *flag);
int64_t app_int(const app_args *a, const char *flag);                           // 0 when absent
double app_real(const app_args *a, const char *flag);                           // 0 when absent
const char *app_str(const app_args *a, const char *flag);                       // NULL when absent
int app_list(const app_args *a, const char *flag, const char *const **values);  // how many

/* Parse argv[0..argc) after the command's own words. Failures are FL_ERR_ARG. */
FL_MUST_USE fl_status app_args_parse(app_args **out, const app_command *c, int argc, char **argv,
                                     fl_err *err);
void app_args_free(app_args *a);

/* Every positional and every flag's value that its row calls MODEL becomes what `find` says. */
typedef fl_status (*app_finder)(char out[FL_PATH_MAX], const char *model, fl_err *err);
FL_MUST_USE fl_status app_args_find_models(app_args *a, app_finder find, fl_err *err);

/* The command that argv[0..argc) names and how many words that took. */
FL_MUST_USE fl_status app_command_find(const app_command **out, int *n_words, int argc,
                                       const char *const *argv, fl_err *err);

/* Everything printed so far reaches standard output, or the reason why not. */
FL_MUST_USE fl_status app_flush(fl_err *err);

#endif
