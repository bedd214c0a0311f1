/* cmd_completion - fledge completion SHELL: a script that completes commands, flags and their
 * values. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"

static bool is_path(const char *metavar) {
    static const char *const paths[] = {"FILE", "DIR", "MODEL", "TEXT", "PATH", NULL};
    for (const char *const *p = paths; metavar && *p; p++)
        if (strstr(metavar, *p)) return true;
    return false;
}

/* Words of a choice with blanks between. */
static void print_choices(const char *metavar) {
    for (; *metavar; metavar++) putchar(*metavar == '|' ? ' ' : *metavar);
}

/* Text inside single quotes of a shell: ' ends, escapes and reopens them. */
static void print_quoted(const char *s, const char *also_escaped) {
    for (; *s; s++) {
        if (*s == '\'') fputs("'\\''", stdout);
        else if (strchr(also_escaped, *s)) printf("\\%c", *s);
        else putchar(*s);
    }
}

/* ---- bash ---- */

static void bash_flags(const app_flag *f) {
    for (; f && f->name; f++) printf(" --%s", f->name);
}

static void bash_values(const app_flag *f) {
    for (; f && f->name; f++) {
        if (f->type != FLAG_CHOICE) continue;
        printf("        --%s) COMPREPLY=($(compgen -W '", f->name);
        print_choices(f->metavar);
        puts("' -- \"$word\")); return ;;");
    }
}

/* The word after `first` (or the first word, for NULL), each once. */
static void bash_words(const char *first) {
    size_t n = first ? strlen(first) + 1 : 0;
    const char *last = "";
    for (const app_command *const *c = app_commands; *c; c++) {
        const char *name = (*c)->name;
        if (n && (strncmp(name, first, n - 1) != 0 || name[n - 1] != ' ')) continue;
        size_t len = strcspn(name + n, " ");
        if (len == strcspn(last, " ") && strncmp(last, name + n, len) == 0) continue;
        last = name + n;
        printf(" %.*s", (int)len, last);
    }
}

static bool starts_group(const app_command *const *c) {
    size_t n = strcspn((*c)->name, " ");
    return (*c)->name[n] && (c == app_commands || strncmp(c[-1]->name, (*c)->name, n + 1) != 0);
}

