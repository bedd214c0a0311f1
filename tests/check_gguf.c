/* check_gguf - reading GGUF: what the `gguf` package wrote, and files that lie.
 *
 * Caught by it: dims in the wrong order, an array's head read as its values, a count believed
 * before it is checked, an offset that wraps, tensors that overlap, a split part taken twice. */
#include <math.h>
#include <string.h>

#include "as_stored.h"
#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "format/gguf.h"

/* ---- the package's file ---- */

static void check_numbers(const fl_gguf_file *f) {
    static const struct {
        const char *key;
        fl_gguf_type type;
        double value;
    } cases[] = {
        {"t.u8", FL_GGUF_U8, 200},          {"t.i8", FL_GGUF_I8, -100},
        {"t.u16", FL_GGUF_U16, 60000},      {"t.i16", FL_GGUF_I16, -30000},
        {"t.u32", FL_GGUF_U32, 4000000000}, {"t.i32", FL_GGUF_I32, -2000000000},
        {"t.f32", FL_GGUF_F32, 0.5},        {"t.bool", FL_GGUF_BOOL, 1},
        {"t.u64", FL_GGUF_U64, 0x1p52},     {"t.i64", FL_GGUF_I64, -0x1p52},
        {"t.f64", FL_GGUF_F64, 0.1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const fl_gguf_key *k = fl_gguf_find(f, cases[i].key);
        CHECKF(k && k->type == cases[i].type && k->n == 1 && !k->is_array, "%s", cases[i].key);
        if (k)
            CHECKF(fl_gguf_number(k, 0) == cases[i].value, "%s is %.17g", k->name,
                   fl_gguf_number(k, 0));
    }
}

static void check_getters(const fl_gguf_file *f) {
    fl_err err;
    int64_t n = 7;
    double x = 7;
    bool b = false;
    const char *text = NULL;
    CHECK(fl_gguf_get_int(f, "t.i32", &n, &err) == FL_OK && n == -2000000000);
    CHECK(fl_gguf_get_int(f, "no.such", &n, &err) == FL_OK && n == -2000000000);
    CHECK(fl_gguf_get_int(f, "t.f32", &n, &err) == FL_ERR_FORMAT && strstr(err.msg, "t.f32"));
    CHECK(fl_gguf_get_int(f, "t.bool", &n, &err) == FL_ERR_FORMAT);
    CHECK(fl_gguf_get_real(f, "t.u8", &x, &err) == FL_OK && x == 200);
    CHECK(fl_gguf_get_real(f, "t.text", &x, &err) == FL_ERR_FORMAT);
    CHECK(fl_gguf_get_bool(f, "t.bool", &b, &err) == FL_OK && b);
    CHECK(fl_gguf_get_str(f, "t.text", &text, &err) == FL_OK && strcmp(text, "h\xc3\xa9llo") == 0);
    CHECK(fl_gguf_get_str(f, "t.words", &text, &err) == FL_ERR_FORMAT && strstr(err.msg, "array"));
}

static void check_arrays(const fl_gguf_file *f) {
    const fl_gguf_key *words = fl_gguf_find(f, "t.words"), *reals = fl_gguf_find(f, "t.reals");
    CHECK(words && words->is_array && words->type == FL_GGUF_STRING && words->n == 3);
    CHECK(reals && reals->is_array && reals->type == FL_GGUF_F32 && reals->n == 2);
    if (!words || !reals) return;
    CHECK(words->strings[1].n == 2 && memcmp(words->strings[1].bytes, "bc", 2) == 0);
    CHECK(words->strings[2].n == 0 && fl_gguf_number(reals, 1) == -1.25);
}

static void check_package_file(void) {
    fl_gguf_file *f = NULL;
    fl_err err = {0};
    CHECKF(fl_gguf_open(&f, FL_TEST_DATA "/format/types.gguf", &err) == FL_OK, "%s", err.msg);
    if (!f) return;
    check_numbers(f);
    check_getters(f);
    check_arrays(f);
    CHECK(fl_gguf_n_tensors(f) == 3 && !fl_gguf_tensor(f, "none"));
    const fl_stored_tensor *ramp = fl_gguf_tensor(f, "ramp"), *q = fl_gguf_tensor(f, "q8");
    CHECK(ramp && ramp->t.rank == 2 && ramp->t.dim[0] == 2 && ramp->t.dim[1] == 3 &&
          fl_tensor_get(&ramp->t, 5) == 2.5);
    CHECK(q && q->t.dtype == FL_Q8_0 && q->t.dim[0] == 2 && q->t.dim[1] == 64 &&
          fabs(fl_tensor_get(&q->t, 64 + 63) - 1) < 1e-3);
    fl_gguf_close(f);
}

/* A file copied key by key and tensor by tensor is the same file. */
static void check_copy(void) {
    fl_gguf_file *f = NULL;
    fl_gguf *g = fl_gguf_new();
    fl_write_tensor w[3];
    fl_err err = {0};
    char *a = NULL, *b = NULL;
    size_t n = 0, k = 0;
    if (fl_gguf_open(&f, FL_TEST_DATA "/format/types.gguf", &err) != FL_OK) return;
    for (int i = 0; i < fl_gguf_n_keys(f); i++) fl_gguf_copy(g, fl_gguf_key_at(f, i));
    for (int i = 0; i < 3; i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        w[i] = as_stored(t);
    }
    const char *path = folder_file("copy.gguf");
    CHECKF(fl_gguf_save(g, path, w, 3, &err) == FL_OK, "%s", err.msg);
    fl_gguf_free(g);
    fl_gguf_close(f);
    CHECK(fl_file_read(path, 1 << 20, &a, &n, &err) == FL_OK);
    CHECK(fl_file_read(FL_TEST_DATA "/format/types.gguf", 1 << 20, &b, &k, &err) == FL_OK);
    CHECKF(n == k && a && b && memcmp(a, b, n) == 0, "%zu bytes, want %zu", n, k);
    fl_dealloc(a);
    fl_dealloc(b);
}

/* ---- files that lie ---- */

/* What a small file says; each lie changes one number. */
typedef struct {
    uint64_t magic, version, tensors, keys;
    uint64_t name_bytes, type, alignment;        // "general.alignment"
    uint64_t element, count, text_bytes, truth;  // an array of two strings; a boolean
    uint64_t tensor_bytes, rank, dim0, dim1, format, offset;
    uint64_t second_offset;
    uint64_t cut;  // bytes taken off the end
    const char *array_name, *second_name;
} fake;

static const fake good = {.magic = 0x46554747,
                          .version = 3,
                          .tensors = 2,
                          .keys = 3,
                          .name_bytes = 17,
                          .type = FL_GGUF_U32,
                          .alignment = 64,
                          .element = FL_GGUF_STRING,
                          .count = 2,
                          .text_bytes = 1,
                          .truth = 1,
                          .tensor_bytes = 1,
                          .rank = 2,
                          .dim0 = 32,
                          .dim1 = 3,
                          .format = 8,
                          .second_offset = 128,
                          .array_name = "words",
                          .second_name = "b"};

static uint8_t bytes[2048];
static size_t n_bytes;

static void put(uint64_t v, size_t n) {
    memcpy(bytes + n_bytes, &v, n);
    n_bytes += n;
}

static void put_text(uint64_t n, const char *text) {
    put(n, 8);
    memcpy(bytes + n_bytes, text, strlen(text));
    n_bytes += strlen(text);
}

static void put_tensor(const fake *f, uint64_t name_bytes, const char *name, uint64_t offset) {
    put_text(name_bytes, name);
    put(f->rank, 4);
    put(f->dim0, 8);
    put(f->dim1, 8);
    put(f->format, 4);
    put(offset, 8);
}

static void make(const fake *f) {
    n_bytes = 0;
    put(f->magic, 4);
    put(f->version, 4);
    put(f->tensors, 8);
    put(f->keys, 8);
    put_text(f->name_bytes, "general.alignment");
    put(f->type, 4);
    put(f->alignment, 4);
    put(5, 8);
    memcpy(bytes + n_bytes, f->array_name, 5);
    n_bytes += 5;
    put(FL_GGUF_ARRAY, 4);
    put(f->element, 4);
    put(f->count, 8);
    put_text(f->text_bytes, "x");
    put_text(1, "y");
    put_text(4, "true");
    put(FL_GGUF_BOOL, 4);
    put(f->truth, 1);
    put_tensor(f, f->tensor_bytes, "a", f->offset);
    put_tensor(f, 1, f->second_name, f->second_offset);
    while (n_bytes % 64) put(0, 1);
    for (int i = 0; i < 128 + 102; i++) put((uint64_t)i, 1);
    n_bytes -= f->cut;
}

#define LIE(field, value, word) \
    { #field, offsetof(fake, field), value, word }
static const struct {
    const char *field;
    size_t offset;
    uint64_t value;
    const char *word;
} lies[] = {
    LIE(magic, 0x47475546, "does not begin"),
    LIE(version, 1, "version 1"),
    LIE(version, 4, "version 4"),
    LIE(version, 0x03000000, "big-endian"),
    LIE(tensors, UINT64_MAX, "more tensors"),
    LIE(tensors, 1ull << 40, "more tensors"),
    LIE(tensors, 3, "name"),
    LIE(keys, UINT64_MAX, "more keys"),
    LIE(keys, 1ull << 32, "more keys"),
    LIE(keys, 4, "longer than the file"),
    LIE(name_bytes, UINT64_MAX, "longer than the file"),
    LIE(name_bytes, UINT64_MAX - 8, "longer than the file"),
    LIE(name_bytes, 0, "a name of 0"),
    LIE(type, 13, "unknown type"),
    LIE(type, UINT32_MAX, "unknown type"),
    LIE(type, FL_GGUF_F32, "whole number"),
    LIE(alignment, 0, "power of two"),
    LIE(alignment, 48, "power of two"),
    LIE(alignment, 1u << 31, "power of two"),
    LIE(alignment, 256, "multiple of general.alignment"),
    LIE(element, FL_GGUF_ARRAY, "array of arrays"),
    LIE(element, 99, "unknown type"),
    LIE(element, FL_GGUF_U64, "longer than the file"),
    LIE(count, UINT64_MAX, "longer than the file"),
    LIE(count, 1ull << 61, "longer than the file"),
    LIE(count, 1ull << 31, "longer than the file"),
    LIE(count, 0, "longer than the file"),
    LIE(text_bytes, UINT64_MAX - 7, "longer than the file"),
    LIE(text_bytes, 1u << 30, "longer than the file"),
    LIE(truth, 2, "boolean"),
    LIE(tensor_bytes, 65, "a name of 65"),
    LIE(tensor_bytes, UINT64_MAX, "longer than the file"),
    LIE(rank, 0, "0 dimensions"),
    LIE(rank, 5, "5 dimensions"),
    LIE(rank, UINT32_MAX, "dimensions"),
    LIE(dim0, 0, "empty or overflows"),
    LIE(dim0, 33, "whole blocks"),
    LIE(dim0, 1ull << 62, "empty or overflows"),
    LIE(dim0, UINT64_MAX, "empty or overflows"),
    LIE(dim0, 1ull << 40, "ends after the end"),
    LIE(dim1, 0, "empty or overflows"),
    LIE(dim1, 1ull << 59, "overflows"),
    LIE(dim1, 4, "overlap"),
    LIE(format, 99, "number format 99"),
    LIE(format, 4, "number format 4"),
    LIE(format, UINT32_MAX, "number format"),
    LIE(offset, 1, "multiple of general.alignment"),
    LIE(offset, 128, "overlap"),
    LIE(offset, UINT64_MAX - 63, "after the end"),
    LIE(offset, 1ull << 63, "after the end"),
    LIE(offset, 1024, "after the end"),
    LIE(second_offset, 64, "overlap"),
    LIE(second_offset, 0, "overlap"),
    LIE(second_offset, 192, "ends after the end"),
    LIE(cut, 1, "ends after the end"),
    LIE(cut, 103, "after the end"),
};

static void expect(const char *what, uint64_t value, const char *word) {
    fl_gguf_file *f = NULL;
    fl_err err = {0};
    uint8_t *copy = fl_alloc(n_bytes);  // of its size, so that a sanitizer sees every step outside
    memcpy(copy, bytes, n_bytes);
    fl_status s = fl_gguf_parse(&f, copy, n_bytes, "x.gguf", &err);
    CHECKF((s == FL_OK) == !word, "%s = %llx: %s", what, (unsigned long long)value, err.msg);
    if (word)
        CHECKF(strstr(err.msg, word), "%s = %llx: \"%s\"", what, (unsigned long long)value,
               err.msg);
    fl_gguf_close(f);
    fl_dealloc(copy);
}

static void check_lies(void) {
    make(&good);
    expect("the good file", 0, NULL);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        fake f = good;
        memcpy((char *)&f + lies[i].offset, &lies[i].value, sizeof lies[i].value);
        make(&f);
        expect(lies[i].field, lies[i].value, lies[i].word);
    }
    fake f = good;
    f.second_name = "a";
    make(&f);
    expect("second name", 0, "twice");
    f = good;
    f.array_name = "wor\0s";
    make(&f);
    expect("array name", 0, "zero byte");
}

/* Every way of cutting it short, and every bit turned: an error or a table, never more. */
static void check_damage(void) {
    make(&good);
    const size_t whole = n_bytes;
    for (n_bytes = 0; n_bytes < whole; n_bytes++) expect("cut", n_bytes, "x.gguf");
    n_bytes = whole;
    uint8_t *copy = fl_alloc(whole);
    int refused = 0;
    for (size_t bit = 0; bit < 8 * whole; bit++) {
        fl_gguf_file *f = NULL;
        fl_err err = {0};
        memcpy(copy, bytes, whole);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (fl_gguf_parse(&f, copy, whole, "x.gguf", &err) != FL_OK) {
            refused++;
            CHECKF(err.msg[0], "bit %zu: no message", bit);
            continue;
        }
        double sum = 0;
        for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
            const fl_tensor *t = &fl_gguf_tensor_at(f, i)->t;
            for (int64_t k = 0; k < fl_tensor_count(t); k++) sum += fl_tensor_get(t, k);
        }
        CHECK(sum == sum || sum != sum);
        fl_gguf_close(f);
    }
    CHECKF(refused > 500, "only %d of %zu turned bits are refused", refused, 8 * whole);
    fl_dealloc(copy);
}

