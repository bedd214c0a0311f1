/* check_model - models made, loaded and refused: known sizes, initialisation, every way a folder
 * can be wrong, files as others write them, and memory running out at every point. */
#include <math.h>

#include "as_stored.h"
#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "format/safetensors.h"
#include "model/arch.h"
#include "model/inspect.h"
#include "model/transform.h"

static const fl_model_opts no_tokenizer = {.no_tokenizer = true};

static void golden_path(char out[FL_PATH_MAX], const char *model, const char *file) {
    snprintf(out, FL_PATH_MAX, "%s/golden/%s/%s", FL_TEST_DATA, model, file);
}

/* ---- sizes ---- */

static void check_counts(void) {
    const fl_config gpt2 = {.arch = fl_arch_find("gpt2"),
                            .vocab_size = 50257,
                            .hidden_size = 768,
                            .num_hidden_layers = 12,
                            .num_attention_heads = 12,
                            .max_position_embeddings = 1024,
                            .tie_word_embeddings = true};
    const fl_config smol = {.arch = fl_arch_find("llama"),
                            .vocab_size = 49152,
                            .hidden_size = 576,
                            .intermediate_size = 1536,
                            .num_hidden_layers = 30,
                            .num_attention_heads = 9,
                            .num_key_value_heads = 3,
                            .tie_word_embeddings = true};
    const fl_config qwen = {.arch = fl_arch_find("qwen3"),
                            .vocab_size = 151936,
                            .hidden_size = 1024,
                            .intermediate_size = 3072,
                            .num_hidden_layers = 28,
                            .num_attention_heads = 16,
                            .num_key_value_heads = 8,
                            .head_dim = 128,
                            .tie_word_embeddings = true};
    const struct {
        fl_config c;
        int64_t n;
    } known[] = {{gpt2, 124439808}, {smol, 134515008}, {qwen, 596049920}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        fl_config c = known[i].c;
        fl_err err = {0};
        CHECKF(fl_config_complete(&c, &err) == FL_OK, "%s", err.msg);
        CHECKF(fl_config_count(&c) == known[i].n, "%s: %lld", c.arch->name,
               (long long)fl_config_count(&c));
    }
    fl_config c = gpt2;
    CHECK(fl_config_complete(&c, NULL) == FL_OK);
    CHECK(fl_config_flops_per_token(&c, 256) == 6.0 * 124439808 + 12.0 * 12 * 768 * 256);
    c.tie_word_embeddings = false;
    CHECK(fl_config_count(&c) == 124439808 + 50257 * 768);
    CHECK(fl_config_flops_per_token(&c, 0) == 6.0 * 124439808);
}

/* ---- config.json ---- */