static void print_bash(void) {
    puts(
        "# bash completion for fledge; put it into /etc/bash_completion.d or source it\n"
        "_fledge() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
        "command=${COMP_WORDS[1]} flags=\n"
        "    if ((COMP_CWORD == 1)); then");
    fputs("        COMPREPLY=($(compgen -W '", stdout);
    bash_words(NULL);
    puts("' -- \"$word\")); return\n    fi\n    case $command in");
    for (const app_command *const *c = app_commands; *c; c++) {
        if (!starts_group(c)) continue;
        size_t n = strcspn((*c)->name, " ");
        char group[32];
        snprintf(group, sizeof group, "%.*s", (int)n, (*c)->name);
        printf("        %s) if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W '", group);
        bash_words(group);
        puts("' -- \"$word\")); return; fi; command=\"$command ${COMP_WORDS[2]}\" ;;");
    }
    puts("    esac\n    case $command in");
    for (const app_command *const *c = app_commands; *c; c++) {
        printf("    '%s') case $before in\n", (*c)->name);
        bash_values((*c)->flags);
        fputs("        esac; flags='", stdout);
        bash_flags((*c)->flags);
        puts("' ;;");
    }
    fputs("    esac\n    if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"$flags", stdout);
    bash_flags(app_common_flags);
    puts(
        "\" -- \"$word\")); else COMPREPLY=($(compgen -f -- \"$word\")); fi\n"
        "}\n"
        "complete -o filenames -F _fledge fledge");
}

/* ---- zsh ---- */

static void zsh_flags(const app_flag *f) {
    for (; f && f->name; f++) {
        printf(" \\\n            '--%s[", f->name);
        print_quoted(f->help, "[]:\\");
        putchar(']');
        if (f->type == FLAG_CHOICE) {
            fputs(":value:(", stdout);
            print_choices(f->metavar);
            putchar(')');
        } else if (f->type != FLAG_BOOL) {
            printf(":%s:%s", f->metavar, is_path(f->metavar) ? "_files" : "");
        }
        putchar('\'');
    }
}

static void print_zsh(void) {
    puts(
        "#compdef fledge\n"
        "_fledge() {\n"
        "    local -a commands=(");
    for (const app_command *const *c = app_commands; *c; c++) {
        printf("        '%s:", (*c)->name);
        print_quoted((*c)->summary, ":\\");
        puts("'");
    }
    puts(
        "    )\n"
        "    if ((CURRENT == 2)); then _describe command commands; return; fi\n"
        "    local name=$words[2]; shift words; ((CURRENT--))\n"
        "    if [[ -n ${(M)commands:#$name\\ *} ]]; then name=\"$name $words[2]\"; shift words; "
        "((CURRENT--)); fi\n"
        "    case $name in");
    for (const app_command *const *c = app_commands; *c; c++) {
        printf("        '%s') _arguments", (*c)->name);
        zsh_flags((*c)->flags);
        zsh_flags(app_common_flags);
        puts(" \\\n            '*:file:_files' ;;");
    }
    puts("    esac\n}\n_fledge \"$@\"");
}

/* ---- fish ---- */

static void fish_flags(const app_command *c, const app_flag *f) {
    for (; f && f->name; f++) {
        fputs("complete -c fledge", stdout);
        if (c) {
            fputs(" -n '", stdout);
            for (const char *w = c->name, *gap = ""; *w; gap = "; and ") {
                size_t n = strcspn(w, " ");
                printf("%s__fish_seen_subcommand_from %.*s", gap, (int)n, w);
                w += n + (w[n] == ' ');
            }
            putchar('\'');
        }
        printf(" -l %s", f->name);
        if (f->short_name) printf(" -s %c", f->short_name);
        if (f->type != FLAG_BOOL) fputs(is_path(f->metavar) ? " -r" : " -x", stdout);
        if (f->type == FLAG_CHOICE) {
            fputs(" -a '", stdout);
            print_choices(f->metavar);
            putchar('\'');
        }
        fputs(" -d '", stdout);
        print_quoted(f->help, "");
        puts("'");
    }
}

static void print_fish(void) {
    for (const app_command *const *c = app_commands; *c; c++) {
        const char *second = strchr((*c)->name, ' ');
        int n = (int)strcspn((*c)->name, " ");
        if (!second) {
            printf("complete -c fledge -n __fish_use_subcommand -x -a %s -d '", (*c)->name);
            print_quoted((*c)->summary, "");
            puts("'");
        } else {
            printf("complete -c fledge -n __fish_use_subcommand -x -a %.*s\n", n, (*c)->name);
            printf("complete -c fledge -n '__fish_seen_subcommand_from %.*s' -a %s -d '", n,
                   (*c)->name, second + 1);
            print_quoted((*c)->summary, "");
            puts("'");
        }
        fish_flags(*c, (*c)->flags);
    }
    fish_flags(NULL, app_common_flags);
}

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

static fl_status run(const app_args *a, fl_err *err) {
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].name, app_arg(a, 0)) != 0) continue;
        shells[i].print();
        return FL_OK;
    }
    return fl_fail(err, FL_ERR_ARG, "completion %.40s: expected bash, zsh or fish", app_arg(a, 0));
}

const app_command cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .summary = "print a completion script for bash, zsh or fish",
    .details =
        "  fledge completion bash > ~/.local/share/bash-completion/completions/fledge\n"
        "  fledge completion zsh  > ~/.zfunc/_fledge\n"
        "  fledge completion fish > ~/.config/fish/completions/fledge.fish\n",
    .run = run,
};
