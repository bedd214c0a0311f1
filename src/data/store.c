/* store - the folder a dataset is kept in: found by its settings, checked against its sources, or
 * made.
 *
 * The folder is named by a hash of the settings. It is used again when the sources still have the
 * sizes and times (or failing that the hashes) they had. Otherwise, or when a shard is damaged, it
 * is made again from nothing: tokenising is fast, and a resumed half would have to be believed. */
#include "data/store.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "data/tokenise.h"

enum { VERSION = 1, SHARD_TOKENS = 1 << 27 };

static const char *const split_name[] = {"auto", "document", "tail", "none"};

static int64_t shard_tokens_of(const fl_dataset_opts *o) {
    return o->shard_tokens ? o->shard_tokens : SHARD_TOKENS;
}

static int width_of(const fl_dataset_opts *o) {
    return fl_tokenizer_size(o->tokenizer) <= 1 << 16 ? 2 : 4;
}

/* What the shards depend on besides the bytes of the sources. A split by document is made when the
 * store is read, so its fraction is not part of it. */
static fl_status settings_make(json_t **out, const fl_dataset_opts *o, fl_err *err) {
    char tokenizer[FL_HASH_TEXT];
    fl_tokenizer_hash(o->tokenizer, tokenizer);
    bool cuts = o->split == FL_SPLIT_AUTO || o->split == FL_SPLIT_TAIL;
    json_t *s = json_pack("{s:s, s:s, s:s, s:b, s:b, s:f, s:I, s:i, s:[]}", "tokenizer", tokenizer,
                          "text_field", o->corpus.text_field ? o->corpus.text_field : "text",
                          "separator", o->corpus.separator ? o->corpus.separator : "<|endoftext|>",
                          "skip_bad_lines", o->corpus.skip_bad_lines, "tail", cuts, "val_fraction",
                          cuts ? o->val_fraction : 0.0, "shard_tokens",
                          (json_int_t)shard_tokens_of(o), "width", width_of(o), "paths");
    bool ok = s != NULL;
    for (int i = 0; ok && i < o->n_paths; i++) {
        ok = json_array_append_new(json_object_get(s, "paths"), json_string(o->paths[i])) == 0;
    }
    if (ok && o->split == FL_SPLIT_TAIL)
        ok = json_object_set_new(s, "split", json_string("tail")) == 0;
    if (!ok) {
        json_decref(s);
        return fl_fail(err, FL_ERR_ARG, "the settings of a dataset: a path or field is not UTF-8");
    }
    *out = s;
    return FL_OK;
}

static fl_status dir_name(char out[FL_PATH_MAX], const char *cache_dir, const json_t *settings,
                          fl_err *err) {
    char *text = json_dumps(settings, JSON_SORT_KEYS | JSON_COMPACT);
    if (!text) return fl_fail(err, FL_ERR_NOMEM, "the name of a dataset");
    char name[32];
    snprintf(name, sizeof name, "tokens-%016llx",
             (unsigned long long)fl_hash64(text, strlen(text)));
    free(text);
    return fl_path_join(out, cache_dir, name, err);
}

/* ---- the sources ---- */

static fl_status file_hash(const char *path, char out[FL_HASH_TEXT], fl_err *err) {
    fl_map m;
    FL_TRY(fl_map_open(&m, path, err));
    fl_hash *h = fl_hash_new();
    if (h) {
        fl_hash_update(h, m.data, m.bytes);
        fl_hash_text(h, out);
    }
    fl_hash_free(h);
    fl_map_close(&m);
    return h ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "%s: no memory to read it", path);
}

static fl_status sources_make(json_t **out, const fl_corpus *c, fl_err *err) {
    json_t *list = json_array();
    fl_status st = list ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "the list of sources");
    for (int i = 0; st == FL_OK && i < fl_corpus_n_files(c); i++) {
        char hash[FL_HASH_TEXT];
        const char *path = fl_corpus_file(c, i);
        st = file_hash(path, hash, err);
        if (st != FL_OK) break;
        json_t *s = json_pack("{s:s, s:I, s:I, s:s}", "path", path, "bytes",
                              (json_int_t)fl_corpus_file_bytes(c, i), "mtime",
                              (json_int_t)fl_corpus_file_mtime(c, i), "hash", hash);
        if (!s || json_array_append_new(list, s)) {
            st = fl_fail(err, FL_ERR_ARG, "%s: the file's name is not UTF-8", path);
        }
    }
    if (st == FL_OK) *out = list;
    else json_decref(list);
    return st;
}

