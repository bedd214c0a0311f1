/* cmd_help - fledge help: the overview, a command, a group of commands, or the man page. */
#include <string.h>

#include "app/help.h"

static fl_status run(const app_args *a, fl_err *err) {
    const app_command *c;
    int n_words, n = app_n_args(a);
    if (app_bool(a, "man")) {
        app_help_man(stdout);
        return FL_OK;
    }
    if (n == 0) {
        app_help_overview(stdout);
        return FL_OK;
    }
    const char *words[2] = {app_arg(a, 0), app_arg(a, 1)};
    fl_status s = app_command_find(&c, &n_words, n, words, err);
    if (s == FL_OK) return app_help_command(c, err);
    for (const app_command *const *row = app_commands; *row && n == 1; row++) {
        size_t len = strlen(words[0]);
        if (strncmp((*row)->name, words[0], len) != 0 || (*row)->name[len] != ' ') continue;
        app_help_group(words[0], stdout);
        return FL_OK;
    }
    return s;
}

static const app_flag flags[] = {
    {"man", 0, FLAG_BOOL, .help = "print the manual page (troff)"},
    {0},
};

const app_command cmd_help = {
    .name = "help",
    .args = "[COMMAND] [SUBCOMMAND]",
    .summary = "explain a command",
    .flags = flags,
    .run = run,
};
