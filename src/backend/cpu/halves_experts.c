/* halves_experts - expert_linear on weights of 16 bits where they lie (halves.h).
 *
 *     phase 0   the order of slots (slots.h)
 *     phase 1   blocks of slots x parts of w: a block's rows of x are gathered, in the engine's
 *               format, and each part's result goes where the slots are
 *
 * An element has the bytes that linear gives it. */
#if defined(__x86_64__)

#include <string.h>

#include "backend/cpu/halves.h"
#include "backend/cpu/slots.h"
#include "backend/cpu/whole.h"

enum { X, W, IDS, BIAS };
enum { ROWS = 128, COLS = FLI_HALVES_COLS };  // of a block, of a part

static int64_t n_slots(const fl_call *c) {
    return fl_tensor_rows(&c->out[0]);
}
static int64_t most_blocks(const fl_call *c) {
    return fli_slots_most_blocks(n_slots(c), c->in[W].dim[0], ROWS);
}
static fli_slots slots_of(const fl_call *c) {
    return fli_slots_at(c->workspace, n_slots(c), c->in[W].dim[0]);
}

static size_t workspace(const fl_call *c) {
    return fli_slots_bytes(n_slots(c), c->in[W].dim[0], most_blocks(c));
}

static void order(const fl_call *c, int64_t begin, int64_t end, void *unused) {
    const fli_slots s = slots_of(c);
    (void)begin, (void)end, (void)unused;
    fli_slots_sort(&s, &c->in[IDS], n_slots(c), c->in[W].dim[0]);
    fli_slots_cut(&s, c->in[W].dim[0], ROWS);
}

/* ---- a part ---- */

static int64_t parts(const fl_call *c) {
    return (c->in[W].dim[1] + COLS - 1) / COLS;
}

static int64_t tasks(const fl_call *c) {
    return most_blocks(c) * parts(c);
}

/* A line more than K, so that rows do not meet in the same sets of the cache. */
static int64_t row_length(const fl_call *c) {
    const fli_engine *e = fli_halves_engine(c->in[W].dtype);
    return c->in[W].dim[2] + FLI_LINE / (int64_t)fl_dtype_bytes(e->dtype);
}

/* In scratch: gathered rows, the part's result, what the engine asks for. */
static size_t gathered_bytes(const fl_call *c) {
    const fli_engine *e = fli_halves_engine(c->in[W].dtype);
    return on_line((size_t)(ROWS * row_length(c)) * fl_dtype_bytes(e->dtype));
}
static size_t result_bytes(const fl_call *c) {
    return ROWS * COLS * fl_dtype_bytes(c->out[0].dtype);
}

static fli_gemm part_of(const fl_call *c, int64_t expert, int64_t rows, int64_t part, char *room) {
    const fl_tensor *w = &c->in[W];
    const fli_engine *e = fli_halves_engine(w->dtype);
    const int64_t N = w->dim[1], K = w->dim[2], n0 = part * COLS;
    fli_gemm g = {.m = rows,
                  .n = imin(COLS, N - n0),
                  .k = K,
                  .a = {.data = room, .dtype = e->dtype, .rs = row_length(c), .cs = 1},
                  .b = {.dtype = w->dtype, .rs = 1, .cs = K},
                  .alpha = 1,
                  .c = past(room, gathered_bytes(c)),
                  .c_dtype = c->out[0].dtype,
                  .ldc = COLS,
                  .nc = COLS};
    g.b.data = past(w->data, (size_t)((expert * N + n0) * K) * sizeof(uint16_t));
    g.mc = imin(e->mc, (rows + e->mr - 1) / e->mr * e->mr);
    return g;
}

static size_t scratch_bytes(const fl_call *c) {
    const fli_gemm g = part_of(c, 0, ROWS, 0, NULL);
    return gathered_bytes(c) + result_bytes(c) + fli_halves_scratch(&g);
}

static void gather(const fl_call *c, const int32_t *slot, int64_t count, char *out) {
    const fl_tensor *x = &c->in[X];
    const fl_dtype to = fli_halves_engine(c->in[W].dtype)->dtype;
    const int64_t share = n_slots(c) / fl_tensor_rows(x);
    const size_t bytes = (size_t)row_length(c) * fl_dtype_bytes(to);
    for (int64_t i = 0; i < count; i++)
        fl_convert(out + (size_t)i * bytes, to, fl_tensor_row(x, slot[i] / share), x->dtype,
                   fl_tensor_cols(x));
}

static void run_part(const fl_call *c, const fli_slot_block *b, const int32_t *slot, int64_t part,
                     const void *next, char *scratch) {
    const fl_tensor *y = &c->out[0], *bias = &c->in[BIAS];
    fli_gemm g = part_of(c, b->expert, b->count, part, scratch);
    const int64_t n0 = part * COLS;
    const size_t bytes = fl_dtype_row_bytes(y->dtype, g.n);
    float room[COLS];
    const fl_tensor own_bias = fl_tensor_of(room, FL_F32, 1, &g.n);
    if (c->n_in > BIAS && bias->rank) {
        const char *from = fl_tensor_row(bias, b->expert);
        fl_convert(room, FL_F32, from + fl_dtype_row_bytes(bias->dtype, n0), bias->dtype, g.n);
        g.bias = &own_bias;
    }
    fli_halves_part(&g, next, (char *)g.c + result_bytes(c));
    for (int64_t i = 0; i < b->count; i++)
        memcpy((char *)fl_tensor_row(y, slot[i]) + fl_dtype_row_bytes(y->dtype, n0),
               (char *)g.c + fl_dtype_row_bytes(y->dtype, i * COLS), bytes);
}

/* Where the rows of w begin that task t multiplies by. */
static const void *weight_of(const fl_call *c, const fli_slots *s, int64_t t) {
    return part_of(c, s->blocks[t / parts(c)].expert, 1, t % parts(c), NULL).b.data;
}

static void run(const fl_call *c, int64_t begin, int64_t end, void *scratch) {
    const fli_slots s = slots_of(c);
    const int64_t across = parts(c), last = imin(end, *s.n_blocks * across);
    for (int64_t t = begin; t < last; t++) {
        const fli_slot_block *b = &s.blocks[t / across];
        const int32_t *slot = s.slot + b->first;
        if (t == begin || t % across == 0) gather(c, slot, b->count, scratch);
        if (t == begin) {
            const fli_gemm first = part_of(c, b->expert, b->count, t % across, scratch);
            fli_halves_begin(&first);
        }
        run_part(c, b, slot, t % across, t + 1 < last ? weight_of(c, &s, t + 1) : NULL, scratch);
    }
}

/* ---- the kernel ---- */

static bool supports(const fl_call *c) {
    const fl_tensor *bias = &c->in[BIAS];
    const bool has_bias = c->n_in > BIAS && bias->rank;
    return fli_halves_take(c) &&
           (!has_bias || (!fl_dtype_is_block(bias->dtype) && fl_tensor_contiguous(bias)));
}

const fl_kernel fli_halves_expert_linear = {.phase = {{NULL, order}, {tasks, run}},
                                            .supports = supports,
                                            .scratch = scratch_bytes,
                                            .workspace = workspace};

#endif
