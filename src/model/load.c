/* load - from a folder to a model; GGUF files are in load_gguf.c.
 *
 * config.json gives the table of parameters; the table gives the names and shapes that the file
 * must have. Every tensor of the file is used, or known to carry nothing, or an error; so is every
 * parameter without a tensor. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "model/internal.h"
#include "token/tokenizer.h"

enum { TEMPLATE_MAX = 1 << 20 };

/* ---- where ---- */

static fl_status has_config(const char *dir, bool *out, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, "config.json", err));
    *out = fl_path_exists(path);
    return FL_OK;
}

fl_status fl_model_folder(char out[FL_PATH_MAX], const char *path, fl_err *err) {
    bool found;
    if (!fl_path_exists(path))
        return fl_fail(err, FL_ERR_IO, "%s: there is no such file or folder", path);
    if (!fl_path_is_dir(path) && !fl_gguf_is(path))
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: expected a folder with config.json and model.safetensors, or a GGUF "
                       "file",
                       path);
    found = !fl_path_is_dir(path);
    if (!found) FL_TRY(has_config(path, &found, err));
    if (found) {
        snprintf(out, FL_PATH_MAX, "%s", path);
        return FL_OK;
    }
    char latest[FL_PATH_MAX];
    FL_TRY(fl_path_join(latest, path, "latest", err));
    FL_TRY(has_config(latest, &found, err));
    if (!found)
        return fl_fail(err, FL_ERR_IO,
                       "%s: neither a model folder (no config.json) nor a run with a checkpoint "
                       "(no "
                       "latest/config.json)",
                       path);
    memcpy(out, latest, sizeof latest);
    return FL_OK;
}

/* ---- weights ---- */

typedef struct {
    fl_model *m;
    const fli_tensors *file;
    const fl_model_opts *opts;
    const fli_stored_list *list;
    const fl_stored_tensor **found;   // one per item of the list
    const fl_stored_tensor **scales;  // of those that are in MXFP4
    size_t strip;  // bytes of the architecture's prefix that this file leaves out
} loading;

static bool starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static const fl_stored_tensor *find(const loading *l, const char *name) {
    return l->file->find(l->file->file, name);
}

/* A file of the bare base model names "h.0..." what the full one names "transformer.h.0...". */
static void find_prefix(loading *l) {
    const char *prefix = l->m->config.arch->hf_prefix, *first = l->list->item[0].name;
    bool bare = starts_with(first, prefix) && !find(l, first) && find(l, first + strlen(prefix));
    l->strip = bare ? strlen(prefix) : 0;
}

static const char *name_in_file(const loading *l, const char *name) {
    return l->strip && starts_with(name, l->m->config.arch->hf_prefix) ? name + l->strip : name;
}

static bool is_number(fl_dtype t) {
    return t == FL_F32 || t == FL_F16 || t == FL_BF16 || t == FL_F64 || fl_dtype_is_block(t);
}

static fl_status check_shape(const loading *l, const fl_stored_tensor *t, const fl_tensor *shape,
                             fl_err *err) {
    char have[FL_SHAPE_TEXT], need[FL_SHAPE_TEXT];
    if (fl_tensor_same_shape(&t->t, shape)) return FL_OK;
    return fl_fail(err, FL_ERR_SHAPE, "%s: tensor %s is %s; %s makes it %s", fl_path_base(t->file),
                   t->name, fl_tensor_shape_text(&t->t, have), l->file->facts,
                   fl_tensor_shape_text(shape, need));
}

/* One of the two tensors that stand for (E, K, N) of experts in MXFP4. */
static fl_status find_mxfp4(const loading *l, const char *name, const char *end,
                            const fl_tensor *shape, const fl_stored_tensor **out, fl_err *err) {
    char full[160];
    snprintf(full, sizeof full, "%s%s", name, end);
    if (!(*out = find(l, full))) return fl_fail(err, FL_ERR_FORMAT, "tensor %s is missing", full);
    FL_TRY(check_shape(l, *out, shape, err));
    return (*out)->t.dtype == FL_U8
               ? FL_OK
               : fl_fail(err, FL_ERR_FORMAT, "%s: tensor %s is %s, expected u8",
                         fl_path_base((*out)->file), full, fl_dtype_name((*out)->t.dtype));
}

