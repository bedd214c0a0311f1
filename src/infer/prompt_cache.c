/* prompt_cache - a prompt's keys and values on disk, so that it is read once. */
#include "infer/prompt_cache.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "infer/group_impl.h"
#include "model/arch.h"

enum { VERSION = 1, PART = 64 << 10 };  // bytes of a large weight that count: at three places

static const char MAGIC[8] = {'F', 'L', 'K', 'V', 'P', 'A', 'G', 'E'};

typedef struct {
    char magic[8];
    uint32_t version, n;
    char identity[FL_HASH_TEXT];
    char padding[3];
} header;

/* ---- identity ---- */

static void add_text(fl_hash *h, const char *s) {
    fl_hash_update(h, s, strlen(s) + 1);
}

static void add_int(fl_hash *h, int64_t v) {
    fl_hash_update(h, &v, sizeof v);
}

static void add_weight(fl_hash *h, const fl_param *p) {
    const size_t n = fl_tensor_bytes(&p->data);
    const char *at = p->data.data;
    add_text(h, p->name);
    add_int(h, p->data.dtype);
    for (int i = 0; i < p->data.rank; i++) add_int(h, p->data.dim[i]);
    if (n <= 3 * (size_t)PART) {
        fl_hash_update(h, at, n);
        return;
    }
    fl_hash_update(h, at, PART);
    fl_hash_update(h, at + (n / 2 - PART / 2), PART);
    fl_hash_update(h, at + (n - PART), PART);
}

/* The facts that weights do not show. */
static fl_status add_facts(fl_hash *h, const fl_config *c, fl_err *err) {
    const double reals[] = {c->rope_theta,    c->norm_eps,     c->rope_local_theta,
                            c->logit_softcap, c->attn_softcap, c->routed_scaling_factor};
    const int64_t ints[] = {c->sliding_window,
                            c->max_window_layers,
                            c->full_every,
                            c->rotary_dim,
                            c->query_pre_attn_scalar,
                            c->experts_per_token,
                            c->n_group,
                            c->topk_group,
                            c->norm_topk,
                            c->parallel_residual,
                            c->num_attention_heads};
    fl_text scaling = {0};
    add_text(h, c->arch->name);
    fl_hash_update(h, reals, sizeof reals);
    fl_hash_update(h, ints, sizeof ints);
    if (c->rope_scaling) fl_json_print(&scaling, c->rope_scaling, 0);
    const fl_status st = fl_text_ok(&scaling, err);
    if (st == FL_OK) add_text(h, fl_text_str(&scaling));
    fl_text_clear(&scaling);
    return st;
}

static fl_status identity_add(fl_hash *h, const fl_group *g, fl_err *err) {
    const fli_steps_opts *o = &g->steps.opts;
    const fl_backend *backend = o->backend;
    if (!backend) FL_TRY(fl_backend_pick(&backend, err));
    add_text(h, backend->name);
    add_text(h, fl_dtype_name(o->compute));
    add_text(h, fl_dtype_name(g->pages.dtype));
    if (g->m->config.rope_scaling) add_int(h, o->context);  // it may choose the frequencies
    FL_TRY(add_facts(h, &g->m->config, err));
    for (int i = 0; i < g->m->n_params; i++) add_weight(h, &g->m->param[i]);
    return FL_OK;
}

static fl_status identity(char out[FL_HASH_TEXT], const fl_group *g, fl_err *err) {
    fl_hash *h = fl_hash_new();
    if (!h) return fl_fail(err, FL_ERR_NOMEM, "the identity of a model");
    const fl_status st = identity_add(h, g, err);
    if (st == FL_OK) fl_hash_text(h, out);
    fl_hash_free(h);
    return st;
}

/* ---- reading ---- */

static fl_status checksum(char out[FL_HASH_TEXT], const void *data, size_t n, fl_err *err) {
    fl_hash *h = fl_hash_new();
    if (!h) return fl_fail(err, FL_ERR_NOMEM, "a checksum");
    fl_hash_update(h, data, n);
    fl_hash_text(h, out);
    fl_hash_free(h);
    return FL_OK;
}

