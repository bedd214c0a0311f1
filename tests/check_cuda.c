/* check_cuda - the CUDA row is there and harmless without a GPU; with one, its kernels agree with
 * the reference. */
#include <string.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "check.h"

enum { ROWS = 5, COLS = 1000 };

/* The result of both rows on the same call: y (ROWS, COLS) and 1/rms (ROWS). */
static void check_rms_norm(const fl_backend *cuda) {
    const int64_t dims[] = {ROWS, COLS}, cols = COLS, rows = ROWS;
    static float x[ROWS * COLS], w[COLS], y[2][ROWS * COLS], rstd[2][ROWS];
    fl_rng r = {.seed = 3};
    for (int i = 0; i < ROWS * COLS; i++) x[i] = fl_rng_float(&r) - 0.5f;
    for (int i = 0; i < COLS; i++) w[i] = fl_rng_float(&r);
    const fl_backend *const rows_of[] = {fl_backend_find("ref"), cuda};
    for (int b = 0; b < 2; b++) {
        fl_call call = {
            .n_in = 2,
            .n_out = 2,
            .in = {fl_tensor_of(x, FL_F32, 2, dims), fl_tensor_of(w, FL_F32, 1, &cols)},
            .out = {fl_tensor_of(y[b], FL_F32, 2, dims), fl_tensor_of(rstd[b], FL_F32, 1, &rows)},
            .attr = {.dtype = FL_F32, .eps = 1e-6f},
        };
        const fl_kernel *k = rows_of[b]->kernel[FL_OP_RMS_NORM];
        void *scratch = fl_alloc(k->scratch ? k->scratch(&call) : 1);
        k->phase[0].run(&call, 0, 1, scratch);
        fl_dealloc(scratch);
    }
    double worst = 0;
    for (int i = 0; i < ROWS * COLS; i++) {
        double d = (double)y[0][i] - (double)y[1][i];
        worst = d > worst ? d : -d > worst ? -d : worst;
        if (d != d) worst = 1;
    }
    CHECKF(worst < 1e-5, "y differs by %g", worst);
    CHECK(rstd[1][0] > 0 && rstd[1][ROWS - 1] > 0);
}

int main(void) {
    const fl_backend *cuda = fl_backend_find("cuda"), *picked = NULL;
    const char *required = getenv("FLEDGE_REQUIRE");
    fl_err err = {0};

    unsetenv("FLEDGE_BACKEND");
    CHECK(cuda && !cuda->available());
    CHECK(fl_backend_pick(&picked, &err) == FL_OK && picked != cuda);

    setenv("FLEDGE_BACKEND", "cuda", 1);
    if (cuda && cuda->available()) {
        CHECK(fl_backend_pick(&picked, &err) == FL_OK && picked == cuda);
        check_rms_norm(cuda);
    } else {
        CHECK(fl_backend_pick(&picked, &err) == FL_ERR_UNSUPPORTED);
        CHECKF(strstr(err.msg, "needs an NVIDIA GPU"), "%s", err.msg);
        printf("SKIP cuda: not on this machine\n");
        CHECK(!required || !strstr(required, "cuda"));
    }
    return check_report();
}
