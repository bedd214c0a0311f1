/* line - libedit behind our own names.
 *
 * libedit reads its keys through read_key here, which waits for the terminal and for a pipe of our
 * own at once: a signal handler writes to that pipe, so that no signal is lost between looking at a
 * flag and waiting, whichever thread it came to. */
#include "app/line.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>
#include <wchar.h>

#include "app/terminal.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/progress.h"

enum { HISTORY_LINES = 1000, LINE_MAX_BYTES = 16 << 20 };

struct app_line {
    EditLine *edit;  // NULL: not on a terminal
    History *history;
    char history_file[FL_PATH_MAX];  // "": none
    const char *const *words;
    const char *prompt;
    bool interrupted;
};

static int wake_pipe[2] = {-1, -1};
static volatile sig_atomic_t resized;

void app_line_wake(void) {
    int reason = errno;
    if (wake_pipe[1] >= 0 && write(wake_pipe[1], "", 1) < 0) errno = 0;  // full: awake already
    errno = reason;
}

static void on_resize(int signal_number) {
    (void)signal_number;
    resized = 1;
    app_line_wake();
}

/* ---- keys ---- */

/* Wait until a key is there; false: interrupted. */
static bool wait_key(app_line *l, EditLine *e) {
    for (;;) {
        fd_set set;
        char drained[64];
        FD_ZERO(&set);
        FD_SET(STDIN_FILENO, &set);
        FD_SET(wake_pipe[0], &set);
        if (resized) {
            resized = 0;
            el_resize(e);
            el_set(e, EL_REFRESH);
        }
        if (fl_interrupted()) l->interrupted = true;
        if (l->interrupted) return false;
        if (select(wake_pipe[0] + 1, &set, NULL, NULL, NULL) < 0) continue;
        if (FD_ISSET(wake_pipe[0], &set))
            while (read(wake_pipe[0], drained, sizeof drained) > 0) continue;
        else return true;
    }
}

/* One character for libedit: 1, 0 at the end, -1 to give up the line. */
static int read_key(EditLine *e, wchar_t *out) {
    app_line *l;
    mbstate_t state = {0};
    el_get(e, EL_CLIENTDATA, &l);
    while (wait_key(l, e)) {
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return (int)n;
        size_t k = mbrtowc(out, &byte, 1, &state);
        if (k == (size_t)-2) continue;  // the rest of the character comes
        if (k == (size_t)-1) *out = L'?';
        return 1;
    }
    return -1;
}

static char *show_prompt(EditLine *e) {
    app_line *l;
    el_get(e, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

/* Tab: the rest of the only word that begins so. */
static unsigned char complete(EditLine *e, int key) {
    app_line *l;
    const LineInfo *line = el_line(e);
    size_t n = (size_t)(line->cursor - line->buffer);
    const char *found = NULL;
    (void)key;
    el_get(e, EL_CLIENTDATA, &l);
    for (const char *const *w = l->words; n && w && *w; w++) {
        if (strncmp(*w, line->buffer, n) != 0) continue;
        if (found) return CC_ERROR;
        found = *w;
    }
    if (!found || el_insertstr(e, found + n) != 0 || el_insertstr(e, " ") != 0) return CC_ERROR;
    return CC_REFRESH;
}

static const char paste_begin[] = "\033[200~", paste_end[] = "\033[201~";

/* The terminal says where a paste begins and ends (xterm's bracketed paste): its newlines belong to
 * the line and do not end it. */
static unsigned char take_paste(EditLine *e, int key) {
    fl_text text = {0};
    wchar_t c;
    (void)key;
    while (text.n < LINE_MAX_BYTES && read_key(e, &c) == 1) {
        char bytes[MB_LEN_MAX];
        size_t n = wcrtomb(bytes, c == L'\r' ? L'\n' : c, &(mbstate_t){0});
        if (n != (size_t)-1) fl_text_append(&text, bytes, n);
        if (!fl_path_has_suffix(fl_text_str(&text), paste_end)) continue;
        text.data[text.n - strlen(paste_end)] = '\0';
        break;
    }
    bool inserted = el_insertstr(e, fl_text_str(&text)) == 0;
    fl_text_clear(&text);
    return inserted ? CC_REFRESH : CC_ERROR;
}

/* ---- opening ---- */

static void find_history(app_line *l, const char *name) {
    char dir[FL_PATH_MAX];
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    fl_status s = FL_ERR_ARG;
    if (state && *state) s = fl_path_join(dir, state, "fledge", NULL);
    else if (home && *home) s = fl_path_join(dir, home, ".local/state/fledge", NULL);
    if (s != FL_OK || fl_dir_make(dir, NULL) != FL_OK) return;
    if (fl_path_join(l->history_file, dir, name, NULL) != FL_OK) l->history_file[0] = '\0';
}

static bool open_editor(app_line *l, const char *history_name) {
    HistEvent event;
    l->edit = el_init("fledge", stdin, stdout, stderr);
    l->history = history_init();
    if (!l->edit || !l->history) return false;
    find_history(l, history_name);
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    if (*l->history_file) history(l->history, &event, H_LOAD, l->history_file);
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, show_prompt);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_HIST, history, l->history);
    el_set(l->edit, EL_GETCFN, read_key);
    el_set(l->edit, EL_ADDFN, "fledge-complete", "complete a command", complete);
    el_set(l->edit, EL_BIND, "^I", "fledge-complete", NULL);
    el_set(l->edit, EL_ADDFN, "fledge-paste", "insert what is pasted", take_paste);
    el_set(l->edit, EL_BIND, paste_begin, "fledge-paste", NULL);
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(l->edit, NULL);  // the user's own ~/.editrc
    return true;
}

