/* check_hub - names of models, and finding them in a cache as huggingface_hub leaves it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "check.h"
#include "folder.h"
#include "hub/hub.h"

static const char commit[] = "0123456789abcdef0123456789abcdef01234567";

static void check_names(void) {
    static const char *const good[] = {"org/name",
                                       "o/n",
                                       "org/name@main",
                                       "org/name:Q4_K_M",
                                       "org/name@refs/pr/1:a/b.gguf",
                                       "Org-1/na.me_x-y",
                                       "org/name:x@y"};
    static const char *const bad[] = {"",           "name",       "/name",      "org/",
                                      "org/name/x", "org/..",     "../name",    "./name",
                                      "org/na me",  "org/a--b",   "org/a..b",   "org/-a",
                                      "org/a-",     "org/.a",     "org/name@",  "org/name:",
                                      "org/n@/x",   "org/n@../x", "org/n@a//b", "org/n@a/./b",
                                      "org/n@a\\b", "org/n@a\nb", "\xff/name"};
    char long_name[300] = "org/";
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECKF(fl_hub_is_name(good[i]), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECKF(!fl_hub_is_name(bad[i]), "'%s'", bad[i]);
    memset(long_name + 4, 'n', 92);
    CHECK(fl_hub_is_name(long_name));
    memset(long_name + 4, 'n', 200);
    CHECK(!fl_hub_is_name(long_name));
}

/* A file of a snapshot; content is its path. */
static void put(const char *repo, const char *sha, const char *path) {
    char name[512];
    snprintf(name, sizeof name, "%s/snapshots/%s/%s", repo, sha, path);
    folder_puts(name, path);
}

static void put_ref(const char *repo, const char *rev, const char *text) {
    char name[512];
    snprintf(name, sizeof name, "%s/refs/%s", repo, rev);
    folder_puts(name, text);
}

/* What follows the commit in the path of `name`, "" for the folder; the message where it fails. */
static const char *found(const char *name) {
    static char out[FL_PATH_MAX];
    fl_hub_model m;
    fl_err err;
    if (fl_hub_find(&m, name, &(fl_hub_opts){.cache = folder_path}, &err) != FL_OK) {
        snprintf(out, sizeof out, "%s", err.msg);
        return out;
    }
    const char *at = strstr(m.path, m.commit);
    snprintf(out, sizeof out, "%s", at ? at + strlen(m.commit) : "?");
    return out;
}

#define FOUND(name, want) CHECKF(strcmp(found(name), want) == 0, "%s: %s", name, found(name))
#define LOST(name, why)   CHECKF(strstr(found(name), why), "%s: %s", name, found(name))

static void check_folder(void) {
    const char *repo = "models--org--folder";
    put_ref(repo, "main", commit);
    put(repo, commit, "config.json");
    LOST("org/folder", "neither model.safetensors nor a GGUF file");
    put(repo, commit, "model-00001-of-00002.safetensors");
    LOST("org/folder", "1 of its 2 parts");
    put(repo, commit, "model-00002-of-00002.safetensors");
    FOUND("org/folder", "");
    FOUND("org/folder@0123456789abcdef0123456789abcdef01234567", "");
    FOUND("org/folder:config.json", "/config.json");
    LOST("org/folder@v1", "not pulled yet (revision v1)");
    LOST("org/other", "not pulled yet");
    put_ref(repo, "v1", "not a commit");
    LOST("org/folder@v1", "not pulled yet");
    put_ref(repo, "v2", "../../../../../../../etc");
    LOST("org/folder@v2", "not pulled yet");
    put_ref(repo, "pr/1", "0123456789abcdef0123456789abcdef01234567\n");
    FOUND("org/folder@pr/1", "");
}

static void check_gguf(void) {
    const char *repo = "models--org--m-GGUF";
    put_ref(repo, "main", commit);
    put(repo, commit, "m.IQ2_XS.gguf");
    FOUND("org/m-GGUF", "/m.IQ2_XS.gguf");  // the only one
    put(repo, commit, "mmproj-m-Q4_K_M.gguf");
    FOUND("org/m-GGUF", "/m.IQ2_XS.gguf");
    put(repo, commit, "m-Q8_0.gguf");
    FOUND("org/m-GGUF", "/m-Q8_0.gguf");  // the more usual one
    put(repo, commit, "UD/m-UD-Q4_K_M-00001-of-00001.gguf");
    FOUND("org/m-GGUF", "/UD/m-UD-Q4_K_M-00001-of-00001.gguf");
    FOUND("org/m-GGUF:iq2_xs", "/m.IQ2_XS.gguf");
    LOST("org/m-GGUF:IQ2", "no file is IQ2; GGUF files: UD/m-UD");
    LOST("org/m-GGUF:nothing.gguf", "no file is nothing.gguf");
    put(repo, commit, "n-Q8_0.gguf");
    LOST("org/m-GGUF:Q8_0", "several files are Q8_0");
    FOUND("org/m-GGUF:n-Q8_0.gguf", "/n-Q8_0.gguf");
}

/* A link whose blob is gone is no file. */
static void check_dangling(void) {
    put_ref("models--org--gone", "main", commit);
    put("models--org--gone", commit, "config.json");
    const char *link = folder_file(
        "models--org--gone/snapshots/0123456789abcdef0123456789abcdef01234567/"
        "model.safetensors");
    CHECK(symlink("../../blobs/none", link) == 0);
    LOST("org/gone", "neither model.safetensors");
}

/* Memory that runs out anywhere is a failure and leaves nothing behind. */
static void check_memory(void) {
    const fl_hub_opts o = {.cache = folder_path};
    bool reached = true;
    for (long n = 1; reached && n < 3000; n++) {
        fl_hub_model m;
        fl_alloc_fail_at(n);
        fl_status s = fl_hub_find(&m, "org/m-GGUF", &o, NULL);
        reached = fl_alloc_fail_at(0);
        CHECKF(reached ? s != FL_OK : s == FL_OK, "allocation %ld: %d", n, s);
    }
    CHECK(!reached);
}

int main(void) {
    unsetenv("HF_TOKEN");
    setenv("HF_TOKEN_PATH", "/nowhere", 1);
    folder_make();
    check_names();
    check_folder();
    check_gguf();
    check_dangling();
    check_memory();
    folder_remove();
    return check_report();
}
