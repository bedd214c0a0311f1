/* checkpoint - save to a hidden folder, rename, move the link, forget the oldest. */
#include "train/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "format/safetensors.h"
#include "model/transform.h"

#define CHECKPOINTS "checkpoints"

/* ---- save ---- */

static fl_status save_optimizer(const fl_optimizer *o, const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    const int n = fl_optimizer_n_states(o);
    FL_TRY(fl_path_join(path, dir, "optimizer.safetensors", err));
    fl_write_tensor *w = fl_alloc(sizeof *w * (size_t)(n ? n : 1));
    if (!w) return fl_fail(err, FL_ERR_NOMEM, "%s", path);
    for (int i = 0; i < n; i++) {
        const fl_optimizer_state *s = fl_optimizer_state_at(o, i);
        w[i] = (fl_write_tensor){.name = s->name,
                                 .dtype = FL_F32,
                                 .rank = s->t.rank,
                                 .source = s->t.data,
                                 .source_dtype = FL_F32};
        memcpy(w[i].dim, s->t.dim, sizeof w[i].dim);
    }
    const fl_status s = fl_safetensors_save(path, w, n, err);
    fl_dealloc(w);
    return s;
}

/* The weights: the model itself where its own parameters are trained, and whatever transforms
 * learnt. */
static fl_status save_model(const fl_model *m, const char *dir, fl_err *err) {
    bool own = !m->transforms;
    for (int i = 0; i < m->n_params; i++)
        own |= m->param[i].trainable && m->param[i].role != FL_ROLE_ADAPTER;
    if (own) FL_TRY(fl_model_save(m, dir, FL_F32, err));
    for (const fl_transform_link *l = m->transforms; l; l = l->inner)
        if (l->row->save) FL_TRY(l->row->save(l->state, m, dir, err));
    return FL_OK;
}

static fl_status fill(const char *tmp, const fl_model *m, const fl_optimizer *o,
                      const json_t *state, fl_err *err) {
    char trainer[FL_PATH_MAX], path[FL_PATH_MAX];
    FL_TRY(fl_path_join(trainer, tmp, "trainer", err));
    FL_TRY(fl_path_join(path, trainer, "state.json", err));
    FL_TRY(fl_dir_make(trainer, err));
    FL_TRY(save_model(m, tmp, err));
    FL_TRY(save_optimizer(o, trainer, err));
    FL_TRY(fl_json_save(state, path, err));
    FL_TRY(fl_dir_sync(trainer, err));
    return fl_dir_sync(tmp, err);
}

static fl_status take_name(const char *tmp, const char *final, const char *parent, fl_err *err) {
    if (rename(tmp, final) != 0)
        return fl_fail(err, FL_ERR_IO, "%s: cannot be renamed to %s: %s", tmp, final,
                       strerror(errno));
    return fl_dir_sync(parent, err);
}

/* The number of a whole checkpoint, or -1. */
static int64_t step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) != 0) return -1;
    const long long n = strtoll(name + 5, &end, 10);
    return *end || end == name + 5 ? -1 : (int64_t)n;
}

static int newest_first(const void *a, const void *b) {
    const int64_t x = step_of(*(char *const *)a), y = step_of(*(char *const *)b);
    return (x < y) - (x > y);
}

/* Entries of DIR/checkpoints, newest first, those that are no checkpoints last. */
static fl_status list(const char *parent, char ***names, size_t *n, fl_err *err) {
    *names = NULL;
    *n = 0;
    if (!fl_path_is_dir(parent)) return FL_OK;
    FL_TRY(fl_dir_list(parent, names, n, err));
    if (*n) qsort(*names, *n, sizeof **names, newest_first);
    return FL_OK;
}

/* Failing to forget is no reason to stop: the new checkpoint stands. */
static void forget_old(const char *parent, int64_t keep) {
    char **names, path[FL_PATH_MAX];
    size_t n;
    fl_err why = {0};
    if (keep <= 0 || list(parent, &names, &n, &why) != FL_OK) return;
    for (size_t i = (size_t)keep; i < n; i++) {
        if (step_of(names[i]) < 0) continue;
        if (fl_path_join(path, parent, names[i], &why) != FL_OK ||
            fl_dir_remove(path, &why) != FL_OK)
            fl_warn("old checkpoint stays: %s", why.msg);
    }
    fl_dealloc(names);
}

