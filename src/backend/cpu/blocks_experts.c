/* blocks_experts - products with experts whose weights are in block formats, or in f16.
 *
 * A task is COLS rows of one expert's w (expert_linear) or DEPTH columns of it (expert_linear_dx).
 * It finds the slots that were sent to this expert, widens its part of w a piece at a time, and
 * adds each piece's products to all of them; an expert without slots is not read. An element is
 * summed over pieces in their order, so it depends on K alone. */
#include <string.h>

#include "backend/cpu/blocks.h"
#include "tensor/quant.h"

enum { X, W, IDS, BIAS };
enum { COLS = 16, DEPTH = FL_BLOCK_MAX };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static bool supports(const fl_call *c) {
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i].rank && !fl_tensor_contiguous(&c->in[i])) return false;
    return fli_blocks_take(&c->in[W]) && fli_blocks_real(&c->in[X]) &&
           fli_blocks_real(&c->out[0]) && fl_tensor_contiguous(&c->out[0]);
}

/* ---- slots ---- */

static int64_t n_slots(const fl_call *c) {
    return fl_tensor_rows(&c->out[0]);
}

/* Slots of expert e in ascending order; without ids, slot j of a row is expert j's. */
static int64_t find_slots(const fl_call *c, int64_t e, int32_t *out) {
    const int32_t *ids = c->in[IDS].rank ? c->in[IDS].data : NULL;
    int64_t n = 0;
    for (int64_t s = 0; s < n_slots(c); s++)
        if ((ids ? ids[s] : s % c->in[W].dim[0]) == e) out[n++] = (int32_t)s;
    return n;
}

/* The row of x that a slot reads: choices may share one. */
static int64_t row_of(const fl_call *c, int64_t slot) {
    return slot / (n_slots(c) / fl_tensor_rows(&c->in[X]));
}

/* `width` sums for each slot, then the slots. */
static float *sums_in(void *scratch, const fl_call *c, int64_t width, int32_t **slots) {
    float *sums = scratch;
    *slots = (int32_t *)(void *)(sums + n_slots(c) * width);
    return sums;
}

static size_t room(const fl_call *c, int64_t width) {
    return (size_t)n_slots(c) * ((size_t)width * sizeof(float) + sizeof(int32_t));
}

/* ---- y = x w[id]^T + bias[id] ---- */

static int64_t groups(const fl_call *c) {
    return (c->in[W].dim[1] + COLS - 1) / COLS;
}

static int64_t linear_tasks(const fl_call *c) {
    return c->in[W].dim[0] * groups(c);
}

static size_t linear_scratch(const fl_call *c) {
    return room(c, COLS);
}

/* Columns [k0, k0 + depth) of `cols` rows of w from row r0 on, side by side. */
static void widen(const fl_tensor *w, int64_t r0, int64_t cols, int64_t k0, int64_t depth,
                  float out[DEPTH][COLS]) {
    float row[DEPTH];
    memset(out, 0, (size_t)depth * sizeof *out);
    for (int64_t j = 0; j < cols; j++) {
        fli_blocks_get(w, r0 + j, k0, depth, row);
        for (int64_t k = 0; k < depth; k++) out[k][j] = row[k];
    }
}

static void add_products(const float *x, float w[DEPTH][COLS], int64_t depth, float *sum) {
    float part[COLS] = {0};
    for (int64_t k = 0; k < depth; k++)
        for (int j = 0; j < COLS; j++) part[j] += x[k] * w[k][j];
    for (int j = 0; j < COLS; j++) sum[j] += part[j];
}

static void linear_group(const fl_call *c, int64_t e, int64_t n0, void *scratch) {
    const fl_tensor *x = &c->in[X], *w = &c->in[W];
    const int64_t N = w->dim[1], K = w->dim[2], cols = least(COLS, N - n0);
    const bool biased = c->n_in > BIAS && c->in[BIAS].rank;
    int32_t *slot;
    float *sum = sums_in(scratch, c, COLS, &slot), tile[DEPTH][COLS], row[DEPTH], bias[COLS] = {0};
    const int64_t n = find_slots(c, e, slot);
    if (n && biased) fli_blocks_get(&c->in[BIAS], e, n0, cols, bias);
    for (int64_t i = 0; i < n; i++) memcpy(sum + i * COLS, bias, sizeof bias);
    for (int64_t k0 = 0; n && k0 < K; k0 += DEPTH) {
        const int64_t depth = least(DEPTH, K - k0);
        widen(w, e * N + n0, cols, k0, depth, tile);
        for (int64_t i = 0; i < n; i++) {
            fli_blocks_get_x(x, w, row_of(c, slot[i]), k0, depth, row);
            add_products(row, tile, depth, sum + i * COLS);
        }
    }
    for (int64_t i = 0; i < n; i++) fli_blocks_put(&c->out[0], slot[i], n0, cols, sum + i * COLS);
}

static void linear_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    for (int64_t t = begin; t < end; t++)
        linear_group(c, t / groups(c), t % groups(c) * COLS, scratch);
}

const fl_kernel fli_blocks_expert_linear = {.phase = {{linear_tasks, linear_run}},
                                            .supports = supports,
                                            .scratch = linear_scratch};

/* ---- dx = dy w[id] ---- */

static int64_t pieces(const fl_call *c) {
    return (c->in[W].dim[2] + DEPTH - 1) / DEPTH;
}

static int64_t dx_tasks(const fl_call *c) {
    return c->in[W].dim[0] * pieces(c);
}

static size_t dx_scratch(const fl_call *c) {
    return room(c, DEPTH);
}

static void dx_piece(const fl_call *c, int64_t e, int64_t k0, void *scratch) {
    const fl_tensor *dy = &c->in[X], *w = &c->in[W];
    const int64_t N = w->dim[1], depth = least(DEPTH, w->dim[2] - k0);
    int32_t *slot;
    float *dx = sums_in(scratch, c, DEPTH, &slot), row[DEPTH], by;
    const int64_t n = find_slots(c, e, slot);
    memset(dx, 0, (size_t)(n * DEPTH) * sizeof *dx);
    for (int64_t j = 0; n && j < N; j++) {
        fli_blocks_get(w, e * N + j, k0, depth, row);
        for (int64_t i = 0; i < n; i++) {
            fli_blocks_get(dy, row_of(c, slot[i]), j, 1, &by);
            for (int64_t k = 0; k < depth; k++) dx[i * DEPTH + k] += by * row[k];
        }
    }
    for (int64_t i = 0; i < n; i++) fli_blocks_put(&c->out[0], slot[i], k0, depth, dx + i * DEPTH);
}

static void dx_run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    for (int64_t t = begin; t < end; t++)
        dx_piece(c, t / pieces(c), t % pieces(c) * DEPTH, scratch);
}

const fl_kernel fli_blocks_expert_linear_dx = {.phase = {{dx_tasks, dx_run}},
                                               .supports = supports,
                                               .scratch = dx_scratch};