static void check_out_of_memory(void) {
    make(&good);
    for (long n = 1; n < 12; n++) {
        fl_gguf_file *f = NULL;
        fl_err err = {0};
        fl_alloc_fail_at(n);
        fl_status s = fl_gguf_parse(&f, bytes, n_bytes, "x.gguf", &err);
        fl_alloc_fail_at(0);
        CHECK(s == FL_OK || (s == FL_ERR_NOMEM && !f));
        fl_gguf_close(f);
    }
}

/* ---- several files ---- */

static void put_part(int no, int count, int promised, const char *tensor) {
    char path[64];
    float value = (float)no;
    fl_err err = {0};
    fl_gguf *g = fl_gguf_new();
    fl_gguf_u32(g, "split.no", (uint32_t)no);
    fl_gguf_u32(g, "split.count", (uint32_t)count);
    fl_gguf_u32(g, "split.tensors.count", (uint32_t)promised);
    if (no == 0) fl_gguf_str(g, "general.name", "split");
    fl_write_tensor w = {.name = tensor, .rank = 1, .dim = {1}, .source = &value};
    snprintf(path, sizeof path, "m-%05d-of-%05d.gguf", no + 1, count);
    CHECKF(fl_gguf_save(g, folder_file(path), &w, 1, &err) == FL_OK, "%s", err.msg);
    fl_gguf_free(g);
}

