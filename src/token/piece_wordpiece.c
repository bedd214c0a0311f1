/* piece_wordpiece.c - a word as the longest token that begins it, then the longest that goes on,
 * and so forth; a word where that fails is unknown as a whole.
 *
 * Tokens that begin a word have a space before them in the trie, those that go on have none, so
 * that a token's bytes are the text it stands for. */
#include "token/internal.h"

static size_t n_chars(const uint8_t *s, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += (s[i] & 0xC0) != 0x80;
    return k;
}

static fl_status wordpiece_encode(const fl_tokenizer *t, const uint8_t *s, size_t n,
                                  fli_scratch *scratch, int32_t *id, size_t *n_ids, fl_err *err) {
    (void)scratch;
    const fli_lexicon *d = &t->lexicon;
    *n_ids = 0;
    bool fits = n <= t->max_chars || n_chars(s, n) <= t->max_chars;
    for (size_t i = 0, end; fits && i < n; i = end) {
        uint32_t node = i ? FLI_LEXICON_ROOT : fli_lexicon_next(d, FLI_LEXICON_ROOT, ' ');
        end = i;
        for (size_t k = i; k < n && node && (node = fli_lexicon_next(d, node, s[k])); k++)
            if (fli_lexicon_id(d, node) >= 0) {
                end = k + 1;
                id[*n_ids] = fli_lexicon_id(d, node);
            }
        ++*n_ids;
        if (end == i) fits = false;
    }
    if (fits) return FL_OK;
    return fli_fall_back(t, s, n, id, n_ids, err);
}

const fli_model_kind fli_wordpiece = {.hf = "WordPiece",
                                      .gguf = "bert",
                                      .encode = wordpiece_encode,
                                      .by_prefix = true};
