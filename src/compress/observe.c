/* observe - running windows of a text through the graph and summing, in double, the squares of what
 * its products read. */
#include "compress/observe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/program.h"
#include "base/alloc.h"
#include "model/arch.h"
#include "token/tokenizer.h"

/* One product: x (.., K), or for experts x (.., k, K) or (.., K) and the ids (.., k). */
typedef struct {
    char tensor[128];  // as GGUF calls the weight
    fl_val x, ids;     // ids: FL_NONE without experts
    int64_t experts, cols;
    double *sum, *count;  // (experts, cols), (experts)
} product;

typedef struct {
    fl_model *m;
    int64_t context;
    fl_graph *g;
    fl_program *p;
    fl_val tokens, position;
    product *product;
    int n;
} observer;

/* ---- what is multiplied ---- */

/* The weight of this name in the model: what GGUF calls it; false: it is none of the layers'. */
static bool gguf_name(const fl_model *m, const char *name, char out[128]) {
    const fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        if (it.layer < 0 || strcmp(p->name, name) != 0) continue;
        fl_weight_gguf_name(out, &it);
        return true;
    }
    return false;
}

static bool is_known(const observer *o, const char *tensor) {
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->product[i].tensor, tensor) == 0) return true;
    return false;
}

/* The parts of a fused tensor read the same: one of them is enough. */
static fl_status add_product(observer *o, const fl_node *node, fl_err *err) {
    const fl_value_info *w = fl_value_get(o->g, node->in[1]);
    product *p = &o->product[o->n];
    *p = (product){.x = node->in[0], .ids = FL_NONE, .experts = 1, .cols = fl_tensor_cols(&w->t)};
    if (w->kind != FL_VALUE_EXTERN || !gguf_name(o->m, w->name, p->tensor)) return FL_OK;
    if (is_known(o, p->tensor)) return FL_OK;
    if (node->op == FL_OP_EXPERT_LINEAR) {
        p->experts = w->t.dim[0];
        p->ids = node->in[2];
        fl_graph_output(o->g, p->ids);
    }
    fl_graph_output(o->g, p->x);
    o->n++;
    const size_t sums = (size_t)(p->experts * p->cols), counts = (size_t)p->experts;
    p->sum = fl_alloc((sums + counts) * sizeof *p->sum);
    if (!p->sum) return fl_fail(err, FL_ERR_NOMEM, "sums of %s", p->tensor);
    memset(p->sum, 0, (sums + counts) * sizeof *p->sum);
    p->count = p->sum + sums;
    return FL_OK;
}

static fl_status find_products(observer *o, fl_err *err) {
    const int n = fl_graph_n_nodes(o->g);
    o->product = fl_alloc(((size_t)n + 1) * sizeof *o->product);
    if (!o->product) return fl_fail(err, FL_ERR_NOMEM, "the list of products");
    for (int i = 0; i < n; i++) {
        const fl_node *node = fl_graph_node(o->g, i);
        if (node->op == FL_OP_LINEAR || node->op == FL_OP_EXPERT_LINEAR)
            FL_TRY(add_product(o, node, err));
    }
    return FL_OK;
}

static fl_status build(observer *o, fl_err *err) {
    const int64_t dim[2] = {1, o->context};
    if (!(o->g = fl_graph_new())) return fl_fail(err, FL_ERR_NOMEM, "a graph");
    o->tokens = fl_input(o->g, "tokens", FL_I32, 2, dim);
    o->position = fl_input(o->g, "position", FL_I32, 2, dim);
    const fl_forward f = {.tokens = o->tokens,
                          .position = o->position,
                          .segment = FL_NONE,
                          .start = FL_NONE,
                          .compute = FL_F32};
    fl_graph_output(o->g, fl_model_hidden(o->m, o->g, &f));
    FL_TRY(fl_graph_check(o->g, err));
    FL_TRY(find_products(o, err));
    FL_TRY(fl_program_new(&o->p, o->g, &(fl_program_opts){0}, err));
    int32_t *at = fl_program_tensor(o->p, o->position).data;
    for (int64_t i = 0; i < o->context; i++) at[i] = (int32_t)i;
    return FL_OK;
}

/* ---- sums ---- */

