/* test_train_golden - twenty AdamW steps against torch, of models and of a LoRA adapter, and Muon's
 * update against its publication (tests/peers/train_goldens.py). Catches: a wrong bias correction,
 * decay on norms or embeddings, clipping after the division instead of before, a schedule off by a
 * step, momentum without Nesterov, a wrong Newton-Schulz coefficient, a scale that forgets tall
 * matrices. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "format/safetensors.h"
#include "model/transform.h"
#include "train/schedule.h"
#include "train/stepper.h"

static fl_safetensors *goldens;

static const fl_tensor *golden(const char *kind, const char *name, const char *what) {
    char key[200];
    snprintf(key, sizeof key, "%s.%s%s", kind, name, what);
    const fl_stored_tensor *t = fl_safetensors_find(goldens, key);
    CHECKF(t != NULL, "%s is not in the goldens", key);
    if (!t) exit(EXIT_FAILURE);
    return &t->t;
}

static fl_model *load(const char *name) {
    char path[512];
    fl_err err = {0};
    fl_model *m = NULL;
    snprintf(path, sizeof path, "%s/golden/%s", FL_TEST_DATA, name);
    const fl_status s = fl_model_load(&m, path, &(fl_model_opts){.dtype = FL_F32}, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    if (s != FL_OK) exit(EXIT_FAILURE);
    return m;
}

/* ---- AdamW ---- */

enum { STEPS = 20, B = 2, T = 24, WARMUP = 4 };

static void fill(fl_batch *b, const fl_tensor *tokens, int step) {
    for (int i = 0; i < B * T; i++) {
        const int64_t at = (int64_t)step * B * (T + 1) + (i / T) * (T + 1) + i % T;
        b->tokens[i] = (int32_t)fl_tensor_get(tokens, at);
        b->targets[i] = (int32_t)fl_tensor_get(tokens, at + 1);
        b->weight[i] = 1;
        b->position[i] = i % T;
    }
    b->n_targets = B * T;
}

/* The model of a golden: as it lies there, or with the adapter of that name put on its base. */
static fl_model *load_adapted(const char *base, const char *adapter) {
    fl_model *m = load(base);
    char dir[512], path[FL_PATH_MAX];
    json_t *config = NULL;
    fl_err err = {0};
    if (!adapter) return m;
    snprintf(dir, sizeof dir, "%s/golden/%s", FL_TEST_DATA, adapter);
    fl_status s = fl_path_join(path, dir, "adapter_config.json", &err);
    if (s == FL_OK) s = fl_json_load(&config, path, &err);
    if (s == FL_OK) s = fl_model_attach(m, &fl_transform_lora, config, 1, &err);
    if (s == FL_OK) s = m->transforms->row->load(m->transforms->state, m, dir, &err);
    json_decref(config);
    CHECKF(s == FL_OK, "%s: %s", adapter, err.msg);
    return m;
}

static void check_adamw(const char *base, const char *adapter, const char *objective) {
    const char *name = adapter ? adapter : base;
    const fl_tensor *tokens = golden("adamw", name, ".tokens"),
                    *losses = golden("adamw", name, ".losses"),
                    *norms = golden("adamw", name, ".norms");
    const fl_schedule_opts schedule = {.row = fl_schedule_find("cosine"),
                                       .warmup = (double)WARMUP / STEPS,
                                       .final = 0.1};
    const fl_stepper_opts so = {.model = load_adapted(base, adapter),
                                .objective = fl_objective_find(objective),
                                .optimizer = {.name = "adamw",
                                              .lr = 3e-3,
                                              .beta1 = 0.9,
                                              .beta2 = 0.95,
                                              .eps = 1e-8,
                                              .weight_decay = 0.1},
                                .B = B,
                                .T = T,
                                .no_scoring = true};
    fl_stepper *s = NULL;
    fl_batch b = {0};
    fl_err err = {0};
    fl_status st = fl_stepper_new(&s, &so, &err);
    if (st == FL_OK) st = fl_batch_new(&b, B, T, &err);
    for (int i = 0; i < STEPS && st == FL_OK; i++) {
        double sum = NAN, norm = NAN;
        fill(&b, tokens, i);
        st = fl_stepper_micro(s, &b, true, &sum, &err);
        if (st == FL_OK) st = fl_stepper_grad_norm(s, &norm, &err);
        sum /= b.n_targets, norm /= b.n_targets;
        const double want = fl_tensor_get(losses, i), want_norm = fl_tensor_get(norms, i);
        CHECKF(fabs(sum - want) < 1e-4, "%s step %d: loss %.6f, torch has %.6f", name, i, sum,
               want);
        CHECKF(fabs(norm - want_norm) < 1e-3 * want_norm, "%s step %d: norm %.6f, torch has %.6f",
               name, i, norm, want_norm);
        const double factor = fl_schedule_factor(&schedule, (double)i / STEPS, 1.0 / STEPS);
        // torch adds 1e-6 to the norm it divides by
        const double clip = norm > 1 ? 1 / (norm + 1e-6) : 1;
        if (st == FL_OK) st = fl_stepper_update(s, factor, clip / b.n_targets, &err);
    }
    CHECKF(st == FL_OK, "%s: %s", name, err.msg);
    fl_batch_clear(&b);
    fl_stepper_free(s);
    fl_model_free(so.model);
}

