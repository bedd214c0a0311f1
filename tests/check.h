/* check.h - the few lines every test program shares.
 *
 *     CHECK(n == 3);                     counts, and says where it failed
 *     CHECKF(a == b, "row %d", i);       with what the loop was at
 *     return check_report();             prints "N checks, N failed"; the exit status */
#ifndef FL_TESTS_CHECK_H
#define FL_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int check_count, check_failed;

#define CHECKF(cond, ...)                                          \
    do {                                                           \
        check_count++;                                             \
        if (!(cond)) {                                             \
            check_failed++;                                        \
            printf("%s:%d: FAIL %s: ", __FILE__, __LINE__, #cond); \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
        }                                                          \
    } while (0)
#define CHECK(cond) CHECKF(cond, "%s", __func__)

static inline int check_report(void) {
    printf("%d checks, %d failed\n", check_count, check_failed);
    return check_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
