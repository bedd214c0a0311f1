/* check_quantize - files made smaller, and importance matrices.
 *
 * A quantized file opens again; its tensors are fl_quantize of the source's, row by row, expert by
 * expert, with the means of the importance matrix; everything else is carried over as it was. What
 * cannot be done leaves the old file alone. Importance matrices of both kinds are read, llama.cpp's
 * own among them (tests/peers/imatrix_goldens.py), and cut or damaged ones are refused.
 *
 * Caught by it: the wrong expert's means, counts not divided by, a choice by hand ignored, a key or
 * a norm lost, an old file replaced by half a new one, NaN made into blocks. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "base/rng.h"
#include "check.h"
#include "compress/observe.h"
#include "compress/quantize.h"
#include "folder.h"
#include "format/gguf.h"
#include "tensor/quant.h"
#include "token/tokenizer.h"

/* ---- a file to be quantized ---- */

enum { FLOATS = 4 * 8 * 256 };

static const struct {
    const char *name;
    fl_dtype dtype;
    int rank;
    int64_t dim[3];
} shapes[] = {
    {"token_embd.weight", FL_F32, 2, {8, 512}},
    {"output_norm.weight", FL_F32, 1, {512}},
    {"output.weight", FL_BF16, 2, {8, 512}},
    {"blk.0.attn_norm.weight", FL_F32, 1, {512}},
    {"blk.0.attn_q.weight", FL_F32, 2, {16, 512}},
    {"blk.1.attn_v.weight", FL_F16, 2, {4, 512}},
    {"blk.0.ffn_gate_inp.weight", FL_F32, 2, {4, 512}},
    {"blk.1.ffn_down.weight", FL_F32, 2, {16, 96}},
    {"blk.1.ffn_down_exps.weight", FL_F32, 3, {4, 8, 256}},
};
enum { N_TENSORS = sizeof shapes / sizeof *shapes };

static float numbers[FLOATS];

static void fill_numbers(void) {
    fl_rng rng = {.seed = 11};
    for (int i = 0; i < FLOATS; i++) numbers[i] = 0.05f * (float)fl_rng_normal(&rng);
}

static void put_facts(fl_gguf *g) {
    fl_gguf_str(g, "general.architecture", "llama");
    fl_gguf_u32(g, "llama.block_count", 2);
    fl_gguf_u32(g, "llama.attention.head_count", 8);
    fl_gguf_u32(g, "llama.attention.head_count_kv", 2);
    fl_gguf_u32(g, "general.file_type", 0);
    fl_gguf_strings_begin(g, "notes.of.our.own", 2);
    fl_gguf_strings_add(g, "one", 3);
    fl_gguf_strings_add(g, "t\0o", 3);
}

static const char *write_source(const char *name) {
    fl_write_tensor w[N_TENSORS];
    fl_err err = {0};
    fl_gguf *g = fl_gguf_new();
    put_facts(g);
    for (int i = 0; i < N_TENSORS; i++) {
        w[i] = (fl_write_tensor){.name = shapes[i].name,
                                 .dtype = shapes[i].dtype,
                                 .rank = shapes[i].rank,
                                 .source = numbers,
                                 .source_dtype = FL_F32};
        memcpy(w[i].dim, shapes[i].dim, sizeof shapes[i].dim);
    }
    const char *path = folder_file(name);
    CHECKF(fl_gguf_save(g, path, w, N_TENSORS, &err) == FL_OK, "%s", err.msg);
    fl_gguf_free(g);
    return path;
}

