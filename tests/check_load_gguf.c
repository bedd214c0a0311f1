/* check_load_gguf - a model through GGUF and back: the same facts, the same weights; weights used
 * as they are stored give what the same numbers give as f32; files that are no model are refused.
 *
 * Caught by it: Q and K left permuted, a part of a fused tensor taken from the wrong row, a fact
 * read under another name, tied heads missed, a block row cut at the wrong byte. */
#include <string.h>

#include "base/alloc.h"
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

static void check_facts(const char *name, const fl_config *a, const fl_config *b) {
    CHECKF(a->arch == b->arch, "%s became %s", name, b->arch->name);
    for (const fl_config_key *k = a->arch->keys; k->key; k++) {
        const void *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
        if (k->kind == FL_KEY_INT)
            CHECKF(*(const int64_t *)x == *(const int64_t *)y, "%s: %s", name, k->key);
        if (k->kind == FL_KEY_REAL)
            CHECKF((float)*(const double *)x == (float)*(const double *)y, "%s: %s", name, k->key);
    }
    CHECKF(a->tie_word_embeddings == b->tie_word_embeddings && a->rope_theta == b->rope_theta, "%s",
           name);
    CHECKF(!a->rope_scaling == !b->rope_scaling, "%s: rope_scaling", name);
}

static void check_weights(const char *name, const fl_model *a, const fl_model *b) {
    CHECKF(a->n_params == b->n_params, "%s: %d, %d", name, a->n_params, b->n_params);
    for (int i = 0; i < a->n_params && i < b->n_params; i++) {
        const fl_param *p = &a->param[i], *q = &b->param[i];
        CHECKF(strcmp(p->name, q->name) == 0 && fl_tensor_same_shape(&p->data, &q->data), "%s: %s",
               name, q->name);
        CHECKF(memcmp(p->data.data, q->data.data, fl_tensor_bytes(&p->data)) == 0, "%s: %s", name,
               q->name);
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

static void check_family(const char *name) {
    char path[FL_PATH_MAX];
    snprintf(path, sizeof path, "%s/golden/%s", FL_TEST_DATA, name);
    fl_model *m = load(path, &as_f32);
    if (!m) return;
    fl_model *again = load(save(m, "m.gguf", FL_F32), &as_f32);
    if (again) {
        check_facts(name, &m->config, &again->config);
        check_weights(name, m, again);
        check_logits(name, m, again);
    }
    fl_model_free(again);
    check_quantized(name, m, FL_Q8_0);
    check_quantized(name, m, FL_Q4_1);
    fl_model_free(m);
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
    static const char *const families[] = {"gpt2", "llama", "llama_linear", "llama_tied_llama3",
                                           "qwen3"};
    folder_make();
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) check_family(families[i]);
    check_refusals();
    folder_remove();
    return check_report();
}
