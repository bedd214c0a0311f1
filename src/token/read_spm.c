/* read_spm.c - tokenizer.model, as SentencePiece writes it: a ModelProto.
 *
 *     1 repeated pieces      { 1 piece, 2 score, 3 type }
 *     2 trainer_spec         { 3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback,
 *                              40 unk_id, 41 bos_id, 42 eos_id }
 *     3 normalizer_spec      { 2 precompiled_charsmap, 3 add_dummy_prefix,
 *                              4 remove_extra_whitespaces, 5 escape_whitespaces }
 * Piece types are GGUF's token types. User-defined symbols are part of the model: neither
 * normalised nor merged with what is beside them. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "token/proto.h"
#include "token/read_vocab.h"

enum { UNIGRAM = 1, BPE = 2, FILE_MAX_BYTES = 1 << 28 };

/* What the file says; the defaults are the proto's. */
typedef struct {
    fl_vocab vocab;
    fl_vocab_text *token;  // (n_tokens), in the tokenizer's arena; so are the next two
    float *score;
    int32_t *kind;
    uint64_t model_type;
    bool suffix, byte_fallback, dummy_prefix, squeeze, escape;
} model_file;

static fl_status broken(const char *what, fl_err *err) {
    return fl_fail(err, FL_ERR_FORMAT,
                   "%s: the message is cut off or no Protocol Buffers: no SentencePiece model",
                   what);
}

/* ---- the messages ---- */

static fl_status read_piece(model_file *m, const fli_field *message, fl_err *err) {
    fli_proto p = {.s = message->bytes, .n = message->n};
    int32_t id = m->vocab.n_tokens++;
    m->kind[id] = FL_TOKEN_NORMAL;
    for (fli_field f; fli_proto_next(&p, &f);) {
        if (f.number == 1 && f.wire == FLI_BYTES)
            m->token[id] = (fl_vocab_text){(const char *)f.bytes, f.n};
        if (f.number == 2 && f.wire == FLI_FIXED32) m->score[id] = fli_field_float(&f);
        if (f.number == 3 && f.wire == FLI_VARINT) m->kind[id] = f.value > 99 ? 99 : (int)f.value;
    }
    if (p.broken) return broken("a piece", err);
    bool known = m->kind[id] >= FL_TOKEN_NORMAL && m->kind[id] <= FL_TOKEN_BYTE;
    if (known && m->token[id].n && m->score[id] - m->score[id] == 0) return FL_OK;
    return fl_fail(err, FL_ERR_FORMAT,
                   "piece %d: expected a text, a finite score and a type from 1 to 6", id);
}

static fl_status read_trainer(model_file *m, const fli_field *message, fl_err *err) {
    fli_proto p = {.s = message->bytes, .n = message->n};
    for (fli_field f; fli_proto_next(&p, &f);) {
        if (f.wire != FLI_VARINT) continue;
        int32_t id = f.value > INT32_MAX ? -1 : (int32_t)f.value;
        switch (f.number) {
        case 3: m->model_type = f.value; break;
        case 24: m->suffix = f.value; break;
        case 35: m->byte_fallback = f.value; break;
        case 40: m->vocab.unk = id; break;
        case 41: m->vocab.bos = id; break;
        case 42: m->vocab.eos = id; break;
        default: break;
        }
    }
    return p.broken ? broken("trainer_spec", err) : FL_OK;
}

static fl_status read_normalizer(model_file *m, const fli_field *message, fl_err *err) {
    fli_proto p = {.s = message->bytes, .n = message->n};
    for (fli_field f; fli_proto_next(&p, &f);) {
        switch (f.number) {
        case 2:
            m->vocab.charsmap = f.bytes;
            m->vocab.charsmap_bytes = f.n;
            break;
        case 3: m->dummy_prefix = f.value; break;
        case 4: m->squeeze = f.value; break;
        case 5: m->escape = f.value; break;
        default: break;
        }
    }
    return p.broken ? broken("normalizer_spec", err) : FL_OK;
}

static fl_status make_room(fl_tokenizer *t, model_file *m, const uint8_t *bytes, size_t n,
                           fl_err *err) {
    fli_proto p = {.s = bytes, .n = n};
    size_t n_pieces = 0;
    for (fli_field f; fli_proto_next(&p, &f);) n_pieces += f.number == 1 && f.wire == FLI_BYTES;
    if (p.broken) return broken("ModelProto", err);
    if (n_pieces == 0) return fl_fail(err, FL_ERR_FORMAT, "no pieces: no SentencePiece model");
    m->token = FL_NEW(&t->arena, fl_vocab_text, n_pieces);
    m->score = FL_NEW(&t->arena, float, n_pieces);
    m->kind = FL_NEW(&t->arena, int32_t, n_pieces);
    if (!m->token || !m->score || !m->kind)
        return fl_fail(err, FL_ERR_NOMEM, "%zu pieces", n_pieces);
    return FL_OK;
}

