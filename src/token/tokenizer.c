/* tokenizer.c - the tokenizer as a value: built by a reader or the trainer, then only read. */
#include "token/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/hash.h"
#include "token/internal.h"
#include "token/pre.h"

enum { ID_MAX = 1 << 24, ARENA_BLOCK = 256 << 10 };

bool fli_grow(void **p, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return true;
    size_t more = *cap < 8 ? 16 : *cap + *cap / 2;
    if (more < need) more = need;
    if (more > SIZE_MAX / 2 / size) return false;
    void *bigger = fl_alloc(more * size);
    if (!bigger) return false;
    if (*p) memcpy(bigger, *p, *cap * size);
    fl_dealloc(*p);
    *p = bigger;
    *cap = more;
    return true;
}

/* ---- building ---- */

fl_status fli_tokenizer_new(fl_tokenizer **out, fl_err *err) {
    fl_tokenizer *t = fl_alloc(sizeof *t);
    if (!t) return fl_fail(err, FL_ERR_NOMEM, "a tokenizer");
    *t = (fl_tokenizer){.bos = -1, .eos = -1};
    fl_arena_init(&t->arena, ARENA_BLOCK);
    *out = t;
    return FL_OK;
}

void fl_tokenizer_free(fl_tokenizer *t) {
    if (!t) return;
    fli_merges_clear(&t->merges);
    fli_splitter_clear(&t->split);
    fl_dealloc(t->trie[0].node);
    fl_dealloc(t->trie[1].node);
    fl_dealloc(t->added);
    fl_dealloc(t->by_bytes);
    fl_dealloc(t->token);
    fl_dealloc(t->config);
    fl_dealloc(t->chat_template);
    fl_arena_free(&t->arena);
    fl_dealloc(t);
}

fl_status fli_tokenizer_put(fl_tokenizer *t, int32_t id, const void *bytes, size_t n, fl_err *err) {
    if (id < 0 || id >= ID_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "token id %d is not in [0, %d)", id, ID_MAX);
    if (id < t->n && t->token[id].kind)
        return fl_fail(err, FL_ERR_FORMAT, "two tokens have the id %d", id);
    size_t cap = (size_t)t->cap;
    uint8_t *copy = fl_arena_alloc(&t->arena, n ? n : 1, 1, 1);
    if (!copy || !fli_grow((void **)&t->token, &cap, (size_t)id + 1, sizeof *t->token))
        return fl_fail(err, FL_ERR_NOMEM, "token %d", id);
    t->cap = (int32_t)cap;
    memcpy(copy, bytes, n);
    for (; t->n <= id; t->n++) t->token[t->n] = (fli_token){0};
    t->token[id] = (fli_token){copy, (uint32_t)n, FL_TOKEN_NORMAL};
    return FL_OK;
}

fl_status fli_tokenizer_index(fl_tokenizer *t, int32_t more, fl_err *err) {
    size_t n_slots = 16;
    while (n_slots < 2 * ((size_t)t->n + (size_t)more)) n_slots *= 2;
    t->by_bytes = fl_alloc(n_slots * sizeof *t->by_bytes);
    if (!t->by_bytes) return fl_fail(err, FL_ERR_NOMEM, "index of %d tokens", t->n + more);
    t->by_bytes_mask = n_slots - 1;
    memset(t->by_bytes, 0xff, n_slots * sizeof *t->by_bytes);
    for (int32_t id = 0; id < t->n; id++) fli_tokenizer_index_add(t, id);
    for (int b = 0; b < 256; b++) t->byte_id[b] = fli_tokenizer_find(t, &(uint8_t){(uint8_t)b}, 1);
    return FL_OK;
}

void fli_tokenizer_index_add(fl_tokenizer *t, int32_t id) {
    const fli_token *k = t->token + id;
    if (!k->kind || k->kind == FL_TOKEN_UNUSED || k->n == 0 ||
        fli_tokenizer_find(t, k->bytes, k->n) >= 0)
        return;
    size_t slot = fl_hash64(k->bytes, k->n) & t->by_bytes_mask;
    while (t->by_bytes[slot] >= 0) slot = (slot + 1) & t->by_bytes_mask;
    t->by_bytes[slot] = id;
}

