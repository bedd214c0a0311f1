/* cache - the folders of the hub's cache, as huggingface_hub lays them out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "hub/internal.h"

static const char prefix[] = "models--";

static const char *env(const char *name) {
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* `path`, in which a leading ~ is the home folder. */
static fl_status expand(char out[FL_PATH_MAX], const char *path, fl_err *err) {
    if (path[0] != '~' || path[1] != '/') return fl_path_join(out, "", path, err);
    if (!env("HOME")) return fl_fail(err, FL_ERR_ARG, "%s: HOME is not set", path);
    return fl_path_join(out, env("HOME"), path + 2, err);
}

/* The folder of everything that belongs to the hub, or one in it. */
fl_status fli_cache_home(char out[FL_PATH_MAX], const char *inside, fl_err *err) {
    char home[FL_PATH_MAX];
    if (env("HF_HOME")) FL_TRY(expand(home, env("HF_HOME"), err));
    else if (env("XDG_CACHE_HOME"))
        FL_TRY(fl_path_join(home, env("XDG_CACHE_HOME"), "huggingface", err));
    else FL_TRY(expand(home, "~/.cache/huggingface", err));
    return fl_path_join(out, home, inside, err);
}

fl_status fli_cache_root(char out[FL_PATH_MAX], const char *asked, fl_err *err) {
    if (!asked) asked = env("HF_HUB_CACHE");
    if (!asked) asked = env("HUGGINGFACE_HUB_CACHE");
    return asked ? expand(out, asked, err) : fli_cache_home(out, "hub", err);
}

fl_status fli_cache_dir(char out[FL_PATH_MAX], const char *root, const char *repo, fl_err *err) {
    char name[sizeof prefix + FLI_REPO_MAX + 1];
    int org = (int)strcspn(repo, "/");
    snprintf(name, sizeof name, "%s%.*s--%s", prefix, org, repo, repo + org + 1);
    return fl_path_join(out, root, name, err);
}

/* DIR/KIND/NAME */
static fl_status inside(char out[FL_PATH_MAX], const fli_hub *h, const char *kind, const char *name,
                        fl_err *err) {
    FL_TRY(fl_path_join(out, h->dir, kind, err));
    return fl_path_join(out, out, name, err);
}

fl_status fli_cache_blob(char out[FL_PATH_MAX], const fli_hub *h, const char *etag, fl_err *err) {
    return inside(out, h, "blobs", etag, err);
}

fl_status fli_cache_snapshot(char out[FL_PATH_MAX], const fli_hub *h, const char *commit,
                             fl_err *err) {
    return inside(out, h, "snapshots", commit, err);
}

/* Folders above the last part of `path`. */
static fl_status make_parents(const char *path, fl_err *err) {
    char dir[FL_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)(fl_path_base(path) - path - 1), path);
    return fl_dir_make(dir, err);
}

fl_status fli_cache_link(const fli_hub *h, const char *commit, const fli_file *f, fl_err *err) {
    char link[FL_PATH_MAX];
    fl_text target = {0};
    FL_TRY(fli_cache_snapshot(link, h, commit, err));
    FL_TRY(fl_path_join(link, link, f->path, err));
    FL_TRY(make_parents(link, err));
    fl_text_puts(&target, "../../");
    for (const char *p = f->path; *p; p++)
        if (*p == '/') fl_text_puts(&target, "../");
    fl_text_printf(&target, "blobs/%s", f->etag);
    fl_status s = fl_text_ok(&target, err);
    if (s == FL_OK) s = fl_link_replace(link, fl_text_str(&target), err);
    fl_text_clear(&target);
    return s;
}

/* ---- revisions ---- */

static bool is_commit(const char *rev) {
    return fli_is_hash(rev, 40);
}

fl_status fli_cache_ref_write(const fli_hub *h, const char *commit, fl_err *err) {
    char path[FL_PATH_MAX];
    if (is_commit(h->name.rev)) return FL_OK;
    FL_TRY(inside(path, h, "refs", h->name.rev, err));
    FL_TRY(make_parents(path, err));
    return fl_file_write(path, commit, strlen(commit), err);
}

bool fli_cache_ref_read(const fli_hub *h, char commit[FLI_ID_MAX]) {
    char path[FL_PATH_MAX], *text;
    if (is_commit(h->name.rev)) {
        memcpy(commit, h->name.rev, strlen(h->name.rev) + 1);
        return true;
    }
    if (inside(path, h, "refs", h->name.rev, NULL) != FL_OK) return false;
    if (fl_file_read(path, FLI_ID_MAX, &text, NULL, NULL) != FL_OK) return false;
    text[strcspn(text, "\r\n")] = '\0';
    bool good = is_commit(text);
    if (good) memcpy(commit, text, strlen(text) + 1);
    fl_dealloc(text);
    return good;
}

/* It was pulled whole, at one revision at least. */
static bool has_refs(const char *root, const char *name) {
    char path[FL_PATH_MAX];
    return fl_path_join(path, root, name, NULL) == FL_OK &&
           fl_path_join(path, path, "refs", NULL) == FL_OK && fl_path_exists(path);
}

void fli_cache_names(const char *root, fl_text *out) {
    char **names;
    size_t n;
    if (fl_dir_list(root, &names, &n, NULL) != FL_OK) return;
    for (size_t i = 0; i < n; i++) {
        const char *org = names[i] + strlen(prefix), *gap;
        if (strncmp(names[i], prefix, strlen(prefix)) != 0 || !(gap = strstr(org, "--"))) continue;
        if (!has_refs(root, names[i])) continue;
        fl_text_printf(out, "%s%.*s/%s", out->n ? ", " : "", (int)(gap - org), org, gap + 2);
    }
    fl_dealloc(names);
}
