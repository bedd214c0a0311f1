/* fuzz_json - any bytes as JSON: refused with a message, or printed and read back equal. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    json_t *v, *again;
    fl_err err = {0};
    if (fl_json_parse(&v, (const char *)data, n, "x", &err) != FL_OK) {
        if (!err.msg[0]) abort();
        return 0;
    }
    fl_text t = {0};
    fl_json_print(&t, v, (int)(n % 3));
    if (fl_json_parse(&again, t.data, t.n, "x", &err) != FL_OK || !json_equal(v, again)) abort();
    json_decref(again);
    json_decref(v);
    fl_text_clear(&t);
    return 0;
}
