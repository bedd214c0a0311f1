/* test_model_golden - models of every architecture against transformers, adapters against PEFT:
 * logits, loss, every gradient, greedy decoding, and files (tests/peers/model_goldens.py). In f32,
 * through every backend that runs here. */
#include "base/alloc.h"
#include "folder.h"
#include "format/peft.h"
#include "golden.h"
#include "model/internal.h"

static const double tolerance = 1e-4;  // relative to each tensor's largest value

static const char *const models[] = {"gpt2",
                                     "llama",
                                     "llama_tied_llama3",
                                     "llama_linear",
                                     "llama_biased",
                                     "mistral_window",
                                     "qwen2",
                                     "qwen3",
                                     "qwen3_window",
                                     "gemma2",
                                     "gemma3",
                                     "phi3",
                                     "phi3_long",
                                     "olmo2",
                                     "stablelm",
                                     "stablelm_parallel",
                                     "gpt_neox",
                                     "gpt_neox_sequential",
                                     "mixtral",
                                     "qwen2_moe",
                                     "qwen3_moe",
                                     "deepseek_v2",
                                     "deepseek_v3",
                                     "deepseek_v3_yarn",
                                     "gpt_oss",
                                     NULL};
static const struct {
    const char *adapter, *base;
} adapters[] = {{"lora_qwen3", "qwen3"},
                {"lora_llama_all", "llama"},
                {"lora_gpt2", "gpt2"},
                {"lora_gpt_neox", "gpt_neox"},
                {"lora_phi3", "phi3"}};

typedef struct {
    char folder[FL_PATH_MAX];
    const char *name;
    const fl_backend *backend;
    fl_model *m;
    fl_safetensors *golden;
} test_case;

static const fl_tensor *golden(const test_case *c, const char *name) {
    const fl_stored_tensor *t = fl_safetensors_find(c->golden, name);
    if (!t) printf("%s: no %s in the golden\n", c->name, name);
    if (!t) exit(EXIT_FAILURE);
    return &t->t;
}

static bool begin(test_case *c, const char *name, const char *base, const fl_model_opts *opts) {
    fl_err err = {0};
    char path[FL_PATH_MAX];
    c->name = name;
    snprintf(c->folder, sizeof c->folder, "%s/golden/%s", FL_TEST_DATA, name);
    snprintf(path, sizeof path, "%s/golden/%s/golden.safetensors", FL_TEST_DATA, name);
    fl_status s = fl_safetensors_open(&c->golden, path, &err);
    snprintf(path, sizeof path, "%s/golden/%s", FL_TEST_DATA, base);
    if (s == FL_OK) s = fl_model_load(&c->m, path, opts, &err);
    CHECKF(s == FL_OK, "%s: %s", name, err.msg);
    return s == FL_OK;
}

static void end(test_case *c) {
    fl_model_free(c->m);
    fl_safetensors_close(c->golden);
    c->m = NULL;
    c->golden = NULL;
}

/* ---- logits, loss, gradients ---- */

static void compare(const test_case *c, const char *what, const fl_tensor *got,
                    const fl_tensor *want, double most) {
    double e = golden_error(got, want);
    CHECKF(e <= most, "%s on %s: %s is off by %.2g", c->name, c->backend->name, what, e);
}

/* The gradients as the file has its tensors: the model's own writer, its weights exchanged for
 * their gradients. */
static void swap_grads(fl_model *m) {
    for (int i = 0; i < m->n_params; i++) {
        fl_param *p = &m->param[i];
        if (!p->grad) continue;
        void *data = p->data.data;
        p->data.data = p->grad;
        p->grad = data;
    }
}

static void compare_stored(const test_case *c, const fl_write_tensor *w) {
    char name[160];
    snprintf(name, sizeof name, "grad.%s", w->name);
    const fl_tensor *want = golden(c, name);
    fl_tensor got = fl_tensor_of(NULL, FL_F32, w->rank, w->dim);
    float *rows = fl_alloc(fl_tensor_bytes(&got));
    got.data = rows;
    CHECKF(fl_tensor_same_shape(&got, want), "%s: %s", c->name, name);
    if (!w->row) memcpy(rows, w->source, fl_tensor_bytes(&got));
    for (int64_t i = 0; w->row && i < fl_tensor_rows(&got); i++)
        w->row(w, i, rows + i * fl_tensor_cols(&got));
    compare(c, name, &got, want, tolerance);
    fl_dealloc(rows);
}

