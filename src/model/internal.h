/* internal.h - what the files of model/ share. */
#ifndef FL_MODEL_INTERNAL_H
#define FL_MODEL_INTERNAL_H

#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/arch.h"
#include "model/transform.h"

/* Rotary frequencies: those of every layer; those of texts longer than `above`, where they differ
 * (longrope); those of layers with a window, where they differ. */
typedef enum { FLI_ROPE_MAIN, FLI_ROPE_LONG, FLI_ROPE_LOCAL, FLI_ROPE_COUNT } fli_rope_kind;
typedef struct {
    float *inv_freq;  // (rotary_dim / 2); NULL: there is no such table
    float scale;      // of cosine and sine
    int64_t above;    // LONG
} fli_rope;

/* Behind a model: who owns the bytes, and where the builder finds each weight. */
struct fl_model_memory {
    fl_buffer *weights, *grads;
    void **added;  // bytes of parameters that transforms added
    int n_added;
    fl_safetensors *mapped;  // weights used as they lie in the file; NULL: none
    fl_gguf_file *gguf;      // likewise
    fli_rope rope[FLI_ROPE_COUNT];
    bool pairs;       // GGUF's order of rows where the architecture says gguf_permute
    int room_params;  // fl_model.param never moves
    int n_base;       // parameters of the architecture, in the order of fl_weight_next
    fl_param **slot;  // (1 + layers, FL_SLOT_COUNT); row 0 is outside the layers
};

/* A tensor of a file: the parameters it is made of, one below the other, perhaps transposed or with
 * permuted heads; or one expert of a parameter that holds them all. */
enum { FLI_PARTS_MAX = 4 };

/* Latent attention's KV_UP in the other form than the model has (stored_latent.c): K_UP and V_UP as
 * one, or a part of it. */
typedef enum { FLI_LATENT_NONE, FLI_LATENT_JOINED, FLI_LATENT_KEYS, FLI_LATENT_VALUES } fli_latent;
typedef struct {
    char name[128];
    fl_param *part[FLI_PARTS_MAX];
    int n_parts;
    bool transposed;
    bool plus_one;      // the file has the values with 1 added
    int64_t turn_rows;  // parts take turns of this many rows; 0: one below the other
    int64_t stack;      // matrices, or vectors, of each part, one after the other; 0: it is one
    int64_t head;     // rows that change places among themselves; 0: rows stay in place
    bool pairs_here;  // those that rotate together are neighbours here, halves apart in the file
    bool one_expert;  // of part[0]: number `expert`
    int64_t expert;
    fli_latent latent;
    const fl_config *config;  // where it is some
} fli_stored;

/* The tensors of a model's file, in order: item[i] says what w[i], which a writer takes, is made
 * of. */
typedef struct {
    fli_stored *item;
    fl_write_tensor *w;
    int n;
} fli_stored_list;
FL_MUST_USE fl_status fli_stored_hf(fli_stored_list *out, const fl_model *m, fl_dtype dtype,
                                    fl_err *err);
/* As a file is read, or written: old files have KV_UP whole, as a model of a folder does. */
typedef enum { FLI_READ, FLI_WRITTEN } fli_way;
FL_MUST_USE fl_status fli_stored_gguf(fli_stored_list *out, const fl_model *m, fli_way way,
                                      fl_dtype dtype, fl_err *err);
void fli_stored_clear(fli_stored_list *l);

/* A file for transformers or PEFT has the rows of this weight's heads in halves. */
void fli_stored_halve(fli_stored *s, const fl_model *m, const fl_weight_row *row);

/* Write tensor `w` of the parts of `s`; `s` must stay where it is while w is used. */
void fli_stored_describe(fli_stored *s, fl_dtype dtype, fl_write_tensor *w);
void fli_latent_describe(const fli_stored *s, fl_write_tensor *w);
bool fli_same_tensor(const char *a,
                     const char *b);  // two parameters' names: parts of one tensor in the file?
void fli_file_name(char out[128], const char *param);  // without "#q"

void fli_stored_load(const fli_stored *s,
                     const fl_tensor *file);  // same shape; converts to the parameters' formats
/* The same of experts in MXFP4, as Hugging Face folders have it: blocks, u8 (E, N, K / 32, 16), and
 * their scales, u8 (E, N, K / 32). */
void fli_stored_load_mxfp4(const fli_stored *s, const fl_tensor *blocks, const fl_tensor *scales);
bool fli_stored_mappable(const fli_stored *s, const fl_tensor *file);

/* The tensors of an open file, whatever its format. */
typedef struct {
    const void *file;
    int n;
    const fl_stored_tensor *(*at)(const void *file, int i);
    const fl_stored_tensor *(*find)(const void *file, const char *name);
    const char *facts;           // where the shapes come from, for messages: "config.json"
    const char *const *ignored;  // ends of names that carry nothing; NULL ends
} fli_tensors;

/* Give the parameters their bytes: every item of the list has its tensor in the file, of the right
 * shape, and every tensor of the file its item. Parameters whose bytes can be used where they lie
 * point into the file; the others are copied. */
FL_MUST_USE fl_status fli_load_tensors(fl_model *m, const fli_tensors *from,
                                       const fli_stored_list *list, const fl_model_opts *opts,
                                       fl_err *err);

FL_MUST_USE fl_status fli_load_gguf(fl_model **out, const char *path, const fl_model_opts *opts,
                                    fl_err *err);

/* The tokenizer must be one of this model. */
FL_MUST_USE fl_status fli_check_tokenizer(const fl_model *m, const char *where, fl_err *err);

/* A model with its table of parameters, but no bytes behind them. */
FL_MUST_USE fl_status fli_model_shell(fl_model **out, const fl_config *config, fl_err *err);
/* Bytes for every parameter that has no data yet; each has its dtype set. */
FL_MUST_USE fl_status fli_model_allocate(fl_model *m, fl_err *err);
fl_param *fli_model_slot(const fl_model *m, int layer,
                         fl_slot slot);  // NULL: this architecture has none
void fli_name_weight(char *out, size_t room, const char *pattern,
                     int layer);  // %d becomes the layer

FL_MUST_USE fl_status fli_rope_check(const fl_config *c,
                                     fl_err *err);  // rope_scaling is one we know
FL_MUST_USE fl_status fli_rope_new(fli_rope out[FLI_ROPE_COUNT], const fl_config *c, fl_err *err);
void fli_rope_clear(fli_rope rope[FLI_ROPE_COUNT]);

/* config.json's dialects of rotary positions and of windows. */
FL_MUST_USE fl_status fli_config_read_rope(fl_config *c, const json_t *v, const char *where,
                                           fl_err *err);
FL_MUST_USE fl_status fli_config_read_window(fl_config *c, const json_t *v, const char *where,
                                             fl_err *err);
void fli_config_put_rope(json_t *v, const fl_config *c);
void fli_config_put_window(json_t *v, const fl_config *c);

/* What a linear layer multiplies by. */
typedef struct {
    fl_param *w, *bias;  // bias may be NULL
} fli_weight;
void fli_transforms_free(fl_model *m);

#endif
