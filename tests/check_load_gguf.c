/* check_load_gguf - a model through GGUF and back: the same facts, the same weights; weights used
 * as they are stored give what the same numbers give as f32; files that are no model are refused.
 *
 * Caught by it: Q and K left permuted, rotated in the other order than they have or saved in it, a
 * part of a fused tensor taken from the wrong row, a fact read under another name, tied heads missed,
 * a block row cut at the wrong byte, formats that do not stay what they are, a file_type that does
 * not say so. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "compress/quantize.h"
#include "folder.h"
#include "format/gguf.h"
#include "golden.h"
#include "model/arch.h"

static const fl_model_opts as_f32 = {.dtype = FL_F32, .no_tokenizer = true},
                           as_stored = {.as_stored = true, .no_tokenizer = true};

static fl_model *load(const char *path, const fl_model_opts *opts) {
    fl_model *m = NULL;
    fl_err err = {0};
    CHECKF(fl_model_load(&m, path, opts, &err) == FL_OK, "%s", err.msg);
    return m;
}

static const char *save(const fl_model *m, const char *name, fl_dtype dtype) {
    fl_err err = {0};
    const char *path = folder_file(name);
    CHECKF(fl_model_save_gguf(m, path, "tiny", dtype, &err) == FL_OK, "%s", err.msg);
    return path;
}

static const char *rope_type(const fl_config *c) {
    const char *type = json_string_value(json_object_get(c->rope_scaling, "rope_type"));
    return type ? type : "default";
}

/* Where llama.cpp wants a head of its own, a tied one is written out; and Mistral is a Llama. */
static void check_facts(const char *name, const fl_config *a, const fl_config *b,
                        const char *rope) {
    CHECKF(strcmp(a->arch->gguf_name, b->arch->gguf_name) == 0 &&
               !a->num_experts == !b->num_experts,
           "%s became %s", name, b->arch->name);
    CHECKF(a->rotary_dim == b->rotary_dim && a->head_dim == b->head_dim, "%s: heads", name);
    CHECKF(a->sliding_window == b->sliding_window && a->full_every == b->full_every, "%s: window",
           name);
    for (const fl_config_key *k = a->arch->keys; k->key; k++) {
        const void *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
        if (k->kind == FL_KEY_INT)
            CHECKF(*(const int64_t *)x == *(const int64_t *)y, "%s: %s", name, k->key);
        if (k->kind == FL_KEY_REAL && k->offset != offsetof(fl_config, initializer_range))
            CHECKF((float)*(const double *)x == (float)*(const double *)y, "%s: %s", name, k->key);
        if (k->kind == FL_KEY_BOOL)
            CHECKF(*(const bool *)x == *(const bool *)y, "%s: %s", name, k->key);
    }
    const bool tied = a->tie_word_embeddings && a->arch->gguf_head != FL_GGUF_HEAD_STORED;
    CHECKF(b->tie_word_embeddings == tied, "%s: tied", name);
    CHECKF(a->rope_theta == 0 || fabs(a->rope_theta / b->rope_theta - 1) < 1e-6, "%s: theta", name);
    CHECKF(strcmp(rope_type(b), rope ? rope : rope_type(a)) == 0, "%s: %s", name, rope_type(b));
}

static void check_weights(const char *name, const fl_model *a, const fl_model *b);

/* Latent attention's weights are others here than there, until they are saved as a folder. */
static void check_folder(const char *name, const fl_model *a, const fl_model *b) {
    fl_err err = {0};
    const char *path = folder_file("hf");
    CHECKF(fl_model_save(b, path, FL_F32, &err) == FL_OK, "%s: %s", name, err.msg);
    fl_model *again = load(path, &as_f32);
    if (again) check_weights(name, a, again);
    fl_model_free(again);
}

static void check_weights(const char *name, const fl_model *a, const fl_model *b) {
    if (b->config.split_kv_up) return check_folder(name, a, b);
    const int head = a->config.tie_word_embeddings != b->config.tie_word_embeddings;
    CHECKF(a->n_params + head == b->n_params, "%s: %d, %d", name, a->n_params, b->n_params);
    for (int i = 0; i < a->n_params && i < b->n_params; i++) {
        const fl_param *p = &a->param[i], *q = &b->param[i];
        CHECKF(strcmp(p->name, q->name) == 0 && fl_tensor_same_shape(&p->data, &q->data), "%s: %s",
               name, q->name);
        const bool same = a->config.arch->norm_plus_one && p->data.rank == 1
                              ? golden_error(&q->data, &p->data) < 1e-6
                              : !memcmp(p->data.data, q->data.data, fl_tensor_bytes(&p->data));
        CHECKF(same, "%s: %s", name, q->name);
    }
}

