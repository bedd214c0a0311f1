/* check_schedule - learning rate curves, progress when the plan changes, deadlines, and the guard
 * against spikes. */
#include <math.h>

#include "check.h"
#include "train/guard.h"
#include "train/pace.h"
#include "train/schedule.h"

static double at(const char *name, double warmup, double progress) {
    const fl_schedule_opts o = {.row = fl_schedule_find(name),
                                .warmup = warmup,
                                .final = 0.1,
                                .decay = 0.5};
    return fl_schedule_factor(&o, progress, 0.01);
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-12;
}

static void check_curves(void) {
    CHECK(near(at("cosine", 0, 0), 1) && near(at("cosine", 0, 0.5), 0.55) &&
          near(at("cosine", 0, 1), 0.1));
    CHECK(near(at("linear", 0, 0.5), 0.55) && near(at("linear", 0, 1), 0.1));
    CHECK(near(at("wsd", 0, 0.5), 1) && near(at("wsd", 0, 0.75), 0.55) &&
          near(at("wsd", 0, 1), 0.1));
    CHECK(near(at("constant", 0, 1), 1));
    for (const fl_schedule *s = fl_schedules; s->name; s++) {
        CHECKF(near(at(s->name, 0.2, 0), 0.01 / 0.21), "%s begins its warm-up", s->name);
        CHECKF(near(at(s->name, 0.2, 0.19), 0.2 / 0.21), "%s ends its warm-up", s->name);
        CHECKF(near(at(s->name, 0.2, 0.2), 1), "%s reaches its peak", s->name);
        CHECKF(near(at(s->name, 0.2, 1), at(s->name, 0, 1)), "%s ends alike", s->name);
    }
    CHECK(!fl_schedule_find("cosin"));
}

static void check_pace(void) {
    fl_pace p = {.steps = 100};
    CHECK(near(fl_pace_progress(&p, 40), 0.4) && near(fl_pace_width(&p), 0.01));
    fl_pace_change(&p, 40, 70);
    CHECK(near(fl_pace_progress(&p, 40), 0.4) && near(fl_pace_progress(&p, 55), 0.7));
    CHECK(fl_pace_progress(&p, 70) == 1);
    const fl_deadline d = {.step = 10,
                           .eval_every = 10,
                           .seconds_left = 101,
                           .costs = {.step = 0.5, .eval = 5}};
    CHECKF(fl_deadline_steps(&d) == 106, "%d steps", (int)fl_deadline_steps(&d));
    const fl_deadline late = {.step = 10, .seconds_left = -1, .costs = {.step = 1}};
    CHECK(fl_deadline_steps(&late) == 11);
}

static void check_guard(void) {
    fl_guard g = {.sigma = 6, .most = 3};
    for (int i = 0; i < 100; i++)
        CHECK(fl_guard_judge(&g, 3 + 0.1 * (i % 5), 1 + 0.05 * (i % 3)) == FL_GUARD_TAKE);
    json_t *state = fl_guard_state(&g);
    fl_guard again = {.sigma = 6, .most = 3};
    CHECK(state && fl_guard_restore(&again, state, "x", NULL) == FL_OK);
    json_decref(state);
    fl_guard *const both[] = {&g, &again};
    for (int i = 0; i < 2; i++) {
        CHECK(fl_guard_judge(both[i], 4, 1) == FL_GUARD_TAKE);
        CHECK(fl_guard_judge(both[i], 9, 1) == FL_GUARD_SKIP);
        CHECK(fl_guard_judge(both[i], 3, 9) == FL_GUARD_SKIP);
        CHECK(fl_guard_judge(both[i], NAN, 1) == FL_GUARD_GIVE_UP);
        CHECK(fl_guard_judge(both[i], 3, 1) == FL_GUARD_TAKE && both[i]->n_skipped == 3 &&
              both[i]->n_in_a_row == 0);
    }
    fl_guard young = {.sigma = 6, .most = 2};
    CHECK(fl_guard_judge(&young, 5, 1) == FL_GUARD_TAKE &&
          fl_guard_judge(&young, 500, 1) == FL_GUARD_TAKE);
    CHECK(fl_guard_judge(&young, INFINITY, 1) == FL_GUARD_SKIP);
}

int main(void) {
    check_curves();
    check_pace();
    check_guard();
    return check_report();
}