/* A golden's config.json with some fields replaced, and a word of the error it must give. */
static const struct {
    const char *model, *change, *word;
} wrong_configs[] = {
    {"qwen3", "{}", NULL},
    {"qwen3", "{\"model_type\":\"mamba\"}", "model_type is \"mamba\""},
    {"qwen3", "{\"model_type\":3}", "model_type"},
    {"qwen3", "{\"vocab_size\":null}", "vocab_size"},
    {"qwen3", "{\"vocab_size\":\"many\"}", "vocab_size"},
    {"qwen3", "{\"vocab_size\":0}", "vocab_size is 0"},
    {"qwen3", "{\"vocab_size\":-5}", "vocab_size is -5"},
    {"qwen3", "{\"hidden_size\":9000000000000000000}", "hidden_size"},
    {"llama", "{\"num_hidden_layers\":1000000000}", "num_hidden_layers"},
    {"qwen3", "{\"num_key_value_heads\":3}", "num_key_value_heads"},
    {"qwen3", "{\"head_dim\":7}", "head_dim"},
    {"qwen3", "{\"hidden_act\":\"gelu\"}", "hidden_act is \"gelu\""},
    {"qwen3", "{\"attention_bias\":true}", "attention_bias is true"},
    {"qwen3", "{\"quantization_config\":{\"bits\":4}}", "quantization_config"},
    {"qwen3", "{\"rms_norm_eps\":0}", NULL},
    {"qwen3", "{\"rms_norm_eps\":-1}", "epsilon"},
    {"qwen3", "{\"rope_parameters\":{\"rope_type\":\"su7\",\"factor\":4}}", "\"su7\""},
    {"qwen3", "{\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4}}", NULL},
    {"qwen3", "{\"rope_parameters\":{\"rope_type\":\"yarn\",\"beta_slow\":0}}", "beta_slow"},
    {"qwen3", "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":-4},\"rope_parameters\":null}",
     "factor must be above 0"},
    {"qwen3", "{\"rope_parameters\":{\"type\":\"longrope\",\"short_factor\":[1]}}", "short_factor"},
    {"qwen3", "{\"rope_parameters\":{\"partial_rotary_factor\":0.5}}", "partial_rotary_factor"},
    {"qwen3", "{\"rope_parameters\":{\"full_attention\":{}}}", "differ by kind of layer"},
    {"qwen3", "{\"rope_parameters\":7}", "rope_scaling"},
    {"qwen3", "{\"eos_token_id\":\"x\"}", "eos_token_id"},
    {"qwen3", "{\"eos_token_id\":[5,6]}", NULL},
    {"llama", "{\"rope_parameters\":{\"rope_type\":\"linear\"}}", "factor"},
    {"llama", "{\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":0}}", "factor"},
    {"llama", "{\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8}}", "low_freq_factor"},
    {"llama", "{\"mlp_bias\":3}", "mlp_bias"},
    {"llama", "{\"mlp_bias\":true,\"attention_bias\":true}", NULL},
    {"llama", "{\"head_dim\":null,\"rms_norm_eps\":null}", NULL},
    {"llama", "{\"sliding_window\":16}", "sliding_window is 16"},
    {"qwen3_window", "{\"sliding_window\":-3}", "sliding_window"},
    {"qwen3_window", "{\"layer_types\":[\"sliding_attention\",\"full_attention\"]}",
     "layer_types[0]"},
    {"qwen3_window", "{\"layer_types\":[\"full_attention\"]}", "layer_types"},
    {"gpt2", "{\"activation_function\":\"relu\"}", "activation_function is \"relu\""},
    {"gpt2", "{\"scale_attn_by_inverse_layer_idx\":true}", "scale_attn_by_inverse_layer_idx"},
    {"gpt2", "{\"n_head\":5}", "number of heads"},
};

static void check_configs(void) {
    for (size_t i = 0; i < sizeof wrong_configs / sizeof wrong_configs[0]; i++) {
        char path[FL_PATH_MAX];
        json_t *v = NULL, *change = json_loads(wrong_configs[i].change, 0, NULL);
        fl_config c = {0};
        fl_err err = {0};
        golden_path(path, wrong_configs[i].model, "config.json");
        CHECK(fl_json_load(&v, path, &err) == FL_OK && change);
        json_object_update(v, change);
        fl_status s = fl_config_parse(&c, v, "config.json", &err);
        const char *word = wrong_configs[i].word;
        CHECKF((s == FL_OK) == !word, "%s: %s", wrong_configs[i].change, err.msg);
        if (word) CHECKF(strstr(err.msg, word), "%s: \"%s\"", wrong_configs[i].change, err.msg);
        fl_config_clear(&c);
        json_decref(change);
        json_decref(v);
    }
}

/* ---- fresh models ---- */

static double deviation(const fl_param *p) {
    double sum = 0, squares = 0, n = (double)fl_tensor_count(&p->data);
    for (int64_t i = 0; i < fl_tensor_count(&p->data); i++) {
        double v = fl_tensor_get(&p->data, i);
        sum += v;
        squares += v * v;
    }
    return sqrt(squares / n - sum / n * sum / n);
}