fl_status fl_checkpoint_save(const char *dir, int64_t step, const fl_model *m,
                             const fl_optimizer *o, const json_t *state, int64_t keep,
                             fl_err *err) {
    char parent[FL_PATH_MAX], tmp[FL_PATH_MAX], final[FL_PATH_MAX], link[FL_PATH_MAX], name[64];
    FL_TRY(fl_path_join(parent, dir, CHECKPOINTS, err));
    snprintf(name, sizeof name, ".step-%06lld.partial", (long long)step);
    FL_TRY(fl_path_join(tmp, parent, name, err));
    snprintf(name, sizeof name, "step-%06lld", (long long)step);
    FL_TRY(fl_path_join(final, parent, name, err));
    FL_TRY(fl_path_join(link, dir, "latest", err));
    if (!fl_path_exists(final)) {
        if (fl_path_exists(tmp)) FL_TRY(fl_dir_remove(tmp, err));
        FL_TRY(fl_dir_make(tmp, err));
        fl_status s = fill(tmp, m, o, state, err);
        if (s == FL_OK) s = take_name(tmp, final, parent, err);
        if (s != FL_OK) {
            if (fl_dir_remove(tmp, NULL) != FL_OK) fl_warn("%s: could not be removed", tmp);
            return fl_context(err, s, "saving step %lld", (long long)step);
        }
    }
    char target[sizeof name + sizeof CHECKPOINTS];
    snprintf(target, sizeof target, CHECKPOINTS "/%s", name);
    FL_TRY(fl_link_replace(link, target, err));
    forget_old(parent, keep);
    return FL_OK;
}

/* ---- load ---- */

fl_status fl_checkpoint_latest(char out[FL_PATH_MAX], const char *dir, fl_err *err) {
    char parent[FL_PATH_MAX], **names;
    size_t n;
    FL_TRY(fl_path_join(parent, dir, CHECKPOINTS, err));
    FL_TRY(list(parent, &names, &n, err));
    fl_status s = FL_OK;
    if (n && step_of(names[0]) >= 0) s = fl_path_join(out, parent, names[0], err);
    else out[0] = '\0';
    fl_dealloc(names);
    return s;
}

static fl_status copy_weights(fl_model *m, const char *path, fl_err *err) {
    fl_model *saved;
    fl_status s = FL_OK;
    FL_TRY(
        fl_model_load(&saved, path, &(fl_model_opts){.dtype = FL_F32, .no_tokenizer = true}, err));
    for (int i = 0; i < m->n_params && s == FL_OK; i++) {
        fl_param *p = &m->param[i];
        const fl_param *q = fl_model_param(saved, p->name);
        if (p->role == FL_ROLE_ADAPTER) continue;
        if (!q || !fl_tensor_same_shape(&p->data, &q->data))
            s = fl_fail(err, FL_ERR_SHAPE, "%s: %s: not as in this run's model", path, p->name);
        else
            fl_convert(p->data.data, p->data.dtype, q->data.data, q->data.dtype,
                       fl_tensor_count(&p->data));
    }
    fl_model_free(saved);
    return s;
}

static fl_status load_model(fl_model *m, const char *path, fl_err *err) {
    char config[FL_PATH_MAX];
    FL_TRY(fl_path_join(config, path, "config.json", err));
    if (!m->transforms || fl_path_exists(config)) FL_TRY(copy_weights(m, path, err));
    for (const fl_transform_link *l = m->transforms; l; l = l->inner)
        if (l->row->load) FL_TRY(l->row->load(l->state, m, path, err));
    return FL_OK;
}

static fl_status load_optimizer(fl_optimizer *o, const char *trainer, fl_err *err) {
    char path[FL_PATH_MAX];
    fl_safetensors *st;
    fl_status s = FL_OK;
    FL_TRY(fl_path_join(path, trainer, "optimizer.safetensors", err));
    FL_TRY(fl_safetensors_open(&st, path, err));
    for (int i = 0; i < fl_optimizer_n_states(o) && s == FL_OK; i++) {
        const fl_optimizer_state *want = fl_optimizer_state_at(o, i);
        const fl_stored_tensor *have = fl_safetensors_find(st, want->name);
        if (!have || have->t.dtype != FL_F32 || !fl_tensor_same_shape(&have->t, &want->t))
            s = fl_fail(err, FL_ERR_FORMAT, "%s: %s: missing or of another shape", path,
                        want->name);
        else memcpy(want->t.data, have->t.data, fl_tensor_bytes(&want->t));
    }
    fl_safetensors_close(st);
    return s;
}

fl_status fl_checkpoint_load(const char *path, fl_model *m, fl_optimizer *o, json_t **state,
                             fl_err *err) {
    char trainer[FL_PATH_MAX], file[FL_PATH_MAX];
    json_t *v;
    FL_TRY(fl_path_join(trainer, path, "trainer", err));
    FL_TRY(fl_path_join(file, trainer, "state.json", err));
    FL_TRY(load_model(m, path, err));
    FL_TRY(load_optimizer(o, trainer, err));
    FL_TRY(fl_json_load(&v, file, err));
    int64_t updates = 0;
    const fl_status s = fl_json_int(v, "updates", &updates, file, err);
    if (s != FL_OK) {
        json_decref(v);
        return s;
    }
    fl_optimizer_set_updates(o, updates);
    *state = v;
    return FL_OK;
}
