/* flow.h - how tensors pass through a kernel that computes in f32 vectors.
 *
 * A kernel takes a piece of a tensor at a time, FL_CHUNK elements or one row. f32 pieces are used
 * where they lie; bf16 ones are widened into a buffer that stays in the first-level cache and
 * narrowed on the way out. So every kernel is written once, in f32, and still moves only the bytes
 * of its operands. */
#ifndef FL_BACKEND_CPU_ISA_FLOW_H
#define FL_BACKEND_CPU_ISA_FLOW_H

#include "backend/cpu/isa/isa.h"
#include "base/simd.h"

enum {
    FL_CHUNK = 1024,         // elements of a piece: five of them stay in L1
    FL_TASK = 16 * FL_CHUNK  // elements of a task: large enough to hide the cost of handing it out
};

FL_INLINE int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
FL_INLINE int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}
FL_INLINE int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Vector i of p[0..n): whole, or what is left of it. */
FL_INLINE vf v_get(const float *p, int64_t i, int64_t n) {
    return n - i >= FL_LANES ? v_load(p + i) : v_load_n(p + i, n - i);
}
FL_INLINE void v_put(float *p, int64_t i, int64_t n, vf v) {
    if (n - i >= FL_LANES) v_store(p + i, v);
    else v_store_n(p + i, v, n - i);
}
#define FL_EACH(i, n) for (int64_t i = 0; i < (n); i += FL_LANES)

FL_INLINE void widen(float *dst, const uint16_t *src, int64_t n) {
    int64_t i = 0;
    for (; i + FL_LANES <= n; i += FL_LANES) v_store(dst + i, v_load_bf16(src + i));
    for (; i < n; i++) dst[i] = s_from_bf16(src[i]);
}

FL_INLINE void narrow(uint16_t *dst, const float *src, int64_t n) {
    int64_t i = 0;
    for (; i + FL_LANES <= n; i += FL_LANES) v_store_bf16(dst + i, v_load(src + i));
    if (i == n) return;
    uint16_t lane[FL_LANES];
    v_store_bf16(lane, v_load_n(src + i, n - i));
    memcpy(dst + i, lane, (size_t)(n - i) * sizeof *dst);
}

/* Elements [at, at + n) of t as f32: in place, or widened into `room`. */
FL_INLINE const float *flow_in(const fl_tensor *t, int64_t at, int64_t n, float *room) {
    if (t->dtype == FL_F32) return (const float *)t->data + at;
    widen(room, (const uint16_t *)t->data + at, n);
    return room;
}

/* Elements [at, at + n) of t repeated for ever: t is the trailing dims, or the one element, of a
 * larger shape. */
static inline const float *flow_repeated(const fl_tensor *t, int64_t at, int64_t n, float *room) {
    int64_t period = fl_tensor_count(t);
    float one_room[1];
    if (period == 1) {
        float one = *flow_in(t, 0, 1, one_room);
        FL_EACH(i, n) v_store(room + i, v_set(one));
        return room;
    }
    int64_t from = at % period;
    if (from + n <= period) return flow_in(t, from, n, room);
    for (int64_t done = 0, len; done < n; done += len, from = 0) {
        len = min_i64(period - from, n - done);
        const float *piece = flow_in(t, from, len, room + done);
        if (piece != room + done) memcpy(room + done, piece, (size_t)len * sizeof *room);
    }
    return room;
}

/* Where to write elements [at, ..) of t, and what to call when they are written. */
FL_INLINE float *flow_out(const fl_tensor *t, int64_t at, float *room) {
    return t->dtype == FL_F32 ? (float *)t->data + at : room;
}
FL_INLINE void flow_done(const fl_tensor *t, int64_t at, int64_t n, const float *room) {
    if (t->dtype != FL_F32) narrow((uint16_t *)t->data + at, room, n);
}

FL_INLINE bool flow_takes(const fl_tensor *t, bool or_index) {
    if (t->rank == 0) return true;
    bool known = t->dtype == FL_F32 || t->dtype == FL_BF16 || (or_index && t->dtype == FL_I32);
    return known && fl_tensor_contiguous(t);
}

/* The `supports` of nearly every kernel here: contiguous f32 and bf16. */
static inline bool flow_floats(const fl_call *c) {
    bool ok = true;
    for (int i = 0; i < c->n_in; i++) ok = ok && flow_takes(&c->in[i], false);
    for (int i = 0; i < c->n_out; i++) ok = ok && flow_takes(&c->out[i], false);
    return ok;
}

/* The same for operations that also read i32 indices, whose type their shape rule checks. */
static inline bool flow_floats_and_indices(const fl_call *c) {
    bool ok = true;
    for (int i = 0; i < c->n_in; i++) ok = ok && flow_takes(&c->in[i], true);
    for (int i = 0; i < c->n_out; i++) ok = ok && flow_takes(&c->out[i], false);
    return ok;
}

/* The `tasks` of kernels that map elements: FL_TASK of the first output each. */
static inline int64_t flow_tasks(const fl_call *c) {
    return ceil_div(fl_tensor_count(&c->out[0]), FL_TASK);
}

/* For each piece [at, at + n) of tasks [begin, end) over `total` elements. */
#define FL_EACH_CHUNK(at, n, begin, end, total)                                    \
    for (int64_t at = (begin)*FL_TASK, stop_ = min_i64((end)*FL_TASK, (total)), n; \
         at < stop_ && ((n = min_i64(FL_CHUNK, stop_ - at)), true); at += n)

/* Rows of one task when a kernel maps rows of C elements. */
FL_INLINE int64_t flow_rows(int64_t cols) {
    return max_i64(1, FL_TASK / max_i64(cols, 1));
}

/* Five pieces: the `scratch` of kernels that map elements. */
static inline size_t flow_scratch(const fl_call *c) {
    (void)c;
    return 5 * FL_CHUNK * sizeof(float);
}

#endif