static fl_tensor logits_of(fl_model *m, fl_dtype compute, golden_run *r) {
    static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
    *r = (golden_run){.model = m, .compute = compute, .B = 1, .T = 8};
    if (!golden_build(r) || !golden_go(r, tokens)) return (fl_tensor){0};
    return fl_program_tensor(r->p, r->logits);
}

static void check_logits(const char *name, fl_model *m, fl_model *again) {
    golden_run a = {0}, b = {0};
    const fl_tensor x = logits_of(m, FL_F32, &a), y = logits_of(again, FL_F32, &b);
    const double off = x.rank && y.rank ? golden_error(&y, &x) : INFINITY;
    CHECKF(off < 1e-5, "%s: logits off by %g", name, off);
    golden_end(&a);
    golden_end(&b);
}

/* The same file, its weights once in blocks and once as f32; in f64, where products with blocks do
 * not take x in 8 bits. */
static void check_quantized(const char *name, const fl_model *m, fl_dtype dtype) {
    const char *path = save(m, "q.gguf", dtype);
    fl_model *blocks = load(path, &as_stored), *floats = load(path, &as_f32);
    golden_run a = {0}, b = {0};
    if (blocks && floats) {
        int in_blocks = 0;
        for (int i = 0; i < blocks->n_params; i++)
            in_blocks += blocks->param[i].data.dtype == dtype;
        CHECKF(in_blocks > 4, "%s: %d weights are %s", name, in_blocks, fl_dtype_name(dtype));
        const fl_tensor x = logits_of(blocks, FL_F64, &a), y = logits_of(floats, FL_F64, &b);
        const double off = x.rank && y.rank ? golden_error(&x, &y) : INFINITY;
        CHECKF(off < 3e-6, "%s in %s: off by %g", name, fl_dtype_name(dtype), off);
    }
    golden_end(&a);
    golden_end(&b);
    fl_model_free(blocks);
    fl_model_free(floats);
}

/* ---- as it is ---- */

/* general.file_type is llama.cpp's number of the format of most matrices. */
static void check_file_type(const fl_model *m, fl_dtype dtype, int64_t want) {
    fl_gguf_file *f = NULL;
    fl_err err = {0};
    int64_t type = -1;
    CHECKF(fl_gguf_open(&f, save(m, "type.gguf", dtype), &err) == FL_OK, "%s", err.msg);
    CHECK(f && fl_gguf_get_int(f, "general.file_type", &type, &err) == FL_OK);
    CHECKF(type == want, "file_type %d, expected %d", (int)type, (int)want);
    fl_gguf_close(f);
}

static void check_file_types(const fl_model *m, int64_t kept) {
    check_file_type(m, FL_F32, 0);
    check_file_type(m, FL_F16, 1);
    check_file_type(m, FL_BF16, 32);
    check_file_type(m, FL_DTYPE_KEPT, kept);
}

static void check_folder_types(void) {
    fl_model *m = load(FL_TEST_DATA "/golden/llama", &as_stored);
    if (m) check_file_types(m, 32);
    fl_model_free(m);
}

/* Through memory and out again, in several block formats at once: the same tensors, byte for byte,
 * Q and K too, which are permuted on the way. */
static void check_kept(void) {
    static char kept_path[FL_PATH_MAX];
    static const fl_quantize_choice mixed[] = {{"token_embd", FL_Q8_0}, {"ffn_down", FL_Q4_1}};
    const fl_quantize_opts o = {.mix = fl_mix_find("IQ4_NL"), .choice = mixed, .n_choices = 2};
    fl_quantize_report report = {0};
    fl_gguf_file *a = NULL, *b = NULL;
    fl_err err = {0};
    fl_model *m = load(FL_TEST_DATA "/golden/llama", &as_f32);
    snprintf(kept_path, sizeof kept_path, "%s", folder_file("mixed.gguf"));
    fl_status s = m ? fl_quantize_gguf(save(m, "whole.gguf", FL_F32), kept_path, &o, &report, &err)
                    : FL_ERR_IO;
    CHECKF(s == FL_OK && report.n_quantized > 8, "%s", err.msg);
    fl_model_free(m);
    m = load(kept_path, &as_stored);
    if (m && fl_gguf_open(&a, kept_path, &err) == FL_OK &&
        fl_gguf_open(&b, save(m, "again.gguf", FL_DTYPE_KEPT), &err) == FL_OK) {
        CHECK(fl_gguf_n_tensors(a) == fl_gguf_n_tensors(b));
        for (int i = 0; i < fl_gguf_n_tensors(a); i++) {
            const fl_stored_tensor *x = fl_gguf_tensor_at(a, i), *y = fl_gguf_tensor(b, x->name);
            CHECKF(y && x->t.dtype == y->t.dtype &&
                       !memcmp(x->t.data, y->t.data, fl_tensor_bytes(&x->t)),
                   "%s", x->name);
        }
        check_file_types(m, fl_mix_file_type(o.mix));
    }
    fl_gguf_close(a);
    fl_gguf_close(b);
    fl_model_free(m);
}