static void check_fresh(void) {
    const fl_config c = {.arch = fl_arch_find("gpt2"),
                         .vocab_size = 300,
                         .hidden_size = 128,
                         .num_hidden_layers = 8,
                         .num_attention_heads = 4,
                         .initializer_range = 0.05};
    fl_model *a = NULL, *b = NULL, *other = NULL;
    fl_err err = {0};
    CHECKF(fl_model_new(&a, &c, 7, &err) == FL_OK, "%s", err.msg);
    CHECK(fl_model_new(&b, &c, 7, &err) == FL_OK && fl_model_new(&other, &c, 8, &err) == FL_OK);
    for (int i = 0; i < a->n_params; i++) {
        const fl_param *p = &a->param[i], *q = &b->param[i];
        CHECKF(memcmp(p->data.data, q->data.data, fl_tensor_bytes(&p->data)) == 0, "%s", p->name);
        bool out = strstr(p->name, "c_proj.weight") != NULL;
        double want = p->role == FL_ROLE_NORM || p->role == FL_ROLE_BIAS ? 0
                      : out                                              ? 0.05 / 4
                                                                         : 0.05;
        CHECKF(fabs(deviation(p) - want) < 0.03 * 0.05, "%s: %g", p->name, deviation(p));
        if (p->role == FL_ROLE_NORM) CHECKF(fl_tensor_get(&p->data, 3) == 1, "%s", p->name);
    }
    const char *name = "transformer.h.0.attn.c_attn.weight#q";
    fl_param *p = fl_model_param(a, name), *q = fl_model_param(other, name);
    CHECK(p && q && memcmp(p->data.data, q->data.data, fl_tensor_bytes(&p->data)) != 0);
    p = fl_model_param(a, "transformer.h.0.attn.c_attn.weight#k");
    q = fl_model_param(a, "transformer.h.1.attn.c_attn.weight#k");
    CHECK(p && q && memcmp(p->data.data, q->data.data, fl_tensor_bytes(&p->data)) != 0);
    CHECK(fl_model_grads_new(a, &err) == FL_OK);
    CHECK(p->grad && (uintptr_t)p->grad % FL_ALIGN == 0 && p->grad[0] == 0);
    fl_model_free(a);
    fl_model_free(b);
    fl_model_free(other);
}

/* ---- folders ---- */

/* m/ holds a golden's config.json and the tensors given. */
static void put_model(const char *model, const fl_write_tensor *w, int n) {
    char path[FL_PATH_MAX], *text = NULL;
    size_t bytes;
    fl_err err = {0};
    golden_path(path, model, "config.json");
    CHECK(fl_file_read(path, 1 << 20, &text, &bytes, &err) == FL_OK);
    folder_put("m/config.json", text, bytes);
    fl_dealloc(text);
    CHECKF(fl_safetensors_save(folder_file("m/model.safetensors"), w, n, &err) == FL_OK, "%s",
           err.msg);
}

enum { ROOM = 64 };
static int golden_tensors(const char *model, fl_safetensors **st, fl_write_tensor out[ROOM]) {
    char path[FL_PATH_MAX];
    fl_err err;
    golden_path(path, model, "model.safetensors");
    if (fl_safetensors_open(st, path, &err) != FL_OK) exit(EXIT_FAILURE);
    int n = fl_safetensors_count(*st);
    for (int i = 0; i < n; i++) {
        const fl_stored_tensor *t = fl_safetensors_at(*st, i);
        out[i] = as_stored(t);
    }
    return n;
}

static void expect_load(const char *what, const char *path, const fl_model_opts *opts,
                        const char *word) {
    fl_model *m = NULL;
    fl_err err = {0};
    fl_status s = fl_model_load(&m, path, opts, &err);
    CHECKF((s == FL_OK) == !word && (s == FL_OK) == (m != NULL), "%s: %s", what, err.msg);
    if (word) CHECKF(strstr(err.msg, word), "%s: \"%s\"", what, err.msg);
    fl_model_free(m);
}

