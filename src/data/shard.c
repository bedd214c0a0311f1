/* shard - a long array of tokens in files: written once, hashed on the way, mapped for reading. */
#include "data/shard.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

_Static_assert(sizeof(fli_document) == 32, "documents.bin holds 32-byte records");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shards are mapped as they are: little-endian machines only"
#endif

static const char documents_name[] = "documents.bin";
enum { NAME_MAX_BYTES = 32, CHUNK = 4096 };

/* One file being written. */
typedef struct {
    fl_outfile *file;
    fl_hash *hash;
    char name[NAME_MAX_BYTES];
    int64_t bytes;
} output;

struct fli_shard_writer {
    char dir[FL_PATH_MAX];
    int width, n_shards;
    int64_t shard_tokens, in_shard;  // tokens in the file being written
    output tokens, documents;
    json_t *list;  // of finished token files
};

static void output_drop(output *o) {
    fl_outfile_abort(o->file);
    fl_hash_free(o->hash);
    *o = (output){0};
}

static fl_status output_begin(output *o, const char *dir, const char *name, fl_err *err) {
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, name, err));
    *o = (output){.hash = fl_hash_new()};
    if (!o->hash) return fl_fail(err, FL_ERR_NOMEM, "writing %s", path);
    snprintf(o->name, sizeof o->name, "%s", name);
    return fl_outfile_open(&o->file, path, err);
}

static void output_put(output *o, const void *data, size_t n) {
    fwrite(data, 1, n, fl_outfile_stream(o->file));  // an error is kept for commit
    fl_hash_update(o->hash, data, n);
    o->bytes += (int64_t)n;
}

static fl_status output_commit(output *o, json_t *list, fl_err *err) {
    char hash[FL_HASH_TEXT];
    fl_hash_text(o->hash, hash);
    fl_outfile *file = o->file;
    o->file = NULL;
    fl_status st = fl_outfile_commit(file, err);
    if (st == FL_OK &&
        json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "file", o->name, "bytes",
                                              (json_int_t)o->bytes, "hash", hash))) {
        st = fl_fail(err, FL_ERR_NOMEM, "the list of shards");
    }
    output_drop(o);
    return st;
}

fl_status fli_shard_writer_new(fli_shard_writer **out, const char *dir, int width,
                               int64_t shard_tokens, fl_err *err) {
    FL_ASSERT(width == 2 || width == 4);
    fli_shard_writer *w = fl_alloc(sizeof *w);
    if (!w) return fl_fail(err, FL_ERR_NOMEM, "writing shards to %s", dir);
    *w = (fli_shard_writer){.width = width, .shard_tokens = shard_tokens, .list = json_array()};
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    fl_status st = w->list ? output_begin(&w->documents, dir, documents_name, err)
                           : fl_fail(err, FL_ERR_NOMEM, "writing shards to %s", dir);
    if (st != FL_OK) {
        fli_shard_writer_free(w);
        return st;
    }
    *out = w;
    return FL_OK;
}

void fli_shard_writer_free(fli_shard_writer *w) {
    if (!w) return;
    output_drop(&w->tokens);
    output_drop(&w->documents);
    json_decref(w->list);
    fl_dealloc(w);
}

static void put_ids(fli_shard_writer *w, const int32_t *id, size_t n) {
    if (w->width == 4) {
        output_put(&w->tokens, id, n * 4);
        return;
    }
    uint16_t narrow[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t m = n - i < CHUNK ? n - i : CHUNK;
        for (size_t k = 0; k < m; k++) narrow[k] = (uint16_t)id[i + k];
        output_put(&w->tokens, narrow, m * 2);
    }
}

fl_status fli_shard_write(fli_shard_writer *w, const int32_t *id, size_t n, fl_err *err) {
    while (n) {
        if (!w->tokens.file) {
            char name[NAME_MAX_BYTES];
            snprintf(name, sizeof name, "tokens-%05d.bin", w->n_shards++);
            FL_TRY(output_begin(&w->tokens, w->dir, name, err));
            w->in_shard = 0;
        }
        int64_t room = w->shard_tokens - w->in_shard;
        size_t m = (int64_t)n < room ? n : (size_t)room;
        put_ids(w, id, m);
        id += m;
        n -= m;
        w->in_shard += (int64_t)m;
        if (w->in_shard == w->shard_tokens) FL_TRY(output_commit(&w->tokens, w->list, err));
    }
    return FL_OK;
}

fl_status fli_shard_document(fli_shard_writer *w, const fli_document *d, fl_err *err) {
    output_put(&w->documents, d, sizeof *d);
    if (!ferror(fl_outfile_stream(w->documents.file))) return FL_OK;
    return fl_fail(err, FL_ERR_IO, "%s/%s: cannot be written", w->dir, documents_name);
}

fl_status fli_shard_writer_finish(fli_shard_writer *w, json_t *list, fl_err *err) {
    if (w->tokens.file) FL_TRY(output_commit(&w->tokens, w->list, err));
    FL_TRY(output_commit(&w->documents, w->list, err));
    return json_array_extend(list, w->list) ? fl_fail(err, FL_ERR_NOMEM, "the list of shards")
                                            : FL_OK;
}

