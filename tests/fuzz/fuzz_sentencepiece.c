/* fuzz_sentencepiece - any bytes as a SentencePiece model: refused with a message, or a tokenizer
 * that encodes any text and decodes what it made. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"
#include "token/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void encode(const fl_tokenizer *t, const char *text, size_t n) {
    fl_err err = {0};
    fl_ids ids = {0};
    char *back;
    size_t n_back;
    for (int plain = 0; plain < 2; plain++) {
        fl_encode_opts o = {.plain = plain == 1, .add_special = plain == 0};
        ids.n = 0;
        if (fl_encode(t, text, n, &o, &ids, &err) != FL_OK) {
            if (!err.msg[0]) abort();
            continue;
        }
        if (fl_decode(t, ids.id, ids.n, true, &back, &n_back, &err) != FL_OK) abort();
        fl_dealloc(back);
    }
    fl_ids_clear(&ids);
}

/* What it gives as arrays is a vocabulary again, or is refused with a message. */
static void through_arrays(const fl_tokenizer *t) {
    fl_err err = {0};
    fl_arena arena;
    fl_vocab v;
    fl_tokenizer *again = NULL;
    fl_arena_init(&arena, 1 << 12);
    if (fl_tokenizer_to_vocab(t, fl_tokenizer_size(t), &arena, &v, &err) != FL_OK) abort();
    if (fl_tokenizer_from_vocab(&again, &v, &err) == FL_OK) encode(again, " a b", 4);
    else if (!err.msg[0] || again) abort();
    fl_tokenizer_free(again);
    fl_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char text[] =
        "  The cat's 12\t \xc3\xa9\n <s>\xe2\x96\x81\xff\xe4\xbd\xa0 \xef\xbc\xa1 e\xcc\x81 "
        "aaaaaaaaaaaa";
    fl_tokenizer *t = NULL;
    fl_err err = {0};
    if (fli_parse_spm(&t, data, n, &err) != FL_OK) {
        if (!err.msg[0] || t) abort();
        return 0;
    }
    encode(t, text, sizeof text - 1);
    encode(t, (const char *)data, n < 256 ? n : 256);
    through_arrays(t);
    fl_tokenizer_free(t);
    return 0;
}
