/* encode.c - text to ids.
 *
 * Added tokens are cut out first, the text between them is normalised where asked, split into
 * pieces, and each piece becomes ids by the kind of model (piece.h). Words repeat (Zipf), so an
 * encoder remembers the ids of short pieces: a set-associative cache, two entries of 32 bytes in a
 * line, keyed by the bytes themselves and their length. Almost every piece of ordinary text is one
 * load and one compare. The cache never changes a result. */
#include <string.h>

#include "base/alloc.h"
#include "token/internal.h"
#include "token/unicode.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "encode.c packs bytes into words in little-endian order"
#endif

enum {
    KEY_BYTES = 15,   // longest piece that is remembered; the 16th byte is its length
    ENTRY_IDS = 3,    // ids kept in the entry; more go to the pool
    CACHE_BITS = 16,  // lines: 4 MiB; the words in use sit in the second level by themselves
    POOL_IDS = 1 << 18,
    PAST_END = 4,  // ids that may be written behind the last
    AHEAD = 32,    // pieces cut before the first of them is looked up
};

typedef struct {
    uint64_t lo, hi;
} piece_key;

typedef struct {
    piece_key key;
    int32_t id[ENTRY_IDS];  // or, if n > ENTRY_IDS, id[0] is where they are in the pool
    int32_t n;              // 0: free
} entry;

typedef struct {
    entry way[2];  // the newer first
} line;

struct fl_encoder {
    const fl_tokenizer *t;
    const fli_pattern *known;  // of the only stage, if it drops nothing; NULL: look further
    line *cache;               // NULL: remembers nothing
    int32_t *pool;
    size_t n_pool;
    fli_walk walk;
    fli_scratch scratch;
    fl_text normal[2];  // what normalisation made
    fl_text spaced;     // and what was done about spaces then
};

static fl_status encoder_init(fl_encoder *e, const fl_tokenizer *t, bool remember, fl_err *err) {
    const fli_pattern *only = t->split.n == 1 ? t->split.stage[0].known : NULL;
    *e = (fl_encoder){.t = t, .known = only && !only->drops_space ? only : NULL};
    FL_TRY(fli_walk_init(&e->walk, &t->split, err));
    if (!remember) return FL_OK;
    size_t bytes = sizeof(line) << CACHE_BITS;
    e->cache = fl_alloc(bytes);
    e->pool = fl_alloc(POOL_IDS * sizeof *e->pool);
    if (!e->cache || !e->pool) return fl_fail(err, FL_ERR_NOMEM, "an encoder");
    memset(e->cache, 0, bytes);
    return FL_OK;
}

static void encoder_clear(fl_encoder *e) {
    fli_walk_clear(&e->walk);
    fl_dealloc(e->cache);
    fl_dealloc(e->pool);
    fl_dealloc(e->scratch.data);
    fl_text_clear(e->normal);
    fl_text_clear(e->normal + 1);
    fl_text_clear(&e->spaced);
}

fl_status fl_encoder_new(fl_encoder **out, const fl_tokenizer *t, fl_err *err) {
    fl_encoder *e = fl_alloc(sizeof *e);
    if (!e) return fl_fail(err, FL_ERR_NOMEM, "an encoder");
    fl_status st = encoder_init(e, t, true, err);
    if (st != FL_OK) {
        fl_encoder_free(e);
        return st;
    }
    *out = e;
    return FL_OK;
}

void fl_encoder_free(fl_encoder *e) {
    if (!e) return;
    encoder_clear(e);
    fl_dealloc(e);
}

void fl_ids_clear(fl_ids *ids) {
    fl_dealloc(ids->id);
    *ids = (fl_ids){0};
}

static inline fl_status reserve(fl_ids *out, size_t more, fl_err *err) {
    if (out->cap - out->n >= more + PAST_END) return FL_OK;
    if (fli_grow((void **)&out->id, &out->cap, out->n + more + PAST_END, sizeof *out->id))
        return FL_OK;
    return fl_fail(err, FL_ERR_NOMEM, "%zu token ids", out->n + more);
}

static fl_status push(fl_ids *out, const int32_t *id, size_t n, fl_err *err) {
    FL_TRY(reserve(out, n, err));
    for (size_t i = 0; i < n; i++) out->id[out->n++] = id[i];
    return FL_OK;
}

fl_status fl_ids_add(fl_ids *ids, int32_t id, fl_err *err) {
    return push(ids, &id, 1, err);
}

/* ---- one piece ---- */

