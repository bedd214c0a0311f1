/* commands - the table of commands, and finding the one that was typed. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "base/text.h"

#define COMMAND(name) extern const app_command cmd_##name;
#include "app/commands.def"
#undef COMMAND

const app_command *const app_commands[] = {
#define COMMAND(name) &cmd_##name,
#include "app/commands.def"
#undef COMMAND
    NULL,
};

enum { MAX_WORDS = 64 };

/* Whether `name` is, or begins with, the word w. Sets *rest to what follows it. */
static bool first_word(const char *name, const char *w, const char **rest) {
    size_t n = strlen(w);
    if (strncmp(name, w, n) != 0 || (name[n] && name[n] != ' ')) return false;
    *rest = name[n] ? name + n + 1 : name + n;
    return true;
}

/* The words that could stand where `typed` stands: first words, or second words after `group`. */
static void list_words(const char *group, const char **words, char (*store)[32]) {
    int n = 0;
    for (const app_command *const *c = app_commands; *c; c++) {
        const char *word = (*c)->name;
        if (group && !(first_word(word, group, &word) && *word)) continue;
        size_t len = strcspn(word, " ");
        if (len >= sizeof *store || n + 1 == MAX_WORDS) continue;
        memcpy(store[n], word, len);
        store[n][len] = '\0';
        words[n] = store[n];
        n++;
    }
    words[n] = NULL;
}

static fl_status unknown(const char *group, const char *typed, fl_err *err) {
    const char *words[MAX_WORDS];
    char store[MAX_WORDS][32], whole[96], see[40];
    snprintf(see, sizeof see, "%s%.30s", group ? " " : "", group ? group : "");
    if (!typed) return fl_fail(err, FL_ERR_ARG, "%s: which one? see 'fledge help%s'", group, see);
    snprintf(whole, sizeof whole, "%.30s%s%.40s", group ? group : "", group ? " " : "", typed);
    list_words(group, words, store);
    const char *near = fl_nearest(typed, words);
    if (!near)
        return fl_fail(err, FL_ERR_ARG, "unknown command '%s'; see 'fledge help%s'", whole, see);
    return fl_fail(err, FL_ERR_ARG, "unknown command '%s'; did you mean '%s%s%s'?", whole,
                   group ? group : "", group ? " " : "", near);
}

fl_status app_command_find(const app_command **out, int *n_words, int argc, const char *const *argv,
                           fl_err *err) {
    if (argc < 1) return fl_fail(err, FL_ERR_ARG, "no command");
    const char *group = NULL, *second = argc > 1 ? argv[1] : NULL;
    for (const app_command *const *c = app_commands; *c; c++) {
        const char *rest;
        if (!first_word((*c)->name, argv[0], &rest)) continue;
        if (*rest) group = argv[0];
        if (*rest && (!second || strcmp(rest, second) != 0)) continue;
        *out = *c;
        *n_words = *rest ? 2 : 1;
        return FL_OK;
    }
    return group ? unknown(group, second, err) : unknown(NULL, argv[0], err);
}
