/* pace - progress as a straight line between changes of plan. */
#include "train/pace.h"

#include <math.h>

#include "base/assert.h"

double fl_pace_width(const fl_pace *p) {
    return (1 - p->from_progress) / (double)(p->steps - p->from_step);
}

double fl_pace_progress(const fl_pace *p, int64_t step) {
    if (step >= p->steps) return 1;
    return p->from_progress + (double)(step - p->from_step) * fl_pace_width(p);
}

void fl_pace_change(fl_pace *p, int64_t step, int64_t steps) {
    FL_ASSERT(steps > step);
    const double made = fl_pace_progress(p, step);
    *p = (fl_pace){.steps = steps, .from_step = step, .from_progress = made};
}

void fl_cost_note(double *cost, double seconds) {
    *cost = *cost > 0 ? 0.7 * *cost + 0.3 * seconds : seconds;
}

/* Seconds per step of something that happens every `every` steps. */
static double spread(double cost, int64_t every) {
    return every > 0 ? cost / (double)every : 0;
}

int64_t fl_deadline_steps(const fl_deadline *d) {
    const fl_costs *c = &d->costs;
    const double each = c->step + spread(c->eval, d->eval_every) + spread(c->save, d->save_every) +
                        spread(c->sample, d->sample_every);
    const double at_end = c->eval + c->save + c->sample;  // the last step has all three
    const double n = each > 0 ? floor((d->seconds_left - at_end) / each) : 0;
    return d->step + (n > 1 ? (int64_t)n : 1);
}
