/* fuzz_peft - any JSON as adapter_config.json: refused with a message, or settings that can be
 * used. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/peft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    json_t *v;
    fl_lora_config c;
    fl_err err = {0};
    if (fl_json_parse(&v, (const char *)data, n, "x", &err) != FL_OK) return 0;
    if (fl_lora_config_parse(&c, v, "x", &err) == FL_OK) {
        if (c.r < 1 || !isfinite(fl_lora_scale(&c))) abort();
        (void)fl_lora_targets(&c, "model.layers.0.self_attn.q_proj");
        fl_lora_config_clear(&c);
    } else if (!err.msg[0]) {
        abort();
    }
    json_decref(v);
    return 0;
}
