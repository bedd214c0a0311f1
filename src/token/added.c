/* added.c - added tokens: found in the text by a trie, before pre-tokenization and merges. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"

static int32_t child_for(const fli_trie *t, int32_t node, uint8_t byte) {
    int32_t k = t->node[node].child;
    while (k >= 0 && t->node[k].byte != byte) k = t->node[k].sibling;
    return k;
}

static bool new_node(fli_trie *t, uint8_t byte, int32_t sibling) {
    if (!fli_grow((void **)&t->node, &t->cap, t->n + 1, sizeof *t->node)) return false;
    t->node[t->n++] = (fli_trie_node){-1, sibling, -1, byte};
    return true;
}

static bool trie_insert(fli_trie *t, const uint8_t *s, size_t n, int32_t added) {
    if (t->n == 0 && !new_node(t, 0, -1)) return false;
    int32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t next = child_for(t, at, s[i]);
        if (next < 0) {
            if (!new_node(t, s[i], t->node[at].child)) return false;
            next = t->node[at].child = (int32_t)t->n - 1;
        }
        at = next;
    }
    if (t->node[at].added < 0) t->node[at].added = added;
    if (!t->starts[s[0]]) {
        t->starts[s[0]] = true;
        t->n_starts++;
        t->only_start = s[0];
    }
    return true;
}

int32_t fli_trie_match(const fli_trie *t, const uint8_t *s, size_t i, size_t n, size_t *len) {
    int32_t best = -1;
    for (size_t k = i, at = 0; k < n; k++) {
        int32_t next = child_for(t, (int32_t)at, s[k]);
        if (next < 0) break;
        at = (size_t)next;
        if (t->node[at].added >= 0) {
            best = t->node[at].added;
            *len = k + 1 - i;
        }
    }
    return best;
}

size_t fli_trie_next(const fli_trie *t, const uint8_t *s, size_t i, size_t n) {
    if (t->n_starts == 0) return n;
    if (t->n_starts == 1) {
        const uint8_t *at = memchr(s + i, t->only_start, n - i);
        return at ? (size_t)(at - s) : n;
    }
    while (i < n && !t->starts[s[i]]) i++;
    return i;
}

/* What a normalised added token looks like in the text it is looked for in. */
static fl_status insert(fl_tokenizer *t, int32_t id, const char *text, size_t n, bool normalized,
                        fl_err *err) {
    fl_text a = {0}, b = {0};
    const uint8_t *s = (const uint8_t *)text;
    if (normalized && t->always_added) s = fl_token_bytes(t, id, &n);
    else if (normalized) fli_normalize(t->step, t->n_steps, s, n, &a, &b, &s, &n);
    bool ok = !a.failed && !b.failed &&
              (n == 0 || trie_insert(&t->trie[normalized], s, n, t->n_added));
    fl_text_clear(&a);
    fl_text_clear(&b);
    return ok ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%d added tokens", t->n_added + 1);
}

/* The token itself: one of the vocabulary, which must be written so, or a new one. A special token
 * stands for its text as it is; so does any where texts are bytes otherwise. */
static fl_status make_added(fl_tokenizer *t, int32_t id, const char *text, size_t n, bool special,
                            fl_err *err) {
    if (id < 0 || id >= t->n || !t->token[id].kind) {
        FL_TRY(fli_tokenizer_put_text(t, id, text, n, err));
    } else {
        fl_text have = {0};
        fl_token_text(t, id, &have);
        bool same = have.n == n && memcmp(fl_text_str(&have), text, n) == 0;
        fl_text_clear(&have);
        if (!same)
            return fl_fail(err, FL_ERR_FORMAT, "added token \"%.40s\": id %d is another token's",
                           text, id);
    }
    t->token[id].kind = special ? FL_TOKEN_CONTROL : FL_TOKEN_USER;
    if (!special && !t->kind->bytes) return FL_OK;
    t->token[id].bytes = (const uint8_t *)fli_keep(t, text, n);
    t->token[id].n = (uint32_t)n;
    t->token[id].hidden = false;
    return t->token[id].bytes ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "token %d", id);
}

fl_status fli_tokenizer_add(fl_tokenizer *t, const char *text, size_t n, fli_added as,
                            fl_err *err) {
    if (n == 0) return FL_OK;  // Hugging Face ignores empty ones too
    FL_TRY(make_added(t, as.id, text, n, as.special, err));
    size_t cap = (size_t)t->cap_added;
    if (!fli_grow((void **)&t->added, &cap, (size_t)t->n_added + 1, sizeof *t->added))
        return fl_fail(err, FL_ERR_NOMEM, "%d added tokens", t->n_added + 1);
    t->cap_added = (int32_t)cap;
    FL_TRY(insert(t, as.id, text, n, as.normalized, err));
    t->added[t->n_added++] = as;
    return FL_OK;
}
