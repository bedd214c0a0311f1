/* fuzz_yaml - any bytes as YAML: refused with a message, or a value that can be printed, with lines
 * for its keys. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    json_t *v, *lines;
    fl_err err = {0};
    if (fl_yaml_parse(&v, &lines, (const char *)data, n, "x", &err) != FL_OK) {
        if (!err.msg[0]) abort();
        return 0;
    }
    fl_text t = {0};
    fl_json_print(&t, v, 2);
    if (fl_text_ok(&t, NULL) != FL_OK) abort();
    fl_text_clear(&t);
    json_decref(v);
    json_decref(lines);
    return 0;
}