static void add_row(const product *p, const fl_tensor *x, int64_t row, int64_t expert) {
    for (int64_t i = 0; i < p->cols; i++) {
        const double v = fl_tensor_get(x, row * p->cols + i);
        p->sum[expert * p->cols + i] += v * v;
    }
    p->count[expert]++;
}

static void add_window(const observer *o, const product *p) {
    const fl_tensor x = fl_program_tensor(o->p, p->x);
    const int64_t rows = fl_tensor_count(&x) / p->cols;
    if (p->ids.id < 0) {
        for (int64_t r = 0; r < rows; r++) add_row(p, &x, r, 0);
        return;
    }
    const fl_tensor ids = fl_program_tensor(o->p, p->ids);
    const int64_t slots = fl_tensor_count(&ids), share = slots / rows;  // choices of one row
    for (int64_t s = 0; s < slots; s++) add_row(p, &x, s / share, ((const int32_t *)ids.data)[s]);
}

static fl_status run_window(const observer *o, const int32_t *id, fl_err *err) {
    const fl_tokenizer *t = o->m->tokenizer;
    int32_t *tokens = fl_program_tensor(o->p, o->tokens).data;
    memcpy(tokens, id, (size_t)o->context * sizeof *tokens);
    if (t && fl_tokenizer_adds_bos(t)) tokens[0] = fl_tokenizer_bos(t);
    FL_TRY(fl_program_run(o->p, false, err));
    for (int i = 0; i < o->n; i++) add_window(o, &o->product[i]);
    return fl_interrupted() ? fl_fail(err, FL_ERR_IO, "interrupted") : FL_OK;
}

static fl_status put_product(fl_imatrix *im, const product *p, fl_err *err) {
    const int64_t n = p->experts * p->cols, all = n + p->experts;
    float *f = fl_alloc((size_t)all * sizeof *f);
    if (!f) return fl_fail(err, FL_ERR_NOMEM, "sums of %s", p->tensor);
    for (int64_t i = 0; i < all; i++) f[i] = (float)p->sum[i];
    const fl_status s = fl_imatrix_put(im, p->tensor, p->experts, p->cols, f, f + n, err);
    fl_dealloc(f);
    return s;
}

static fl_status run_text(observer *o, fl_imatrix *im, const int32_t *id, int64_t windows,
                          const fl_observe_opts *opts, fl_err *err) {
    FL_TRY(build(o, err));
    fl_progress_begin(opts->progress, "observing", "tok", (double)(windows * o->context));
    for (int64_t i = 0; i < windows; i++) {
        FL_TRY(run_window(o, id + i * o->context, err));
        fl_progress_step(opts->progress, (double)((i + 1) * o->context));
    }
    fl_progress_end(opts->progress);
    for (int i = 0; i < o->n; i++) FL_TRY(put_product(im, &o->product[i], err));
    const fl_imatrix_text text = {.name = opts->text_name ? opts->text_name : "",
                                  .chunks = windows,
                                  .chunk_size = o->context};
    return fl_imatrix_set_text(im, &text, err);
}

static void clear(observer *o) {
    for (int i = 0; i < o->n; i++) fl_dealloc(o->product[i].sum);
    fl_dealloc(o->product);
    fl_program_free(o->p);
    fl_graph_free(o->g);
}

fl_status fl_imatrix_observe(fl_imatrix **out, fl_model *m, const int32_t *id, int64_t n,
                             const fl_observe_opts *opts, fl_err *err) {
    const int64_t longest = m->config.max_position_embeddings;
    observer o = {.m = m, .context = opts->context};
    if (!o.context) o.context = longest < 512 ? longest : 512;
    if (o.context < 1 || o.context > longest)
        return fl_fail(err, FL_ERR_ARG,
                       "windows of %lld tokens; want 1 to %lld, the model's context",
                       (long long)o.context, (long long)longest);
    const int64_t all = n / o.context, windows = opts->most && opts->most < all ? opts->most : all;
    if (!windows)
        return fl_fail(err, FL_ERR_ARG, "a text of %lld tokens has no window of %lld", (long long)n,
                       (long long)o.context);
    fl_imatrix *im = fl_imatrix_new();
    fl_status s = im ? run_text(&o, im, id, windows, opts, err)
                     : fl_fail(err, FL_ERR_NOMEM, "the importance matrix");
    clear(&o);
    if (s == FL_OK) *out = im;
    else fl_imatrix_free(im);
    return s;
}
