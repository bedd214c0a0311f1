/* check_mxfp4 - a folder whose experts are in MXFP4, as gpt-oss is published
 * (tests/peers/mxfp4_goldens.py): every number is that of transformers' own unpacking, in f32 and
 * as stored; logits; the same through GGUF, where the blocks stay what they are, and through a dense
 * folder. Spoiled folders are refused.
 *
 * Tried and caught: numbers of a block in the file's order, gate and up exchanged, or one below the
 * other, a scale one row off, experts left (in, out), blocks expanded on their way to GGUF. */
#include <string.h>

#include "base/alloc.h"
#include "folder.h"
#include "golden.h"
#include "model/internal.h"

static const char folder[] = FL_TEST_DATA "/golden/gpt_oss_mxfp4";
static const fl_model_opts as_f32 = {.dtype = FL_F32}, as_stored = {.as_stored = true};

static fl_model *load(const char *path, const fl_model_opts *opts) {
    fl_model *m = NULL;
    fl_err err = {0};
    CHECKF(fl_model_load(&m, path, opts, &err) == FL_OK, "%s", err.msg);
    return m;
}

static fl_safetensors *open_golden(void) {
    fl_safetensors *st = NULL;
    fl_err err = {0};
    char path[FL_PATH_MAX];
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    CHECKF(fl_safetensors_open(&st, path, &err) == FL_OK, "%s", err.msg);
    return st;
}

/* ---- numbers ---- */

/* The model's own writer against the golden's dense matrices. */
static void check_numbers(const fl_model *m, const fl_safetensors *golden, const char *how) {
    fli_stored_list list = {0};
    fl_err err = {0};
    int n = 0;
    CHECKF(fli_stored_hf(&list, m, FL_F32, &err) == FL_OK, "%s", err.msg);
    for (int i = 0; i < list.n; i++) {
        const fl_write_tensor *w = &list.w[i];
        const fl_stored_tensor *want = fl_safetensors_find(golden, w->name);
        if (!want) continue;
        fl_tensor got = fl_tensor_of(NULL, FL_F32, w->rank, w->dim);
        float *rows = fl_alloc(fl_tensor_bytes(&got));
        got.data = rows;
        const int64_t all = fl_tensor_rows(&got);
        for (int64_t r = 0, some; r < all; r += some) {
            some = w->row ? 1 : r + 7 < all ? 7 : all - r;
            if (w->row) w->row(w, r, rows + r * w->dim[2]);
            else CHECK(w->stored(w, r, some, rows + r * w->dim[2], &err) == FL_OK);
        }
        CHECKF(golden_error(&got, &want->t) == 0, "%s, %s", w->name, how);
        fl_dealloc(rows);
        n++;
    }
    CHECKF(n == 4, "%d matrices, %s", n, how);
    fli_stored_clear(&list);
}

/* Of weights as stored in f64, where products with blocks do not take their inputs in 8 bits: one
 * that is a little off may go to another expert. */
static void check_logits(fl_model *m, const fl_safetensors *golden, fl_dtype compute,
                         const char *how) {
    const fl_tensor *tokens = &fl_safetensors_find(golden, "tokens")->t;
    golden_run r = {.model = m, .compute = compute, .B = tokens->dim[0], .T = tokens->dim[1]};
    if (golden_build(&r) && golden_go(&r, tokens->data)) {
        const fl_tensor logits = fl_program_tensor(r.p, r.logits);
        const double e = golden_error(&logits, &fl_safetensors_find(golden, "logits")->t);
        CHECKF(e <= 1e-4, "logits off by %.2g, %s", e, how);
    }
    golden_end(&r);
}

static fl_dtype format_of_experts(const fl_model *m) {
    return fli_model_slot(m, 1, FL_SLOT_EXPERT_UP)->data.dtype;
}

/* ---- files ---- */

static void check_same_blocks(const fl_model *a, const fl_model *b) {
    static const fl_slot slots[] = {FL_SLOT_EXPERT_GATE, FL_SLOT_EXPERT_UP, FL_SLOT_EXPERT_DOWN};
    for (int layer = 0; layer < 2; layer++)
        for (int i = 0; i < 3; i++) {
            const fl_tensor *x = &fli_model_slot(a, layer, slots[i])->data,
                            *y = &fli_model_slot(b, layer, slots[i])->data;
            CHECK(x->dtype == FL_MXFP4 && y->dtype == FL_MXFP4);
            CHECK(memcmp(x->data, y->data, fl_tensor_bytes(x)) == 0);
        }
}

