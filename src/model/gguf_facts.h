/* gguf_facts.h - what a model is, as keys of GGUF. Inside model/. */
#ifndef FL_MODEL_GGUF_FACTS_H
#define FL_MODEL_GGUF_FACTS_H

#include "format/gguf.h"
#include "model/internal.h"

/* An error that names what llama.cpp does not have. */
FL_MUST_USE fl_status fli_gguf_check(const fl_config *c, fl_err *err);

void fli_gguf_put_facts(fl_gguf *g, const fl_model *m);

enum { FLI_GGUF_SOFTMAX = 1, FLI_GGUF_SIGMOID = 2 };  // expert_gating_func

/* Of latent attention (gguf_latent.c). Reading adds to what config.json would say, and to its
 * rope_scaling. */
const char *fli_gguf_latent_lacking(const fl_config *c);  // NULL: nothing
void fli_gguf_put_latent(fl_gguf *g, const fl_config *c);
FL_MUST_USE fl_status fli_gguf_get_latent(json_t *v, const fl_gguf_file *f, const fl_arch *arch,
                                          fl_err *err);
FL_MUST_USE fl_status fli_gguf_get_mscale(json_t *scaling, const fl_gguf_file *f,
                                          const fl_arch *arch, fl_err *err);

/* What plain rotary frequencies are divided by, where that takes a table: none, one (Llama 3.1) or
 * two (longrope). Clear it after an error too. */
enum { FLI_GGUF_TABLES = 2 };
typedef struct {
    fl_write_tensor w[FLI_GGUF_TABLES];
    float *memory[FLI_GGUF_TABLES];
    int n;
} fli_gguf_tables;
FL_MUST_USE fl_status fli_gguf_tables_new(fli_gguf_tables *t, const fl_model *m, fl_err *err);
void fli_gguf_tables_clear(fli_gguf_tables *t);

#endif
