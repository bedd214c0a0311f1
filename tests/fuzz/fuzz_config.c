/* fuzz_config - any JSON as config.json: refused with a message, or a configuration whose sizes can
 * be added up. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "model/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    json_t *v;
    fl_config c;
    fl_err err = {0};
    if (fl_json_parse(&v, (const char *)data, n, "x", &err) != FL_OK) return 0;
    if (fl_config_parse(&c, v, "x", &err) == FL_OK) {
        if (fl_config_count(&c) <= 0 || !(fl_config_flops_per_token(&c, 1) > 0)) abort();
        if (c.num_attention_heads % c.num_key_value_heads) abort();
        fl_config_clear(&c);
    } else if (!err.msg[0]) {
        abort();
    }
    json_decref(v);
    return 0;
}