/* Of attn_q every column otherwise; of the experts all but the third. */
static fl_imatrix *make_imatrix(void) {
    static float sum[FLOATS];
    const float counts[] = {10, 3, 0, 200}, one = 7;
    fl_imatrix *im = fl_imatrix_new();
    fl_err err = {0};
    for (int i = 0; i < FLOATS; i++) sum[i] = (float)((i * 37) % 101 + 1);
    CHECK(fl_imatrix_put(im, "blk.1.ffn_down_exps.weight", 4, 256, sum, counts, &err) == FL_OK);
    CHECK(fl_imatrix_put(im, "blk.0.attn_q.weight", 1, 512, sum, &one, &err) == FL_OK);
    CHECK(fl_imatrix_put(im, "blk.1.attn_v.weight", 1, 256, sum, &one, &err) == FL_OK);
    CHECK(fl_imatrix_set_text(im, &(fl_imatrix_text){"tales", 12, 64}, &err) == FL_OK);
    return im;
}

/* ---- what came of it ---- */

static void check_rows(const fl_stored_tensor *from, const fl_stored_tensor *to,
                       const fl_imatrix *im) {
    const int64_t cols = fl_tensor_cols(&from->t), rows = fl_tensor_rows(&from->t);
    const int64_t experts = from->t.rank == 3 ? from->t.dim[0] : 1;
    float x[512];
    char want[2048];
    int bad = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *weight = NULL;
        if (im) weight = fl_imatrix_find(im, from->name, cols, r / (rows / experts), experts);
        fl_convert(x, FL_F32, fl_tensor_row(&from->t, r), from->t.dtype, cols);
        if (fl_dtype_is_block(to->t.dtype)) fl_quantize(want, to->t.dtype, x, weight, cols);
        else fl_convert(want, to->t.dtype, x, FL_F32, cols);
        bad += memcmp(want, fl_tensor_row(&to->t, r), fl_dtype_row_bytes(to->t.dtype, cols)) != 0;
    }
    CHECKF(bad == 0, "%s: %d of %d rows", from->name, bad, (int)rows);
}

static void check_keys(const fl_gguf_file *from, const fl_gguf_file *to, const fl_imatrix *im) {
    const fl_gguf_key *a = fl_gguf_find(from, "notes.of.our.own");
    const fl_gguf_key *b = fl_gguf_find(to, "notes.of.our.own");
    int64_t type = 0, version = 0, entries = 0;
    fl_err err;
    CHECK(a && b && a->value_bytes == b->value_bytes &&
          memcmp(a->value, b->value, a->value_bytes) == 0);
    CHECK(fl_gguf_get_int(to, "general.file_type", &type, &err) == FL_OK && type == 15);
    CHECK(fl_gguf_get_int(to, "general.quantization_version", &version, &err) == FL_OK);
    CHECK(fl_gguf_get_int(to, "quantize.imatrix.entries_count", &entries, &err) == FL_OK);
    CHECK(version == 2 && entries == (im ? 3 : 0));
    CHECK(fl_gguf_n_keys(to) == fl_gguf_n_keys(from) + 1 + (im ? 3 : 0));
}

static void check_file(const char *source, const char *path, const fl_dtype *want,
                       const fl_imatrix *im) {
    fl_gguf_file *from = NULL, *to = NULL;
    fl_err err = {0};
    CHECK(fl_gguf_open(&from, source, &err) == FL_OK);
    CHECKF(fl_gguf_open(&to, path, &err) == FL_OK, "%s", err.msg);
    for (int i = 0; from && to && i < N_TENSORS; i++) {
        const fl_stored_tensor *a = fl_gguf_tensor(from, shapes[i].name);
        const fl_stored_tensor *b = fl_gguf_tensor(to, shapes[i].name);
        CHECKF(b && fl_tensor_same_shape(&a->t, &b->t), "%s", shapes[i].name);
        if (!b) continue;
        CHECKF(b->t.dtype == want[i], "%s is %s, want %s", b->name, fl_dtype_name(b->t.dtype),
               fl_dtype_name(want[i]));
        check_rows(a, b, im);
    }
    if (from && to) check_keys(from, to, im);
    fl_gguf_close(from);
    fl_gguf_close(to);
}