/* Whole, of this version, of this model; then h->n tokens and their rows are there. */
static fl_status check(const fl_map *m, header *h, const fl_group *g, const char *identity,
                       fl_err *err) {
    const size_t row = fli_pages_row_bytes(&g->pages) * (size_t)g->pages.n_blocks;
    char sum[FL_HASH_TEXT];
    if (m->bytes < sizeof *h + sizeof sum || memcmp(m->data, MAGIC, sizeof MAGIC) != 0)
        return fl_fail(err, FL_ERR_FORMAT, "not a prompt cache");
    memcpy(h, m->data, sizeof *h);
    if (h->version != VERSION) {
        return fl_fail(err, FL_ERR_FORMAT, "version %u of the format; this program knows %d",
                       h->version, VERSION);
    }
    FL_TRY(checksum(sum, m->data, m->bytes - sizeof sum, err));
    if (memcmp(sum, m->data + m->bytes - sizeof sum, sizeof sum) != 0)
        return fl_fail(err, FL_ERR_FORMAT, "damaged: its checksum is another");
    if (memcmp(h->identity, identity, sizeof h->identity) != 0) {
        return fl_fail(err, FL_ERR_ARG,
                       "made by another model, or with another --compute, --cache-type or "
                       "processor; remove it to make it anew");
    }
    if (!h->n || h->n > fl_group_context(g) ||
        m->bytes - sizeof *h - sizeof sum != h->n * (sizeof(int32_t) + row))
        return fl_fail(err, FL_ERR_FORMAT, "%u tokens promised, which is not its size", h->n);
    return FL_OK;
}

/* What the file and the prompt begin with in common. */
static fl_status take(fl_sequence *s, const fl_map *m, const header *h, const int32_t *id,
                      int64_t n, int64_t *reused, fl_err *err) {
    const fli_pages *p = &s->g->pages;
    const size_t row = fli_pages_row_bytes(p);
    const uint8_t *at = m->data + sizeof *h, *rows = at + h->n * sizeof *id;
    int64_t same = 0;
    while (same < n && same < h->n &&
           memcmp(at + same * (int64_t)sizeof *id, id + same, sizeof *id) == 0)
        same++;
    if (same) FL_TRY(fli_sequence_adopt(s, id, same, err));
    for (int64_t b = 0; b < p->n_blocks; b++, rows += h->n * row)
        for (int64_t i = 0; i < same; i++)
            memcpy(fli_pages_row(p, b, &s->text, i), rows + (size_t)i * row, row);
    *reused = same;
    return FL_OK;
}

static fl_status load(fl_sequence *s, const char *path, const char *identity, const int32_t *id,
                      int64_t n, int64_t *reused, fl_err *err) {
    fl_map m;
    header h;
    FL_TRY(fl_map_open(&m, path, err));
    fl_status st = check(&m, &h, s->g, identity, err);
    if (st == FL_OK) st = take(s, &m, &h, id, n, reused, err);
    fl_map_close(&m);
    return st == FL_OK ? st : fl_context(err, st, "%s", path);
}

/* ---- writing ---- */

typedef struct {
    FILE *f;
    fl_hash *hash;
} sink;

static void put(const sink *to, const void *data, size_t n) {
    fl_hash_update(to->hash, data, n);
    (void)fwrite(data, 1, n, to->f);  // commit says whether it was written
}

static void write_all(const sink *to, const fl_sequence *s, const char *identity) {
    const fli_pages *p = &s->g->pages;
    header h = {.version = VERSION, .n = (uint32_t)s->length};
    char sum[FL_HASH_TEXT];
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    memcpy(h.identity, identity, sizeof h.identity);
    put(to, &h, sizeof h);
    put(to, s->id, (size_t)s->length * sizeof *s->id);
    for (int64_t b = 0; b < p->n_blocks; b++)
        for (int64_t i = 0; i < s->length; i++)
            put(to, fli_pages_row(p, b, &s->text, i), fli_pages_row_bytes(p));
    fl_hash_text(to->hash, sum);
    (void)fwrite(sum, 1, sizeof sum, to->f);
}

static fl_status save(const fl_sequence *s, const char *path, const char *identity, fl_err *err) {
    fl_outfile *f;
    FL_TRY(fl_outfile_open(&f, path, err));
    const sink to = {fl_outfile_stream(f), fl_hash_new()};
    if (!to.hash) {
        fl_outfile_abort(f);
        return fl_fail(err, FL_ERR_NOMEM, "%s", path);
    }
    write_all(&to, s, identity);
    fl_hash_free(to.hash);
    return fl_outfile_commit(f, err);
}

fl_status fl_prompt_cache_use(fl_session *session, const char *path, const int32_t *id, int64_t n,
                              int64_t *reused, fl_err *err) {
    fl_sequence *s = fli_session_text(session);
    char self[FL_HASH_TEXT];
    FL_ASSERT(n > 0);
    *reused = 0;
    FL_TRY(identity(self, s->g, err));
    fl_sequence_rewind(s, 0);
    if (fl_path_exists(path)) FL_TRY(load(s, path, self, id, n, reused, err));
    if (*reused == n) return FL_OK;
    FL_TRY(fl_sequence_read(s, id + *reused, n - *reused, err));
    return save(s, path, self, err);
}