static fl_status find_pair(loading *l, int i, const char *name, fl_err *err) {
    const fl_write_tensor *want = &l->list->w[i];
    const int64_t E = want->dim[0], K = want->dim[1], N = want->dim[2],
                  size = fl_dtype_block(FL_MXFP4);
    if (K % size)
        return fl_fail(err, FL_ERR_SHAPE, "%s: %s makes its rows %lld long, MXFP4 has blocks of 32",
                       name, l->file->facts, (long long)K);
    const fl_tensor blocks = fl_tensor_of(NULL, FL_U8, 4, (int64_t[]){E, N, K / size, size / 2}),
                    scales = fl_tensor_of(NULL, FL_U8, 3, blocks.dim);
    FL_TRY(find_mxfp4(l, name, "_blocks", &blocks, &l->found[i], err));
    return find_mxfp4(l, name, "_scales", &scales, &l->scales[i], err);
}

static bool has_pair(const loading *l, int i, const char *name) {
    char blocks[160];
    snprintf(blocks, sizeof blocks, "%s_blocks", name);
    return l->list->item[i].stack && l->list->w[i].rank == 3 && find(l, blocks);
}

static fl_status find_tensor(loading *l, int i, fl_err *err) {
    const fl_write_tensor *want = &l->list->w[i];
    const char *name = name_in_file(l, want->name);
    const fl_stored_tensor *t = find(l, name);
    l->scales[i] = NULL;
    if (!t && has_pair(l, i, name)) return find_pair(l, i, name, err);
    if (!t) return fl_fail(err, FL_ERR_FORMAT, "tensor %s is missing", name);
    fl_tensor shape = fl_tensor_of(NULL, want->dtype, want->rank, want->dim);
    FL_TRY(check_shape(l, t, &shape, err));
    if (!is_number(t->t.dtype))
        return fl_fail(err, FL_ERR_UNSUPPORTED, "%s: tensor %s is %s, expected a float format",
                       fl_path_base(t->file), t->name, fl_dtype_name(t->t.dtype));
    l->found[i] = t;
    return FL_OK;
}

static bool carries_nothing(const loading *l, const char *name) {
    for (const char *const *end = l->file->ignored; *end; end++)
        if (fl_path_has_suffix(name, *end)) return true;
    return l->m->config.tie_word_embeddings &&
           strcmp(name, "lm_head.weight") == 0;  // a second copy of the embedding
}

static fl_status check_extra(const loading *l, fl_err *err) {
    for (int i = 0; i < l->file->n; i++) {
        const fl_stored_tensor *t = l->file->at(l->file->file, i);
        bool wanted = false;
        for (int k = 0; k < l->list->n && !wanted; k++)
            wanted = l->found[k] == t || l->scales[k] == t;
        if (!wanted && !carries_nothing(l, t->name))
            return fl_fail(err, FL_ERR_FORMAT, "%s: tensor %s has no place in a %s of this %s",
                           fl_path_base(t->file), t->name, l->m->config.arch->name, l->file->facts);
    }
    return FL_OK;
}

/* The format each parameter has in memory. Vectors are always f32: they are few, and kernels want
 * them so. */
static fl_dtype memory_format(const loading *l, const fl_param *p, fl_dtype stored) {
    if (p->data.rank == 1 || p->role == FL_ROLE_EXPERT_BIAS) return FL_F32;
    if (stored == FL_F64) stored = FL_F32;
    return l->opts->as_stored ? stored : l->opts->dtype;
}

static void choose_formats(loading *l) {
    for (int i = 0; i < l->list->n; i++) {
        const fli_stored *s = &l->list->item[i];
        const fl_tensor *file = &l->found[i]->t;
        int64_t row = 0;
        for (int k = 0; k < s->n_parts; k++) {
            fl_param *p = s->part[k];
            p->data.dtype = memory_format(l, p, l->scales[i] ? FL_MXFP4 : file->dtype);
            p->trainable = !l->opts->as_stored && l->opts->dtype == FL_F32 &&
                           p->role != FL_ROLE_CONSTANT;
            if (l->opts->as_stored && p->data.dtype == file->dtype && fli_stored_mappable(s, file))
                p->data.data = fl_tensor_row(file, row);
            row += p->data.dim[0];
        }
    }
}

/* The file's bytes are not looked at again. */
static void copy(const loading *l, int64_t i) {
    const fl_tensor *file = &l->found[i]->t;
    fl_map_want(file->data, fl_tensor_bytes(file));
    if (l->scales[i]) fli_stored_load_mxfp4(&l->list->item[i], file, &l->scales[i]->t);
    else fli_stored_load(&l->list->item[i], file);
    fl_map_forget(file->data, fl_tensor_bytes(file));
}

static void load_task(void *ctx, int64_t begin, int64_t end, int worker) {
    const loading *l = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const fl_tensor *file = &l->found[i]->t;
        if (l->list->item[i].part[0]->data.data != file->data) copy(l, i);
    }
}

