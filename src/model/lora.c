/* lora - low-rank adaptation as a weight transform: y = W x + s B (A x), W frozen.
 *
 * Hu et al., "LoRA", 2021. A (r, in) starts kaiming-uniform (a = sqrt 5: uniform in +-1/sqrt(in)),
 * B (out, r) at zero, so that training starts from the base model; s = alpha / r, or alpha /
 * sqrt(r) for rsLoRA. Names, matching of targets and the saved folder are PEFT's. Where a file's
 * tensor is several parameters (GPT-2's c_attn), PEFT adapts the whole: the parts share A, and each
 * has its rows of B, in the order that the file's tensor has them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/peft.h"
#include "model/internal.h"

typedef struct {
    fl_param *w, *a, *b;
    const fl_weight_row *row;  // of w: rows of b change places as those of w do
} adapted;

typedef struct {
    fl_lora_config config;
    char *base_model;  // owned copy behind config.base_model
    adapted *at;
    int n;
} lora;

/* ---- names ---- */

/* "model.layers.0.self_attn.q_proj" of a weight's name; false if it is not the weight of a
 * module. */
static bool module_of(char out[128], const char *param) {
    static const char end[] = ".weight";
    fli_file_name(out, param);
    if (!fl_path_has_suffix(out, end)) return false;
    out[strlen(out) - (sizeof end - 1)] = '\0';
    return true;
}

static fl_status name_factor(char out[128], const char *module, char factor, const char *part,
                             fl_err *err) {
    int n = snprintf(out, 128, FL_PEFT_PREFIX "%s.lora_%c.weight%s", module, factor, part);
    return n < 128 ? FL_OK
                   : fl_fail(err, FL_ERR_UNSUPPORTED, "%s: name too long for an adapter", module);
}

static bool is_target(const lora *l, const fl_param *p) {
    char module[128];
    return p->role == FL_ROLE_MATRIX && module_of(module, p->name) &&
           fl_lora_targets(&l->config, module);
}

/* ---- attaching ---- */

static void init_a(fl_param *a, uint64_t seed) {
    fl_rng rng = {.seed = seed, .stream = fl_rng_stream(a->name)};
    float *out = a->data.data;
    double bound = 1 / sqrt((double)a->data.dim[1]);
    for (int64_t i = 0; i < fl_tensor_count(&a->data); i++)
        out[i] = (float)(bound * (2 * fl_rng_double(&rng) - 1));
}

/* Parts of one file tensor find the A that the first of them added. */
static fl_status add_factors(lora *l, fl_model *m, fl_param *w, uint64_t seed, fl_err *err) {
    char module[128], name[128];
    adapted *at = &l->at[l->n];
    module_of(module, w->name);
    at->w = w;
    FL_TRY(name_factor(name, module, 'A', "", err));
    at->a = fl_model_param(m, name);
    if (!at->a) {
        FL_TRY(fl_model_add_param(m, name, FL_ROLE_ADAPTER, 2,
                                  (int64_t[]){l->config.r, w->data.dim[1]}, &at->a, err));
        init_a(at->a, seed);
    }
    FL_TRY(name_factor(name, module, 'B', w->name + strcspn(w->name, "#"), err));
    FL_TRY(fl_model_add_param(m, name, FL_ROLE_ADAPTER, 2, (int64_t[]){w->data.dim[0], l->config.r},
                              &at->b, err));
    at->a->layer = at->b->layer = w->layer;
    l->n++;
    return FL_OK;
}

static fl_status add_all(lora *l, fl_model *m, uint64_t seed, fl_err *err) {
    int n = m->memory->n_base;
    l->at = fl_alloc((size_t)n * sizeof *l->at);
    if (!l->at) return fl_fail(err, FL_ERR_NOMEM, "lora");
    fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it); p++) {
        if (!is_target(l, p)) continue;
        l->at[l->n].row = it.row;
        FL_TRY(add_factors(l, m, p, seed, err));
    }
    if (!l->n)
        return fl_fail(err, FL_ERR_ARG,
                       "target_modules match no matrix of this %s; try \"all-linear\"",
                       m->config.arch->name);
    return FL_OK;
}

/* Each name has to find something: one that is misspelt is not passed over. */
static fl_status check_names(const lora *l, const fl_model *m, fl_err *err) {
    const json_t *names = l->config.target_modules;
    for (size_t k = 0; k < json_array_size(names); k++) {
        fl_lora_config one = {.target_modules = json_pack("[O]", json_array_get(names, k))};
        bool found = false;
        for (int i = 0; i < l->n && !found && one.target_modules; i++) {
            char module[128];
            found = module_of(module, l->at[i].w->name) && fl_lora_targets(&one, module);
        }
        fl_lora_config_clear(&one);
        if (!found)
            return fl_fail(err, FL_ERR_ARG,
                           "target_modules: \"%.60s\" matches no matrix of this %s",
                           json_string_value(json_array_get(names, k)), m->config.arch->name);
    }
    return FL_OK;
}

