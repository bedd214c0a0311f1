/* peft.h - PEFT's adapter_config.json for LoRA, checked.
 *
 * Hu et al., "LoRA: low-rank adaptation of large language models", 2021; rsLoRA: Kalajdzievski
 * 2023. An adapter folder is this file and adapter_model.safetensors, whose names are
 * "base_model.model." + the module's path +
 * ".lora_A.weight" (r, in) and ".lora_B.weight" (out, r). Everything this file can ask for and
 * Fledge cannot do is an error that names the field and its value. */
#ifndef FL_FORMAT_PEFT_H
#define FL_FORMAT_PEFT_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FL_PEFT_CONFIG  "adapter_config.json"
#define FL_PEFT_WEIGHTS "adapter_model.safetensors"
#define FL_PEFT_PREFIX  "base_model.model."

typedef struct {
    int64_t r;  // rank; 0 on input of a default: 8
    double lora_alpha;
    bool use_rslora;         // scale alpha / sqrt(r) instead of alpha / r
    json_t *target_modules;  // an array of names, or the string "all-linear"; owned
    const char *base_model;  // borrowed from the JSON it was read from; NULL: unknown
} fl_lora_config;

/* Absent fields take PEFT's defaults (r 8, lora_alpha 8); target_modules absent means
 * "all-linear". */
FL_MUST_USE fl_status fl_lora_config_parse(fl_lora_config *out, const json_t *config,
                                           const char *where, fl_err *err);
void fl_lora_config_clear(fl_lora_config *c);

double fl_lora_scale(const fl_lora_config *c);

/* Is the module with this path ("model.layers.0.self_attn.q_proj") one of target_modules? A name
 * matches the whole path or its end after a dot, as in PEFT. "all-linear" matches everything it is
 * asked about. */
bool fl_lora_targets(const fl_lora_config *c, const char *module);

/* Write DIR/adapter_config.json. `fan_in_fan_out`: the base stores these weights transposed
 * (GPT-2's Conv1D). */
FL_MUST_USE fl_status fl_lora_config_save(const fl_lora_config *c, bool fan_in_fan_out,
                                          const char *dir, fl_err *err);

#ifdef __cplusplus
}
#endif

#endif
