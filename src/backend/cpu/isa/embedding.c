/* embedding - rows of a table by index, the gradient's scatter, and the key-value cache's append.
 *
 * The gradient is cut by channels, not by tokens: a task owns SLICE columns of every row and walks
 * the tokens in order, so no two tasks write the same place and a token seen twice is added in the
 * same order every time. */
#include "backend/cpu/isa/cache.h"

enum { SLICE = 64, ZERO_ROWS = 64 };

static int64_t embedding_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_rows(&c->out[0]), flow_rows(fl_tensor_cols(&c->out[0])));
}

/* One row, in whatever formats the two tensors have. */
static void copy_row(const fl_tensor *to, int64_t to_at, const fl_tensor *from, int64_t from_at,
                     int64_t n, float *room) {
    size_t size = to->dtype == FL_F32 ? sizeof(float) : sizeof(uint16_t);
    if (to->dtype == from->dtype) {
        memcpy((char *)to->data + (size_t)to_at * size,
               (const char *)from->data + (size_t)from_at * size, (size_t)n * size);
        return;
    }
    for (int64_t j = 0, len; j < n; j += len) {
        len = min_i64(FL_CHUNK, n - j);
        const float *in = flow_in(from, from_at + j, len, room);
        if (to->dtype == FL_F32)
            memcpy((float *)to->data + to_at + j, in, (size_t)len * sizeof *in);
        else narrow((uint16_t *)to->data + to_at + j, in, len);
    }
}

static void embedding_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *y = &c->out[0];
    const int32_t *ids = c->in[0].data;
    int64_t C = fl_tensor_cols(y), rows = fl_tensor_rows(y), per = flow_rows(C);
    for (int64_t r = begin * per; r < min_i64(end * per, rows); r++) {
        copy_row(y, r * C, &c->in[1], ids[r] * C, C, scratch);
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_embedding) = {.phase = {{embedding_tasks, embedding_run}},
                                                    .supports = flow_floats_and_indices,
                                                    .scratch = flow_scratch};

static int64_t zero_tasks(const fl_call *c) {
    return c->attr.accumulate ? 0 : ceil_div(c->out[0].dim[0], ZERO_ROWS);
}

static void zero_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    int64_t V = c->out[0].dim[0], C = c->out[0].dim[1], first = begin * ZERO_ROWS;
    int64_t rows = min_i64(end * ZERO_ROWS, V) - first;
    if (rows > 0)
        memset((float *)c->out[0].data + first * C, 0, (size_t)(rows * C) * sizeof(float));
}

static int64_t scatter_tasks(const fl_call *c) {
    return ceil_div(c->out[0].dim[1], SLICE);
}

static void scatter_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *dy = &c->in[1];
    const int32_t *ids = c->in[0].data;
    int64_t C = c->out[0].dim[1], tokens = fl_tensor_count(&c->in[0]);
    for (int64_t task = begin; task < end; task++) {
        int64_t from = task * SLICE, n = min_i64(SLICE, C - from);
        for (int64_t t = 0; t < tokens; t++) {
            const float *d = flow_in(dy, t * C + from, n, scratch);
            float *sum = (float *)c->out[0].data + ids[t] * C + from;
            FL_EACH(i, n) v_put(sum, i, n, v_get(sum, i, n) + v_get(d, i, n));
        }
    }
}

const fl_kernel FL_ISA_NAME(fl_kernel_embedding_grad) = {
    .phase = {{zero_tasks, zero_run}, {scatter_tasks, scatter_run}},
    .supports = flow_floats_and_indices,
    .scratch = flow_scratch,
};

/* copy_row to a cache, which may be f16 or in blocks. */
static void keep_row(const fl_tensor *to, int64_t to_at, const fl_tensor *from, int64_t from_at,
                     int64_t n, float *room) {
    if (flow_takes(to, false)) {
        copy_row(to, to_at, from, from_at, n, room);
        return;
    }
    for (int64_t j = 0, len; j < n; j += len) {
        len = min_i64(FL_CHUNK, n - j);
        const float *in = flow_in(from, from_at + j, len, room);
        char *out = (char *)to->data + fl_dtype_row_bytes(to->dtype, to_at + j);
        if (to->dtype == FL_F16) fl_convert(out, FL_F16, in, FL_F32, len);
        else fl_quantize_quick(out, to->dtype, in, len);
    }
}

/* A task is one (b, t): K * D elements. */
static int64_t append_tasks(const fl_call *c) {
    return c->in[1].dim[0] * c->in[1].dim[1];
}

static void append_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fl_tensor *cache = &c->out[0], *x = &c->in[1];
    const fl_tensor *table = c->n_in > 3 && c->in[3].rank ? &c->in[3] : NULL;
    const int32_t *start = c->in[2].data;
    int64_t T = x->dim[1], n = x->dim[2] * x->dim[3];
    for (int64_t row = begin; row < end; row++) {
        int64_t b = row / T, s = start[b] + row % T;
        keep_row(cache, cache_row(cache, table, b, s) * n, x, row * n, n, scratch);
    }
}

static bool append_supports(const fl_call *c) {
    return c->out[0].data == c->in[0].data && cache_takes(&c->in[0]) &&
           flow_takes(&c->in[1], false);
}

const fl_kernel FL_ISA_NAME(fl_kernel_cache_append) = {.phase = {{append_tasks, append_run}},
                                                       .supports = append_supports,
                                                       .scratch = flow_scratch};
