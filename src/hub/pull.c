/* pull - a model by name: what is missing is downloaded, then the revision points to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "hub/internal.h"

/* ---- what is here ---- */

/* The model as it lies in the snapshot of `commit`. */
static fl_status describe(fl_hub_model *out, const fli_hub *h, const char *commit,
                          const fli_listing *l, int main, fl_err *err) {
    fl_hub_model m = {.fetched_bytes = h->fetched};
    FL_TRY(fli_cache_snapshot(m.path, h, commit, err));
    if (main >= 0) FL_TRY(fl_path_join(m.path, m.path, l->file[main].path, err));
    for (int i = 0; i < l->n; i++) {
        if (!l->file[i].chosen) continue;
        m.n_files++;
        m.bytes += l->file[i].bytes;
    }
    snprintf(m.commit, sizeof m.commit, "%s", commit);
    *out = m;
    return FL_OK;
}

static fl_status find_in(fl_hub_model *out, const fli_hub *h, fl_err *err) {
    char commit[FLI_ID_MAX], snapshot[FL_PATH_MAX];
    fli_listing l = {0};
    int main = -1;
    if (!fli_cache_ref_read(h, commit))
        return fl_fail(err, FL_ERR_IO, "%s: not pulled yet (revision %s)", h->name.repo,
                       h->name.rev);
    fl_status s = fli_cache_snapshot(snapshot, h, commit, err);
    if (s == FL_OK) s = fli_listing_walk(&l, snapshot, err);
    if (s == FL_OK) s = fli_files_choose(&l, &h->name, &main, err);
    if (s == FL_OK) s = describe(out, h, commit, &l, main, err);
    fli_listing_clear(&l);
    return s;
}

fl_status fl_hub_find(fl_hub_model *out, const char *name, const fl_hub_opts *o, fl_err *err) {
    fli_hub h;
    FL_TRY(fli_hub_init(&h, name, o, err));
    return find_in(out, &h, err);
}

/* ---- what is missing ---- */

static bool is_here(const fli_hub *h, const fli_file *f) {
    char blob[FL_PATH_MAX];
    return fli_cache_blob(blob, h, f->etag, NULL) == FL_OK && fl_path_bytes(blob) == f->bytes;
}

/* Bytes that have to come, of that many files. */
static int64_t missing(const fli_hub *h, const fli_listing *l, int *n) {
    int64_t bytes = 0;
    *n = 0;
    for (int i = 0; i < l->n; i++) {
        const fli_file *f = &l->file[i];
        char part[FL_PATH_MAX + 16], blob[FL_PATH_MAX];
        if (!f->chosen || is_here(h, f) || fli_cache_blob(blob, h, f->etag, NULL) != FL_OK)
            continue;
        snprintf(part, sizeof part, "%s.incomplete", blob);
        int64_t have = fl_path_bytes(part);
        bytes += f->bytes - (have > 0 && have <= f->bytes ? have : 0);
        (*n)++;
    }
    return bytes;
}

static fl_status check_space(const fli_hub *h, int64_t need, fl_err *err) {
    char want[FL_HUMAN], have[FL_HUMAN];
    struct statvfs fs;
    if (statvfs(h->root, &fs) != 0)
        return fl_fail(err, FL_ERR_IO, "%s: %s", h->root, strerror(errno));
    double free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    if ((double)need <= free_bytes) return FL_OK;
    return fl_fail(err, FL_ERR_IO, "%s needs %s and %s has %s free; HF_HOME names another place",
                   h->name.repo, fl_human_bytes((double)need, want), h->root,
                   fl_human_bytes(free_bytes, have));
}

static fl_status fetch_missing(fli_hub *h, const char *commit, const fli_listing *l, fl_err *err) {
    int n, at = 0;
    int64_t need = missing(h, l, &n);
    FL_TRY(fl_dir_make(h->root, err));
    FL_TRY(check_space(h, need, err));
    if (n) fl_progress_begin(h->progress, "pulling", "B", (double)need);
    for (int i = 0; i < l->n; i++) {
        const fli_file *f = &l->file[i];
        if (!f->chosen) continue;
        if (!is_here(h, f)) {
            if (h->progress)
                snprintf(h->progress->detail, sizeof h->progress->detail, "%d of %d: %s", ++at, n,
                         f->path);
            FL_TRY(fli_blob_fetch(h, commit, f, err));
        }
        FL_TRY(fli_cache_link(h, commit, f, err));
    }
    if (h->progress) h->progress->detail[0] = '\0';
    if (n) fl_progress_end(h->progress);
    return FL_OK;
}

static fl_status pull(fl_hub_model *out, fli_hub *h, fl_err *err) {
    char commit[FLI_ID_MAX];
    fli_listing l = {0};
    int main = -1;
    fl_status s = fli_listing_ask(&l, h, commit, err);
    if (s == FL_OK) s = fli_files_choose(&l, &h->name, &main, err);
    if (s == FL_OK) s = fetch_missing(h, commit, &l, err);
    if (s == FL_OK) s = fli_cache_ref_write(h, commit, err);
    if (s == FL_OK) s = describe(out, h, commit, &l, main, err);
    fli_listing_clear(&l);
    return s;
}

/* ---- without a network ---- */

/* `problem` is why the hub could not be asked. What was pulled before will do. */
static fl_status without_network(fl_hub_model *out, const fli_hub *h, const fl_err *problem,
                                 fl_err *err) {
    fl_hub_model m;
    if (find_in(&m, h, NULL) == FL_OK) {
        fl_warn("%s; using %s as pulled before", problem->msg, h->name.repo);
        *out = m;
        return FL_OK;
    }
    fl_text names = {0};
    fli_cache_names(h->root, &names);
    fl_fail(err, FL_ERR_IO, "no network: %.100s; models already here: %s", problem->msg,
            names.n ? fl_text_str(&names) : "none");
    fl_text_clear(&names);
    return FL_ERR_IO;
}

static fl_status pull_or_find(fl_hub_model *out, fli_hub *h, fl_err *err) {
    fl_err problem = {0};
    if (h->offline) {
        fl_fail(&problem, FL_ERR_IO, "HF_HUB_OFFLINE is set");
        return without_network(out, h, &problem, err);
    }
    FL_TRY(fli_http_open(&h->http, err));
    fl_status s = pull(out, h, &problem);
    if (s == FL_OK) return FL_OK;
    if (!h->reached && !fl_interrupted() && s == FL_ERR_IO)
        return without_network(out, h, &problem, err);
    return fl_fail(err, s, "%s", problem.msg);
}

fl_status fl_hub_pull(fl_hub_model *out, const char *name, const fl_hub_opts *o, fl_err *err) {
    fli_hub h;
    FL_TRY(fli_hub_init(&h, name, o, err));
    fl_status s = pull_or_find(out, &h, err);
    fli_hub_clear(&h);
    return s;
}