static void compare_model_grads(const test_case *c) {
    fli_stored_list list;
    fl_err err;
    swap_grads(c->m);
    CHECK(fli_stored_hf(&list, c->m, FL_F32, &err) == FL_OK);
    for (int i = 0; i < list.n; i++)
        if (list.item[i].part[0]->grad) compare_stored(c, &list.w[i]);
    fli_stored_clear(&list);
    swap_grads(c->m);
}

static void compare_adapter_grads(const test_case *c) {
    swap_grads(c->m);
    for (int i = c->m->memory->n_base; i < c->m->n_params; i++) {
        fl_param *p = &c->m->param[i];
        if (strchr(p->name, '#') && p->name[strlen(p->name) - 1] != 'q')
            continue;                                            // with the first part
        bool turns = strstr(p->name, "query_key_value.lora_B");  // GPT-NeoX: head by head
        fli_stored s = {.part = {p}, .n_parts = 1, .turn_rows = turns ? c->m->config.head_dim : 0};
        fli_file_name(s.name, p->name);
        for (int k = 0; strchr(p->name, '#') && k < c->m->n_params; k++)
            if (&c->m->param[k] != p && fli_same_tensor(p->name, c->m->param[k].name))
                s.part[s.n_parts++] = &c->m->param[k];
        fl_write_tensor w;
        fli_stored_describe(&s, FL_F32, &w);
        compare_stored(c, &w);
    }
    swap_grads(c->m);
}