static void expect_split(const char *name, const char *word) {
    fl_gguf_file *f = NULL;
    fl_err err = {0};
    fl_status s = fl_gguf_open(&f, folder_file(name), &err);
    CHECKF((s == FL_OK) == !word, "%s: %s", name, err.msg);
    if (word) CHECKF(strstr(err.msg, word), "%s: \"%s\"", name, err.msg);
    if (f)
        CHECK(fl_gguf_n_tensors(f) == 2 && fl_gguf_find(f, "general.name") &&
              fl_tensor_get(&fl_gguf_tensor(f, "two")->t, 0) == 1);
    fl_gguf_close(f);
}

static void check_splits(void) {
    put_part(0, 2, 2, "one");
    expect_split("m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
    put_part(1, 2, 2, "two");
    expect_split("m-00001-of-00002.gguf", NULL);
    expect_split("m-00002-of-00002.gguf", NULL);
    put_part(1, 2, 2, "one");
    expect_split("m-00001-of-00002.gguf", "twice");
    put_part(0, 2, 3, "one");
    put_part(1, 2, 3, "two");
    expect_split("m-00001-of-00002.gguf", "3 tensors are promised");
    put_part(5, 2, 2, "one");
    expect_split("m-00006-of-00002.gguf", "split.no is 5");
}

int main(void) {
    folder_make();
    check_package_file();
    check_copy();
    check_lies();
    check_damage();
    check_out_of_memory();
    check_splits();
    folder_remove();
    return check_report();
}
