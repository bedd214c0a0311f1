/* listing - the files of a repository.
 *
 *     GET /api/models/REPO/revision/REV              {"sha": COMMIT, ..}
 *     GET /api/models/REPO/tree/COMMIT?recursive=1   [{"type": "file", "path", "size", "oid",
 *                                                      "lfs": {"oid", "size"}}, ..], in pages
 *
 * Everything a hub says is checked here: names stay inside the folder, checksums are checksums,
 * sizes are sizes, and there is an end to the pages. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "hub/internal.h"

enum { REPLY_MAX = 64 << 20, PAGES_MAX = 64, WALK_DEPTH = 4, ARENA_BLOCK = 1 << 16 };

static fl_status add(fli_listing *l, const fli_file *f, fl_err *err) {
    size_t n = strlen(f->path) + 1;
    if (l->n == FLI_FILES_MAX)
        return fl_fail(err, FL_ERR_FORMAT, "more than %d files", FLI_FILES_MAX);
    if (!l->memory.block_size) fl_arena_init(&l->memory, ARENA_BLOCK);
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 64;
        fli_file *grown = FL_NEW(&l->memory, fli_file, (size_t)cap);
        if (!grown) return fl_fail(err, FL_ERR_NOMEM, "the names of %d files", cap);
        if (l->n) memcpy(grown, l->file, (size_t)l->n * sizeof *grown);
        l->file = grown;
        l->cap = cap;
    }
    char *path = FL_NEW(&l->memory, char, n);
    if (!path) return fl_fail(err, FL_ERR_NOMEM, "the name of a file");
    l->file[l->n] = *f;
    l->file[l->n++].path = memcpy(path, f->path, n);
    return FL_OK;
}

void fli_listing_clear(fli_listing *l) {
    if (l->memory.block_size) fl_arena_free(&l->memory);
    *l = (fli_listing){0};
}

/* ---- from the hub ---- */

static bool collect(void *ctx, const fli_reply *r, const void *data, size_t n) {
    fl_text *out = ctx;
    (void)r;
    if (n > REPLY_MAX - out->n) return false;
    fl_text_append(out, data, n);
    return !out->failed;
}

/* The reason why nothing came. */
static fl_status explain(const fli_hub *h, const fli_reply *r, const char *url, const fl_text *body,
                         fl_status s, fl_err *err) {
    if (fl_interrupted()) return fl_fail(err, FL_ERR_IO, "interrupted");
    if (r->outcome == FLI_HTTP_STOPPED)
        return fl_fail(err, FL_ERR_FORMAT, "%.120s: more than %d bytes of JSON", url,
                       (int)(body->failed ? body->n : REPLY_MAX));
    return fl_context(err, s, "cannot reach %s", fli_hub_host(h));
}

/* The JSON at `url`. A hub that cannot be reached at first is not asked again: there is no network.
 */
static fl_status ask(fli_hub *h, const char *url, fli_reply *r, json_t **out, fl_err *err) {
    fl_text body = {0};
    fli_request q = {.url = url,
                     .token = *h->token ? h->token : NULL,
                     .body = collect,
                     .ctx = &body};
    fl_status s;
    int failures = 0;
    do {
        body.n = 0;
        s = fli_http_get(h->http, &q, r, err);
        if (r->status) h->reached = true;
    } while ((h->reached || r->outcome != FLI_HTTP_UNREACHABLE) && fli_http_again(r, &failures));
    if (s != FL_OK) s = explain(h, r, url, &body, s, err);
    else if (r->status != 200) s = fli_hub_refusal(h, r, h->name.repo, err);
    else s = fl_json_parse(out, fl_text_str(&body), body.n, url, err);
    fl_text_clear(&body);
    return s;
}

/* ENDPOINT/api/models/REPO/KIND/REV */
static fl_status api_url(char out[FLI_URL_MAX], const fli_hub *h, const char *kind, const char *rev,
                         const char *query, fl_err *err) {
    char quoted[3 * FLI_REV_MAX];
    bool fits = fli_url_quote(quoted, sizeof quoted, rev, false);
    int n = snprintf(out, FLI_URL_MAX, "%s/api/models/%s/%s/%s%s", h->endpoint, h->name.repo, kind,
                     quoted, query);
    if (fits && n > 0 && n < FLI_URL_MAX) return FL_OK;
    return fl_fail(err, FL_ERR_ARG, "%s: revision too long", h->name.repo);
}