static int ascending(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Each token goes to the golden's experts. */
static void compare_routing(const test_case *c, const golden_run *r) {
    int layer = 0;
    for (int i = 0; i < r->n_routed; i++, layer++) {
        while (!fl_config_is_expert_layer(&c->m->config, layer)) layer++;
        char name[32];
        snprintf(name, sizeof name, "routing.%d", layer);
        const fl_tensor ids = fl_program_tensor(r->p, r->routed[i]), *want = golden(c, name);
        const size_t k = (size_t)fl_tensor_cols(&ids);
        CHECKF(fl_tensor_count(want) == fl_tensor_count(&ids), "%s: %s", c->name, name);
        for (int64_t row = 0; row < fl_tensor_rows(&ids); row++)
            qsort((int32_t *)ids.data + (size_t)row * k, k, sizeof(int32_t), ascending);
        CHECKF(memcmp(ids.data, want->data, fl_tensor_bytes(&ids)) == 0, "%s on %s: %s", c->name,
               c->backend->name, name);
    }
}

static void check_training(const test_case *c, void (*compare_grads)(const test_case *)) {
    fl_err err;
    const fl_tensor *tokens = golden(c, "tokens");
    CHECK(fl_model_grads_new(c->m, &err) == FL_OK);
    golden_run r = {.model = c->m,
                    .backend = c->backend,
                    .B = tokens->dim[0],
                    .T = tokens->dim[1],
                    .train = true};
    if (golden_build(&r) && golden_go(&r, tokens->data)) {
        fl_tensor logits = fl_program_tensor(r.p, r.logits), loss = fl_program_tensor(r.p, r.loss);
        compare(c, "logits", &logits, golden(c, "logits"), tolerance);
        compare(c, "loss", &loss, golden(c, "loss"), tolerance);
        compare_routing(c, &r);
        compare_grads(c);
    }
    golden_end(&r);
}

/* ---- forward only, in other ways ---- */

static void check_forward(const test_case *c, fl_dtype compute, double most) {
    const fl_tensor *tokens = golden(c, "tokens");
    golden_run r = {.model = c->m,
                    .backend = c->backend,
                    .compute = compute,
                    .B = tokens->dim[0],
                    .T = tokens->dim[1]};
    if (golden_build(&r) && golden_go(&r, tokens->data)) {
        fl_tensor logits = fl_program_tensor(r.p, r.logits);
        compare(c, compute == FL_F32 ? "logits" : "bf16 logits", &logits, golden(c, "logits"),
                most);
    }
    golden_end(&r);
}

static int32_t best_token(const float *logits, int64_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Each next token from a fresh run over all before it. */
static void check_greedy(const test_case *c, int64_t prompt) {
    const fl_tensor *want = golden(c, "greedy");
    const int32_t *ids = want->data;
    int64_t V = c->m->config.vocab_size;
    for (int64_t T = prompt; T < want->dim[0]; T++) {
        golden_run r = {.model = c->m, .backend = c->backend, .B = 1, .T = T};
        if (golden_build(&r) && golden_go(&r, ids)) {
            const float *logits = fl_program_tensor(r.p, r.logits).data;
            int32_t next = best_token(logits + (T - 1) * V, V);
            CHECKF(next == ids[T], "%s on %s: token %d is %d, golden %d", c->name, c->backend->name,
                   (int)T, next, ids[T]);
        }
        golden_end(&r);
    }
}

/* Two documents in one row: each as if alone. */
static void check_packed(const test_case *c) {
    enum { HALF = 12 };
    const fl_tensor *tokens = golden(c, "tokens"), *want = golden(c, "logits");
    const int32_t *ids = tokens->data;
    int64_t V = c->m->config.vocab_size, T = tokens->dim[1];
    int32_t row[2 * HALF], segment[2 * HALF], position[2 * HALF];
    for (int i = 0; i < 2 * HALF; i++) {
        segment[i] = i / HALF;
        position[i] = i % HALF;
        row[i] = ids[segment[i] * T + position[i]];
    }
    golden_run r = {.model = c->m, .backend = c->backend, .B = 1, .T = 2 * HALF, .segments = true};
    if (golden_build(&r)) {
        golden_fill(&r, r.segment, segment);
        golden_fill(&r, r.position, position);
        golden_go(&r, row);
        for (int k = 0; k < 2; k++) {
            fl_tensor a = fl_tensor_of((float *)fl_program_tensor(r.p, r.logits).data +
                                           k * HALF * V,
                                       FL_F32, 2, (int64_t[]){HALF, V});
            fl_tensor b = fl_tensor_of((float *)want->data + k * T * V, FL_F32, 2,
                                       (int64_t[]){HALF, V});
            compare(c, "packed document", &a, &b, tolerance);
        }
    }
    golden_end(&r);
}

/* ---- keys and values kept: a few tokens, then one by one ---- */

enum { LAYERS = 2, CACHE = 32 };

typedef struct {
    fl_buffer *memory[2 * LAYERS];
    fl_tensor cache[2 * LAYERS];
} kv;

static void kv_new(kv *s, const fl_config *c, int64_t B) {
    fl_err err;
    for (int i = 0; i < 2 * LAYERS; i++) {
        s->cache[i] = fl_tensor_of(NULL, FL_F32, 4,
                                   (int64_t[]){B, CACHE, fl_config_cache(c).heads,
                                               fl_config_cache(c).size});
        CHECK(fl_buffer_new(&s->memory[i], fl_tensor_bytes(&s->cache[i]), &err) == FL_OK);
        s->cache[i].data = fl_buffer_data(s->memory[i]);
    }
}

/* Logits of tokens [from, from + n) of every row, after the earlier ones. */
static void decode_step(const test_case *c, const kv *s, int64_t from, int64_t n) {
    const fl_tensor *tokens = golden(c, "tokens"), *want = golden(c, "logits");
    int64_t B = tokens->dim[0], T = tokens->dim[1], V = c->m->config.vocab_size, dim[2] = {B, n};
    fl_graph *g = fl_graph_new();
    fl_val k[LAYERS], v[LAYERS];
    for (int i = 0; i < LAYERS; i++) {
        k[i] = fl_extern(g, "k", s->cache[2 * i], false);
        v[i] = fl_extern(g, "v", s->cache[2 * i + 1], false);
    }
    fl_forward f = {.tokens = fl_input(g, "tokens", FL_I32, 2, dim),
                    .position = fl_input(g, "position", FL_I32, 2, dim),
                    .segment = FL_NONE,
                    .start = fl_input(g, "start", FL_I32, 1, &B),
                    .table = FL_NONE,
                    .k_cache = k,
                    .v_cache = fl_config_cache(&c->m->config).values ? v : NULL,
                    .context = T};
    fl_val logits = fl_model_logits(c->m, g, fl_model_hidden(c->m, g, &f));
    fl_graph_output(g, logits);
    fl_program *p = NULL;
    fl_err err = {0};
    CHECKF(fl_program_new(&p, g, &(fl_program_opts){.backend = c->backend}, &err) == FL_OK, "%s",
           err.msg);
    for (int64_t b = 0; p && b < B; b++) {
        ((int32_t *)fl_program_tensor(p, f.start).data)[b] = (int32_t)from;
        for (int64_t t = 0; t < n; t++) {
            ((int32_t *)fl_program_tensor(p, f.tokens).data)[b * n + t] =
                ((const int32_t *)tokens->data)[b * T + from + t];
            ((int32_t *)fl_program_tensor(p, f.position).data)[b * n + t] = (int32_t)(from + t);
        }
    }
    if (p) CHECKF(fl_program_run(p, false, &err) == FL_OK, "%s", err.msg);
    for (int64_t b = 0; p && b < B; b++) {
        fl_tensor a = fl_tensor_of((float *)fl_program_tensor(p, logits).data + b * n * V, FL_F32,
                                   2, (int64_t[]){n, V});
        fl_tensor w = fl_tensor_of((float *)want->data + (b * T + from) * V, FL_F32, 2,
                                   (int64_t[]){n, V});
        compare(c, "decoded logits", &a, &w, tolerance);
    }
    fl_program_free(p);
    fl_graph_free(g);
}

static void check_decode(const test_case *c) {
    enum { PREFILL = 9 };
    kv s;
    kv_new(&s, &c->m->config, 2);
    decode_step(c, &s, 0, PREFILL);
    for (int64_t t = PREFILL; t < golden(c, "tokens")->dim[1]; t++) decode_step(c, &s, t, 1);
    for (int i = 0; i < 2 * LAYERS; i++) fl_buffer_unref(s.memory[i]);
}

/* ---- files ---- */

static void same_file(const char *dir_a, const char *dir_b, const char *name) {
    char path[FL_PATH_MAX], *a = NULL, *b = NULL;
    size_t n = 0, k = 0;
    fl_err err = {0};
    bool ok = fl_path_join(path, dir_a, name, &err) == FL_OK &&
              fl_file_read(path, 1 << 24, &a, &n, &err) == FL_OK &&
              fl_path_join(path, dir_b, name, &err) == FL_OK &&
              fl_file_read(path, 1 << 24, &b, &k, &err) == FL_OK;
    CHECKF(ok, "%s", err.msg);
    CHECKF(ok && n == k && memcmp(a, b, n) == 0, "%s of %s and %s differ", name, dir_a, dir_b);
    fl_dealloc(a);
    fl_dealloc(b);
}

/* Saved in bf16, the file is transformers' own; in f32, load and save give the same bytes again. */
static void check_save(const test_case *c) {
    fl_err err = {0};
    fl_model *again = NULL;
    CHECKF(fl_model_save(c->m, folder_file("bf16"), FL_BF16, &err) == FL_OK, "%s", err.msg);
    same_file(folder_file("bf16"), c->folder, "model.safetensors");
    CHECK(fl_model_save(c->m, folder_file("one"), FL_F32, &err) == FL_OK);
    CHECKF(fl_model_load(&again, folder_file("one"), &(fl_model_opts){.no_tokenizer = true},
                         &err) == FL_OK,
           "%s", err.msg);
    if (!again) return;
    CHECK(fl_model_save(again, folder_file("two"), FL_F32, &err) == FL_OK);
    same_file(folder_file("one"), folder_file("two"), "model.safetensors");
    same_file(folder_file("one"), folder_file("two"), "config.json");
    same_file(folder_file("one"), folder_file("two"), "generation_config.json");
    CHECK(again->n_params == c->m->n_params &&
          fl_model_count(again, false) == fl_config_count(&again->config));
    fl_model_free(again);
}

/* ---- the cases ---- */

static void check_model(const char *name, const fl_backend *backend) {
    test_case c = {.backend = backend};
    if (begin(&c, name, name, &(fl_model_opts){.no_tokenizer = true})) {
        check_training(&c, compare_model_grads);
        check_greedy(&c, 5);
        check_packed(&c);
        check_decode(&c);
        check_forward(&c, FL_BF16, 0.03);
        check_save(&c);
    }
    end(&c);
    if (begin(&c, name, name, &(fl_model_opts){.no_tokenizer = true, .as_stored = true}))
        check_forward(&c, FL_F32, tolerance);
    end(&c);
}

static bool attach(const test_case *c) {
    char path[FL_PATH_MAX];
    json_t *config = NULL;
    fl_err err = {0};
    fl_status s = fl_path_join(path, c->folder, FL_PEFT_CONFIG, &err);
    if (s == FL_OK) s = fl_json_load(&config, path, &err);
    if (s == FL_OK) s = fl_model_attach(c->m, &fl_transform_lora, config, 1, &err);
    if (s == FL_OK) s = c->m->transforms->row->load(c->m->transforms->state, c->m, c->folder, &err);
    json_decref(config);
    CHECKF(s == FL_OK, "%s: %s", c->name, err.msg);
    return s == FL_OK;
}

static void check_adapter(const char *name, const char *base, const fl_backend *backend) {
    test_case c = {.backend = backend};
    fl_err err = {0};
    if (begin(&c, name, base, &(fl_model_opts){.no_tokenizer = true}) && attach(&c)) {
        check_training(&c, compare_adapter_grads);
        check_greedy(&c, 5);
        CHECKF(c.m->transforms->row->save(c.m->transforms->state, c.m, folder_file("lora"), &err) ==
                   FL_OK,
               "%s", err.msg);
        same_file(folder_file("lora"), c.folder, FL_PEFT_WEIGHTS);
        CHECKF(fl_model_merge(c.m, &err) == FL_OK && !c.m->transforms, "%s", err.msg);
        check_forward(&c, FL_F32, tolerance);
    }
    end(&c);
}

/* The base out of a GGUF file, where rows have another order that the adapter's follow. */
static void check_adapter_on_gguf(const char *name, const char *base, const fl_backend *backend) {
    test_case c = {.backend = backend};
    fl_err err = {0};
    const char *path = folder_file("base.gguf");
    fl_status s = begin(&c, name, base, &(fl_model_opts){.no_tokenizer = true})
                      ? fl_model_save_gguf(c.m, path, "base", FL_F32, &err)
                      : FL_ERR_IO;
    fl_model_free(c.m);
    c.m = NULL;
    if (s == FL_OK)
        s = fl_model_load(&c.m, path, &(fl_model_opts){.no_tokenizer = true, .as_stored = true},
                          &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    if (s == FL_OK && attach(&c)) {
        check_forward(&c, FL_F32, tolerance);
        fl_transform_link *lora = c.m->transforms;
        CHECKF(lora->row->save(lora->state, c.m, folder_file("lora"), &err) == FL_OK, "%s",
               err.msg);
        same_file(folder_file("lora"), c.folder, FL_PEFT_WEIGHTS);
        CHECKF(fl_model_merge(c.m, &err) != FL_OK && strstr(err.msg, "mapped"), "%s", err.msg);
    }
    end(&c);
}

/* For tests/peers/model_adapters.py: each adapter as Fledge saves it. */
static void write_adapters(const char *dir) {
    for (size_t i = 0; i < sizeof adapters / sizeof adapters[0]; i++) {
        test_case c = {.backend = NULL};
        char path[FL_PATH_MAX];
        fl_err err = {0};
        fl_model_opts opts = {.no_tokenizer = true};
        bool good = begin(&c, adapters[i].adapter, adapters[i].base, &opts) && attach(&c) &&
                    fl_path_join(path, dir, adapters[i].adapter, &err) == FL_OK;
        fl_transform_link *lora = good ? c.m->transforms : NULL;
        CHECKF(lora && lora->row->save(lora->state, c.m, path, &err) == FL_OK, "%s", err.msg);
        end(&c);
    }
}

int main(int argc, char **argv) {
    if (argc == 2) {
        write_adapters(argv[1]);
        return check_report();
    }
    folder_make();
    for (int b = 0; fl_backends[b]; b++) {
        if (!fl_backends[b]->available()) {
            printf("SKIP %s: needs %s\n", fl_backends[b]->name, fl_backends[b]->needs);
            continue;
        }
        for (int i = 0; models[i]; i++) check_model(models[i], fl_backends[b]);
        for (size_t i = 0; i < sizeof adapters / sizeof adapters[0]; i++)
            check_adapter(adapters[i].adapter, adapters[i].base, fl_backends[b]);
        check_adapter_on_gguf("lora_llama_all", "llama", fl_backends[b]);
    }
    folder_remove();
    return check_report();
}
