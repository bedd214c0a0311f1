/* hub.h - models by name: downloaded from a Hugging Face style hub, kept in the hub's own cache.
 *
 *     fl_hub_model got;
 *     if (fl_hub_pull(&got, "org/name-GGUF:Q4_K_M", &(fl_hub_opts){0}, &err) != FL_OK) ...
 *     fl_model_load(&m, got.path, ...);
 *
 * A NAME is org/name[@revision][:what]. The revision is a branch, a tag or a commit, else main.
 * `what` is a file of the repository, or the number format of a GGUF file in it (all parts of a
 * split one are taken). Without it the Hugging Face folder is meant where there are safetensors,
 * else the GGUF file, Q4_K_M if there are several.
 *
 * The cache is that of huggingface_hub, so either finds what the other downloaded:
 *
 *     models--org--name/blobs/ETAG             the bytes; ETAG.incomplete while they come
 *     models--org--name/snapshots/COMMIT/PATH  -> ../../blobs/ETAG
 *     models--org--name/refs/REVISION          the commit
 *     .locks/models--org--name/ETAG.lock       one download at a time
 *
 * Where it is and who we are comes from the hub's variables: HF_HUB_CACHE, HF_HOME, HF_ENDPOINT,
 * HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE.
 *
 * A file is under its name only when its checksum was right. An interrupted download goes on where
 * it stopped. A revision points to a commit only when all files of it that were asked for are
 * there. */
#ifndef FL_HUB_HUB_H
#define FL_HUB_HUB_H

#include "base/file.h"
#include "base/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *mirror;     // address of the hub; NULL: HF_ENDPOINT, else https://huggingface.co
    const char *cache;      // NULL: HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub
    fl_progress *progress;  // bytes that come over the network; NULL: nobody is looking
} fl_hub_opts;

typedef struct {
    char path[FL_PATH_MAX];  // what a MODEL argument takes: a folder, or a GGUF file (its first
                             // part)
    char commit[65];
    int n_files;            // of the model
    int64_t bytes;          // of the model
    int64_t fetched_bytes;  // of those, downloaded now
} fl_hub_model;

/* Download what is missing. Without a network a complete model that is here already will do, with a
 * warning. After fl_interrupt it fails and keeps what came. */
FL_MUST_USE fl_status fl_hub_pull(fl_hub_model *out, const char *name, const fl_hub_opts *o,
                                  fl_err *err);

/* A model that was pulled before, by us or by huggingface_hub. No network. */
FL_MUST_USE fl_status fl_hub_find(fl_hub_model *out, const char *name, const fl_hub_opts *o,
                                  fl_err *err);

/* Read the file, or the files of the folder, and compare each that lies in a cache with the
 * checksum it was downloaded by. *n_files were compared, none where `path` is not in a cache; the
 * first that differs is FL_ERR_FORMAT. */
FL_MUST_USE fl_status fl_hub_verify(const char *path, fl_progress *progress, int *n_files,
                                    fl_err *err);

bool fl_hub_is_name(const char *text);  // it has the form of a NAME

#ifdef __cplusplus
}
#endif

#endif
