/* check_format - writers against the reference packages' bytes (tests/peers/format_goldens.py), and
 * readers against files that lie. */
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "format/gguf.h"
#include "format/peft.h"
#include "format/safetensors.h"
#include "format/tfevents.h"

static const float ramp[6] = {-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f};
static const int32_t ids[2] = {7, -1};

static void same_bytes(const char *path, const char *golden_name) {
    char golden[FL_PATH_MAX];
    snprintf(golden, sizeof golden, "%s/format/%s", FL_TEST_DATA, golden_name);
    char *a = NULL, *b = NULL;
    size_t n = 0, k = 0;
    fl_err err;
    CHECK(fl_file_read(path, 1 << 20, &a, &n, &err) == FL_OK);
    CHECK(fl_file_read(golden, 1 << 20, &b, &k, &err) == FL_OK);
    CHECKF(n == k && a && b && memcmp(a, b, n) == 0, "%s: %zu bytes, golden %zu", golden_name, n,
           k);
    fl_dealloc(a);
    fl_dealloc(b);
}

static fl_write_tensor plain(const char *name, fl_dtype dtype, int rank, const void *source,
                             fl_dtype from) {
    fl_write_tensor w = {.name = name,
                         .dtype = dtype,
                         .rank = rank,
                         .source = source,
                         .source_dtype = from};
    w.dim[0] = rank == 2 ? 2 : from == FL_I32 ? 2 : 3;
    w.dim[1] = 3;
    return w;
}

static void ramp_row(const fl_write_tensor *w, int64_t row, float *out) {
    (void)w;
    memcpy(out, ramp + row * 3, 3 * sizeof *out);
}

static void check_safetensors_write(void) {
    fl_write_tensor w[] = {
        plain("ids", FL_I32, 1, ids, FL_I32),       plain("z.full", FL_F32, 2, ramp, FL_F32),
        plain("a.brain", FL_BF16, 2, NULL, FL_F32), plain("c.full", FL_F32, 1, ramp, FL_F32),
        plain("b.half", FL_F16, 2, ramp, FL_F32),
    };
    w[2].row = ramp_row;
    fl_err err;
    const char *path = folder_file("five.safetensors");
    CHECK(fl_safetensors_save(path, w, 5, &err) == FL_OK);
    same_bytes(path, "five.safetensors");
}

static void check_safetensors_read(void) {
    fl_safetensors *st = NULL;
    fl_err err;
    CHECK(fl_safetensors_open(&st, FL_TEST_DATA "/format/five.safetensors", &err) == FL_OK);
    if (!st) return;
    CHECK(fl_safetensors_count(st) == 5);
    CHECK(!fl_safetensors_find(st, "none"));
    for (int i = 0; i < 5; i++) {
        const fl_stored_tensor *t = fl_safetensors_at(st, i);
        CHECK(fl_safetensors_find(st, t->name) == t);
        for (int64_t k = 0; k < fl_tensor_count(&t->t); k++)
            CHECKF(fl_tensor_get(&t->t, k) == (t->t.dtype == FL_I32 ? ids[k] : (double)ramp[k]),
                   "%s %d", t->name, (int)k);
    }
    fl_safetensors_close(st);
}

/* A header, and how many bytes of data follow it; the word its error must contain (NULL: it is
 * good). */
static const struct {
    const char *header;
    size_t data;
    const char *word;
} lies[] = {
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, NULL},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}  ", 4, NULL},
    {"{}", 0, NULL},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0, NULL},
    {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, NULL},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "truncated"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "belong to no tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "gap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "shape takes 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "backwards"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "backwards"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "pair"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\"0,8\"}}", 8, "pair"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "whole number"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "array"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "dimensions"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8, "F8_E4M3"},
    {"{\"a\":{\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "f32"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
    {"{\"a\":7}", 8, "object"},
    {"[]", 0, "object"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
     "overflows"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
     12, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     8, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
     16, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "header"},
    {"garbage!", 8, "header"},
};