static void check_made(const char *source, fl_imatrix *im) {
    static const fl_dtype plain[] = {FL_Q4_K, FL_F32, FL_Q6_K, FL_F32, FL_Q4_K,
                                     FL_Q6_K, FL_F32, FL_Q8_0, FL_Q6_K};
    static const fl_dtype chosen[] = {FL_IQ4_XS, FL_F32, FL_F16,  FL_F32, FL_Q4_K,
                                      FL_Q6_K,   FL_F32, FL_Q5_1, FL_Q5_K};
    const fl_quantize_choice choice[] = {{"token_embd", FL_IQ4_XS},
                                         {"output.", FL_F16},
                                         {"ffn_down", FL_Q5_K},
                                         {"attn_norm", FL_Q8_0}};
    const char *path = folder_file("q.gguf");
    fl_quantize_report r = {0};
    fl_err err = {0};
    fl_quantize_opts o = {.mix = fl_mix_find("Q4_K_M")};
    CHECKF(fl_quantize_gguf(source, path, &o, &r, &err) == FL_OK, "%s", err.msg);
    check_file(source, path, plain, NULL);
    CHECKF(r.n_tensors == N_TENSORS && r.n_quantized == 6 && r.n_weighted == 0 && r.n_fitted == 1,
           "%d %d %d %d", r.n_tensors, r.n_quantized, r.n_weighted, r.n_fitted);
    CHECKF(r.error > 0.01 && r.error < 0.1, "%g", r.error);

    o = (fl_quantize_opts){.mix = o.mix, .imatrix = im, .choice = choice, .n_choices = 4};
    CHECKF(fl_quantize_gguf(source, path, &o, &r, &err) == FL_OK, "%s", err.msg);
    check_file(source, path, chosen, im);
    CHECKF(r.n_weighted == 2, "%d weighted", r.n_weighted);  // attn_v's has another shape
}

/* ---- what is refused ---- */

static void refuse(const char *from, const char *to, const fl_quantize_opts *o, const char *word) {
    fl_quantize_report r;
    fl_err err = {0};
    CHECKF(fl_quantize_gguf(from, to, o, &r, &err) != FL_OK && strstr(err.msg, word), "\"%s\"",
           err.msg);
}

static void check_refusals(const char *source) {
    const char *small = folder_file("small.gguf"), *out = folder_file("again.gguf");
    fl_quantize_opts o = {.mix = fl_mix_find("Q5_0")};
    fl_quantize_report r;
    fl_err err = {0};
    CHECK(fl_quantize_gguf(source, small, &o, &r, &err) == FL_OK);
    CHECK(fl_quantize_gguf(small, out, &o, &r, &err) == FL_OK && r.n_quantized == 0);
    o.mix = fl_mix_find("Q4_0");
    refuse(small, out, &o, "quantizing twice");
    o.again = true;
    CHECK(fl_quantize_gguf(small, out, &o, &r, &err) == FL_OK && r.n_quantized == 5);
    o.choice = &(fl_quantize_choice){"attn_gate", FL_Q8_0};
    o.n_choices = 1;
    refuse(source, out, &o, "attn_gate");
    refuse(folder_file("absent.gguf"), out, &o, "absent");
}

/* Ctrl-C ends the work, and leaves nothing. */
static void check_interrupted(const char *source) {
    const fl_quantize_opts o = {.mix = fl_mix_find("Q4_K_M")};
    const char *path = folder_file("interrupted.gguf");
    fl_interrupt();
    refuse(source, path, &o, "interrupted");
    fl_interrupt_reset();
    CHECK(!fl_path_exists(path));
}

static void check_nan(void) {
    const float good = numbers[700];
    numbers[700] = NAN;
    const char *source = write_source("nan.gguf"), *out = folder_puts("kept.gguf", "old");
    refuse(source, out, &(fl_quantize_opts){.mix = fl_mix_find("Q4_K_M")}, "row 1 has NaN");
    CHECK(fl_path_bytes(out) == 3);
    numbers[700] = good;
}

