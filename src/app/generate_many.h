/* generate_many.h - `fledge generate` for several texts, some at a time. */
#ifndef FL_APP_GENERATE_MANY_H
#define FL_APP_GENERATE_MANY_H

#include "app/command.h"
#include "infer/generate.h"

/* Prompts, one a line: as they are, or, where the first line is an object, JSON with a member
 * "prompt". Empty lines are none. */
typedef struct {
    fl_text *item;
    int64_t n, room;
} app_prompts;
FL_MUST_USE fl_status app_prompts_read(app_prompts *p, const char *path, fl_err *err);
FL_MUST_USE fl_status app_prompts_add(app_prompts *p, const char *text, size_t n, fl_err *err);
void app_prompts_clear(app_prompts *p);

/* --n texts of each prompt, --parallel at a time; `opts` but for what is each text's own. */
FL_MUST_USE fl_status app_generate_many(const app_args *a, const app_prompts *p,
                                        const fl_generate_opts *opts, fl_model *m, fl_err *err);

#endif