static bool source_unchanged(const json_t *was, const fl_corpus *c, int i) {
    const char *path = fl_corpus_file(c, i);
    const char *path_was = json_string_value(json_object_get(was, "path"));
    const char *hash_was = json_string_value(json_object_get(was, "hash"));
    if (!path_was || !hash_was || strcmp(path, path_was)) return false;
    if (json_integer_value(json_object_get(was, "bytes")) != fl_corpus_file_bytes(c, i))
        return false;
    if (json_integer_value(json_object_get(was, "mtime")) == fl_corpus_file_mtime(c, i))
        return true;
    char hash[FL_HASH_TEXT];
    return file_hash(path, hash, NULL) == FL_OK && strcmp(hash, hash_was) == 0;
}

static bool sources_unchanged(const json_t *manifest, const fl_corpus *c) {
    const json_t *list = json_object_get(manifest, "sources");
    if (json_array_size(list) != (size_t)fl_corpus_n_files(c)) return false;
    for (int i = 0; i < fl_corpus_n_files(c); i++) {
        if (!source_unchanged(json_array_get(list, (size_t)i), c, i)) return false;
    }
    return true;
}

/* ---- reading ---- */

/* Take the store a manifest describes. */
static fl_status store_read(fli_store *s, const json_t *manifest, const fl_dataset_opts *o,
                            fl_err *err) {
    const char *split;
    FL_TRY(fl_json_str(manifest, "split", &split, "manifest.json", err));
    FL_TRY(fl_json_int(manifest, "cut", &s->cut, "manifest.json", err));
    s->split = FL_SPLIT_AUTO;
    for (int i = FL_SPLIT_DOCUMENT; i <= FL_SPLIT_NONE; i++) {
        if (strcmp(split, split_name[i]) == 0) s->split = (fl_split)i;
    }
    if (s->split == FL_SPLIT_AUTO) {
        return fl_fail(err, FL_ERR_FORMAT, "%s/manifest.json: unknown split \"%s\"", s->dir, split);
    }
    if (o->split != FL_SPLIT_AUTO) s->split = o->split;
    return fli_shards_open(&s->shards, s->dir, json_object_get(manifest, "files"), width_of(o),
                           shard_tokens_of(o), err);
}

/* Use the folder again if it is whole and still true. False: it has to be made. */
static bool store_reuse(fli_store *s, const char *path, const json_t *settings, const fl_corpus *c,
                        const fl_dataset_opts *o) {
    if (!fl_path_exists(path)) return false;
    json_t *manifest = NULL;
    fl_err why = {0};
    fl_status st = fl_json_load(&manifest, path, &why);
    bool fits = st == FL_OK && json_equal(json_object_get(manifest, "settings"), settings) &&
                sources_unchanged(manifest, c);
    if (fits) st = store_read(s, manifest, o, &why);
    if (st != FL_OK) fl_warn("%s: tokenizing again: %s", s->dir, why.msg);
    else if (!fits) fl_note("%s: tokenizing again: the sources have changed", s->dir);
    json_decref(manifest);
    return st == FL_OK && fits;
}

/* ---- making ---- */

/* Decide the split. Only the tail has to be known before tokenising. */
static fl_status split_decide(fli_store *s, fl_corpus *c, const fl_dataset_opts *o, fl_err *err) {
    bool is_auto = o->split == FL_SPLIT_AUTO;
    s->split = o->split;
    s->cut = 0;
    if (!is_auto && o->split != FL_SPLIT_TAIL) return FL_OK;
    int64_t documents, bytes;
    FL_TRY(fli_corpus_measure(c, is_auto ? FL_SPLIT_MIN_DOCUMENTS : 0, &documents, &bytes, err));
    s->split = is_auto && documents >= FL_SPLIT_MIN_DOCUMENTS ? FL_SPLIT_DOCUMENT : FL_SPLIT_TAIL;
    if (s->split == FL_SPLIT_TAIL) s->cut = (int64_t)((double)bytes * (1 - o->val_fraction));
    return FL_OK;
}

