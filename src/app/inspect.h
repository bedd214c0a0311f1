/* inspect.h - the parts of `fledge inspect`: what a model file says, and what the model is. */
#ifndef FL_APP_INSPECT_H
#define FL_APP_INSPECT_H

#include "app/command.h"
#include "base/json.h"
#include "format/gguf.h"
#include "model/model.h"

/* ---- inspect_file.c: a file as it lies there, whatever network it belongs to ---- */

typedef struct {
    fl_gguf_file *gguf;  // one of these two
    fl_safetensors *hf;
    json_t *config;  // config.json, beside hf
} app_model_file;
FL_MUST_USE fl_status app_model_file_open(app_model_file *out, const char *path, fl_err *err);
void app_model_file_close(app_model_file *f);

void app_print_metadata(const app_model_file *f);
void app_print_tensors(const app_model_file *f);
void app_print_formats(const app_model_file *f);
json_t *app_metadata_json(const app_model_file *f);
json_t *app_tensors_json(const app_model_file *f);

/* ---- inspect_model.c: the network, its sizes, its tokenizer ---- */

void app_print_model(const fl_model *m);
void app_model_json(const fl_model *m, json_t *into);

#endif