static bool open_pipe(void) {
    if (wake_pipe[0] >= 0) return true;
    if (pipe(wake_pipe) != 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
    }
    return true;
}

static bool is_terminal(void) {
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && app_terminal_commands();
}

/* Characters are UTF-8 even where the locale says nothing. */
static void use_utf8(void) {
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

fl_status app_line_open(app_line **out, const char *history, const char *const *words,
                        fl_err *err) {
    app_line *l = fl_alloc(sizeof *l);
    if (!l) return fl_fail(err, FL_ERR_NOMEM, "reading lines");
    *l = (app_line){.words = words};
    if (is_terminal()) {
        struct sigaction resize = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
        use_utf8();
        if (!open_pipe() || !open_editor(l, history)) {
            app_line_close(l);
            return fl_fail(err, FL_ERR_IO, "the terminal cannot be used for editing");
        }
        sigaction(SIGWINCH, &resize, NULL);
    }
    *out = l;
    return FL_OK;
}

/* Only its owner reads what was typed. */
static void save_history(app_line *l) {
    HistEvent event;
    if (!*l->history_file) return;
    int fd = open(l->history_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    history(l->history, &event, H_SAVE, l->history_file);
}

void app_line_close(app_line *l) {
    if (!l) return;
    if (l->edit) el_end(l->edit);
    if (l->history) {
        save_history(l);
        history_end(l->history);
    }
    fl_dealloc(l);
}

bool app_line_edits(const app_line *l) {
    return l->edit != NULL;
}

/* ---- reading ---- */

static app_line_result read_edited(app_line *l, fl_text *out) {
    HistEvent event;
    int n = 0;
    l->interrupted = false;
    fputs("\033[?2004h", stdout);  // pastes are marked
    const char *line = el_gets(l->edit, &n);
    fputs("\033[?2004l", stdout);
    if (l->interrupted) {
        el_reset(l->edit);
        fputs("^C\n", stdout);
        return LINE_INTERRUPTED;
    }
    if (!line || n <= 0) return LINE_END;
    size_t length = (size_t)n - (line[n - 1] == '\n');
    fl_text_append(out, line, length);
    if (length) history(l->history, &event, H_ENTER, line);
    return LINE_READ;
}

static app_line_result read_plain(fl_text *out) {
    size_t start = out->n;
    int c;
    while ((c = getc(stdin)) != EOF && c != '\n') {
        char byte = (char)c;
        if (out->n - start == LINE_MAX_BYTES) return LINE_END;
        fl_text_append(out, &byte, 1);
    }
    if (fl_interrupted()) return LINE_INTERRUPTED;
    if (c == EOF && out->n == start) return LINE_END;
    if (out->n > start && out->data[out->n - 1] == '\r') out->data[--out->n] = '\0';
    return LINE_READ;
}

app_line_result app_line_read(app_line *l, const char *prompt, fl_text *out) {
    l->prompt = prompt;
    return l->edit ? read_edited(l, out) : read_plain(out);
}