/* The ids of s[0..n) onto the end of `out`, which has room. */
static fl_status encode_piece(fl_encoder *e, const uint8_t *s, size_t n, fl_ids *out, fl_err *err) {
    size_t n_ids;
    if (n > FLI_PIECE_MAX)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "%zu bytes of text without a word boundary, at most %d", n, FLI_PIECE_MAX);
    FL_TRY(e->t->kind->encode(e->t, s, n, &e->scratch, out->id + out->n, &n_ids, err));
    out->n += n_ids;
    return FL_OK;
}

/* The first n bytes at s, of which `readable` may be read, and n. */
static inline piece_key key_of(const uint8_t *s, size_t n, size_t readable) {
    static const uint64_t keep[9] = {0,          0xff,         0xffff,         0xffffff,
                                     0xffffffff, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff,
                                     UINT64_MAX};
    piece_key k = {0, 0};
    if (readable >= sizeof k) {
        memcpy(&k.lo, s, sizeof k.lo);
        memcpy(&k.hi, s + sizeof k.lo, sizeof k.hi);
    } else {
        memcpy(&k, s, n);
    }
    k.lo &= keep[n < 8 ? n : 8];
    k.hi &= keep[n < 8 ? 0 : n - 8];
    k.hi |= (uint64_t)n << 56;
    return k;
}