static void check_gguf(const fl_model *m, const fl_safetensors *golden) {
    fl_err err = {0};
    const char *path = folder_file("tiny.gguf");
    CHECKF(fl_model_save_gguf(m, path, "tiny", FL_BF16, &err) == FL_OK, "%s", err.msg);
    fl_model *again = load(path, &as_stored), *dense = load(path, &as_f32);
    if (again && dense) {
        check_same_blocks(m, again);
        check_numbers(again, golden, "out of GGUF");
        check_logits(dense, golden, FL_F32, "out of GGUF");
    }
    fl_model_free(again);
    fl_model_free(dense);
}

static void check_dense_folder(const fl_model *m, const fl_safetensors *golden) {
    fl_err err = {0};
    const char *path = folder_file("dense");
    CHECKF(fl_model_save(m, path, FL_BF16, &err) == FL_OK, "%s", err.msg);
    fl_model *again = load(path, &as_stored);
    if (again) {
        CHECK(format_of_experts(again) == FL_BF16);
        check_numbers(again, golden, "out of a dense folder");
        check_logits(again, golden, FL_F32, "out of a dense folder");
    }
    fl_model_free(again);
}

/* ---- spoiled folders ---- */

/* A copy of the folder in which one word of a file is another of the same length. */
static void check_refusal(const char *file, const char *word, const char *other, const char *why) {
    static const char *const names[] = {"config.json", "model.safetensors"};
    fl_err err = {0};
    for (int i = 0; i < 2; i++) {
        char from[FL_PATH_MAX], to[64], *bytes, *at = NULL;
        size_t n;
        snprintf(from, sizeof from, "%s/%s", folder, names[i]);
        snprintf(to, sizeof to, "spoiled/%s", names[i]);
        CHECKF(fl_file_read(from, 1 << 20, &bytes, &n, &err) == FL_OK, "%s", err.msg);
        for (size_t k = 0; strcmp(names[i], file) == 0 && k + strlen(word) <= n && !at; k++)
            if (memcmp(bytes + k, word, strlen(word)) == 0) at = bytes + k;
        CHECKF(at || strcmp(names[i], file) != 0, "%s: no %s", file, word);
        if (at) memcpy(at, other, strlen(word));
        folder_put(to, bytes, n);
        fl_dealloc(bytes);
    }
    fl_model *m = NULL;
    CHECKF(fl_model_load(&m, folder_file("spoiled"), &as_f32, &err) != FL_OK, "%s is loaded", why);
    CHECKF(strstr(err.msg, why), "%s: %s", why, err.msg);
    fl_model_free(m);
}

static void check_refusals(void) {
    check_refusal("model.safetensors", "mlp.experts.down_proj_scales",
                  "mlp.experts.down_proj_scalez", "down_proj_scales is missing");
    check_refusal("model.safetensors", "mlp.experts.down_proj_blocks",
                  "mlp.experts.down_proj_blockz", "down_proj is missing");
    check_refusal("model.safetensors", "\"U8\",\"shape\":[3,64,1,16]",
                  "\"I8\",\"shape\":[3,64,1,16]", "expected u8");
    check_refusal("model.safetensors", "\"U8\",\"shape\":[3,64,1,16]",
                  "\"U8\",\"shape\":[3,32,2,16]", "makes it (3, 64, 1, 16)");
    check_refusal("config.json", "\"mxfp4\"", "\"mxfp8\"", "quantization_config.quant_method");
    check_refusal("config.json", "1.702", "1.705", "swiglu_alpha");
    check_refusal("config.json", "\"intermediate_size\": 32", "\"intermediate_size\": 33",
                  "makes it (3, 66, 2, 16)");
}

int main(void) {
    folder_make();
    fl_safetensors *golden = open_golden();
    fl_model *dense = load(folder, &as_f32), *stored = load(folder, &as_stored);
    if (golden && dense && stored) {
        CHECK(format_of_experts(dense) == FL_F32 && format_of_experts(stored) == FL_MXFP4);
        check_numbers(dense, golden, "as f32");
        check_numbers(stored, golden, "as stored");
        check_logits(dense, golden, FL_F32, "as f32");
        check_logits(stored, golden, FL_F64, "as stored");
        check_gguf(stored, golden);
        check_dense_folder(stored, golden);
    }
    fl_model_free(dense);
    fl_model_free(stored);
    fl_safetensors_close(golden);
    check_refusals();
    folder_remove();
    return check_report();
}
