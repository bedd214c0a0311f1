/* bench_pool - what handing out a job costs: microseconds for a job of two empty tasks, and for one
 * after a pause long enough for the workers to fall asleep. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/progress.h"
#include "base/thread.h"

enum { JOBS = 20000, ROUNDS = 15 };

static void nothing(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)ctx;
    (void)begin;
    (void)end;
    (void)worker;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over the rounds of the microseconds per job. `pause` nanoseconds pass before each. */
static double measure(fl_pool *p, int jobs, long pause) {
    double took[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        took[r] = 0;
        for (int j = 0; j < jobs; j++) {
            if (pause) nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
            double start = fl_now();
            for (int k = pause ? 1 : 100; k; k--) fl_pool_run(p, 2, 1, nothing, NULL);
            took[r] += (fl_now() - start) / (pause ? 1 : 100);
        }
        took[r] *= 1e6 / jobs;
    }
    qsort(took, ROUNDS, sizeof *took, by_value);
    return took[ROUNDS / 2];
}

int main(void) {
    fl_err err;
    fl_pool *p;
    if (fl_pool_new(&p, 0, &err) != FL_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return EXIT_FAILURE;
    }
    printf("what\tthreads\tus per job\n");
    printf("job\t%d\t%.2f\n", fl_pool_size(p), measure(p, JOBS / 100, 0));
    printf("job after 1 ms\t%d\t%.2f\n", fl_pool_size(p), measure(p, 50, 1000000));
    fl_pool_free(p);
    return 0;
}