static inline line *line_of(fl_encoder *e, piece_key k) {
    uint64_t h = (k.lo ^ k.hi * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    return e->cache + ((h ^ h >> 29) * 0x94D049BB133111EBu >> (64 - CACHE_BITS));
}

static inline bool holds(const entry *x, piece_key k) {
    return ((x->key.lo ^ k.lo) | (x->key.hi ^ k.hi)) == 0;
}

/* `out` has room for KEY_BYTES ids. */
static inline void recall(const fl_encoder *e, const entry *x, fl_ids *out) {
    int32_t *id = out->id + out->n;
    memcpy(id, x->id, sizeof x->id);
    if (x->n > ENTRY_IDS) memcpy(id, e->pool + x->id[0], (size_t)x->n * sizeof *id);
    out->n += (size_t)x->n;
}

static void remember(fl_encoder *e, line *at, piece_key k, const int32_t *id, size_t n) {
    entry x = {.key = k, .n = (int32_t)n};
    if (n > ENTRY_IDS && e->n_pool + n > POOL_IDS) {  // full of what was pushed out: start again
        memset(e->cache, 0, sizeof(line) << CACHE_BITS);
        e->n_pool = 0;
    }
    if (n > ENTRY_IDS) {
        x.id[0] = (int32_t)e->n_pool;
        memcpy(e->pool + e->n_pool, id, n * sizeof *id);
        e->n_pool += n;
    } else {
        memcpy(x.id, id, n * sizeof *id);
    }
    at->way[1] = at->way[0];
    at->way[0] = x;
}

/* A piece that was cut and waits for its ids. */
typedef struct {
    piece_key key;
    line *at;  // NULL: too long to be remembered
    size_t begin, n;
} waiting;

static fl_status encode_waiting(fl_encoder *e, const uint8_t *s, const waiting *w, fl_ids *out,
                                fl_err *err) {
    FL_TRY(reserve(out, w->n < KEY_BYTES ? KEY_BYTES : w->n, err));
    if (!w->at) return encode_piece(e, s + w->begin, w->n, out, err);
    bool first = holds(w->at->way, w->key), second = holds(w->at->way + 1, w->key);
    if (first | second) {  // which of the two is not worth a guess: select, don't branch
        recall(e, w->at->way + second, out);
        return FL_OK;
    }
    size_t begin = out->n;
    FL_TRY(encode_piece(e, s + w->begin, w->n, out, err));
    remember(e, w->at, w->key, out->id + begin, out->n - begin);
    return FL_OK;
}

/* ---- a text ---- */

/* The end of the piece at s[i] where only spaces cut, and only those that no token has inside. */
static inline size_t soft_cut(const fl_tokenizer *t, const uint8_t *s, size_t i, size_t n) {
    for (size_t k = i + 1; k < n; k++) {
        const uint8_t *at = memchr(s + k, ' ', n - k);
        if (!at) break;
        k = (size_t)(at - s);
        uint8_t before = s[k - 1];
        if (!t->joins[before < FLI_NON_ASCII ? before : FLI_NON_ASCII]) return k;
    }
    return n;
}

/* The end of the piece at s[i], where it is not as simple as one scanner. */
static fl_status next_cut(fl_encoder *e, const uint8_t *s, size_t i, size_t n, size_t *end,
                          bool *dropped, fl_err *err) {
    if (!e->t->cuts_softly) return fli_walk_next(&e->walk, i, end, dropped, err);
    *end = soft_cut(e->t, s, i, n);
    return FL_OK;
}

/* Cut the next pieces from *pos on and fetch their cache lines. Cutting mispredicts at every other
 * word; doing many cuts first lets the memory work meanwhile. */
static fl_status cut_pieces(fl_encoder *e, const uint8_t *s, size_t n, size_t *pos, waiting *w,
                            int *n_waiting, fl_err *err) {
    size_t i = *pos;
    int k = 0;
    bool dropped = false;
    for (size_t end; i < n && k < AHEAD; i = end, k += !dropped) {
        if (e->known) end = fli_scan(e->known, s, i, n);
        else FL_TRY(next_cut(e, s, i, n, &end, &dropped, err));
        w[k].begin = i;
        w[k].n = end - i;
        w[k].at = NULL;
        if (end - i > KEY_BYTES || !e->cache) continue;
        w[k].key = key_of(s + i, end - i, n - i);
        w[k].at = line_of(e, w[k].key);
        __builtin_prefetch(w[k].at);
    }
    *pos = i;
    *n_waiting = k;
    return FL_OK;
}

static fl_status encode_pieces(fl_encoder *e, const uint8_t *s, size_t n, fl_ids *out,
                               fl_err *err) {
    waiting w[AHEAD];
    if (!e->known) fli_walk_begin(&e->walk, s, n);
    for (size_t i = 0; i < n;) {
        int n_waiting;
        FL_TRY(cut_pieces(e, s, n, &i, w, &n_waiting, err));
        for (int k = 0; k < n_waiting; k++) FL_TRY(encode_waiting(e, s, w + k, out, err));
    }
    return FL_OK;
}

/* ---- what is done about spaces ---- */

/* Each word with a space before it, and nothing between. A word that begins with U+2581 has its. */
static void space_words(fl_text *out, const uint8_t *s, size_t n) {
    for (size_t i = 0, end; i < n; i = end) {
        end = fli_scan(&fli_space_words, s, i, n);
        if (fli_scan_drops(&fli_space_words, s, i, n)) continue;
        if (!fli_begins_escaped(s + i, end - i)) fl_text_append(out, " ", 1);
        fli_unescape_spaces(out, s + i, end - i);
    }
}

/* The text as it is cut: s itself, or what is made of it. `first`: it begins the whole text. */
static fl_status prepare_spaces(fl_encoder *e, bool first, const uint8_t **s, size_t *n,
                                fl_err *err) {
    const fl_tokenizer *t = e->t;
    bool escaped = t->spaces != FLI_SPACES_PLAIN;
    bool begins = **s == ' ' || (escaped && fli_begins_escaped(*s, *n));
    bool prefix = !begins &&
                  (t->prefix == FLI_PREFIX_ALWAYS || (t->prefix == FLI_PREFIX_FIRST && first));
    e->spaced.n = 0;
    if (t->spaces == FLI_SPACES_WORDS) {
        space_words(&e->spaced, *s, *n);
    } else if (prefix || (escaped && !fli_no_escaped_space(*s, *n))) {
        if (prefix) fl_text_append(&e->spaced, " ", 1);
        if (escaped) fli_unescape_spaces(&e->spaced, *s, *n);
        else fl_text_append(&e->spaced, *s, *n);
    } else {
        return FL_OK;
    }
    *s = (const uint8_t *)fl_text_str(&e->spaced);
    *n = e->spaced.n;
    return fl_text_ok(&e->spaced, err);
}

/* ---- added tokens ---- */

/* A text on its way: all of it, or what is between added tokens. */
typedef struct {
    const uint8_t *s;
    size_t n;
    bool first;  // it begins the whole text
    bool plain;
    const size_t *bar, *bar_end;  // places ahead, from s, that no added token reaches across
} passage;

static fl_status encode_between(fl_encoder *e, bool normalized, passage p, fl_ids *out,
                                fl_err *err);

/* Text without added tokens of this kind: on to normalisation and the next kind, or to the
 * pieces. */
static fl_status encode_stretch(fl_encoder *e, bool normalized, passage p, fl_ids *out,
                                fl_err *err) {
    if (p.n == 0) return FL_OK;
    if (normalized) {
        FL_TRY(prepare_spaces(e, p.first, &p.s, &p.n, err));
        return encode_pieces(e, p.s, p.n, out, err);
    }
    fli_normalize(e->t->step, e->t->n_steps, p.s, p.n, e->normal, e->normal + 1, &p.s, &p.n);
    FL_TRY(fl_text_ok(e->normal, err));
    FL_TRY(fl_text_ok(e->normal + 1, err));
    return encode_between(e, true, p, out, err);
}

static bool ends_with_space(const uint8_t *s, size_t n, size_t *begin) {
    size_t last = n - 1, len;
    while (last > 0 && (s[last] & 0xC0) == 0x80) last--;
    *begin = last;
    return (fli_class_at(s, last, n, &len) & FLI_SPACE) && last + len == n;
}

static bool is_word_char(const uint8_t *s, size_t i, size_t n) {
    size_t len;
    return s[i] == '_' || (fli_class_at(s, i, n, &len) & (FLI_LETTER | FLI_NUMBER | FLI_MARK));
}

/* The bounds of a match with what the token takes besides; false if it does not count. */
static bool widen(const fli_added *a, const uint8_t *s, size_t from, size_t *begin, size_t *end,
                  size_t n) {
    size_t before = *begin, len;
    if (a->single_word) {
        while (before > 0 && (s[--before] & 0xC0) == 0x80) {}
        if ((*begin > 0 && is_word_char(s, before, n)) || (*end < n && is_word_char(s, *end, n)))
            return false;
    }
    if (a->lstrip)
        while (*begin > from && ends_with_space(s, *begin, &before) && before >= from)
            *begin = before;
    if (a->rstrip)
        while (*end < n && (fli_class_at(s, *end, n, &len) & FLI_SPACE)) *end += len;
    return true;
}

/* Whether a bar is inside of [begin, end); those before it are done with. */
static bool is_barred(passage *p, size_t begin, size_t end) {
    while (p->bar < p->bar_end && *p->bar <= begin) p->bar++;
    return p->bar < p->bar_end && *p->bar < end;
}

/* Cut out the added tokens that are looked for before (or after) normalisation. */
static fl_status encode_between(fl_encoder *e, bool normalized, passage p, fl_ids *out,
                                fl_err *err) {
    const fli_trie *trie = &e->t->trie[normalized];
    bool ignored = p.plain && !(normalized && e->t->always_added);
    size_t from = 0, len = 1;
    for (size_t i = ignored ? p.n : fli_trie_next(trie, p.s, 0, p.n); i < p.n;
         i = fli_trie_next(trie, p.s, i + len, p.n)) {
        int32_t found = fli_trie_match(trie, p.s, i, p.n, &len);
        if (found < 0 || is_barred(&p, i, i + len)) {
            len = 1;
            continue;
        }
        const fli_added *a = e->t->added + found;
        size_t begin = i, end = i + len;
        if (!widen(a, p.s, from, &begin, &end, p.n)) continue;
        passage before = {.s = p.s + from,
                          .n = begin - from,
                          .first = p.first && from == 0,
                          .plain = p.plain};
        FL_TRY(encode_stretch(e, normalized, before, out, err));
        FL_TRY(push(out, &a->id, 1, err));
        len = end - i;
        from = end;
    }
    passage rest = {.s = p.s + from,
                    .n = p.n - from,
                    .first = p.first && from == 0,
                    .plain = p.plain};
    return encode_stretch(e, normalized, rest, out, err);
}

fl_status fl_encoder_encode(fl_encoder *e, const char *text, size_t n, const fl_encode_opts *o,
                            fl_ids *out, fl_err *err) {
    static const fl_encode_opts defaults = {0};
    const fl_tokenizer *t = e->t;
    if (!o) o = &defaults;
    size_t before = out->n;
    fl_status st = FL_OK;
    if (o->add_special) st = push(out, t->before, (size_t)t->n_before, err);
    passage all =
        {(const uint8_t *)text, n, true, o->plain, o->bar, o->n_bars ? o->bar + o->n_bars : o->bar};
    if (st == FL_OK) st = encode_between(e, false, all, out, err);
    if (st == FL_OK && o->add_special) st = push(out, t->after, (size_t)t->n_after, err);
    if (st != FL_OK) out->n = before;
    return st;
}

fl_status fl_encode(const fl_tokenizer *t, const char *text, size_t n, const fl_encode_opts *o,
                    fl_ids *out, fl_err *err) {
    fl_encoder e;  // one text: not worth a cache
    fl_status st = encoder_init(&e, t, false, err);
    if (st == FL_OK) st = fl_encoder_encode(&e, text, n, o, out, err);
    encoder_clear(&e);
    return st;
}