static size_t make_file(uint8_t *out, const char *header, size_t data) {
    uint64_t n = strlen(header);
    memcpy(out, &n, 8);
    memcpy(out + 8, header, n);
    memset(out + 8 + n, 0, data);
    return 8 + n + data;
}

static void check_lies(void) {
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t file[1024];
        size_t n = make_file(file, lies[i].header, lies[i].data);
        fl_safetensors *st = NULL;
        fl_err err = {0};
        fl_status s = fl_safetensors_parse(&st, file, n, "x.safetensors", &err);
        if (!lies[i].word) {
            CHECKF(s == FL_OK && st, "%s: %s", lies[i].header, err.msg);
        } else {
            CHECKF(s != FL_OK && !st, "%s", lies[i].header);
            CHECKF(strstr(err.msg, lies[i].word), "%s: \"%s\"", lies[i].header, err.msg);
        }
        fl_safetensors_close(st);
    }
}

/* Every way of cutting a good file short, and lengths that cannot be. */
static void check_truncation(void) {
    uint8_t file[1024];
    size_t n = make_file(file, lies[0].header, lies[0].data);
    fl_err err;
    for (size_t k = 0; k < n; k++) {
        fl_safetensors *st = NULL;
        CHECKF(fl_safetensors_parse(&st, file, k, "x", &err) != FL_OK, "cut at %zu", k);
    }
    static const uint64_t lengths[] = {0, 1, 101, 1ull << 32, 1ull << 63, ~0ull, ~0ull - 7};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        fl_safetensors *st = NULL;
        memcpy(file, &lengths[k], 8);
        CHECKF(fl_safetensors_parse(&st, file, n, "x", &err) != FL_OK, "length %zu", k);
    }
}

