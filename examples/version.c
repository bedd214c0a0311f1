/* version - the smallest program that uses the library: its version and the threads it would run
 * on. */
#include <fledge/fledge.h>
#include <stdio.h>

int main(void) {
    fl_err err;
    fl_pool *pool;
    if (fl_pool_new(&pool, 0, &err) != FL_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("fledge %s on %d threads\n", FL_VERSION, fl_pool_size(pool));
    fl_pool_free(pool);
    return 0;
}
