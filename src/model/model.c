/* model - the table of parameters: made from the architecture's rows, given bytes, initialised,
 * found by name.
 *
 * Weights share one buffer, gradients another; each parameter begins on a cache line. The table has
 * room for what transforms will add, so that pointers into it stay good. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "base/thread.h"
#include "model/internal.h"
#include "token/tokenizer.h"

enum { ROOM_FACTOR = 4, ROOM_MORE = 64 };

static fl_status no_memory(fl_err *err) {
    return fl_fail(err, FL_ERR_NOMEM, "the model's table of parameters");
}

/* ---- the table ---- */

static int count_weights(const fl_config *c) {
    int n = 0;
    for (fl_weight_iter it = {0}; fl_weight_next(c, &it);) n++;
    return n;
}

void fli_name_weight(char *out, size_t room, const char *pattern, int layer) {
    const char *at = layer < 0 ? NULL : strstr(pattern, "%d");
    if (at) snprintf(out, room, "%.*s%d%s", (int)(at - pattern), pattern, layer, at + 2);
    else snprintf(out, room, "%s", pattern);
}

void fl_weight_gguf_name(char out[128], const fl_weight_iter *it) {
    fli_name_weight(out, 128, it->row->gguf, it->layer);
}

static fl_param **slot_at(const struct fl_model_memory *mem, int layer, fl_slot slot) {
    return &mem->slot[(layer + 1) * FL_SLOT_COUNT + (int)slot];
}

static void fill_table(fl_model *m) {
    for (fl_weight_iter it = {0}; fl_weight_next(&m->config, &it);) {
        fl_param *p = &m->param[m->n_params++];
        int64_t dim[3];
        int rank = fl_slot_shape(it.row->slot, &m->config, dim);
        *p = (fl_param){.role = fl_slot_role(it.row->slot), .layer = it.layer};
        p->trainable = p->role != FL_ROLE_CONSTANT;
        p->data = fl_tensor_of(NULL, FL_F32, rank, dim);
        fli_name_weight(p->name, sizeof p->name, it.row->hf, it.layer);
        *slot_at(m->memory, it.layer, it.row->slot) = p;
    }
}

/* Storage for the table itself; everything zero. */
static fl_status reserve_table(fl_model *m, fl_err *err) {
    struct fl_model_memory *mem = m->memory = fl_alloc(sizeof *mem);
    if (!mem) return no_memory(err);
    *mem = (struct fl_model_memory){.n_base = count_weights(&m->config)};
    mem->room_params = ROOM_FACTOR * mem->n_base + ROOM_MORE;
    size_t room = (size_t)mem->room_params,
           slots = (size_t)(m->config.num_hidden_layers + 1) * FL_SLOT_COUNT;
    m->param = fl_alloc(room * sizeof *m->param);
    mem->added = fl_alloc(room * sizeof *mem->added);
    mem->slot = fl_alloc(slots * sizeof *mem->slot);
    if (!m->param || !mem->added || !mem->slot) return no_memory(err);
    memset(mem->slot, 0, slots * sizeof *mem->slot);
    return FL_OK;
}

fl_status fli_model_shell(fl_model **out, const fl_config *config, fl_err *err) {
    fl_model *m = fl_alloc(sizeof *m);
    if (!m) return no_memory(err);
    *m = (fl_model){.config = *config};
    m->config.rope_scaling = json_incref(config->rope_scaling);
    fl_status s = reserve_table(m, err);
    if (s == FL_OK && config->arch->position == FL_POSITION_ROPE)
        s = fli_rope_new(m->memory->rope, config, err);
    if (s != FL_OK) {
        fl_model_free(m);
        return s;
    }
    fill_table(m);
    *out = m;
    return FL_OK;
}

void fl_model_free(fl_model *m) {
    if (!m) return;
    struct fl_model_memory *mem = m->memory;
    if (mem) {
        fli_transforms_free(m);
        for (int i = 0; i < mem->n_added; i++) fl_dealloc(mem->added[i]);
        fl_buffer_unref(mem->weights);
        fl_buffer_unref(mem->grads);
        fl_safetensors_close(mem->mapped);
        fl_gguf_close(mem->gguf);
        fl_dealloc(mem->added);
        fli_rope_clear(mem->rope);
        fl_dealloc(mem->slot);
        fl_dealloc(mem);
    }
    fl_tokenizer_free(m->tokenizer);
    fl_dealloc(m->chat_template);
    fl_dealloc(m->param);
    fl_config_clear(&m->config);
    fl_dealloc(m);
}

/* ---- bytes ---- */

static size_t on_line(size_t bytes) {
    return (bytes + FL_ALIGN - 1) / FL_ALIGN * FL_ALIGN;
}

fl_status fli_model_allocate(fl_model *m, fl_err *err) {
    size_t bytes = 0;
    for (int i = 0; i < m->n_params; i++)
        if (!m->param[i].data.data) bytes += on_line(fl_tensor_bytes(&m->param[i].data));
    if (!bytes) return FL_OK;
    FL_TRY(fl_buffer_new(&m->memory->weights, bytes, err));
    char *at = fl_buffer_data(m->memory->weights);
    for (int i = 0; i < m->n_params; i++) {
        fl_tensor *t = &m->param[i].data;
        if (t->data) continue;
        t->data = at;
        at += on_line(fl_tensor_bytes(t));
    }
    return FL_OK;
}