static void lora_free(void *state) {
    lora *l = state;
    if (!l) return;
    fl_lora_config_clear(&l->config);
    fl_dealloc(l->base_model);
    fl_dealloc(l->at);
    fl_dealloc(l);
}

/* Undo what a failed attach added. */
static void drop_params(fl_model *m, int n) {
    struct fl_model_memory *mem = m->memory;
    for (; m->n_params > n; m->n_params--) fl_dealloc(mem->added[--mem->n_added]);
}

static fl_status lora_attach(fl_model *m, const json_t *config, uint64_t seed, void **state,
                             fl_err *err) {
    lora *l = fl_alloc(sizeof *l);
    if (!l) return fl_fail(err, FL_ERR_NOMEM, "lora");
    *l = (lora){0};
    int before = m->n_params;
    fl_status s = fl_lora_config_parse(&l->config, config, "lora", err);
    if (s == FL_OK && l->config.base_model && !(l->base_model = fl_strdup(l->config.base_model)))
        s = fl_fail(err, FL_ERR_NOMEM, "lora");
    l->config.base_model = l->base_model;
    if (s == FL_OK) s = add_all(l, m, seed, err);
    if (s == FL_OK) s = check_names(l, m, err);
    if (s != FL_OK) {
        drop_params(m, before);
        lora_free(l);
        return s;
    }
    for (int i = 0; i < before; i++) m->param[i].trainable = false;
    *state = l;
    return FL_OK;
}

/* ---- in the graph ---- */

static const adapted *find_adapted(const lora *l, const fl_param *w) {
    for (int i = 0; i < l->n; i++)
        if (l->at[i].w == w) return &l->at[i];
    return NULL;
}

static fl_val lora_linear(void *state, fl_model *m, fl_graph *g, fl_val x, fl_param *w,
                          fl_val inner, fl_dtype dt) {
    const lora *l = state;
    const adapted *at = find_adapted(l, w);
    if (!at) return inner;
    fl_val low = fl_linear(g, x, fl_model_value(m, g, at->a), FL_NONE, dt);
    fl_val delta = fl_linear(g, low, fl_model_value(m, g, at->b), FL_NONE, dt);
    return fl_add(g, inner, fl_scale(g, delta, (float)fl_lora_scale(&l->config)));
}

/* ---- folding: W += s B A, in double ---- */

static void fold_row(const adapted *at, int64_t row, double scale, double *sum) {
    const float *a = at->a->data.data, *b = at->b->data.data;
    int64_t r = at->a->data.dim[0], cols = at->a->data.dim[1];
    for (int64_t j = 0; j < cols; j++) sum[j] = 0;
    for (int64_t k = 0; k < r; k++)
        for (int64_t j = 0; j < cols; j++)
            sum[j] += (double)b[row * r + k] * (double)a[k * cols + j];
    for (int64_t j = 0; j < cols; j++) {
        int64_t i = row * cols + j;
        fl_tensor_set(&at->w->data, i, fl_tensor_get(&at->w->data, i) + scale * sum[j]);
    }
}

static fl_status lora_merge(void *state, fl_model *m, fl_err *err) {
    const lora *l = state;
    int64_t widest = 0;
    if (m->memory->mapped || m->memory->gguf)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "weights mapped from a file cannot be changed: load them as f32");
    for (int i = 0; i < l->n; i++) {
        int64_t cols = l->at[i].w->data.dim[1];
        widest = cols > widest ? cols : widest;
        l->at[i].a->trainable = l->at[i].b->trainable = false;
    }
    double *sum = fl_alloc((size_t)widest * sizeof *sum);
    if (!sum) return fl_fail(err, FL_ERR_NOMEM, "merging lora");
    for (int i = 0; i < l->n; i++)
        for (int64_t row = 0; row < l->at[i].w->data.dim[0]; row++)
            fold_row(&l->at[i], row, fl_lora_scale(&l->config), sum);
    fl_dealloc(sum);
    return FL_OK;
}

/* ---- the PEFT folder ---- */