static fl_status load_tensors(loading *l, fl_err *err) {
    find_prefix(l);
    for (int i = 0; i < l->list->n; i++) FL_TRY(find_tensor(l, i, err));
    FL_TRY(check_extra(l, err));
    choose_formats(l);
    FL_TRY(fli_model_allocate(l->m, err));
    fl_pool_run(fl_pool_default(), l->list->n, 1, load_task, l);
    return FL_OK;
}

fl_status fli_load_tensors(fl_model *m, const fli_tensors *from, const fli_stored_list *list,
                           const fl_model_opts *opts, fl_err *err) {
    loading l = {.m = m, .file = from, .list = list, .opts = opts};
    l.found = fl_alloc(2 * (size_t)list->n * sizeof *l.found);
    if (!l.found) return fl_fail(err, FL_ERR_NOMEM, "the list of a model's tensors");
    l.scales = l.found + list->n;
    fl_status s = load_tensors(&l, err);
    fl_dealloc(l.found);
    return s;
}

static const fl_stored_tensor *at_in_safetensors(const void *file, int i) {
    return fl_safetensors_at(file, i);
}

static const fl_stored_tensor *find_in_safetensors(const void *file, const char *name) {
    return fl_safetensors_find(file, name);
}

/* The mapping stays open with the model when weights are used from it. */
static fl_status load_weights(fl_model *m, const char *dir, const fl_model_opts *opts,
                              fl_err *err) {
    fl_safetensors *file;
    fli_stored_list list = {0};
    FL_TRY(fl_safetensors_open(&file, dir, err));
    const fli_tensors from = {.file = file,
                              .n = fl_safetensors_count(file),
                              .at = at_in_safetensors,
                              .find = find_in_safetensors,
                              .facts = "config.json",
                              .ignored = m->config.arch->ignored};
    fl_status s = fli_stored_hf(&list, m, FL_F32, err);
    if (s == FL_OK) s = fli_load_tensors(m, &from, &list, opts, err);
    fli_stored_clear(&list);
    if (opts->as_stored) m->memory->mapped = file;
    else fl_safetensors_close(file);
    return s;
}

/* ---- tokenizer and template ---- */

static fl_status load_template_file(fl_model *m, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    size_t n;
    FL_TRY(fl_path_join(path, dir, "chat_template.jinja", err));
    return fl_path_exists(path) ? fl_file_read(path, TEMPLATE_MAX, &m->chat_template, &n, err)
                                : FL_OK;
}

static fl_status has_tokenizer(const char *dir, bool *out, fl_err *err) {
    static const char *const names[] = {"tokenizer.json", "vocab.json"};
    char path[FL_PATH_MAX];
    *out = false;
    for (int i = 0; i < 2; i++) {
        FL_TRY(fl_path_join(path, dir, names[i], err));
        *out = *out || fl_path_exists(path);
    }
    return FL_OK;
}

fl_status fli_check_tokenizer(const fl_model *m, const char *where, fl_err *err) {
    int32_t size = fl_tokenizer_size(m->tokenizer);
    if (size <= m->config.vocab_size) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "%s: the tokenizer has %d tokens, the model's vocab_size is %lld: not the "
                   "tokenizer of this model",
                   where, size, (long long)m->config.vocab_size);
}

static fl_status load_tokenizer(fl_model *m, const char *dir, fl_err *err) {
    bool found;
    FL_TRY(load_template_file(m, dir, err));
    FL_TRY(has_tokenizer(dir, &found, err));
    if (!found) {
        fl_warn("%s: no tokenizer.json; the model can be fed token ids only", dir);
        return FL_OK;
    }
    FL_TRY(fl_tokenizer_load(&m->tokenizer, dir, err));
    FL_TRY(fli_check_tokenizer(m, dir, err));
    const char *template = fl_tokenizer_chat_template(m->tokenizer);
    if (m->chat_template || !template) return FL_OK;
    m->chat_template = fl_strdup(template);
    return m->chat_template ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%s: the chat template", dir);
}

fl_status fl_model_load(fl_model **out, const char *path, const fl_model_opts *opts, fl_err *err) {
    char dir[FL_PATH_MAX];
    fl_config config;
    fl_model *m = NULL;
    FL_TRY(fl_model_folder(dir, path, err));
    if (!fl_path_is_dir(dir)) return fli_load_gguf(out, path, opts, err);
    FL_TRY(fl_config_load(&config, dir, err));
    fl_status s = fli_model_shell(&m, &config, err);
    fl_config_clear(&config);  // the model has its own reference
    if (s == FL_OK) s = load_weights(m, dir, opts, err);
    if (s == FL_OK && !opts->no_tokenizer) s = load_tokenizer(m, dir, err);
    if (s != FL_OK) {
        fl_model_free(m);
        return fl_context(err, s, "loading %s", path);
    }
    *out = m;
    return FL_OK;
}
