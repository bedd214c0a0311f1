/* fuzz_gguf - any bytes as a GGUF file: refused with a message, or every key and tensor lies inside
 * them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void touch(const void *from, size_t bytes) {
    const volatile uint8_t *at = from;
    for (size_t k = 0; k < bytes; k += 64) (void)at[k];
    if (bytes) (void)at[bytes - 1];
}

static void look_at_key(const fl_gguf_key *k) {
    if (k->is_array) touch(k->value, k->value_bytes);
    for (uint64_t i = 0; i < k->n; i++) {
        if (k->type == FL_GGUF_STRING) touch(k->strings[i].bytes, k->strings[i].n);
        else (void)fl_gguf_number(k, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    fl_gguf_file *f;
    fl_err err = {0};
    if (fl_gguf_parse(&f, data, n, "x", &err) != FL_OK) {
        if (!err.msg[0]) abort();
        return 0;
    }
    for (int i = 0; i < fl_gguf_n_keys(f); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(f, i);
        if (fl_gguf_find(f, k->name) != k) abort();
        look_at_key(k);
    }
    for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        const uint8_t *at = t->t.data;
        size_t bytes = fl_tensor_bytes(&t->t);
        if (at < data || bytes > n || (size_t)(at - data) > n - bytes) abort();
        if (fl_gguf_tensor(f, t->name) != t) abort();
        touch(at, bytes);
        (void)fl_tensor_get(&t->t, fl_tensor_count(&t->t) - 1);
    }
    fl_gguf_close(f);
    return 0;
}