/* ---- Muon ---- */

/* Three steps of gradients grad[i] cos(0.37 t i) on every parameter. */
static fl_status three_steps(fl_model *m, fl_optimizer *o, const fl_safetensors *grads,
                             fl_err *err) {
    for (int t = 0; t < 3; t++) {
        for (int k = 0; k < m->n_params; k++) {
            const fl_param *p = &m->param[k];
            char key[200];
            snprintf(key, sizeof key, "grad.%s", p->name);
            const fl_stored_tensor *g = fl_safetensors_find(grads, key);
            for (int64_t i = 0; g && i < fl_tensor_count(&p->data); i++)
                p->grad[i] = (float)(fl_tensor_get(&g->t, i) * cos(0.37 * t * (double)i));
        }
        FL_TRY(fl_optimizer_step(o, 1, 1, err));
    }
    return FL_OK;
}

/* |a - b| / |b| with b the golden and a what was subtracted from the weights. */
static double error(const float *before, const float *after, const fl_tensor *want) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < fl_tensor_count(want); i++) {
        const double w = fl_tensor_get(want, i), d = (double)before[i] - (double)after[i] - w;
        off += d * d;
        size += w * w;
    }
    return sqrt(off / size);
}

/* What the published bf16 loses against its own f32. */
static double published_loss(const char *name) {
    const fl_tensor *exact = golden("muon.f32", name, ""), *rounded = golden("muon.bf16", name, "");
    double off = 0, size = 0;
    for (int64_t i = 0; i < fl_tensor_count(exact); i++) {
        const double e = fl_tensor_get(exact, i), d = fl_tensor_get(rounded, i) - e;
        off += d * d;
        size += e * e;
    }
    return sqrt(off / size);
}

static void check_muon(fl_dtype compute) {
    static const char *const names[] = {"self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj",
                                        "mlp.down_proj"};
    const fl_optimizer_opts opts = {.name = "muon",
                                    .muon_lr = 1,
                                    .momentum = 0.95,
                                    .compute = compute};
    fl_model *m = load("qwen3"), *start = load("qwen3");
    fl_safetensors *grads = NULL;
    fl_optimizer *o = NULL;
    fl_err err = {0};
    fl_status s = fl_model_grads_new(m, &err);
    if (s == FL_OK)
        s = fl_safetensors_open(&grads, FL_TEST_DATA "/golden/qwen3/golden.safetensors", &err);
    if (s == FL_OK) s = fl_optimizer_new(&o, m, &opts, &err);
    if (s == FL_OK) s = three_steps(m, o, grads, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    for (int i = 0; i < 4 && s == FL_OK; i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.0.%s.weight", names[i]);
        const double e = error(fl_model_param(start, name)->data.data,
                               fl_model_param(m, name)->data.data, golden("muon.f32", name, ""));
        const double most = compute == FL_F32 ? 1e-3 : 1.5 * published_loss(name);
        CHECKF(e < most, "%s in %s: off by %.2g, may be %.2g", name, fl_dtype_name(compute), e,
               most);
    }
    fl_optimizer_free(o);
    fl_safetensors_close(grads);
    fl_model_free(m);
    fl_model_free(start);
}

int main(void) {
    fl_err err = {0};
    const fl_status s = fl_safetensors_open(&goldens, FL_TEST_DATA "/golden/train.safetensors",
                                            &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    if (s == FL_OK) {
        check_adamw("qwen3", NULL, "next_token");
        check_adamw("gpt2", NULL, "next_token");
        check_adamw("qwen3", "lora_qwen3", "chosen_tokens");
        check_muon(FL_F32);
        check_muon(FL_BF16);
    }
    fl_safetensors_close(goldens);
    return check_report();
}
