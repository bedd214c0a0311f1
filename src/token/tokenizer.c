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
#include "token/read_vocab.h"
#include "token/unicode.h"

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
    *t = (fl_tokenizer){.kind = &fli_byte_bpe, .bos = -1, .eos = -1, .unk = -1};
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    fl_arena_init(&t->arena, ARENA_BLOCK);
    *out = t;
    return FL_OK;
}

void fl_tokenizer_free(fl_tokenizer *t) {
    if (!t) return;
    fli_merges_clear(&t->merges);
    fli_lexicon_clear(&t->lexicon);
    fli_lexicon_clear(&t->kept);
    fli_splitter_clear(&t->split);
    for (int i = 0; i < t->n_steps; i++) fli_regex_free(t->step[i].regex);
    for (int i = 0; i < FLI_N_PARTS; i++) fl_dealloc(t->part[i]);
    fl_dealloc(t->score);
    fl_dealloc(t->weight);
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
    t->token[id] = (fli_token){.bytes = copy, .n = (uint32_t)n, .kind = FL_TOKEN_NORMAL};
    return FL_OK;
}

char *fli_keep(fl_tokenizer *t, const void *s, size_t n) {
    char *copy = fl_arena_alloc(&t->arena, n + 1, 1, 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

fl_status fli_add_step(fl_tokenizer *t, fli_step step, fl_err *err) {
    if (t->n_steps == FLI_STEPS)
        return fl_fail(err, FL_ERR_UNSUPPORTED, "more than %d steps of normalisation", FLI_STEPS);
    if (step.from) step.from = fli_keep(t, step.from, step.n_from);
    if (step.to) step.to = fli_keep(t, step.to, step.n_to);
    if ((step.n_from && !step.from) || (step.n_to && !step.to))
        return fl_fail(err, FL_ERR_NOMEM, "a step of normalisation");
    fli_unicode_init();
    t->step[t->n_steps++] = step;
    return FL_OK;
}

fl_status fli_escape_spaces(fl_tokenizer *t, fl_err *err) {
    static const char space[] = FLI_ESCAPED_SPACE;
    t->escape = true;
    fli_step step = {.apply = fli_step_replace,
                     .idle = fli_no_escaped_space,
                     .from = space,
                     .n_from = strlen(space),
                     .to = " ",
                     .n_to = 1};
    return fli_add_step(t, step, err);
}

/* ---- tokens as vocabularies write them ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "<0x4A>" stands for, -1 if it is no such text. */
static int escaped_byte(const char *s, size_t n) {
    enum { LENGTH = 6 };
    if (n != LENGTH || memcmp(s, "<0x", 3) != 0 || s[LENGTH - 1] != '>') return -1;
    int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t fli_text_bytes(const fl_tokenizer *t, const char *text, size_t n, uint8_t *out) {
    size_t k = 0, n_prefix = t->continuing ? strlen(t->continuing) : 0;
    if (t->kind->bytes) return fli_unprintable(text, n, out);
    bool goes_on = n_prefix && n > n_prefix && memcmp(text, t->continuing, n_prefix) == 0;
    if (n_prefix && !goes_on) out[k++] = ' ';
    for (size_t i = goes_on ? n_prefix : 0, len; i < n; i += len) {
        bool space = t->escape && fli_begins_escaped((const uint8_t *)text + i, n - i);
        len = space ? 3 : 1;
        out[k++] = space ? ' ' : (uint8_t)text[i];
    }
    return k;
}

/* Whether the model never makes a token written so, whose bytes are `n_bytes`. A byte-level text
 * with a character outside the alphabet stands for itself; one of the alphabet has as many bytes
 * only where all are plain ASCII. */
static bool is_hidden(const fl_tokenizer *t, const char *text, size_t n, size_t n_bytes) {
    if (!t->kind->bytes) return t->escape && memchr(text, ' ', n);
    size_t i = 0;
    while (n_bytes == n && i < n && text[i] > ' ' && text[i] <= '~') i++;
    return n_bytes == n && i < n;
}

fl_status fli_tokenizer_put_text(fl_tokenizer *t, int32_t id, const char *text, size_t n,
                                 fl_err *err) {
    uint8_t small[256], *bytes = small;
    int byte = t->byte_fallback ? escaped_byte(text, n) : -1;
    if (byte >= 0) {
        FL_TRY(fli_tokenizer_put(t, id, &(uint8_t){(uint8_t)byte}, 1, err));
        t->token[id].kind = FL_TOKEN_BYTE;
        t->byte_id[byte] = id;
        return FL_OK;
    }
    if (n + 1 > sizeof small) bytes = fl_alloc(n + 1);
    if (!bytes) return fl_fail(err, FL_ERR_NOMEM, "a token of %zu bytes", n);
    const size_t n_bytes = fli_text_bytes(t, text, n, bytes);
    fl_status st = fli_tokenizer_put(t, id, bytes, n_bytes, err);
    if (st == FL_OK) t->token[id].hidden = is_hidden(t, text, n, n_bytes);
    if (bytes != small) fl_dealloc(bytes);
    return st;
}

/* ---- finding tokens by their bytes ---- */

fl_status fli_tokenizer_index(fl_tokenizer *t, int32_t more, fl_err *err) {
    size_t n_slots = 16;
    while (n_slots < 2 * ((size_t)t->n + (size_t)more)) n_slots *= 2;
    t->by_bytes = fl_alloc(n_slots * sizeof *t->by_bytes);
    if (!t->by_bytes) return fl_fail(err, FL_ERR_NOMEM, "index of %d tokens", t->n + more);
    t->by_bytes_mask = n_slots - 1;
    memset(t->by_bytes, 0xff, n_slots * sizeof *t->by_bytes);
    for (int32_t id = 0; id < t->n; id++) fli_tokenizer_index_add(t, id);
    for (int b = 0; b < 256 && t->kind->bytes; b++)
        t->byte_id[b] = fli_tokenizer_find(t, &(uint8_t){(uint8_t)b}, 1);
    for (int b = 0; b < 128; b++) t->ascii_id[b] = fli_tokenizer_find(t, &(uint8_t){(uint8_t)b}, 1);
    return FL_OK;
}

/* Whether the model makes this token from text. */
static bool can_be_made(const fli_token *k) {
    return (k->kind == FL_TOKEN_NORMAL || k->kind == FL_TOKEN_USER) && !k->hidden && k->n;
}

void fli_tokenizer_index_add(fl_tokenizer *t, int32_t id) {
    const fli_token *k = t->token + id;
    if (!can_be_made(k) || fli_tokenizer_find(t, k->bytes, k->n) >= 0) return;
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

/* By prefix, for the kinds that look so. The score of a symbol that users defined outweighs any
 * other way to cut its text. */
static fl_status make_lexicon(fl_tokenizer *t, fl_err *err) {
    size_t bytes = 0;
    for (int32_t id = 0; id < t->n; id++) bytes += t->token[id].n;
    FL_TRY(fli_lexicon_init(&t->lexicon, bytes, err));
    for (int32_t id = 0; id < t->n; id++)
        if (can_be_made(t->token + id))
            fli_lexicon_put(&t->lexicon, t->token[id].bytes, t->token[id].n, id);
    return FL_OK;
}

/* After which bytes some token goes on with a space: elsewhere no token crosses from a word to the
 * space before the next one, so that a text may be cut there and the ids stay the same. */
static void find_joins(fl_tokenizer *t) {
    t->cuts_softly = t->ascii_id[' '] >= 0;
    for (int32_t id = 0; id < t->n; id++) {
        const fli_token *k = t->token + id;
        for (uint32_t i = 1; can_be_made(k) && i < k->n; i++)
            if (k->bytes[i] == ' ')
                t->joins[k->bytes[i - 1] < FLI_NON_ASCII ? k->bytes[i - 1] : FLI_NON_ASCII] = true;
    }
}

int32_t fli_find_text(const fl_tokenizer *t, const char *text, size_t n) {
    uint8_t bytes[FLI_FIND_MAX + 1];
    return n > FLI_FIND_MAX ? -1 : fli_tokenizer_find(t, bytes, fli_text_bytes(t, text, n, bytes));
}

fl_status fli_tokenizer_finish(fl_tokenizer *t, fl_err *err) {
    if (t->kind->by_prefix) FL_TRY(make_lexicon(t, err));
    if (!t->kind->bytes && t->split.n == 0) find_joins(t);
    if (t->unk >= 0 && t->unk < t->n) t->token[t->unk].kind = FL_TOKEN_UNKNOWN;
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
    fl_token_kind kind = fl_tokenizer_kind(t, id);
    return kind == FL_TOKEN_CONTROL || kind == FL_TOKEN_UNKNOWN;
}

const uint8_t *fl_token_bytes(const fl_tokenizer *t, int32_t id, size_t *n) {
    bool used = fl_tokenizer_kind(t, id) != FL_TOKEN_UNUSED;
    *n = used ? t->token[id].n : 0;
    return used ? t->token[id].bytes : NULL;
}

static void append_escaped(fl_text *out, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] == ' ') fl_text_puts(out, FLI_ESCAPED_SPACE);
        else fl_text_append(out, s + i, 1);
}

static void append_printable(fl_text *out, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char utf8[4];
        fl_text_append(out, utf8, (size_t)fl_utf8_encode(fli_byte_char(s[i]), utf8));
    }
}

void fl_token_text(const fl_tokenizer *t, int32_t id, fl_text *out) {
    size_t n;
    const uint8_t *s = fl_token_bytes(t, id, &n);
    if (!s) return;
    uint8_t kind = t->token[id].kind;
    bool made = kind == FL_TOKEN_NORMAL || kind == FL_TOKEN_USER, begins = made && n && s[0] == ' ';
    if (kind == FL_TOKEN_BYTE) {
        fl_text_printf(out, "<0x%02X>", s[0]);
    } else if (t->kind->bytes && kind == FL_TOKEN_NORMAL && !t->token[id].hidden) {
        append_printable(out, s, n);
    } else if (t->continuing && made) {
        if (!begins) fl_text_puts(out, t->continuing);
        fl_text_append(out, s + begins, n - begins);
    } else if (t->escape && made && !t->token[id].hidden) {
        append_escaped(out, s, n);
    } else {
        fl_text_append(out, s, n);
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

const char *fl_tokenizer_gguf_model(const fl_tokenizer *t) {
    return t->kind->gguf;
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

fl_status fli_room_for_templates(fl_tokenizer *t, size_t n, fl_err *err) {
    t->named = FL_NEW(&t->arena, fl_vocab_template, n);
    return t->named ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%zu chat templates", n);
}

fl_status fli_add_template(fl_tokenizer *t, const char *name, const char *source, fl_err *err) {
    const fl_vocab_template copy = {fli_keep(t, name, strlen(name)),
                                    fli_keep(t, source, strlen(source))};
    if (!copy.name || !copy.source) return fl_fail(err, FL_ERR_NOMEM, "chat template %s", name);
    t->named[t->n_named++] = copy;
    return FL_OK;
}

const char *fl_tokenizer_chat_template(const fl_tokenizer *t) {
    return t->chat_template;
}

static void hash_rules(const fl_tokenizer *t, fl_hash *h) {
    uint8_t flags[] = {t->ignore_merges,   t->fuse_unk,        t->byte_fallback,      t->escape,
                       (uint8_t)t->spaces, (uint8_t)t->prefix, (uint8_t)t->join.strip};
    fl_hash_update(h, t->kind->gguf, strlen(t->kind->gguf));
    fl_hash_update(h, flags, sizeof flags);
    if (t->score) fl_hash_update(h, t->score, (size_t)t->n_scores * sizeof *t->score);
    for (int i = 0; i < t->n_steps; i++) {
        const fli_step *step = t->step + i;
        fl_hash_update(h, &step->flags, sizeof step->flags);
        fl_hash_update(h, step->from ? step->from : "", step->n_from);
        fl_hash_update(h, step->to ? step->to : "", step->n_to);
        if (step->map.n_units) fl_hash_update(h, step->map.units, 4 * step->map.n_units);
    }
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
    hash_rules(t, h);
    fl_hash_update(h, t->before, (size_t)t->n_before * sizeof *t->before);
    fl_hash_update(h, t->after, (size_t)t->n_after * sizeof *t->after);
    fl_hash_text(h, out);
    fl_hash_free(h);
}
