/* internal.h - what the files of hub/ share. */
#ifndef FL_HUB_INTERNAL_H
#define FL_HUB_INTERNAL_H

#include "base/arena.h"
#include "base/sha.h"
#include "base/text.h"
#include "hub/http.h"
#include "hub/hub.h"

enum {
    FLI_ID_MAX = 65,    // a checksum in hexadecimal
    FLI_REPO_MAX = 97,  // "org/name"
    FLI_REV_MAX = 129,
    FLI_WANT_MAX = 513,
    FLI_FILE_MAX = 513,  // a path inside a repository
    FLI_FILES_MAX = 20000
};

/* name.c - what a NAME says. */
typedef struct {
    char repo[FLI_REPO_MAX], rev[FLI_REV_MAX], want[FLI_WANT_MAX];  // want "": whatever is right
} fli_name;
FL_MUST_USE fl_status fli_name_parse(fli_name *out, const char *text, fl_err *err);
bool fli_path_is_safe(const char *path);         // relative, stays inside, no control characters
bool fli_is_hash(const char *s, size_t digits);  // that many lower-case hexadecimal digits

/* hub.c - one model of one hub, and where it is kept. */
typedef struct {
    fli_name name;
    char endpoint[FLI_URL_MAX / 8], token[1024];  // token "": none
    char root[FL_PATH_MAX], dir[FL_PATH_MAX];     // the cache; this model's folder in it
    fl_progress *progress;
    fli_http *http;
    bool offline, reached;  // forbidden to ask; answered once
    int64_t fetched;        // bytes so far
} fli_hub;
FL_MUST_USE fl_status fli_hub_init(fli_hub *h, const char *name, const fl_hub_opts *o, fl_err *err);
void fli_hub_clear(fli_hub *h);
const char *fli_hub_host(const fli_hub *h);  // the endpoint without its "https://"
/* What a status that is not 200 or 206 means for `what`. */
fl_status fli_hub_refusal(const fli_hub *h, const fli_reply *r, const char *what, fl_err *err);

/* listing.c - the files of a repository, from the hub or from a snapshot. */
typedef struct {
    char *path;
    int64_t bytes;
    char etag[FLI_ID_MAX];  // SHA-256 of a large file, else git's SHA-1
    bool chosen;
} fli_file;
typedef struct {
    fl_arena memory;
    fli_file *file;
    int n, cap;
} fli_listing;
void fli_listing_clear(fli_listing *l);
/* `commit` is set as soon as it is known. */
FL_MUST_USE fl_status fli_listing_ask(fli_listing *l, fli_hub *h, char commit[FLI_ID_MAX],
                                      fl_err *err);
FL_MUST_USE fl_status fli_listing_walk(fli_listing *l, const char *snapshot, fl_err *err);

/* choose.c - which of the files make up the model. Marks them; *main is the file to open, -1 for
 * the folder. */
FL_MUST_USE fl_status fli_files_choose(fli_listing *l, const fli_name *name, int *main,
                                       fl_err *err);

/* cache.c - the folders of the cache, HF_HOME and what is in it first. */
FL_MUST_USE fl_status fli_cache_home(char out[FL_PATH_MAX], const char *inside, fl_err *err);
FL_MUST_USE fl_status fli_cache_root(char out[FL_PATH_MAX], const char *asked, fl_err *err);
FL_MUST_USE fl_status fli_cache_dir(char out[FL_PATH_MAX], const char *root, const char *repo,
                                    fl_err *err);
FL_MUST_USE fl_status fli_cache_blob(char out[FL_PATH_MAX], const fli_hub *h, const char *etag,
                                     fl_err *err);
FL_MUST_USE fl_status fli_cache_snapshot(char out[FL_PATH_MAX], const fli_hub *h,
                                         const char *commit, fl_err *err);
FL_MUST_USE fl_status fli_cache_link(const fli_hub *h, const char *commit, const fli_file *f,
                                     fl_err *err);
FL_MUST_USE fl_status fli_cache_ref_write(const fli_hub *h, const char *commit, fl_err *err);
bool fli_cache_ref_read(const fli_hub *h, char commit[FLI_ID_MAX]);
void fli_cache_names(const char *root, fl_text *out);  // "org/a, org/b"

/* blob.c - one file, downloaded and checked. The etag is its checksum: as it is, or as git's. */
void fli_sha_begin(fl_sha *sha, const char *etag, int64_t bytes);
FL_MUST_USE fl_status fli_blob_fetch(fli_hub *h, const char *commit, const fli_file *f,
                                     fl_err *err);

#endif
