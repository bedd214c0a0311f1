/* help - rows as text for people: --help and the man page. */
#include "app/help.h"

#include <ctype.h>
#include <string.h>

enum { NAME_WIDTH = 26, WIDTH = 80 };

/* "-o, --out DIR" */
static void flag_text(const app_flag *f, char *out, size_t cap) {
    char letter[8] = "    ";
    if (f->short_name) snprintf(letter, sizeof letter, "-%c, ", f->short_name);
    const char *metavar = f->type == FLAG_BOOL ? "" : f->metavar;
    snprintf(out, cap, "%s--%s%s%s", letter, f->name, *metavar ? " " : "", metavar);
}

static void print_flags(const app_flag *f, FILE *out) {
    for (; f && f->name; f++) {
        char text[160];
        flag_text(f, text, sizeof text);
        fprintf(out, "  %-*s %s", NAME_WIDTH, text,
                strlen(text) > NAME_WIDTH ? "\n                             " : "");
        fputs(f->help, out);
        if (f->fallback) fprintf(out, " [%s]", f->fallback);
        fputc('\n', out);
    }
}

static void print_commands(const char *group, FILE *out) {
    size_t n = group ? strlen(group) : 0;
    for (const app_command *const *c = app_commands; *c; c++)
        if (!n || (strncmp((*c)->name, group, n) == 0 && (*c)->name[n] == ' '))
            fprintf(out, "  %-18s %s\n", (*c)->name, (*c)->summary);
}

void app_help_overview(FILE *out) {
    fputs(
        "fledge - raise your own language model\n\nusage: fledge COMMAND [ARGUMENTS] [options]\n\n",
        out);
    print_commands(NULL, out);
    fputs(
        "\nfor one of them:  fledge COMMAND --help\n"
        "to begin:         fledge train TEXT... --budget 10m\n",
        out);
}

void app_help_group(const char *group, FILE *out) {
    fprintf(out, "usage: fledge %s COMMAND [ARGUMENTS] [options]\n\n", group);
    print_commands(group, out);
}

/* Words from s[0..n) go on at *column of a line at most WIDTH wide. */
static void fill(const char *s, size_t n, size_t *column, FILE *out) {
    while (n) {
        size_t word = 0;
        while (word < n && s[word] != ' ') word++;
        if (*column && *column + 1 + word > WIDTH) {
            fputc('\n', out);
            *column = 0;
        }
        fprintf(out, "%s%.*s", *column ? " " : "", (int)word, s);
        *column += word + (*column > 0);
        while (word < n && s[word] == ' ') word++;
        s += word;
        n -= word;
    }
}

/* Lines of `details`: examples (they begin with a blank) as they are, paragraphs filled. */
static void print_details(const char *s, FILE *out) {
    size_t column = 0;
    while (*s) {
        size_t n = strcspn(s, "\n");
        if (n && *s != ' ') {
            fill(s, n, &column, out);
        } else {
            if (column) fputs(n ? "\n\n" : "\n", out);
            column = 0;
            fprintf(out, "%.*s\n", (int)n, s);
        }
        s += n + (s[n] == '\n');
    }
    fputs(column ? "\n\n" : "\n", out);
}

fl_status app_help_command(const app_command *c, fl_err *err) {
    printf("fledge %s - %s\n\n", c->name, c->summary);
    printf("usage: fledge %s%s%s [options]\n\n", c->name, c->args ? " " : "",
           c->args ? c->args : "");
    if (c->details) print_details(c->details, stdout);
    print_flags(c->flags, stdout);
    if (c->flags && c->flags->name) putchar('\n');
    print_flags(app_common_flags, stdout);
    return app_flush(err);
}

/* ---- man page ---- */

/* Text as troff takes it: no line begins with a dot or quote, '\' and '-' stand for themselves. */
static void man_text(const char *s, FILE *out) {
    bool line_start = true;
    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\'')) fputs("\\&", out);
        if (*s == '\\') fputs("\\e", out);
        else if (*s == '-') fputs("\\-", out);
        else fputc(*s, out);
        line_start = *s == '\n';
    }
}

/* Paragraphs are filled, lines that begin with a blank are not. */
static void man_details(const char *s, FILE *out) {
    fputs(".PP\n", out);
    while (*s) {
        char line[1024];
        size_t n = strcspn(s, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, s);
        if (*line == ' ') fputs(".nf\n", out);
        man_text(line, out);
        fputs(*line == ' ' ? "\n.fi\n" : *line ? "\n" : ".PP\n", out);
        s += n + (s[n] == '\n');
    }
}

static void man_flags(const app_flag *f, FILE *out) {
    for (; f && f->name; f++) {
        char text[160];
        flag_text(f, text, sizeof text);
        fputs(".TP\n.B ", out);
        man_text(text + strspn(text, " "), out);
        fputc('\n', out);
        man_text(f->help, out);
        if (f->fallback) fprintf(out, " [%s]", f->fallback);
        fputc('\n', out);
    }
}

static void man_command(const app_command *c, FILE *out) {
    fprintf(out, ".SS fledge %s %s\n", c->name, c->args ? c->args : "");
    man_text(c->summary, out);
    fputs(".\n", out);
    if (c->details) man_details(c->details, out);
    man_flags(c->flags, out);
}

void app_help_man(FILE *out) {
    fputs(".TH FLEDGE 1 \"\" \"fledge " FL_VERSION
          "\"\n.SH NAME\nfledge \\- raise your own language model\n"
          ".SH SYNOPSIS\n.B fledge\nCOMMAND [ARGUMENTS] [options]\n.SH DESCRIPTION\n"
          "Trains, runs and inspects language models in open formats: Hugging Face folders in and "
          "out.\n"
          ".SH COMMANDS\n",
          out);
    for (const app_command *const *c = app_commands; *c; c++) man_command(*c, out);
    fputs(".SH COMMON OPTIONS\n", out);
    man_flags(app_common_flags, out);
    fputs(
        ".SH EXIT STATUS\n0 success, 1 failure, 2 wrong usage, 130 interrupted.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B FLEDGE_THREADS\nCPU threads, where \\-\\-threads is not given.\n"
        ".TP\n.B FLEDGE_BACKEND\nref, avx2, avx512 or cuda, instead of the best this machine has.\n"
        ".TP\n.B NO_COLOR\nno colours on the terminal.\n",
        out);
}
