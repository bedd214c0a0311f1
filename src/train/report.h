/* report.h - report.html of a run: curves, samples, settings, costs, in one file that opens without
 * a network.
 *
 * Made from the run's folder alone (metrics.jsonl, samples.jsonl, recipe.yaml, run.json). */
#ifndef FL_TRAIN_REPORT_H
#define FL_TRAIN_REPORT_H

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

FL_MUST_USE fl_status fl_report_write(const char *dir, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
