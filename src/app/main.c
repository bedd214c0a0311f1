/* main - the program: find the command, parse its flags, run it, and turn the outcome into an exit
 * code. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/help.h"
#include "app/pulled.h"
#include "app/terminal.h"
#include "base/thread.h"

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* The first Ctrl-C asks; the second one, with the default action restored, kills. */
static void on_interrupt(int signal_number) {
    fl_interrupt();
    signal(signal_number, SIG_DFL);
}

static void handle_signals(void) {
    struct sigaction ask = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &ask, NULL);
    sigaction(SIGTERM, &ask, NULL);
    sigaction(SIGPIPE, &ignore,
              NULL);  // a write to a closed pipe fails and is reported where it happened
#ifdef SIGXFSZ
    sigaction(SIGXFSZ, &ignore, NULL);  // likewise a write beyond a file size limit
#endif
}

fl_status app_flush(fl_err *err) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return FL_OK;
    return fl_fail(err, FL_ERR_IO, "standard output: %s",
                   errno ? strerror(errno) : "a write failed");
}

static app_talk how_much(const app_args *a) {
    return app_bool(a, "quiet") ? TALK_QUIET : app_bool(a, "verbose") ? TALK_VERBOSE : TALK_NORMAL;
}

static fl_status run(int argc, char **argv, fl_err *err) {
    const app_command *c;
    app_args *a;
    int n_words;
    FL_TRY(app_command_find(&c, &n_words, argc, (const char *const *)argv, err));
    FL_TRY(app_args_parse(&a, c, argc - n_words, argv + n_words, err));
    app_terminal_open(how_much(a));
    fl_status s;
    if (app_bool(a, "help")) {
        s = app_help_command(c, err);
    } else {
        fl_pool_set_default_size((int)app_int(a, "threads"));
        s = app_args_find_models(a, app_model_path, err);
        if (s == FL_OK) s = c->run(a, err);
    }
    app_args_free(a);
    return s;
}

static bool asks_for_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `fledge --help` and `fledge --version` are the commands of these names; `fledge eval --help` is
 * `fledge help eval`. */
static void name_bare_flags(int argc, char **argv) {
    static char help[] = "help", version[] = "version";
    if (argc < 2) return;
    if (argc == 3 && asks_for_help(argv[2])) {
        argv[2] = argv[1];
        argv[1] = help;
    }
    if (asks_for_help(argv[1])) argv[1] = help;
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) argv[1] = version;
}

int main(int argc, char **argv) {
    fl_err err = {0};
    handle_signals();
    app_terminal_open(TALK_NORMAL);
    name_bare_flags(argc, argv);
    if (argc < 2) {
        app_help_overview(stderr);
        return EXIT_USAGE;
    }
    fl_status s = run(argc - 1, argv + 1, &err);
    if (s == FL_OK) s = app_flush(&err);
    if (s != FL_OK && !(errno == EPIPE && ferror(stdout))) app_complain(err.msg);
    if (fl_interrupted()) return EXIT_INTERRUPTED;
    return s == FL_OK ? EXIT_SUCCESS : s == FL_ERR_ARG ? EXIT_USAGE : EXIT_FAILURE;
}