fl_status fl_model_grads_new(fl_model *m, fl_err *err) {
    size_t bytes = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->param[i].trainable)
            bytes += on_line((size_t)fl_tensor_count(&m->param[i].data) * sizeof(float));
    fl_buffer *grads = NULL;
    if (bytes) FL_TRY(fl_buffer_new(&grads, bytes, err));
    fl_buffer_unref(m->memory->grads);
    m->memory->grads = grads;
    char *at = grads ? fl_buffer_data(grads) : NULL;
    for (int i = 0; i < m->n_params; i++) {
        fl_param *p = &m->param[i];
        p->grad = p->trainable ? (float *)(void *)at : NULL;
        if (p->trainable) at += on_line((size_t)fl_tensor_count(&p->data) * sizeof(float));
    }
    return FL_OK;
}

fl_status fl_model_add_param(fl_model *m, const char *name, fl_role role, int rank,
                             const int64_t *dim, fl_param **out, fl_err *err) {
    fl_param p = {.role = role,
                  .layer = -1,
                  .trainable = true,
                  .data = fl_tensor_of(NULL, FL_F32, rank, dim)};
    if (strlen(name) >= sizeof p.name)
        return fl_fail(err, FL_ERR_ARG, "%s: longer than %zu", name, sizeof p.name - 1);
    if (fl_model_param(m, name))
        return fl_fail(err, FL_ERR_ARG, "%s: the model has it already", name);
    if (m->n_params == m->memory->room_params)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%s: more than %d parameters; attach fewer transforms", name,
                       m->memory->room_params);
    p.data.data = fl_alloc(fl_tensor_bytes(&p.data));
    if (!p.data.data) return fl_fail(err, FL_ERR_NOMEM, "parameter %s", name);
    memset(p.data.data, 0, fl_tensor_bytes(&p.data));
    memcpy(p.name, name, strlen(name) + 1);
    m->memory->added[m->memory->n_added++] = p.data.data;
    m->param[m->n_params] = p;
    *out = &m->param[m->n_params++];
    return FL_OK;
}

/* ---- initialisation ---- */

typedef struct {
    float *out;
    int64_t n;
    double deviation;
    uint64_t seed, stream;
} init_job;

enum { INIT_CHUNK = 1 << 14 };

/* Element i takes number i % 4 of block i / 4: any task can start anywhere. Box-Muller, two normals
 * from two words. */
static void normal_block(const init_job *job, uint64_t block, double out[4]) {
    uint32_t word[4];
    fl_philox(job->seed, job->stream, block, word);
    for (int k = 0; k < 4; k += 2) {
        double u = ((double)word[k] + 0.5) * 0x1p-32,
               turn = (double)word[k + 1] * 0x1p-32 * 6.283185307179586;
        double radius = job->deviation * sqrt(-2 * log(u));
        out[k] = radius * cos(turn);
        out[k + 1] = radius * sin(turn);
    }
}

static void init_task(void *ctx, int64_t begin, int64_t end, int worker) {
    const init_job *job = ctx;
    (void)worker;
    int64_t last = end * INIT_CHUNK < job->n ? end * INIT_CHUNK : job->n;
    for (int64_t i = begin * INIT_CHUNK; i < last; i += 4) {
        double v[4];
        normal_block(job, (uint64_t)i / 4, v);
        for (int64_t k = 0; k < 4 && i + k < last; k++) job->out[i + k] = (float)v[k];
    }
}

static void init_normal(fl_param *p, double deviation, uint64_t seed) {
    init_job job = {p->data.data, fl_tensor_count(&p->data), deviation, seed,
                    fl_rng_stream(p->name)};
    fl_pool_run(fl_pool_default(), (job.n + INIT_CHUNK - 1) / INIT_CHUNK, 0, init_task, &job);
}

static void init_ones(fl_param *p) {
    float *out = p->data.data;
    for (int64_t i = 0; i < fl_tensor_count(&p->data); i++) out[i] = 1;
}

static void init_weights(fl_model *m, uint64_t seed) {
    const fl_config *c = &m->config;
    double shrink = 1 / sqrt(2 * (double)c->num_hidden_layers);
    fl_param *p = m->param;
    for (fl_weight_iter it = {0}; fl_weight_next(c, &it); p++) {
        if (p->role == FL_ROLE_NORM) init_ones(p);
        else if (p->role != FL_ROLE_BIAS && p->role != FL_ROLE_EXPERT_BIAS &&
                 p->role != FL_ROLE_CONSTANT)
            init_normal(p, c->initializer_range * (fl_slot_residual(it.row->slot) ? shrink : 1),
                        seed);
    }
}

fl_status fl_model_new(fl_model **out, const fl_config *config, uint64_t seed, fl_err *err) {
    fl_config c = *config;
    fl_model *m;
    FL_TRY(fl_config_complete(&c, err));
    FL_TRY(fli_model_shell(&m, &c, err));
    fl_status s = fli_model_allocate(m, err);
    if (s != FL_OK) {
        fl_model_free(m);
        return s;
    }
    init_weights(m, seed);
    *out = m;
    return FL_OK;
}

/* ---- looking ---- */

fl_param *fli_model_slot(const fl_model *m, int layer, fl_slot slot) {
    return *slot_at(m->memory, layer, slot);
}

fl_param *fl_model_param(const fl_model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (strcmp(m->param[i].name, name) == 0) return &m->param[i];
    return NULL;
}

fl_dtype fl_model_format(const fl_model *m) {
    int64_t n[FL_DTYPE_COUNT] = {0};
    fl_dtype most = FL_F32;
    for (int i = 0; i < m->n_params; i++)
        if (m->param[i].data.rank == 2)
            n[m->param[i].data.dtype] += fl_tensor_count(&m->param[i].data);
    for (int t = 0; t < FL_DTYPE_COUNT; t++)
        if (n[t] > n[most]) most = (fl_dtype)t;
    return most;
}

int64_t fl_model_count(const fl_model *m, bool trainable_only) {
    int64_t n = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->param[i].trainable || !trainable_only) n += fl_tensor_count(&m->param[i].data);
    return n;
}