static int entries(const char *dir) {
    char **names = NULL;
    size_t n = 0;
    CHECK(fl_dir_list(dir, &names, &n, NULL) == FL_OK);
    fl_dealloc(names);
    return (int)n;
}

/* The kernel says EFBIG at the limit where a full disk says ENOSPC. */
static void check_full_disk(const char *source) {
    const char *out = folder_puts("kept.gguf", "old");
    const int before = entries(folder_path);
    const fl_quantize_opts o = {.mix = fl_mix_find("Q8_0")};
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    refuse(source, out, &o, "kept.gguf");
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(fl_path_bytes(out) == 3 && entries(folder_path) == before);
    refuse(source, folder_file("no/such/folder.gguf"), &o, "folder.gguf");
}

/* ---- importance matrices ---- */

static void check_same_means(const fl_imatrix *a, const fl_imatrix *b, const char *tensor,
                             int64_t cols, int64_t experts) {
    for (int64_t e = 0; e < experts; e++) {
        const float *x = fl_imatrix_find(a, tensor, cols, e, experts);
        const float *y = fl_imatrix_find(b, tensor, cols, e, experts);
        CHECKF(!x == !y, "%s, expert %d", tensor, (int)e);
        for (int64_t i = 0; x && y && i < cols; i++)
            CHECKF(fabsf(x[i] - y[i]) <= 2e-6f * x[i], "%s[%d]: %g, %g", tensor, (int)i,
                   (double)x[i], (double)y[i]);
    }
}

static fl_imatrix *load(const char *path) {
    fl_imatrix *im = NULL;
    fl_err err = {0};
    CHECKF(fl_imatrix_load(&im, path, &err) == FL_OK, "%s", err.msg);
    return im;
}

static void check_round_trip(const fl_imatrix *im) {
    const char *path = folder_file("im.gguf");
    fl_err err = {0};
    CHECKF(fl_imatrix_save(im, path, &err) == FL_OK, "%s", err.msg);
    fl_imatrix *again = load(path);
    if (!again) return;
    CHECK(fl_imatrix_count(again) == 3);
    check_same_means(im, again, "blk.1.ffn_down_exps.weight", 256, 4);
    check_same_means(im, again, "blk.0.attn_q.weight", 512, 1);
    CHECK(!fl_imatrix_find(again, "blk.1.ffn_down_exps.weight", 256, 2, 4));
    CHECK(!fl_imatrix_find(again, "blk.0.attn_q.weight", 256, 0, 1));
    CHECK(!fl_imatrix_find(again, "blk.0.attn_q", 512, 0, 1));
    const fl_imatrix_text text = fl_imatrix_text_of(again);
    CHECKF(strcmp(text.name, "tales") == 0 && text.chunks == 12 && text.chunk_size == 64, "%s",
           text.name);
    fl_imatrix_free(again);
}

/* The older kind, with one entry: 4 columns, 2 calls. */
static size_t make_old(char out[128], int32_t n_entries) {
    const int32_t calls = 2, n = 4, chunks = 9, n_text = 5, n_name = 3;
    const float v[] = {2, 4, 6, 8};
    char *at = out;
#define PUT(p, bytes) memcpy(at, p, bytes), at += (bytes)
    PUT(&n_entries, 4);
    for (int i = 0; i < 1; i++) {
        PUT(&n_name, 4);
        PUT("w.x", 3);
        PUT(&calls, 4);
        PUT(&n, 4);
        PUT(v, sizeof v);
    }
    PUT(&chunks, 4);
    PUT(&n_text, 4);
    PUT("tales", 5);
#undef PUT
    return (size_t)(at - out);
}

