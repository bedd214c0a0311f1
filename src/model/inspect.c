/* inspect - counting parameters by part and by format. */
#include "model/inspect.h"

#include "model/internal.h"

const char *fl_model_part_name(fl_model_part p) {
    static const char *const names[] = {
#define X(id, name) name,
        FL_MODEL_PART_LIST(X)
#undef X
    };
    return names[p];
}

/* The bias of a norm or of a router is of its part. */
static fl_model_part part_of(fl_slot slot) {
    const fl_role role = fl_slot_role(slot), before = slot ? fl_slot_role(slot - 1) : role;
    if (role == FL_ROLE_BIAS && (before == FL_ROLE_NORM || before == FL_ROLE_ROUTER))
        return part_of(slot - 1);
    switch (role) {
    case FL_ROLE_EMBEDDING: return FL_MODEL_PART_EMBEDDING;
    case FL_ROLE_HEAD: return FL_MODEL_PART_HEAD;
    case FL_ROLE_NORM: return FL_MODEL_PART_NORM;
    case FL_ROLE_ROUTER:
    case FL_ROLE_EXPERT:
    case FL_ROLE_EXPERT_BIAS:
    case FL_ROLE_CONSTANT: return FL_MODEL_PART_EXPERTS;
    default: break;
    }
    return slot < FL_SLOT_FFN_NORM ? FL_MODEL_PART_ATTENTION : FL_MODEL_PART_FEED_FORWARD;
}

static void add(fl_model_part_size *to, const fl_tensor *t) {
    to->tensors++;
    to->parameters += fl_tensor_count(t);
    to->bytes += fl_tensor_bytes(t);
}

void fl_model_inspect(const fl_model *m, fl_model_report *out) {
    *out = (fl_model_report){0};
    const fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        add(&out->part[part_of(it.row->slot)], &p->data);
        add(&out->format[p->data.dtype], &p->data);
    }
}
