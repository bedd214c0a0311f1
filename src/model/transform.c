/* transform - the stack of weight transforms, and the two functions through which the builder
 * reaches weights. */
#include "model/transform.h"

#include "base/alloc.h"
#include "model/internal.h"

/* One value per parameter and graph: an extern over the same bytes is the same value. */
fl_val fl_model_value(fl_model *m, fl_graph *g, fl_param *p) {
    (void)m;
    for (int32_t i = 0; i < fl_graph_n_values(g); i++) {
        const fl_value_info *info = fl_value_get(g, (fl_val){i});
        if (info->kind == FL_VALUE_EXTERN && info->t.data == p->data.data) return (fl_val){i};
    }
    fl_val v = fl_extern(g, p->name, p->data, p->trainable);
    if (p->trainable && p->grad) fl_graph_bind_grad(g, v, p->grad);
    return v;
}

static fl_val plain(fl_model *m, fl_graph *g, fl_val x, const fli_weight *w, fl_dtype dt) {
    fl_val weight = fl_model_value(m, g, w->w);
    fl_val bias = w->bias ? fl_model_value(m, g, w->bias) : FL_NONE;
    return fl_linear(g, x, weight, bias, dt);
}

/* Innermost first, so that each transform sees the product with everything below it. */
static fl_val through(fl_model *m, const fl_transform_link *link, fl_graph *g, fl_val x,
                      const fli_weight *w, fl_dtype dt) {
    if (!link) return plain(m, g, x, w, dt);
    fl_val inner = through(m, link->inner, g, x, w, dt);
    return link->row->linear ? link->row->linear(link->state, m, g, x, w->w, inner, dt) : inner;
}

fl_val fl_model_linear(fl_model *m, fl_graph *g, fl_val x, fl_param *w, fl_param *bias,
                       fl_dtype dt) {
    return through(m, m->transforms, g, x, &(fli_weight){w, bias}, dt);
}

fl_status fl_model_attach(fl_model *m, const fl_transform *row, const json_t *config, uint64_t seed,
                          fl_err *err) {
    fl_transform_link *link = fl_alloc(sizeof *link);
    if (!link) return fl_fail(err, FL_ERR_NOMEM, "attaching %s", row->name);
    *link = (fl_transform_link){.row = row, .inner = m->transforms};
    fl_status s = row->attach(m, config, seed, &link->state, err);
    if (s != FL_OK) {
        fl_dealloc(link);
        return fl_context(err, s, "attaching %s", row->name);
    }
    m->transforms = link;
    return FL_OK;
}

static void drop_outermost(fl_model *m) {
    fl_transform_link *link = m->transforms;
    m->transforms = link->inner;
    if (link->row->free) link->row->free(link->state);
    fl_dealloc(link);
}

/* Only the innermost transform multiplies the stored weight itself, so that one is folded first. */
fl_status fl_model_merge(fl_model *m, fl_err *err) {
    while (m->transforms) {
        fl_transform_link **at = &m->transforms;
        while ((*at)->inner) at = &(*at)->inner;
        fl_transform_link *link = *at;
        if (!link->row->merge)
            return fl_fail(err, FL_ERR_UNSUPPORTED, "%s cannot be folded into the weights",
                           link->row->name);
        FL_TRY(link->row->merge(link->state, m, err));
        *at = NULL;
        if (link->row->free) link->row->free(link->state);
        fl_dealloc(link);
    }
    return FL_OK;
}

void fli_transforms_free(fl_model *m) {
    while (m->transforms) drop_outermost(m);
}