static fl_status store_fill(fli_store *s, fl_corpus *c, const fl_dataset_opts *o, json_t *files,
                            fli_tokenise_job *job, fl_err *err) {
    fli_shard_writer *w = NULL;
    FL_TRY(fli_shard_writer_new(&w, s->dir, width_of(o), shard_tokens_of(o), err));
    *job = (fli_tokenise_job){.corpus = c,
                              .tokenizer = o->tokenizer,
                              .writer = w,
                              .cut = s->cut,
                              .pool = o->pool ? o->pool : fl_pool_default(),
                              .progress = o->progress};
    fl_status st = fli_tokenise(job, err);
    if (st == FL_OK && job->n_tokens == 0) {
        st = fl_fail(err, FL_ERR_ARG, "%s: there is no text in it", fl_corpus_file(c, 0));
    }
    if (st == FL_OK) st = fli_shard_writer_finish(w, files, err);
    fli_shard_writer_free(w);
    return st;
}

static fl_status store_make(fli_store *s, const char *manifest_path, const json_t *settings,
                            fl_corpus *c, const fl_dataset_opts *o, fl_err *err) {
    if (fl_path_exists(s->dir)) FL_TRY(fl_dir_remove(s->dir, err));
    FL_TRY(fl_dir_make(s->dir, err));
    FL_TRY(split_decide(s, c, o, err));

    json_t *sources = NULL, *manifest = NULL, *files = json_array();
    fli_tokenise_job job;
    fl_status st = files ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "a manifest");
    if (st == FL_OK) st = sources_make(&sources, c, err);
    if (st == FL_OK) st = store_fill(s, c, o, files, &job, err);
    if (st == FL_OK) {
        manifest = json_pack("{s:s, s:i, s:O, s:O, s:O, s:s, s:I, s:I, s:I, s:I, s:I}", "fledge",
                             "dataset", "version", VERSION, "settings", settings, "sources",
                             sources, "files", files, "split", split_name[s->split], "cut",
                             (json_int_t)s->cut, "documents", (json_int_t)job.n_documents, "tokens",
                             (json_int_t)job.n_tokens, "bytes", (json_int_t)job.n_bytes,
                             "skipped_lines", (json_int_t)fl_corpus_n_skipped(c));
        st = manifest ? fl_json_save(manifest, manifest_path, err)
                      : fl_fail(err, FL_ERR_NOMEM, "a manifest");
    }
    if (st == FL_OK && fl_corpus_n_skipped(c)) {
        fl_warn("%lld bad lines were passed over", (long long)fl_corpus_n_skipped(c));
    }
    if (st == FL_OK) st = store_read(s, manifest, o, err);
    json_decref(manifest);
    json_decref(sources);
    json_decref(files);
    return st;
}

fl_status fli_store_open(fli_store *out, const fl_dataset_opts *o, fl_err *err) {
    fl_corpus *c = NULL;
    FL_TRY(fl_corpus_open(&c, o->paths, o->n_paths, &o->corpus, err));
    fli_store *s = fl_alloc(sizeof *s);
    json_t *settings = NULL;
    char manifest_path[FL_PATH_MAX];
    fl_status st = s ? FL_OK : fl_fail(err, FL_ERR_NOMEM, "a dataset");
    if (s) *s = (fli_store){0};
    if (st == FL_OK) st = settings_make(&settings, o, err);
    if (st == FL_OK) st = dir_name(s->dir, o->cache_dir, settings, err);
    if (st == FL_OK) st = fl_path_join(manifest_path, s->dir, "manifest.json", err);
    if (st == FL_OK) {
        s->reused = store_reuse(s, manifest_path, settings, c, o);
        if (!s->reused) st = store_make(s, manifest_path, settings, c, o, err);
    }
    if (st == FL_OK) *out = *s;
    json_decref(settings);
    fl_dealloc(s);
    fl_corpus_close(c);
    return st;
}

void fli_store_close(fli_store *s) {
    fli_shards_close(&s->shards);
}
