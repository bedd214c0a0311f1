/* gguf.h - GGUF, the file of llama.cpp: reading by mapping, writing by streaming.
 *
 *     fl_gguf_file *f;
 *     if (fl_gguf_open(&f, "tales.gguf", &err) != FL_OK) ...
 *     const fl_gguf_key *k = fl_gguf_find(f, "llama.block_count");
 *     const fl_stored_tensor *w = fl_gguf_tensor(f, "output.weight");
 *     ... read w->t.data, which lives in the mapping ...
 *     fl_gguf_close(f);
 *
 *     fl_gguf *g = fl_gguf_new();
 *     fl_gguf_str(g, "general.architecture", "llama");
 *     fl_gguf_u32(g, "llama.block_count", 6);
 *     if (fl_gguf_save(g, "tales.gguf", tensors, n, &err) != FL_OK) ...
 *     fl_gguf_free(g);
 *
 *   "GGUF" u32 3 | u64 tensors | u64 keys | keys | tensor infos | padding | data, tensors padded
 *   string: u64 bytes, then the bytes.   key: string, u32 type, value.
 *   array: u32 type, u64 count, values.
 *   info: string name, u32 rank, u64 dims (fastest first), u32 type, u64 offset in the data
 *   padding: to general.alignment, 32 where that key is missing
 *
 * Versions 2 and 3 are read, 3 is written; a model split over several files (split.count) is opened
 * by the name of any of them. Nothing in a file is trusted: every length, type, count and place is
 * checked before it is used, tensors may not overlap, and memory stays in proportion to the file.
 *
 * Everything is little-endian, and so must the machine be. Reading is thread safe once open.
 * While writing, running out of memory sticks and is reported by save. */
#ifndef FL_FORMAT_GGUF_H
#define FL_FORMAT_GGUF_H

#include "format/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FL_GGUF_U8,
    FL_GGUF_I8,
    FL_GGUF_U16,
    FL_GGUF_I16,
    FL_GGUF_U32,
    FL_GGUF_I32,
    FL_GGUF_F32,
    FL_GGUF_BOOL,
    FL_GGUF_STRING,
    FL_GGUF_ARRAY,
    FL_GGUF_U64,
    FL_GGUF_I64,
    FL_GGUF_F64,
    FL_GGUF_TYPE_COUNT
} fl_gguf_type;

/* ---- reading ---- */

/* By its name, or by its first bytes whatever its name: caches call files by their checksums. */
bool fl_gguf_is(const char *path);

typedef struct {
    const char *bytes;  // in an array without a zero byte after them
    size_t n;
} fl_gguf_string;

typedef struct {
    const char *name;
    fl_gguf_type type;  // of an array: of its elements
    bool is_array;
    uint64_t n;                     // elements; 1 unless it is an array
    const fl_gguf_string *strings;  // n of them, if that is the type
    const void *value;              // as it lies in the file, at any address
    size_t value_bytes;             // of an array: with its type and count
} fl_gguf_key;

typedef struct fl_gguf_file fl_gguf_file;

FL_MUST_USE fl_status fl_gguf_open(fl_gguf_file **out, const char *path, fl_err *err);
void fl_gguf_close(fl_gguf_file *f);  // NULL is allowed

/* One file already in memory; what the reader and the fuzzer share. */
FL_MUST_USE fl_status fl_gguf_parse(fl_gguf_file **out, const void *data, size_t bytes,
                                    const char *file, fl_err *err);

int fl_gguf_n_keys(const fl_gguf_file *f);
const fl_gguf_key *fl_gguf_key_at(const fl_gguf_file *f, int i);  // in the order of the file
const fl_gguf_key *fl_gguf_find(const fl_gguf_file *f, const char *key);  // NULL: none

int fl_gguf_n_tensors(const fl_gguf_file *f);
const fl_stored_tensor *fl_gguf_tensor_at(const fl_gguf_file *f, int i);  // in the file's order
const fl_stored_tensor *fl_gguf_tensor(const fl_gguf_file *f, const char *name);  // NULL: none

/* Element i of a value as a number; booleans are 0 and 1. Not for strings. */
double fl_gguf_number(const fl_gguf_key *k, uint64_t i);

/* The value of a key, `out` untouched where there is none; another type than that asked for is an
 * error. Whole numbers and reals may be of any size; an f32 is read as the shortest decimal
 * that rounds to it. A string lives as long as the file. */
FL_MUST_USE fl_status fl_gguf_get_int(const fl_gguf_file *f, const char *key, int64_t *out,
                                      fl_err *err);
FL_MUST_USE fl_status fl_gguf_get_real(const fl_gguf_file *f, const char *key, double *out,
                                       fl_err *err);
FL_MUST_USE fl_status fl_gguf_get_bool(const fl_gguf_file *f, const char *key, bool *out,
                                       fl_err *err);
FL_MUST_USE fl_status fl_gguf_get_str(const fl_gguf_file *f, const char *key, const char **out,
                                      fl_err *err);

const char *fl_gguf_type_name(fl_gguf_type t);  // "u32"
size_t fl_gguf_type_bytes(fl_gguf_type t);      // of one value; 0: strings and arrays

/* ---- writing ---- */

typedef struct fl_gguf fl_gguf;

fl_gguf *fl_gguf_new(void);  // NULL when memory is exhausted
void fl_gguf_free(fl_gguf *g);

void fl_gguf_u32(fl_gguf *g, const char *key, uint32_t v);
void fl_gguf_f32(fl_gguf *g, const char *key, float v);
void fl_gguf_bool(fl_gguf *g, const char *key, bool v);
void fl_gguf_str(fl_gguf *g, const char *key, const char *v);
void fl_gguf_i32_array(fl_gguf *g, const char *key, const int32_t *v, size_t n);
void fl_gguf_f32_array(fl_gguf *g, const char *key, const float *v, size_t n);
void fl_gguf_u8_array(fl_gguf *g, const char *key, const uint8_t *v, size_t n);

/* A key of another file as it is. Alignment and splitting are this writer's own: those keys are
 * left out. */
void fl_gguf_copy(fl_gguf *g, const fl_gguf_key *k);

bool fl_gguf_has(const fl_gguf *g, const char *key);

/* An array of strings: begin says how many, then each is added. */
void fl_gguf_strings_begin(fl_gguf *g, const char *key, size_t n);
void fl_gguf_strings_add(fl_gguf *g, const char *bytes, size_t n);

/* Tensors are in any format ggml has, rows of whole blocks; names at most 63 bytes. */
FL_MUST_USE fl_status fl_gguf_save(fl_gguf *g, const char *path, const fl_write_tensor *tensors,
                                   int n, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
