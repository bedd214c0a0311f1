/* inspect - counting parameters by part and by format, and looking for what is not a number. */
#include "model/inspect.h"

#include <math.h>

#include "model/internal.h"

const char *fl_model_part_name(fl_model_part p) {
    static const char *const names[] = {
#define X(id, name) name,
        FL_MODEL_PART_LIST(X)
#undef X
    };
    return names[p];
}

static fl_model_part part_of(fl_slot slot) {
    switch (fl_slot_role(slot)) {
    case FL_ROLE_EMBEDDING: return FL_MODEL_PART_EMBEDDING;
    case FL_ROLE_HEAD: return FL_MODEL_PART_HEAD;
    case FL_ROLE_NORM: return FL_MODEL_PART_NORM;
    case FL_ROLE_ROUTER:
    case FL_ROLE_EXPERT:
    case FL_ROLE_CONSTANT: return FL_MODEL_PART_EXPERTS;
    default: break;
    }
    bool of_norm = fl_slot_role(slot - 1) == FL_ROLE_NORM && fl_slot_role(slot) == FL_ROLE_BIAS;
    return of_norm                   ? FL_MODEL_PART_NORM
           : slot < FL_SLOT_FFN_NORM ? FL_MODEL_PART_ATTENTION
                                     : FL_MODEL_PART_FEED_FORWARD;
}

static void add(fl_model_part_size *to, const fl_tensor *t) {
    to->tensors++;
    to->parameters += fl_tensor_count(t);
    to->bytes += fl_tensor_bytes(t);
}

enum { CHUNK = 4096 };

static void scan(const fl_param *p, fl_model_report *r) {
    int64_t n = fl_tensor_count(&p->data), bad = 0, zeros = 0;
    for (int64_t at = 0; at < n; at += CHUNK) {
        float v[CHUNK];
        int64_t k = n - at < CHUNK ? n - at : CHUNK;
        const char *from = (const char *)p->data.data + fl_dtype_row_bytes(p->data.dtype, at);
        fl_convert(v, FL_F32, from, p->data.dtype, k);
        for (int64_t i = 0; i < k; i++) {
            r->n_nan += isnan(v[i]) != 0;
            r->n_inf += isinf(v[i]) != 0;
            bad += !isfinite(v[i]);
            zeros += v[i] == 0;
        }
    }
    if (bad && !r->first_bad) r->first_bad = p;
    r->zero_matrices += p->data.rank == 2 && zeros == n;
}

void fl_model_inspect(const fl_model *m, fl_model_report *out) {
    *out = (fl_model_report){0};
    const fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        add(&out->part[part_of(it.row->slot)], &p->data);
        add(&out->format[p->data.dtype], &p->data);
        scan(p, out);
    }
}