/* ---- the families ---- */

#define LLAMA3                                                                          \
    "{\"rope_type\":\"llama3\",\"rope_theta\":5e5,\"factor\":32,\"low_freq_factor\":1," \
    "\"high_freq_factor\":4,\"original_max_position_embeddings\":8192}"
#define YARN                                                                            \
    "{\"rope_type\":\"yarn\",\"rope_theta\":1e3,\"factor\":4,\"attention_factor\":1.3," \
    "\"beta_fast\":16,\"beta_slow\":2,\"original_max_position_embeddings\":16}"

#define MSCALE                                                                                \
    "{\"rope_type\":\"yarn\",\"rope_theta\":1e3,\"factor\":4,\"mscale\":0.8,\"beta_slow\":2," \
    "\"mscale_all_dim\":0.8,\"original_max_position_embeddings\":16}"
#define LATENT "\"kv_lora_rank\":64,\"qk_nope_head_dim\":32,\"v_head_dim\":32"

/* A golden's config.json with some of it changed; what its rotary scaling comes back as, if not
 * as itself; and whether llama.cpp has no such thing. Below the context dynamic scaling is none,
 * and Llama 3's is known by the numbers that were published. */
static const struct {
    const char *name, *change, *rope, *refused;
} families[] = {
    {"gpt2", "{}", NULL, NULL},
    {"llama", "{}", NULL, NULL},
    {"llama_biased", "{}", "default", NULL},
    {"llama_linear", "{}", NULL, NULL},
    {"llama_tied_llama3", "{}", "longrope", NULL},
    {"llama_tied_llama3", "{\"rope_parameters\":" LLAMA3 "}", NULL, NULL},
    {"mistral_window", "{\"sliding_window\":null}", NULL, NULL},
    {"mistral_window", "{}", NULL, "sliding_window"},
    {"qwen2", "{}", NULL, NULL},
    {"qwen3", "{}", NULL, NULL},
    {"gemma2", "{\"query_pre_attn_scalar\":16}", NULL, NULL},
    {"gemma2", "{}", NULL, "query_pre_attn_scalar"},
    {"gemma3", "{\"query_pre_attn_scalar\":16}", NULL, NULL},
    {"phi3", "{\"sliding_window\":null}", NULL, NULL},
    {"phi3", "{}", NULL, "sliding_window"},
    {"phi3_long", "{}", NULL, NULL},
    {"olmo2", "{}", NULL, NULL},
    {"stablelm", "{}", NULL, NULL},
    {"stablelm_parallel", "{}", NULL, NULL},
    {"gpt_neox", "{}", NULL, NULL},
    {"gpt_neox_sequential", "{\"attention_bias\":true}", NULL, NULL},
    {"gpt_neox_sequential", "{}", NULL, "attention without biases"},
    {"mixtral", "{}", NULL, NULL},
    {"qwen2_moe", "{\"decoder_sparse_step\":1}", NULL, NULL},
    {"qwen2_moe", "{}", NULL, "layers without experts"},
    {"qwen2_moe", "{\"decoder_sparse_step\":1,\"norm_topk_prob\":true}", NULL, "norm_topk_prob"},
    {"qwen3_moe", "{}", NULL, NULL},
    {"qwen2", "{\"rope_parameters\":" YARN "}", NULL, NULL},
    {"qwen3_moe", "{\"norm_topk_prob\":false}", NULL, "norm_topk_prob that is false"},
    {"deepseek_v2", "{\"n_group\":1,\"topk_group\":1,\"topk_method\":\"greedy\"," LATENT "}", NULL,
     NULL},
    {"deepseek_v2", "{}", NULL, "judged by their best"},
    {"deepseek_v3", "{" LATENT "}", NULL, NULL},
    {"deepseek_v3", "{\"topk_group\":4}", NULL, "topk_group"},
    {"deepseek_v3", "{\"num_hidden_layers\":27}", NULL, "q_lora_rank"},
    {"deepseek_v3_yarn", "{\"rope_parameters\":" MSCALE "}", NULL, NULL},
    {"deepseek_v3_yarn", "{}", NULL, "mscale"},
    {"gpt_oss", "{\"swiglu_limit\":7.0}", NULL, NULL},
    {"gpt_oss", "{}", NULL, "swiglu_limit"},
    {"gpt_oss", "{\"swiglu_limit\":7.0,\"attention_bias\":false}", NULL,
     "attention without biases"},
};

