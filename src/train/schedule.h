/* schedule.h - the learning rate over a run, as a factor of its peak.
 *
 * Every schedule is a curve over progress in [0, 1], after a linear warm-up. Working with progress
 * instead of a step number is what lets a run that must end at a given time change its number of
 * steps without a jump. */
#ifndef FL_TRAIN_SCHEDULE_H
#define FL_TRAIN_SCHEDULE_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;
    const char *help;
    double (*factor)(double progress, double final,
                     double decay);  // progress counted after the warm-up
} fl_schedule;

extern const fl_schedule fl_schedules[];  // ends with a NULL name
const fl_schedule *fl_schedule_find(const char *name);

typedef struct {
    const fl_schedule *row;
    double warmup;  // share of the run, in [0, 1)
    double final;   // factor at the end
    double decay;   // wsd: share of what follows the warm-up that decays
} fl_schedule_opts;

/* The factor of the step that begins at `progress` and is `step` of the run wide. The first step of
 * a warm-up is not 0: step t of W has (t + 1) / (W + 1), as in nanoGPT. */
double fl_schedule_factor(const fl_schedule_opts *o, double progress, double step);

#ifdef __cplusplus
}
#endif

#endif
