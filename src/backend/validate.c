/* validate.c - FLEDGE_VALIDATE=1: every kernel beside the reference, on the numbers of the real
 * run; FLEDGE_VALIDATE=nan: only find the first kernel that makes something that is not a number.
 *
 * The reference runs first, on copies of whatever the kernel will overwrite. The first result
 * farther off than its operation allows ends the run with the node, the shape and the error. */
#include <math.h>
#include <string.h>

#include "backend/plan.h"
#include "base/alloc.h"

enum { N_COPIES = FL_MAX_IN + FL_MAX_OUT + 2 };

typedef struct {
    fl_buffer *bytes[N_COPIES];
    int n;
} copies;

static fl_status copy(copies *c, fl_tensor *t, fl_err *err) {
    FL_TRY(fl_buffer_new(&c->bytes[c->n], fl_tensor_bytes(t), err));
    void *to = fl_buffer_data(c->bytes[c->n++]);
    t->data = memcpy(to, t->data, fl_tensor_bytes(t));
    return FL_OK;
}

static fl_status room(copies *c, void **out, size_t (*bytes)(const fl_call *), const fl_call *call,
                      fl_err *err) {
    if (!bytes) return FL_OK;
    FL_TRY(fl_buffer_new(&c->bytes[c->n], bytes(call), err));
    *out = fl_buffer_data(c->bytes[c->n++]);
    return FL_OK;
}

/* The reference's results for this call, in copies. */
static fl_status run_reference(const fl_op *op, fl_op_id id, fl_call *ref, copies *c, fl_err *err) {
    const fl_kernel *k = fl_backend_find("ref")->kernel[id];
    void *scratch = NULL;
    for (int i = 0; i < ref->n_out; i++) {
        if (!ref->out[i].rank) continue;
        FL_TRY(copy(c, &ref->out[i], err));
        if (op->alias[i]) ref->in[op->alias[i] - 1].data = ref->out[i].data;
    }
    FL_TRY(room(c, &scratch, k->scratch, ref, err));
    FL_TRY(room(c, &ref->workspace, k->workspace, ref, err));
    k->phase[0].run(ref, 0, 1, scratch);
    return FL_OK;
}

static bool is_half(const fl_tensor *t) {
    return t->rank && (t->dtype == FL_BF16 || t->dtype == FL_F16);
}

static bool is_mixed(const fl_call *c) {
    for (int i = 0; i < c->n_in; i++) {
        if (is_half(&c->in[i])) return true;
    }
    return is_half(&c->out[0]);
}

static fl_status compare(const fl_program *p, const fli_step *s, const fl_call *ref, fl_err *err) {
    const fl_op *op = fli_step_op(&p->plan, s);
    const double allowed = is_mixed(ref) ? op->tolerance_bf16_ppm : op->tolerance_ppm;
    for (int k = 0; k < ref->n_out; k++) {
        if (!ref->out[k].rank) continue;
        for (int64_t i = 0, n = fl_tensor_count(&ref->out[k]); i < n; i++) {
            const double want = fl_tensor_get(&ref->out[k], i),
                         got = fl_tensor_get(&s->call.out[k], i);
            const double ppm = 1e6 * fabs(want - got) / (1 + fabs(want));
            if (ppm <= allowed || want == got) continue;
            char shape[FL_SHAPE_TEXT];
            return fl_fail(err, FL_ERR_DEVICE,
                           "node %d: %s of %s differs from the reference: out[%d] %s element %lld "
                           "is %.9g, want %.9g (%.0f ppm, %.0f allowed)",
                           s->node, op->name, s->backend->name, k,
                           fl_tensor_shape_text(&ref->out[k], shape), (long long)i, got, want, ppm,
                           allowed);
        }
    }
    return FL_OK;
}

fl_status fli_run_validated(fl_program *p, fli_step *s, fl_err *err) {
    copies c = {0};
    fl_call ref = s->call;
    const fl_op_id id = fli_step_node(&p->plan, s)->op;
    fl_status status = run_reference(fl_ops[id], id, &ref, &c, err);
    if (status == FL_OK) {
        fli_run_step(p, s);
        status = compare(p, s, &ref, err);
    }
    for (int i = 0; i < c.n; i++) fl_buffer_unref(c.bytes[i]);
    return status;
}

fl_status fli_run_checked(fl_program *p, fli_step *s, fl_err *err) {
    fli_run_step(p, s);
    for (int k = 0; k < s->call.n_out; k++) {
        const fl_tensor *out = &s->call.out[k];
        if (!out->rank) continue;
        for (int64_t i = 0, n = fl_tensor_count(out); i < n; i++) {
            if (isfinite(fl_tensor_get(out, i))) continue;
            char shape[FL_SHAPE_TEXT];
            return fl_fail(err, FL_ERR_DEVICE, "node %d: %s of %s: out[%d] %s element %lld is %g",
                           s->node, fli_step_op(&p->plan, s)->name, s->backend->name, k,
                           fl_tensor_shape_text(out, shape), (long long)i, fl_tensor_get(out, i));
        }
    }
    return FL_OK;
}
