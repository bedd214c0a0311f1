/* schedule - the table of learning rate curves.
 *
 * cosine: Loshchilov and Hutter, "SGDR", 2016. wsd (warm-up, stable, decay): Hu et al., "MiniCPM",
 * 2024. */
#include "train/schedule.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static double constant(double p, double final, double decay) {
    (void)p, (void) final, (void)decay;
    return 1;
}

static double linear(double p, double final, double decay) {
    (void)decay;
    return 1 + (final - 1) * p;
}

static double cosine(double p, double final, double decay) {
    (void)decay;
    return final + (1 - final) * 0.5 * (1 + cos(pi * p));
}

static double wsd(double p, double final, double decay) {
    if (decay <= 0 || p <= 1 - decay) return 1;
    return linear((p - (1 - decay)) / decay, final, 0);
}

const fl_schedule fl_schedules[] = {
    {"cosine", "half a cosine down to the final factor", cosine},
    {"wsd", "level, then a straight line down over the last part", wsd},
    {"linear", "a straight line down to the final factor", linear},
    {"constant", "level after the warm-up", constant},
    {0},
};

const fl_schedule *fl_schedule_find(const char *name) {
    for (const fl_schedule *s = fl_schedules; s->name; s++)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

double fl_schedule_factor(const fl_schedule_opts *o, double progress, double step) {
    if (progress < 0) progress = 0;
    if (progress > 1) progress = 1;
    const double slack =
        1e-9;  // progress is a quotient: the first step after the warm-up may lie a hair before it
    if (progress + slack < o->warmup) return (progress + step) / (o->warmup + step);
    const double after = o->warmup < 1 ? (progress - o->warmup) / (1 - o->warmup) : 1;
    return o->row->factor(after < 0 ? 0 : after, o->final, o->decay);
}