static fl_status read_model(fl_tokenizer *t, model_file *m, const uint8_t *bytes, size_t n,
                            fl_err *err) {
    *m = (model_file){.vocab = FL_VOCAB_INIT,
                      .model_type = UNIGRAM,
                      .dummy_prefix = true,
                      .squeeze = true,
                      .escape = true};
    m->vocab.unk = 0;
    m->vocab.bos = 1;
    m->vocab.eos = 2;
    FL_TRY(make_room(t, m, bytes, n, err));
    fli_proto p = {.s = bytes, .n = n};
    for (fli_field f; fli_proto_next(&p, &f);) {
        if (f.wire != FLI_BYTES) continue;
        if (f.number == 1) FL_TRY(read_piece(m, &f, err));
        if (f.number == 2) FL_TRY(read_trainer(m, &f, err));
        if (f.number == 3) FL_TRY(read_normalizer(m, &f, err));
    }
    m->vocab.token = m->token;
    m->vocab.score = m->score;
    m->vocab.kind = m->kind;
    return FL_OK;
}

/* ---- the tokenizer ---- */

static fl_status add_symbols(fl_tokenizer *t, const model_file *m, fl_err *err) {
    size_t bytes = 0;
    t->always_added = true;
    for (int32_t id = 0; id < t->n; id++)
        if (m->kind[id] == FL_TOKEN_USER) bytes += m->token[id].n;
    if (bytes) FL_TRY(fli_lexicon_init(&t->kept, bytes, err));
    for (int32_t id = 0; id < t->n; id++) {
        const fl_vocab_text *k = m->token + id;
        bool user = m->kind[id] == FL_TOKEN_USER;
        fli_added as = {.id = id, .special = !user, .normalized = user};
        if (user) fli_lexicon_put(&t->kept, (const uint8_t *)k->text, k->n, id);
        if (user || m->kind[id] == FL_TOKEN_CONTROL)
            FL_TRY(fli_tokenizer_add(t, k->text, k->n, as, err));
    }
    return FL_OK;
}

/* An end that the file names, if its piece is a control symbol. */
static int32_t end_id(const model_file *m, int32_t id) {
    return id >= 0 && id < m->vocab.n_tokens && m->kind[id] == FL_TOKEN_CONTROL ? id : -1;
}

static fl_status add_rules(fl_tokenizer *t, const model_file *m, fl_err *err) {
    unsigned prefix = m->suffix ? FLI_SPM_SUFFIX : FLI_SPM_PREFIX;
    unsigned flags = (m->dummy_prefix ? prefix : 0u) | (m->squeeze ? FLI_SPM_SQUEEZE : 0u);
    FL_TRY(fli_add_spm_step(t, m->vocab.charsmap, m->vocab.charsmap_bytes, flags, err));
    if (m->escape) FL_TRY(fli_escape_spaces(t, err));
    t->join.strip = m->dummy_prefix && !m->suffix;
    t->join.strip_each = m->squeeze && !m->suffix;
    t->fuse_unk = true;
    t->byte_fallback = m->byte_fallback;
    t->bos = end_id(m, m->vocab.bos);
    t->eos = end_id(m, m->vocab.eos);
    t->unk = m->vocab.unk < m->vocab.n_tokens ? m->vocab.unk : -1;
    return FL_OK;
}

/* SentencePiece puts nothing around a text; the models that use its BPE begin with bos, those that
 * use Unigram end with eos. */
static void add_ends(fl_tokenizer *t) {
    if (t->kind == &fli_char_bpe && t->bos >= 0) t->before[t->n_before++] = t->bos;
    if (t->kind == &fli_unigram && t->eos >= 0) t->after[t->n_after++] = t->eos;
}

static fl_status build(fl_tokenizer *t, const uint8_t *bytes, size_t n, fl_err *err) {
    model_file m;
    FL_TRY(read_model(t, &m, bytes, n, err));
    if (m.model_type != UNIGRAM && m.model_type != BPE)
        return fl_fail(err, FL_ERR_UNSUPPORTED,
                       "model_type %llu is not supported, only 1 (Unigram) and 2 (BPE)",
                       (unsigned long long)m.model_type);
    t->kind = m.model_type == BPE ? &fli_char_bpe : &fli_unigram;
    FL_TRY(add_rules(t, &m, err));
    FL_TRY(fli_put_pieces(t, &m.vocab, err));
    FL_TRY(fli_tokenizer_index(t, 0, err));
    if (m.model_type == BPE) FL_TRY(fli_merge_by_score(t, m.score, err));
    FL_TRY(fli_take_scores(t, &m.vocab, err));
    FL_TRY(add_symbols(t, &m, err));
    t->step[0].keep = t->kept.n_nodes ? &t->kept : NULL;
    add_ends(t);
    return fli_tokenizer_finish(t, err);
}

fl_status fli_parse_spm(fl_tokenizer **out, const uint8_t *bytes, size_t n, fl_err *err) {
    fl_tokenizer *t;
    FL_TRY(fli_tokenizer_new(&t, err));
    fl_status st = build(t, bytes, n, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}

fl_status fli_read_spm(fl_tokenizer **out, const char *path, const char *config, fl_err *err) {
    fl_tokenizer *t;
    char *bytes;
    size_t n;
    FL_TRY(fl_file_read(path, FILE_MAX_BYTES, &bytes, &n, err));
    fl_status st = fli_parse_spm(&t, (const uint8_t *)bytes, n, err);
    fl_dealloc(bytes);
    if (st != FL_OK) return fl_context(err, st, "%s", path);
    if (fl_path_exists(config)) st = fli_read_config(t, config, err);
    if (st != FL_OK) {
        fl_tokenizer_free(t);
        return st;
    }
    *out = t;
    return FL_OK;
}