/* Of this family with random numbers in every weight, gains and biases too. */
static fl_model *make(const char *name, const char *change) {
    fl_config c = {0};
    fl_model *m = NULL;
    fl_err err = {0};
    char path[FL_PATH_MAX];
    snprintf(path, sizeof path, "%s/golden/%s/config.json", FL_TEST_DATA, name);
    json_t *v = json_load_file(path, 0, NULL), *more = json_loads(change, 0, NULL);
    json_object_update(v, more);
    json_object_set_new(v, "initializer_range", json_real(0.2));
    fl_status s = fl_config_parse(&c, v, path, &err);
    if (s == FL_OK) s = fl_model_new(&m, &c, 7, &err);
    CHECKF(s == FL_OK, "%s: %s", name, err.msg);
    fl_rng rng = {.seed = 5};
    for (int i = 0; m && i < m->n_params; i++) {
        const fl_tensor *t = &m->param[i].data;
        const bool vector = t->rank == 1 || m->param[i].role == FL_ROLE_EXPERT_BIAS;
        for (int64_t k = 0; vector && k < fl_tensor_count(t); k++)
            fl_tensor_set(t, k, fl_tensor_get(t, k) + 0.3 * fl_rng_normal(&rng));
    }
    fl_config_clear(&c);
    json_decref(v);
    json_decref(more);
    return m;
}

static void check_family(const char *name, const char *rope, fl_model *m) {
    fl_model *again = load(save(m, "m.gguf", FL_F32), &as_f32);
    if (again) {
        check_facts(name, &m->config, &again->config, rope);
        check_weights(name, m, again);
        check_logits(name, m, again);
    }
    fl_model_free(again);
    again = load(folder_file("m.gguf"), &as_stored);
    if (again) {
        check_logits(name, m, again);
        check_folder(name, m, again);
    }
    fl_model_free(again);
    check_quantized(name, m, FL_Q8_0);
    check_quantized(name, m, FL_Q4_1);
}

static void check_families(void) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const char *name = families[i].name, *refused = families[i].refused;
        fl_model *m = make(name, families[i].change);
        fl_err err = {0};
        if (m && !refused) check_family(name, families[i].rope, m);
        if (m && refused)
            CHECKF(fl_model_save_gguf(m, folder_file("m.gguf"), "tiny", FL_F32, &err) != FL_OK &&
                       strstr(err.msg, refused),
                   "%s: \"%s\"", name, err.msg);
        fl_model_free(m);
    }
}

/* ---- what is no model ---- */

static void expect_refusal(fl_gguf *g, const fl_write_tensor *w, int n, const char *word) {
    fl_model *m = NULL;
    fl_err err = {0};
    const char *path = folder_file("bad.gguf");
    CHECK(fl_gguf_save(g, path, w, n, &err) == FL_OK);
    CHECKF(fl_model_load(&m, path, &as_f32, &err) != FL_OK && strstr(err.msg, word), "\"%s\"",
           err.msg);
    fl_model_free(m);
    fl_gguf_free(g);
}

static fl_gguf *begin(const char *architecture) {
    fl_gguf *g = fl_gguf_new();
    if (architecture) fl_gguf_str(g, "general.architecture", architecture);
    return g;
}

static void check_refusals(void) {
    static const float zeros[64];
    const fl_write_tensor embed = {.name = "token_embd.weight",
                                   .rank = 2,
                                   .dim = {8, 8},
                                   .source = zeros};
    fl_gguf *g = begin(NULL);
    expect_refusal(g, &embed, 1, "general.architecture");
    expect_refusal(begin("mamba"), &embed, 1, "known are");
    g = begin("llama");
    fl_gguf_str(g, "general.type", "adapter");
    expect_refusal(g, &embed, 1, "adapter");
    expect_refusal(begin("llama"), &embed, 1, "hidden_size");
    g = begin("llama");
    fl_gguf_str(g, "llama.embedding_length", "8");
    expect_refusal(g, &embed, 1, "whole number");
    g = begin("llama");
    static const char *const sizes[] = {"embedding_length", "feed_forward_length", "block_count",
                                        "attention.head_count", "context_length"};
    for (int i = 0; i < 5; i++) {
        char key[64];
        snprintf(key, sizeof key, "llama.%s", sizes[i]);
        fl_gguf_u32(g, key, i == 2 ? 1 : i == 3 ? 2 : 8);
    }
    expect_refusal(g, &embed, 1, "is missing");
}

int main(void) {
    folder_make();
    check_kept();
    check_folder_types();
    check_families();
    check_refusals();
    folder_remove();
    return check_report();
}
