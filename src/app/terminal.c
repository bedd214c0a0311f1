/* terminal - messages and progress on standard error.
 *
 * A bar is redrawn in place at most ten times a second; a message that arrives meanwhile wipes it,
 * is printed, and the bar returns with the next step. Without a terminal a plain line is printed
 * every few seconds instead. */
#include "app/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static const double REDRAW_EVERY = 0.1, LINE_EVERY = 5.0;

static struct {
    app_talk talk;
    bool is_terminal, colour;
    bool bar_shown;
    double last_shown;  // when progress was last printed
} term;

static void wipe_bar(void) {
    if (term.bar_shown) fputs("\r\033[K", stderr);
    term.bar_shown = false;
}

/* Control characters, C1 included, but newline and tab. */
static bool commands_terminal(int32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
}

/* A terminal is shown the characters of a text and not commanded by them. */
static void print_text(FILE *out, const char *s, size_t n) {
    int len;
    if (!isatty(fileno(out))) {
        fwrite(s, 1, n, out);
        return;
    }
    for (size_t i = 0; i < n; i += (size_t)len) {
        int32_t c = fl_utf8_decode((const uint8_t *)s + i, n - i, &len);  // -1: malformed
        if (commands_terminal(c)) fputs("\xEF\xBF\xBD", out);
        else fwrite(s + i, 1, (size_t)len, out);
    }
}

static void print_marked(const char *colour, const char *mark, const char *text) {
    wipe_bar();
    fprintf(stderr, "%s%s%s", term.colour ? colour : "", mark, term.colour ? "\033[0m" : "");
    print_text(stderr, text, strlen(text));
    fputc('\n', stderr);
}

static void show_message(void *ctx, fl_log_level level, const char *msg) {
    static const struct {
        app_talk least;
        const char *colour, *mark;
    } rows[] = {
        [FL_LOG_WARN] = {TALK_QUIET, "\033[33m", "warning: "},
        [FL_LOG_NOTE] = {TALK_NORMAL, "", ""},
        [FL_LOG_DEBUG] = {TALK_VERBOSE, "\033[2m", "debug: "},
    };
    (void)ctx;
    if (term.talk >= rows[level].least) print_marked(rows[level].colour, rows[level].mark, msg);
}

bool app_terminal_commands(void) {
    const char *kind = getenv("TERM");
    return kind && *kind && strcmp(kind, "dumb") != 0;
}

void app_terminal_open(app_talk talk) {
    const char *no_colour = getenv("NO_COLOR");
    term.talk = talk;
    term.is_terminal = isatty(STDERR_FILENO) && app_terminal_commands();
    term.colour = term.is_terminal && !(no_colour && *no_colour);
    fl_log_to(show_message, NULL);
}

void app_complain(const char *text) {
    print_marked("\033[31m", "fledge: ", text);
}

void app_show_text(const char *s, size_t n) {
    print_text(stdout, s, n);
}

void app_aside(const char *text) {
    if (term.talk == TALK_QUIET) return;
    wipe_bar();
    if (term.colour) fputs("\033[2m", stderr);
    print_text(stderr, text, strlen(text));
    fputs(term.colour ? "\033[0m\n" : "\n", stderr);
}

/* ---- progress ---- */

static int columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* "1.2M" of anything, but bytes as bytes and small counts exactly. */
static const char *amount(double n, const char *unit, char out[FL_HUMAN]) {
    return strcmp(unit, "B") == 0 ? fl_human_bytes(n, out) : fl_human_count(n, out);
}

/* "tokenizing 3.4 MiB of 12.0 MiB, 1.1 MiB/s, 8.0s left, loss 2.31" */
static void describe(fl_text *t, const fl_progress *p, bool finished) {
    char done[FL_HUMAN], total[FL_HUMAN], rate[FL_HUMAN], time[FL_HUMAN];
    const char *unit = strcmp(p->unit, "B") == 0 ? "" : p->unit;
    const char *gap = *unit ? " " : "";
    double took = fl_now() - p->start, speed = took > 0 ? p->done / took : 0;
    fl_text_printf(t, "%s %s", p->what, amount(p->done, p->unit, done));
    if (p->total > 0 && !finished) fl_text_printf(t, " of %s", amount(p->total, p->unit, total));
    fl_text_printf(t, "%s%s", gap, unit);
    if (speed > 0) fl_text_printf(t, ", %s/s", amount(speed, p->unit, rate));
    if (finished) fl_text_printf(t, ", took %s", fl_human_seconds(took, time));
    else if (p->total > 0 && speed > 0)
        fl_text_printf(t, ", %s left", fl_human_seconds((p->total - p->done) / speed, time));
    if (p->detail[0]) fl_text_printf(t, ", %s", p->detail);
}

/* "[######....]" as wide as the text beside it leaves room for. */
static void draw_bar(const fl_progress *p, const char *text) {
    int room = columns() - 4 - (int)strlen(text), width = room > 30 ? 30 : room;
    wipe_bar();
    if (p->total > 0 && width >= 8) {
        double share = p->done / p->total;
        int full = (int)((share < 0 ? 0 : share > 1 ? 1 : share) * width);
        fprintf(stderr, "[%s", term.colour ? "\033[32m" : "");
        for (int i = 0; i < width; i++) fputc(i < full ? '#' : '.', stderr);
        fprintf(stderr, "%s] ", term.colour ? "\033[0m" : "");
    }
    fprintf(stderr, "%.*s", columns() - 1, text);
    fflush(stderr);
    term.bar_shown = true;
}

static void show_progress(fl_progress *p, bool finished) {
    double now = fl_now(), every = term.is_terminal ? REDRAW_EVERY : LINE_EVERY;
    if (p->done == 0 && !finished) {
        term.last_shown = now;  // the first line says nothing yet
        return;
    }
    if (!finished && now - term.last_shown < every) return;
    term.last_shown = now;
    fl_text t = {0};
    describe(&t, p, finished);
    if (finished || !term.is_terminal) {
        wipe_bar();
        fprintf(stderr, "%s\n", fl_text_str(&t));
    } else {
        draw_bar(p, fl_text_str(&t));
    }
    fl_text_clear(&t);
}

fl_progress app_progress(void) {
    return (fl_progress){.show = term.talk == TALK_QUIET ? NULL : show_progress,
                         .what = "",
                         .unit = ""};
}