/* The tensors of the file: per module A, then B of all its parts. */
static int describe(const lora *l, const fl_model *m, fli_stored *out) {
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        const adapted *at = &l->at[i];
        if (i > 0 && l->at[i - 1].a == at->a) {  // a further part of the tensor before
            out[n - 1].part[out[n - 1].n_parts++] = at->b;
            continue;
        }
        out[n++] = (fli_stored){.part = {at->a}, .n_parts = 1};
        out[n] = (fli_stored){.part = {at->b}, .n_parts = 1};
        out[n].turn_rows = at->row->by_head ? m->config.head_dim : 0;
        fli_stored_halve(&out[n++], m, at->row);
    }
    for (int i = 0; i < n; i++) fli_file_name(out[i].name, out[i].part[0]->name);
    return n;
}

typedef struct {
    char path[FL_PATH_MAX];
    fli_stored *item;
    fl_write_tensor *w;
    int n;
} folder;

static fl_status folder_open(folder *f, const lora *l, const fl_model *m, const char *dir,
                             fl_err *err) {
    *f = (folder){0};
    FL_TRY(fl_path_join(f->path, dir, FL_PEFT_WEIGHTS, err));
    f->item = fl_alloc(2 * (size_t)l->n * sizeof *f->item);
    f->w = fl_alloc(2 * (size_t)l->n * sizeof *f->w);
    if (!f->item || !f->w) return fl_fail(err, FL_ERR_NOMEM, "%s", f->path);
    f->n = describe(l, m, f->item);
    for (int i = 0; i < f->n; i++) fli_stored_describe(&f->item[i], FL_F32, &f->w[i]);
    return FL_OK;
}

static void folder_close(folder *f) {
    fl_dealloc(f->item);
    fl_dealloc(f->w);
}

/* Are the adapted weights stored (in, out) by the base model? PEFT asks for it by name. */
static bool fan_in_fan_out(const fl_model *m) {
    for (const fl_weight_row *row = m->config.arch->weights; row->hf; row++)
        if (row->transposed && fl_slot_role(row->slot) == FL_ROLE_MATRIX) return true;
    return false;
}

static fl_status lora_save(void *state, const fl_model *m, const char *dir, fl_err *err) {
    const lora *l = state;
    folder f;
    FL_TRY(fl_dir_make(dir, err));
    fl_status s = folder_open(&f, l, m, dir, err);
    if (s == FL_OK) s = fl_safetensors_save(f.path, f.w, f.n, err);
    folder_close(&f);
    return s == FL_OK ? fl_lora_config_save(&l->config, fan_in_fan_out(m), dir, err) : s;
}

static fl_status load_tensor(const folder *f, int i, const fl_safetensors *file, fl_err *err) {
    const fl_write_tensor *w = &f->w[i];
    const fl_stored_tensor *t = fl_safetensors_find(file, w->name);
    if (!t) return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %s is missing", f->path, w->name);
    fl_tensor shape = fl_tensor_of(NULL, FL_F32, w->rank, w->dim);
    char have[FL_SHAPE_TEXT], need[FL_SHAPE_TEXT];
    if (!fl_tensor_same_shape(&t->t, &shape))
        return fl_fail(err, FL_ERR_SHAPE, "%s: tensor %s is %s, this model needs %s", f->path,
                       w->name, fl_tensor_shape_text(&t->t, have),
                       fl_tensor_shape_text(&shape, need));
    return FL_OK;
}

/* All is checked before anything is written. */
static fl_status load_all(const folder *f, const fl_safetensors *file, fl_err *err) {
    for (int i = 0; i < f->n; i++) FL_TRY(load_tensor(f, i, file, err));
    for (int i = 0; i < fl_safetensors_count(file); i++) {
        const char *name = fl_safetensors_at(file, i)->name;
        bool known = false;
        for (int k = 0; k < f->n && !known; k++) known = strcmp(f->w[k].name, name) == 0;
        if (!known)
            return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %s has no place in this model", f->path,
                           name);
    }
    for (int i = 0; i < f->n; i++)
        fli_stored_load(&f->item[i], &fl_safetensors_find(file, f->w[i].name)->t);
    return FL_OK;
}

static fl_status lora_load(void *state, fl_model *m, const char *dir, fl_err *err) {
    folder f;
    fl_safetensors *file = NULL;
    fl_status s = folder_open(&f, state, m, dir, err);
    if (s == FL_OK) s = fl_safetensors_open(&file, f.path, err);
    if (s == FL_OK) s = load_all(&f, file, err);
    fl_safetensors_close(file);
    folder_close(&f);
    return s;
}

const fl_transform fl_transform_lora = {
    .name = "lora",
    .attach = lora_attach,
    .linear = lora_linear,
    .save = lora_save,
    .load = lora_load,
    .merge = lora_merge,
    .free = lora_free,
};