static void check_tensors(void) {
    fl_safetensors *st;
    fl_write_tensor w[ROOM], one;
    static const int32_t ids[4096];
    int n = golden_tensors("qwen3", &st, w);
    put_model("qwen3", w, n);
    expect_load("as it is", folder_file("m"), &no_tokenizer, NULL);
    put_model("qwen3", w + 1, n - 1);
    expect_load("one missing", folder_file("m"), &no_tokenizer,
                "tensor model.embed_tokens.weight is missing");
    one = w[n] = w[0];
    w[n].name = "model.layers.0.mlp.router.weight";
    put_model("qwen3", w, n + 1);
    expect_load("one too many", folder_file("m"), &no_tokenizer, "router.weight has no place");
    w[n].name = "lm_head.weight";
    put_model("qwen3", w, n + 1);
    expect_load("the tied head again", folder_file("m"), &no_tokenizer, NULL);
    w[0].dim[0]--;
    put_model("qwen3", w, n);
    expect_load("misshaped", folder_file("m"), &no_tokenizer,
                "(95, 32); config.json makes it (96, 32)");
    w[0] = one;
    w[0].dtype = w[0].source_dtype = FL_I32;
    w[0].source = ids;
    put_model("qwen3", w, n);
    expect_load("integers", folder_file("m"), &no_tokenizer, "expected a float format");
    w[0] = one;
    put_model("qwen3", w, 0);
    expect_load("nothing", folder_file("m"), &no_tokenizer, "is missing");
    fl_safetensors_close(st);
}

static void check_folders(void) {
    char path[FL_PATH_MAX], *text = NULL;
    size_t n = 0;
    golden_path(path, "llama", "model.safetensors");
    expect_load("a file", path, &no_tokenizer, "expected a folder");
    expect_load("not there", folder_file("nowhere"), &no_tokenizer, "no such file or folder");
    folder_puts("empty/x", "");
    expect_load("empty", folder_file("empty"), &no_tokenizer, "no config.json");

    CHECK(fl_file_read(path, 1 << 24, &text, &n, NULL) == FL_OK);
    fl_safetensors *st;
    fl_write_tensor w[ROOM];
    put_model("llama", w, golden_tensors("llama", &st, w));
    fl_safetensors_close(st);
    expect_load("whole", folder_file("m"), &no_tokenizer, NULL);
    for (size_t cut = 0; cut < n; cut += n / 7 + 1) {
        folder_put("m/model.safetensors", text, cut);
        expect_load("cut short", folder_file("m"), &no_tokenizer, "model.safetensors");
    }
    folder_put("m/model.safetensors", text, n);
    folder_puts("m/config.json", "{\"model_type\": \"llama\", ");
    expect_load("half a config", folder_file("m"), &no_tokenizer, "config.json");
    folder_puts("m/config.json", "\x89PNG\r\n\x1a\n");
    expect_load("not a config", folder_file("m"), &no_tokenizer, "config.json");
    fl_dealloc(text);
}

/* A run: latest leads to the checkpoint. */
static void check_run_folder(void) {
    fl_err err = {0};
    fl_model *m = NULL;
    char path[FL_PATH_MAX];
    golden_path(path, "qwen3", "");
    CHECK(fl_model_load(&m, path, &no_tokenizer, &err) == FL_OK);
    CHECK(fl_model_save(m, folder_file("run/checkpoints/step-5"), FL_F16, &err) == FL_OK);
    CHECK(fl_model_save(m, folder_file("empty/x"), FL_F16, &err) != FL_OK);  // a file is in the way
    fl_model_free(m);
    expect_load("no latest", folder_file("run"), &no_tokenizer, "latest/config.json");
    CHECK(fl_link_replace(folder_file("run/latest"), "checkpoints/step-5", &err) == FL_OK);
    expect_load("run", folder_file("run"), &no_tokenizer, NULL);
    expect_load("checkpoint", folder_file("run/checkpoints/step-5"), &no_tokenizer, NULL);
}

/* ---- files as others write them ---- */

static double difference(const fl_model *a, const fl_model *b) {
    double worst = 0;
    for (int i = 0; i < a->n_params; i++)
        for (int64_t k = 0; k < fl_tensor_count(&a->param[i].data); k++)
            worst = fmax(worst, fabs(fl_tensor_get(&a->param[i].data, k) -
                                     fl_tensor_get(&b->param[i].data, k)));
    return worst;
}