static void check_shards(void) {
    uint8_t file[1024];
    size_t n = make_file(file, lies[0].header, 8);
    folder_put("m/one.safetensors", file, n);
    n = make_file(file, "{\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8);
    folder_put("m/two.safetensors", file, n);
    static const struct {
        const char *index, *word;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"one.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}", "as promised"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", "as promised"},
        {"{\"weight_map\":{\"a\":\"three.safetensors\"}}", "three.safetensors"},
        {"{\"weight_map\":{\"a\":\"../m/one.safetensors\"}}", "beside it"},
        {"{\"weight_map\":{\"a\":5}}", "beside it"},
        {"{\"weight_map\":{}}", "weight_map"},
        {"{}", "weight_map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fl_safetensors *st = NULL;
        fl_err err = {0};
        folder_puts("m/model.safetensors.index.json", cases[i].index);
        fl_status s = fl_safetensors_open(&st, folder_file("m"), &err);
        CHECKF((s == FL_OK) == !cases[i].word, "%s: %s", cases[i].index, err.msg);
        if (cases[i].word)
            CHECKF(strstr(err.msg, cases[i].word), "%s: \"%s\"", cases[i].index, err.msg);
        fl_safetensors_close(st);
    }
    fl_err err = {0};
    fl_safetensors *st = NULL;
    CHECK(fl_safetensors_open(&st, folder_path, &err) != FL_OK &&
          strstr(err.msg, "model.safetensors"));
}

static void check_gguf(void) {
    static const int32_t types[] = {1, 3, 1};
    fl_gguf *g = fl_gguf_new();
    fl_gguf_str(g, "general.architecture", "llama");
    fl_gguf_u32(g, "llama.block_count", 3);
    fl_gguf_f32(g, "llama.rope.freq_base", 10000);
    fl_gguf_bool(g, "tokenizer.ggml.add_bos_token", true);
    fl_gguf_str(g, "general.name", "tiny");
    fl_gguf_strings_begin(g, "tokenizer.ggml.tokens", 3);
    fl_gguf_strings_add(g, "a", 1);
    fl_gguf_strings_add(g, "\xc3\xa9", 2);
    fl_gguf_strings_add(g, "", 0);
    fl_gguf_i32_array(g, "tokenizer.ggml.token_type", types, 3);
    fl_write_tensor w[] = {plain("token_embd.weight", FL_F32, 2, ramp, FL_F32),
                           plain("output_norm.weight", FL_F16, 1, ramp, FL_F32)};
    fl_err err = {0};
    const char *path = folder_file("two.gguf");
    CHECKF(fl_gguf_save(g, path, w, 2, &err) == FL_OK, "%s", err.msg);
    same_bytes(path, "two.gguf");
    w[0].dtype = FL_U8;  // ggml has none
    CHECK(fl_gguf_save(g, path, w, 2, &err) == FL_ERR_UNSUPPORTED);
    same_bytes(path, "two.gguf");  // a failed save leaves the old file
    fl_gguf_free(g);
}

static void check_tfevents(void) {
    uint8_t event[256], out[512];
    size_t n = fl_tfevents_frame(out, sizeof out, event,
                                 fl_tfevents_encode_version(event, sizeof event, 1.5));
    size_t k = fl_tfevents_encode_scalar(event, sizeof event, 2.25, 300, "loss", 0.75f);
    n += fl_tfevents_frame(out + n, sizeof out - n, event, k);
    same_bytes(folder_put("two.tfevents", out, n), "two.tfevents");
    CHECK(fl_tfevents_encode_scalar(event, 8, 0, 0, "loss", 0) == 0);
    CHECK(fl_tfevents_frame(out, 8, event, k) == 0);

    fl_tfevents *ev = NULL;
    fl_err err;
    CHECK(fl_tfevents_open(&ev, folder_path, &err) == FL_OK);
    fl_tfevents_scalar(ev, "loss", 1, 2.5);
    CHECK(fl_tfevents_close(ev, &err) == FL_OK);
    CHECK(fl_tfevents_open(&ev, folder_file("no/such"), &err) == FL_ERR_IO);
    fl_tfevents_scalar(NULL, "loss", 1, 2.5);
}

static void check_peft(void) {
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"{}", NULL},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":16,\"target_modules\":[\"q_proj\"],"
         "\"bias\":\"none\","
         "\"lora_dropout\":0.0,\"use_dora\":false,\"rank_pattern\":{},\"modules_to_save\":null}",
         NULL},
        {"{\"peft_type\":\"IA3\"}", "peft_type is \"IA3\""},
        {"{\"lora_dropout\":0.1}", "lora_dropout is 0.1"},
        {"{\"use_dora\":true}", "use_dora"},
        {"{\"bias\":\"all\"}", "bias is \"all\""},
        {"{\"rank_pattern\":{\"q_proj\":2}}", "rank_pattern"},
        {"{\"modules_to_save\":[\"lm_head\"]}", "modules_to_save"},
        {"{\"target_modules\":\".*q_proj\"}", ".*q_proj"},
        {"{\"target_modules\":[]}", "target_modules"},
        {"{\"target_modules\":[3]}", "target_modules"},
        {"{\"r\":0}", "r is 0"},
        {"{\"r\":\"4\"}", "r"},
        {"[]", "object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fl_lora_config c = {0};
        json_t *v = NULL;
        fl_err err = {0};
        CHECK(fl_json_parse(&v, cases[i].text, strlen(cases[i].text), "c.json", &err) == FL_OK);
        fl_status s = fl_lora_config_parse(&c, v, "c.json", &err);
        CHECKF((s == FL_OK) == !cases[i].word, "%s: %s", cases[i].text, err.msg);
        if (cases[i].word)
            CHECKF(strstr(err.msg, cases[i].word), "%s: \"%s\"", cases[i].text, err.msg);
        if (i == 1) {
            CHECK(fl_lora_scale(&c) == 4);
            CHECK(fl_lora_targets(&c, "model.layers.0.self_attn.q_proj") &&
                  fl_lora_targets(&c, "q_proj"));
            CHECK(!fl_lora_targets(&c, "a.xq_proj") && !fl_lora_targets(&c, "a.q_proj.b"));
        }
        fl_lora_config_clear(&c);
        json_decref(v);
    }
}

int main(void) {
    folder_make();
    check_safetensors_write();
    check_safetensors_read();
    check_lies();
    check_truncation();
    check_shards();
    check_gguf();
    check_tfevents();
    check_peft();
    folder_remove();
    return check_report();
}
