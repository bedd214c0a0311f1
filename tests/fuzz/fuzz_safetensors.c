/* fuzz_safetensors - any bytes as a tensor file: refused with a message, or every tensor lies
 * inside them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Data that begins on a cache line, as a mapping does. */
static void look(const uint8_t *data, size_t n) {
    fl_safetensors *st;
    fl_err err = {0};
    if (fl_safetensors_parse(&st, data, n, "x", &err) != FL_OK) {
        if (!err.msg[0]) abort();
        return;
    }
    for (int i = 0; i < fl_safetensors_count(st); i++) {
        const fl_stored_tensor *t = fl_safetensors_at(st, i);
        const uint8_t *at = t->t.data;
        size_t bytes = fl_tensor_bytes(&t->t);
        if (at < data || bytes > n || (size_t)(at - data) > n - bytes) abort();
        if (fl_safetensors_find(st, t->name) != t) abort();
        for (size_t k = 0; k < bytes; k += 64) (void)*(const volatile uint8_t *)(at + k);
    }
    fl_safetensors_close(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    look(data, n);
    /* The same bytes as a header of their own length: mutations then reach past the first eight
     * bytes. */
    uint8_t *file = malloc(n + 8);
    uint64_t length = n;
    memcpy(file, &length, 8);
    if (n) memcpy(file + 8, data, n);
    look(file, n + 8);
    free(file);
    return 0;
}