/* The model of m/ (or of two shards) is that of the golden, to `most`. */
static void expect_same(const char *what, const char *model, const fl_model_opts *opts,
                        double most) {
    char path[FL_PATH_MAX];
    fl_model *a = NULL, *b = NULL;
    fl_err err = {0};
    golden_path(path, model, "");
    CHECK(fl_model_load(&a, path, &no_tokenizer, &err) == FL_OK);
    CHECKF(fl_model_load(&b, folder_file("m"), opts, &err) == FL_OK, "%s: %s", what, err.msg);
    if (a && b) CHECKF(difference(a, b) <= most, "%s: %g", what, difference(a, b));
    fl_model_free(a);
    fl_model_free(b);
}

/* GPT-2 as the hub has it: no "transformer." prefix, with the causal masks of old. */
static void check_bare_gpt2(void) {
    static const float mask[32 * 32];
    static char names[ROOM][128];
    fl_safetensors *st;
    fl_write_tensor w[ROOM];
    int n = golden_tensors("gpt2", &st, w);
    for (int i = 0; i < n; i++) w[i].name += strlen("transformer.");
    w[n++] = (fl_write_tensor){.name = "h.0.attn.bias",
                               .dtype = FL_F32,
                               .rank = 4,
                               .dim = {1, 1, 32, 32},
                               .source = mask};
    put_model("gpt2", w, n);
    expect_same("bare", "gpt2", &no_tokenizer, 0);
    expect_same("bare, in place", "gpt2", &(fl_model_opts){.no_tokenizer = true, .as_stored = true},
                0);
    expect_same("bare, bf16", "gpt2", &(fl_model_opts){.no_tokenizer = true, .dtype = FL_BF16}, 0);
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "model.%s", w[i].name);
        w[i].name = names[i];
    }
    put_model("gpt2", w, n);
    expect_load("foreign prefix", folder_file("m"), &no_tokenizer, "is missing");
    fl_safetensors_close(st);
}

static void check_formats(void) {
    static const struct {
        fl_dtype dtype;
        double most;
    } formats[] = {{FL_F32, 0}, {FL_BF16, 0}, {FL_F16, 1e-3}, {FL_F64, 0}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        fl_safetensors *st;
        fl_write_tensor w[ROOM];
        int n = golden_tensors("mistral_window", &st, w);
        for (int k = 0; k < n; k++) w[k].dtype = formats[i].dtype;
        put_model("mistral_window", w, n);
        expect_same(fl_dtype_name(formats[i].dtype), "mistral_window", &no_tokenizer,
                    formats[i].most);
        expect_same("in place", "mistral_window",
                    &(fl_model_opts){.no_tokenizer = true, .as_stored = true}, formats[i].most);
        fl_safetensors_close(st);
    }
}

static void check_shards(void) {
    fl_safetensors *st;
    fl_write_tensor w[ROOM];
    fl_err err = {0};
    int n = golden_tensors("llama", &st, w), half = n / 2;
    put_model("llama", w, n);
    json_t *map = json_object();
    for (int i = 0; i < n; i++)
        json_object_set_new(map, w[i].name,
                            json_string(i < half ? "model-00001-of-00002.safetensors"
                                                 : "model-00002-of-00002.safetensors"));
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)1,
                              "weight_map", map);
    CHECK(fl_json_save(index, folder_file("m/model.safetensors.index.json"), &err) == FL_OK);
    CHECK(fl_safetensors_save(folder_file("m/model-00001-of-00002.safetensors"), w, half, &err) ==
          FL_OK);
    CHECK(fl_safetensors_save(folder_file("m/model-00002-of-00002.safetensors"), w + half, n - half,
                              &err) == FL_OK);
    remove(folder_file("m/model.safetensors"));
    expect_same("two shards", "llama", &no_tokenizer, 0);
    remove(folder_file("m/model-00002-of-00002.safetensors"));
    expect_load("a shard is missing", folder_file("m"), &no_tokenizer,
                "model-00002-of-00002.safetensors");
    remove(folder_file("m/model.safetensors.index.json"));
    json_decref(index);
    fl_safetensors_close(st);
}

