/* model_flags.h - the flags of commands that run a model, and the session they ask for. */
#ifndef FL_APP_MODEL_FLAGS_H
#define FL_APP_MODEL_FLAGS_H

#include "app/command.h"
#include "infer/session.h"

#define APP_COMPUTE_FLAG                                           \
    {                                                              \
        "compute", 0, FLAG_CHOICE, "auto|f32|bf16", "auto",        \
            .help = "number format; auto is bf16 where it is fast" \
    }

#define APP_LOCK_FLAG \
    { "mlock", 0, FLAG_BOOL, .help = "keep weights in memory, never swapped or dropped" }

#define APP_MODEL_FLAGS                                                                \
    {"context",                                                                        \
     0,                                                                                \
     FLAG_INT,                                                                         \
     "N",                                                                              \
     .help = "tokens the model may look back [what it was made for]",                  \
     .least = 1,                                                                       \
     .most = 1e9},                                                                     \
        {"cache-type", 0,                                                              \
         FLAG_CHOICE,  "auto|f32|bf16|f16|q8_0|q4_0",                                  \
         "auto",       .help = "format of kept keys and values; auto is --compute's"}, \
        APP_COMPUTE_FLAG, APP_LOCK_FLAG

fl_compute app_compute(const app_args *a);  // what --compute says

/* Load the model, its weights as they are stored, and open a session. Freed by the caller; NULL on
 * failure. */
FL_MUST_USE fl_status app_session_open(const app_args *a, const char *path, fl_model **m,
                                       fl_session **s, fl_err *err);

/* The same for a model that is loaded: a session, or a group of texts. */
FL_MUST_USE fl_status app_session_new(const app_args *a, fl_model *m, fl_session **s, fl_err *err);
FL_MUST_USE fl_status app_group_open(const app_args *a, fl_model *m, fl_group **g, fl_err *err);

#endif
