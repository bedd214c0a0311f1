/* pace.h - which step stands where in the run, and how a run ends on time.
 *
 * Progress runs from 0 to 1 over the planned steps. Changing the plan at a step keeps the progress
 * made and spreads the rest over the steps that are left, so the learning rate never jumps. */
#ifndef FL_TRAIN_PACE_H
#define FL_TRAIN_PACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t steps;         // planned in all
    int64_t from_step;     // where the plan was last changed,
    double from_progress;  // and the progress there
} fl_pace;

double fl_pace_progress(const fl_pace *p, int64_t step);       // when `step` steps are done
double fl_pace_width(const fl_pace *p);                        // of one step
void fl_pace_change(fl_pace *p, int64_t step, int64_t steps);  // steps > step

/* What work costs on this machine, for holding a deadline. */
typedef struct {
    double step, eval, save, sample;  // seconds each; 0: not seen yet
} fl_costs;
void fl_cost_note(double *cost, double seconds);  // running mean that forgets

typedef struct {
    int64_t step;                                  // done so far
    int64_t eval_every, save_every, sample_every;  // 0: never
    double seconds_left;
    fl_costs costs;
} fl_deadline;
int64_t fl_deadline_steps(const fl_deadline *d);  // total steps that fit, at least step + 1

#ifdef __cplusplus
}
#endif

#endif
