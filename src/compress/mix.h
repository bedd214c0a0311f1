/* mix.h - which number format each tensor of a quantized model has: llama.cpp's mixes by name.
 *
 *     const fl_mix *mix = fl_mix_find("Q4_K_M");
 *     fl_dtype t = fl_mix_choose(mix, &facts, "blk.3.ffn_down.weight", 2, dim);
 *     t = fl_mix_fitting(t, dim[1]);
 *
 * A mix is a row: the format of most matrices, and rules for those that suffer more: the values'
 * projection, the way down, the head. Tensors are called what GGUF calls them. */
#ifndef FL_COMPRESS_MIX_H
#define FL_COMPRESS_MIX_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_mix fl_mix;

/* What the rules look at. */
typedef struct {
    int64_t layers, heads, kv_heads, experts;
    bool tied;        // the embedding is the head
    bool importance;  // an importance matrix is at hand
} fl_mix_facts;

const fl_mix *fl_mix_find(const char *name);  // in any case; NULL if there is none
const char *fl_mix_name(const fl_mix *m);
uint32_t fl_mix_file_type(const fl_mix *m);  // general.file_type
const fl_mix *fl_mix_at(int i);              // all of them in turn; NULL after the last

/* Whether a tensor is quantized at all: matrices of weights, not norms, positions or routers. */
bool fl_mix_quantizes(const char *tensor, int rank);

/* `dim` outermost first. Where rows are no whole blocks of the format chosen, by the mix or by
 * hand, they get one that fits. */
fl_dtype fl_mix_choose(const fl_mix *m, const fl_mix_facts *f, const char *tensor, int rank,
                       const int64_t *dim);
fl_dtype fl_mix_fitting(fl_dtype wanted, int64_t cols);

#ifdef __cplusplus
}
#endif

#endif
