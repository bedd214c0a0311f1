/* op.c - the table of operations, and the tools its rows share. */
#include "graph/op.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "graph/rule.h"

#define FL_OP(ID, name) extern const fl_op fl_op_##name;
#include "graph/ops.def"
#undef FL_OP

const fl_op *const fl_ops[FL_OP_COUNT] = {
#define FL_OP(ID, name) [FL_OP_##ID] = &fl_op_##name,
#include "graph/ops.def"
#undef FL_OP
};

const char *fl_unary_name(fl_unary f) {
    static const char *const names[FL_UNARY_COUNT] = {
#define X(id, name) name,
        FL_UNARY_LIST(X)
#undef X
    };
    FL_ASSERT((unsigned)f < FL_UNARY_COUNT);
    return names[f];
}

fl_cost fl_call_cost(fl_op_id op, const fl_call *call) {
    return fl_ops[op]->cost ? fl_ops[op]->cost(call) : (fl_cost){.bytes = fli_call_bytes(call)};
}

fl_status fli_reject(const fl_call *c, fl_err *err, const char *op, const char *why) {
    char given[160] = "";
    size_t n = 0;
    for (int i = 0; i < c->n_in && n < sizeof given - 1; i++) {
        char shape[FL_SHAPE_TEXT];
        const fl_tensor *t = &c->in[i];
        if (!t->rank) continue;
        n += (size_t)snprintf(given + n, sizeof given - n, "%s%s %s", n ? ", " : "",
                              fl_tensor_shape_text(t, shape), fl_dtype_name(t->dtype));
    }
    return fl_fail(err, FL_ERR_SHAPE, "%s: %s; given %s", op, why, given);
}

fl_status fli_check_dtypes(const fl_call *c, unsigned ints, unsigned blocks, const char *op,
                           fl_err *err) {
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i].rank) continue;
        const bool want_int = ints >> i & 1u;
        const fl_dtype t = c->in[i].dtype;
        if (want_int ? t == FL_I32 : fli_is_float(t)) continue;
        if (blocks >> i & 1u && fl_dtype_is_block(t)) continue;
        char why[64];
        snprintf(why, sizeof why, "in[%d] must be %s", i,
                 want_int           ? "i32"
                 : blocks >> i & 1u ? "a float or a block format"
                                    : "a float format");
        return fli_reject(c, err, op, why);
    }
    return FL_OK;
}

fl_status fli_check_range(const fl_call *c, int i, int64_t least, int64_t below, const char *op,
                          fl_err *err) {
    const int32_t *p = c->in[i].data;
    for (int64_t k = 0, n = fl_tensor_count(&c->in[i]); k < n; k++) {
        if (p[k] >= least && p[k] < below) continue;
        return fl_fail(err, FL_ERR_ARG, "%s: in[%d] element %lld is %d, outside [%lld, %lld)", op,
                       i, (long long)k, p[k], (long long)least, (long long)below);
    }
    return FL_OK;
}

void fli_out(fl_call *c, int k, fl_dtype dtype, int rank, const int64_t *dim) {
    c->out[k] = fl_tensor_of(NULL, dtype, rank, dim);
}

void fli_out_like(fl_call *c, int k, const fl_tensor *t, fl_dtype dtype) {
    fli_out(c, k, dtype, t->rank, t->dim);
}

bool fli_is_trailing(const fl_tensor *big, const fl_tensor *small) {
    const int lead = big->rank - small->rank;
    if (lead < 0) return false;
    return memcmp(big->dim + lead, small->dim, (size_t)small->rank * sizeof *small->dim) == 0;
}

double fli_call_bytes(const fl_call *c) {
    size_t bytes = 0;
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i].rank) bytes += fl_tensor_bytes(&c->in[i]);
    }
    for (int k = 0; k < c->n_out; k++) {
        if (c->out[k].rank) bytes += fl_tensor_bytes(&c->out[k]);
    }
    return (double)bytes;
}