/* ---- inspection ---- */

static void check_inspect(void) {
    char path[FL_PATH_MAX];
    fl_model *m = NULL;
    fl_model_report r;
    golden_path(path, "gpt2", "");
    CHECK(fl_model_load(&m, path, &no_tokenizer, NULL) == FL_OK);
    fl_model_inspect(m, &r);
    int64_t sum = 0;
    for (int i = 0; i < FL_MODEL_PART_COUNT; i++) sum += r.part[i].parameters;
    CHECK(sum == fl_model_count(m, false) && sum == fl_config_count(&m->config));
    CHECK(r.part[FL_MODEL_PART_ATTENTION].parameters == 2 * (4 * 32 * 32 + 4 * 32));
    CHECK(r.part[FL_MODEL_PART_FEED_FORWARD].parameters == 2 * (2 * 32 * 64 + 64 + 32));
    CHECK(r.part[FL_MODEL_PART_NORM].parameters == 5 * 2 * 32);
    fl_model_free(m);
}

/* ---- transforms that cannot be attached ---- */

static void check_attach(void) {
    static const struct {
        const char *config, *word;
    } cases[] = {
        {"{\"target_modules\":[\"q_proj\",\"typo\"]}", "\"typo\" matches no matrix"},
        {"{\"target_modules\":[\"lm_head\"]}", "match no matrix"},
        {"{\"lora_dropout\":0.05}", "lora_dropout"},
        {"{\"r\":4}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[FL_PATH_MAX];
        fl_model *m = NULL;
        fl_err err = {0};
        golden_path(path, "qwen3", "");
        CHECK(fl_model_load(&m, path, &no_tokenizer, NULL) == FL_OK);
        json_t *v = json_loads(cases[i].config, 0, NULL);
        int before = m->n_params;
        fl_status s = fl_model_attach(m, &fl_transform_lora, v, 3, &err);
        CHECKF((s == FL_OK) == !cases[i].word, "%s: %s", cases[i].config, err.msg);
        if (cases[i].word) {
            CHECKF(strstr(err.msg, cases[i].word), "%s: \"%s\"", cases[i].config, err.msg);
            CHECK(m->n_params == before && !m->transforms && m->param[0].trainable);
        } else {
            CHECK(m->n_params == before + 2 * 2 * 7 && !m->param[0].trainable);
            CHECK(fl_model_count(m, true) ==
                  2 * 4 * (32 + 64 + 2 * (32 + 32) + 64 + 32 + 3 * (32 + 48)));
            CHECK(fl_model_merge(m, &err) == FL_OK && fl_model_count(m, true) == 0);
        }
        json_decref(v);
        fl_model_free(m);
    }
}

/* ---- memory running out ---- */

static void check_no_memory(const fl_model_opts *opts) {
    char path[FL_PATH_MAX];
    golden_path(path, "gpt2", "");
    bool failed = true;
    for (long n = 1; failed && n < 5000; n++) {
        fl_model *m = NULL;
        fl_err err = {0};
        fl_alloc_fail_at(n);
        fl_status s = fl_model_load(&m, path, opts, &err);
        failed = fl_alloc_fail_at(0);
        CHECKF(failed == (s != FL_OK) && failed == !m, "allocation %ld: %s", n, err.msg);
        CHECKF(!failed || s == FL_ERR_NOMEM, "allocation %ld: %s", n, err.msg);
        fl_model_free(m);
    }
    CHECK(!failed);
}

int main(void) {
    folder_make();
    check_counts();
    check_configs();
    check_fresh();
    check_tensors();
    check_folders();
    check_run_folder();
    check_bare_gpt2();
    check_formats();
    check_shards();
    check_inspect();
    check_attach();
    check_no_memory(&no_tokenizer);
    check_no_memory(&(fl_model_opts){.no_tokenizer = true, .as_stored = true});
    folder_remove();
    return check_report();
}