/* Map one file of the manifest's list and hold it to what the list says. */
static fl_status shard_map(fl_map *out, const char *dir, const json_t *entry, fl_err *err) {
    const char *name, *want;
    int64_t bytes;
    FL_TRY(fl_json_str(entry, "file", &name, "manifest.json", err));
    FL_TRY(fl_json_str(entry, "hash", &want, "manifest.json", err));
    FL_TRY(fl_json_int(entry, "bytes", &bytes, "manifest.json", err));
    char path[FL_PATH_MAX];
    FL_TRY(fl_path_join(path, dir, name, err));
    fl_map m;
    FL_TRY(fl_map_open(&m, path, err));
    fl_status st = FL_OK;
    char got[FL_HASH_TEXT] = "";
    fl_hash *h = fl_hash_new();
    if (!h) {
        st = fl_fail(err, FL_ERR_NOMEM, "%s", path);
    } else if (m.bytes != (size_t)bytes) {
        st = fl_fail(err, FL_ERR_FORMAT, "%s: %zu bytes, %lld were written", path, m.bytes,
                     (long long)bytes);
    } else {
        fl_hash_update(h, m.data, m.bytes);
        fl_hash_text(h, got);
        if (strcmp(got, want)) {
            st = fl_fail(err, FL_ERR_FORMAT, "%s: its bytes are not those that were written", path);
        }
    }
    fl_hash_free(h);
    if (st == FL_OK) *out = m;
    else fl_map_close(&m);
    return st;
}

/* Every token file but the last must be full, or positions would be off. */
static fl_status shards_count(fli_shards *s, const char *dir, fl_err *err) {
    size_t full = (size_t)s->shard_tokens * (size_t)s->width;
    for (int i = 0; i < s->n_shards; i++) {
        size_t bytes = s->map[i].bytes;
        if (bytes % (size_t)s->width || bytes > full || (i + 1 < s->n_shards && bytes != full)) {
            return fl_fail(err, FL_ERR_FORMAT, "%s: shard %d has an impossible size", dir, i);
        }
        s->n_tokens += (int64_t)(bytes / (size_t)s->width);
    }
    const fl_map *d = &s->map[s->n_shards];
    s->document = (const fli_document *)(const void *)d->data;
    s->n_documents = (int64_t)(d->bytes / sizeof(fli_document));
    uint64_t sum = 0;
    for (int64_t i = 0; i < s->n_documents; i++) sum += s->document[i].n_tokens;
    if (d->bytes % sizeof(fli_document) || sum != (uint64_t)s->n_tokens) {
        return fl_fail(err, FL_ERR_FORMAT, "%s: the documents do not add up to the tokens", dir);
    }
    return FL_OK;
}

fl_status fli_shards_open(fli_shards *out, const char *dir, const json_t *list, int width,
                          int64_t shard_tokens, fl_err *err) {
    int n = (int)json_array_size(list);
    if (n < 1 || (width != 2 && width != 4) || shard_tokens < 1) {
        return fl_fail(err, FL_ERR_FORMAT, "%s/manifest.json: it lists no shards", dir);
    }
    fli_shards s = {.n_shards = n - 1, .width = width, .shard_tokens = shard_tokens};
    s.map = fl_alloc((size_t)n * sizeof *s.map);
    if (!s.map) return fl_fail(err, FL_ERR_NOMEM, "%s: %d shards", dir, n);
    memset(s.map, 0, (size_t)n * sizeof *s.map);
    fl_status st = FL_OK;
    for (int i = 0; i < n && st == FL_OK; i++) {
        st = shard_map(&s.map[i], dir, json_array_get(list, (size_t)i), err);
    }
    if (st == FL_OK) st = shards_count(&s, dir, err);
    if (st == FL_OK) *out = s;
    else fli_shards_close(&s);
    return st;
}

void fli_shards_close(fli_shards *s) {
    for (int i = 0; s->map && i <= s->n_shards; i++) fl_map_close(&s->map[i]);
    fl_dealloc(s->map);
    *s = (fli_shards){0};
}

void fli_shards_read(const fli_shards *s, int64_t first, int64_t n, int32_t *out) {
    FL_ASSERT(first >= 0 && n >= 0 && first + n <= s->n_tokens);
    while (n > 0) {
        int64_t at = first % s->shard_tokens;
        int64_t m = s->shard_tokens - at < n ? s->shard_tokens - at : n;
        const uint8_t *data = s->map[first / s->shard_tokens].data;
        if (s->width == 4) {
            memcpy(out, data + at * 4, (size_t)m * 4);
        } else {
            const uint16_t *narrow = (const uint16_t *)(const void *)data + at;
            for (int64_t i = 0; i < m; i++) out[i] = narrow[i];
        }
        out += m;
        first += m;
        n -= m;
    }
}
