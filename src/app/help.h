/* help.h - the table of commands as text: overview, one command, man page. */
#ifndef FL_APP_HELP_H
#define FL_APP_HELP_H

#include <stdio.h>

#include "app/command.h"
#include "base/version.h"

void app_help_overview(FILE *out);
FL_MUST_USE fl_status app_help_command(const app_command *c, fl_err *err);  // on standard output
void app_help_group(const char *group, FILE *out);  // "tokenizer": the commands that start so
void app_help_man(FILE *out);                       // troff

#endif
