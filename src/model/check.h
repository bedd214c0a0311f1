/* check.h - a model looked over as a whole before it is trusted.
 *
 *     fl_findings f = {0};
 *     if (fl_model_check(&f, NULL, "model.gguf", NULL, &err) != FL_OK) ...  // stopped, no memory
 *     for (int i = 0; i < f.n; i++) puts(f.finding[i].text);
 *     if (f.n_wrong) ...                                              // do not use it
 *     fl_findings_clear(&f);
 *
 * What is looked at: every tensor of the file (its place was checked when the file was opened)
 * holds finite numbers; the facts agree with the tensors, which loading proves; no two tokens are
 * written the same, special ids are ids, scores are numbers; every chat template parses and renders
 * a question. A file that cannot be opened or loaded is a finding, not a failure: the message says
 * what a user has to know. */
#ifndef FL_MODEL_CHECK_H
#define FL_MODEL_CHECK_H

#include "base/progress.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool wrong;  // the model is broken, or cannot be used here; else only worth knowing
    char text[FL_ERR_TEXT];
} fl_finding;

enum { FL_FINDINGS_MAX = 100 };  // kept; the rest is counted

typedef struct {
    fl_finding *finding;
    int n, n_wrong, n_more;
    int64_t n_tensors, n_numbers;  // looked at
} fl_findings;                     // zero is empty
void fl_findings_clear(fl_findings *f);
void fl_findings_add(fl_findings *f, bool wrong, const char *fmt, ...) FL_PRINTF(3, 4);

/* `path` is what fl_model_load takes; findings are added. The model, as it is stored, is handed
 * over in *m where that is asked for (m may be NULL), NULL if it does not load. Reads everything
 * once; looks at fl_interrupted. */
FL_MUST_USE fl_status fl_model_check(fl_findings *f, fl_model **m, const char *path,
                                     fl_progress *progress, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
