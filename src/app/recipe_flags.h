/* recipe_flags.h - the settings of a run as flags of a command. */
#ifndef FL_APP_RECIPE_FLAGS_H
#define FL_APP_RECIPE_FLAGS_H

#include "app/command.h"
#include "train/recipe.h"

/* Rows for a command's table: --recipe and every setting but the text, which is positional, and the
 * seed, which every command has. Values are read by recipe.c, for flags and files alike. */
extern const app_flag app_recipe_flags[];

/* The recipe that the command line asks for: defaults, then what --resume finds in --out, then
 * --recipe, then flags and positionals. */
FL_MUST_USE fl_status app_recipe(fl_recipe **out, const app_args *a, fl_err *err);

#endif