static void check_old(void) {
    char bytes[128];
    const size_t n = make_old(bytes, 1), without_text = n - 13;
    fl_imatrix *im = load(folder_put("im.dat", bytes, n));
    const float *mean = im ? fl_imatrix_find(im, "w.x", 4, 0, 1) : NULL;
    CHECK(mean && (int)mean[0] == 1 && (int)mean[3] == 4);
    mean = im ? fl_imatrix_find(im, "w.x", 2, 1, 2) : NULL;  // one count for both experts
    CHECK(mean && (int)mean[0] == 3);
    CHECK(im && fl_imatrix_text_of(im).chunks == 9);
    CHECK(im && strcmp(fl_imatrix_text_of(im).name, "tales") == 0);
    fl_imatrix_free(im);
    fl_imatrix_free(load(folder_put("im.dat", bytes, without_text)));
    for (size_t cut = 0; cut < without_text; cut++) {
        fl_err err = {0};
        const char *path = folder_put("im.dat", bytes, cut);
        CHECKF(fl_imatrix_load(&im, path, &err) == FL_ERR_FORMAT, "cut at %zu: %s", cut, err.msg);
    }
    static const struct {
        size_t at;
        int32_t value;
        const char *word;
    } damages[] = {{0, 2, "entry 2"}, {0, -1, "neither"},       {4, 1 << 30, "entry 1"},
                   {4, 0, "entry 1"}, {15, 1 << 29, "entry 1"}, {19, -1, "mean of squares"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        fl_err err = {0};
        make_old(bytes, 1);
        memcpy(bytes + damages[i].at, &damages[i].value, 4);
        const char *path = folder_put("im.dat", bytes, n);
        CHECKF(fl_imatrix_load(&im, path, &err) == FL_ERR_FORMAT &&
                   strstr(err.msg, damages[i].word),
               "damage %zu: %s", i, err.msg);
    }
}

static void check_imatrix_refusals(const char *source) {
    const float sum[] = {1, -1}, one = 1;
    fl_imatrix *im = fl_imatrix_new(), *none = NULL;
    fl_err err = {0};
    CHECK(fl_imatrix_put(im, "a", 1, 2, sum, &one, &err) == FL_ERR_FORMAT);
    CHECK(fl_imatrix_put(im, "a", 1, 1, sum, &one, &err) == FL_OK);
    CHECK(fl_imatrix_put(im, "a", 1, 1, sum, &one, &err) == FL_ERR_FORMAT);
    CHECKF(strstr(err.msg, "twice"), "%s", err.msg);
    fl_imatrix_free(im);
    CHECK(fl_imatrix_load(&none, source, &err) == FL_ERR_FORMAT);
    CHECKF(strstr(err.msg, "expected imatrix"), "%s", err.msg);
}

/* llama-imatrix of one text, in both kinds of file. */
static void check_llama_cpp(void) {
    fl_imatrix *a = load(FL_TEST_DATA "/format/imatrix.gguf");
    fl_imatrix *b = load(FL_TEST_DATA "/format/imatrix.dat");
    if (a && b) {
        CHECKF(fl_imatrix_count(a) == 16 && fl_imatrix_count(b) == 16, "%d %d", fl_imatrix_count(a),
               fl_imatrix_count(b));
        CHECK(fl_imatrix_text_of(a).chunks == 5 && fl_imatrix_text_of(b).chunks == 5);
        CHECK(fl_imatrix_find(a, "blk.1.ffn_down_exps.weight", 24, 3, 4));
        check_same_means(a, b, "blk.0.attn_q.weight", 32, 1);
        check_same_means(a, b, "blk.1.ffn_down_exps.weight", 24, 4);
    }
    fl_imatrix_free(a);
    fl_imatrix_free(b);
}

static void compare_means(const fl_imatrix *a, const fl_imatrix *b, int layer, const char *weight,
                          int64_t cols, int64_t experts) {
    char tensor[64];
    snprintf(tensor, sizeof tensor, "blk.%d.%s.weight", layer, weight);
    for (int64_t e = 0; e < experts; e++) {
        const float *x = fl_imatrix_find(a, tensor, cols, e, experts);
        const float *y = fl_imatrix_find(b, tensor, cols, e, experts);
        double most = 0, off = 0;
        for (int64_t i = 0; x && y && i < cols; i++) {
            most = fmax(most, (double)y[i]);
            off = fmax(off, fabs((double)x[i] - (double)y[i]));
        }
        CHECKF(x && y && off < 1e-5 * most, "%s, expert %d: %g of %g", tensor, (int)e, off, most);
    }
}

/* What we make of the same model and text. */
static void check_observed(void) {
    fl_imatrix *want = load(FL_TEST_DATA "/format/imatrix.gguf"), *im = NULL;
    fl_model *m = NULL;
    fl_err err = {0};
    fl_ids ids = {0};
    char *text = NULL;
    size_t n = 0;
    const fl_observe_opts o = {.context = 32};
    CHECK(fl_file_read(FL_TEST_DATA "/format/imatrix.txt", 1 << 20, &text, &n, &err) == FL_OK);
    fl_status s = fl_model_load(&m, FL_TEST_DATA "/format/imatrix_model.gguf",
                                &(fl_model_opts){.as_stored = true}, &err);
    if (s == FL_OK) s = fl_encode(m->tokenizer, text, n, &(fl_encode_opts){0}, &ids, &err);
    if (s == FL_OK) s = fl_imatrix_observe(&im, m, ids.id, (int64_t)ids.n, &o, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    CHECK(fl_imatrix_observe(&im, m, ids.id, 31, &o, &err) == FL_ERR_ARG);
    if (s == FL_OK) {
        static const char *const dense[] = {"attn_q", "attn_k", "attn_v", "ffn_gate_inp"};
        static const char *const experts[] = {"ffn_gate_exps", "ffn_up_exps"};
        CHECKF(fl_imatrix_count(im) == 16 && fl_imatrix_text_of(im).chunks == 5, "%d",
               fl_imatrix_count(im));
        for (int i = 0; i < 8; i++) compare_means(im, want, i / 4, dense[i % 4], 32, 1);
        for (int i = 0; i < 4; i++) compare_means(im, want, i / 2, experts[i % 2], 32, 4);
        for (int i = 0; i < 2; i++) compare_means(im, want, i, "ffn_down_exps", 24, 4);
        for (int i = 0; i < 2; i++) compare_means(im, want, i, "attn_output", 64, 1);
    }
    fl_imatrix_free(im);
    fl_imatrix_free(want);
    fl_ids_clear(&ids);
    fl_model_free(m);
    fl_dealloc(text);
}

/* Parts of a fused tensor read the same inputs: they are observed once, under the file's name. */
static void check_fused(void) {
    int32_t ids[32];
    fl_imatrix *im = NULL;
    fl_model *m = NULL;
    fl_err err = {0};
    for (int i = 0; i < 32; i++) ids[i] = i;
    fl_status s = fl_model_load(&m, FL_TEST_DATA "/golden/phi3", &(fl_model_opts){0}, &err);
    if (s == FL_OK)
        s = fl_imatrix_observe(&im, m, ids, 32, &(fl_observe_opts){.context = 16}, &err);
    CHECKF(s == FL_OK, "%s", err.msg);
    const int64_t layers = m ? m->config.num_hidden_layers : 0;
    CHECK(im && fl_imatrix_count(im) == 4 * layers);
    CHECK(im && fl_imatrix_find(im, "blk.1.attn_qkv.weight", m->config.hidden_size, 0, 1));
    fl_imatrix_free(im);
    fl_model_free(m);
}

int main(void) {
    folder_make();
    fill_numbers();
    char source[FL_PATH_MAX];
    snprintf(source, sizeof source, "%s", write_source("source.gguf"));
    fl_imatrix *im = make_imatrix();
    check_made(source, im);
    check_refusals(source);
    check_interrupted(source);
    check_nan();
    check_full_disk(source);
    check_round_trip(im);
    check_old();
    check_imatrix_refusals(source);
    check_llama_cpp();
    check_observed();
    check_fused();
    fl_imatrix_free(im);
    folder_remove();
    return check_report();
}