static fl_status ask_commit(fli_hub *h, char commit[FLI_ID_MAX], fl_err *err) {
    char url[FLI_URL_MAX];
    const char *sha;
    json_t *v = NULL;
    fli_reply r;
    FL_TRY(api_url(url, h, "revision", h->name.rev, "", err));
    FL_TRY(ask(h, url, &r, &v, err));
    fl_status s = fl_json_str(v, "sha", &sha, h->name.repo, err);
    if (s == FL_OK && !fli_is_hash(sha, 40))
        s = fl_fail(err, FL_ERR_FORMAT, "%s: '%.60s' is not a commit", h->name.repo, sha);
    if (s == FL_OK) memcpy(commit, sha, strlen(sha) + 1);
    json_decref(v);
    return s;
}

/* One row of the tree: a file, or something to pass over. */
static fl_status take_row(fli_listing *l, const json_t *row, const char *repo, fl_err *err) {
    const char *type, *path, *oid;
    const json_t *lfs = json_object_get(row, "lfs");
    fli_file f = {0};
    FL_TRY(fl_json_str(row, "type", &type, repo, err));
    if (strcmp(type, "file") != 0) return FL_OK;
    FL_TRY(fl_json_str(row, "path", &path, repo, err));
    if (strlen(path) >= FLI_FILE_MAX || !fli_path_is_safe(path))
        return fl_fail(err, FL_ERR_FORMAT,
                       "%s: the hub names a file '%.80s', which is no path inside a folder", repo,
                       path);
    const json_t *source = json_is_object(lfs) ? lfs : row;
    size_t digits = source == lfs ? 64 : 40;
    FL_TRY(fl_json_str(source, "oid", &oid, path, err));
    FL_TRY(fl_json_int(source, "size", &f.bytes, path, err));
    if (!fli_is_hash(oid, digits) || f.bytes < 0)
        return fl_fail(err, FL_ERR_FORMAT, "%s: %s: no checksum and size from the hub", repo, path);
    memcpy(f.etag, oid, digits + 1);
    f.path = (char *)(uintptr_t)path;
    return add(l, &f, err);
}

static fl_status take_page(fli_listing *l, const json_t *page, const char *repo, fl_err *err) {
    size_t i;
    const json_t *row;
    if (!json_is_array(page))
        return fl_fail(err, FL_ERR_FORMAT, "%s: expected a list of files from the hub", repo);
    json_array_foreach(page, i, row) FL_TRY(take_row(l, row, repo, err));
    return FL_OK;
}

/* The next page is on this hub, whatever address a mirror copied from the original. */
static bool next_page(char url[FLI_URL_MAX], const fli_hub *h, const char *link) {
    const char *path = strstr(link, "/api/");
    int n = path ? snprintf(url, FLI_URL_MAX, "%s%s", h->endpoint, path) : 0;
    return n > 0 && n < FLI_URL_MAX;
}

fl_status fli_listing_ask(fli_listing *l, fli_hub *h, char commit[FLI_ID_MAX], fl_err *err) {
    char url[FLI_URL_MAX];
    FL_TRY(ask_commit(h, commit, err));
    FL_TRY(api_url(url, h, "tree", commit, "?recursive=1", err));
    for (int page = 0; page < PAGES_MAX; page++) {
        json_t *v = NULL;
        fli_reply r;
        FL_TRY(ask(h, url, &r, &v, err));
        fl_status s = take_page(l, v, h->name.repo, err);
        json_decref(v);
        if (s != FL_OK || !next_page(url, h, r.next)) return s;
    }
    return fl_fail(err, FL_ERR_FORMAT, "%s: a list of more than %d pages", h->name.repo, PAGES_MAX);
}

/* ---- from a snapshot ---- */

static fl_status walk(fli_listing *l, const char *root, const char *inside, int depth,
                      fl_err *err) {
    char dir[FL_PATH_MAX], path[FL_PATH_MAX], full[FL_PATH_MAX], **names;
    size_t n;
    FL_TRY(fl_path_join(dir, root, inside, err));
    FL_TRY(fl_dir_list(dir, &names, &n, err));
    fl_status s = FL_OK;
    for (size_t i = 0; i < n && s == FL_OK; i++) {
        s = fl_path_join(path, inside, names[i], err);
        if (s == FL_OK) s = fl_path_join(full, root, path, err);
        if (s != FL_OK) break;
        fli_file f = {.path = path, .bytes = fl_path_bytes(full)};
        if (fl_path_is_dir(full)) s = depth ? walk(l, root, path, depth - 1, err) : FL_OK;
        else if (f.bytes >= 0) s = add(l, &f, err);  // else a link whose blob is gone
    }
    fl_dealloc(names);
    return s;
}

fl_status fli_listing_walk(fli_listing *l, const char *snapshot, fl_err *err) {
    return walk(l, snapshot, "", WALK_DEPTH, err);
}