int32_t fli_tokenizer_find(const fl_tokenizer *t, const void *bytes, size_t n) {
    size_t slot = fl_hash64(bytes, n) & t->by_bytes_mask;
    for (int32_t id; (id = t->by_bytes[slot]) >= 0; slot = (slot + 1) & t->by_bytes_mask)
        if (t->token[id].n == n && memcmp(t->token[id].bytes, bytes, n) == 0) return id;
    return -1;
}

fl_status fli_tokenizer_finish(fl_tokenizer *t, fl_err *err) {
    for (size_t i = 0; i < t->merges.n; i++) {
        fli_merge m = t->merges.list[i];
        FL_ASSERT(m.left >= 0 && m.left < t->n && m.right >= 0 && m.right < t->n && m.id < t->n);
        (void)m;
    }
    return fli_merges_index(&t->merges, err);
}

/* ---- looking ---- */

int32_t fl_tokenizer_size(const fl_tokenizer *t) {
    return t->n;
}

int32_t fl_tokenizer_id(const fl_tokenizer *t, const char *special) {
    size_t n = strlen(special);
    for (int32_t i = 0; i < t->n_added; i++) {
        const fli_token *k = t->token + t->added[i].id;
        if (k->n == n && memcmp(k->bytes, special, n) == 0) return t->added[i].id;
    }
    return -1;
}

int32_t fl_tokenizer_bos(const fl_tokenizer *t) {
    return t->bos;
}

int32_t fl_tokenizer_eos(const fl_tokenizer *t) {
    return t->eos;
}

fl_token_kind fl_tokenizer_kind(const fl_tokenizer *t, int32_t id) {
    bool used = id >= 0 && id < t->n && t->token[id].kind;
    return used ? (fl_token_kind)t->token[id].kind : FL_TOKEN_UNUSED;
}

bool fl_tokenizer_is_special(const fl_tokenizer *t, int32_t id) {
    return fl_tokenizer_kind(t, id) == FL_TOKEN_CONTROL;
}

const uint8_t *fl_token_bytes(const fl_tokenizer *t, int32_t id, size_t *n) {
    bool used = fl_tokenizer_kind(t, id) != FL_TOKEN_UNUSED;
    *n = used ? t->token[id].n : 0;
    return used ? t->token[id].bytes : NULL;
}

