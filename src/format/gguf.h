/* gguf.h - writing GGUF version 3, the file of llama.cpp.
 *
 *     fl_gguf *g = fl_gguf_new();
 *     fl_gguf_str(g, "general.architecture", "llama");
 *     fl_gguf_u32(g, "llama.block_count", 6);
 *     if (fl_gguf_save(g, "tales.gguf", tensors, n, &err) != FL_OK) ...
 *     fl_gguf_free(g);
 *
 *   "GGUF" u32 3 | u64 tensors | u64 keys | keys | tensor infos | padding to 32 | data, each tensor
 * padded to 32 string: u64 bytes, then the bytes.   key: string, u32 type, value.   array: u32
 * type, u64 count, values. info: string name, u32 rank, u64 dims (fastest first), u32 type, u64
 * offset in the data
 *
 * Everything is little-endian. Running out of memory sticks and is reported by save. */
#ifndef FL_FORMAT_GGUF_H
#define FL_FORMAT_GGUF_H

#include "format/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_gguf fl_gguf;

fl_gguf *fl_gguf_new(void);  // NULL when memory is exhausted
void fl_gguf_free(fl_gguf *g);

void fl_gguf_u32(fl_gguf *g, const char *key, uint32_t v);
void fl_gguf_f32(fl_gguf *g, const char *key, float v);
void fl_gguf_bool(fl_gguf *g, const char *key, bool v);
void fl_gguf_str(fl_gguf *g, const char *key, const char *v);
void fl_gguf_i32_array(fl_gguf *g, const char *key, const int32_t *v, size_t n);

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
