/* reduce - sums in a fixed order (sum_to, sum_squares) and their opposite (broadcast).
 *
 * Sums of columns: x is R rows of C. Rows are cut into blocks; a task adds one block into its own
 * row of the workspace, and a second phase adds those rows in order. Sums of everything: a task
 * adds FL_TASK elements in double, and one task adds the results in order. */
#include "backend/cpu/isa/flow.h"

enum { COLS = 256, MAX_BLOCKS = 64 };  // columns of a task of the second phase; blocks of rows

/* ---- everything to one number ---- */

static void total_run(const fl_call *c, int64_t begin, int64_t end, float *room, bool square) {
    const fl_tensor *x = &c->in[0];
    double *part = c->workspace;
    for (int64_t task = begin; task < end; task++) {
        vd low = {0}, high = {0};
        FL_EACH_CHUNK(at, n, task, task + 1, fl_tensor_count(x)) {
            const float *p = flow_in(x, at, n, room);
            FL_EACH(i, n) {
                vf v = v_get(p, i, n);
                vd a = v_low_double(v), b = v_high_double(v);
                low += square ? a * a : a;
                high += square ? b * b : b;
            }
        }
        part[task] = v_sum_double(low + high);
    }
}

static int64_t total_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_count(&c->in[0]), FL_TASK);
}

static void total_finish(const fl_call *c) {
    const double *part = c->workspace;
    double sum = 0;
    for (int64_t i = 0, n = total_tasks(c); i < n; i++) sum += part[i];
    if (c->attr.accumulate) sum += fl_tensor_get(&c->out[0], 0);
    fl_tensor_set(&c->out[0], 0, sum);
}

static void sum_squares_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    total_run(c, begin, end, scratch, true);
}

static void sum_squares_finish(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)begin, (void)end, (void)scratch;
    total_finish(c);
}

static size_t sum_squares_workspace(const fl_call *c) {
    return (size_t)total_tasks(c) * sizeof(double);
}

const fl_kernel FL_ISA_NAME(fl_kernel_sum_squares) = {
    .phase = {{total_tasks, sum_squares_run}, {NULL, sum_squares_finish}},
    .supports = flow_floats,
    .scratch = flow_scratch,
    .workspace = sum_squares_workspace,
};

/* ---- rows to one row ---- */

typedef struct {
    int64_t rows, cols, per_block, blocks;
} fold;

static fold fold_of(const fl_call *c) {
    fold f = {.cols = fl_tensor_count(&c->out[0])};
    f.rows = fl_tensor_count(&c->in[0]) / max_i64(f.cols, 1);
    f.per_block = max_i64(ceil_div(f.rows, MAX_BLOCKS), min_i64(flow_rows(f.cols), f.rows));
    f.blocks = f.per_block ? ceil_div(f.rows, f.per_block) : 0;
    return f;
}

static void add_row(float *sum, const fl_tensor *x, int64_t at, int64_t cols, float *room) {
    for (int64_t j = 0, n; j < cols; j += n) {
        n = min_i64(FL_CHUNK, cols - j);
        const float *p = flow_in(x, at + j, n, room);
        FL_EACH(i, n) v_put(sum + j, i, n, v_get(sum + j, i, n) + v_get(p, i, n));
    }
}

static int64_t sum_to_tasks(const fl_call *c) {
    fold f = fold_of(c);
    return f.cols == 1 ? total_tasks(c) : f.blocks;
}

static void sum_to_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    fold f = fold_of(c);
    if (f.cols == 1) {
        total_run(c, begin, end, scratch, false);
        return;
    }
    for (int64_t b = begin; b < end; b++) {
        float *sum = (float *)c->workspace + b * f.cols;
        memset(sum, 0, (size_t)f.cols * sizeof *sum);
        for (int64_t r = b * f.per_block; r < min_i64((b + 1) * f.per_block, f.rows); r++) {
            add_row(sum, &c->in[0], r * f.cols, f.cols, scratch);
        }
    }
}

static int64_t sum_to_finish_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_count(&c->out[0]), COLS);
}

static void sum_to_finish(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    fold f = fold_of(c);
    if (f.cols == 1) {
        total_finish(c);
        return;
    }
    float *room = scratch;
    const float *part = c->workspace;
    for (int64_t at = begin * COLS; at < min_i64(end * COLS, f.cols); at += COLS) {
        int64_t n = min_i64(COLS, f.cols - at);
        float *sum = flow_out(&c->out[0], at, room);
        FL_EACH(i, n) {
            vf s = c->attr.accumulate ? v_get(sum, i, n) : v_set(0.0f);
            for (int64_t b = 0; b < f.blocks; b++) s += v_get(part + b * f.cols + at, i, n);
            v_put(sum, i, n, s);
        }
        flow_done(&c->out[0], at, n, sum);
    }
}

static size_t sum_to_workspace(const fl_call *c) {
    fold f = fold_of(c);
    if (f.cols == 1) return sum_squares_workspace(c);
    return (size_t)(f.blocks * f.cols) * sizeof(float);
}

const fl_kernel FL_ISA_NAME(fl_kernel_sum_to) = {
    .phase = {{sum_to_tasks, sum_to_run}, {sum_to_finish_tasks, sum_to_finish}},
    .supports = flow_floats,
    .scratch = flow_scratch,
    .workspace = sum_to_workspace,
};

/* ---- one row to many ---- */

static void broadcast_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    float *room = scratch;
    const fl_tensor *y = &c->out[0];
    FL_EACH_CHUNK(at, n, begin, end, fl_tensor_count(y)) {
        const float *x = flow_repeated(&c->in[0], at, n, room);
        float *out = flow_out(y, at, room + FL_CHUNK);
        FL_EACH(i, n) v_put(out, i, n, v_get(x, i, n));
        flow_done(y, at, n, out);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_broadcast) = {
    .phase = {{flow_tasks, broadcast_run}},
    .supports = flow_floats,
    .scratch = flow_scratch,
};