void fl_token_text(const fl_tokenizer *t, int32_t id, fl_text *out) {
    size_t n;
    const uint8_t *bytes = fl_token_bytes(t, id, &n);
    if (!bytes) return;
    if (t->token[id].kind != FL_TOKEN_NORMAL) {
        fl_text_append(out, bytes, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char utf8[4];
        fl_text_append(out, utf8, (size_t)fl_utf8_encode(fli_byte_char(bytes[i]), utf8));
    }
}

size_t fl_tokenizer_n_merges(const fl_tokenizer *t) {
    return t->merges.n;
}

void fl_tokenizer_merge(const fl_tokenizer *t, size_t i, int32_t *left, int32_t *right) {
    FL_ASSERT(i < t->merges.n);
    *left = t->merges.list[i].left;
    *right = t->merges.list[i].right;
}

const char *fl_tokenizer_pattern(const fl_tokenizer *t) {
    if (t->split.n != 1) return NULL;
    const fli_stage *s = t->split.stage;
    return s->known ? s->known->name : s->regex;
}

const char *fl_tokenizer_llama_cpp_pre(const fl_tokenizer *t) {
    if (t->pre) return t->pre;
    const fli_pre *row = fli_pre_of_stages(&t->split);
    return row ? row->name : NULL;
}

bool fl_tokenizer_adds_bos(const fl_tokenizer *t) {
    return t->n_before > 0 && t->bos >= 0 && t->before[0] == t->bos;
}

bool fl_tokenizer_adds_eos(const fl_tokenizer *t) {
    return t->n_after > 0 && t->eos >= 0 && t->after[t->n_after - 1] == t->eos;
}

const char *fl_tokenizer_chat_template(const fl_tokenizer *t) {
    return t->chat_template;
}

/* Everything that decides ids or bytes. */
void fl_tokenizer_hash(const fl_tokenizer *t, char out[33]) {
    fl_hash *h = fl_hash_new();
    if (!h) {
        out[0] = '\0';
        return;
    }
    for (int32_t id = 0; id < t->n; id++) {
        uint32_t head[2] = {t->token[id].kind, t->token[id].n};
        fl_hash_update(h, head, sizeof head);
        if (t->token[id].n) fl_hash_update(h, t->token[id].bytes, t->token[id].n);
    }
    for (size_t i = 0; i < t->merges.n; i++) {
        int32_t rank = t->merges.rank ? t->merges.rank[i] : (int32_t)i;
        fl_hash_update(h, t->merges.list + i, sizeof *t->merges.list);
        fl_hash_update(h, &rank, sizeof rank);
    }
    for (int k = 0; k < t->split.n; k++)
        fl_hash_update(h, t->split.stage[k].regex, strlen(t->split.stage[k].regex) + 1);
    uint8_t flags[2] = {t->nfc, t->ignore_merges};
    fl_hash_update(h, flags, sizeof flags);
    fl_hash_update(h, t->before, (size_t)t->n_before * sizeof *t->before);
    fl_hash_update(h, t->after, (size_t)t->n_after * sizeof *t->after);
    fl_hash_text(h, out);
    fl_hash_free(h);
}

/* ---- loading ---- */

/* The pairs of files a folder may hold, best first. */
static const struct {
    const char *first, *second;
    fl_status (*read)(fl_tokenizer **out, const char *first, const char *second, fl_err *err);
} folder_forms[] = {
    {"tokenizer.json", "tokenizer_config.json", fli_read_hf},
    {"vocab.json", "merges.txt", fli_read_gpt2},
    {"encoder.json", "vocab.bpe", fli_read_gpt2},
};
enum { N_FORMS = sizeof folder_forms / sizeof *folder_forms };

static fl_status load_folder(fl_tokenizer **out, const char *dir, fl_err *err) {
    for (int i = 0; i < N_FORMS; i++) {
        char first[FL_PATH_MAX], second[FL_PATH_MAX];
        FL_TRY(fl_path_join(first, dir, folder_forms[i].first, err));
        FL_TRY(fl_path_join(second, dir, folder_forms[i].second, err));
        if (fl_path_exists(first)) return folder_forms[i].read(out, first, second, err);
    }
    return fl_fail(err, FL_ERR_IO, "%s: no tokenizer.json, and no vocab.json with merges.txt", dir);
}

/* A file of a pair stands for both: its neighbour is beside it. */
static fl_status load_file(fl_tokenizer **out, const char *path, fl_err *err) {
    char dir[FL_PATH_MAX], second[FL_PATH_MAX];
    size_t n = (size_t)(fl_path_base(path) - path);
    if (n >= sizeof dir) return fl_fail(err, FL_ERR_ARG, "path of %zu bytes", strlen(path));
    snprintf(dir, sizeof dir, "%.*s", (int)n, path);
    for (int i = 1; i < N_FORMS; i++) {
        if (strcmp(fl_path_base(path), folder_forms[i].first) != 0) continue;
        FL_TRY(fl_path_join(second, n ? dir : ".", folder_forms[i].second, err));
        return folder_forms[i].read(out, path, second, err);
    }
    if (fl_path_has_suffix(path, ".tiktoken")) return fli_read_tiktoken(out, path, NULL, err);
    FL_TRY(fl_path_join(second, n ? dir : ".", "tokenizer_config.json", err));
    return fli_read_hf(out, path, second, err);
}

fl_status fl_tokenizer_load(fl_tokenizer **out, const char *path, fl_err *err) {
    return fl_path_is_dir(path) ? load_folder(out, path, err) : load_file(out, path, err);
}

fl_status fl_tokenizer_load_tiktoken(fl_tokenizer **out, const char *path, const char *pattern,
                                     fl_err *err) {
    return fli_read_tiktoken(out, path, pattern, err);
}
